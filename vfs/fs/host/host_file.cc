#include "vfs/fs/host/host_file.h"

#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/event_loop.h"
#include "base/host.h"
#include "base/kernel_lock.h"
#include "vfs/anonymous.h"
#include "vfs/fs/host/host_terminal.h"
#include "vfs/operations.h"
#include "vfs/simple_statfs.h"

namespace hostfs_fd {

namespace {

// The file system that host files are said to be on.
class HostFs : public vfs::FileSystem {
 public:
  HostFs() : FileSystem("hostfs", "none") {}
  RefPtr<vfs::Inode> root() override { return nullptr; }
  Result<struct statfs> StatFs() override { return vfs::SimpleStatFs(0); }
  static HostFs& Get() {
    static HostFs* fs = new HostFs;
    return *fs;
  }
};

// Owner, permissions and times are the sandbox's own idea; what the file is, and how long, is the host's.
class HostInode : public vfs::Inode {
 public:
  HostInode(RefPtr<HostDescriptor> host, RefPtr<HostTerminal> terminal, const Credentials& creds)
      : Inode(&HostFs::Get()), host_(std::move(host)), terminal_(std::move(terminal)) {
    attributes_.dev = fs_->dev();
    // The host's: programs compare numbers to find that two descriptors are one file.
    attributes_.ino = host_->ino();
    attributes_.mode = (host_->mode() & S_IFMT) | (terminal_ ? 0620 : host_->waits() ? 0600 : host_->mode() & 0777);
    attributes_.uid = creds.fsuid;
    attributes_.gid = creds.fsgid;
    attributes_.rdev = host_->rdev();
    attributes_.atime = attributes_.mtime = attributes_.ctime = base::RealtimeNow();
    if (terminal_) terminal_->inode = this;
  }
  ~HostInode() override {
    if (terminal_ && terminal_->inode == this) terminal_->inode = nullptr;
  }

  Result<vfs::Attributes> Stat() override {
    if (type() == S_IFREG) {
      struct stat stat;
      TRY(HOST(fstat(host_->fd(), &stat)));
      attributes_.size = stat.st_size;
      attributes_.blocks = stat.st_blocks;
      attributes_.mtime = stat.st_mtim.tv_sec * 1'000'000'000LL + stat.st_mtim.tv_nsec;
    }
    return attributes_;
  }
  uint32_t type() const override { return host_->mode() & S_IFMT; }
  Result<void> SetAttr(const vfs::SetAttributes& changes) override {
    using Set = vfs::SetAttributes;
    if (changes.valid & Set::kSize) {
      if (type() != S_IFREG) return Errno::kEINVAL;
      KernelLock::Unlocked unlocked;
      TRY(HOST_RETRY(ftruncate(host_->fd(), changes.size)));
    }
    if (changes.valid & Set::kMode) attributes_.mode = type() | (changes.mode & 07777);
    if (changes.valid & Set::kUid) attributes_.uid = changes.uid;
    if (changes.valid & Set::kGid) attributes_.gid = changes.gid;
    attributes_.ctime = base::RealtimeNow();
    return {};
  }
  // A further description of the same host file: its position and status flags on the host are shared.
  Result<RefPtr<vfs::FileDescription>> Open(const vfs::OpenOptions& options, const Credentials&) override {
    const int have = host_->flags() & O_ACCMODE, want = options.flags & O_ACCMODE;
    if (type() == S_IFSOCK) return Errno::kENXIO;
    if (have != O_RDWR && have != want) return Errno::kEACCES;
    if (terminal_ && terminal_->owner() != nullptr) terminal_->owner()->OnOpen(options.flags);
    return RefPtr<vfs::FileDescription>(MakeRef<HostFile>(host_, terminal_));
  }

