#include "vfs/path_walk.h"

#include <limits.h>
#include <string.h>

#include "vfs/permission.h"
#include "vfs/walker.h"

#ifndef MS_NOSYMFOLLOW
#define MS_NOSYMFOLLOW 256
#endif

namespace vfs {

namespace {
constexpr uint64_t kScoped = RESOLVE_BENEATH | RESOLVE_IN_ROOT;
}

Walker::Walker(const WalkContext& context, uint64_t resolve)
    : context_(context), creds_(*context.creds), resolve_(resolve),
      root_((resolve & kScoped) != 0 ? context.start : context.root),
      privileged_((!creds_.user_ns || creds_.user_ns->is_root()) &&
                  (creds_.effective & (base::CapabilityBit(CAP_DAC_OVERRIDE) | base::CapabilityBit(CAP_DAC_READ_SEARCH))) != 0) {}

void Walker::Pin() {
  if (mount_pin_.get() != mount_) mount_pin_ = RefPtr<Mount>(mount_);
  if (dentry_pin_.get() != dentry_) dentry_pin_ = RefPtr<Dentry>(dentry_);
}

Path Walker::Place() {
  Pin();
  return {mount_pin_, dentry_pin_};
}

Path Walker::TakePlace() {
  Pin();
  return {std::move(mount_pin_), std::move(dentry_pin_)};
}

Result<void> Walker::Begin(std::string_view name) {
  if (name.size() >= PATH_MAX) return Errno::kENAMETOOLONG;
  if (!name.empty() && name[0] == '/') {
    if ((resolve_ & RESOLVE_BENEATH) != 0) return Errno::kEXDEV;
    mount_ = root_.mount.get();
    dentry_ = root_.dentry.get();
  } else {
    mount_ = context_.start.mount.get();
    dentry_ = context_.start.dentry.get();
    if (!name.empty() && !dentry_->is_directory()) return Errno::kENOTDIR;
  }
  return {};
}

Result<void> Walker::ToRoot() {
  if ((resolve_ & RESOLVE_BENEATH) != 0) return Errno::kEXDEV;
  if ((resolve_ & RESOLVE_NO_XDEV) != 0 && mount_ != root_.mount.get()) return Errno::kEXDEV;
  mount_ = root_.mount.get();
  dentry_ = root_.dentry.get();
  return {};
}

Result<void> Walker::MaySearch() {
  if (!dentry_->is_directory()) return Errno::kENOTDIR;
  Inode& inode = *dentry_->inode();
  if (privileged_ && !inode.custom_permission()) return {};
  Pin();
  return inode.CheckPermission(creds_, kMayExec);
}

Result<void> Walker::CrossMounts(Mount** mount, Dentry** dentry) {
  while ((*dentry)->mounts > 0) {
    Mount* on_top = (*mount)->ChildAt(**dentry);
    if (on_top == nullptr) break;
    if ((resolve_ & RESOLVE_NO_XDEV) != 0) return Errno::kEXDEV;
    *mount = on_top;
    *dentry = on_top->root().get();
  }
  return {};
}

Result<void> Walker::Descend(std::string_view name) {
  next_ = dentry_->must_revalidate() ? nullptr : dentry_->FindChild(name);
  if (next_ == nullptr) {
    if (name.size() > NAME_MAX) return Errno::kENAMETOOLONG;
    if ((resolve_ & RESOLVE_CACHED) != 0) return Errno::kEAGAIN;
    Pin();
    dentry_->inode()->LookupAhead(rest_, open_access_);
    next_pin_ = TRY(dentry_->Child(name));
    next_ = next_pin_.get();
  }
  next_mount_ = mount_;
  if (next_->mounts > 0) TRY(CrossMounts(&next_mount_, &next_));
  return {};
}

Result<void> Walker::Enter(const Path& child) {
  mount_pin_ = child.mount;
  dentry_pin_ = child.dentry;
  mount_ = mount_pin_.get();
  dentry_ = dentry_pin_.get();
  return CrossMounts(&mount_, &dentry_);
}

Result<void> Walker::DotDot() {
  if (mount_ == root_.mount.get() && dentry_ == root_.dentry.get()) {
    return (resolve_ & RESOLVE_BENEATH) != 0 ? Result<void>(Errno::kEXDEV) : Result<void>();
  }
  Mount* mount = mount_;
  Dentry* dentry = dentry_;
  while (dentry == mount->root().get()) {
    if (!mount->mountpoint.valid()) return {};  // the top of its tree
    dentry = mount->mountpoint.dentry.get();
    mount = mount->mountpoint.mount.get();
    // The process's root with something mounted over it: there is no way up from on top of it.
    if (mount == root_.mount.get() && dentry == root_.dentry.get()) return {};
    if ((resolve_ & RESOLVE_NO_XDEV) != 0) return Errno::kEXDEV;
  }
  if (!dentry->parent()) return {};
  // Parents and mount points are held by what we came from, which must stay as long as the walk stands on them.
  Pin();
  RefPtr<Mount> keep_mount(mount);
  RefPtr<Dentry> keep_dentry = dentry->parent();
  mount_pin_ = std::move(keep_mount);
  dentry_pin_ = std::move(keep_dentry);
  mount_ = mount_pin_.get();
  dentry_ = dentry_pin_.get();
  return CrossMounts(&mount_, &dentry_);
}

Result<std::string> Walker::ReadLink(const Path& link) {
  if (++links_ > kMaxSymlinks) return Errno::kELOOP;
  if ((link.mount->flags & MS_NOSYMFOLLOW) != 0 || (resolve_ & RESOLVE_NO_SYMLINKS) != 0) return Errno::kELOOP;
  Pin();
  if (link.inode().magic_link()) {
    if ((resolve_ & RESOLVE_NO_MAGICLINKS) != 0) return Errno::kELOOP;
    Path target = TRY(link.inode().FollowMagicLink(context_));
    if ((resolve_ & RESOLVE_NO_XDEV) != 0 && target.mount != mount_pin_) return Errno::kEXDEV;
    if ((resolve_ & kScoped) != 0) return Errno::kEXDEV;
    mount_pin_ = std::move(target.mount);
    dentry_pin_ = std::move(target.dentry);
    mount_ = mount_pin_.get();
    dentry_ = dentry_pin_.get();
    return std::string();
  }
  std::string text = TRY(link.inode().ReadLink(creds_));
  if (text.empty()) return Errno::kENOENT;
  return text;
}

// The walk stands in the directory of the link at next_.
Result<void> Walker::Follow() {
  Path link{RefPtr<Mount>(next_mount_), RefPtr<Dentry>(next_)};
  std::string text = TRY(ReadLink(link));
  if (text.empty()) return {};
  if (text[0] == '/') TRY(ToRoot());
  return WalkAll(text, true);
}

Result<void> Walker::Step(std::string_view name, bool follow) {
  TRY(MaySearch());
  rest_ = name;
  return StepSearchable(name, follow);
}

Result<void> Walker::StepSearchable(std::string_view name, bool follow) {
  if (name[0] == '.') {
    if (name.size() == 1) return {};
    if (name == "..") return DotDot();
  }
  TRY(Descend(name));
  if (next_->type() == 0) return Errno::kENOENT;
  if (follow && next_->is_symlink()) return Follow();
  mount_ = next_mount_;
  dentry_ = next_;
  if (next_pin_.get() == next_) {
    dentry_pin_ = std::move(next_pin_);
  }
  return {};
}

Result<void> Walker::StepLast(const Last& last, bool follow) {
  rest_ = last.name;
  if (!last.name.empty()) TRY(StepSearchable(last.name, follow || last.trailing_slash));
  if (last.trailing_slash && !dentry_->is_directory()) return Errno::kENOTDIR;
  return {};
}

Result<Walker::Last> Walker::WalkPrefix(std::string_view name) {
  const char* at = name.data();
  const char* const end = at + name.size();
  for (;;) {
    while (at != end && *at == '/') at++;
    if (at == end) return Last{};
    const char* start = at;
    at = static_cast<const char*>(memchr(at, '/', static_cast<size_t>(end - at)));
    if (at == nullptr) at = end;
    std::string_view component(start, static_cast<size_t>(at - start));
    const char* after = at;
    while (after != end && *after == '/') after++;
    if (after == end) {
      TRY(MaySearch());
      return Last{.name = component, .trailing_slash = at != end};
    }
    at = after;
    TRY(MaySearch());
    rest_ = std::string_view(start, static_cast<size_t>(end - start));
    TRY(StepSearchable(component, true));
  }
}

Result<void> Walker::WalkAll(std::string_view name, bool follow) {
  Last last = TRY(WalkPrefix(name));
  return StepLast(last, follow);
}

Result<Path> Walk(const WalkContext& context, std::string_view name, unsigned flags, uint64_t resolve) {
  if (name.empty()) {
    if ((flags & kWalkEmptyPath) == 0) return Errno::kENOENT;
    if ((flags & kWalkDirectory) != 0 && !context.start.dentry->is_directory()) return Errno::kENOTDIR;
    return context.start;
  }
  Walker walker(context, resolve);
  TRY(walker.Begin(name));
  TRY(walker.WalkAll(name, (flags & kWalkFollow) != 0));
  if ((flags & kWalkDirectory) != 0 && !walker.dentry().is_directory()) return Errno::kENOTDIR;
  return walker.TakePlace();
}

Result<ParentAndName> WalkParent(const WalkContext& context, std::string_view name, uint64_t resolve) {
  if (name.empty()) return Errno::kENOENT;
  Walker walker(context, resolve);
  TRY(walker.Begin(name));
  Walker::Last last = TRY(walker.WalkPrefix(name));
  return ParentAndName{walker.TakePlace(), std::string(last.name), last.trailing_slash};
}

Result<Path> Step(const WalkContext& context, const Path& parent, std::string_view child) {
  if (!parent.dentry->is_directory()) return Errno::kENOTDIR;
  if (child.size() > NAME_MAX) return Errno::kENAMETOOLONG;
  TRY(parent.inode().CheckPermission(*context.creds, kMayExec));
  RefPtr<Dentry> dentry = TRY(parent.dentry->Child(child));
  return MountNamespace::TopOf({parent.mount, std::move(dentry)});
}

}  // namespace vfs
