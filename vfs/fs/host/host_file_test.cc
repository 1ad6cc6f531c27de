#include "vfs/fs/host/host_file.h"

#include <gtest/gtest.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <thread>

#include "base/event_loop.h"
#include "base/kernel_lock.h"

namespace hostfs_fd {
namespace {

using File = RefPtr<vfs::FileDescription>;

// Memory of this process as that of the application.
class OwnMemory : public UserMemory {
 public:
  Result<void> CopyIn(void* to, UserAddress from, size_t size) override {
    memcpy(to, reinterpret_cast<void*>(from), size);
    return {};
  }
  Result<void> CopyOut(UserAddress to, const void* from, size_t size) override {
    memcpy(reinterpret_cast<void*>(to), from, size);
    return {};
  }
  Result<std::string> CopyInString(UserAddress from, size_t) override { return std::string(reinterpret_cast<char*>(from)); }
};

class HostFileTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    signal(SIGPIPE, SIG_IGN);
    base::EventLoop::Get().Init();
  }
  HostFileTest() : event_thread_([] { base::EventLoop::Get().Run(); }) {
    // Stop() before Run() has begun would be lost.
    std::atomic<bool> runs = false;
    base::Timer timer([&] {
      runs = true;
      runs.notify_all();
    });
    {
      KernelLock::Section section;
      timer.Arm(0);
    }
    runs.wait(false);
    KernelLock::Section section;  // the callback is over
  }
  ~HostFileTest() override {
    {
      KernelLock::Section section;
      base::EventLoop::Get().Stop();
    }
    event_thread_.join();
  }

  static File Import(int fd) {
    return ImportHostFd(Fd(fd), RefPtr<const Credentials>(Credentials::Root(MakeRef<base::UserNamespace>(nullptr, 0)))).value();
  }
  static std::string Read(const File& file, size_t size = 100) {
    std::string text(size, 0);
    Result<size_t> n = file->Read(IoVec(text.data(), size));
    if (!n.ok()) return std::string(base::ErrnoName(n.error()));
    text.resize(*n);
    return text;
  }
  static Result<size_t> Write(const File& file, std::string text) { return file->Write(IoVec(text.data(), text.size())); }
  // Runs `body` on a fiber and returns when it ended.
  static void OnFiber(absl::AnyInvocable<void()> body) {
    std::atomic<bool> done = false;
    {
      KernelLock::Section section;
      Fiber::Start([&] {
        body();
        done = true;
        done.notify_all();
      });
    }
    done.wait(false);
  }
  static Result<uint64_t> Ioctl(const File& file, uint32_t request, void* argument) {
    OwnMemory memory;
    vfs::IoctlContext context{memory, *file->creds()};
    return file->Ioctl(request, reinterpret_cast<uint64_t>(argument), context);
  }

  std::thread event_thread_;
};

TEST_F(HostFileTest, PipesDoNotWaitAndKeepTheHostsFlags) {
  int fds[2];
  ASSERT_EQ(pipe(fds), 0);
  {
    KernelLock::Section section;
    File in = Import(dup(fds[0])), out = Import(dup(fds[1]));
    EXPECT_EQ(Read(in), "EAGAIN");
    EXPECT_EQ(in->Readiness(), 0u);
    EXPECT_EQ(out->Readiness(), EventMask{EPOLLOUT});
    EXPECT_EQ(*Write(out, "hello"), 5u);
    EXPECT_EQ(in->Readiness(), EventMask{EPOLLIN});
    int bytes = 0;
    EXPECT_TRUE(Ioctl(in, FIONREAD, &bytes).ok());
    EXPECT_EQ(bytes, 5);
    EXPECT_EQ(Read(in), "hello");
    size_t total = 0;
    for (;;) {
      Result<size_t> n = Write(out, std::string(10000, 'x'));
      if (!n.ok()) {
        EXPECT_EQ(n.error(), Errno::kEAGAIN);
        break;
      }
      total += *n;
    }
    EXPECT_GE(total, 60000u);
    EXPECT_EQ(fcntl(fds[0], F_GETFL) & O_NONBLOCK, 0);
    EXPECT_EQ(in->Seek(0, SEEK_CUR).error(), Errno::kESPIPE);
    EXPECT_TRUE(in->LinkName().starts_with("pipe:["));
  }
  close(fds[0]);
  close(fds[1]);
}

TEST_F(HostFileTest, ABlockedReaderIsWokenByTheHost) {
  int fds[2];
  ASSERT_EQ(pipe(fds), 0);
  std::string got;
  std::thread writer;
  OnFiber([&] {
    File in = Import(fds[0]);
    for (int round = 0; round < 3; round++) {
      writer = std::thread([&] { ASSERT_EQ(write(fds[1], "x", 1), 1); });
      char c;
      Result<size_t> n =
          base::BlockUntil<size_t>(*in->wait_queue(), EPOLLIN, base::kNoDeadline, [&] { return in->Read(IoVec(&c, 1)); });
      if (n.ok()) got.append(&c, *n);
      writer.join();
    }
    close(fds[1]);
    EXPECT_EQ(in->Readiness(), EventMask{EPOLLHUP});
    EXPECT_EQ(Read(in), "");
  });
  EXPECT_EQ(got, "xxx");
}

