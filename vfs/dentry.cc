#include "vfs/dentry.h"

#include <utility>
#include <vector>

#include "base/log.h"
#include "vfs/dentry_cache.h"

namespace vfs {

// --- the cache -------------------------------------------------------------------------------------------------------

DentryCache& DentryCache::Get() {
  static auto* cache = new DentryCache;
  return *cache;
}

void DentryCache::Link(Dentry& dentry) {
  dentry.older_ = newest_;
  dentry.newer_ = nullptr;
  (newest_ != nullptr ? newest_->newer_ : oldest_) = &dentry;
  newest_ = &dentry;
}

void DentryCache::Unlink(Dentry& dentry) {
  (dentry.older_ != nullptr ? dentry.older_->newer_ : oldest_) = dentry.newer_;
  (dentry.newer_ != nullptr ? dentry.newer_->older_ : newest_) = dentry.older_;
  dentry.older_ = dentry.newer_ = nullptr;
}

void DentryCache::Add(Dentry& dentry) {
  dentry.IncRef();
  dentry.cached_ = true;
  Link(dentry);
  size++;
  if (size > limit) Trim();
}

void DentryCache::Remove(Dentry& dentry) {
  dentry.cached_ = false;
  Unlink(dentry);
  size--;
  dentry.DecRef();
}

void DentryCache::Trim() {
  // Bounded, so that a cache full of dentries in use does not make every miss walk all of it.
  constexpr int kMaxLooks = 32;
  for (int looks = 0; looks < kMaxLooks && size > limit; looks++) {
    Dentry& dentry = *oldest_;
    bool in_use = dentry.refs() > 1 || dentry.mounts > 0;
    if (in_use || dentry.used_) {
      dentry.used_ = false;
      Unlink(dentry);
      Link(dentry);
      continue;
    }
    dentry.Unhash();
    Remove(dentry);
  }
}

size_t DentryCache::Shrink(size_t count) {
  size_t dropped = 0;
  for (size_t looks = size; looks > 0 && dropped < count && oldest_ != nullptr; looks--) {
    Dentry& dentry = *oldest_;
    if (dentry.refs() > 1 || dentry.mounts > 0) {
      Unlink(dentry);
      Link(dentry);
      continue;
    }
    dentry.Unhash();
    Remove(dentry);
    dropped++;
  }
  return dropped;
}

size_t Dentry::ShrinkCache(size_t count) { return DentryCache::Get().Shrink(count); }

void Dentry::SetCacheLimit(size_t limit) {
  DentryCache& cache = DentryCache::Get();
  cache.limit = limit;
  for (size_t tries = 2 * cache.size / 32 + 1; tries > 0 && cache.size > limit; tries--) cache.Trim();
}

size_t Dentry::CacheSize() { return DentryCache::Get().size; }

// --- one dentry ------------------------------------------------------------------------------------------------------

Dentry::Dentry(RefPtr<Dentry> parent, std::string name, RefPtr<Inode> inode)
    : parent_(std::move(parent)), name_(std::move(name)) {
  SetInode(std::move(inode));
}

// The guest decides how deep trees are, so a chain of parents that only their children held goes in a loop, not by
// recursion.
Dentry::~Dentry() {
  RefPtr<Dentry> parent = std::move(parent_);
  while (parent && parent->refs() == 1) {
    if (parent->hashed_) parent->Unhash();
    RefPtr<Dentry> next = std::move(parent->parent_);
    parent = std::move(next);
  }
}

void Dentry::OnZeroRefs() {
  if (hashed_) Unhash();
  delete this;
}

void Dentry::SetInode(RefPtr<Inode> inode) {
  inode_ = std::move(inode);
  type_ = inode_ ? inode_->type() & S_IFMT : 0;
  must_revalidate_ = is_directory() && (inode_->revalidates() || !inode_->cacheable());
}

void Dentry::Hash() {
  CHECK(!hashed_);
  hashed_ = true;
  bool inserted = parent_->children_.emplace(name_, this).second;
  CHECK(inserted);
}

void Dentry::Unhash() {
  hashed_ = false;
  parent_->children_.erase(name_);
}

RefPtr<Dentry> Dentry::Insert(std::string_view name, RefPtr<Inode> inode) {
  auto child = MakeRef<Dentry>(RefPtr<Dentry>(this), std::string(name), std::move(inode));
  if (unlinked_) return child;  // a dead directory caches nothing
  child->Hash();
  if (inode_->cacheable()) DentryCache::Get().Add(*child);
  return child;
}

Result<RefPtr<Dentry>> Dentry::Child(std::string_view name) {
  if (!must_revalidate_) {
    if (Dentry* hit = FindChild(name)) return RefPtr<Dentry>(hit);
  }
  DirectoryLock::Shared lock(inode_->directory_lock);
  return ChildLocked(name);
}

Result<RefPtr<Dentry>> Dentry::ChildLocked(std::string_view name) {
  RefPtr<Dentry> hit = CachedChild(name);
  if (hit && must_revalidate_ && hit->mounts == 0 && !inode_->Revalidate(name, hit->inode_.get())) {
    hit->Forget();
    hit = nullptr;
  }
  if (hit) return hit;
  Result<RefPtr<Inode>> found = inode_->Lookup(name);
  if (!found.ok() && found.error() != Errno::kENOENT) return found.error();
  // Lookups of one name may run side by side: the first to come back makes the dentry.
  if (RefPtr<Dentry> other = CachedChild(name)) return other;
  return Insert(name, found.ok() ? *std::move(found) : nullptr);
}

void Dentry::Instantiate(RefPtr<Inode> inode) {
  CHECK(!inode_);
  SetInode(std::move(inode));
  if (!hashed_ && parent_ && parent_->FindChild(name_) == nullptr) Hash();
}

void Dentry::Forget() {
  if (hashed_) Unhash();
  if (cached_) DentryCache::Get().Remove(*this);
}

void Dentry::MarkUnlinked() {
  RefPtr<Dentry> self(this);
  DropChildren();
  unlinked_ = true;
  bool known = hashed_;
  Forget();
  // The name is now known to be free.
  if (known && parent_->inode_->cacheable()) (void)parent_->Insert(name_, nullptr);
}

void Dentry::Move(RefPtr<Dentry> new_parent, std::string new_name) {
  RefPtr<Dentry> self(this);
  if (Dentry* old = new_parent->FindChild(new_name); old != nullptr && old != this) old->Forget();
  if (hashed_) Unhash();
  RefPtr<Dentry> old_parent = std::exchange(parent_, std::move(new_parent));
  std::string old_name = std::exchange(name_, std::move(new_name));
  Hash();
  if (old_parent->inode_->cacheable() && old_parent->FindChild(old_name) == nullptr) {
    (void)old_parent->Insert(old_name, nullptr);
  }
}

void Dentry::Exchange(Dentry& a, Dentry& b) {
  if (a.hashed_) a.Unhash();
  if (b.hashed_) b.Unhash();
  std::swap(a.parent_, b.parent_);
  std::swap(a.name_, b.name_);
  a.Hash();
  b.Hash();
}

void Dentry::DropChildren() {
  // Depth first with a stack of its own: parents are dropped after their children, which hold them.
  std::vector<RefPtr<Dentry>> pending;
  auto push_children = [&pending](Dentry& dentry) {
    for (auto& [name, child] : dentry.children_) pending.emplace_back(child);
  };
  push_children(*this);
  std::vector<Dentry*> expanded;
  while (!pending.empty()) {
    Dentry& dentry = *pending.back();
    if (!dentry.children_.empty() && (expanded.empty() || expanded.back() != &dentry)) {
      expanded.push_back(&dentry);
      push_children(dentry);
      continue;
    }
    if (!expanded.empty() && expanded.back() == &dentry) expanded.pop_back();
    RefPtr<Dentry> last = std::move(pending.back());
    pending.pop_back();
    if (last->cached_ && last->refs() == 2 && last->mounts == 0) last->Forget();
  }
}

bool Dentry::IsDescendantOf(const Dentry& ancestor) const {
  for (const Dentry* dentry = this; dentry != nullptr; dentry = dentry->parent_.get()) {
    if (dentry == &ancestor) return true;
  }
  return false;
}

}  // namespace vfs
