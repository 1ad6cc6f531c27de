#include "vfs/fs/anon/inotify.h"

#include <fmt/format.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>

#include <cstring>

#include "vfs/operations.h"

namespace anonfs {

namespace {

constexpr size_t kMaxQueued = 16384;       // /proc/sys/fs/inotify/max_queued_events
constexpr size_t kMaxWatches = 1 << 20;    // max_user_watches

constexpr uint32_t kKnown = IN_ALL_EVENTS | IN_UNMOUNT | IN_Q_OVERFLOW | IN_IGNORED | IN_ONLYDIR | IN_DONT_FOLLOW |
                            IN_EXCL_UNLINK | IN_MASK_CREATE | IN_MASK_ADD | IN_ISDIR | IN_ONESHOT;
constexpr uint32_t kKept = IN_ALL_EVENTS | IN_EXCL_UNLINK | IN_ONESHOT;

}  // namespace

class InotifyFile::InodeWatch final : public vfs::Watch {
 public:
  InodeWatch(InotifyFile& of, int number, const vfs::Inode& on) : file(of), descriptor(number), key(&on) {}

  void OnEvent(uint32_t event, uint32_t cookie, std::string_view name) override {
    file.Queue({descriptor, event, cookie, std::string(name)});
    if ((mask() & IN_ONESHOT) != 0) file.End(descriptor);
  }
  void OnIgnored() override { file.End(descriptor); }

  InotifyFile& file;
  const int descriptor;
  const vfs::Inode* const key;  // in by_inode_
};

InotifyFile::~InotifyFile() = default;

size_t InotifyFile::Event::size() const {
  if (name.empty()) return sizeof(inotify_event);
  // The name and at least one zero byte, up to a multiple of the header's size.
  return sizeof(inotify_event) + (name.size() / sizeof(inotify_event) + 1) * sizeof(inotify_event);
}

void InotifyFile::Queue(Event event) {
  if (events_.size() > kMaxQueued) return;
  if (events_.size() == kMaxQueued) event = {-1, IN_Q_OVERFLOW, 0, ""};
  // Two of the same in a row are one.
  if (!events_.empty() && events_.back() == event) return;
  events_.push_back(std::move(event));
  if (!queue_.empty()) queue_.Notify(EPOLLIN);
}

void InotifyFile::End(int descriptor) {
  auto it = watches_.find(descriptor);
  if (it == watches_.end()) return;
  std::unique_ptr<InodeWatch> watch = std::move(it->second);
  watches_.erase(it);
  by_inode_.erase(watch->key);
  Queue({descriptor, IN_IGNORED, 0, ""});
}

Result<int> InotifyFile::AddWatch(const vfs::Path& place, uint32_t mask) {
  if ((mask & kKnown) == 0) return Errno::kEINVAL;
  if ((mask & IN_MASK_ADD) != 0 && (mask & IN_MASK_CREATE) != 0) return Errno::kEINVAL;
  const vfs::Inode& inode = place.inode();
  if (auto it = by_inode_.find(&inode); it != by_inode_.end()) {
    if ((mask & IN_MASK_CREATE) != 0) return Errno::kEEXIST;
    InodeWatch& watch = *watches_[it->second];
    watch.set_mask((mask & IN_MASK_ADD) != 0 ? watch.mask() | (mask & kKept) : mask & kKept);
    return int{it->second};
  }
  if (vfs::watch_count >= kMaxWatches) return Errno::kENOSPC;
  // Numbers are not used again soon: who still has events of an old watch must not mistake them.
  do {
    last_descriptor_ = last_descriptor_ == INT32_MAX ? 1 : last_descriptor_ + 1;
  } while (watches_.contains(last_descriptor_));
  auto watch = std::make_unique<InodeWatch>(*this, last_descriptor_, inode);
  watch->Attach(place, mask & kKept);
  watches_[last_descriptor_] = std::move(watch);
  by_inode_[&inode] = last_descriptor_;
  return int{last_descriptor_};
}

Result<void> InotifyFile::RemoveWatch(int descriptor) {
  if (!watches_.contains(descriptor)) return Errno::kEINVAL;
  End(descriptor);
  return {};
}

Result<size_t> InotifyFile::Read(const IoVec& to) {
  if (events_.empty()) return Errno::kEAGAIN;
  size_t done = 0;
  while (!events_.empty() && events_.front().size() <= to.size() - done) {
    const Event event = std::move(events_.front());
    events_.pop_front();
    std::string bytes(event.size(), '\0');
    const inotify_event header = {.wd = event.descriptor,
                                  .mask = event.mask,
                                  .cookie = event.cookie,
                                  .len = static_cast<uint32_t>(bytes.size() - sizeof(inotify_event))};
    memcpy(bytes.data(), &header, sizeof header);
    memcpy(bytes.data() + sizeof header, event.name.data(), event.name.size());
    if (to.Write(done, bytes.data(), bytes.size()) < bytes.size()) return Errno::kEFAULT;
    done += bytes.size();
  }
  if (done == 0) return Errno::kEINVAL;
  return done;
}

Result<uint64_t> InotifyFile::Ioctl(uint32_t request, uint64_t argument, const vfs::IoctlContext& context) {
  if (request != FIONREAD) return Errno::kENOTTY;
  int bytes = 0;
  for (const Event& event : events_) bytes += event.size();
  TRY(context.memory.Write(argument, bytes));
  return uint64_t{0};
}

std::string InotifyFile::FdInfo() {
  struct Line {
    int descriptor;
    uint32_t mask;
    RefPtr<vfs::Inode> inode;
  };
  // Stat may drop the kernel lock, and the watches may change meanwhile.
  std::vector<Line> lines;
  for (const auto& [descriptor, watch] : watches_) {
    lines.push_back({descriptor, watch->mask(), RefPtr<vfs::Inode>(const_cast<vfs::Inode*>(watch->inode()))});
  }
  std::string info;
  for (const Line& line : lines) {
    Result<vfs::Attributes> attributes = line.inode->Stat();
    if (!attributes.ok()) continue;
    info += fmt::format("inotify wd:{:x} ino:{:x} sdev:{:x} mask:{:x} ignored_mask:0 \n", line.descriptor, attributes->ino,
                        attributes->dev, line.mask);
  }
  return info;
}

Result<RefPtr<vfs::FileDescription>> CreateInotify(int flags, RefPtr<const Credentials> creds) {
  if ((flags & ~(IN_CLOEXEC | IN_NONBLOCK)) != 0) return Errno::kEINVAL;
  auto file = MakeRef<InotifyFile>();
  vfs::InitAnonymous(*file, "anon_inode:inotify", 0600, O_RDONLY | (flags & O_NONBLOCK), std::move(creds));
  return RefPtr<vfs::FileDescription>(std::move(file));
}

}  // namespace anonfs
