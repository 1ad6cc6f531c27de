// setsid(2), setpgid(2), getpgrp(2), orphaned process groups
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>

#include "util/check.h"
#include "util/child.h"
#include "util/clock.h"
#include "util/fd.h"
#include "util/helper.h"
#include "util/signals.h"

namespace conformance {
namespace {

TEST(Setsid, MakesSessionAndGroup) {
  EXPECT_EXITED(RunChild([] {
                  CHILD_CHECK(getpgrp() != getpid());
                  CHILD_CHECK(setsid() == getpid());
                  CHILD_CHECK(getpgrp() == getpid() && getsid(0) == getpid());
                  CHILD_ERRNO(setsid(), EPERM);
                  CHILD_ERRNO(setpgid(0, 0), EPERM);
                  return 0;
                }),
                0);
}

TEST(Setpgid, GroupLeaderCannotStartASession) {
  EXPECT_EXITED(RunChild([] {
                  CHILD_CHECK(setpgid(0, 0) == 0);
                  CHILD_ERRNO(setsid(), EPERM);
                  return 0;
                }),
                0);
}

TEST(Setpgid, ParentMovesChildren) {
  pid_t first = Fork([] {
    for (;;) pause();
    return 0;
  });
  pid_t second = Fork([] {
    for (;;) pause();
    return 0;
  });
  EXPECT_OK(setpgid(first, first));
  EXPECT_OK(setpgid(second, first));
  EXPECT_EQ(getpgid(second), first);
  EXPECT_ERRNO(setpgid(second, 0x7ffffff0), EPERM);
  EXPECT_ERRNO(setpgid(second, -1), EINVAL);
  EXPECT_ERRNO(setpgid(1 << 30, 0), ESRCH);
  EXPECT_OK(kill(-first, SIGTERM));
  EXPECT_KILLED(Wait(first), SIGTERM);
  EXPECT_KILLED(Wait(second), SIGTERM);
}

RegisterHelper sleep_helper("sleep", [](int, char**) {
  alarm(5);
  for (;;) pause();
  return 0;
});

TEST(Setpgid, AfterExecIsEacces) {
  int ends[2];
  ASSERT_OK(pipe2(ends, O_CLOEXEC));
  Fd reader(ends[0]), writer(ends[1]);
  HelperArgv argv("sleep");
  pid_t pid = Fork([&] {
    execv(SelfPath().c_str(), argv.data());
    return 95;
  });
  writer.Reset();
  char c;
  EXPECT_EQ(read(reader, &c, 1), 0) << "closed by the exec";
  EXPECT_ERRNO(setpgid(pid, pid), EACCES);
  kill(pid, SIGKILL);
  Wait(pid);
}

TEST(Setpgid, ChildInAnotherSessionIsEperm) {
  int ends[2];
  ASSERT_OK(pipe(ends));
  Fd reader(ends[0]), writer(ends[1]);
  pid_t pid = Fork([&] {
    setsid();
    CHILD_CHECK(write(writer, "x", 1) == 1);
    for (;;) pause();
    return 0;
  });
  char c;
  ASSERT_EQ(read(reader, &c, 1), 1);
  EXPECT_ERRNO(setpgid(pid, getpgrp()), EPERM);
  EXPECT_EQ(getsid(pid), pid);
  kill(pid, SIGKILL);
  Wait(pid);
}

TEST(Getpgid, Errors) {
  EXPECT_EQ(getpgid(0), getpgrp());
  EXPECT_ERRNO(getpgid(0x7ffffff0), ESRCH);
  EXPECT_ERRNO(getsid(0x7ffffff0), ESRCH);
}

TEST(Killpg, GroupWithoutMembersIsEsrch) {
  EXPECT_ERRNO(kill(-0x7ffffff0, SIGTERM), ESRCH);
  EXPECT_ERRNO(killpg(0x7ffffff0, 0), ESRCH);
}

TEST(OrphanedGroup, StopSignalsOfTheTerminalAreIgnored) {
  // A group whose leader's parent is in another session has nobody to continue it.
  EXPECT_EXITED(RunChild([] {
                  CHILD_CHECK(setsid() > 0);
                  raise(SIGTSTP);
                  raise(SIGTTIN);
                  return 5;
                }),
                5);
}

TEST(OrphanedGroup, StoppedMembersGetHupAndCont) {
  // The middle process exits, which orphans the stopped grandchild's group.
  ASSERT_OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
  int ends[2];
  ASSERT_OK(pipe(ends));
  Fd reader(ends[0]), writer(ends[1]);
  pid_t middle = Fork([&] {
    CHILD_CHECK(setsid() > 0);
    pid_t grandchild = fork();
    if (grandchild == 0) {
      setpgid(0, 0);
      raise(SIGSTOP);
      _exit(0);
    }
    int status;
    CHILD_CHECK(waitpid(grandchild, &status, WUNTRACED) == grandchild && WIFSTOPPED(status));
    CHILD_CHECK(write(writer, &grandchild, sizeof(grandchild)) == sizeof(grandchild));
    return 0;
  });
  pid_t grandchild = 0;
  ASSERT_EQ(read(reader, &grandchild, sizeof(grandchild)), static_cast<ssize_t>(sizeof(pid_t)));
  EXPECT_EXITED(Wait(middle), 0);
  EXPECT_KILLED(Wait(grandchild), SIGHUP);
  prctl(PR_SET_CHILD_SUBREAPER, 0);
}

}  // namespace
}  // namespace conformance
