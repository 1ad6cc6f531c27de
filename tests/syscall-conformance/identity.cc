// credentials(7), setuid(2), setgroups(2), capget(2), prctl(2)
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "util/check.h"
#include "util/child.h"
#include "util/clock.h"
#include "util/fd.h"
#include "util/helper.h"
#include "util/memory.h"
#include "util/temp_dir.h"

namespace conformance {
namespace {

struct Capabilities {
  uint64_t effective = 0, permitted = 0, inheritable = 0;
};
int Get(Capabilities* caps) {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  if (syscall(SYS_capget, &header, data) != 0) return -1;
  caps->effective = data[0].effective | uint64_t{data[1].effective} << 32;
  caps->permitted = data[0].permitted | uint64_t{data[1].permitted} << 32;
  caps->inheritable = data[0].inheritable | uint64_t{data[1].inheritable} << 32;
  return 0;
}
int Set(const Capabilities& caps) {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2];
  for (int i = 0; i < 2; i++) {
    data[i] = {static_cast<uint32_t>(caps.effective >> 32 * i),
               static_cast<uint32_t>(caps.permitted >> 32 * i),
               static_cast<uint32_t>(caps.inheritable >> 32 * i)};
  }
  return syscall(SYS_capset, &header, data);
}
constexpr uint64_t Bit(int capability) { return 1ull << capability; }

bool HasUids(uid_t real, uid_t effective, uid_t saved) {
  uid_t r, e, s;
  return getresuid(&r, &e, &s) == 0 && r == real && e == effective && s == saved;
}

TEST(Setuid, RootChangesAllThree) {
  EXPECT_EXITED(RunChild([] {
                  CHILD_CHECK(setuid(1000) == 0);
                  CHILD_CHECK(HasUids(1000, 1000, 1000));
                  CHILD_ERRNO(setuid(0), EPERM);
                  return 0;
                }),
                0);
}

TEST(Setresuid, UserMovesAmongItsThree) {
  EXPECT_EXITED(RunChild([] {
                  CHILD_CHECK(setresuid(1000, 1001, 1002) == 0);
                  CHILD_CHECK(setresuid(1002, -1, 1000) == 0);
                  CHILD_CHECK(HasUids(1002, 1001, 1000));
                  CHILD_CHECK(seteuid(1000) == 0);
                  CHILD_ERRNO(setresuid(-1, 5, -1), EPERM);
                  CHILD_CHECK(HasUids(1002, 1000, 1000));
                  return 0;
                }),
                0);
}

TEST(Setreuid, SavedFollowsEffective) {
  EXPECT_EXITED(RunChild([] {
                  CHILD_CHECK(setreuid(1000, 1001) == 0);
                  CHILD_CHECK(HasUids(1000, 1001, 1001));
                  return 0;
                }),
                0);
}

TEST(Seteuid, RootComesBackThroughTheSavedId) {
  EXPECT_EXITED(RunChild([] {
                  CHILD_CHECK(seteuid(1000) == 0);
                  Capabilities caps;
                  CHILD_CHECK(Get(&caps) == 0 && caps.effective == 0 && caps.permitted != 0);
                  CHILD_CHECK(seteuid(0) == 0);
                  CHILD_CHECK(Get(&caps) == 0 && caps.effective == caps.permitted);
                  return 0;
                }),
                0);
}

TEST(Setgid, GroupsBehaveLikeUsers) {
  EXPECT_EXITED(RunChild([] {
                  CHILD_CHECK(setresgid(10, 11, 12) == 0);
                  CHILD_CHECK(setresuid(1000, 1000, 1000) == 0);
                  CHILD_CHECK(setgid(12) == 0);
                  CHILD_CHECK(getgid() == 10 && getegid() == 12);
                  CHILD_ERRNO(setgid(99), EPERM);
                  return 0;
                }),
                0);
}

TEST(Setgroups, SetGetAndLimits) {
  EXPECT_EXITED(RunChild([] {
                  gid_t groups[3] = {30, 10, 20}, got[3] = {};
                  CHILD_CHECK(setgroups(3, groups) == 0);
                  CHILD_CHECK(getgroups(0, nullptr) == 3);
                  CHILD_CHECK(getgroups(3, got) == 3);
                  CHILD_CHECK(got[0] + got[1] + got[2] == 60);
                  CHILD_ERRNO(getgroups(2, got), EINVAL);
                  CHILD_ERRNO(syscall(SYS_getgroups, -1, got), EINVAL);
                  CHILD_ERRNO(syscall(SYS_setgroups, 65537, groups), EINVAL);
                  CHILD_ERRNO(syscall(SYS_setgroups, 3, BadPointer()), EFAULT);
                  CHILD_CHECK(setresuid(1000, 1000, 1000) == 0);
                  CHILD_ERRNO(setgroups(0, nullptr), EPERM);
                  return 0;
                }),
                0);
}

TEST(Setfsuid, ReturnsTheOldAndGovernsFiles) {
  TempDir dir;
  std::string path = dir.File("f", "x", 0600);
  EXPECT_EXITED(RunChild([&] {
                  CHILD_CHECK(setfsuid(1000) == 0);
                  CHILD_CHECK(setfsuid(-1) == 1000);
                  CHILD_ERRNO(open(path.c_str(), O_RDONLY), EACCES);
                  setfsuid(0);
                  CHILD_CHECK(open(path.c_str(), O_RDONLY) >= 0);
                  return 0;
                }),
                0);
}

TEST(Setuid, ThreadsAreSeparateInTheKernel) {
  std::thread other([] {
    EXPECT_OK(syscall(SYS_setresuid, -1, 1000, -1));
    EXPECT_EQ(geteuid(), 1000u);
  });
  other.join();
  EXPECT_EQ(geteuid(), 0u);
}

TEST(Capget, VersionsAndErrors) {
  __user_cap_header_struct header = {0x12345678, 0};
  EXPECT_ERRNO(syscall(SYS_capget, &header, BadPointer()), EINVAL);
  EXPECT_EQ(header.version, unsigned{_LINUX_CAPABILITY_VERSION_3}) << "tells what it prefers";
  EXPECT_OK(syscall(SYS_capget, &header, nullptr));
  header = {_LINUX_CAPABILITY_VERSION_3, 0x7ffffff0};
  __user_cap_data_struct data[2];
  EXPECT_ERRNO(syscall(SYS_capget, &header, data), ESRCH);
  header.pid = 0;
  EXPECT_ERRNO(syscall(SYS_capget, &header, BadPointer()), EFAULT);
}

TEST(Capset, DroppedPermittedIsGoneForGood) {
  EXPECT_EXITED(RunChild([] {
                  Capabilities caps;
                  CHILD_CHECK(Get(&caps) == 0);
                  CHILD_CHECK(caps.effective & Bit(CAP_CHOWN));
                  caps.effective &= ~Bit(CAP_CHOWN);
                  CHILD_CHECK(Set(caps) == 0);
                  caps.permitted &= ~Bit(CAP_CHOWN);
                  CHILD_CHECK(Set(caps) == 0);
                  caps.permitted |= Bit(CAP_CHOWN);
                  CHILD_ERRNO(Set(caps), EPERM);
                  caps.permitted &= ~Bit(CAP_CHOWN);
                  caps.effective |= Bit(CAP_CHOWN);
                  CHILD_ERRNO(Set(caps), EPERM);
                  return 0;
                }),
                0);
}

TEST(Capset, EffectiveGovernsTheChecks) {
  TempDir dir;
  std::string path = dir.File("f");
  EXPECT_EXITED(RunChild([&] {
                  Capabilities caps;
                  CHILD_CHECK(Get(&caps) == 0);
                  caps.effective &= ~(Bit(CAP_CHOWN) | Bit(CAP_DAC_OVERRIDE));
                  CHILD_CHECK(Set(caps) == 0);
                  CHILD_ERRNO(chown(path.c_str(), 5, 5), EPERM);
                  CHILD_CHECK(chmod(path.c_str(), 0) == 0);
                  CHILD_ERRNO(open(path.c_str(), O_WRONLY), EACCES);
                  caps.effective = caps.permitted;
                  CHILD_CHECK(Set(caps) == 0);
                  CHILD_CHECK(open(path.c_str(), O_WRONLY) >= 0);
                  return 0;
                }),
                0);
}

RegisterHelper effective_helper("has-effective", [](int, char** argv) {
  Capabilities caps;
  if (Get(&caps) != 0) return 9;
  return caps.effective & Bit(atoi(argv[2])) ? 1 : 0;
});

TEST(Capabilities, RootGainsTheBoundingSetAtExec) {
  HelperArgv argv("has-effective", {std::to_string(CAP_CHOWN)});
  auto exec = [&] {
    execv(SelfPath().c_str(), argv.data());
    return 95;
  };
  EXPECT_EXITED(RunChild([&] {
                  Capabilities none;
                  CHILD_CHECK(Set(none) == 0);
                  return exec();
                }),
                1);
  EXPECT_EXITED(RunChild([&] {
                  CHILD_CHECK(prctl(PR_CAPBSET_DROP, CAP_CHOWN) == 0);
                  CHILD_CHECK(prctl(PR_CAPBSET_READ, CAP_CHOWN) == 0);
                  return exec();
                }),
                0);
  EXPECT_EXITED(RunChild([&] {
                  CHILD_CHECK(setresuid(1000, 1000, 1000) == 0);
                  return exec();
                }),
                0);
}

TEST(Capabilities, AmbientSurvivesExecOfAUser) {
  HelperArgv argv("has-effective", {std::to_string(CAP_CHOWN)});
  EXPECT_EXITED(RunChild([&] {
                  CHILD_CHECK(prctl(PR_SET_KEEPCAPS, 1) == 0);
                  CHILD_CHECK(setresuid(1000, 1000, 1000) == 0);
                  Capabilities caps;
                  CHILD_CHECK(Get(&caps) == 0 && caps.effective == 0);
                  CHILD_ERRNO(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_CHOWN, 0, 0), EPERM);
                  caps.inheritable |= Bit(CAP_CHOWN);
                  CHILD_CHECK(Set(caps) == 0);
                  CHILD_CHECK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_CHOWN, 0, 0) == 0);
                  execv(SelfPath().c_str(), argv.data());
                  return 95;
                }),
                1);
}


