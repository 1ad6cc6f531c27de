#include "vfs/fs/anon/pidfd.h"

#include "vfs/operations.h"

namespace anonfs {

Result<RefPtr<vfs::FileDescription>> CreatePid(RefPtr<PidTarget> target, unsigned flags, RefPtr<const Credentials> creds) {
  if ((flags & ~unsigned{O_NONBLOCK}) != 0) return Errno::kEINVAL;
  auto file = MakeRef<PidFile>(std::move(target));
  vfs::InitAnonymous(*file, "anon_inode:[pidfd]", 0600, O_RDWR | flags, std::move(creds));
  return RefPtr<vfs::FileDescription>(std::move(file));
}

}  // namespace anonfs