TEST_F(HostFileTest, ABlockedWriterIsWokenByTheHost) {
  int fds[2];
  ASSERT_EQ(pipe(fds), 0);
  std::thread reader;
  OnFiber([&] {
    File out = Import(fds[1]);
    while (Write(out, std::string(4096, 'x')).ok()) {
    }
    reader = std::thread([&] {
      char buffer[8192];
      ASSERT_EQ(read(fds[0], buffer, sizeof buffer), 8192);
    });
    Result<size_t> n =
        base::BlockUntil<size_t>(*out->wait_queue(), EPOLLOUT, base::kNoDeadline, [&] { return Write(out, "y"); });
    EXPECT_EQ(*n, 1u);
  });
  reader.join();
  KernelLock::Section section;
  close(fds[0]);
}

TEST_F(HostFileTest, RegularFilesShareTheHostsPosition) {
  int fd = memfd_create("test", 0);
  ASSERT_EQ(write(fd, "0123456789", 10), 10);
  ASSERT_EQ(lseek(fd, 2, SEEK_SET), 2);
  KernelLock::Section section;
  File file = Import(dup(fd));
  EXPECT_EQ(Read(file, 3), "234");
  EXPECT_EQ(lseek(fd, 0, SEEK_CUR), 5);
  EXPECT_EQ(*file->Seek(1, SEEK_SET), 1);
  EXPECT_EQ(*Write(file, "ab"), 2u);
  file->set_flags(O_RDWR | O_APPEND);
  EXPECT_EQ(*Write(file, "end"), 3u);
  char all[14] = {};
  EXPECT_EQ(*file->ReadAt(IoVec(all, 13), 0, 0), 13u);
  EXPECT_STREQ(all, "0ab3456789end");
  EXPECT_EQ(file->wait_queue(), nullptr);
  EXPECT_EQ(file->Stat()->size, 13u);
  close(fd);
}

TEST_F(HostFileTest, DevNull) {
  KernelLock::Section section;
  File file = Import(open("/dev/null", O_RDWR));
  EXPECT_EQ(*Write(file, "gone"), 4u);
  EXPECT_EQ(Read(file), "");
  EXPECT_EQ(file->wait_queue(), nullptr);
  EXPECT_EQ(file->AsTerminal(), nullptr);
  EXPECT_EQ(Ioctl(file, TCGETS, nullptr).error(), Errno::kENOTTY);
}

TEST_F(HostFileTest, Sockets) {
  int fds[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
  KernelLock::Section section;
  File file = Import(fds[0]);
  EXPECT_EQ(Read(file), "EAGAIN");
  EXPECT_EQ(*Write(file, "hi"), 2u);
  char buffer[3] = {};
  EXPECT_EQ(read(fds[1], buffer, 2), 2);
  close(fds[1]);
  EXPECT_EQ(Write(file, "x").error(), Errno::kEPIPE);
}

TEST_F(HostFileTest, TerminalsPassOnAttributesAndWindowSizeOnly) {
  int master, slave;
  ASSERT_EQ(openpty(&master, &slave, nullptr, nullptr, nullptr), 0);
  OnFiber([&] {
    File file = Import(slave);
    EXPECT_NE(file->AsTerminal(), nullptr);
    EXPECT_EQ(Import(dup(slave))->AsTerminal(), file->AsTerminal());
    EXPECT_EQ(&Import(dup(slave))->inode(), &file->inode());
    winsize size = {.ws_row = 33, .ws_col = 44};
    EXPECT_TRUE(Ioctl(file, TIOCSWINSZ, &size).ok());
    winsize seen = {};
    EXPECT_TRUE(Ioctl(file, TIOCGWINSZ, &seen).ok());
    EXPECT_EQ(seen.ws_col, 44);
    char attributes[60];
    EXPECT_TRUE(Ioctl(file, TCGETS, attributes).ok());
    EXPECT_TRUE(Ioctl(file, TCSETS, attributes).ok());
    char c = 'x';
    EXPECT_EQ(Ioctl(file, TIOCSTI, &c).error(), Errno::kENOTTY);
    EXPECT_EQ(Read(file), "EAGAIN");
    EXPECT_EQ(write(master, "ls\n", 3), 3);
    Result<size_t> n = 0;
    char line[8];
    n = base::BlockUntil<size_t>(*file->wait_queue(), EPOLLIN, base::kNoDeadline,
                                 [&] { return file->Read(IoVec(line, 8)); });
    EXPECT_EQ(std::string(line, *n), "ls\n");
    EXPECT_EQ(*Write(file, "ok"), 2u);
    file->AsTerminal()->Vhangup();
    EXPECT_EQ(Write(file, "ok").error(), Errno::kEIO);
    EXPECT_EQ(Read(file), "");
    File again = Import(dup(slave));
    EXPECT_EQ(*Write(again, "ok"), 2u);
  });
  KernelLock::Section section;
  close(master);
}

TEST_F(HostFileTest, OpenedAgain) {
  int fds[2];
  ASSERT_EQ(pipe(fds), 0);
  KernelLock::Section section;
  File out = Import(fds[1]);
  EXPECT_EQ(out->inode().Open({.flags = O_RDONLY}, *out->creds()).error(), Errno::kEACCES);
  auto again = out->inode().Open({.flags = O_WRONLY | O_APPEND}, *out->creds());
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(*Write(out, "1"), 1u);
  char buffer[2];
  EXPECT_EQ(read(fds[0], buffer, 2), 1);
  close(fds[0]);
}

}  // namespace
}  // namespace hostfs_fd
