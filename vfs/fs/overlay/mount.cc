// mount(2) of type "overlay".

#include <sys/mount.h>

#include <string>
#include <utility>
#include <vector>

#include "vfs/file_system_type.h"
#include "vfs/fs/overlay/overlay_fs.h"
#include "vfs/path_walk.h"

namespace overlay {

namespace {

// "a:b\:c" as "a" and "b:c".
std::vector<std::string> SplitLayers(std::string_view text) {
  std::vector<std::string> layers(1);
  for (size_t i = 0; i < text.size(); i++) {
    if (text[i] == ':') {
      layers.emplace_back();
      continue;
    }
    if (text[i] == '\\' && i + 1 < text.size()) i++;
    layers.back() += text[i];
  }
  return layers;
}

Result<vfs::Path> WalkLayer(const vfs::MountRequest& request, std::string_view name) {
  return vfs::Walk(request.context, name, vfs::kWalkFollow | vfs::kWalkDirectory);
}

// Options that change nothing here: file handles, redirects and the like.
bool IsIgnored(std::string_view name) {
  for (std::string_view known :
       {"index", "xino", "redirect_dir", "metacopy", "nfs_export", "uuid", "volatile", "verity",
        "default_permissions", "context", "rw", "ro"}) {
    if (name == known) return true;
  }
  return false;
}

Result<RefPtr<vfs::FileSystem>> MountOverlay(const vfs::MountRequest& request) {
  Options options{.source = request.source, .mount_options = request.options};
  vfs::Path upper, work;
  for (const vfs::MountOption& option : vfs::ParseMountOptions(request.options)) {
    if (option.name == "lowerdir") {
      for (const std::string& name : SplitLayers(option.value)) {
        if (name.empty()) return Errno::kEINVAL;
        vfs::Path place = TRY(WalkLayer(request, name));
        options.lowers.emplace_back(&place.inode());
        options.layers.push_back(place.mount->fs());
      }
    } else if (option.name == "upperdir") {
      upper = TRY(WalkLayer(request, option.value));
    } else if (option.name == "workdir") {
      work = TRY(WalkLayer(request, option.value));
    } else if (option.name == "userxattr") {
      options.user_xattrs = true;
    } else if (!IsIgnored(option.name)) {
      return Errno::kEINVAL;
    }
  }
  if (options.lowers.empty()) return Errno::kEINVAL;
  if (upper.valid()) {
    // Files are made in the work directory elsewhere, and must be able to move from there to the
    // upper one.
    if (!work.valid() || work.mount != upper.mount) return Errno::kEINVAL;
    if (work.dentry->IsDescendantOf(*upper.dentry) || upper.dentry->IsDescendantOf(*work.dentry))
      return Errno::kEINVAL;
    if (upper.mount->read_only()) return Errno::kEROFS;
    options.upper = RefPtr<vfs::Inode>(&upper.inode());
    options.upper_dentry = upper.dentry;
    options.layers.push_back(upper.mount->fs());
  } else if (options.lowers.size() < 2) {
    return Errno::kEINVAL;
  }
  return CreateOverlay(std::move(options));
}

}  // namespace

void RegisterOverlay() {
  vfs::RegisterFileSystemType({.name = "overlay", .user_mountable = true, .create = MountOverlay});
}

}  // namespace overlay
