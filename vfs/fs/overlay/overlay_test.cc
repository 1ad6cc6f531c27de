// What an overlay shows, and how files are copied up.

#include <dirent.h>
#include <gtest/gtest.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "vfs/fs/overlay/test_util.h"

namespace overlay {
namespace {

TEST(Overlay, ShowsTheLowerLayer) {
  RunOnFiber([] {
    Layered w;
    w.lower().Mkdir("/dir");
    w.lower().WriteFile("/dir/file", "below");
    CHECK_OK(Symlink(w.lower().context, "dir/file", "/link"));
    EXPECT_EQ(w->ReadFile("/dir/file"), "below");
    EXPECT_EQ(w->ReadFile("/link"), "below");
    EXPECT_EQ(w->List("/"), (Names{"dir", "link"}));
    EXPECT_EQ(w->List("/dir"), Names{"file"});
    Attributes attr = w->Stat("/dir/file").value();
    EXPECT_EQ(attr.dev, w.fs->dev());
    EXPECT_EQ(attr.ino, w.lower().Stat("/dir/file")->ino);
    EXPECT_EQ(w->Open("/dir/file", O_RDONLY).value()->Stat()->ino, attr.ino);
    EXPECT_EQ(w->Open("/dir/file", O_RDONLY).value()->Stat()->dev, w.fs->dev());
    EXPECT_EQ(ErrorOf(w->Stat("/none")), Errno::kENOENT);
    EXPECT_FALSE(w.Upper("dir").ok());
  });
}

TEST(Overlay, WritingCopiesUp) {
  RunOnFiber([] {
    Layered w;
    w.lower().Mkdir("/a", 0751);
    w.lower().Mkdir("/a/b", 0700);
    std::string content(1'000'000, 'x');
    w.lower().WriteFile("/a/b/file", content);
    CHECK_OK(SetXattr(w.lower().context, w.lower().Place("/a/b/file"), "user.kept", "yes", 0));
    CHECK_OK(SetXattr(w.lower().context, w.lower().Place("/a"), "user.dir", "too", 0));
    SetAttributes changes{.valid = SetAttributes::kUid | SetAttributes::kGid |
                                   SetAttributes::kMode | SetAttributes::kAtime |
                                   SetAttributes::kMtime,
                          .mode = 04751,
                          .uid = 7,
                          .gid = 8,
                          .atime = 1000,
                          .mtime = 2000};
    CHECK_OK(w.lower().Place("/a/b/file").inode().SetAttr(changes));
    changes.mode = 0751;
    CHECK_OK(w.lower().Place("/a").inode().SetAttr(changes));
    CHECK_OK(w.lower().Place("/a/b").inode().SetAttr(changes));
    Attributes before = w->Stat("/a/b/file").value();
    Attributes dir_before = w->Stat("/a/b").value();
    {
      auto file = w->Open("/a/b/file", O_WRONLY).value();
      Attributes now = file->Stat().value();
      EXPECT_EQ(now.ino, before.ino);
      EXPECT_EQ(now.dev, before.dev);
      EXPECT_EQ(now.mode, before.mode);
      EXPECT_EQ(now.mtime, 2000);
      EXPECT_EQ(now.atime, 1000);
      EXPECT_EQ(now.size, content.size());
      EXPECT_EQ(now.nlink, 1u);
      file->set_offset(500'000);
      EXPECT_EQ(WriteAll(*file, "new"), 3u);
    }
    content.replace(500'000, 3, "new");
    EXPECT_TRUE(w->ReadFile("/a/b/file") == content);
    EXPECT_TRUE(w.lower().ReadFile("/a/b/file") == std::string(1'000'000, 'x'));
    EXPECT_EQ(w->Stat("/a/b/file")->uid, 7u);
    EXPECT_EQ(w->Stat("/a/b/file")->gid, 8u);
    EXPECT_EQ(GetXattr(w->context, w->Place("/a/b/file"), "user.kept").value(), "yes");
    EXPECT_EQ(GetXattr(w->context, w->Place("/a"), "user.dir").value(), "too");
    Attributes dir = w->Stat("/a/b").value();
    EXPECT_EQ(dir.ino, dir_before.ino);
    EXPECT_EQ(dir.mode, dir_before.mode);
    EXPECT_EQ(dir.uid, 7u);
    EXPECT_EQ(dir.mtime, 2000);  // a copy is no change of the directory
    EXPECT_EQ(w.Upper("a").value()->Stat()->mode & 07777, 0751u);
  });
}

TEST(Overlay, HolesAndTruncation) {
  RunOnFiber([] {
    Layered w;
    auto file = w.lower().Open("/sparse", O_RDWR | O_CREAT).value();
    file->set_offset(5'000'000);
    WriteAll(*file, "end");
    CHECK_OK(file->Truncate(9'000'000));
    CHECK_OK(Chmod(*w, "/sparse", 0600));
    std::string content = w->ReadFile("/sparse");
    EXPECT_EQ(content.size(), 9'000'000u);
    EXPECT_EQ(content.substr(5'000'000, 3), "end");
    EXPECT_LE(w.Upper("sparse").value()->Stat()->blocks, 1000u);

    w.lower().WriteFile("/big", std::string(2'000'000, 'b'));
    CHECK_OK(Truncate(w->Place("/big"), 3));
    EXPECT_EQ(w->ReadFile("/big"), "bbb");
    w.lower().WriteFile("/short", "s");
    CHECK_OK(Truncate(w->Place("/short"), 4));
    EXPECT_EQ(w->ReadFile("/short"), std::string("s\0\0\0", 4));
    w.lower().WriteFile("/gone", "text");
    (void)w->Open("/gone", O_WRONLY | O_TRUNC).value();
    EXPECT_EQ(w->ReadFile("/gone"), "");
    EXPECT_EQ(w.lower().ReadFile("/gone"), "text");
  });
}

TEST(Overlay, AFileOpenBeforeItIsCopiedUpSeesTheCopy) {
  RunOnFiber([] {
    Layered w;
    w.lower().WriteFile("/log", "old");
    auto reader = w->Open("/log", O_RDONLY).value();
    EXPECT_EQ(ReadAll(*reader), "old");
    auto writer = w->Open("/log", O_WRONLY | O_APPEND).value();
    EXPECT_EQ(WriteAll(*writer, " new"), 4u);
    EXPECT_EQ(ReadAll(*reader), " new");
    EXPECT_EQ(*reader->Seek(0, SEEK_END), 7);
    EXPECT_EQ(*reader->Seek(0, SEEK_DATA), 0);
  });
}

TEST(Overlay, MergedListing) {
  RunOnFiber([] {
    Layered w(3);
    for (auto& lower : w.lowers) lower->Mkdir("/dir");
    w.lowers[0]->WriteFile("/dir/top", "0");
    w.lowers[0]->WriteFile("/dir/both", "0");
    w.lowers[1]->WriteFile("/dir/both", "1");
    w.lowers[1]->WriteFile("/dir/middle", "1");
    w.lowers[1]->Mkdir("/dir/opaque");
    w.lowers[1]->WriteFile("/dir/opaque/in", "1");
    CHECK_OK(w.lowers[1]->Place("/dir/opaque").inode().SetXattr("trusted.overlay.opaque", "y", 0));
    w.lowers[2]->Mkdir("/dir/opaque");
    w.lowers[2]->WriteFile("/dir/opaque/out", "2");
    w.lowers[2]->WriteFile("/dir/hidden", "2");
    w.lowers[2]->WriteFile("/dir/bottom", "2");
    CHECK_OK(Mknod(w.lowers[1]->context, "/dir/hidden", S_IFCHR, 0));
    w->WriteFile("/dir/new", "u");
    EXPECT_EQ(w->List("/dir"), (Names{"both", "bottom", "middle", "new", "opaque", "top"}));
    EXPECT_EQ(w->ReadFile("/dir/both"), "0");
    EXPECT_EQ(ErrorOf(w->Stat("/dir/hidden")), Errno::kENOENT);
    EXPECT_EQ(w->List("/dir/opaque"), Names{"in"});
    EXPECT_EQ(w->Stat("/dir")->nlink, 1u);

    // Offsets and contents hold while it is open; numbers are those that stat tells.
    auto dir = w->Open("/dir", O_RDONLY | O_DIRECTORY).value();
    Names seen;
    auto read_one = [&] {
      bool got = false;
      CHECK_OK(dir->ReadDir([&](const DirectoryEntry& entry) {
        if (got) return false;
        got = true;
        seen.emplace_back(entry.name);
        if (entry.name != "." && entry.name != "..") {
          Result<Attributes> attr = w->Stat("/dir/" + seen.back());
          if (attr.ok()) {
            EXPECT_EQ(attr->ino, entry.ino) << seen.back();
            EXPECT_EQ((attr->mode & S_IFMT) >> 12, entry.type) << seen.back();
          }
        }
        return true;
      }));
      return got;
    };
    read_one();
    read_one();
    CHECK_OK(Unlink(w->context, "/dir/both"));
    w->WriteFile("/dir/late", "");
    while (read_one()) {
    }
    std::sort(seen.begin(), seen.end());
    EXPECT_EQ(seen, (Names{".", "..", "both", "bottom", "middle", "new", "opaque", "top"}));
    CHECK_OK(dir->Seek(0, SEEK_SET));
    seen.clear();
    while (read_one()) {
    }
    std::sort(seen.begin(), seen.end());
    EXPECT_EQ(seen, (Names{".", "..", "bottom", "late", "middle", "new", "opaque", "top"}));
  });
}

TEST(Overlay, NumbersAreStable) {
  RunOnFiber([] {
    Layered w;
    w.lower().WriteFile("/file", "x");
    w.lower().Mkdir("/dir");
    w.lower().WriteFile("/dir/f", "x");
    uint64_t file = w->Stat("/file")->ino, dir = w->Stat("/dir")->ino;
    CHECK_OK(Chmod(*w, "/file", 0600));
    CHECK_OK(Chmod(*w, "/dir", 0700));
    CHECK_OK(Rename(*w, "/file", "/moved"));
    EXPECT_EQ(w->Stat("/moved")->ino, file);
    EXPECT_EQ(w->Stat("/dir")->ino, dir);
    // Also when nobody remembers the inode.
    w.fs->root_dentry()->DropChildren();
    EXPECT_EQ(w->Stat("/moved")->ino, file);
    EXPECT_EQ(w->Stat("/dir")->ino, dir);
    w->WriteFile("/new", "");
    uint64_t ino = w->Stat("/new")->ino;
    EXPECT_NE(ino, file);
    w.fs->root_dentry()->DropChildren();
    EXPECT_EQ(w->Stat("/new")->ino, ino);
    CHECK_OK(Rename(*w, "/dir", "/dir2"));
    EXPECT_EQ(w->Stat("/dir2")->ino, dir);
  });
}

TEST(Overlay, SpecialFilesAndLinksCopyUp) {
  RunOnFiber([] {
    Layered w;
    CHECK_OK(Mknod(w.lower().context, "/fifo", S_IFIFO | 0600, 0));
    CHECK_OK(Mknod(w.lower().context, "/null", S_IFCHR | 0666, makedev(1, 3)));
    CHECK_OK(Symlink(w.lower().context, "target", "/link"));
    uint64_t ino = w->Stat("/fifo")->ino;
    CHECK_OK(Chmod(*w, "/fifo", 0644));
    CHECK_OK(Chmod(*w, "/null", 0600));
    SetAttributes owner{.valid = SetAttributes::kUid, .uid = 5};
    CHECK_OK(SetAttr(w->context, w->Place("/link", 0), owner));
    EXPECT_EQ(w->Stat("/fifo")->mode, S_IFIFO | 0644u);
    EXPECT_EQ(w->Stat("/fifo")->ino, ino);
    EXPECT_EQ(w->Stat("/null")->rdev, makedev(1, 3));
    EXPECT_EQ(w->Stat("/link", 0)->uid, 5u);
    EXPECT_EQ(ReadLink(w->context, "/link", 0).value(), "target");
    EXPECT_EQ(S_IFIFO, w.Upper("fifo").value()->type());
    EXPECT_EQ(ErrorOf(Mknod(w->context, "/white", S_IFCHR, 0)), Errno::kEPERM);
    EXPECT_EQ(w->List("/"), (Names{"fifo", "link", "null"}));
  });
}

TEST(Overlay, WhatIsBoundToAFileStays) {
  RunOnFiber([] {
    Layered w;
    CHECK_OK(Mknod(w->context, "/socket", S_IFSOCK | 0600, 0));
    auto bound = MakeRef<Credentials>();  // any object
    w->Place("/socket").inode().attached = bound;
    CHECK_OK(Chmod(*w, "/socket", 0777));
    w.fs->root_dentry()->DropChildren();
    EXPECT_TRUE(w->Place("/socket").inode().attached == bound.get());
    CHECK_OK(Rename(*w, "/socket", "/other"));
    EXPECT_TRUE(w->Place("/other").inode().attached == bound.get());
    CHECK_OK(Mknod(w.lower().context, "/below", S_IFSOCK | 0600, 0));
    w->Place("/below").inode().attached = bound;
    CHECK_OK(Chmod(*w, "/below", 0777));
    EXPECT_TRUE(w->Place("/below").inode().attached == bound.get());
  });
}

TEST(Overlay, UnnamedFiles) {
  RunOnFiber([] {
    Layered w;
    w.lower().Mkdir("/tmp");
    auto file = w->Open("/tmp", O_TMPFILE | O_RDWR).value();
    WriteAll(*file, "unnamed");
    CHECK_OK(vfs::Link(w->context, file->path(), w->context, "/tmp/named"));
    EXPECT_EQ(w->ReadFile("/tmp/named"), "unnamed");
    EXPECT_EQ(file->Stat()->nlink, 1u);
    // A removed lower file can still be changed by those who have it open.
    w.lower().WriteFile("/removed", "x");
    auto open = w->Open("/removed", O_RDONLY).value();
    CHECK_OK(Unlink(w->context, "/removed"));
    SetAttributes mode{.valid = SetAttributes::kMode, .mode = 0600};
    CHECK_OK(SetAttr(w->context, open->path(), mode));
    EXPECT_EQ(open->Stat()->mode & 07777, 0600u);
    EXPECT_EQ(open->Stat()->nlink, 0u);
    EXPECT_EQ(ReadAll(*open), "x");
    EXPECT_EQ(w->List("/"), Names{"tmp"});
  });
}

TEST(Overlay, ExtendedAttributes) {
  RunOnFiber([] {
    Layered w;
    w.lower().WriteFile("/file", "x");
    CHECK_OK(SetXattr(w.lower().context, w.lower().Place("/file"), "user.a", "1", 0));
    EXPECT_EQ(GetXattr(w->context, w->Place("/file"), "user.a").value(), "1");
    EXPECT_EQ(ErrorOf(RemoveXattr(w->context, w->Place("/file"), "user.none")), Errno::kENODATA);
    EXPECT_FALSE(w.Upper("file").ok());
    CHECK_OK(SetXattr(w->context, w->Place("/file"), "user.b", "2", 0));
    CHECK_OK(RemoveXattr(w->context, w->Place("/file"), "user.a"));
    EXPECT_EQ(ListXattr(w->context, w->Place("/file")).value(), Names{"user.b"});
    EXPECT_EQ(GetXattr(w.lower().context, w.lower().Place("/file"), "user.a").value(), "1");
    w->Mkdir("/dir");
    EXPECT_EQ(ListXattr(w->context, w->Place("/dir")).value(), Names{});
    EXPECT_EQ(ErrorOf(GetXattr(w->context, w->Place("/dir"), "trusted.overlay.opaque")),
              Errno::kEOPNOTSUPP);
    EXPECT_EQ(ErrorOf(SetXattr(w->context, w->Place("/dir"), "trusted.overlay.opaque", "y", 0)),
              Errno::kEOPNOTSUPP);
  });
}

TEST(Overlay, WithoutAnUpperLayerNothingChanges) {
  RunOnFiber([] {
    RefPtr<FileSystem> a = NewTmpfs(), b = NewTmpfs();
    {
      World wa(a), wb(b);
      wa.WriteFile("/a", "a");
      wb.WriteFile("/b", "b");
    }
    Options options{.lowers = {a->root(), b->root()}, .layers = {a, b}};
    World w(CreateOverlay(std::move(options)).value());
    EXPECT_EQ(w.List("/"), (Names{"a", "b"}));
    EXPECT_EQ(ErrorOf(w.Open("/a", O_WRONLY)), Errno::kEROFS);
    EXPECT_EQ(ErrorOf(w.Open("/c", O_WRONLY | O_CREAT)), Errno::kEROFS);
    EXPECT_EQ(ErrorOf(Unlink(w.context, "/a")), Errno::kEROFS);
    EXPECT_EQ(ErrorOf(Chmod(w, "/a", 0)), Errno::kEROFS);
    EXPECT_EQ(ErrorOf(CreateOverlay({})), Errno::kEINVAL);
  });
}

TEST(Overlay, StatFs) {
  RunOnFiber([] {
    Layered w;
    struct statfs st = w.fs->StatFs().value();
    EXPECT_EQ(st.f_type, OVERLAYFS_SUPER_MAGIC);
    EXPECT_EQ(st.f_blocks, w.upper_fs->StatFs()->f_blocks);
  });
}

TEST(Overlay, ExecutedFilesAreNotWritten) {
  RunOnFiber([] {
    Layered w;
    w.lower().WriteFile("/program", "x");
    Path place = w->Place("/program");
    CHECK_OK(DenyWriteAccess(place.inode()));
    EXPECT_EQ(ErrorOf(w->Open("/program", O_WRONLY)), Errno::kETXTBSY);
    AllowWriteAccess(place.inode());
    auto writer = w->Open("/program", O_WRONLY).value();
    EXPECT_EQ(ErrorOf(DenyWriteAccess(place.inode())), Errno::kETXTBSY);
  });
}

}  // namespace
}  // namespace overlay
