#include "vfs/fs/devpts/devpts.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/sysmacros.h>
#include <termios.h>

#include <cstring>

#include "base/kernel_lock.h"
#include "vfs/file_system_type.h"
#include "vfs/operations.h"

namespace devpts {
namespace {

using File = RefPtr<vfs::FileDescription>;

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

std::string owner_log;
Errno access_error{};

class FakeOwner : public vfs::TerminalOwner {
 public:
  void SignalForeground(int signal) override { owner_log += "signal" + std::to_string(signal) + " "; }
  void HangUp() override { owner_log += "hangup "; }
  void OnOpen(int) override { owner_log += "open "; }
  Result<void> CheckAccess(Access) override {
    if (access_error != Errno{}) return access_error;
    return {};
  }
  Result<void> SetControlling(bool steal, bool) override {
    owner_log += steal ? "steal " : "control ";
    return {};
  }
  Result<void> GiveUp() override { return Errno::kENOTTY; }
  Result<int> ForegroundGroup(Side side) override { return side == Side::kMaster ? 77 : 78; }
  Result<void> SetForegroundGroup(Side, int group) override {
    owner_log += "group" + std::to_string(group) + " ";
    return {};
  }
  Result<int> Session(Side) override { return 5; }
};

class DevptsTest : public testing::Test {
 protected:
  DevptsTest() {
    owner_log = "";
    access_error = {};
    vfs::Terminal::SetOwnerFactory([](vfs::Terminal&) { return RefPtr<vfs::TerminalOwner>(MakeRef<FakeOwner>()); });
    fs_ = DevptsFs::Create(ParseOptions("gid=5,mode=620,ptmxmode=666,newinstance").value());
    ns_ = MakeRef<vfs::MountNamespace>(MakeRef<vfs::Mount>(RefPtr<vfs::FileSystem>(fs_), 0ul));
    static const bool registered = [] {
      Register();
      return true;
    }();
    (void)registered;
    context_.root = context_.start = ns_->RootPath();
    context_.creds = RefPtr<const Credentials>(Credentials::Root(MakeRef<base::UserNamespace>(nullptr, 0)));
  }

  File Open(std::string_view name, int flags = O_RDWR) { return vfs::Open(context_, name, flags, 0).value(); }
  Errno OpenError(std::string_view name) { return vfs::Open(context_, name, O_RDWR, 0).error(); }
  Result<uint64_t> Ioctl(const File& file, uint32_t request, void* argument) {
    OwnMemory memory;
    vfs::IoctlContext context{memory, *context_.creds};
    return file->Ioctl(request, reinterpret_cast<uint64_t>(argument), context);
  }
  template <class T>
  T Get(const File& file, uint32_t request) {
    T value{};
    EXPECT_TRUE(Ioctl(file, request, &value).ok());
    return value;
  }
  // A pair, unlocked, both open.
  void Pair(int slave_flags = O_RDWR) {
    master_ = Open("ptmx");
    int unlock = 0;
    EXPECT_TRUE(Ioctl(master_, TIOCSPTLCK, &unlock).ok());
    slave_ = Open(std::to_string(Get<unsigned>(master_, TIOCGPTN)), slave_flags);
  }
  static std::string Read(const File& file, size_t size = 1000) {
    std::string text(size, 0);
    Result<size_t> n = file->Read(IoVec(text.data(), size));
    if (!n.ok()) return std::string(base::ErrnoName(n.error()));
    text.resize(*n);
    return text;
  }
  static Errno Write(const File& file, std::string text) {
    Result<size_t> n = file->Write(IoVec(text.data(), text.size()));
    EXPECT_EQ(n.ok() ? *n : text.size(), text.size());
    return n.error();
  }
  void Change(void (*change)(Termios&)) {
    auto t = Get<Termios>(slave_, _IOR('T', 0x2A, Termios));
    change(t);
    EXPECT_TRUE(Ioctl(slave_, TCSETS, &t).ok());
  }

