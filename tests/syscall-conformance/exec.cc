// execve(2), execveat(2)
#include <fcntl.h>
#include <linux/auxvec.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "util/check.h"
#include "util/child.h"
#include "util/clock.h"
#include "util/fd.h"
#include "util/helper.h"
#include "util/memory.h"
#include "util/signals.h"
#include "util/temp_dir.h"

namespace conformance {
namespace {

// Prints its arguments, one a line.
RegisterHelper args_helper("args", [](int argc, char** argv) {
  for (int i = 2; i < argc; i++) dprintf(1, "%s\n", argv[i]);
  return 0;
});
RegisterHelper env_helper("env", [](int, char**) {
  for (char** e = environ; *e != nullptr; e++) dprintf(1, "%s\n", *e);
  return 0;
});
RegisterHelper seven_helper("seven", [](int, char**) { return 7; });
// Exits with 0 if descriptor argv[2] is closed, 1 if it is open.
RegisterHelper fd_helper("fd-open", [](int, char** argv) {
  return fcntl(atoi(argv[2]), F_GETFD) == -1 ? 0 : 1;
});
// Exits with the disposition of signal argv[2]: 0 default, 1 ignored, 2 handler; +4 if blocked.
RegisterHelper signal_helper("signal-state", [](int, char** argv) {
  struct sigaction action;
  sigset_t mask;
  sigaction(atoi(argv[2]), nullptr, &action);
  sigprocmask(SIG_BLOCK, nullptr, &mask);
  int state = action.sa_handler == SIG_DFL ? 0 : action.sa_handler == SIG_IGN ? 1 : 2;
  return state + (sigismember(&mask, atoi(argv[2])) ? 4 : 0);
});
RegisterHelper ids_helper("ids", [](int, char**) {
  dprintf(1, "%d %ld %d", getpid(), syscall(SYS_gettid), getppid());
  return 0;
});
RegisterHelper comm_helper("comm", [](int, char**) {
  char name[16];
  prctl(PR_GET_NAME, name);
  dprintf(1, "%s", name);
  return 0;
});
RegisterHelper auxv_helper("auxv", [](int, char**) {
  if (getauxval(AT_PAGESZ) != kPage) return 1;
  if (getauxval(AT_RANDOM) == 0) return 2;
  if (getauxval(AT_SECURE) != 0) return 3;
  if (getauxval(AT_UID) != getuid() || getauxval(AT_EGID) != getegid()) return 4;
  if (getauxval(AT_PHDR) == 0 || getauxval(AT_PHENT) != 56 || getauxval(AT_PHNUM) == 0) return 5;
  if (getauxval(AT_ENTRY) == 0 || getauxval(AT_CLKTCK) != 100) return 6;
  if (getauxval(AT_EXECFN) == 0) return 7;
  if (SelfPath() != reinterpret_cast<char*>(getauxval(AT_EXECFN))) return 8;
  return 0;
});
RegisterHelper stack_helper("stack-aligned", [](int, char** argv) {
  // argc sits below argv[0] and is where the stack pointer was: aligned to 16.
  return reinterpret_cast<uintptr_t>(argv - 1) % 16 == 0 ? 0 : 1;
});

// Runs a helper in a child and returns what it printed.
std::string OutputOf(const std::string& helper, std::vector<std::string> arguments,
                     std::vector<char*> environment = {}) {
  int ends[2];
  EXPECT_OK(pipe(ends));
  Fd reader(ends[0]), writer(ends[1]);
  environment.push_back(nullptr);
  HelperArgv argv(helper, std::move(arguments));
  pid_t pid = Fork([&] {
    dup2(writer, 1);
    reader.Reset();
    writer.Reset();
    execve(SelfPath().c_str(), argv.data(), environment.data());
    return 95;
  });
  writer.Reset();
  std::string output = ReadAll(reader);
  EXPECT_EXITED(Wait(pid), 0);
  return output;
}

int StatusOf(const std::string& helper, std::vector<std::string> arguments = {},
             const std::function<void()>& before = [] {}) {
  HelperArgv argv(helper, std::move(arguments));
  return RunChild([&] {
    before();
    execve(SelfPath().c_str(), argv.data(), environ);
    return 95;
  });
}

TEST(Exec, PassesArgumentsAndExitStatus) {
  EXPECT_EQ(OutputOf("args", {"one", "", "three words here"}), "one\n\nthree words here\n");
  EXPECT_EXITED(StatusOf("seven"), 7);
}

TEST(Exec, PassesTheEnvironmentAndNothingElse) {
  char a[] = "A=1", b[] = "B=two";
  EXPECT_EQ(OutputOf("env", {}, {a, b}), "A=1\nB=two\n");
  EXPECT_EQ(OutputOf("env", {}), "");
}

TEST(Exec, LongArgumentListArrives) {
  std::vector<std::string> arguments;
  std::string expected;
  for (int i = 0; i < 300; i++) {
    arguments.push_back(std::string(300, 'a' + i % 26));
    expected += arguments.back() + "\n";
  }
  EXPECT_TRUE(OutputOf("args", arguments) == expected);
}

TEST(Exec, OneArgumentLongerThan128kIsE2big) {
  std::string longest(32 * kPage, 'x');
  char* argv[] = {longest.data(), nullptr};
  EXPECT_ERRNO(execve(SelfPath().c_str(), argv, environ), E2BIG);
}

TEST(Exec, KeepsPidAndParent) {
  int ends[2];
  ASSERT_OK(pipe(ends));
  Fd reader(ends[0]), writer(ends[1]);
  HelperArgv argv("ids");
  pid_t pid = Fork([&] {
    dup2(writer, 1);
    execve(SelfPath().c_str(), argv.data(), environ);
    return 95;
  });
  writer.Reset();
  std::string ids = ReadAll(reader);
  EXPECT_EXITED(Wait(pid), 0);
  std::string id = std::to_string(pid);
  EXPECT_EQ(ids, id + " " + id + " " + std::to_string(getpid()));
}

TEST(Exec, Errors) {
  TempDir dir;
  char* argv[] = {const_cast<char*>("x"), nullptr};
  std::string file = dir.File("f", "not a program", 0644);
  std::string program = dir.File("p", "not a program", 0755);
  std::string empty = dir.File("e", "", 0755);
  EXPECT_ERRNO(execve((dir / "none").c_str(), argv, environ), ENOENT);
  EXPECT_ERRNO(execve("", argv, environ), ENOENT);
  EXPECT_ERRNO(execve(file.c_str(), argv, environ), EACCES);
  EXPECT_ERRNO(execve(dir.c_str(), argv, environ), EACCES);
  EXPECT_ERRNO(execve(program.c_str(), argv, environ), ENOEXEC);
  EXPECT_ERRNO(execve(empty.c_str(), argv, environ), ENOEXEC);
  EXPECT_ERRNO(execve((file + "/x").c_str(), argv, environ), ENOTDIR);
  EXPECT_ERRNO(execve(BadPointer<char>(), argv, environ), EFAULT);
  EXPECT_ERRNO(execve(SelfPath().c_str(), BadPointer<char*>(), environ), EFAULT);
  char* bad_argv[] = {BadPointer<char>(), nullptr};
  EXPECT_ERRNO(execve(SelfPath().c_str(), bad_argv, environ), EFAULT);
  EXPECT_ERRNO(execve(SelfPath().c_str(), argv, BadPointer<char*>()), EFAULT);
}

TEST(Exec, TruncatedOrForeignElfIsEnoexec) {
  TempDir dir;
  char* argv[] = {const_cast<char*>("x"), nullptr};
  std::string header = ReadFile(SelfPath()).substr(0, 64);
  EXPECT_ERRNO(execve(dir.File("short", header.substr(0, 20), 0755).c_str(), argv, environ),
               ENOEXEC);
  std::string foreign = header;
  foreign[18] = static_cast<char>(183);  // e_machine = EM_AARCH64
  EXPECT_ERRNO(execve(dir.File("arm", foreign, 0755).c_str(), argv, environ), ENOEXEC);
}

TEST(Exec, CloexecDescriptorsAreClosedOthersStay) {
  Fd closed(open("/", O_RDONLY | O_CLOEXEC)), kept(open("/", O_RDONLY));
  EXPECT_EXITED(StatusOf("fd-open", {std::to_string(closed)}), 0);
  EXPECT_EXITED(StatusOf("fd-open", {std::to_string(kept)}), 1);
}

TEST(Exec, HandlersAreResetIgnoredAndMaskStay) {
  std::vector<std::string> usr1 = {std::to_string(SIGUSR1)};
  EXPECT_EXITED(StatusOf("signal-state", usr1, [] { signal(SIGUSR1, [](int) {}); }), 0);
  EXPECT_EXITED(StatusOf("signal-state", usr1, [] { signal(SIGUSR1, SIG_IGN); }), 1);
  EXPECT_EXITED(StatusOf("signal-state", usr1,
                         [] {
                           sigset_t set = SignalSet({SIGUSR1});
                           sigprocmask(SIG_BLOCK, &set, nullptr);
                         }),
                4);
}

TEST(Exec, PendingSignalSurvives) {
  EXPECT_KILLED(RunChild([&] {
                  sigset_t set = SignalSet({SIGUSR1});
                  sigprocmask(SIG_BLOCK, &set, nullptr);
                  raise(SIGUSR1);
                  HelperArgv unblock("unblock-all");
                  execve(SelfPath().c_str(), unblock.data(), environ);
                  return 95;
                }),
                SIGUSR1);
}
RegisterHelper unblock_helper("unblock-all", [](int, char**) {
  sigset_t empty;
  sigemptyset(&empty);
  sigprocmask(SIG_SETMASK, &empty, nullptr);
  return 94;
});

TEST(Exec, CommandNameIsTheBaseName) {
  std::string base = SelfPath().substr(SelfPath().rfind('/') + 1);
  EXPECT_EQ(OutputOf("comm", {}), base.substr(0, 15));
}

TEST(Exec, AuxiliaryVectorAndStack) {
  EXPECT_EXITED(StatusOf("auxv"), 0);
  EXPECT_EXITED(StatusOf("stack-aligned"), 0);
  EXPECT_EXITED(StatusOf("stack-aligned", {"odd"}), 0);
}

TEST(Exec, ScriptRunsItsInterpreterWithOneArgument) {
  TempDir dir;
  std::string script = dir.File("s", "#! " + SelfPath() + " --helper=args  \nrest\n", 0755);
  int ends[2];
  ASSERT_OK(pipe(ends));
  Fd reader(ends[0]), writer(ends[1]);
  pid_t pid = Fork([&] {
    dup2(writer, 1);
    execl(script.c_str(), "replaced", "a", "b", nullptr);
    return 95;
  });
  writer.Reset();
  EXPECT_EQ(ReadAll(reader), script + "\na\nb\n");
  EXPECT_EXITED(Wait(pid), 0);
}

TEST(Exec, ScriptWithMissingInterpreterIsEnoent) {
  TempDir dir;
  char* argv[] = {const_cast<char*>("x"), nullptr};
  EXPECT_ERRNO(execve(dir.File("s", "#!/no/such/thing\n", 0755).c_str(), argv, environ), ENOENT);
  EXPECT_ERRNO(execve(dir.File("t", "#!\n", 0755).c_str(), argv, environ), ENOEXEC);
}

TEST(Exec, OpenForWritingIsEtxtbsy) {
  TempDir dir;
  std::string path = dir.File("p", ReadFile(SelfPath()), 0755);
  Fd writer(open(path.c_str(), O_WRONLY));
  char* argv[] = {path.data(), nullptr};
  EXPECT_ERRNO(execve(path.c_str(), argv, environ), ETXTBSY);
}

TEST(Exec, OtherThreadsEnd) {
  HelperArgv argv("seven");
  EXPECT_EXITED(RunChild([&] {
                  for (int i = 0; i < 3; i++) {
                    std::thread([] {
                      for (;;) pause();
                    }).detach();
                  }
                  SleepMs(20);
                  execve(SelfPath().c_str(), argv.data(), environ);
                  return 95;
                }),
                7);
}

TEST(Exec, FromSecondThreadTakesOverThePid) {
  int ends[2];
  ASSERT_OK(pipe(ends));
  Fd reader(ends[0]), writer(ends[1]);
  HelperArgv argv("ids");
  pid_t pid = Fork([&] {
    dup2(writer, 1);
    std::thread([&] { execve(SelfPath().c_str(), argv.data(), environ); }).detach();
    for (;;) pause();
    return 95;
  });
  writer.Reset();
  std::string ids = ReadAll(reader);
  EXPECT_EXITED(Wait(pid), 0);
  EXPECT_EQ(ids.substr(0, ids.rfind(' ')), std::to_string(pid) + " " + std::to_string(pid));
}

TEST(Exec, MappingsAreReplaced) {
  // The child of vfork runs in its parent's memory until it executes; then neither sees the other.
  HelperArgv argv("seven");
  char** pointers = argv.data();
  const char* path = SelfPath().c_str();
  pid_t pid = vfork();
  if (pid == 0) {
    execve(path, pointers, environ);
    _exit(95);
  }
  EXPECT_EXITED(Wait(pid), 7);
}

TEST(Execveat, DescriptorWithEmptyPath) {
  Fd fd(open(SelfPath().c_str(), O_PATH));
  HelperArgv argv("seven");
  EXPECT_EXITED(RunChild([&] {
                  syscall(SYS_execveat, fd.get(), "", argv.data(), environ, AT_EMPTY_PATH);
                  return 95;
                }),
                7);
  EXPECT_ERRNO(syscall(SYS_execveat, fd.get(), "", argv.data(), environ, 0), ENOENT);
  EXPECT_ERRNO(syscall(SYS_execveat, -1, "x", argv.data(), environ, 0), EBADF);
  EXPECT_ERRNO(syscall(SYS_execveat, AT_FDCWD, "/", argv.data(), environ, 0x40000000), EINVAL);
}

TEST(Execveat, NofollowOfSymlinkIsEloop) {
  TempDir dir;
  ASSERT_OK(symlink(SelfPath().c_str(), (dir / "l").c_str()));
  HelperArgv argv("seven");
  EXPECT_ERRNO(syscall(SYS_execveat, AT_FDCWD, (dir / "l").c_str(), argv.data(), environ,
                       AT_SYMLINK_NOFOLLOW),
               ELOOP);
}

}  // namespace
}  // namespace conformance
