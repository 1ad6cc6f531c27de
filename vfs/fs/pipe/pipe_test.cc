#include <gtest/gtest.h>
#include <sys/ioctl.h>

#include <string>

#include "base/kernel_lock.h"
#include "vfs/fs/pipe/pipe_file.h"

namespace pipefs {
namespace {

using base::FiberWaiter;

RefPtr<const Credentials> Creds() {
  return RefPtr<const Credentials>(Credentials::Root(MakeRef<base::UserNamespace>(nullptr, 0)));
}

class PipeTest : public testing::Test {
 protected:
  void Open(int flags = 0) {
    Result<PipeEnds> ends = CreatePipe(flags, Creds());
    ASSERT_TRUE(ends.ok());
    read_ = ends->read;
    write_ = ends->write;
  }
  Result<size_t> Write(std::string text) { return write_->Write(IoVec(text.data(), text.size())); }
  std::string Read(size_t size) {
    std::string text(size, 0);
    Result<size_t> n = read_->Read(IoVec(text.data(), size));
    if (!n.ok()) return std::string(base::ErrnoName(n.error()));
    text.resize(*n);
    return text;
  }
  Pipe& pipe() { return vfs::FileAs<PipeFile>(read_.get())->pipe(); }

  RefPtr<vfs::FileDescription> read_, write_;
};

TEST_F(PipeTest, RejectsUnknownFlags) { EXPECT_EQ(CreatePipe(O_APPEND, Creds()).error(), Errno::kEINVAL); }

TEST_F(PipeTest, CarriesBytes) {
  Open();
  EXPECT_EQ(read_->Readiness(), 0u);
  EXPECT_EQ(write_->Readiness(), EventMask{EPOLLOUT});
  EXPECT_EQ(Read(10), "EAGAIN");
  EXPECT_EQ(*Write("hello "), 6u);
  EXPECT_EQ(*Write("world"), 5u);
  EXPECT_EQ(pipe().bytes(), 11u);
  EXPECT_EQ(read_->Readiness(), EventMask{EPOLLIN});
  EXPECT_EQ(Read(3), "hel");
  EXPECT_EQ(Read(100), "lo world");
  EXPECT_EQ(read_->Seek(0, SEEK_CUR).error(), Errno::kESPIPE);
}

TEST_F(PipeTest, EndOfFileAndHangUp) {
  Open();
  ASSERT_TRUE(Write("x").ok());
  write_.reset();
  EXPECT_EQ(read_->Readiness(), EventMask{EPOLLIN | EPOLLHUP});
  EXPECT_EQ(Read(2), "x");
  EXPECT_EQ(Read(2), "");
  EXPECT_EQ(read_->Readiness(), EventMask{EPOLLHUP});
}

TEST_F(PipeTest, NoReadersIsEpipe) {
  Open();
  read_.reset();
  EXPECT_EQ(Write("x").error(), Errno::kEPIPE);
  EXPECT_EQ(write_->Readiness(), EventMask{EPOLLOUT | EPOLLERR});
}

TEST_F(PipeTest, FillsTo64KAndIsWritableAgainWhenAPageIsFree) {
  Open();
  EXPECT_EQ(*Write(std::string(100000, 'a')), 65536u);
  EXPECT_EQ(Write("b").error(), Errno::kEAGAIN);
  EXPECT_EQ(write_->Readiness(), 0u);
  Read(4095);
  EXPECT_EQ(write_->Readiness(), 0u);
  Read(1);
  EXPECT_EQ(write_->Readiness(), EventMask{EPOLLOUT});
}

TEST_F(PipeTest, WritesUpToPipeBufAreAtomic) {
  Open();
  ASSERT_EQ(*Write(std::string(65536 - 4096, 'a')), 65536u - 4096);
  ASSERT_EQ(*Write("z"), 1u);
  EXPECT_EQ(Write(std::string(4096, 'b')).error(), Errno::kEAGAIN);
  EXPECT_EQ(*Write(std::string(4095, 'b')), 4095u);
}

TEST_F(PipeTest, PacketsKeepTheirEnds) {
  Open(O_DIRECT);
  ASSERT_TRUE(Write("one").ok());
  ASSERT_TRUE(Write("two").ok());
  EXPECT_EQ(Read(2), "on");  // the rest of the packet is gone
  EXPECT_EQ(Read(100), "two");
}

TEST_F(PipeTest, Capacity) {
  Open();
  auto user = MakeRef<Credentials>();
  EXPECT_EQ(pipe().capacity_bytes(), 65536u);
  EXPECT_EQ(*pipe().SetCapacity(5000, *user), 8192u);
  EXPECT_EQ(*Write(std::string(10000, 'x')), 8192u);
  EXPECT_EQ(pipe().SetCapacity(0, *user).error(), Errno::kEBUSY);
  EXPECT_EQ(pipe().SetCapacity(2 << 20, *user).error(), Errno::kEPERM);
  EXPECT_EQ(*pipe().SetCapacity(1 << 20, *user), 1u << 20);
  EXPECT_EQ(*Write("more"), 4u);
  EXPECT_EQ(Read(10000), std::string(8192, 'x') + "more");
}

TEST_F(PipeTest, AFaultInTheMiddleIsAShortWriteAndAtTheStartEfault) {
  base::InstallSafeCopyHandler();
  Open();
  std::string good(5000, 'g');
  IoVec iov(good.data(), good.size());
  iov.Append(reinterpret_cast<void*>(16), 5000);
  EXPECT_EQ(*write_->Write(iov), 5000u);
  EXPECT_EQ(write_->Write(IoVec(reinterpret_cast<void*>(16), 8192)).error(), Errno::kEFAULT);
  EXPECT_EQ(read_->Read(IoVec(reinterpret_cast<void*>(16), 10)).error(), Errno::kEFAULT);
  EXPECT_EQ(pipe().bytes(), 5000u);
}

TEST_F(PipeTest, WakesAReader) {
  Open();
  std::string got;
  {
    KernelLock::Section section;
    Fiber::Start([&] {
      char buffer[8];
      Result<size_t> n = base::BlockUntil<size_t>(*read_->wait_queue(), EPOLLIN, base::kNoDeadline,
                                                  [&] { return read_->Read(IoVec(buffer, 8)); });
      got.assign(buffer, *n);
    });
  }
  EXPECT_EQ(got, "");
  {
    KernelLock::Section section;
    ASSERT_TRUE(Write("ping").ok());
  }
  EXPECT_EQ(got, "ping");
}

TEST_F(PipeTest, ReopenedEndJoinsThePipe) {
  Open();
  KernelLock::Section section;
  Result<RefPtr<vfs::FileDescription>> again = read_->inode().Open({.flags = O_WRONLY}, *Creds());
  ASSERT_TRUE(again.ok());
  write_.reset();
  EXPECT_EQ(Read(1), "EAGAIN");
  again = Errno::kEIO;
  EXPECT_EQ(Read(1), "");
}

// --- FIFOs ---

// A FIFO is a name in some file system; pipes proper are on one of their own.
class NamedInode final : public vfs::Inode {
 public:
  using Inode::Inode;
  uint32_t type() const override { return S_IFIFO; }
  Result<vfs::Attributes> Stat() override { return vfs::Attributes{.mode = S_IFIFO | 0600}; }
  Result<RefPtr<vfs::FileDescription>> Open(const vfs::OpenOptions&, const Credentials&) override { return Errno::kENXIO; }
};
class NamedFileSystem final : public vfs::FileSystem {
 public:
  NamedFileSystem() : FileSystem("named", "none") {}
  RefPtr<vfs::Inode> root() override { return nullptr; }
  Result<struct statfs> StatFs() override { return Errno::kENOSYS; }
};

class FifoTest : public PipeTest {
 protected:
  void SetUp() override {
    file_system_ = MakeRef<NamedFileSystem>();
    inode_ = MakeRef<NamedInode>(file_system_.get());
  }
  // Starts to open on a fiber; the result is in `*to` when it has.
  Fiber* StartOpen(int flags, RefPtr<vfs::FileDescription>* to, Errno* error = nullptr) {
    KernelLock::Section section;
    return Fiber::Start([this, flags, to, error] {
      auto result = OpenFifo(*inode_, flags);
      if (result.ok()) *to = *result;
      if (error != nullptr) *error = result.error();
    });
  }
  RefPtr<vfs::FileSystem> file_system_;
  RefPtr<vfs::Inode> inode_;
  RefPtr<vfs::FileDescription> r_, w_;
};

TEST_F(FifoTest, OpenersWaitForEachOther) {
  StartOpen(O_RDONLY, &r_);
  EXPECT_FALSE(r_);
  StartOpen(O_WRONLY, &w_);
  EXPECT_TRUE(r_);
  EXPECT_TRUE(w_);
}

TEST_F(FifoTest, NonblockingWriterNeedsAReader) {
  Errno error{};
  StartOpen(O_WRONLY | O_NONBLOCK, &w_, &error);
  EXPECT_EQ(error, Errno::kENXIO);
}

TEST_F(FifoTest, NonblockingReaderSeesNoHangUpBeforeAWriterWasThere) {
  StartOpen(O_RDONLY | O_NONBLOCK, &r_);
  ASSERT_TRUE(r_);
  EXPECT_EQ(r_->Readiness(), 0u);
  StartOpen(O_WRONLY, &w_);
  EXPECT_EQ(r_->Readiness(), 0u);
  w_.reset();
  EXPECT_EQ(r_->Readiness(), EventMask{EPOLLHUP});
}

TEST_F(FifoTest, AnInterruptedOpenLeavesNoEnd) {
  Errno error{};
  Fiber* fiber = StartOpen(O_RDONLY, &r_, &error);
  {
    KernelLock::Section section;
    fiber->Interrupt();
  }
  EXPECT_EQ(error, Errno::kERESTARTSYS);
  StartOpen(O_WRONLY | O_NONBLOCK, &w_, &error);
  EXPECT_EQ(error, Errno::kENXIO);
}

TEST_F(FifoTest, ContentsDieWithTheLastEnd) {
  StartOpen(O_RDWR, &r_);
  std::string text = "lost";
  ASSERT_TRUE(r_->Write(IoVec(text.data(), 4)).ok());
  r_.reset();
  StartOpen(O_RDWR, &r_);
  EXPECT_EQ(r_->Readiness(), EventMask{EPOLLOUT});
}

}  // namespace
}  // namespace pipefs