  RefPtr<DevptsFs> fs_;
  RefPtr<vfs::MountNamespace> ns_;
  vfs::WalkContext context_;
  File master_, slave_;
};

constexpr Errno kOk{};

TEST_F(DevptsTest, NamesComeAndGoWithMasters) {
  EXPECT_EQ(OpenError("0"), Errno::kENOENT);
  master_ = Open("ptmx");
  File second = Open("ptmx");
  EXPECT_EQ(Get<unsigned>(second, TIOCGPTN), 1u);
  EXPECT_EQ(Get<int>(master_, TIOCGPTLCK), 1);
  EXPECT_EQ(OpenError("0"), Errno::kEIO);  // locked
  vfs::Path place = vfs::Walk(context_, "1", 0).value();
  vfs::Attributes attributes = place.inode().Stat().value();
  EXPECT_EQ(attributes.mode, S_IFCHR | 0620u);
  EXPECT_EQ(attributes.gid, 5u);
  EXPECT_EQ(attributes.rdev, makedev(136, 1));
  EXPECT_EQ(vfs::Walk(context_, "ptmx", 0)->inode().Stat()->mode, S_IFCHR | 0666u);
  std::string names;
  File directory = Open("/", O_RDONLY | O_DIRECTORY);
  ASSERT_TRUE(directory->ReadDir([&](const vfs::DirectoryEntry& entry) {
    names += std::string(entry.name) + " ";
    return true;
  }).ok());
  EXPECT_EQ(names, ". .. ptmx 0 1 ");
  master_.reset();
  EXPECT_EQ(OpenError("0"), Errno::kENOENT);
  EXPECT_EQ(Get<unsigned>(Open("ptmx"), TIOCGPTN), 0u);
  EXPECT_EQ(fs_->MountOptions(), "gid=5,mode=620,ptmxmode=666");
  EXPECT_EQ(ParseOptions("mode=9").error(), Errno::kEINVAL);
  EXPECT_EQ(ParseOptions("what").error(), Errno::kEINVAL);
}

TEST_F(DevptsTest, CarriesLines) {
  Pair();
  EXPECT_EQ(slave_->Readiness(), EventMask{EPOLLOUT});
  EXPECT_EQ(Write(master_, "ls\r"), kOk);
  EXPECT_EQ(Read(master_), "ls\r\n");
  EXPECT_EQ(slave_->Readiness(), EventMask{EPOLLIN | EPOLLOUT});
  EXPECT_EQ(Get<int>(slave_, FIONREAD), 3);
  EXPECT_EQ(Read(slave_), "ls\n");
  EXPECT_EQ(Read(slave_), "EAGAIN");
  EXPECT_EQ(Write(slave_, "out\n"), kOk);
  EXPECT_EQ(Read(master_), "out\r\n");
  EXPECT_EQ(Read(master_), "EAGAIN");
}

TEST_F(DevptsTest, WakesAReader) {
  Pair();
  std::string got;
  {
    KernelLock::Section section;
    Fiber::Start([&] {
      char buffer[16];
      Result<size_t> n = base::BlockUntil<size_t>(*slave_->wait_queue(), EPOLLIN, base::kNoDeadline,
                                                  [&] { return slave_->Read(IoVec(buffer, sizeof buffer)); });
      got.assign(buffer, *n);
    });
  }
  {
    KernelLock::Section section;
    Write(master_, "typed\n");
  }
  EXPECT_EQ(got, "typed\n");
}

TEST_F(DevptsTest, SignalsAndWindowSize) {
  Pair();
  EXPECT_EQ(owner_log, "open ");
  owner_log = "";
  Write(master_, "\3");
  winsize size = {.ws_row = 24, .ws_col = 80};
  EXPECT_TRUE(Ioctl(master_, TIOCSWINSZ, &size).ok());
  EXPECT_TRUE(Ioctl(master_, TIOCSWINSZ, &size).ok());
  EXPECT_EQ(Get<winsize>(slave_, TIOCGWINSZ).ws_col, 80);
  EXPECT_EQ(owner_log, "signal2 signal28 ");
  OwnMemory memory;
  vfs::IoctlContext context{memory, *context_.creds};
  EXPECT_TRUE(master_->Ioctl(TIOCSIG, SIGTERM, context).ok());
  EXPECT_EQ(owner_log, "signal2 signal28 signal15 ");
}

TEST_F(DevptsTest, MasterCloseHangsUp) {
  Pair();
  Write(master_, "pending\n");
  owner_log = "";
  master_.reset();
  EXPECT_EQ(owner_log, "hangup ");
  EXPECT_EQ(Read(slave_), "");
  EXPECT_EQ(Write(slave_, "x"), Errno::kEIO);
  EXPECT_EQ(Ioctl(slave_, TCGETS, nullptr).error(), Errno::kEIO);
  EXPECT_EQ(slave_->Readiness(), EventMask{EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP});
}

TEST_F(DevptsTest, LastSlaveCloseIsEioForTheMaster) {
  master_ = Open("ptmx");
  EXPECT_EQ(Read(master_), "EAGAIN");  // none was open yet
  Pair();
  Write(slave_, "bye");
  slave_.reset();
  EXPECT_EQ(Read(master_), "bye");
  EXPECT_EQ(Read(master_), "EIO");
  EXPECT_EQ(master_->Readiness(), EventMask{EPOLLOUT | EPOLLHUP});
  slave_ = Open(std::to_string(Get<unsigned>(master_, TIOCGPTN)));
  EXPECT_EQ(Read(master_), "EAGAIN");
}

TEST_F(DevptsTest, VhangupEndsOpenDescriptionsOnly) {
  Pair();
  slave_->AsTerminal()->Vhangup();
  EXPECT_EQ(Read(slave_), "");
  File again = Open("0");
  EXPECT_EQ(Write(again, "alive"), kOk);
  EXPECT_EQ(Read(master_), "alive");
}

TEST_F(DevptsTest, PacketMode) {
  Pair();
  int on = 1;
  EXPECT_TRUE(Ioctl(master_, TIOCPKT, &on).ok());
  Write(slave_, "data");
  EXPECT_EQ(Read(master_), std::string("\0data", 5));
  OwnMemory memory;
  vfs::IoctlContext context{memory, *context_.creds};
  EXPECT_TRUE(slave_->Ioctl(TCFLSH, TCIOFLUSH, context).ok());
  EXPECT_NE(master_->Readiness() & EPOLLPRI, 0u);
  EXPECT_EQ(Read(master_), std::string(1, TIOCPKT_FLUSHREAD | TIOCPKT_FLUSHWRITE));
  EXPECT_EQ(Read(master_), "EAGAIN");
  Change([](Termios& t) { t.iflag &= ~IXON; });
  EXPECT_EQ(Read(master_), std::string(1, TIOCPKT_NOSTOP));
}

TEST_F(DevptsTest, AnInterruptLeavesWhatHasArrived) {
  Pair();
  Write(slave_, "prompt ");
  Write(slave_, std::string(10000, 'x'));
  Write(master_, "\3");
  EXPECT_EQ(Read(master_, 20000), "prompt " + std::string(4096 - 7, 'x') + "^C");
}

TEST_F(DevptsTest, StoppedOutputWaits) {
  Pair();
  Write(master_, "\x13");
  EXPECT_EQ(Write(slave_, "x"), Errno::kEAGAIN);
  EXPECT_EQ(slave_->Readiness(), 0u);
  Write(master_, "\x11");
  EXPECT_EQ(Write(slave_, "x"), kOk);
}

TEST_F(DevptsTest, MinimumAndTime) {
  static int64_t now = 1'000'000;
  base::SetClockForTest([] { return now; }, nullptr);
  Pair();
  auto raw = [](Termios& t) {
    t.lflag = 0;
    t.cc[VMIN] = 3;
  };
  Change(raw);
  Write(master_, "ab");
  EXPECT_EQ(Read(slave_), "EAGAIN");
  EXPECT_EQ(slave_->Readiness(), EventMask{EPOLLOUT});
  EXPECT_EQ(Read(slave_, 2), "ab");
  Change([](Termios& t) { t.cc[VMIN] = 0; });
  EXPECT_EQ(Read(slave_), "");
  Change([](Termios& t) { t.cc[VTIME] = 1; });
  EXPECT_EQ(Read(slave_), "EAGAIN");
  KernelLock::Section section;
  now += 100'000'000;
  base::EventLoop::Get().FireTimers(now);
  EXPECT_EQ(Read(slave_), "");
  // Between characters.
  Change([](Termios& t) { t.cc[VMIN] = 5; });
  Write(master_, "a");
  EXPECT_EQ(Read(slave_), "EAGAIN");
  now += 100'000'000;
  base::EventLoop::Get().FireTimers(now);
  EXPECT_EQ(Read(slave_), "a");
  slave_.reset();
  base::SetClockForTest(nullptr, nullptr);
}

TEST_F(DevptsTest, JobControl) {
  Pair();
  EXPECT_EQ(Get<int>(slave_, TIOCGPGRP), 78);
  EXPECT_EQ(Get<int>(master_, TIOCGPGRP), 77);
  EXPECT_EQ(Get<int>(slave_, TIOCGSID), 5);
  owner_log = "";
  int group = 9;
  EXPECT_TRUE(Ioctl(slave_, TIOCSPGRP, &group).ok());
  OwnMemory memory;
  vfs::IoctlContext context{memory, *context_.creds};
  EXPECT_TRUE(slave_->Ioctl(TIOCSCTTY, 1, context).ok());
  EXPECT_EQ(owner_log, "group9 steal ");
  access_error = Errno::kERESTARTSYS;
  EXPECT_EQ(Read(slave_), "ERESTARTSYS");
  EXPECT_EQ(Write(slave_, "x"), kOk);  // without TOSTOP
  Termios t = Termios::Default();
  EXPECT_EQ(Ioctl(slave_, TCSETS, &t).error(), Errno::kERESTARTSYS);
  EXPECT_TRUE(Ioctl(master_, TCSETS, &t).ok());
}

TEST_F(DevptsTest, Peer) {
  master_ = Open("ptmx");
  EXPECT_EQ(OpenPeer(*vfs::FileAs<MasterFile>(master_.get()), O_RDWR, context_.creds).error(), Errno::kEIO);
  int unlock = 0;
  EXPECT_TRUE(Ioctl(master_, TIOCSPTLCK, &unlock).ok());
  slave_ = OpenPeer(*vfs::FileAs<MasterFile>(master_.get()), O_RDWR | O_NOCTTY, context_.creds).value();
  EXPECT_EQ(slave_->path().dentry->name(), "0");
  EXPECT_EQ(Write(slave_, "x"), kOk);
  EXPECT_EQ(Read(master_), "x");
}

TEST_F(DevptsTest, AttributesSurvive) {
  Pair();
  Change([](Termios& t) {
    t.lflag &= ~ECHO;
    t.cflag = (t.cflag & ~CBAUD) | B115200 | CS5;
  });
  auto t = Get<Termios>(master_, _IOR('T', 0x2A, Termios));
  EXPECT_EQ(t.lflag & ECHO, 0u);
  EXPECT_EQ(t.ospeed, 115200u);
  EXPECT_EQ(t.cflag & CSIZE, unsigned{CS8});
  EXPECT_EQ(Ioctl(slave_, TIOCGPTN, nullptr).error(), Errno::kENOTTY);
  EXPECT_EQ(Ioctl(slave_, 0x1234, nullptr).error(), Errno::kENOTTY);
}

class ForeignTerminal : public vfs::Terminal {
 public:
  uint64_t device() const override { return 1; }
  Result<RefPtr<vfs::FileDescription>> Open(int) override { return Errno::kEIO; }
  void Vhangup() override {}
};
class ForeignFile : public vfs::FileDescription {
 public:
  explicit ForeignFile(RefPtr<const Credentials> creds) {
    vfs::InitAnonymous(*this, "console", S_IFCHR | 0620, O_RDWR, std::move(creds));
  }
  vfs::Terminal* AsTerminal() override { return terminal_.get(); }
  RefPtr<ForeignTerminal> terminal_ = MakeRef<ForeignTerminal>();
};

TEST_F(DevptsTest, AdoptedTerminalsHaveANameWhileTheyLive) {
  Pair();
  auto foreign = MakeRef<ForeignFile>(context_.creds);
  EXPECT_TRUE(Adopt(context_.root, "/dev/pts", *foreign).ok());
  EXPECT_EQ(foreign->terminal_->name, "/dev/pts/1");
  EXPECT_EQ(&vfs::Walk(context_, "1", 0)->inode(), &foreign->inode());
  EXPECT_EQ(Adopt(context_.root, "/dev/pts", *foreign).error(), Errno::kENODEV);
  EXPECT_EQ(Adopt(context_.root, "/dev/pts", *master_).error(), Errno::kENOTTY);
  foreign.reset();
  EXPECT_EQ(OpenError("1"), Errno::kENOENT);
}

TEST_F(DevptsTest, Exclusive) {
  Pair();
  EXPECT_TRUE(Ioctl(slave_, TIOCEXCL, nullptr).ok());
  EXPECT_EQ(OpenError("0"), Errno::kEBUSY);
  EXPECT_TRUE(Ioctl(slave_, TIOCNXCL, nullptr).ok());
  EXPECT_EQ(OpenError("0"), kOk);
}

}  // namespace
}  // namespace devpts
