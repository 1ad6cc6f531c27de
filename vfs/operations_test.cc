#include "vfs/operations.h"

#include <gtest/gtest.h>
#include <linux/fs.h>
#include <sys/xattr.h>

#include "vfs/fs/tmpfs/tmpfs.h"
#include "vfs/testing/world.h"

namespace vfs {
namespace {

RefPtr<FileSystem> NewTmpfs(std::string_view options = "") {
  auto creds = MakeRef<Credentials>();
  return tmpfs::TmpFileSystem::Create("tmpfs", options, *creds).value();
}

Errno OpenError(const World& w, std::string_view name, int flags) { return ErrorOf(w.Open(name, flags)); }

TEST(Open, CreationAndTheRulesAroundIt) {
  RunOnFiber([] {
    World w(NewTmpfs());
    w.Mkdir("/d");
    EXPECT_EQ(OpenError(w, "/f", O_RDONLY), Errno::kENOENT);
    EXPECT_EQ(OpenError(w, "/f", O_RDWR | O_CREAT | O_EXCL), Errno{});
    EXPECT_EQ(OpenError(w, "/f", O_RDWR | O_CREAT | O_EXCL), Errno::kEEXIST);
    EXPECT_EQ(OpenError(w, "/f", O_RDWR | O_CREAT), Errno{});
    EXPECT_EQ(OpenError(w, "/f/", O_RDONLY), Errno::kENOTDIR);
    EXPECT_EQ(OpenError(w, "/f/x", O_RDONLY), Errno::kENOTDIR);
    EXPECT_EQ(OpenError(w, "/new/", O_WRONLY | O_CREAT), Errno::kEISDIR);
    EXPECT_EQ(OpenError(w, "/d", O_WRONLY), Errno::kEISDIR);
    EXPECT_EQ(OpenError(w, "/d", O_RDONLY | O_CREAT), Errno::kEISDIR);
    EXPECT_EQ(OpenError(w, "/d", O_RDONLY | O_CREAT | O_EXCL), Errno::kEEXIST);
    EXPECT_EQ(OpenError(w, "/.", O_RDWR | O_CREAT), Errno::kEISDIR);
    EXPECT_EQ(OpenError(w, "/d", O_RDONLY | O_TRUNC), Errno::kEISDIR);
    EXPECT_EQ(OpenError(w, "/f", O_RDONLY | O_DIRECTORY), Errno::kENOTDIR);
    EXPECT_EQ(OpenError(w, "/f", O_RDONLY | O_DIRECTORY | O_CREAT), Errno::kEINVAL);
    EXPECT_EQ(OpenError(w, "", O_RDONLY | O_CREAT), Errno::kENOENT);
    EXPECT_EQ(OpenError(w, "/x/y", O_WRONLY | O_CREAT), Errno::kENOENT);
    EXPECT_EQ(OpenError(w, "/" + std::string(256, 'n'), O_WRONLY | O_CREAT), Errno::kENAMETOOLONG);
  });
}

TEST(Open, LinksAtTheEnd) {
  RunOnFiber([] {
    World w(NewTmpfs());
    w.Mkdir("/d");
    CHECK_OK(Symlink(w.context, "d/target", "/link"));
    EXPECT_EQ(OpenError(w, "/link", O_RDONLY), Errno::kENOENT);
    EXPECT_EQ(OpenError(w, "/link", O_RDWR | O_CREAT | O_EXCL), Errno::kEEXIST);
    EXPECT_EQ(OpenError(w, "/link", O_RDWR | O_CREAT | O_NOFOLLOW), Errno::kELOOP);
    EXPECT_EQ(OpenError(w, "/link", O_RDWR | O_CREAT), Errno{});  // makes the target
    EXPECT_EQ(w.List("/d"), std::vector<std::string>{"target"});
    EXPECT_EQ(OpenError(w, "/link", O_RDONLY | O_NOFOLLOW), Errno::kELOOP);
    EXPECT_EQ(OpenError(w, "/link", O_RDONLY | O_NOFOLLOW | O_DIRECTORY), Errno::kENOTDIR);
    RefPtr<FileDescription> link = w.Open("/link", O_PATH | O_NOFOLLOW).value();
    EXPECT_TRUE(S_ISLNK(link->inode().type()));
    EXPECT_FALSE(link->readable());
    CHECK_OK(Symlink(w.context, "loop", "/loop"));
    EXPECT_EQ(OpenError(w, "/loop", O_WRONLY | O_CREAT), Errno::kELOOP);
    CHECK_OK(Symlink(w.context, "d", "/dl"));
    EXPECT_EQ(OpenError(w, "/dl/", O_RDONLY | O_NOFOLLOW), Errno{});
  });
}

TEST(Open, UnnamedFiles) {
  RunOnFiber([] {
    World w(NewTmpfs());
    w.Mkdir("/d");
    EXPECT_EQ(OpenError(w, "/d", O_TMPFILE | O_RDONLY), Errno::kEINVAL);
    EXPECT_EQ(OpenError(w, "/d", (O_TMPFILE & ~O_DIRECTORY) | O_RDWR), Errno::kEINVAL);
    EXPECT_EQ(OpenError(w, "/missing", O_TMPFILE | O_RDWR), Errno::kENOENT);
    RefPtr<FileDescription> file = w.Open("/d", O_TMPFILE | O_RDWR).value();
    EXPECT_EQ(file->Stat()->nlink, 0u);
    EXPECT_TRUE(w.List("/d").empty());
    WriteAll(*file, "content");
    CHECK_OK(Link(w.context, file->path(), w.context, "/d/named"));
    EXPECT_EQ(w.ReadFile("/d/named"), "content");
    EXPECT_EQ(file->Stat()->nlink, 1u);
    RefPtr<FileDescription> exclusive = w.Open("/d", O_TMPFILE | O_RDWR | O_EXCL).value();
    EXPECT_EQ(ErrorOf(Link(w.context, exclusive->path(), w.context, "/d/other")), Errno::kENOENT);
  });
}

TEST(Open, PermissionAndReadOnly) {
  RunOnFiber([] {
    World w(NewTmpfs());
    w.WriteFile("/mine", "x");
    CHECK_OK(SetAttr(w.context, w.Place("/mine"), {.valid = SetAttributes::kMode, .mode = 0640}));
    WalkContext user = w.As(1000, 1000);
    EXPECT_EQ(ErrorOf(Open(user, "/mine", O_RDONLY, 0)), Errno::kEACCES);
    EXPECT_EQ(ErrorOf(Open(w.As(1000, 1000, {0}), "/mine", O_RDONLY, 0)), Errno{});
    EXPECT_EQ(ErrorOf(Open(w.As(1000, 1000, {0}), "/mine", O_RDWR, 0)), Errno::kEACCES);
    CHECK_OK(SetAttr(w.context, w.Place("/mine"), {.valid = SetAttributes::kMode, .mode = 0644}));
    EXPECT_EQ(ErrorOf(Open(user, "/mine", O_RDONLY | O_NOATIME, 0)), Errno::kEPERM);
    EXPECT_EQ(ErrorOf(Open(user, "/mine", O_RDONLY | O_TRUNC, 0)), Errno::kEACCES);

    w.ns->root()->flags |= MS_RDONLY;
    EXPECT_EQ(OpenError(w, "/mine", O_RDONLY), Errno{});
    EXPECT_EQ(OpenError(w, "/mine", O_RDWR), Errno::kEROFS);
    EXPECT_EQ(OpenError(w, "/mine", O_RDONLY | O_TRUNC), Errno::kEROFS);
    EXPECT_EQ(OpenError(w, "/mine", O_RDONLY | O_CREAT), Errno{});
    EXPECT_EQ(OpenError(w, "/other", O_RDONLY | O_CREAT), Errno::kEROFS);
    EXPECT_EQ(OpenError(w, "/mine", O_RDONLY | O_CREAT | O_EXCL), Errno::kEEXIST);
    EXPECT_EQ(ErrorOf(Mkdir(w.context, "/mine", 0755)), Errno::kEEXIST);
    EXPECT_EQ(ErrorOf(Mkdir(w.context, "/other", 0755)), Errno::kEROFS);
    EXPECT_EQ(ErrorOf(Unlink(w.context, "/missing")), Errno::kEROFS);
    EXPECT_EQ(ErrorOf(Rename(w.context, "/missing", w.context, "/x", 0)), Errno::kEROFS);
  });
}

TEST(Open, TextFilesAreBusy) {
  RunOnFiber([] {
    World w(NewTmpfs());
    w.WriteFile("/program", "x");
    Inode& inode = w.Place("/program").inode();
    CHECK_OK(DenyWriteAccess(inode));
    EXPECT_EQ(OpenError(w, "/program", O_WRONLY), Errno::kETXTBSY);
    EXPECT_EQ(OpenError(w, "/program", O_RDONLY | O_TRUNC), Errno::kETXTBSY);
    AllowWriteAccess(inode);
    RefPtr<FileDescription> writer = w.Open("/program", O_WRONLY).value();
    EXPECT_EQ(ErrorOf(DenyWriteAccess(inode)), Errno::kETXTBSY);
    RefPtr<FileDescription> running = w.Open("/program", O_RDONLY).value();
    EXPECT_EQ(ErrorOf(running->DenyWrites()), Errno::kETXTBSY);
    writer.reset();
    EXPECT_EQ(ErrorOf(running->DenyWrites()), Errno{});
    EXPECT_EQ(OpenError(w, "/program", O_WRONLY), Errno::kETXTBSY);
    running.reset();
    EXPECT_EQ(OpenError(w, "/program", O_WRONLY), Errno{});
  });
}

TEST(Names, MakingAndRemoving) {
  RunOnFiber([] {
    World w(NewTmpfs());
    w.Mkdir("/d");
    w.WriteFile("/f", "x");
    EXPECT_EQ(ErrorOf(Mkdir(w.context, "/d", 0755)), Errno::kEEXIST);
    EXPECT_EQ(ErrorOf(Mkdir(w.context, "/", 0755)), Errno::kEEXIST);
    EXPECT_EQ(ErrorOf(Mkdir(w.context, "/d/.", 0755)), Errno::kEEXIST);
    EXPECT_EQ(ErrorOf(Mkdir(w.context, "/f/x", 0755)), Errno::kENOTDIR);
    EXPECT_EQ(ErrorOf(Mkdir(w.context, "/d/sub/", 0755)), Errno{});
    EXPECT_EQ(ErrorOf(Symlink(w.context, "t", "/l/")), Errno::kENOENT);
    EXPECT_EQ(ErrorOf(Symlink(w.context, "", "/l")), Errno::kENOENT);
    EXPECT_EQ(ErrorOf(Unlink(w.context, "/d")), Errno::kEISDIR);
    EXPECT_EQ(ErrorOf(Unlink(w.context, "/f/")), Errno::kENOTDIR);
    EXPECT_EQ(ErrorOf(Unlink(w.context, "/d/")), Errno::kEISDIR);
    EXPECT_EQ(ErrorOf(Unlink(w.context, "/..")), Errno::kEISDIR);
    EXPECT_EQ(ErrorOf(Unlink(w.context, "/missing/")), Errno::kENOENT);
    EXPECT_EQ(ErrorOf(Rmdir(w.context, "/f")), Errno::kENOTDIR);
    EXPECT_EQ(ErrorOf(Rmdir(w.context, "/d")), Errno::kENOTEMPTY);
    EXPECT_EQ(ErrorOf(Rmdir(w.context, "/d/sub/.")), Errno::kEINVAL);
    EXPECT_EQ(ErrorOf(Rmdir(w.context, "/d/sub/..")), Errno::kENOTEMPTY);
    EXPECT_EQ(ErrorOf(Rmdir(w.context, "/")), Errno::kEBUSY);
    EXPECT_EQ(ErrorOf(Rmdir(w.context, "/d/sub/")), Errno{});
    EXPECT_EQ(w.Stat("/d")->nlink, 2u);
    EXPECT_EQ(ErrorOf(Link(w.context, w.Place("/d"), w.context, "/d2")), Errno::kEPERM);
    EXPECT_EQ(ErrorOf(Link(w.context, w.Place("/f"), w.context, "/f2")), Errno{});
    EXPECT_EQ(w.Stat("/f2")->nlink, 2u);
    EXPECT_EQ(w.Stat("/f2")->ino, w.Stat("/f")->ino);
    EXPECT_EQ(ErrorOf(Mknod(w.context, "/dev", S_IFCHR | 0666, 0x103)), Errno{});
    EXPECT_EQ(ErrorOf(Mknod(w.As(1, 1), "/dev", S_IFCHR | 0666, 0x103)), Errno::kEEXIST);
    CHECK_OK(SetAttr(w.context, w.Place("/"), {.valid = SetAttributes::kMode, .mode = 01777}));
    EXPECT_EQ(ErrorOf(Mknod(w.As(1, 1), "/dev2", S_IFCHR | 0666, 0x103)), Errno::kEPERM);
    EXPECT_EQ(ErrorOf(Mknod(w.As(1, 1), "/fifo", S_IFIFO | 0666, 0)), Errno{});
    EXPECT_EQ(ErrorOf(Mknod(w.context, "/dir", S_IFDIR | 0666, 0)), Errno::kEPERM);
    EXPECT_EQ(ErrorOf(Mknod(w.context, "/what", S_IFLNK | 0666, 0)), Errno::kEINVAL);
  });
}

TEST(Names, StickyDirectories) {
  RunOnFiber([] {
    World w(NewTmpfs("mode=1777"));
    WalkContext alice = w.As(1, 1), bob = w.As(2, 2);
    CHECK_OK(Open(alice, "/hers", O_WRONLY | O_CREAT, 0666));
    CHECK_OK(Open(bob, "/his", O_WRONLY | O_CREAT, 0666));
    EXPECT_EQ(ErrorOf(Unlink(bob, "/hers")), Errno::kEPERM);
    EXPECT_EQ(ErrorOf(Rename(bob, "/hers", bob, "/stolen", 0)), Errno::kEPERM);
    EXPECT_EQ(ErrorOf(Rename(bob, "/his", bob, "/hers", 0)), Errno::kEPERM);
    EXPECT_EQ(ErrorOf(Unlink(alice, "/hers")), Errno{});
    EXPECT_EQ(ErrorOf(Unlink(w.context, "/his")), Errno{});
  });
}

TEST(Names, SetGroupIdDirectories) {
  RunOnFiber([] {
    World w(NewTmpfs("mode=1777"));
    w.Mkdir("/shared", 0777);
    CHECK_OK(SetAttr(w.context, w.Place("/shared"), {.valid = SetAttributes::kGid | SetAttributes::kMode, .mode = 02777, .gid = 50}));
    WalkContext alice = w.As(1, 1);
    CHECK_OK(Open(alice, "/shared/file", O_WRONLY | O_CREAT, 02775));
    EXPECT_EQ(w.Stat("/shared/file")->gid, 50u);
    EXPECT_EQ(w.Stat("/shared/file")->mode & 07777, 0775u);  // she is not in the group
    CHECK_OK(Mkdir(alice, "/shared/sub", 0755));
    EXPECT_EQ(w.Stat("/shared/sub")->mode & 07777, 02755u);
  });
}

TEST(RenameTest, Rules) {
  RunOnFiber([] {
    World w(NewTmpfs());
    auto rename = [&](std::string_view from, std::string_view to, unsigned flags = 0) {
      return ErrorOf(Rename(w.context, from, w.context, to, flags));
    };
    w.Mkdir("/a");
    w.Mkdir("/a/b");
    w.Mkdir("/a/b/c");
    w.Mkdir("/empty");
    w.WriteFile("/f", "f");
    w.WriteFile("/g", "g");
    EXPECT_EQ(rename("/missing", "/x"), Errno::kENOENT);
    EXPECT_EQ(rename("/a", "/a/b/x"), Errno::kEINVAL);
    EXPECT_EQ(rename("/a", "/a/b"), Errno::kEINVAL);
    EXPECT_EQ(rename("/a/b/c", "/a"), Errno::kENOTEMPTY);
    EXPECT_EQ(rename("/f", "/a"), Errno::kEISDIR);
    EXPECT_EQ(rename("/a", "/f"), Errno::kENOTDIR);
    EXPECT_EQ(rename("/empty", "/a"), Errno::kENOTEMPTY);
    EXPECT_EQ(rename("/f/", "/x"), Errno::kENOTDIR);
    EXPECT_EQ(rename("/f", "/x/"), Errno::kENOTDIR);
    EXPECT_EQ(rename("/a/.", "/x"), Errno::kEBUSY);
    EXPECT_EQ(rename("/f", "/.."), Errno::kEBUSY);
    EXPECT_EQ(rename("/f", "/g", RENAME_NOREPLACE), Errno::kEEXIST);
    EXPECT_EQ(rename("/f", "/g", RENAME_NOREPLACE | RENAME_EXCHANGE), Errno::kEINVAL);
    EXPECT_EQ(rename("/f", "/g", 1u << 20), Errno::kEINVAL);
    EXPECT_EQ(rename("/f", "/none", RENAME_EXCHANGE), Errno::kENOENT);
    EXPECT_EQ(rename("/a", "/a/b", RENAME_EXCHANGE), Errno::kEINVAL);

    EXPECT_EQ(rename("/f", "/g"), Errno{});
    EXPECT_EQ(w.ReadFile("/g"), "f");
    EXPECT_EQ(ErrorOf(w.Stat("/f")), Errno::kENOENT);
    EXPECT_EQ(rename("/a/b", "/empty"), Errno{});
    EXPECT_EQ(w.Stat("/a")->nlink, 2u);
    EXPECT_EQ(w.Stat("/empty")->nlink, 3u);
    EXPECT_EQ(w.List("/empty"), std::vector<std::string>{"c"});
    EXPECT_EQ(rename("/empty", "/new/"), Errno{});
    EXPECT_EQ(rename("/g", "/new", RENAME_EXCHANGE), Errno{});
    EXPECT_EQ(w.ReadFile("/new"), "f");
    EXPECT_EQ(w.List("/g"), std::vector<std::string>{"c"});
    EXPECT_EQ(rename("/new", "/a/moved", RENAME_WHITEOUT), Errno{});
    EXPECT_TRUE(S_ISCHR(w.Stat("/new")->mode));
    EXPECT_EQ(w.Stat("/new")->rdev, 0u);

    CHECK_OK(Link(w.context, w.Place("/a/moved"), w.context, "/a/link"));
    EXPECT_EQ(rename("/a/moved", "/a/link"), Errno{});  // the same file: nothing happens
    EXPECT_EQ(w.List("/a"), (std::vector<std::string>{"link", "moved"}));
  });
}

TEST(SetAttrTest, OwnersAndModes) {
  RunOnFiber([] {
    World w(NewTmpfs("mode=1777"));
    WalkContext alice = w.As(1, 1, {7}), bob = w.As(2, 2);
    CHECK_OK(Open(alice, "/file", O_WRONLY | O_CREAT, 0777));
    Path file = w.Place("/file");
    auto set = [&](const WalkContext& who, SetAttributes changes) { return ErrorOf(SetAttr(who, file, changes)); };
    auto mode = [&] { return file.inode().Stat()->mode & 07777; };
    EXPECT_EQ(set(bob, {.valid = SetAttributes::kMode, .mode = 0700}), Errno::kEPERM);
    EXPECT_EQ(set(alice, {.valid = SetAttributes::kUid, .uid = 2}), Errno::kEPERM);
    EXPECT_EQ(set(alice, {.valid = SetAttributes::kGid, .gid = 9}), Errno::kEPERM);
    EXPECT_EQ(set(alice, {.valid = SetAttributes::kMode, .mode = 06755}), Errno{});
    EXPECT_EQ(mode(), 06755u);
    EXPECT_EQ(set(alice, {.valid = SetAttributes::kGid, .gid = 7}), Errno{});
    EXPECT_EQ(mode(), 0755u);  // set-ID bits went with the change
    EXPECT_EQ(set(w.context, {.valid = SetAttributes::kGid, .gid = 100}), Errno{});
    EXPECT_EQ(set(alice, {.valid = SetAttributes::kMode, .mode = 02755}), Errno{});
    EXPECT_EQ(mode(), 0755u);  // not of a group that she is not in
    EXPECT_EQ(set(w.context, {.valid = SetAttributes::kMode, .mode = 04777}), Errno{});

    // A write by somebody without CAP_FSETID clears them.
    RefPtr<FileDescription> writer = Open(bob, "/file", O_WRONLY, 0).value();
    CHECK_OK(PrepareWrite(*writer, *bob.creds));
    EXPECT_EQ(mode(), 0777u);
    CHECK_OK(SetAttr(w.context, file, {.valid = SetAttributes::kMode, .mode = 04777}));
    CHECK_OK(PrepareWrite(*writer, *w.context.creds));
    EXPECT_EQ(mode(), 04777u);
    CHECK_OK(SetAttr(bob, file, {.valid = SetAttributes::kSize, .size = 10}));
    EXPECT_EQ(mode(), 0777u);

    // Times: anybody who may write can set them to now, only the owner to anything else.
    EXPECT_EQ(set(bob, {.valid = SetAttributes::kAtimeNow | SetAttributes::kMtimeNow}), Errno{});
    EXPECT_EQ(set(bob, {.valid = SetAttributes::kAtime, .atime = 5}), Errno::kEPERM);
    EXPECT_EQ(set(bob, {.valid = SetAttributes::kAtimeNow}), Errno::kEPERM);
    EXPECT_EQ(set(alice, {.valid = SetAttributes::kAtime | SetAttributes::kMtime, .atime = 5, .mtime = 6}), Errno{});
    EXPECT_EQ(file.inode().Stat()->mtime, 6);
    CHECK_OK(SetAttr(w.context, file, {.valid = SetAttributes::kMode, .mode = 0755}));
    EXPECT_EQ(set(bob, {.valid = SetAttributes::kAtimeNow | SetAttributes::kMtimeNow}), Errno::kEACCES);
    EXPECT_EQ(set(bob, {.valid = SetAttributes::kSize, .size = 0}), Errno::kEACCES);
    EXPECT_EQ(ErrorOf(SetAttr(w.context, w.Place("/"), {.valid = SetAttributes::kSize})), Errno::kEISDIR);
  });
}

TEST(Xattrs, NameSpaces) {
  RunOnFiber([] {
    World w(NewTmpfs("mode=1777"));
    WalkContext alice = w.As(1, 1), bob = w.As(2, 2);
    CHECK_OK(Open(alice, "/file", O_WRONLY | O_CREAT, 0644));
    Path file = w.Place("/file");
    EXPECT_EQ(ErrorOf(GetXattr(alice, file, "user.a")), Errno::kENODATA);
    EXPECT_EQ(ErrorOf(SetXattr(alice, file, "user.a", "1", XATTR_REPLACE)), Errno::kENODATA);
    EXPECT_EQ(ErrorOf(SetXattr(alice, file, "user.a", "1", 0)), Errno{});
    EXPECT_EQ(ErrorOf(SetXattr(alice, file, "user.a", "2", XATTR_CREATE)), Errno::kEEXIST);
    EXPECT_EQ(*GetXattr(bob, file, "user.a"), "1");
    EXPECT_EQ(ErrorOf(SetXattr(bob, file, "user.a", "2", 0)), Errno::kEACCES);
    EXPECT_EQ(ErrorOf(SetXattr(alice, file, "trusted.a", "1", 0)), Errno::kEPERM);
    EXPECT_EQ(ErrorOf(GetXattr(alice, file, "trusted.a")), Errno::kENODATA);
    EXPECT_EQ(ErrorOf(SetXattr(w.context, file, "trusted.a", "1", 0)), Errno{});
    EXPECT_EQ(ErrorOf(SetXattr(alice, file, "security.selinux", "1", 0)), Errno::kEPERM);
    EXPECT_EQ(ErrorOf(SetXattr(alice, file, "odd.a", "1", 0)), Errno::kEOPNOTSUPP);
    EXPECT_EQ(ListXattr(alice, file)->size(), 1u);
    EXPECT_EQ(ListXattr(w.context, file)->size(), 2u);
    CHECK_OK(Symlink(w.context, "x", "/link"));
    EXPECT_EQ(ErrorOf(SetXattr(w.context, w.Place("/link", 0), "user.a", "1", 0)), Errno::kEPERM);
    EXPECT_EQ(ErrorOf(RemoveXattr(alice, file, "user.a")), Errno{});
    EXPECT_EQ(ErrorOf(RemoveXattr(alice, file, "user.a")), Errno::kENODATA);
  });
}

}  // namespace
}  // namespace vfs
