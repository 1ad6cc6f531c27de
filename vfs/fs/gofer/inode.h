#pragma once

// The file system object and what all its inodes have in common: identity, attributes, the handle.

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "vfs/fs/gofer/connection.h"
#include "vfs/fs/gofer/gofer_fs.h"
#include "vfs/fs/gofer/listed_ahead.h"
#include "vfs/inode.h"

namespace goferfs {

class DirectoryInode;
class GoferInode;

class GoferFileSystem final : public vfs::FileSystem {
 public:
  GoferFileSystem(RefPtr<Connection> connection, const Options& options);
  ~GoferFileSystem() override;

  RefPtr<vfs::Inode> root() override;
  Result<struct statfs> StatFs() override;
  Result<void> Sync() override;
  std::string MountOptions() override;

  Connection& connection() const { return *connection_; }
  const Options& options() const { return options_; }
  bool shared() const { return options_.shared; }
  Result<void> CheckWritable() const;

  // The inode for what the gofer told: the known one of that key, brought up to date, or a new one. Takes over `handle`, which may be 0 when
  // `parent` and `name` say where to find it. EIO for attributes that make no sense.
  Result<RefPtr<GoferInode>> Instantiate(gofer::Handle handle, const gofer::WireAttributes& attributes, DirectoryInode* parent,
                                         std::string_view name);
  // What a walk ahead learned (DirectoryInode::LookupAhead), for the lookups that follow at once. Forgotten with the next walk ahead and when
  // any name changes.
  struct Ahead {
    RefPtr<DirectoryInode> directory;
    std::string name;
    RefPtr<GoferInode> inode;  // null: there is none
  };
  std::vector<Ahead>& ahead() { return ahead_; }
  // Files that were opened before anybody asked (DirectoryInode::OpenFiles): their inodes stay for a while, to be found by the lookups.
  void KeepOpened(RefPtr<GoferInode> inode);
  // Somebody uses it now.
  void NoteOpened(const GoferInode& inode);
  // Directories that were met on the way there: likewise, since they know what they contain.
  void KeepEntered(RefPtr<GoferInode> inode);
  // How many to open in one call: twice as many each time, in whatever directory, as long as each that is opened is the next of its directory.
  size_t NextOpenRun();
  void RestartOpenRun() { open_run_ = 0; }
  // Directories that were listed before anybody asked (DirectoryInode::ListTrees).
  ListedAhead& listed() { return listed_; }
  // What an inode that exists is; null where there is none.
  GoferInode* Find(const InodeKey& key) const;
  // Whether attributes may be kept until somebody asks for the file: those of a file with several names may change through the others before, and
  // those of one that is in use by any.
  bool MayKeep(const gofer::WireAttributes& attributes) const;
  // A name changed. What a walk, or an open, brought ahead may be wrong or in the way now.
  void NoteChange();
  // Data or attributes of a file changed: what a call under way says of it may be older.
  void NoteWrite() { changes_++; }
  uint64_t changes() const { return changes_; }

  // The inode number that applications see: the host's on the export's own device, a mixture elsewhere.
  uint64_t VisibleIno(uint64_t dev, uint64_t ino) const;

 private:
  friend class GoferInode;
  friend Result<RefPtr<vfs::FileSystem>> Create(RefPtr<Connection> connection, const Options& options);

  const RefPtr<Connection> connection_;
  const Options options_;
  uint64_t root_dev_ = 0;
  absl::flat_hash_map<InodeKey, GoferInode*> inodes_;  // weak
  RefPtr<GoferInode> root_;
  std::vector<Ahead> ahead_;
  std::deque<RefPtr<GoferInode>> opened_, entered_;
  ListedAhead listed_;
  uint64_t changes_ = 0;
  size_t open_run_ = 0;
};

class GoferInode : public vfs::Inode {
 public:
  Result<vfs::Attributes> Stat() override;
  uint32_t type() const final { return type_; }
  Result<void> SetAttr(const vfs::SetAttributes& changes) override;
  Result<std::string> GetXattr(std::string_view name) override;
  Result<void> SetXattr(std::string_view name, std::string_view value, int flags) override;
  Result<void> RemoveXattr(std::string_view name) override;
  Result<std::vector<std::string>> ListXattr() override;

  GoferFileSystem& gofer_fs() const { return static_cast<GoferFileSystem&>(*fs_); }
  Connection& connection() const { return gofer_fs().connection(); }
  const InodeKey& key() const { return key_; }
  // As last heard from the host; no call.
  const gofer::WireAttributes& attributes() const { return attributes_; }
  // Whether it is otherwise by now.
  virtual bool attributes_changed() const { return false; }
  uint64_t visible_ino() const { return gofer_fs().VisibleIno(key_.dev, key_.ino); }

  // The handle, found by walking from where the inode was seen last when there is none yet. ESTALE when it is there no more.
  Result<gofer::Handle> EnsureHandle();
  bool has_handle() const { return handle_ != 0; }

  // News from the host about this file. Ignored when they say another type.
  void Update(const gofer::WireAttributes& attributes);
  // A name of it went away or came, as known without asking.
  void NoteLinkChange(int change, int64_t ctime);
  // Where it can be found; ignored when it has a handle.
  void SetLocation(DirectoryInode* parent, std::string_view name);
  void AdoptHandle(gofer::Handle handle);

 protected:
  GoferInode(GoferFileSystem* fs, gofer::Handle handle, const gofer::WireAttributes& attributes);
  ~GoferInode() override;
  void OnZeroRefs() override;

  // Asks the host for attributes if the cached ones may be old.
  virtual Result<void> Refresh();
  // A walk from where it was seen last, with `open_flags` for it (gofer::kWalkOpen); the target, for links.
  struct Found {
    Fd fd;
    std::string target;
  };
  Result<Found> FindAgain(uint32_t open_flags);

  // Where it was seen last; none for what has a handle.
  const RefPtr<DirectoryInode>& parent() const { return parent_; }
  const std::string& name() const { return name_; }

  gofer::WireAttributes attributes_;
  gofer::Handle handle_;

 private:
  friend class GoferFileSystem;
  Result<void> SetAttrCall(const vfs::SetAttributes& changes);

  const InodeKey key_;
  const uint32_t type_;
  // Known, in exclusive mode, to have no extended attributes at all, or no security.capability.
  bool no_xattrs_ = false, no_capability_ = false;
  RefPtr<DirectoryInode> parent_;
  std::string name_;
};

// What a walk of one component said.
struct WalkResult {
  gofer::Handle handle = 0;
  gofer::WireAttributes attributes;
  std::string target;
  Fd fd;
};
Result<WalkResult> WalkOne(Connection& connection, gofer::Handle parent, std::string_view name, uint32_t open_flags);

}  // namespace goferfs