 private:
  const RefPtr<HostDescriptor> host_;
  const RefPtr<HostTerminal> terminal_;
  vfs::Attributes attributes_;
};

bool Seekable(const HostDescriptor& host) { return S_ISREG(host.mode()) || S_ISBLK(host.mode()); }

}  // namespace

HostFile::HostFile(RefPtr<HostDescriptor> host, RefPtr<HostTerminal> terminal)
    : host_(std::move(host)), terminal_(std::move(terminal)), opened_at_(terminal_ ? terminal_->hang_ups() : 0) {}

bool HostFile::hung_up() const { return terminal_ && terminal_->hang_ups() != opened_at_; }

HostFile::~HostFile() = default;

vfs::Terminal* HostFile::AsTerminal() { return terminal_.get(); }

Result<size_t> HostFile::ReadAt(const IoVec& to, uint64_t offset, int) {
  if (!Seekable(*host_)) return Errno::kESPIPE;
  KernelLock::Unlocked unlocked;
  return static_cast<size_t>(TRY(HOST_RETRY(preadv(host_->fd(), to.data(), to.count(), offset))));
}

Result<size_t> HostFile::WriteAt(const IoVec& from, uint64_t offset, int) {
  if (!Seekable(*host_)) return Errno::kESPIPE;
  KernelLock::Unlocked unlocked;
  return static_cast<size_t>(TRY(HOST_RETRY(pwritev(host_->fd(), from.data(), from.count(), offset))));
}

Result<size_t> HostFile::Read(const IoVec& to) {
  if (hung_up()) return size_t{0};
  if (terminal_) TRY(terminal_->BeforeRead());
  return host_->Read(to);
}

Result<size_t> HostFile::Write(const IoVec& from) {
  if (hung_up()) return Errno::kEIO;
  if (terminal_) TRY(terminal_->BeforeWrite());
  const bool append = (flags() & O_APPEND) != 0 && (host_->flags() & O_APPEND) == 0 && !host_->waits();
  return host_->Write(from, append ? RWF_APPEND : 0);
}

Result<size_t> HostFile::AppendWrite(const IoVec& from, uint64_t* end) {
  size_t n = TRY(host_->Write(from, Seekable(*host_) ? RWF_APPEND : 0));
  if (Seekable(*host_)) *end = TRY(HOST(lseek(host_->fd(), 0, SEEK_END)));
  return n;
}

Result<int64_t> HostFile::Seek(int64_t offset, int whence) {
  if (host_->waits()) return Errno::kESPIPE;
  return int64_t{TRY(HOST(lseek(host_->fd(), offset, whence)))};
}

Result<void> HostFile::Sync(bool data_only) {
  if (!Seekable(*host_)) return Errno::kEINVAL;
  KernelLock::Unlocked unlocked;
  TRY(HOST_RETRY(data_only ? fdatasync(host_->fd()) : fsync(host_->fd())));
  return {};
}

EventMask HostFile::Readiness() {
  if (hung_up()) return EPOLLIN | EPOLLOUT | EPOLLHUP | EPOLLERR;
  return host_->Readiness();
}

Result<uint64_t> HostFile::Ioctl(uint32_t request, uint64_t argument, const vfs::IoctlContext& context) {
  if (hung_up()) return Errno::kEIO;
  if (request == FIONREAD && (host_->waits() || S_ISREG(host_->mode()))) {
    int bytes = 0;
    TRY(HOST(ioctl(host_->fd(), FIONREAD, &bytes)));
    TRY(context.memory.Write(argument, bytes));
    return uint64_t{0};
  }
  if (terminal_) return terminal_->Ioctl(request, argument, context, readable());
  return Errno::kENOTTY;
}

std::string HostFile::LinkName() {
  if (!vfs::IsAnonymousMount(*path().mount)) return "";  // opened by a path
  if (terminal_ && !terminal_->name.empty()) return terminal_->name;
  return std::string(path().dentry->name());
}

Result<RefPtr<vfs::FileDescription>> ImportHostFd(Fd fd, RefPtr<const Credentials> creds) {
  RefPtr<HostDescriptor> host = TRY(HostDescriptor::Create(std::move(fd)));
  RefPtr<HostTerminal> terminal;
  if (host->type() == HostDescriptor::Type::kTerminal) terminal = HostTerminal::Of(host);
  RefPtr<vfs::Inode> inode;
  if (terminal && terminal->inode != nullptr && terminal->inode->TryIncRef()) {
    inode = RefPtr<vfs::Inode>::Adopt(terminal->inode);
  } else {
    inode = MakeRef<HostInode>(host, terminal, *creds);
  }
  const std::string number = "[" + std::to_string(host->ino()) + "]";
  std::string name = "host:" + number;
  if (S_ISFIFO(host->mode())) name = "pipe:" + number;
  if (S_ISSOCK(host->mode())) name = "socket:" + number;
  if (terminal) name = "/dev/console";
  if (S_ISCHR(host->mode()) && host->rdev() == makedev(1, 3)) name = "/dev/null";
  auto file = MakeRef<HostFile>(host, terminal);
  vfs::InitAnonymous(*file, name, inode, host->flags(), std::move(creds));
  return RefPtr<vfs::FileDescription>(std::move(file));
}

}  // namespace hostfs_fd
