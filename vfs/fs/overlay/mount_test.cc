// Overlays made by mount(2).

#include <gtest/gtest.h>
#include <stdio.h>

#include "vfs/file_system_type.h"
#include "vfs/fs/overlay/test_util.h"

namespace overlay {
namespace {

class Host {
 public:
  Host() : world_(NewTmpfs()) {
    RegisterOverlay();
    for (const char* name : {"/lower", "/low:er2", "/upper", "/work", "/merged"})
      world_.Mkdir(name);
  }
  Result<RefPtr<FileSystem>> Create(std::string options) {
    return FindFileSystemType("overlay")->create(MountRequest{
        .context = world_.context, .source = "overlay", .flags = 0, .options = std::move(options)});
  }
  Result<void> Mount(std::string options) {
    return MountFs(world_.context, TRY(Create(std::move(options))), world_.Place("/merged"), 0);
  }
  World* operator->() { return &world_; }

 private:
  World world_;
};

TEST(OverlayMount, Options) {
  RunOnFiber([] {
    Host h;
    EXPECT_TRUE(h.Create("lowerdir=/lower,upperdir=/upper,workdir=/work").ok());
    EXPECT_TRUE(h.Create("lowerdir=/lower:/low\\:er2").ok());
    EXPECT_TRUE(
        h.Create("lowerdir=/lower,upperdir=/upper,workdir=/work,index=off,xino=auto,volatile")
            .ok());
    EXPECT_EQ(ErrorOf(h.Create("")), Errno::kEINVAL);
    EXPECT_EQ(ErrorOf(h.Create("lowerdir=/lower")), Errno::kEINVAL);
    EXPECT_EQ(ErrorOf(h.Create("lowerdir=/lower,upperdir=/upper")), Errno::kEINVAL);
    EXPECT_EQ(ErrorOf(h.Create("lowerdir=/lower,upperdir=/upper,workdir=/upper")), Errno::kEINVAL);
    EXPECT_EQ(ErrorOf(h.Create("lowerdir=/lower:/none")), Errno::kENOENT);
    EXPECT_EQ(ErrorOf(h.Create("lowerdir=/lower,upperdir=/upper,workdir=/work,what=1")),
              Errno::kEINVAL);
    h->WriteFile("/file", "");
    EXPECT_EQ(ErrorOf(h.Create("lowerdir=/file:/lower")), Errno::kENOTDIR);
  });
}

TEST(OverlayMount, LayersAreSeenThroughBothMounts) {
  RunOnFiber([] {
    Host h;
    h->WriteFile("/lower/file", "below");
    h->Mkdir("/lower/dir");
    CHECK_OK(h.Mount("lowerdir=/lower,upperdir=/upper,workdir=/work"));
    // What the upper layer's own cache knows is kept up to date.
    for (const char* name : {"/upper/file", "/upper/new", "/upper/dir", "/upper/dir2"}) {
      EXPECT_EQ(ErrorOf(h->Stat(name)), Errno::kENOENT);
    }
    h->WriteFile("/merged/file", "above");
    h->WriteFile("/merged/new", "new");
    h->WriteFile("/merged/dir/inner", "deep");
    EXPECT_EQ(h->ReadFile("/upper/file"), "above");
    EXPECT_EQ(h->ReadFile("/upper/new"), "new");
    EXPECT_EQ(h->ReadFile("/upper/dir/inner"), "deep");
    EXPECT_EQ(h->ReadFile("/lower/file"), "below");
    CHECK_OK(Rename(h->context, "/merged/dir", h->context, "/merged/dir2", 0));
    EXPECT_EQ(h->ReadFile("/upper/dir2/inner"), "deep");
    EXPECT_TRUE(S_ISCHR(h->Stat("/upper/dir")->mode));
    CHECK_OK(Unlink(h->context, "/merged/file"));
    CHECK_OK(Unlink(h->context, "/merged/new"));
    EXPECT_TRUE(S_ISCHR(h->Stat("/upper/file")->mode));
    EXPECT_EQ(ErrorOf(h->Stat("/upper/new")), Errno::kENOENT);
    EXPECT_EQ(h->List("/merged"), Names{"dir2"});
    // One device has all layers here, so numbers are as there.
    EXPECT_EQ(h->Stat("/merged/dir2/inner")->ino, h->Stat("/upper/dir2/inner")->ino);
  });
}

TEST(OverlayMount, AnOverlayIsALowerLayerButNoUpperOne) {
  RunOnFiber([] {
    Host h;
    h->WriteFile("/lower/gone", "");
    h->WriteFile("/lower/stays", "");
    CHECK_OK(h.Mount("lowerdir=/lower,upperdir=/upper,workdir=/work"));
    h->WriteFile("/merged/new", "");
    CHECK_OK(Unlink(h->context, "/merged/gone"));
    World nested(h.Create("lowerdir=/merged:/low\\:er2").value());
    EXPECT_EQ(nested.List("/"), (Names{"new", "stays"}));
    h->Mkdir("/merged/u");
    h->Mkdir("/merged/w");
    EXPECT_EQ(ErrorOf(h.Create("lowerdir=/lower,upperdir=/merged/u,workdir=/merged/w")),
              Errno::kEINVAL);
  });
}

TEST(OverlayMount, UserXattrs) {
  RunOnFiber([] {
    Host h;
    h->Mkdir("/lower/dir");
    h->Mkdir("/low:er2/dir");
    h->WriteFile("/low:er2/dir/hidden", "");
    CHECK_OK(h->Place("/lower/dir").inode().SetXattr("user.overlay.opaque", "y", 0));
    World user(h.Create("lowerdir=/lower:/low\\:er2,userxattr").value());
    EXPECT_EQ(user.List("/dir"), Names{});
    World trusted(h.Create("lowerdir=/lower:/low\\:er2").value());
    EXPECT_EQ(trusted.List("/dir"), Names{"hidden"});
    EXPECT_EQ(ListXattr(trusted.context, trusted.Place("/dir")).value(),
              Names{"user.overlay.opaque"});
    EXPECT_EQ(ListXattr(user.context, user.Place("/dir")).value(), Names{});
  });
}

}  // namespace
}  // namespace overlay
