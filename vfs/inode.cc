#include "vfs/inode.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "vfs/dentry.h"
#include "vfs/path_walk.h"
#include "vfs/permission.h"
#include "vfs/watch.h"

namespace vfs {

Inode::~Inode() { delete watches; }

Result<void> Inode::CheckPermission(const Credentials& creds, int mask) {
  return ClassicPermission(TRY(Stat()), creds, mask);
}

Result<Path> Inode::FollowMagicLink(const WalkContext& context) { return Errno::kELOOP; }

namespace {
// Minor numbers of the anonymous major 0, from 1 on as Linux's get_anon_bdev.
uint64_t NextDevice() {
  static unsigned next = 1;
  return makedev(0, next++);
}
}  // namespace

FileSystem::FileSystem(std::string name, std::string source)
    : name_(std::move(name)), source_(std::move(source)), dev_(NextDevice()) {}

FileSystem::~FileSystem() = default;

const RefPtr<Dentry>& FileSystem::root_dentry() {
  if (!root_dentry_) root_dentry_ = MakeRef<Dentry>(nullptr, "", root());
  return root_dentry_;
}

// Inodes point at their file system, so those that the dentry cache keeps go before the derived class is destroyed.
void FileSystem::OnZeroRefs() {
  if (root_dentry_) {
    root_dentry_->DropChildren();
    root_dentry_.reset();
  }
  delete this;
}

}  // namespace vfs
