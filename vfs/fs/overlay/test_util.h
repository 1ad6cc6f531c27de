#pragma once

// Layers of tmpfs and an overlay of them, for the tests.

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "vfs/fs/overlay/overlay_fs.h"
#include "vfs/fs/tmpfs/tmpfs.h"
#include "vfs/testing/world.h"

namespace overlay {

using namespace vfs;  // NOLINT: the harness

inline RefPtr<FileSystem> NewTmpfs() {
  auto creds = MakeRef<Credentials>();
  return tmpfs::TmpFileSystem::Create("tmpfs", "mode=755", *creds).value();
}

// Worlds of the layers, to prepare and to look at them, and of the overlay, which is made on first
// use.
struct Layered {
  explicit Layered(int lower_count = 1) {
    for (int i = 0; i < lower_count; i++) {
      lower_fs.push_back(NewTmpfs());
      lowers.push_back(std::make_unique<World>(lower_fs.back()));
    }
    Mount();
  }
  // Makes the overlay anew: what applications see then is in the layers.
  void Mount() {
    world.reset();
    Options options{.upper = upper_fs->root()};
    options.layers.push_back(upper_fs);
    for (const auto& fs : lower_fs) {
      options.lowers.push_back(fs->root());
      options.layers.push_back(fs);
    }
    fs = CreateOverlay(std::move(options)).value();
    world = std::make_unique<World>(fs);
  }
  World& lower() { return *lowers.front(); }
  World& operator*() { return *world; }
  World* operator->() { return world.get(); }
  // Straight from the layer, whose own dentries know nothing of changes through the overlay.
  Result<RefPtr<Inode>> Upper(std::string_view name) {
    RefPtr<Inode> inode = upper_fs->root();
    while (!name.empty()) {
      std::string_view first = name.substr(0, name.find('/'));
      name.remove_prefix(std::min(name.size(), first.size() + 1));
      inode = TRY(inode->Lookup(first));
    }
    return inode;
  }
  bool IsWhiteoutInUpper(std::string_view name) {
    Result<RefPtr<Inode>> inode = Upper(name);
    return inode.ok() && S_ISCHR((*inode)->type()) && (*inode)->Stat()->rdev == 0;
  }

  RefPtr<FileSystem> upper_fs = NewTmpfs(), fs;
  std::vector<RefPtr<FileSystem>> lower_fs;
  std::vector<std::unique_ptr<World>> lowers;
  std::unique_ptr<World> world;
};

using Names = std::vector<std::string>;

inline Result<void> Chmod(World& w, std::string_view name, uint32_t mode) {
  SetAttributes changes{.valid = SetAttributes::kMode, .mode = mode};
  return SetAttr(w.context, w.Place(name), changes);
}
inline Result<void> Rename(World& w, std::string_view from, std::string_view to,
                           unsigned flags = 0) {
  return vfs::Rename(w.context, from, w.context, to, flags);
}
inline Result<void> Link(World& w, std::string_view from, std::string_view to) {
  return vfs::Link(w.context, w.Place(from, 0), w.context, to);
}

}  // namespace overlay
