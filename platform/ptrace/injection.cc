// Tracer's calls that run code of the stub: setting up the zygote, making stubs and threads,
// changing mappings.

#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "base/host.h"
#include "base/kernel_lock.h"
#include "base/log.h"
#include "platform/ptrace/tracee_unsafe.h"
#include "platform/ptrace/tracer.h"
#include "platform/ptrace/wait_unsafe.h"

namespace platform::ptrace {

namespace {

constexpr size_t kMaxPooled = 4;
constexpr size_t kMaxIdleThreads = 4;  // of a pooled stub
constexpr uint64_t kUserCs = 0x33;
constexpr uint64_t kUserSs = 0x2b;

constexpr size_t kMaxBatchUnderLock = 32;
constexpr uint64_t kMaxPopulateUnderLock = 64 * 1024;

bool IsStop(int status, int signo) { return WIFSTOPPED(status) && WSTOPSIG(status) == signo; }

bool IsSlow(const std::vector<StubCall>& calls) {
  if (calls.size() > kMaxBatchUnderLock) return true;
  for (const StubCall& call : calls) {
    if (call.nr == SYS_mmap && (call.args[3] & MAP_POPULATE) != 0 &&
        call.args[1] > kMaxPopulateUnderLock)
      return true;
  }
  return false;
}

}  // namespace

Result<int> Tracer::WaitFor(pid_t tid) {
  for (auto it = stashed_.begin(); it != stashed_.end(); ++it) {
    if (it->first == tid) {
      int status = it->second;
      // A death is also left for the main loop, which does the accounting.
      if (!WIFSTOPPED(status)) return Errno::kESRCH;
      stashed_.erase(it);
      return status;
    }
  }
  for (;;) {
    // Any, not this one: a leader's death is only reported once its other threads have been reaped.
    int status;
    pid_t stopped = TRY(WaitForAny(&status));
    if (stopped == tid && WIFSTOPPED(status)) return status;
    stashed_.emplace_back(stopped, status);
    if (stopped == tid) return Errno::kESRCH;
  }
}

Result<uint64_t> Tracer::InjectRun(StubThread& thread, uint64_t code, const StubCall& first,
                                   uint64_t calls, uint64_t* done, pid_t* child) {
  user_regs_struct registers = {};
  registers.cs = kUserCs;
  registers.ss = kUserSs;
  registers.eflags = 0x202;
  registers.rip = code;
  registers.orig_rax = ~0ULL;  // nothing to restart
  registers.rax = first.nr;
  registers.rdi = first.args[0];
  registers.rsi = first.args[1];
  registers.rdx = first.args[2];
  registers.r10 = first.args[3];
  registers.r8 = first.args[4];
  registers.r9 = first.args[5];
  registers.r12 = kDataAddress;
  registers.r13 = calls;
  TRY(SetRegisters(thread.tid, registers));
  for (;;) {
    Result<void> resumed;
    WakeOnThisCpu(thread.tid, [&] { resumed = Continue(thread.tid); });
    if (!resumed.ok()) return resumed.error();
    int status = TRY(WaitFor(thread.tid));
    if (status >> 16 == PTRACE_EVENT_CLONE || status >> 16 == PTRACE_EVENT_FORK) {
      pid_t tid = static_cast<pid_t>(TRY(EventMessage(thread.tid)));
      if (child != nullptr) *child = tid;
      sched_setaffinity(tid, sizeof cpus_,
                        &cpus_);  // the parent may still have been bound to this CPU
      continue;
    }
    // Other signals come from outside and mean nothing here.
    if (status >> 16 == 0 && IsStop(status, SIGTRAP)) {
      TRY(GetRegisters(thread.tid, &registers));
      if (registers.rip == code + TrappedOffset()) break;
    }
    siginfo_t info;
    if (IsStop(status, SIGSEGV) && GetSignalInfo(thread.tid, &info).ok() && info.si_code > 0)
      return Errno::kEFAULT;
  }
  *done = calls - registers.r13;
  int64_t result = static_cast<int64_t>(registers.rax);
  if (result < 0 && result >= -4095) return static_cast<Errno>(-result);
  return registers.rax;
}

Result<void> Tracer::Inject(Stub* stub, const std::vector<StubCall>& calls) {
  // The kernel lock is cheaper to keep than to drop for the few microseconds that most batches
  // take.
  std::optional<KernelLock::Unlocked> unlocked;
  if (IsSlow(calls) && KernelLock::HeldByCurrentThread()) unlocked.emplace();
  Result<void> result;
  size_t next = 0;
  while (next < calls.size()) {
    if (stub->dead) return Errno::kESRCH;
    uint64_t count = std::min(calls.size() - next, kMaxBatch);
    if (count > 1)
      memcpy(FilePage(stub->batch_page), &calls[next + 1], (count - 1) * sizeof(StubCall));
    uint64_t done = 0;
    Result<uint64_t> last = InjectRun(stub->leader, kCodeAddress, calls[next], count, &done);
    if (!last.ok()) {
      if (done == 0 && last.error() == Errno::kESRCH) return Errno::kESRCH;
      const StubCall& failed = calls[next + done];
      LOG_DEBUG("ptrace: call {} of a stub for {:x}+{:x} failed: {}", failed.nr, failed.args[0],
                failed.args[1], ErrnoName(last.error()));
      if (result.ok()) result = last.error();
      if (stub != &zygote_ && !UnmapAfterFailure(stub, failed)) return Errno::kESRCH;
      done++;
    }
    next += done;
  }
  return result;
}

bool Tracer::UnmapAfterFailure(Stub* stub, const StubCall& failed) {
  uint64_t done;
  StubCall unmap = {SYS_munmap, {failed.args[0], failed.args[1]}};
  if (failed.nr != SYS_munmap && InjectRun(stub->leader, kCodeAddress, unmap, 1, &done).ok()) {
    return true;
  }
  KillStub(stub);
  return false;
}

Result<void> Tracer::SetUpZygote() {
  StubThread& zygote = zygote_.leader;
  TRY(Seize(zygote.tid));
  TRY(RequestStop(zygote.tid));
  TRY(WaitFor(zygote.tid));
  uint64_t code = CodeInSentry();  // mapped there until the last of these calls but one
  auto call = [&](const StubCall& what) -> Result<void> {
    uint64_t done;
    TRY(InjectRun(zygote, code, what, 1, &done));
    return {};
  };
  TRY(call({SYS_munmap, {kStubBase, kTaskSize - kStubBase}}));
  TRY(call({SYS_mmap,
            {kCodeAddress, kPageSize, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_FIXED, kStubFdInStub,
             0}}));
  code = kCodeAddress;
  TRY(call({SYS_munmap, {0, kStubBase}}));
  TRY(call({SYS_mmap,
            {kDataAddress, kPageSize, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, kStubFdInStub,
             kPageSize}}));
  TRY(call({SYS_madvise, {kDataAddress, kPageSize, MADV_DONTFORK}}));
  TRY(call({SYS_prctl, {PR_SET_SECCOMP, SECCOMP_MODE_FILTER, FilterProgramAddress()}}));
  return {};
}

Result<Stub*> Tracer::ForkStub() {
  if (!zygote_ready_) return Errno::kEAGAIN;
  if (free_pages_.empty()) {
    if (next_page_ == kStubFilePages) return Errno::kEAGAIN;
    free_pages_.push_back(next_page_++);
  }
  uint64_t done;
  pid_t pid = 0;
  TRY(InjectRun(zygote_.leader, kCodeAddress, {SYS_clone, {ForkFlags()}}, 1, &done, &pid));
  if (pid == 0) return Errno::kEAGAIN;
  auto* stub = new Stub;
  stub->leader.stub = stub;
  stub->leader.tid = pid;
  stub->live = 1;
  threads_[pid] = &stub->leader;
  stub->batch_page = free_pages_.back();
  free_pages_.pop_back();
  uint64_t offset = stub->batch_page * kPageSize;
  Result<int> stopped = WaitFor(pid);
  Result<void> mapped = stopped.ok()
                            ? Inject(stub, {{SYS_mmap,
                                             {kDataAddress, kPageSize, PROT_READ,
                                              MAP_SHARED | MAP_FIXED, kStubFdInStub, offset}}})
                            : stopped.error();
  if (!mapped.ok()) {
    KillStub(stub);
    return Errno::kEAGAIN;
  }
  return stub;
}

Result<Stub*> Tracer::AcquireStub() {
  if (shut_down_) return Errno::kEAGAIN;
  Stub* stub;
  if (!pool_.empty()) {
    stub = pool_.back();
    pool_.pop_back();
  } else {
    stub = TRY(ForkStub());
  }
  stub->owned = true;
  return stub;
}

void Tracer::ReleaseStub(Stub* stub) {
  stub->owned = false;
  if (!stub->dead && !shut_down_ && pool_.size() < kMaxPooled &&
      stub->idle.size() == stub->threads.size() && stub->threads.size() <= kMaxIdleThreads) {
    if (Inject(stub, {{SYS_munmap, {0, kStubBase}}}).ok()) {
      pool_.push_back(stub);
      return;
    }
  }
  KillStub(stub);
  if (stub->live == 0) Forget(stub);
}

Result<StubThread*> Tracer::AcquireThread(Stub* stub) {
  if (stub->dead || shut_down_) return Errno::kESRCH;
  if (!stub->idle.empty()) {
    StubThread* thread = stub->idle.back();
    stub->idle.pop_back();
    return thread;
  }
  uint64_t done;
  pid_t tid = 0;
  TRY(InjectRun(stub->leader, kCodeAddress, {SYS_clone, {ThreadFlags()}}, 1, &done, &tid));
  if (tid == 0) return Errno::kEAGAIN;
  auto thread = std::make_unique<StubThread>();
  thread->stub = stub;
  thread->tid = tid;
  threads_[tid] = thread.get();
  stub->live++;
  stub->threads.push_back(std::move(thread));
  TRY(WaitFor(tid));
  return stub->threads.back().get();
}

void Tracer::ReleaseThread(StubThread* thread) {
  thread->context = nullptr;
  if (!thread->dead) thread->stub->idle.push_back(thread);
}

Result<std::vector<int>> Tracer::PassFds(const std::vector<int>& fds) {
  if (!zygote_ready_) return Errno::kESRCH;
  std::vector<int> out;
  for (size_t next = 0; next < fds.size();) {
    size_t count = std::min<size_t>(fds.size() - next, kMaxPassedFds);
    char byte = 0;
    iovec vector = {&byte, 1};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMaxPassedFds)] = {};
    msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control};
    message.msg_controllen = CMSG_SPACE(sizeof(int) * count);
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int) * count);
    memcpy(CMSG_DATA(header), &fds[next], sizeof(int) * count);
    TRY(HOST_RETRY(sendmsg(socket_.get(), &message, MSG_NOSIGNAL)));

    void* scratch = FilePage(kScratchPage);
    PrepareReceive(scratch);
    uint64_t done;
    Result<uint64_t> received =
        InjectRun(zygote_.leader, kCodeAddress,
                  {SYS_recvmsg, {kSocketFdInStub, ReceiveHeaderAddress(), 0}}, 1, &done);
    int numbers[kMaxPassedFds];
    size_t got = received.ok() ? ReceivedFds(scratch, numbers) : 0;
    out.insert(out.end(), numbers, numbers + got);
    if (got != count) {
      CloseInStubs(out);
      return received.ok() ? Errno::kEMFILE : received.error();
    }
    next += count;
  }
  return out;
}

void Tracer::CloseInStubs(const std::vector<int>& fds) {
  std::vector<StubCall> calls;
  for (int fd : fds) calls.push_back({SYS_close, {static_cast<uint64_t>(fd)}});
  (void)Inject(&zygote_, calls);
}

}  // namespace platform::ptrace
