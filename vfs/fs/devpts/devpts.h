#pragma once

// The devpts file system: ptmx, and a name for the slave of each open master.

#include <map>
#include <optional>

#include "vfs/fs/devpts/pty.h"
#include "vfs/fs/pseudo/pseudo.h"
#include "vfs/special_file.h"

namespace devpts {

struct Options {
  std::optional<uid_t> uid;  // of slaves; the opener's without
  std::optional<gid_t> gid;
  uint32_t mode = 0600;
  uint32_t ptmx_mode = 0;
  unsigned max = 1 << 20;
};
// "gid=5,mode=620,ptmxmode=666,newinstance". EINVAL.
Result<Options> ParseOptions(std::string_view text);

class DevptsFs final : public vfs::FileSystem {
 public:
  // Each mount is an instance of its own.
  static RefPtr<DevptsFs> Create(const Options& options);

  RefPtr<vfs::Inode> root() override { return root_; }
  Result<struct statfs> StatFs() override;
  std::string MountOptions() override;

  // open(2) of ptmx: a new pair. ENOSPC.
  Result<RefPtr<vfs::FileDescription>> OpenMaster(const Credentials& creds);
  void Remove(unsigned index);

 private:
  friend class RootDirectory;
  explicit DevptsFs(const Options& options) : FileSystem("devpts", "devpts"), options_(options) {}

  const Options options_;
  RefPtr<vfs::Inode> root_;
  RefPtr<pseudo::Node> ptmx_;
  std::map<unsigned, RefPtr<pseudo::Node>> slaves_;
};

// Registers the file system type and the ptmx device (5, 2). Once, at start-up.
void Register();

// TIOCGPTPEER on a master: its slave, opened with `flags` whatever names there are. Initialised. The system call layer gives it a
// descriptor. EIO.
inline constexpr uint32_t kTIOCGPTPEER = 0x5441;
Result<RefPtr<vfs::FileDescription>> OpenPeer(MasterFile& master, int flags, RefPtr<const Credentials> creds);

}  // namespace devpts
