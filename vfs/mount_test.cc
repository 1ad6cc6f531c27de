#include "vfs/mount.h"

#include <gtest/gtest.h>

#include "vfs/fs/tmpfs/tmpfs.h"
#include "vfs/testing/world.h"

namespace vfs {
namespace {

RefPtr<FileSystem> NewTmpfs() {
  auto creds = MakeRef<Credentials>();
  return tmpfs::TmpFileSystem::Create("tmpfs", "", *creds).value();
}

Errno UnmountError(World& w, std::string_view name, int flags = 0) { return ErrorOf(Unmount(w.context, w.Place(name), flags)); }

struct Tree : World {
  Tree() : World(NewTmpfs()) {
    Mkdir("/a");
    Mkdir("/a/b");
    Mkdir("/c");
    WriteFile("/file", "root's");
  }
  void MountTmpfs(std::string_view name, unsigned long flags = 0) {
    CHECK_OK(MountFs(context, NewTmpfs(), Place(name), flags));
  }
};

TEST(MountTest, CoversStacksAndUncovers) {
  RunOnFiber([] {
    Tree w;
    w.MountTmpfs("/a");
    EXPECT_TRUE(w.List("/a").empty());
    w.WriteFile("/a/one", "1");
    w.MountTmpfs("/a");
    EXPECT_TRUE(w.List("/a").empty());
    EXPECT_EQ(w.Stat("/a/..")->ino, w.Stat("/")->ino);
    EXPECT_EQ(w.ns->List().size(), 3u);
    EXPECT_EQ(UnmountError(w, "/a"), Errno{});
    EXPECT_EQ(w.List("/a"), std::vector<std::string>{"one"});
    EXPECT_EQ(UnmountError(w, "/a"), Errno{});
    EXPECT_EQ(w.List("/a"), std::vector<std::string>{"b"});
    EXPECT_EQ(UnmountError(w, "/a"), Errno::kEINVAL);  // no mount point
    EXPECT_EQ(UnmountError(w, "/"), Errno::kEINVAL);
  });
}

TEST(MountTest, BusyMounts) {
  RunOnFiber([] {
    Tree w;
    w.MountTmpfs("/a");
    w.WriteFile("/a/file", "x");
    RefPtr<FileDescription> file = w.Open("/a/file", O_RDONLY).value();
    EXPECT_EQ(UnmountError(w, "/a"), Errno::kEBUSY);
    w.Mkdir("/a/sub");
    w.MountTmpfs("/a/sub");
    EXPECT_EQ(ErrorOf(Rmdir(w.context, "/a/sub")), Errno::kEBUSY);
    EXPECT_EQ(ErrorOf(Rename(w.context, "/a/sub", w.context, "/a/x", 0)), Errno::kEBUSY);
    EXPECT_EQ(ErrorOf(Rename(w.context, "/a/file", w.context, "/file", 0)), Errno::kEXDEV);
    EXPECT_EQ(ErrorOf(Link(w.context, w.Place("/a/file"), w.context, "/link")), Errno::kEXDEV);
    file.reset();
    EXPECT_EQ(UnmountError(w, "/a"), Errno::kEBUSY);  // a mount on it
    file = w.Open("/a/file", O_RDONLY).value();
    EXPECT_EQ(UnmountError(w, "/a", MNT_DETACH), Errno{});
    EXPECT_EQ(w.List("/a"), std::vector<std::string>{"b"});
    EXPECT_EQ(ReadAll(*file), "x");
    EXPECT_EQ(w.ns->List().size(), 1u);
    w.MountTmpfs("/c");
    EXPECT_EQ(UnmountError(w, "/c", MNT_EXPIRE), Errno::kEAGAIN);
    EXPECT_EQ(UnmountError(w, "/c", MNT_EXPIRE), Errno{});
  });
}

TEST(MountTest, BindMounts) {
  RunOnFiber([] {
    Tree w;
    w.WriteFile("/a/b/x", "x");
    w.MountTmpfs("/a/b");
    w.WriteFile("/a/b/y", "y");
    EXPECT_EQ(ErrorOf(BindMount(w.context, w.Place("/a"), w.Place("/c"), MS_BIND)), Errno{});
    EXPECT_EQ(w.List("/c/b"), std::vector<std::string>{"x"});
    EXPECT_EQ(UnmountError(w, "/c"), Errno{});
    EXPECT_EQ(ErrorOf(BindMount(w.context, w.Place("/a"), w.Place("/c"), MS_BIND | MS_REC)), Errno{});
    EXPECT_EQ(w.List("/c/b"), std::vector<std::string>{"y"});
    EXPECT_EQ(w.Stat("/c/b/..")->ino, w.Stat("/a")->ino);
    EXPECT_EQ(PathName(w.Place("/c/b"), w.context.root), "/c/b");
    EXPECT_EQ(ErrorOf(BindMount(w.context, w.Place("/file"), w.Place("/c"), MS_BIND)), Errno::kENOTDIR);
    // One file over another, read-only.
    w.WriteFile("/target", "t");
    EXPECT_EQ(ErrorOf(BindMount(w.context, w.Place("/file"), w.Place("/target"), MS_BIND)), Errno{});
    EXPECT_EQ(w.ReadFile("/target"), "root's");
    EXPECT_EQ(ErrorOf(Remount(w.context, w.Place("/target"), MS_REMOUNT | MS_BIND | MS_RDONLY, "")), Errno{});
    EXPECT_EQ(ErrorOf(w.Open("/target", O_WRONLY)), Errno::kEROFS);
    EXPECT_EQ(ErrorOf(w.Open("/file", O_WRONLY)), Errno{});
    EXPECT_EQ(ErrorOf(Unlink(w.context, "/target")), Errno::kEBUSY);
    EXPECT_EQ(ErrorOf(Remount(w.context, w.Place("/a"), MS_REMOUNT | MS_RDONLY, "")), Errno::kEINVAL);
  });
}

TEST(MountTest, RemountOfTheFileSystem) {
  RunOnFiber([] {
    Tree w;
    w.MountTmpfs("/a");
    EXPECT_EQ(ErrorOf(BindMount(w.context, w.Place("/a"), w.Place("/c"), MS_BIND)), Errno{});
    EXPECT_EQ(ErrorOf(Remount(w.context, w.Place("/a"), MS_REMOUNT | MS_RDONLY, "size=1m")), Errno{});
    EXPECT_EQ(ErrorOf(Mkdir(w.context, "/a/x", 0755)), Errno::kEROFS);
    EXPECT_EQ(ErrorOf(Mkdir(w.context, "/c/x", 0755)), Errno::kEROFS);
    EXPECT_EQ(w.Place("/c").mount->fs()->MountOptions(), "size=1024k");
    EXPECT_EQ(ErrorOf(Remount(w.context, w.Place("/a"), MS_REMOUNT, "")), Errno{});
    EXPECT_EQ(ErrorOf(Mkdir(w.context, "/c/x", 0755)), Errno{});
  });
}

TEST(MountTest, MovesATree) {
  RunOnFiber([] {
    Tree w;
    w.MountTmpfs("/a");
    w.Mkdir("/a/sub");
    w.MountTmpfs("/a/sub");
    w.WriteFile("/a/sub/x", "x");
    EXPECT_EQ(ErrorOf(MoveMount(w.context, w.Place("/c"), w.Place("/a"))), Errno::kEINVAL);
    EXPECT_EQ(ErrorOf(MoveMount(w.context, w.Place("/a"), w.Place("/a/sub"))), Errno::kELOOP);
    EXPECT_EQ(ErrorOf(MoveMount(w.context, w.Place("/a"), w.Place("/c"))), Errno{});
    EXPECT_EQ(w.ReadFile("/c/sub/x"), "x");
    EXPECT_EQ(w.List("/a"), std::vector<std::string>{"b"});
  });
}

TEST(MountTest, NamespacesAreCopies) {
  RunOnFiber([] {
    Tree w;
    w.MountTmpfs("/a");
    w.Mkdir("/a/in");
    RefPtr<MountNamespace> copy = w.ns->Clone();
    Path inside = TranslatePath(w.Place("/a/in"), *w.ns, *copy);
    EXPECT_NE(inside.mount, w.Place("/a/in").mount);
    EXPECT_EQ(inside.mount->ns, copy.get());
    EXPECT_EQ(inside.dentry, w.Place("/a/in").dentry);
    inside = Path{};
    EXPECT_EQ(UnmountError(w, "/a"), Errno{});
    WalkContext there = w.context;
    there.root = there.start = copy->RootPath();
    EXPECT_EQ(ErrorOf(Walk(there, "/a/in", 0)), Errno{});
    // A name that is a mount point elsewhere can go; the mount goes with it.
    WalkContext here = w.context;
    EXPECT_EQ(ErrorOf(Rmdir(there, "/a")), Errno::kEBUSY);
    EXPECT_EQ(ErrorOf(Rmdir(here, "/a/b")), Errno{});
    EXPECT_EQ(ErrorOf(Rmdir(here, "/a")), Errno{});
    EXPECT_EQ(ErrorOf(Walk(there, "/a", 0)), Errno::kENOENT);
    EXPECT_EQ(copy->List().size(), 1u);
  });
}

TEST(MountTest, Propagation) {
  RunOnFiber([] {
    Tree w;
    SetPropagation(*w.ns->root(), MS_SHARED, true);
    RefPtr<MountNamespace> peer = w.ns->Clone();
    RefPtr<MountNamespace> slave = w.ns->Clone();
    SetPropagation(*slave->root(), MS_SLAVE, true);
    RefPtr<MountNamespace> apart = w.ns->Clone();
    SetPropagation(*apart->root(), MS_PRIVATE, true);
    w.MountTmpfs("/a");
    w.WriteFile("/a/x", "x");
    EXPECT_EQ(peer->List().size(), 2u);
    EXPECT_EQ(slave->List().size(), 2u);
    EXPECT_EQ(apart->List().size(), 1u);
    EXPECT_EQ(peer->List()[1]->peer_group, w.ns->List()[1]->peer_group);
    EXPECT_EQ(slave->List()[1]->master_group, w.ns->List()[1]->peer_group);
    // Down to the slave, not up from it.
    WalkContext in_slave = w.context;
    in_slave.root = in_slave.start = slave->RootPath();
    CHECK_OK(MountFs(in_slave, NewTmpfs(), Walk(in_slave, "/c", 0).value(), 0));
    EXPECT_EQ(w.ns->List().size(), 2u);
    EXPECT_EQ(slave->List().size(), 3u);
    EXPECT_EQ(UnmountError(w, "/a"), Errno{});
    EXPECT_EQ(peer->List().size(), 1u);
    EXPECT_EQ(slave->List().size(), 2u);
    // Unbindable ones stay out of copies.
    SetPropagation(*w.ns->root(), MS_PRIVATE, true);
    w.MountTmpfs("/a");
    CHECK_OK(ChangePropagation(w.context, w.Place("/a"), MS_UNBINDABLE));
    EXPECT_EQ(ErrorOf(BindMount(w.context, w.Place("/a"), w.Place("/c"), MS_BIND)), Errno::kEINVAL);
    EXPECT_EQ(ErrorOf(ChangePropagation(w.context, w.Place("/c"), MS_SHARED)), Errno::kEINVAL);
    EXPECT_EQ(ErrorOf(ChangePropagation(w.context, w.Place("/a"), MS_SHARED | MS_PRIVATE)), Errno::kEINVAL);
  });
}

TEST(MountTest, PivotRoot) {
  RunOnFiber([] {
    Tree w;
    w.MountTmpfs("/a");
    w.Mkdir("/a/old");
    EXPECT_EQ(ErrorOf(w.ns->PivotRoot(w.Place("/c"), w.Place("/c"))), Errno::kEBUSY);
    EXPECT_EQ(ErrorOf(w.ns->PivotRoot(w.Place("/a"), w.Place("/c"))), Errno::kEBUSY);
    EXPECT_EQ(ErrorOf(w.ns->PivotRoot(w.Place("/a/old"), w.Place("/a"))), Errno::kEINVAL);
    EXPECT_EQ(ErrorOf(w.ns->PivotRoot(w.Place("/a"), w.Place("/a/old"))), Errno{});
    w.context.root = w.context.start = w.ns->RootPath();
    EXPECT_EQ(w.List("/"), std::vector<std::string>{"old"});
    EXPECT_EQ(w.ReadFile("/old/file"), "root's");
    EXPECT_EQ(w.Stat("/old/..")->ino, w.Stat("/")->ino);
    EXPECT_EQ(UnmountError(w, "/old", MNT_DETACH), Errno{});
    EXPECT_TRUE(w.List("/old").empty());

    // pivot_root(".", "."), then unmounting what is on top.
    Tree v;
    v.MountTmpfs("/a");
    v.WriteFile("/a/here", "x");
    EXPECT_EQ(ErrorOf(v.ns->PivotRoot(v.Place("/a"), v.Place("/a"))), Errno{});
    v.context.root = v.context.start = v.ns->RootPath();
    Path old = MountNamespace::TopOf(v.ns->RootPath());
    EXPECT_NE(old, v.ns->RootPath());
    EXPECT_EQ(ErrorOf(Unmount(v.context, old, MNT_DETACH)), Errno{});
    EXPECT_EQ(v.List("/"), std::vector<std::string>{"here"});
  });
}

}  // namespace
}  // namespace vfs
