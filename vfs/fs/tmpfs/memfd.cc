#include "vfs/fs/tmpfs/memfd.h"

#include <sys/mman.h>

#include "vfs/fs/tmpfs/regular.h"
#include "vfs/operations.h"

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

namespace tmpfs {

namespace {

// Never mounted, without limits, never destroyed.
TmpFileSystem& Internal() {
  static TmpFileSystem* fs = [] {
    Credentials* creds = MakeRef<Credentials>().release();
    return TmpFileSystem::Create("tmpfs", "", *creds).value().release();
  }();
  return *fs;
}

}  // namespace

Result<RefPtr<vfs::FileDescription>> CreateMemfd(std::string_view name, bool allow_sealing, RefPtr<const Credentials> creds) {
  TmpFileSystem& fs = Internal();
  vfs::CreateOptions options{.mode = S_IFREG | 0777, .uid = creds->fsuid, .gid = creds->fsgid};
  RefPtr<vfs::Inode> inode = TRY(fs.root()->CreateUnnamed(options));
  auto& file = static_cast<RegularFile&>(*inode);
  if (allow_sealing) file.data()->seals = 0;
  auto description = MakeRef<RegularDescription>(RefPtr<RegularFile>(&file));
  constexpr int kLargeFile = 0100000;
  vfs::InitAnonymous(*description, "memfd:" + std::string(name), std::move(inode), O_RDWR | kLargeFile, std::move(creds));
  return RefPtr<vfs::FileDescription>(std::move(description));
}

Result<void> AddSeals(vfs::FileDescription& file, uint32_t seals) {
  constexpr uint32_t kAll = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE;
  if (!file.writable()) return Errno::kEPERM;
  if ((seals & ~kAll) != 0) return Errno::kEINVAL;
  auto* regular = vfs::FileAs<RegularDescription>(&file);
  if (regular == nullptr) return Errno::kEINVAL;
  FileData& data = *regular->file().data();
  if ((data.seals & F_SEAL_SEAL) != 0) return Errno::kEPERM;
  if ((seals & F_SEAL_WRITE) != 0 && (data.seals & F_SEAL_WRITE) == 0 && data.writable_mappings() > 0) return Errno::kEBUSY;
  data.seals |= seals;
  return {};
}

Result<uint32_t> GetSeals(vfs::FileDescription& file) {
  auto* regular = vfs::FileAs<RegularDescription>(&file);
  if (regular == nullptr) return Errno::kEINVAL;
  return regular->file().data()->seals;
}

}  // namespace tmpfs
