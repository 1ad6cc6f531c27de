// Mixtures that find races in a kernel rather than pin one call. Each is short.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <atomic>

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

RegisterHelper true_helper("true", [](int, char**) { return 0; });

TEST(Stress, ForkWhileThreadsWriteTheirMemory) {
  constexpr int kThreads = 3;
  PrivateMemory memory(kThreads * kPage);
  std::atomic<bool> stop = false;
  std::atomic<int> torn = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; t++) {
    threads.emplace_back([&, t] {
      auto* words = reinterpret_cast<volatile uint64_t*>(memory.page(t));
      for (uint64_t i = 1; !stop; i++) {
        words[0] = i;
        words[100] = i;
        if (words[0] != i || words[100] != i) torn++;
      }
    });
  }
  for (int i = 0; i < 30; i++) {
    // The child writes every page too, and must not be seen.
    EXPECT_EXITED(RunChild([&] {
                    for (int t = 0; t < kThreads; t++) memset(memory.page(t), 0xff, kPage);
                    return 0;
                  }),
                  0);
  }
  stop = true;
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(torn, 0);
}

TEST(Stress, SignalsBetweenThreadsAreAllDelivered) {
  static std::atomic<int> received;
  received = 0;
  ScopedHandler handler(SIGRTMIN, +[](int) { received++; });
  std::atomic<bool> stop = false;
  std::thread target([&] {
    char c = 0;
    int ends[2];
    EXPECT_OK(pipe(ends));
    Fd reader(ends[0]), writer(ends[1]);
    // System calls, faults and plain code, so that signals meet each of them.
    while (!stop) {
      EXPECT_EQ(write(writer, &c, 1), 1);
      EXPECT_EQ(read(reader, &c, 1), 1);
      PrivateMemory memory(kPage);
      memory.data()[0] = 1;
    }
  });
  for (int i = 0; i < 500; i++) ASSERT_EQ(pthread_kill(target.native_handle(), SIGRTMIN), 0);
  for (int64_t end = NowMs() + 5000; received < 500 && NowMs() < end;) SleepMs(1);
  stop = true;
  target.join();
  EXPECT_EQ(received, 500);
}

TEST(Stress, ExecInALoop) {
  HelperArgv argv("true");
  for (int i = 0; i < 40; i++) {
    ASSERT_TRUE(Exited(RunChild([&] {
                         execv(SelfPath().c_str(), argv.data());
                         return 95;
                       }),
                       0));
  }
}

TEST(Stress, ExecWhileOtherThreadsRun) {
  HelperArgv argv("true");
  for (int i = 0; i < 10; i++) {
    EXPECT_EXITED(RunChild([&] {
                    for (int t = 0; t < 3; t++) {
                      std::thread([] {
                        for (;;) PrivateMemory memory(kPage);
                      }).detach();
                    }
                    execv(SelfPath().c_str(), argv.data());
                    return 95;
                  }),
                  0);
  }
}

TEST(Stress, ThreadsComeAndGo) {
  std::atomic<int> count = 0;
  for (int round = 0; round < 30; round++) {
    std::vector<std::thread> threads;
    for (int t = 0; t < 10; t++) threads.emplace_back([&] { count++; });
    for (auto& thread : threads) thread.join();
  }
  EXPECT_EQ(count, 300);
}

TEST(Stress, KillWhileForking) {
  for (int i = 0; i < 15; i++) {
    pid_t pid = Fork([] {
      setpgid(0, 0);
      for (;;) {
        pid_t child = fork();
        if (child == 0) _exit(0);
        waitpid(child, nullptr, 0);
      }
      return 0;
    });
    setpgid(pid, pid);
    SleepMs(i % 5);
    ASSERT_OK(kill(-pid, SIGKILL));
    EXPECT_KILLED(Wait(pid), SIGKILL);
  }
}

TEST(Stress, CreateAndUnlinkTheSameNames) {
  TempDir dir;
  std::vector<std::thread> threads;
  std::atomic<int> strange = 0;
  for (int t = 0; t < 4; t++) {
    threads.emplace_back([&] {
      for (int i = 0; i < 100; i++) {
        std::string path = dir / ("n" + std::to_string(i % 3));
        Fd fd(open(path.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600));
        if (!fd.ok() && errno != EEXIST) strange++;
        if (unlink(path.c_str()) != 0 && errno != ENOENT) strange++;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(strange, 0);
}

TEST(Stress, PingPongBetweenProcesses) {
  int a[2], b[2];
  ASSERT_OK(pipe(a));
  ASSERT_OK(pipe(b));
  pid_t pid = Fork([&] {
    char c;
    close(a[1]);
    while (read(a[0], &c, 1) == 1) CHILD_CHECK(write(b[1], &c, 1) == 1);
    return 0;
  });
  for (int i = 0; i < 2000; i++) {
    char c = static_cast<char>(i), back = 0;
    ASSERT_EQ(write(a[1], &c, 1), 1);
    ASSERT_EQ(read(b[0], &back, 1), 1);
    ASSERT_EQ(back, c);
  }
  close(a[1]);
  EXPECT_EXITED(Wait(pid), 0);
  for (int fd : {a[0], b[0], b[1]}) close(fd);
}

TEST(Stress, DescriptorsPassedAroundWhileClosing) {
  int ends[2];
  ASSERT_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
  std::atomic<bool> stop = false;
  std::atomic<int> fd = ends[0];
  std::thread closer([&] {
    while (!stop) {
      int copy = dup(fd);
      close(copy);
    }
  });
  for (int i = 0; i < 300; i++) {
    ASSERT_EQ(write(ends[1], "x", 1), 1);
    char c;
    ASSERT_EQ(read(ends[0], &c, 1), 1);
  }
  stop = true;
  closer.join();
  close(ends[0]);
  close(ends[1]);
}

TEST(Stress, ManyProcessesShareACounter) {
  SharedMemory memory;
  auto* counter = memory.as<std::atomic<int>>();
  std::vector<pid_t> pids;
  for (int i = 0; i < 8; i++) {
    pids.push_back(Fork([&] {
      for (int j = 0; j < 10000; j++) (*counter)++;
      return 0;
    }));
  }
  for (pid_t pid : pids) EXPECT_EXITED(Wait(pid), 0);
  EXPECT_EQ(*counter, 80000);
}

}  // namespace
}  // namespace conformance
