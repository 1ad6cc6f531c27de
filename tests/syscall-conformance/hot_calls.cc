// System calls that are made again and again from one place: a kernel may find a quicker way for them, which nothing but the
// clock may show.
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/syscall.h>
#include <ucontext.h>

#include <atomic>
#include <thread>
#include <vector>

#include "util/check.h"
#include "util/child.h"
#include "util/fd.h"
#include "util/signals.h"
#include "util/temp_dir.h"

extern "C" char __executable_start, etext;

namespace conformance {
namespace {

constexpr int kMany = 2000;

struct Pipe {
  Pipe() {
    int fds[2];
    EXPECT_OK(pipe2(fds, O_CLOEXEC));
    read_end.Reset(fds[0]);
    write_end.Reset(fds[1]);
  }
  int read() const { return read_end; }
  int write() const { return write_end; }
  Fd read_end, write_end;
};

struct TempFile {
  TempFile() : file(open(directory.File("file").c_str(), O_RDWR)) {}
  int fd() const { return file; }
  TempDir directory;
  Fd file;
};

// Each its own instruction, as libraries have them.
[[gnu::noinline]] long GetPid() {
  long result;
  asm volatile("mov $39, %%eax\n syscall" : "=a"(result)::"rcx", "r11", "memory");
  return result;
}
[[gnu::noinline]] long GetTid() {
  long result;
  asm volatile("mov $186, %%eax\n syscall" : "=a"(result)::"rcx", "r11", "memory");
  return result;
}
[[gnu::noinline]] long GetUid() {
  long result;
  asm volatile("mov $102, %%eax\n syscall" : "=a"(result)::"rcx", "r11", "memory");
  return result;
}
[[gnu::noinline]] long Read(int fd, void* buffer, size_t size) {
  long result;
  unsigned char failed;
  asm volatile("xor %%eax, %%eax\n syscall\n cmp $-4096, %%rax\n seta %1"
               : "=&a"(result), "=r"(failed)
               : "D"(fd), "S"(buffer), "d"(size)
               : "rcx", "r11", "memory");
  EXPECT_EQ(failed != 0, result < 0);
  return result;
}

TEST(HotCalls, IdentityIsThatOfEachThreadAndChild) {
  for (int i = 0; i < kMany; i++) ASSERT_EQ(GetPid(), getpid());
  const long pid = GetPid(), tid = GetTid();
  for (int i = 0; i < kMany; i++) ASSERT_EQ(GetTid(), tid);
  std::thread thread([&] {
    for (int i = 0; i < kMany; i++) {
      ASSERT_NE(GetTid(), tid);
      ASSERT_EQ(GetPid(), pid);
    }
  });
  thread.join();
  EXPECT_EXITED(RunChild([&] {
                  for (int i = 0; i < kMany; i++) {
                    CHILD_CHECK(GetPid() != pid);
                    CHILD_CHECK(GetTid() == GetPid());
                  }
                  return 0;
                }),
                0);
  // In a child that shares the memory and the thread pointer of its parent.
  const pid_t child = vfork();
  if (child == 0) {
    int wrong = 0;
    for (int i = 0; i < kMany; i++) wrong += GetPid() == pid;
    _exit(wrong != 0);
  }
  int status;
  ASSERT_OK(waitpid(child, &status, 0));
  EXPECT_EXITED(status, 0);
  for (int i = 0; i < kMany; i++) ASSERT_EQ(GetPid(), pid);
}

TEST(HotCalls, ChangedUserIsSeenAtOnce) {
  EXPECT_EXITED(RunChild([] {
                  for (int i = 0; i < kMany; i++) CHILD_CHECK(GetUid() == 0);
                  CHILD_CHECK(syscall(SYS_setresuid, -1, 1234, -1) == 0);
                  for (int i = 0; i < kMany; i++) CHILD_CHECK(GetUid() == 0);
                  CHILD_CHECK(syscall(SYS_setresuid, -1, 0, -1) == 0);
                  CHILD_CHECK(syscall(SYS_setresuid, 1234, -1, -1) == 0);
                  for (int i = 0; i < kMany; i++) CHILD_CHECK(GetUid() == 1234);
                  return 0;
                }),
                0);
}

TEST(HotCalls, StrictSeccompEndsThem) {
  EXPECT_KILLED(RunChild([] {
                  for (int i = 0; i < kMany; i++) GetPid();
                  prctl(PR_SET_SECCOMP, 1);
                  GetPid();
                  return 0;
                }),
                SIGKILL);
}

TEST(HotCalls, ResultsAndFlagsOfReads) {
  Pipe pipe;
  char c;
  for (int i = 0; i < kMany; i++) {
    ASSERT_OK(write(pipe.write(), "x", 1));
    ASSERT_EQ(Read(pipe.read(), &c, 1), 1);
    ASSERT_EQ(Read(-1, &c, 1), -EBADF);
    ASSERT_EQ(Read(pipe.read(), nullptr, 0), 0);
  }
}

TEST(HotCalls, BlockAndWakeEachOther) {
  Pipe there, back;
  std::thread echo([&] {
    char c;
    while (Read(there.read(), &c, 1) == 1) ASSERT_OK(write(back.write(), &c, 1));
  });
  for (int i = 0; i < kMany; i++) {
    char out = static_cast<char>(i), in = 0;
    ASSERT_OK(write(there.write(), &out, 1));
    ASSERT_EQ(Read(back.read(), &in, 1), 1);
    ASSERT_EQ(in, out);
    for (int j = 0; j < i % 7; j++) GetUid();
  }
  there.write_end.Reset();
  echo.join();
}

std::atomic<int> handled;
std::atomic<uintptr_t> lowest_ip, highest_ip;

void NoteInstructionPointer(int, siginfo_t*, void* context) {
  auto ip = static_cast<uintptr_t>(static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RIP]);
  if (ip < lowest_ip) lowest_ip = ip;
  if (ip > highest_ip) highest_ip = ip;
  handled++;
}

// A read that has something in rbx, which is the caller's to keep.
[[gnu::noinline]] long ReadKeeping(int fd, void* buffer, size_t size, uint64_t value) {
  long result;
  uint64_t kept = value;
  unsigned char failed;
  asm volatile("xor %%eax, %%eax\n syscall\n cmp $-4096, %%rax\n seta %1"
               : "=&a"(result), "=r"(failed), "+b"(kept)
               : "D"(fd), "S"(buffer), "d"(size)
               : "rcx", "r11", "memory");
  EXPECT_EQ(kept, value);
  return result;
}

// Echoes until its input ends.
int Echo(int in, int out) {
  char c;
  while (ReadKeeping(in, &c, 1, 0x1234567) == 1) {
    if (write(out, &c, 1) != 1) return 1;
  }
  return testing::Test::HasFailure() ? 1 : 0;
}

// Processes that wait for each other, again and again, and are interrupted.
TEST(HotCalls, ProcessesHandOverInSpiteOfSignals) {
  ScopedHandler handler(SIGALRM, NoteInstructionPointer, SA_RESTART | SA_SIGINFO);
  handled = 0;
  lowest_ip = ~uintptr_t{0};
  highest_ip = 0;
  Pipe there, back;
  const pid_t child = Fork([&] {
    there.write_end.Reset();
    return Echo(there.read(), back.write());
  });
  there.read_end.Reset();
  itimerval often = {{0, 300}, {0, 300}};
  ASSERT_OK(setitimer(ITIMER_REAL, &often, nullptr));
  for (int i = 0; i < 10 * kMany; i++) {
    char out = static_cast<char>(i), in = 0;
    ASSERT_OK(write(there.write(), &out, 1));
    ASSERT_EQ(ReadKeeping(back.read(), &in, 1, static_cast<uint64_t>(i)), 1);
    ASSERT_EQ(in, out);
  }
  often = {};
  ASSERT_OK(setitimer(ITIMER_REAL, &often, nullptr));
  there.write_end.Reset();
  EXPECT_EXITED(Wait(child), 0);
  EXPECT_GT(handled, 0);
  EXPECT_GE(lowest_ip, reinterpret_cast<uintptr_t>(&__executable_start));
  EXPECT_LT(highest_ip, reinterpret_cast<uintptr_t>(&etext));
}

// Threads of one process that make calls all the time, at the same time, some of them with something to do in between.
TEST(HotCalls, ManyThreadsCallAtOnce) {
  ScopedHandler handler(SIGUSR1, NoteInstructionPointer, SA_RESTART | SA_SIGINFO);
  handled = 0;
  lowest_ip = ~uintptr_t{0};
  highest_ip = 0;
  constexpr int kThreads = 6;
  TempFile files[kThreads];
  std::atomic<int> running = kThreads;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; t++) {
    threads.emplace_back([&, t] {
      const long tid = GetTid();
      for (uint64_t i = 0; i < 2 * kMany; i++) {
        ASSERT_EQ(pwrite(files[t].fd(), &i, sizeof i, 0), static_cast<ssize_t>(sizeof i));
        uint64_t back = 0;
        ASSERT_EQ(pread(files[t].fd(), &back, sizeof back, 0), static_cast<ssize_t>(sizeof back));
        ASSERT_EQ(back, i);
        if (i % 16 == 0) {
          ASSERT_EQ(GetTid(), tid);
        }
        if (t % 3 == 2 && i % 200 == 0) {
          for (int j = 0; j < 300000; j++) asm volatile("");
        }
      }
      running--;
    });
  }
  // ESRCH when one has ended already.
  for (int i = 0; running > 0; i++) {
    (void)pthread_kill(threads[static_cast<size_t>(i) % kThreads].native_handle(), SIGUSR1);
    usleep(300);
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(handled, 0);
  EXPECT_GE(lowest_ip, reinterpret_cast<uintptr_t>(&__executable_start));
  EXPECT_LT(highest_ip, reinterpret_cast<uintptr_t>(&etext));
}

// More of them than processors, some of which end in the middle of it.
TEST(HotCalls, ManyHandOverAtOnce) {
  constexpr int kPairs = 6;
  std::vector<pid_t> pairs;
  for (int pair = 0; pair < kPairs; pair++) {
    pairs.push_back(Fork([&] {
      Pipe there, back;
      const pid_t child = Fork([&] {
        there.write_end.Reset();
        back.read_end.Reset();
        return Echo(there.read(), back.write());
      });
      there.read_end.Reset();
      back.write_end.Reset();
      signal(SIGPIPE, SIG_IGN);
      const bool killed = pair % 2 == 0;
      char c = 'c';
      for (int i = 0; i < 2 * kMany || killed; i++) {
        if (killed && i == kMany) kill(child, SIGKILL);
        if (write(there.write(), &c, 1) != 1) break;
        if (ReadKeeping(back.read(), &c, 1, 1) != 1) break;
      }
      there.write_end.Reset();
      const int status = Wait(child);
      CHILD_CHECK(killed ? WIFSIGNALED(status) : WIFEXITED(status) && WEXITSTATUS(status) == 0);
      return 0;
    }));
  }
  for (pid_t pair : pairs) EXPECT_EXITED(Wait(pair), 0);
}

// Signals find the thread in the program, wherever it is interrupted, and no call is lost or made twice.
TEST(HotCalls, SignalsInBetween) {
  ScopedHandler handler(SIGUSR1, NoteInstructionPointer, SA_RESTART | SA_SIGINFO);
  handled = 0;
  lowest_ip = ~uintptr_t{0};
  highest_ip = 0;
  TempFile file;
  std::atomic<bool> stop{false};
  const pthread_t self = pthread_self();
  std::thread sender([&] {
    while (!stop) {
      pthread_kill(self, SIGUSR1);
      usleep(50);
    }
  });
  const uint64_t one = 1;
  uint64_t total = 0;
  for (int i = 0; i < 20 * kMany; i++) {
    ASSERT_EQ(write(file.fd(), &one, sizeof one), static_cast<ssize_t>(sizeof one));
    if (i % 3 == 0) ASSERT_EQ(GetPid(), getpid());
    total++;
  }
  stop = true;
  sender.join();
  struct stat status;
  ASSERT_OK(fstat(file.fd(), &status));
  EXPECT_EQ(static_cast<uint64_t>(status.st_size), total * sizeof one);
  EXPECT_GT(handled, 0);
  EXPECT_GE(lowest_ip, reinterpret_cast<uintptr_t>(&__executable_start));
  EXPECT_LT(highest_ip, reinterpret_cast<uintptr_t>(&etext));
}

TEST(HotCalls, InterruptedReadIsRestartedOrEnds) {
  Pipe pipe;
  char c;
  for (int i = 0; i < kMany; i++) {
    ASSERT_OK(write(pipe.write(), "x", 1));
    ASSERT_EQ(Read(pipe.read(), &c, 1), 1);
  }
  for (int flags : {SA_RESTART, 0}) {
    ScopedHandler handler(SIGUSR1, NoteInstructionPointer, flags | SA_SIGINFO);
    for (int i = 0; i < 20; i++) {
      handled = 0;
      const pthread_t self = pthread_self();
      std::thread sender([&] {
        while (handled == 0) {
          usleep(500);
          pthread_kill(self, SIGUSR1);
        }
        if (flags != 0) ASSERT_OK(write(pipe.write(), "y", 1));
      });
      if (flags != 0) {
        ASSERT_EQ(Read(pipe.read(), &c, 1), 1);
        ASSERT_EQ(c, 'y');
      } else {
        ASSERT_EQ(Read(pipe.read(), &c, 1), -EINTR);
      }
      sender.join();
    }
  }
}

// The code of a page that is mapped anew is that of the new mapping.
TEST(HotCalls, CodeMayBeReplaced) {
  const unsigned char code[2][8] = {{0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0xc3},
                                    {0xb8, 102, 0, 0, 0, 0x0f, 0x05, 0xc3}};
  TempFile files[2];
  for (int i = 0; i < 2; i++) ASSERT_OK(write(files[i].fd(), code[i], sizeof code[i]));
  void* page = mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, files[0].fd(), 0);
  ASSERT_NE(page, MAP_FAILED);
  for (int round = 0; round < 6; round++) {
    const int which = round % 2;
    ASSERT_EQ(mmap(page, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, files[which].fd(), 0),
              page);
    auto* call = reinterpret_cast<long (*)()>(page);
    for (int i = 0; i < kMany; i++) ASSERT_EQ(call(), which == 0 ? getpid() : 0);
    EXPECT_EXITED(RunChild([&] {
                    for (int i = 0; i < kMany; i++) CHILD_CHECK(call() == (which == 0 ? getpid() : 0));
                    return 0;
                  }),
                  0);
  }
  munmap(page, 4096);
}

