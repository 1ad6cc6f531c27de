#include "vfs/directory_util.h"

#include <dirent.h>

namespace vfs {

Result<bool> EmitDots(FileDescription& directory, absl::FunctionRef<bool(const DirectoryEntry&)> emit) {
  const Path& path = directory.path();
  if (directory.offset() == 0) {
    uint64_t ino = TRY(directory.inode().Stat()).ino;
    if (!emit({.name = ".", .ino = ino, .type = DT_DIR, .next_offset = 1})) return false;
    directory.set_offset(1);
  }
  if (directory.offset() == 1) {
    RefPtr<Dentry> parent = path.dentry->parent() ? path.dentry->parent() : path.dentry;
    uint64_t ino = TRY(parent->inode()->Stat()).ino;
    if (!emit({.name = "..", .ino = ino, .type = DT_DIR, .next_offset = 2})) return false;
    directory.set_offset(2);
  }
  return true;
}

Result<int64_t> SeekDirectory(FileDescription& directory, int64_t offset, int whence) {
  int64_t base = 0;
  if (whence == SEEK_CUR) {
    base = static_cast<int64_t>(directory.offset());
  } else if (whence != SEEK_SET) {
    return Errno::kEINVAL;
  }
  int64_t target;
  if (__builtin_add_overflow(base, offset, &target) || target < 0) return Errno::kEINVAL;
  directory.set_offset(static_cast<uint64_t>(target));
  return target;
}

}  // namespace vfs
