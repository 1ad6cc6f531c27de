#include <fcntl.h>
#include <linux/capability.h>
#include <linux/rseq.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/rseq.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <vector>

#include "base/host.h"
#include "base/log.h"
#include "platform/systrap/filter.h"
#include "platform/systrap/signals.h"
#include "platform/systrap/stub_layout.h"
#include "platform/systrap/zygote.h"

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

namespace platform::systrap {

namespace {

constexpr int kHighFd = 1000;
constexpr int kPatienceSeconds = 5;

// The memory image that every stub maps at STUB_CODE: code, then the filters.
Result<Fd> MakeCodeFile(const SyscallSet& full_state) {
  const size_t code_size = __stop_stub_text - __start_stub_text;
  CHECK(code_size <= STUB_CODE_SIZE);
  std::vector<char> image(STUB_CODE_SIZE + STUB_CONFIG_SIZE);
  memcpy(image.data(), __start_stub_text, code_size);
  auto* config = reinterpret_cast<StubConfig*>(image.data() + STUB_CODE_SIZE);
  config->listener_flags = SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
  size_t end = STUB_CODE_SIZE + sizeof(StubConfig);
  auto add = [&](sock_fprog& program, const std::vector<sock_filter>& filter) {
    const size_t size = filter.size() * sizeof(sock_filter);
    CHECK(end + size <= image.size());
    memcpy(image.data() + end, filter.data(), size);
    program.len = filter.size();
    program.filter = reinterpret_cast<sock_filter*>(STUB_CODE + end);
    end += size;
  };
  add(config->helper_doorbell, HelperDoorbellFilter());
  add(config->helper, HelperFilter());
  add(config->app, AppFilter(full_state));

  Fd fd(TRY(HOST(memfd_create("stub-code", MFD_CLOEXEC | MFD_ALLOW_SEALING))));
  if (TRY(HOST(write(fd.get(), image.data(), image.size()))) !=
      static_cast<ssize_t>(image.size())) {
    return Errno::kENOSPC;
  }
  TRY(HOST(fcntl(fd.get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)));
  return fd;
}

struct KernelSigaction {
  uint64_t handler;
  uint64_t flags;
  uint64_t restorer;
  uint64_t mask;
};

void SetStubSignals() {
  const uint64_t all = ~uint64_t{0};
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, nullptr, sizeof all);
  for (int signal = 1; signal <= 64; signal++) {
    KernelSigaction action = {};
    for (int handled : kStubSignals) {
      if (signal != handled) continue;
      constexpr uint64_t kSaRestorer = 0x04000000;
      action = {StubAddress(StubHandler), SA_SIGINFO | SA_ONSTACK | SA_RESTART | kSaRestorer,
                StubAddress(StubDie), all};
    }
    if (signal == SIGCHLD) action.handler = 1;  // SIG_IGN: stubs are reaped by the host
    syscall(SYS_rt_sigaction, signal, &action, nullptr, sizeof action.mask);
  }
}

// In the clone of the Sentry: no allocation, no locks.
[[noreturn]] void BecomeZygote(int socket_fd, int memory_fd, int control_fd, int code_fd) {
  const struct {
    int from;
    int to;
  } moves[] = {{memory_fd, STUB_MEMORY_FD},
               {control_fd, STUB_CONTROL_FD},
               {socket_fd, STUB_SOCKET_FD},
               {code_fd, STUB_SOCKET_FD + 1}};
  for (auto move : moves) {
    if (syscall(SYS_dup3, move.from, kHighFd + move.to, 0) < 0) _exit(72);
  }
  syscall(SYS_close_range, 0, kHighFd - 1, 0);
  for (auto move : moves) {
    if (syscall(SYS_dup3, kHighFd + move.to, move.to, 0) < 0) _exit(73);
  }
  syscall(SYS_close_range, STUB_SOCKET_FD + 2, ~0u, 0);
  SetStubSignals();
  // Signals of the Sentry's controlling terminal are for the Sentry alone.
  syscall(SYS_setsid);
  // The host would otherwise write to the area after it is unmapped.
  auto* area = reinterpret_cast<char*>(__builtin_thread_pointer()) + __rseq_offset;
  if (syscall(SYS_rseq, area, 32, RSEQ_FLAG_UNREGISTER, RSEQ_SIG) != 0) {
    syscall(SYS_rseq, area, __rseq_size, RSEQ_FLAG_UNREGISTER, RSEQ_SIG);
  }
  const rlimit no_core = {0, 0};
  syscall(SYS_prlimit64, 0, RLIMIT_CORE, &no_core, nullptr);
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct none[2] = {};
  syscall(SYS_capset, &header, none);
  syscall(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  syscall(SYS_prctl, PR_SET_NAME, "runsc-zygote", 0, 0, 0);
  // If the Sentry died before this, the socket's end of file says so.
  syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  StubBootstrap(STUB_SOCKET_FD + 1, StubAddress(StubZygoteMain));
}

}  // namespace

Result<void> Zygote::Start(const Platform::Options& options, int control_fd) {
  Fd code = TRY(MakeCodeFile(options.full_state));
  int pair[2];
  TRY(HOST(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)));
  Fd ours(pair[0]), theirs(pair[1]);
  const timeval patience = {kPatienceSeconds, 0};
  TRY(HOST(setsockopt(ours.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience)));
  for (uint64_t flags :
       {uint64_t{CLONE_NEWPID}, uint64_t{CLONE_NEWUSER | CLONE_NEWPID}, uint64_t{0}}) {
    long pid = syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);
    if (pid == 0) BecomeZygote(theirs.get(), options.memory_fd, control_fd, code.get());
    if (pid > 0) {
      pid_ = static_cast<pid_t>(pid);
      has_pid_namespace_ = flags != 0;
      break;
    }
  }
  if (pid_ < 0) return Errno::kEAGAIN;
  socket_ = std::move(ours);
  return {};
}

void Zygote::Kill() {
  if (pid_ < 0) return;
  kill(pid_, SIGKILL);
  // As init of the namespace it is reaped only after all stubs are.
  (void)HOST_RETRY(waitpid(pid_, nullptr, __WALL));
  pid_ = -1;
}

Result<void> Zygote::Request(uint32_t slot) {
  ZygoteRequest request = {slot};
  TRY(HOST_RETRY(send(socket_.get(), &request, sizeof request, MSG_NOSIGNAL)));
  return {};
}

Result<StubListeners> Zygote::Receive(Wait wait) {
  ZygoteReply reply = {};
  iovec io = {&reply, sizeof reply};
  alignas(cmsghdr) char control[CMSG_SPACE(2 * sizeof(int))];
  msghdr message = {};
  message.msg_iov = &io;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const int flags = MSG_CMSG_CLOEXEC | (wait == Wait::kNo ? MSG_DONTWAIT : 0);
  const ssize_t n = TRY(HOST_RETRY(recvmsg(socket_.get(), &message, flags)));
  if (n != sizeof reply) return Errno::kEPIPE;
  StubListeners result;
  result.slot = reply.slot;
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_type != SCM_RIGHTS || c->cmsg_len != CMSG_LEN(2 * sizeof(int))) continue;
    int fds[2];
    memcpy(fds, CMSG_DATA(c), sizeof fds);
    result.helper = Fd(fds[0]);
    result.app = Fd(fds[1]);
  }
  result.error = reply.error == 0 && !result.app.valid() ? EMFILE : reply.error;
  return result;
}

}  // namespace platform::systrap