// A call whose instructions lie on two pages, each of which may be mapped again.
TEST(HotCalls, OnTwoPages) {
  for (size_t first : {1u, 3u, 5u, 6u}) {
    const unsigned char code[] = {0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0xc3};
    TempFile file;
    ASSERT_OK(ftruncate(file.fd(), 2 * 4096));
    ASSERT_OK(pwrite(file.fd(), code, sizeof code, static_cast<off_t>(4096 - first)));
    auto* pages = static_cast<char*>(mmap(nullptr, 2 * 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, file.fd(), 0));
    ASSERT_NE(pages, MAP_FAILED);
    auto* call = reinterpret_cast<long (*)()>(pages + 4096 - first);
    std::atomic<long> wrong{0};
    auto many = [&] {
      for (int i = 0; i < kMany; i++) wrong += call() != getpid();
    };
    std::thread other(many);
    many();
    other.join();
    EXPECT_EXITED(RunChild([&] {
                    for (int i = 0; i < kMany; i++) CHILD_CHECK(call() == getpid());
                    CHILD_CHECK(mmap(pages, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, file.fd(), 0) == pages);
                    for (int i = 0; i < kMany; i++) CHILD_CHECK(call() == getpid());
                    return 0;
                  }),
                  0);
    for (int page = 0; page < 2; page++) {
      void* at = pages + page * 4096;
      ASSERT_EQ(mmap(at, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, file.fd(), page * 4096), at);
      many();
      ASSERT_OK(madvise(at, 4096, MADV_DONTNEED));
      many();
      // To elsewhere and back.
      void* moved = mremap(at, 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
      ASSERT_NE(moved, MAP_FAILED);
      ASSERT_EQ(mremap(moved, 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, at), at);
      many();
    }
    EXPECT_EQ(wrong, 0);
    munmap(pages, 2 * 4096);
  }
}

// The one place from which programs in Go make all their calls.
TEST(HotCalls, AsGoMakesThem) {
  const unsigned char code[] = {0x48, 0x89, 0xdf, 0x0f, 0x05, 0x48, 0x3d, 0x01, 0xf0, 0xff, 0xff, 0x77, 0x01, 0xc3, 0x48, 0xf7, 0xd8, 0xc3};
  TempFile file;
  ASSERT_OK(write(file.fd(), code, sizeof code));
  auto* page = static_cast<char*>(mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, file.fd(), 0));
  ASSERT_NE(page, MAP_FAILED);
  auto call = [page](long nr, long a, long b = 0, long c = 0, int entry = 0) {
    long result;
    register long rdi asm("rdi") = entry == 0 ? 0 : a;
    asm volatile("call *%[at]" : "=a"(result), "+r"(rdi) : [at] "r"(page + entry), "a"(nr), "b"(a), "S"(b), "d"(c) : "rcx", "r11", "memory", "cc");
    return result;
  };
  int pipe_ends[2];
  ASSERT_OK(pipe(pipe_ends));
  // Blocked where the call is replaced meanwhile; with an error the other way behind it is taken.
  std::thread blocked[2];
  char bytes[2] = {};
  std::atomic<long> results[2];
  for (int i = 0; i < 2; i++) {
    blocked[i] = std::thread([&, i] { results[i] = call(SYS_read, pipe_ends[0], reinterpret_cast<long>(i == 0 ? &bytes[0] : nullptr), 1); });
  }
  usleep(20'000);
  for (int i = 0; i < kMany; i++) {
    ASSERT_EQ(call(SYS_getpid, 0), getpid());
    ASSERT_EQ(call(SYS_close, -1), EBADF) << "made positive";
  }
  ASSERT_EQ(write(pipe_ends[1], "xy", 2), 2);
  for (std::thread& thread : blocked) thread.join();
  EXPECT_EQ(results[0], 1);
  EXPECT_EQ(results[1], EFAULT);
  for (int i = 0; i < 10; i++) {
    EXPECT_EQ(call(SYS_getpid, 0, 0, 0, 3), getpid());
    EXPECT_EQ(call(SYS_close, -1, 0, 0, 3), EBADF);
  }
  close(pipe_ends[0]);
  close(pipe_ends[1]);
  munmap(page, 4096);
}

// As opendir(3) opens directories.
TEST(HotCalls, OpenInTheWorkingDirectory) {
  const unsigned char code[] = {0xb8, 1, 1, 0, 0, 0x48, 0x89, 0xfe, 0x31, 0xd2, 0xbf, 0x9c, 0xff, 0xff, 0xff, 0x0f, 0x05, 0xc3};
  TempFile file;
  ASSERT_OK(write(file.fd(), code, sizeof code));
  void* page = mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, file.fd(), 0);
  ASSERT_NE(page, MAP_FAILED);
  auto* open_here = reinterpret_cast<long (*)(const char*)>(page);
  for (int i = 0; i < kMany; i++) {
    const long fd = open_here("/dev/null");
    ASSERT_GE(fd, 0);
    ASSERT_OK(close(static_cast<int>(fd)));
    ASSERT_EQ(open_here("/none"), -ENOENT);
  }
  munmap(page, 4096);
}

// Entered at the system call instruction itself, with another number.
TEST(HotCalls, EnteredInTheMiddle) {
  const unsigned char code[] = {0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0xc3};
  TempFile file;
  ASSERT_OK(write(file.fd(), code, sizeof code));
  void* page = mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, file.fd(), 0);
  ASSERT_NE(page, MAP_FAILED);
  auto* start = static_cast<char*>(page);
  for (int i = 0; i < kMany; i++) ASSERT_EQ(reinterpret_cast<long (*)()>(start)(), getpid());
  for (int i = 0; i < 10; i++) {
    long result;
    asm volatile("call *%1" : "=a"(result) : "r"(start + 5), "a"(102L) : "rcx", "r11", "memory");
    EXPECT_EQ(result, 0) << "getuid";
  }
  munmap(page, 4096);
}

TEST(HotCalls, ManyThreadsAtOnePlace) {
  std::vector<std::thread> threads;
  std::atomic<long> wrong{0};
  for (int t = 0; t < 40; t++) {
    threads.emplace_back([&] {
      const long tid = syscall(SYS_gettid);
      struct stat status;
      for (int i = 0; i < kMany; i++) {
        if (GetTid() != tid) wrong++;
        if (stat("/", &status) != 0) wrong++;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace conformance