TEST(NoNewPrivs, CannotBeUnsetAndIsInherited) {
  EXPECT_EXITED(RunChild([] {
                  CHILD_CHECK(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0);
                  CHILD_ERRNO(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0), EINVAL);
                  CHILD_ERRNO(prctl(PR_SET_NO_NEW_PRIVS, 1, 1, 0, 0), EINVAL);
                  CHILD_CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
                  CHILD_CHECK(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
                  int status = RunChild([] { return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0); });
                  return WIFEXITED(status) && WEXITSTATUS(status) == 1 ? 0 : 1;
                }),
                0);
}

TEST(Prctl, PdeathsigIsSentWhenTheParentDies) {
  int ends[2];
  ASSERT_OK(pipe(ends));
  Fd reader(ends[0]), writer(ends[1]);
  pid_t middle = Fork([&] {
    static int out;
    out = writer;
    pid_t pid = fork();
    if (pid == 0) {
      signal(SIGUSR1, [](int) { _exit(write(out, "dead", 4) == 4 ? 0 : 1); });
      prctl(PR_SET_PDEATHSIG, SIGUSR1);
      CHILD_CHECK(write(out, "set,", 4) == 4);
      alarm(5);
      for (;;) pause();
    }
    for (;;) pause();
    return 0;
  });
  writer.Reset();
  char buffer[4];
  ASSERT_EQ(read(reader, buffer, 4), 4);
  kill(middle, SIGKILL);
  EXPECT_EQ(ReadAll(reader), "dead");
  Wait(middle);
}

