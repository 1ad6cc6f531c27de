#include "vfs/fs/gofer/special.h"

#include "vfs/file_description.h"

namespace goferfs {

Result<std::string> SymlinkInode::ReadLink(const Credentials& creds) {
  if (!target_.empty()) return target_;
  if (!has_handle()) {
    // The walk that finds it tells the target too.
    Found found = TRY(FindAgain(0));
    if (!found.target.empty()) {
      target_ = std::move(found.target);
      return target_;
    }
  }
  gofer::Handle handle = TRY(EnsureHandle());
  Exchange exchange(connection());
  exchange.Begin(gofer::Opcode::kReadLink, handle);
  gofer::Reader in = TRY(exchange.Run());
  std::string_view target = in.Rest();
  if (target.empty() || target.size() > gofer::kMaxTarget || target.find('\0') != std::string_view::npos) return exchange.Broken();
  target_ = target;
  return target_;
}

Result<RefPtr<vfs::FileDescription>> SymlinkInode::Open(const vfs::OpenOptions& options, const Credentials& creds) {
  return Errno::kELOOP;
}

Result<RefPtr<vfs::FileDescription>> SpecialInode::Open(const vfs::OpenOptions& options, const Credentials& creds) {
  return Errno::kENXIO;
}

}  // namespace goferfs
