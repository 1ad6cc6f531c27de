#include "vfs/fs/pipe/pipe_file.h"

#include <linux/magic.h>
#include <sys/ioctl.h>

#include "base/event_loop.h"
#include "vfs/operations.h"
#include "vfs/simple_statfs.h"
#include "vfs/special_file.h"

namespace pipefs {

namespace {

// The file system of pipes without a name.
class PipeFs : public vfs::FileSystem {
 public:
  PipeFs() : FileSystem("pipefs", "pipefs") {}
  RefPtr<vfs::Inode> root() override { return nullptr; }
  Result<struct statfs> StatFs() override { return vfs::SimpleStatFs(PIPEFS_MAGIC); }

  static PipeFs& Get() {
    static PipeFs* fs = new PipeFs;
    return *fs;
  }
};

class PipeInode : public vfs::Inode {
 public:
  explicit PipeInode(const Credentials& creds) : Inode(&PipeFs::Get()) {
    attributes_.dev = fs_->dev();
    attributes_.ino = fs_->NextIno();
    attributes_.mode = S_IFIFO | 0600;
    attributes_.uid = creds.fsuid;
    attributes_.gid = creds.fsgid;
    attributes_.atime = attributes_.mtime = attributes_.ctime = base::RealtimeNow();
  }

  uint64_t ino() const { return attributes_.ino; }
  Result<vfs::Attributes> Stat() override { return attributes_; }
  uint32_t type() const override { return S_IFIFO; }
  Result<void> SetAttr(const vfs::SetAttributes& changes) override {
    using Set = vfs::SetAttributes;
    const int64_t now = base::RealtimeNow();
    if (changes.valid & Set::kSize) return Errno::kEINVAL;
    if (changes.valid & Set::kMode) attributes_.mode = S_IFIFO | (changes.mode & 07777);
    if (changes.valid & Set::kUid) attributes_.uid = changes.uid;
    if (changes.valid & Set::kGid) attributes_.gid = changes.gid;
    if (changes.valid & Set::kAtime) attributes_.atime = changes.atime;
    if (changes.valid & Set::kMtime) attributes_.mtime = changes.mtime;
    if (changes.valid & Set::kAtimeNow) attributes_.atime = now;
    if (changes.valid & Set::kMtimeNow) attributes_.mtime = now;
    attributes_.ctime = now;
    return {};
  }
  // Through /proc/self/fd: a new end of the same pipe.
  Result<RefPtr<vfs::FileDescription>> Open(const vfs::OpenOptions& options, const Credentials&) override {
    return OpenFifo(*this, options.flags);
  }

 private:
  vfs::Attributes attributes_;
};

}  // namespace

PipeFile::PipeFile(RefPtr<Pipe> pipe, int mode)
    : pipe_(std::move(pipe)), reads_(mode != O_WRONLY), writes_(mode != O_RDONLY) {
  if (reads_) pipe_->AddReader();
  if (writes_) pipe_->AddWriter();
}

PipeFile::~PipeFile() {
  if (writes_) pipe_->RemoveWriter();
  if (reads_) pipe_->RemoveReader();
}

EventMask PipeFile::Readiness() {
  EventMask events = 0;
  if (reads_) {
    if (!pipe_->is_empty()) events |= EPOLLIN;
    if (pipe_->writers() == 0 && !(ignore_hang_up_ && hang_up_ignored_at_ == pipe_->writer_opens())) events |= EPOLLHUP;
  }
  if (writes_) {
    if (!pipe_->is_full()) events |= EPOLLOUT;
    if (pipe_->readers() == 0) events |= EPOLLERR;
  }
  return events;
}

Result<uint64_t> PipeFile::Ioctl(uint32_t request, uint64_t argument, const vfs::IoctlContext& context) {
  if (request != FIONREAD) return Errno::kENOTTY;
  TRY(context.memory.Write(argument, static_cast<int>(pipe_->bytes())));
  return uint64_t{0};
}

std::string PipeFile::LinkName() {
  if (&inode().fs() != &PipeFs::Get()) return "";  // a FIFO has a path
  return std::string(path().dentry->name());
}

Result<PipeEnds> CreatePipe(int flags, RefPtr<const Credentials> creds) {
  if ((flags & ~(O_CLOEXEC | O_NONBLOCK | O_DIRECT)) != 0) return Errno::kEINVAL;
  auto inode = MakeRef<PipeInode>(*creds);
  auto pipe = MakeRef<Pipe>();
  inode->attached = pipe;
  const std::string name = "pipe:[" + std::to_string(inode->ino()) + "]";
  PipeEnds ends;
  ends.read = MakeRef<PipeFile>(pipe, O_RDONLY);
  ends.write = MakeRef<PipeFile>(pipe, O_WRONLY);
  vfs::InitAnonymous(*ends.read, name, inode, O_RDONLY | (flags & O_NONBLOCK), creds);
  vfs::InitAnonymous(*ends.write, name, inode, O_WRONLY | (flags & (O_NONBLOCK | O_DIRECT)), creds);
  return ends;
}

Result<RefPtr<vfs::FileDescription>> OpenFifo(vfs::Inode& inode, int flags) {
  if (!inode.attached) inode.attached = MakeRef<Pipe>();
  auto pipe = RefPtr<Pipe>(static_cast<Pipe*>(inode.attached.get()));
  const int mode = flags & O_ACCMODE;
  const bool nonblocking = (flags & O_NONBLOCK) != 0;
  // A pipe's end, opened again by /proc/self/fd: all of its other ends may be closed for good, so nothing waits for them.
  const bool is_pipe = &inode.fs() == &PipeFs::Get();
  // Linux: fs/pipe.c fifo_open(). An opener waits for an opening, not for an open end: one that came and went counts.
  auto wait_for = [&](auto opens) -> Result<void> {
    const uint32_t before = opens();
    return base::BlockUntil<void>(pipe->queue, EPOLLIN | EPOLLOUT, base::kNoDeadline, [&]() -> Result<void> {
      if (opens() == before) return Errno::kEAGAIN;
      return {};
    });
  };
  switch (mode) {
    case O_RDONLY: {
      auto file = MakeRef<PipeFile>(pipe, mode);
      if (pipe->writers() == 0 && !is_pipe) {
        if (nonblocking) {
          file->ignore_hang_up_ = true;
          file->hang_up_ignored_at_ = pipe->writer_opens();
        } else {
          TRY(wait_for([&] { return pipe->writer_opens(); }));
        }
      }
      return RefPtr<vfs::FileDescription>(std::move(file));
    }
    case O_WRONLY: {
      if (nonblocking && pipe->readers() == 0 && !is_pipe) return Errno::kENXIO;
      auto file = MakeRef<PipeFile>(pipe, mode);
      if (pipe->readers() == 0 && !is_pipe) TRY(wait_for([&] { return pipe->reader_opens(); }));
      return RefPtr<vfs::FileDescription>(std::move(file));
    }
    case O_RDWR:
      return RefPtr<vfs::FileDescription>(MakeRef<PipeFile>(pipe, mode));
    default:
      return Errno::kEINVAL;
  }
}

void RegisterFifos() {
  vfs::RegisterFifoOpener([](const vfs::SpecialOpen& open) { return OpenFifo(open.place.inode(), open.flags); });
}

}  // namespace pipefs
