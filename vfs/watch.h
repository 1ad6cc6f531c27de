#pragma once

// Watches on inodes: the hooks that inotify(7) is made of. An inotify instance makes one Watch for each watch descriptor;
// vfs/operations.h and FileDescription report events here. While nobody watches anything, an event costs a load.

#include <sys/inotify.h>

#include <string_view>

#include "vfs/file_description.h"

namespace vfs {

class Watch {
 public:
  Watch() = default;
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;
  virtual ~Watch() { Detach(); }

  // Starts to watch `place`, which stays in memory while it is watched (its mount may be unmounted). `mask` of IN_* bits: events
  // to hear of, and IN_EXCL_UNLINK; the caller deals with IN_ONESHOT, IN_MASK_ADD and the like.
  void Attach(const Path& place, uint32_t mask);
  void Detach();
  bool attached() const { return static_cast<bool>(dentry_); }
  const Inode* inode() const { return dentry_ ? dentry_->inode().get() : nullptr; }
  uint32_t mask() const { return mask_; }
  void set_mask(uint32_t mask) { mask_ = mask; }

  // One event that meets the mask. `event`: one IN_* bit, with IN_ISDIR where it is about a directory; `name` is empty for events about
  // the inode itself; `cookie` ties IN_MOVED_FROM to IN_MOVED_TO. May detach or destroy this watch and others.
  virtual void OnEvent(uint32_t event, uint32_t cookie, std::string_view name) = 0;
  // The watch ended by itself, was detached, and says so with IN_IGNORED; after OnEvent of IN_DELETE_SELF or IN_UNMOUNT where asked for.
  // May destroy the watch.
  virtual void OnIgnored() = 0;

 private:
  friend class WatchRegistry;
  RefPtr<FileSystem> fs_;   // outlives the dentry
  RefPtr<Dentry> dentry_;
  uint32_t mask_ = 0;
};

// The watch of `owner`'s on this inode is found by asking each: for inotify_add_watch on an inode that is watched already.
template <class Match>
Watch* FindWatch(const Inode& inode, Match match);

struct Inode::WatchList {
  std::vector<Watch*> watches;
};

template <class Match>
Watch* FindWatch(const Inode& inode, Match match) {
  if (inode.watches == nullptr) return nullptr;
  for (Watch* watch : inode.watches->watches) {
    if (match(*watch)) return watch;
  }
  return nullptr;
}

// How many watches there are in all.
extern size_t watch_count;

// Events. Each is cheap when watch_count is 0.
// About the object at `dentry`: told to watches on it and, with its name, to those on its parent (IN_ACCESS, IN_ATTRIB, IN_CLOSE_*,
// IN_MODIFY, IN_OPEN).
void ReportObject(const Dentry& dentry, uint32_t event);
// About the name `name` in `directory` (IN_CREATE, IN_DELETE, IN_MOVED_*).
void ReportName(const Inode& directory, std::string_view name, uint32_t event, uint32_t cookie = 0);
// To watches on the inode itself only (IN_MOVE_SELF, IN_ATTRIB of a link count).
void ReportSelf(const Inode& inode, uint32_t event);
// A name of the inode went or a description was closed: IN_DELETE_SELF if it is gone for good. May park (Stat).
void ReportGoneIfUnused(const Dentry& dentry);
// The last mount of the file system went.
void ReportUnmount(const FileSystem& fs);

}  // namespace vfs
