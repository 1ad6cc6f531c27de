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
  void Remove(unsigned index) { slaves_.erase(index); }

  // Gives the inode of a terminal that is none of ours a name here, for as long as it lives. ENOSPC.
  Result<unsigned> Adopt(vfs::Inode& terminal);

 private:
  friend class RootDirectory;
  Result<unsigned> FreeIndex() const;
  explicit DevptsFs(const Options& options) : FileSystem("devpts", "devpts"), options_(options) {}

  const Options options_;
  RefPtr<vfs::Inode> root_;
  RefPtr<pseudo::Node> ptmx_;
  struct Slave {
    RefPtr<pseudo::Node> own;
    vfs::Inode* adopted = nullptr;  // takes its name away when it dies
  };
  std::map<unsigned, Slave> slaves_;
};

// Registers the file system type and the ptmx device (5, 2). Once, at start-up.
void Register();

// Makes a terminal that the container was given from outside (its standard input) look like one of its own: it appears as a
// number in `directory`, the root of a devpts, which is what ttyname(3) looks for. ENODEV where that is something else.
Result<void> Adopt(const vfs::Path& directory, std::string_view directory_name, vfs::FileDescription& terminal);

// TIOCGPTPEER on a master: its slave, opened with `flags` whatever names there are. Initialised. The system call layer gives it a
// descriptor. EIO.
inline constexpr uint32_t kTIOCGPTPEER = 0x5441;
Result<RefPtr<vfs::FileDescription>> OpenPeer(MasterFile& master, int flags, RefPtr<const Credentials> creds);

}  // namespace devpts
