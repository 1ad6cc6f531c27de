#pragma once

// A pseudo-terminal, pty(7): a master, on which a program plays the part of a person at a terminal, and a slave, the terminal.

#include "base/event_loop.h"
#include "vfs/fs/devpts/line_discipline.h"
#include "vfs/terminal.h"

namespace devpts {

class DevptsFs;

class Pty final : public vfs::Terminal, private LineDiscipline::Line {
 public:
  static constexpr unsigned kSlaveMajor = 136;

  Pty(RefPtr<DevptsFs> fs, unsigned index);
  ~Pty() override;

  unsigned index() const { return index_; }
  DevptsFs& fs() const { return *fs_; }

  // --- Terminal ---
  uint64_t device() const override;
  // A slave. EIO when locked (TIOCSPTLCK) or without a master, EBUSY under TIOCEXCL.
  Result<RefPtr<vfs::FileDescription>> Open(int flags) override;
  void Vhangup() override;

  // --- for the files of both sides ---
  Result<size_t> MasterRead(const IoVec& to);
  Result<size_t> MasterWrite(const IoVec& from);
  EventMask MasterReadiness() const;
  Result<uint64_t> MasterIoctl(uint32_t request, uint64_t argument, const vfs::IoctlContext& context);
  void MasterClosed();
  // `nonblocking`: VMIN and VTIME are for readers that wait.
  Result<size_t> SlaveRead(const IoVec& to, bool nonblocking);
  Result<size_t> SlaveWrite(const IoVec& from);
  EventMask SlaveReadiness() const;
  Result<uint64_t> SlaveIoctl(uint32_t request, uint64_t argument, const vfs::IoctlContext& context, bool readable);
  void SlaveOpened() { slaves_++, slave_closed_ = false; }
  void SlaveClosed();
  // Slaves opened before the last hang-up are dead; each remembers when it was opened.
  uint32_t hang_ups() const { return hang_ups_; }

  WaitQueue master_queue, slave_queue;

 private:
  static constexpr size_t kOutputLimit = 64 * 1024;

  void Signal(int signal) override;
  void FlushOutput() override;
  void OnStopped(bool stopped) override;

  // What both sides answer the same.
  Result<uint64_t> CommonIoctl(uint32_t request, uint64_t argument, const vfs::IoctlContext& context, bool master);
  Result<uint64_t> SetAttributes(uint32_t request, uint64_t argument, const vfs::IoctlContext& context, bool master);
  Result<uint64_t> SetWindowSize(uint64_t argument, const vfs::IoctlContext& context);
  Result<void> Flush(int which, bool master);
  void Report(uint8_t packet_status);

  const RefPtr<DevptsFs> fs_;
  const unsigned index_;
  LineDiscipline discipline_{*this};
  std::string output_;           // on its way to the master
  winsize window_ = {};
  int slaves_ = 0;               // open files
  bool slave_closed_ = false;    // there was one, and there is none
  bool master_closed_ = false;
  bool locked_ = true;
  bool exclusive_ = false;
  bool packet_mode_ = false;
  uint8_t packet_status_ = 0;
  uint32_t hang_ups_ = 0;
  base::Timer read_timer_;       // VTIME
  bool read_timed_out_ = false;
  size_t timed_size_ = 0;        // how much there was when the timer between characters was started
};

class MasterFile final : public vfs::FileDescription {
 public:
  static inline char kKind;
  explicit MasterFile(RefPtr<Pty> pty) : pty_(std::move(pty)) {}
  ~MasterFile() override { pty_->MasterClosed(); }

  const RefPtr<Pty>& pty() const { return pty_; }
  // The root of its devpts as it was reached, for TIOCGPTPEER.
  vfs::Path instance_root;

  const void* kind() const override { return &kKind; }
  bool stream() const override { return true; }
  Result<size_t> Read(const IoVec& to) override { return pty_->MasterRead(to); }
  Result<size_t> Write(const IoVec& from) override { return pty_->MasterWrite(from); }
  Result<int64_t> Seek(int64_t, int) override { return Errno::kESPIPE; }
  EventMask Readiness() override { return pty_->MasterReadiness(); }
  WaitQueue* wait_queue() override { return &pty_->master_queue; }
  Result<uint64_t> Ioctl(uint32_t request, uint64_t argument, const vfs::IoctlContext& context) override {
    return pty_->MasterIoctl(request, argument, context);
  }
  std::string FdInfo() override { return "tty-index:\t" + std::to_string(pty_->index()) + "\n"; }

 private:
  const RefPtr<Pty> pty_;
};

class SlaveFile final : public vfs::FileDescription {
 public:
  explicit SlaveFile(RefPtr<Pty> pty) : pty_(std::move(pty)), opened_at_(pty_->hang_ups()) { pty_->SlaveOpened(); }
  ~SlaveFile() override { pty_->SlaveClosed(); }

  vfs::Terminal* AsTerminal() override { return pty_.get(); }
  bool stream() const override { return true; }
  Result<size_t> Read(const IoVec& to) override {
    if (hung_up()) return size_t{0};
    return pty_->SlaveRead(to, nonblocking());
  }
  Result<size_t> Write(const IoVec& from) override {
    if (hung_up()) return Errno::kEIO;
    return pty_->SlaveWrite(from);
  }
  Result<int64_t> Seek(int64_t, int) override { return Errno::kESPIPE; }
  EventMask Readiness() override {
    if (hung_up()) return EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP;
    return pty_->SlaveReadiness();
  }
  WaitQueue* wait_queue() override { return &pty_->slave_queue; }
  Result<uint64_t> Ioctl(uint32_t request, uint64_t argument, const vfs::IoctlContext& context) override;

 private:
  bool hung_up() const { return opened_at_ != pty_->hang_ups(); }

  const RefPtr<Pty> pty_;
  const uint32_t opened_at_;
};

}  // namespace devpts
