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
#include "vfs/directory_lock.h"

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
  // Whether CheckPermission must be asked even for callers with CAP_DAC_OVERRIDE. The path walk skips it otherwise.
  virtual bool custom_permission() const { return false; }

  // --- directories ---
  // ENOENT when there is none. Called on a dentry-cache miss.
  virtual Result<RefPtr<Inode>> Lookup(std::string_view name) { return Errno::kENOTDIR; }
  // Told on a dentry-cache miss, before Lookup of the first component of `rest` ("a/b/c"), that the walk goes on along the others and,
  // with `access` >= 0 (O_RDONLY, O_RDWR), that what the last one names will be opened for its data. A remote file system fetches all of it
  // in one exchange; the Lookups that follow still say what is there. May park.
  virtual void LookupAhead(std::string_view rest, int access) {}
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
  // whose names change by themselves (proc, a shared gofer) look. Only asked where revalidates() or !cacheable(). May park.
  virtual bool Revalidate(std::string_view name, Inode* child) { return true; }
  virtual bool revalidates() const { return false; }
  // Whether dentries below this directory may be cached at all (proc says no). Those that somebody holds (an open file, a
  // mount point, a working directory) are found again all the same, if Revalidate agrees.
  virtual bool cacheable() const { return true; }

  // --- symbolic links ---
  virtual Result<std::string> ReadLink(const Credentials& creds) { return Errno::kEINVAL; }
  // Magic links (proc's fd, exe, cwd, ns): go to an object rather than to a name. Only called when magic_link().
  virtual bool magic_link() const { return false; }
  virtual Result<Path> FollowMagicLink(const WalkContext& context);

  // --- opening ---
  // A description for this inode. Truncation (O_TRUNC) was done by SetAttr before unless open_truncates(). The result's
  // flags and path are set by the caller. Devices with a registered opener and FIFOs never get here
  // (vfs/special_file.h); O_PATH neither.
  virtual Result<RefPtr<FileDescription>> Open(const OpenOptions& options, const Credentials& creds) = 0;

  virtual bool open_truncates() const { return false; }

  // --- extended attributes (xattr(7)); ENODATA, EOPNOTSUPP ---
  virtual Result<std::string> GetXattr(std::string_view name) { return Errno::kEOPNOTSUPP; }
  virtual Result<void> SetXattr(std::string_view name, std::string_view value, int flags) { return Errno::kEOPNOTSUPP; }
  virtual Result<void> RemoveXattr(std::string_view name) { return Errno::kEOPNOTSUPP; }
  virtual Result<std::vector<std::string>> ListXattr() { return std::vector<std::string>{}; }

  // The bound socket of an S_IFSOCK inode, and the pipe of an S_IFIFO one, live here for as long as the inode does.
  RefPtr<RefCounted> attached;

  // inotify and fanotify marks (vfs/watch.h). Null while nobody watches.
  struct WatchList;
  WatchList* watches = nullptr;

  // Held exclusively by what changes names in this directory, shared by lookups that ask the file system.
  DirectoryLock directory_lock;

  // Open descriptions of it, and those that may write (or, below 0, programs that run from it: ETXTBSY). See
  // FileDescription and DenyWriteAccess in vfs/operations.h.
  int32_t open_count = 0;
  int32_t write_count = 0;
  // An unnamed file (O_TMPFILE without O_EXCL) that link(2) may give a name.
  bool linkable = false;
  // Known to have no set-user-ID, set-group-ID bits or capabilities that a write would have to clear.
  bool no_privileges = false;

  // Advisory locks of this inode (vfs/file_lock.h), made on first use.
  RefPtr<RefCounted> locks;

 protected:
  ~Inode() override;
  FileSystem* const fs_;
};

class FileSystem : public RefCounted {
 public:
  // `name` as in /proc/filesystems and mountinfo ("tmpfs"); `source` as in mountinfo.
  FileSystem(std::string name, std::string source);
  ~FileSystem() override;

  const std::string& name() const { return name_; }
  const std::string& source() const { return source_; }
  // A device number of its own (major 0) for st_dev and mountinfo.
  uint64_t dev() const { return dev_; }
  uint64_t NextIno() { return next_ino_++; }

  virtual RefPtr<Inode> root() = 0;
  // The one dentry of root(), shared by all mounts of the file system; made on first use.
  const RefPtr<Dentry>& root_dentry();

  // MS_RDONLY (for all its mounts), MS_SYNCHRONOUS... as given to mount(2).
  unsigned long flags = 0;
  int mount_count = 0;  // kept by Mount
  virtual Result<struct statfs> StatFs() = 0;
  // The file system's own options for mountinfo ("size=64k,mode=755").
  virtual std::string MountOptions() { return ""; }
  virtual Result<void> Sync() { return {}; }
  // mount(2) with MS_REMOUNT and new options; `flags` is set by the caller on success.
  virtual Result<void> Remount(unsigned long new_flags, std::string_view options) { return {}; }

 protected:
  void OnZeroRefs() override;  // empties the dentry cache of it first

 private:
  const std::string name_, source_;
  const uint64_t dev_;
  uint64_t next_ino_ = 1;
  RefPtr<Dentry> root_dentry_;
};

}  // namespace vfs
