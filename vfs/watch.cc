#include "vfs/watch.h"

#include <algorithm>

namespace vfs {

size_t watch_count = 0;

class WatchRegistry {
 public:
  static std::vector<Watch*>& All() {
    static auto* all = new std::vector<Watch*>;
    return *all;
  }

  // Calls `visit` for each watch of the list that is still on it when its turn comes: handlers may detach any.
  template <class Visit>
  static void ForEach(const Inode& inode, Visit visit) {
    if (inode.watches == nullptr) return;
    std::vector<Watch*> snapshot = inode.watches->watches;
    for (Watch* watch : snapshot) {
      if (inode.watches == nullptr) return;
      auto& now = inode.watches->watches;
      if (std::find(now.begin(), now.end(), watch) != now.end()) visit(*watch);
    }
  }

  static void Report(const Inode& inode, uint32_t event, uint32_t cookie, std::string_view name, bool unlinked) {
    ForEach(inode, [&](Watch& watch) {
      if ((watch.mask_ & event & IN_ALL_EVENTS) == 0) return;
      if (unlinked && !name.empty() && (watch.mask_ & IN_EXCL_UNLINK) != 0) return;
      watch.OnEvent(event, cookie, name);
    });
  }

  static void End(Watch& watch, uint32_t event) {
    RefPtr<Dentry> dentry = watch.dentry_;
    RefPtr<FileSystem> fs = watch.fs_;
    bool wants = event == IN_UNMOUNT || (watch.mask_ & event) != 0;
    if (wants) watch.OnEvent(event, 0, {});
    // The handler may have destroyed it.
    if (std::find(All().begin(), All().end(), &watch) == All().end()) return;
    watch.Detach();
    watch.OnIgnored();
  }

  static const RefPtr<FileSystem>& FileSystemOf(const Watch& watch) { return watch.fs_; }
};

void Watch::Attach(const Path& place, uint32_t mask) {
  Detach();
  fs_ = place.mount->fs();
  dentry_ = place.dentry;
  mask_ = mask;
  Inode& inode = *dentry_->inode();
  if (inode.watches == nullptr) inode.watches = new Inode::WatchList;
  inode.watches->watches.push_back(this);
  WatchRegistry::All().push_back(this);
  watch_count++;
}

void Watch::Detach() {
  if (!dentry_) return;
  Inode& inode = *dentry_->inode();
  std::erase(inode.watches->watches, this);
  if (inode.watches->watches.empty()) {
    delete inode.watches;
    inode.watches = nullptr;
  }
  std::erase(WatchRegistry::All(), this);
  watch_count--;
  // Last, since the watch may have been all that kept them.
  RefPtr<Dentry> dentry = std::move(dentry_);
  RefPtr<FileSystem> fs = std::move(fs_);
  dentry.reset();
}

void ReportObject(const Dentry& dentry, uint32_t event) {
  if (watch_count == 0 || !dentry.inode()) return;
  if (dentry.is_directory()) event |= IN_ISDIR;
  // Handlers may drop what keeps the dentry.
  RefPtr<const Dentry> self(&dentry);
  if (dentry.parent()) {
    RefPtr<Dentry> parent = dentry.parent();
    if (parent->inode()->watches != nullptr) {
      WatchRegistry::Report(*parent->inode(), event, 0, dentry.name(), dentry.unlinked());
    }
  }
  RefPtr<Inode> inode = dentry.inode();
  WatchRegistry::Report(*inode, event, 0, {}, false);
}

void ReportName(const Inode& directory, std::string_view name, uint32_t event, uint32_t cookie) {
  RefPtr<const Inode> keep(&directory);
  WatchRegistry::Report(directory, event, cookie, name, false);
}

void ReportSelf(const Inode& inode, uint32_t event) {
  RefPtr<const Inode> keep(&inode);
  // Never with IN_MOVE_SELF and IN_DELETE_SELF: an oversight in Linux that programs have got used to.
  if (S_ISDIR(inode.type()) && event != IN_MOVE_SELF) event |= IN_ISDIR;
  WatchRegistry::Report(inode, event, 0, {}, false);
}

void ReportGoneIfUnused(const Dentry& dentry) {
  RefPtr<Inode> inode = dentry.inode();
  if (!inode || inode->watches == nullptr || inode->open_count > 0) return;
  if (!dentry.is_directory()) {
    Result<Attributes> attr = inode->Stat();
    if (attr.ok() && attr->nlink > 0) return;
  }
  WatchRegistry::ForEach(*inode, [](Watch& watch) { WatchRegistry::End(watch, IN_DELETE_SELF); });
}

void ReportUnmount(const FileSystem& fs) {
  std::vector<Watch*> ended;
  for (Watch* watch : WatchRegistry::All()) {
    if (WatchRegistry::FileSystemOf(*watch) == &fs) ended.push_back(watch);
  }
  RefPtr<const FileSystem> keep(&fs);
  for (Watch* watch : ended) {
    auto& all = WatchRegistry::All();
    if (std::find(all.begin(), all.end(), watch) != all.end()) WatchRegistry::End(*watch, IN_UNMOUNT);
  }
}

}  // namespace vfs
