#pragma once

// The files of a pipe. pipe2(2): CreatePipe. open(2) of a FIFO: OpenFifo. fcntl(2) F_GETPIPE_SZ, F_SETPIPE_SZ: FileAs<PipeFile>
// (EBADF where it is null) and its pipe().

#include <string>

#include "vfs/file_description.h"
#include "vfs/fs/pipe/pipe.h"

namespace pipefs {

class PipeFile final : public vfs::FileDescription {
 public:
  static inline char kKind;
  // `mode`: O_RDONLY, O_WRONLY or O_RDWR.
  PipeFile(RefPtr<Pipe> pipe, int mode);
  ~PipeFile() override;

  Pipe& pipe() const { return *pipe_; }

  const void* kind() const override { return &kKind; }
  bool stream() const override { return true; }
  Result<size_t> Read(const IoVec& to) override { return pipe_->Read(to); }
  Result<size_t> Write(const IoVec& from) override { return pipe_->Write(from, (flags() & O_DIRECT) != 0); }
  Result<int64_t> Seek(int64_t, int) override { return Errno::kESPIPE; }
  EventMask Readiness() override;
  WaitQueue* wait_queue() override { return &pipe_->queue; }
  Result<uint64_t> Ioctl(uint32_t request, uint64_t argument, const vfs::IoctlContext& context) override;
  std::string LinkName() override;

 private:
  friend Result<RefPtr<vfs::FileDescription>> OpenFifo(vfs::Inode& inode, int flags);

  const RefPtr<Pipe> pipe_;
  const bool reads_, writes_;
  // A reader of a FIFO that was opened (O_NONBLOCK) before any writer sees no hang-up until one came and went: the count
  // of openings at which there is still none to report.
  bool ignore_hang_up_ = false;
  uint32_t hang_up_ignored_at_ = 0;
};

struct PipeEnds {
  RefPtr<vfs::FileDescription> read, write;
};

// `flags`: O_CLOEXEC (left to the caller), O_NONBLOCK, O_DIRECT; else EINVAL.
Result<PipeEnds> CreatePipe(int flags, RefPtr<const Credentials> creds);

// Opens the FIFO `inode` (S_IFIFO; its pipe is made on first use) as fifo(7) says: parks the calling fiber until the other
// side is there, unless O_NONBLOCK (ENXIO for a writer without readers). ERESTARTSYS when interrupted. The caller calls Init.
Result<RefPtr<vfs::FileDescription>> OpenFifo(vfs::Inode& inode, int flags);

// Has vfs open all FIFOs by OpenFifo. Once, at start-up.
void RegisterFifos();

}  // namespace pipefs
