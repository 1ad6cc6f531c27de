// Names that are removed, linked and renamed.

#include <gtest/gtest.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/stat.h>

#include "vfs/fs/overlay/test_util.h"

namespace overlay {
namespace {

TEST(OverlayNames, RemovedNamesStayRemoved) {
  RunOnFiber([] {
    Layered w;
    w.lower().WriteFile("/file", "1");
    w.lower().Mkdir("/dir");
    w.lower().WriteFile("/dir/inner", "2");
    EXPECT_EQ(ErrorOf(Rmdir(w->context, "/dir")), Errno::kENOTEMPTY);
    auto open = w->Open("/file", O_RDONLY).value();
    EXPECT_EQ(open->Stat()->nlink, 1u);
    CHECK_OK(Unlink(w->context, "/file"));
    EXPECT_EQ(open->Stat()->nlink, 0u);
    EXPECT_EQ(ReadAll(*open), "1");
    CHECK_OK(Unlink(w->context, "/dir/inner"));
    EXPECT_EQ(w->List("/dir"), Names{});
    CHECK_OK(Rmdir(w->context, "/dir"));
    EXPECT_EQ(w->List("/"), Names{});
    EXPECT_TRUE(w.IsWhiteoutInUpper("file"));
    EXPECT_TRUE(w.IsWhiteoutInUpper("dir"));
    open.reset();
    w.Mount();
    EXPECT_EQ(w->List("/"), Names{});
    EXPECT_EQ(ErrorOf(w->Stat("/file")), Errno::kENOENT);
    EXPECT_EQ(w.lower().List("/"), (Names{"dir", "file"}));
  });
}

TEST(OverlayNames, ANewDirectoryOverAWhiteoutIsOpaque) {
  RunOnFiber([] {
    Layered w;
    w.lower().Mkdir("/dir");
    w.lower().WriteFile("/dir/old", "");
    CHECK_OK(Unlink(w->context, "/dir/old"));
    CHECK_OK(Rmdir(w->context, "/dir"));
    w->Mkdir("/dir");
    EXPECT_EQ(w->List("/dir"), Names{});
    EXPECT_EQ(w.Upper("dir").value()->GetXattr("trusted.overlay.opaque").value(), "y");
    w->WriteFile("/dir/new", "");
    w.Mount();
    EXPECT_EQ(w->List("/dir"), Names{"new"});
    // Removed again, and something else made in its place.
    CHECK_OK(Unlink(w->context, "/dir/new"));
    CHECK_OK(Rmdir(w->context, "/dir"));
    EXPECT_EQ(w->List("/"), Names{});
    w->WriteFile("/dir", "a file");
    w.Mount();
    EXPECT_EQ(w->ReadFile("/dir"), "a file");
    CHECK_OK(Unlink(w->context, "/dir"));
    EXPECT_EQ(ErrorOf(w->Stat("/dir")), Errno::kENOENT);
    w.Mount();
    EXPECT_EQ(ErrorOf(w->Stat("/dir")), Errno::kENOENT);
  });
}

TEST(OverlayNames, WhatWasNeverBelowLeavesNothing) {
  RunOnFiber([] {
    Layered w;
    w.lower().Mkdir("/tmp");
    w->WriteFile("/tmp/new", "x");
    CHECK_OK(Unlink(w->context, "/tmp/new"));
    EXPECT_FALSE(w.Upper("tmp/new").ok());
    w->WriteFile("/tmp/again", "x");
    w.Mount();
    CHECK_OK(Unlink(w->context, "/tmp/again"));
    EXPECT_FALSE(w.Upper("tmp/again").ok());
    w->Mkdir("/tmp/dir");
    CHECK_OK(Rmdir(w->context, "/tmp/dir"));
    EXPECT_FALSE(w.Upper("tmp/dir").ok());
    w->WriteFile("/tmp/a", "x");
    CHECK_OK(Rename(*w, "/tmp/a", "/tmp/b"));
    EXPECT_FALSE(w.Upper("tmp/a").ok());
  });
}

TEST(OverlayNames, HardLinksOfLowerFiles) {
  RunOnFiber([] {
    Layered w;
    w.lower().WriteFile("/a", "one");
    CHECK_OK(Link(w.lower(), "/a", "/b"));
    CHECK_OK(Link(w.lower(), "/a", "/c"));
    EXPECT_EQ(w->Stat("/a")->nlink, 3u);
    uint64_t ino = w->Stat("/b")->ino;
    EXPECT_EQ(w->Stat("/a")->ino, ino);
    w->WriteFile("/a", "two");
    EXPECT_EQ(w->ReadFile("/b"), "two");
    EXPECT_EQ(w->Stat("/b")->nlink, 3u);
    w.fs->root_dentry()->DropChildren();
    EXPECT_EQ(w->ReadFile("/b"), "two");
    EXPECT_EQ(w->ReadFile("/a"), "two");
    EXPECT_EQ(w->Stat("/a")->ino, ino);
    CHECK_OK(Unlink(w->context, "/a"));
    EXPECT_EQ(w->Stat("/b")->nlink, 2u);
    w.fs->root_dentry()->DropChildren();
    EXPECT_EQ(w->ReadFile("/c"), "two");
    EXPECT_EQ(w->Stat("/c")->nlink, 2u);
    // A name that only the lower layer has moves.
    CHECK_OK(Rename(*w, "/b", "/d"));
    EXPECT_EQ(w->ReadFile("/d"), "two");
    EXPECT_EQ(w->Stat("/d")->ino, ino);
    EXPECT_EQ(w->Stat("/d")->nlink, 2u);
    CHECK_OK(Link(*w, "/d", "/e"));
    EXPECT_EQ(w->Stat("/c")->nlink, 3u);
    CHECK_OK(Unlink(w->context, "/c"));
    CHECK_OK(Unlink(w->context, "/d"));
    EXPECT_EQ(w->Stat("/e")->nlink, 1u);
    EXPECT_EQ(w->ReadFile("/e"), "two");
    EXPECT_EQ(w->List("/"), Names{"e"});
  });
}

TEST(OverlayNames, LinksToLowerFiles) {
  RunOnFiber([] {
    Layered w;
    w.lower().WriteFile("/file", "x");
    w.lower().WriteFile("/gone", "y");
    CHECK_OK(Unlink(w->context, "/gone"));
    CHECK_OK(Link(*w, "/file", "/gone"));
    EXPECT_EQ(w->ReadFile("/gone"), "x");
    EXPECT_EQ(w->Stat("/file")->nlink, 2u);
    EXPECT_EQ(w->Stat("/file")->ino, w->Stat("/gone")->ino);
    CHECK_OK(Unlink(w->context, "/gone"));
    EXPECT_TRUE(w.IsWhiteoutInUpper("gone"));
    EXPECT_EQ(w->Stat("/file")->nlink, 1u);
  });
}

TEST(OverlayNames, RenameOfFiles) {
  RunOnFiber([] {
    Layered w;
    w.lower().WriteFile("/a", "a");
    w.lower().WriteFile("/b", "b");
    w.lower().Mkdir("/dir");
    CHECK_OK(Rename(*w, "/a", "/dir/a"));
    EXPECT_EQ(w->ReadFile("/dir/a"), "a");
    EXPECT_TRUE(w.IsWhiteoutInUpper("a"));
    CHECK_OK(Rename(*w, "/dir/a", "/b"));
    EXPECT_EQ(w->ReadFile("/b"), "a");
    EXPECT_FALSE(w.Upper("dir/a").ok());
    CHECK_OK(Rename(*w, "/b", "/a"));
    EXPECT_TRUE(w.IsWhiteoutInUpper("b"));
    w.Mount();
    EXPECT_EQ(w->ReadFile("/a"), "a");
    EXPECT_EQ(w->List("/"), (Names{"a", "dir"}));
    EXPECT_EQ(ErrorOf(Rename(*w, "/a", "/x", RENAME_WHITEOUT)), Errno::kEINVAL);
    EXPECT_EQ(ErrorOf(Rename(*w, "/a", "/dir", RENAME_NOREPLACE)), Errno::kEEXIST);
  });
}

TEST(OverlayNames, RenameOfLowerDirectories) {
  RunOnFiber([] {
    Layered w;
    for (const char* name : {"/src", "/src/sub", "/src/sub/deep", "/dst"}) w.lower().Mkdir(name);
    w.lower().WriteFile("/src/file", "1");
    w.lower().WriteFile("/src/dead", "1");
    w.lower().WriteFile("/src/sub/file", "2");
    w.lower().WriteFile("/src/sub/deep/file", "3");
    CHECK_OK(Symlink(w.lower().context, "file", "/src/link"));
    CHECK_OK(Unlink(w->context, "/src/dead"));
    w->WriteFile("/src/sub/new", "4");
    auto open = w->Open("/src/sub/deep/file", O_RDONLY).value();
    CHECK_OK(Rename(*w, "/src", "/dst/moved"));
    EXPECT_EQ(ErrorOf(w->Stat("/src")), Errno::kENOENT);
    auto check = [&] {
      EXPECT_EQ(w->List("/dst/moved"), (Names{"file", "link", "sub"}));
      EXPECT_EQ(w->List("/dst/moved/sub"), (Names{"deep", "file", "new"}));
      EXPECT_EQ(w->ReadFile("/dst/moved/sub/deep/file"), "3");
      EXPECT_EQ(w->ReadFile("/dst/moved/link"), "1");
    };
    check();
    EXPECT_EQ(ReadAll(*open), "3");
    open.reset();
    w.Mount();
    check();
    // And back, to where the lower layer has something.
    CHECK_OK(Rename(*w, "/dst/moved", "/src"));
    EXPECT_EQ(w->List("/src"), (Names{"file", "link", "sub"}));
    w.Mount();
    EXPECT_EQ(w->List("/src"), (Names{"file", "link", "sub"}));
    EXPECT_EQ(w->List("/dst"), Names{});
    CHECK_OK(Unlink(w->context, "/src/sub/deep/file"));
    CHECK_OK(Rmdir(w->context, "/src/sub/deep"));
    w.Mount();
    EXPECT_EQ(w->List("/src/sub"), (Names{"file", "new"}));
  });
}

TEST(OverlayNames, RenameOverDirectories) {
  RunOnFiber([] {
    Layered w;
    w.lower().Mkdir("/full");
    w.lower().WriteFile("/full/file", "x");
    w.lower().Mkdir("/empty");
    w.lower().Mkdir("/emptied");
    w.lower().WriteFile("/emptied/file", "x");
    w->Mkdir("/new");
    w->WriteFile("/new/own", "y");
    EXPECT_EQ(ErrorOf(Rename(*w, "/new", "/full")), Errno::kENOTEMPTY);
    CHECK_OK(Rename(*w, "/new", "/empty"));
    EXPECT_EQ(w->List("/empty"), Names{"own"});
    CHECK_OK(Unlink(w->context, "/emptied/file"));
    CHECK_OK(Rename(*w, "/empty", "/emptied"));
    EXPECT_EQ(w->List("/emptied"), Names{"own"});
    EXPECT_EQ(w->List("/"), (Names{"emptied", "full"}));
    w.Mount();
    EXPECT_EQ(w->List("/emptied"), Names{"own"});
    EXPECT_EQ(w->List("/"), (Names{"emptied", "full"}));
  });
}

TEST(OverlayNames, Exchange) {
  RunOnFiber([] {
    Layered w;
    w.lower().WriteFile("/a", "a");
    w.lower().Mkdir("/d");
    w.lower().WriteFile("/d/inner", "i");
    w->WriteFile("/u", "u");
    CHECK_OK(Rename(*w, "/a", "/d", RENAME_EXCHANGE));
    EXPECT_EQ(w->ReadFile("/d"), "a");
    EXPECT_EQ(w->ReadFile("/a/inner"), "i");
    CHECK_OK(Rename(*w, "/d", "/u", RENAME_EXCHANGE));
    EXPECT_EQ(w->ReadFile("/u"), "a");
    EXPECT_EQ(w->ReadFile("/d"), "u");
    w.Mount();
    EXPECT_EQ(w->List("/"), (Names{"a", "d", "u"}));
    EXPECT_EQ(w->List("/a"), Names{"inner"});
    CHECK_OK(Unlink(w->context, "/d"));
    w.Mount();
    EXPECT_EQ(w->List("/"), (Names{"a", "u"}));
  });
}

TEST(OverlayNames, ARemovedDirectoryIsEmptyToThoseWhoAreInIt) {
  RunOnFiber([] {
    Layered w;
    w.lower().Mkdir("/dir");
    w.lower().WriteFile("/dir/file", "x");
    auto dir = w->Open("/dir", O_RDONLY | O_DIRECTORY).value();
    CHECK_OK(Unlink(w->context, "/dir/file"));
    CHECK_OK(Rmdir(w->context, "/dir"));
    EXPECT_EQ(ErrorOf(dir->ReadDir([](const DirectoryEntry&) { return true; })), Errno::kENOENT);
    WalkContext inside = w->context;
    inside.start = dir->path();
    EXPECT_EQ(ErrorOf(Walk(inside, "file", 0)), Errno::kENOENT);
    EXPECT_EQ(ErrorOf(vfs::Open(inside, "new", O_WRONLY | O_CREAT, 0644)), Errno::kENOENT);
    EXPECT_EQ(dir->Stat()->nlink, 0u);
  });
}

TEST(OverlayNames, AFullUpperLayerUncoversNothing) {
  RunOnFiber([] {
    Layered w;
    w.lower().WriteFile("/file", "below");
    w.lower().WriteFile("/other", "below");
    w->WriteFile("/file", "above");
    CHECK_OK(w.upper_fs->Remount(0, "nr_inodes=2"));
    EXPECT_EQ(ErrorOf(Unlink(w->context, "/file")), Errno::kENOSPC);
    EXPECT_EQ(ErrorOf(Rename(*w, "/file", "/other")), Errno::kENOSPC);
    EXPECT_EQ(ErrorOf(Unlink(w->context, "/other")), Errno::kENOSPC);
    EXPECT_EQ(ErrorOf(w->Open("/other", O_WRONLY)), Errno::kENOSPC);
    EXPECT_EQ(w->ReadFile("/file"), "above");
    EXPECT_EQ(w->ReadFile("/other"), "below");
    EXPECT_EQ(w->List("/"), (Names{"file", "other"}));
  });
}

}  // namespace
}  // namespace overlay
