#pragma once

// Inode: what every file system implements. A file system is mostly subclasses of Inode (files, directories, symbolic
// links) and of FileDescription. Path walk, permission checks of the standard kind, sticky bits, read-only mounts and
// dentry caching are done above, in vfs/operations.h and vfs/path_walk.h: implementations may assume that names are single
// components of 1 to 255 bytes, neither "." nor "..", and that the caller may do what it asks.
// All under the kernel lock; implementations that call the host or the gofer drop it, so callers hold references.

#include <sys/statfs.h>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "base/credentials.h"
#include "base/ref.h"
#include "base/result.h"
#include "base/wait_queue.h"
#include "vfs/attributes.h"

namespace vfs {

class Dentry;
class FileDescription;
class FileSystem;
class Inode;
struct Path;
struct WalkContext;

// The owner and permissions that a new inode gets.
struct CreateOptions {
  uint32_t mode = 0;  // type bits and permissions, umask already applied
  uid_t uid = 0;
  gid_t gid = 0;
  uint64_t rdev = 0;
};

struct OpenOptions {
  int flags = 0;  // O_*
};

class Inode : public RefCounted {
 public:
  explicit Inode(FileSystem* fs) : fs_(fs) {}

  FileSystem& fs() const { return *fs_; }

  virtual Result<Attributes> Stat() = 0;
  // Type bits only (S_IFREG...): constant for an inode's life and cheap.
  virtual uint32_t type() const = 0;
  virtual Result<void> SetAttr(const SetAttributes& changes) { return Errno::kEPERM; }

  // The permission check; the default is inode_permission's classic one from Stat() (mode bits, fsuid/fsgid/groups,
  // CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH). `mask` of MAY_READ=4, MAY_WRITE=2, MAY_EXEC=1. EACCES.
  virtual Result<void> CheckPermission(const Credentials& creds, int mask);

  // --- directories ---
  // ENOENT when there is none. Called on a dentry-cache miss.
  virtual Result<RefPtr<Inode>> Lookup(std::string_view name) { return Errno::kENOTDIR; }
  virtual Result<RefPtr<Inode>> Create(std::string_view name, const CreateOptions& options) { return Errno::kEPERM; }  // S_IFREG
  virtual Result<RefPtr<Inode>> Mkdir(std::string_view name, const CreateOptions& options) { return Errno::kEPERM; }
  virtual Result<RefPtr<Inode>> Mknod(std::string_view name, const CreateOptions& options) { return Errno::kEPERM; }  // incl. S_IFSOCK, S_IFIFO
  virtual Result<RefPtr<Inode>> Symlink(std::string_view name, std::string_view target, const CreateOptions& options) { return Errno::kEPERM; }
  virtual Result<void> Link(std::string_view name, Inode& target) { return Errno::kEPERM; }
  virtual Result<void> Unlink(std::string_view name, Inode& child) { return Errno::kEPERM; }
  virtual Result<void> Rmdir(std::string_view name, Inode& child) { return Errno::kEPERM; }
  // `flags`: RENAME_NOREPLACE (already checked), RENAME_EXCHANGE, RENAME_WHITEOUT; EINVAL for those it cannot do.
  // `replaced` is null where nothing has the new name.
  virtual Result<void> Rename(std::string_view old_name, Inode& child, Inode& new_parent, std::string_view new_name,
                              Inode* replaced, unsigned flags) { return Errno::kEPERM; }
  // An unnamed file for O_TMPFILE. EOPNOTSUPP.
  virtual Result<RefPtr<Inode>> CreateUnnamed(const CreateOptions& options) { return Errno::kEOPNOTSUPP; }

  // Whether a cached dentry with `name` for this child (null: a negative one) may still be used. The default says yes; file systems
  // whose names change by themselves (proc, a shared gofer) look.
  virtual bool Revalidate(std::string_view name, Inode* child) { return true; }
  // Whether dentries below this directory may be cached at all (proc says no).
  virtual bool cacheable() const { return true; }

  // --- symbolic links ---
  virtual Result<std::string> ReadLink(const Credentials& creds) { return Errno::kEINVAL; }
  // Magic links (proc's fd, exe, cwd, ns): go to an object rather than to a name. Only called when magic_link().
  virtual bool magic_link() const { return false; }
  virtual Result<Path> FollowMagicLink(const WalkContext& context);

  // --- opening ---
  // A description for this inode; `dentry` is how it was reached. Truncation (O_TRUNC) was done by SetAttr before unless
  // open_truncates(). The result's flags are set by the caller.
  virtual Result<RefPtr<FileDescription>> Open(const OpenOptions& options, const Credentials& creds) = 0;

  // --- extended attributes (xattr(7)); ENODATA, EOPNOTSUPP ---
  virtual Result<std::string> GetXattr(std::string_view name) { return Errno::kEOPNOTSUPP; }
  virtual Result<void> SetXattr(std::string_view name, std::string_view value, int flags) { return Errno::kEOPNOTSUPP; }
  virtual Result<void> RemoveXattr(std::string_view name) { return Errno::kEOPNOTSUPP; }
  virtual Result<std::vector<std::string>> ListXattr() { return std::vector<std::string>{}; }

  // The bound socket of an S_IFSOCK inode, and the pipe of an S_IFIFO one, live here for as long as the inode does.
  RefPtr<RefCounted> attached;

  // inotify and fanotify marks, dentry events. Null while nobody watches.
  struct WatchList;
  WatchList* watches = nullptr;

  // Advisory locks of this inode (vfs/file_lock.h), made on first use.
  RefPtr<RefCounted> locks;

 protected:
  FileSystem* const fs_;
};

class FileSystem : public RefCounted {
 public:
  // `name` as in /proc/filesystems and mountinfo ("tmpfs"); `source` as in mountinfo.
  FileSystem(std::string name, std::string source);

  const std::string& name() const { return name_; }
  const std::string& source() const { return source_; }
  // A device number of its own (major 0) for st_dev and mountinfo.
  uint64_t dev() const { return dev_; }
  uint64_t NextIno() { return next_ino_++; }

  virtual RefPtr<Inode> root() = 0;
  virtual Result<struct statfs> StatFs() = 0;
  // The file system's own options for mountinfo ("size=64k,mode=755").
  virtual std::string MountOptions() { return ""; }
  virtual Result<void> Sync() { return {}; }

 private:
  const std::string name_, source_;
  const uint64_t dev_;
  uint64_t next_ino_ = 1;
};

}  // namespace vfs
