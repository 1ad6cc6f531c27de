// What the calls that programs make most cost inside whatever runs this: prints "name nanoseconds", the best of five rounds.
// With "floor" it prints instead what a seccomp user notification with synchronous wake-up costs here: the round trip that the
// systrap platform is built on, without a kernel behind it. With "exit" it ends at once (start-up is timed from outside), with "idle" never.

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

double Now() {
  timespec ts;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return static_cast<double>(ts.tv_sec) * 1e9 + static_cast<double>(ts.tv_nsec);
}

void Check(bool ok, const char* what) {
  if (ok) return;
  perror(what);
  exit(1);
}

template <class Body>
double Measure(int count, Body body) {
  double best = 1e18;
  for (int round = 0; round < 5; round++) {
    double start = Now();
    for (int i = 0; i < count; i++) body(i);
    best = std::min(best, (Now() - start) / count);
  }
  return best;
}

template <class Body>
void Report(const char* name, int count, Body body) {
  printf("%-18s %12.1f\n", name, Measure(count, body));
  fflush(stdout);
}

// A thread that sends back each byte it gets.
struct Echo {
  int in, out;
  pthread_t thread;
  Echo(int in_fd, int out_fd) : in(in_fd), out(out_fd) {
    pthread_create(&thread, nullptr, [](void* self) -> void* {
      auto* echo = static_cast<Echo*>(self);
      char c;
      while (read(echo->in, &c, 1) == 1 && write(echo->out, &c, 1) == 1) {
      }
      return nullptr;
    }, this);
  }
};

void PingPong(const char* name, int out, int in) {
  Report(name, 1000, [&](int) {
    char c = 'x';
    Check(write(out, &c, 1) == 1 && read(in, &c, 1) == 1, name);
  });
}

std::atomic<int> word;
long Futex(int op, int value) { return syscall(SYS_futex, &word, op, value, nullptr, nullptr, 0); }

void Files() {
  char buffer[65536] = {};
  struct stat st;
  int zero = open("/dev/zero", O_RDONLY), null = open("/dev/null", O_WRONLY);
  Report("read_zero", 4000, [&](int) { Check(read(zero, buffer, 1) == 1, "read"); });
  Report("write_null", 4000, [&](int) { Check(write(null, buffer, 1) == 1, "write"); });
  Report("stat", 2000, [&](int) { Check(stat("/etc/passwd", &st) == 0, "stat"); });
  Report("stat_missing", 2000, [&](int) { (void)!stat("/etc/no-such-file", &st); });
  Report("open_close", 1000, [&](int) { close(open("/etc/passwd", O_RDONLY)); });
  int host = open("/bin/sh", O_RDONLY);
  Report("pread_4k_host", 2000, [&](int i) { Check(pread(host, buffer, 4096, (i % 16) * 4096) == 4096, "pread"); });
  int file = open("/tmp/bench.dat", O_RDWR | O_CREAT | O_TRUNC, 0600);
  for (int i = 0; i < 64; i++) Check(write(file, buffer, sizeof buffer) == sizeof buffer, "write");
  Report("pread_4k_tmp", 2000, [&](int i) { Check(pread(file, buffer, 4096, (i % 1000) * 4096) == 4096, "pread"); });
  Report("pwrite_4k_tmp", 2000, [&](int i) { Check(pwrite(file, buffer, 4096, (i % 1000) * 4096) == 4096, "pwrite"); });
  Report("create_unlink", 500, [&](int) {
    close(open("/tmp/bench.new", O_CREAT | O_WRONLY, 0600));
    unlink("/tmp/bench.new");
  });
  unlink("/tmp/bench.dat");
}