TEST(Prctl, DumpableDeathSignalAndUnknown) {
  EXPECT_EXITED(RunChild([] {
                  CHILD_CHECK(prctl(PR_SET_DUMPABLE, 1) == 0 && prctl(PR_GET_DUMPABLE) == 1);
                  CHILD_CHECK(prctl(PR_SET_DUMPABLE, 0) == 0 && prctl(PR_GET_DUMPABLE) == 0);
                  CHILD_ERRNO(prctl(PR_SET_DUMPABLE, 7), EINVAL);
                  CHILD_ERRNO(prctl(PR_SET_PDEATHSIG, 65), EINVAL);
                  int signal = -1;
                  CHILD_CHECK(prctl(PR_SET_PDEATHSIG, SIGUSR1) == 0);
                  CHILD_CHECK(prctl(PR_GET_PDEATHSIG, &signal) == 0 && signal == SIGUSR1);
                  CHILD_ERRNO(prctl(0x12345678, 0, 0, 0, 0), EINVAL);
                  CHILD_ERRNO(prctl(PR_CAPBSET_READ, 99), EINVAL);
                  CHILD_ERRNO(prctl(PR_SET_NAME, BadPointer()), EFAULT);
                  return 0;
                }),
                0);
}

TEST(Prctl, ThreadNamesAreSeparate) {
  ASSERT_OK(prctl(PR_SET_NAME, "main"));
  std::thread other([] {
    char name[16];
    EXPECT_OK(prctl(PR_GET_NAME, name));
    EXPECT_STREQ(name, "main") << "inherited";
    EXPECT_OK(prctl(PR_SET_NAME, "other"));
  });
  other.join();
  char name[16];
  ASSERT_OK(prctl(PR_GET_NAME, name));
  EXPECT_STREQ(name, "main");
}

}  // namespace
}  // namespace conformance