void Memory() {
  Report("mmap_munmap_64k", 1000, [](int) {
    munmap(mmap(nullptr, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 65536);
  });
  double best = 1e18;
  constexpr int kPages = 1024;
  for (int round = 0; round < 5; round++) {
    auto* p = static_cast<char*>(mmap(nullptr, kPages * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    madvise(p, kPages * 4096, MADV_NOHUGEPAGE);
    double start = Now();
    for (int i = 0; i < kPages; i++) p[i * 4096] = 1;
    best = std::min(best, (Now() - start) / kPages);
    munmap(p, kPages * 4096);
  }
  printf("%-18s %12.1f\n", "page_fault", best);
}

void Waking() {
  int ping[2], pong[2], both[2];
  Check(pipe(ping) == 0 && pipe(pong) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, both) == 0, "pipe");
  Echo pipe_echo(ping[0], pong[1]);
  PingPong("pipe_pingpong", ping[1], pong[0]);
  Echo socket_echo(both[1], both[1]);
  PingPong("unix_pingpong", both[0], both[0]);
  pthread_t thread;
  pthread_create(&thread, nullptr, [](void*) -> void* {
    for (int value;;) {
      while ((value = word.load()) != 1) {
        if (value == 2) return nullptr;
        Futex(FUTEX_WAIT, value);
      }
      word.store(0);
      Futex(FUTEX_WAKE, 1);
    }
  }, nullptr);
  Report("futex_pingpong", 1000, [](int) {
    word.store(1);
    Futex(FUTEX_WAKE, 1);
    while (word.load() != 0) Futex(FUTEX_WAIT, 1);
  });
  word.store(2);
  Futex(FUTEX_WAKE, 1);
  pthread_join(thread, nullptr);
  int ep = epoll_create1(0), ready[2];
  Check(pipe(ready) == 0 && write(ready[1], "x", 1) == 1, "pipe");
  epoll_event event{.events = EPOLLIN, .data = {}};
  epoll_ctl(ep, EPOLL_CTL_ADD, ready[0], &event);
  Report("epoll_wait_ready", 2000, [&](int) { Check(epoll_wait(ep, &event, 1, -1) == 1, "epoll_wait"); });
  signal(SIGUSR1, [](int) {});
  Report("signal_self", 1000, [](int) { raise(SIGUSR1); });
}

void Processes(char* self) {
  Report("thread_join", 50, [](int) {
    pthread_t thread;
    pthread_create(&thread, nullptr, [](void* p) -> void* { return p; }, nullptr);
    pthread_join(thread, nullptr);
  });
  auto wait = [](pid_t pid) { waitpid(pid, nullptr, 0); };
  Report("fork_wait", 20, [&](int) {
    pid_t pid = fork();
    if (pid == 0) _exit(0);
    wait(pid);
  });
  Report("fork_exec_wait", 10, [&](int) {
    pid_t pid = fork();
    if (pid == 0) {
      execl("/proc/self/exe", self, "exit", nullptr);
      _exit(1);
    }
    wait(pid);
  });
  Report("vfork_exec_wait", 10, [&](int) {
    pid_t pid = vfork();
    if (pid == 0) {
      execl("/proc/self/exe", self, "exit", nullptr);
      _exit(1);
    }
    wait(pid);
  });
}

// The child makes a call that the parent answers; the listener is shared by fork of a thread-less process through its number, taken with
// pidfd_getfd.
void Floor() {
  int sync[2];
  Check(pipe(sync) == 0, "pipe");
  pid_t child = fork();
  if (child == 0) {
    sock_filter code[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
                          BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
                          BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    sock_fprog program{4, code};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    int listener = static_cast<int>(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program));
    Check(write(sync[1], &listener, sizeof listener) == sizeof listener, "write");
    // The first answers come once the parent listens.
    printf("%-18s %12.1f\n", "floor", Measure(5000, [](int) { syscall(SYS_getppid); }));
    fflush(stdout);
    _exit(0);
  }
  int remote;
  Check(read(sync[0], &remote, sizeof remote) == sizeof remote, "read");
  int pidfd = static_cast<int>(syscall(SYS_pidfd_open, child, 0));
  int listener = static_cast<int>(syscall(SYS_pidfd_getfd, pidfd, remote, 0));
  Check(listener >= 0, "pidfd_getfd");
  constexpr unsigned long kSetFlags = _IOW('!', 4, uint64_t);
  ioctl(listener, kSetFlags, 1ul);
  signal(SIGCHLD, [](int) { _exit(0); });
  for (;;) {
    seccomp_notif request = {};
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &request) != 0) break;
    seccomp_notif_resp response{.id = request.id, .val = 7, .error = 0, .flags = 0};
    ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &response);
  }
  wait(nullptr);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1 && strcmp(argv[1], "exit") == 0) return 0;
  if (argc > 1 && strcmp(argv[1], "idle") == 0) {
    for (;;) pause();
  }
  if (argc > 1 && strcmp(argv[1], "floor") == 0) {
    Floor();
    return 0;
  }
  timespec ts;
  Report("getpid", 4000, [](int) { syscall(SYS_getpid); });
  Report("clock_gettime", 40000, [&](int) { clock_gettime(CLOCK_MONOTONIC, &ts); });
  Files();
  Memory();
  Waking();
  Processes(argv[0]);
  return 0;
}
