#pragma once

// Task: a guest thread. Its kernel side runs on one fiber, from the first instruction to the end of the task:
//
//   RunLoop: deliver signals, park while stopped -> Context::Run -> system call | fault | interrupt -> again
//
// All under the kernel lock. A Task lives until its fiber has ended and, for a thread-group leader, until it was reaped;
// others hold RefPtr<Task>.

#include <sched.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "base/credentials.h"
#include "base/fiber.h"
#include "base/ref.h"
#include "base/result.h"
#include "platform/platform.h"
#include "sentry/kernel/fd_table.h"
#include "sentry/kernel/fs_context.h"
#include "sentry/kernel/ipc_sem.h"
#include "sentry/kernel/namespaces.h"
#include "sentry/kernel/pid.h"
#include "sentry/kernel/ptrace.h"
#include "sentry/kernel/signal.h"
#include "sentry/kernel/thread_group.h"
#include "sentry/mm/memory_manager.h"
#include "vfs/path_walk.h"
#include "vfs/signal_source.h"

namespace kernel {

class Kernel;

inline constexpr uint64_t CLONE_CLEAR_SIGHAND_FLAG = uint64_t{1} << 32;

struct CloneArgs {
  uint64_t flags = 0;  // CLONE_*, without the exit signal
  uint64_t stack = 0;  // new rsp, 0: the parent's
  uint64_t tls = 0;
  UserAddress parent_tid = 0, child_tid = 0;
  UserAddress pidfd = 0;
  int exit_signal = 0;
};

class Task : public RefCounted {
 public:
  // The task that the calling fiber belongs to.
  static Task& Current();
  static Task* CurrentOrNull();

  // --- identity ---
  int tid() const { return pid_->In(*pid_ns()); }  // in its own namespace
  int tid_in(const PidNamespace& ns) const { return pid_->In(ns); }
  int tgid() const { return thread_group_->leader().tid(); }
  const RefPtr<Pid>& pid() const { return pid_; }
  const RefPtr<PidNamespace>& pid_ns() const { return thread_group_->pid_ns(); }
  ThreadGroup& thread_group() const { return *thread_group_; }
  const RefPtr<ThreadGroup>& thread_group_ref() const { return thread_group_; }
  bool is_leader() const { return thread_group_->leader_ == this; }
  Kernel& kernel() const { return kernel_; }
  std::string comm;  // at most 15 bytes

  // --- what it shares with others ---
  const RefPtr<mm::MemoryManager>& memory() const { return memory_; }  // null once exiting
  mm::MemoryManager& mm() const { return *memory_; }
  const RefPtr<FdTable>& fds() const { return fds_; }                  // null once exiting
  const RefPtr<FsContext>& fs() const { return fs_; }                  // null once exiting
  void set_fds(RefPtr<FdTable> fds) { fds_ = std::move(fds); }  // unshare
  void set_fs(RefPtr<FsContext> fs) { fs_ = std::move(fs); }
  const RefPtr<const Credentials>& creds() const { return creds_; }
  void set_creds(RefPtr<const Credentials> creds) {
    creds_ = std::move(creds);
    context_->ForgetAnswers();
  }
  Namespaces namespaces;

  // --- helpers for system calls ---
  // The result of a call that, whatever its arguments, changes only with identity and credentials: the platform may give it
  // from now on, unless somebody watches the task's calls.
  uint64_t Lasting(uint64_t value) {
    if (!trace && seccomp_mode == 0) context_->SetAnswer(event_.nr, value);
    return value;
  }
  // Where a path walk starts for `dirfd` (AT_FDCWD allowed) and `name`. EBADF; ENOTDIR for a dirfd that is no directory
  // (allowed where name is empty and `empty_path`).
  Result<vfs::WalkContext> WalkFrom(int dirfd, std::string_view name, bool empty_path = false);
  vfs::WalkContext WalkFromCwd();
  Result<RefPtr<vfs::FileDescription>> GetFile(int fd) { return fds_->Get(fd); }
  // As GetFile, but EBADF for O_PATH descriptions, as most calls say.
  Result<RefPtr<vfs::FileDescription>> GetIoFile(int fd);
  Result<int> InstallFd(RefPtr<vfs::FileDescription> file, bool cloexec, int minimum = 0);

  // --- signals ---
  SignalSet blocked() const { return blocked_; }
  void SetBlocked(SignalSet mask);  // and recomputes what is pending
  // sigsuspend, ppoll...: `mask` holds until the call has returned through signal delivery.
  void SetTemporaryMask(SignalSet mask);
  // For good, whatever the call at hand would restore (PTRACE_SETSIGMASK).
  void ReplaceMask(SignalSet mask);
  // The mask that holds outside of a call with a temporary one (ppoll that was not interrupted restores it at return).
  SignalSet saved_mask() const { return have_saved_mask_ ? saved_mask_ : blocked_; }
  PendingSignals pending;
  SignalSet PendingSet() const { return pending.set() | thread_group_->pending.set(); }
  stack_t signal_stack{.ss_sp = nullptr, .ss_flags = SS_DISABLE, .ss_size = 0};
  // To this task. `info` complete, permission checked.
  void SendSignal(const SignalInfo& info);
  // A synchronous signal that cannot be ignored or blocked away (faults).
  void ForceSignal(SignalInfo info);
  bool HasPendingSignal() const { return (PendingSet() & ~blocked_) != 0 || killed_; }
  // Recomputes Fiber::interrupted; kicks the task out of application code or a blocking call if something is to be done.
  void RecalcPending();
  // Makes the task come by PrepareReturn soon whatever is pending (stops, pause, exit of its group).
  void Kick();
  // rt_sigtimedwait: takes a pending signal of `set` (signo 0: none).
  SignalInfo TakeSignal(SignalSet set);
  // signalfd and rt_sigtimedwait wait here: told of each signal that is queued to this task or its group.
  WaitQueue signal_events;
  std::unique_ptr<vfs::SignalSource> signal_source;  // made on first use
  // rt_sigreturn(2): replaces the registers. EFAULT: a forced SIGSEGV is due.
  Result<void> SignalReturn();

  // --- life ---
  // clone(2), clone3(2), fork, vfork: returns the child's tid in this task's namespace. Parks for CLONE_VFORK.
  Result<int> Clone(const CloneArgs& args);
  // execve(2): on success the registers are those of the new image.
  Result<void> Execve(RefPtr<vfs::FileDescription> file, std::string filename, std::vector<std::string> argv,
                      std::vector<std::string> envp);
  // Opens a file for execution with the checks of execve(2): EACCES, ELOOP, ENOENT...
  Result<RefPtr<vfs::FileDescription>> OpenExecutable(int dirfd, const std::string& name, int at_flags);
  // exit(2). The task ends at the next turn of its run loop; `status` as wait(2) reports.
  void Exit(int status);
  bool exiting() const { return exiting_; }
  bool killed() const { return killed_; }
  bool ended() const { return context_ == nullptr; }  // it has left everything; at most its status is still of interest
  void Kill();  // SIGKILL to this task alone, from the kernel
  int exit_status() const { return exit_status_; }

  // The system call at hand, for strace, /proc/PID/syscall and restarts.
  const platform::Event& syscall() const { return event_; }
  platform::Context& context() const { return *context_; }
  // Complete registers, for handlers of calls that the table marks so.
  platform::Registers& regs() { return context_->mutable_registers(); }
  // A handler that has replaced the registers (rt_sigreturn, execve) says so: no result is stored.
  void KeepRegisters() { keep_registers_ = true; }
  // ERESTART_RESTARTBLOCK: how to go on if the call is restarted without a handler having run.
  absl::AnyInvocable<Result<uint64_t>(Task&)> restart_block;

  base::Fiber& fiber() const { return *fiber_; }
  // Whether it runs application code; told when it comes back from that: membarrier(2).
  bool in_application() const { return in_app_; }
  WaitQueue came_by;
  char State() const;  // 'R', 'S', 'T', 't', 'Z', 'X' as in /proc/PID/stat

  // --- ptrace(2) ---
  std::unique_ptr<Trace> trace;          // made when it is first traced
  std::vector<RefPtr<Task>> tracees;     // those it traces, until detached or waited for
  RefPtr<Pid> creator;                   // who made the process: its tracer after PTRACE_TRACEME
  Trace& EnsureTrace();
  Task* tracer() const { return trace ? trace->tracer() : nullptr; }

  // --- per-task state of system calls ---
  UserAddress clear_child_tid = 0;  // set_tid_address(2)
  UserAddress robust_list = 0;      // set_robust_list(2)
  int parent_death_signal = 0;
  bool no_new_privs = false, keep_caps = false;
  int64_t timer_slack_ns = 50000;
  int nice = 0, sched_policy = SCHED_OTHER, sched_priority = 0, ioprio = 0;
  bool sched_reset_on_fork = false;
  int memory_policy = 0;             // set_mempolicy(2): MPOL_* with its flags
  uint64_t memory_policy_nodes = 0;  // of its one node
  cpu_set_t affinity;
  bool in_syscall = false;
  uint64_t fault_trap_number = 0, fault_error_code = 0, fault_address = 0;  // of the last fault, for the signal frame
  Usage usage;
  // `usage` with what the task has spent in application code since it was last seen.
  Usage CurrentUsage() const;
  RefPtr<RefCounted> seccomp;  // its own filters; seccomp(2)
  int seccomp_mode = 0;
  RefPtr<SemUndoList> sem_undo;  // semop(2) with SEM_UNDO; shared by CLONE_SYSVSEM

  // Used by Kernel and Clone.
  struct Init {
    RefPtr<ThreadGroup> thread_group;
    RefPtr<Pid> pid;
    RefPtr<mm::MemoryManager> memory;
    RefPtr<FdTable> fds;
    RefPtr<FsContext> fs;
    RefPtr<const Credentials> creds;
    Namespaces namespaces;
    std::unique_ptr<platform::Context> context;
    std::string comm;
  };
  Task(Kernel& kernel, Init init);
  ~Task() override;
  void Start();  // queues its fiber
  // Replaces the image: of a task that has not started, or of the running one (execve).
  void SetImage(RefPtr<mm::MemoryManager> memory, uint64_t entry, uint64_t stack_pointer, std::string new_comm);

 private:
  friend class ThreadGroup;
  friend class Trace;
  void RunLoop();
  void HandleSyscall();
  void ReplaceCalls();
  void MakeSyscall();
  void HandleFault(const platform::Event& event);
  // Signals, stops, pauses before going back to the application. False: the task ends.
  bool PrepareReturn();
  bool DeliverSignals();
  Result<void> PushSignalFrame(const SignalInfo& info, const SignalAction& action);
  void SetUpRestart(const SignalAction* action);
  void ParkWhileStopped();
  void ExitNotify();
  void ReleaseTracees();
  void LeaveMemory();
  void WalkRobustList();
  Result<void> KillSiblingsForExec();

  Kernel& kernel_;
  RefPtr<ThreadGroup> thread_group_;
  RefPtr<Pid> pid_;
  RefPtr<mm::MemoryManager> memory_;
  RefPtr<FdTable> fds_;
  RefPtr<FsContext> fs_;
  RefPtr<const Credentials> creds_;
  std::unique_ptr<platform::Context> context_;
  base::Fiber* fiber_ = nullptr;

  platform::Event event_;
  SignalSet blocked_ = 0, saved_mask_ = 0;
  bool have_saved_mask_ = false;
  bool in_app_ = false;  // inside Context::Run
  int64_t entered_app_ns_ = 0, left_app_ns_ = 0;  // base::TickNow
  bool keep_registers_ = false;
  bool exiting_ = false, killed_ = false;
  int exit_status_ = 0;
  Errno restart_{};            // the ERESTART* that the last system call ended with
  base::WaitQueue* vfork_done_ = nullptr;  // of the parent that waits for this task to leave its memory
};

// New namespaces for CLONE_NEW* (clone, unshare): changes `creds`, `namespaces` and, for CLONE_NEWNS, `fs`. EPERM.
Result<void> MakeNamespaces(Task& task, uint64_t flags, Credentials& creds, Namespaces* namespaces, RefPtr<FsContext>* fs);

// waitid(2) and wait4(2): one reapable or reportable child of the calling process.
struct WaitRequest {
  enum class Kind { kAll, kPid, kProcessGroup } kind = Kind::kAll;
  const Pid* pid = nullptr;  // kPid
  const ProcessGroup* group = nullptr;
  int options = 0;  // WEXITED, WSTOPPED, WCONTINUED, WNOHANG, WNOWAIT, __WALL, __WCLONE, __WNOTHREAD
};
struct WaitResult {
  int pid = 0;  // in the waiter's namespace; 0: WNOHANG and nothing yet
  uid_t uid = 0;
  int status = 0;  // as wait4 reports
  int code = 0;    // CLD_*
  Usage usage;
};
// Parks. ECHILD, ERESTARTSYS.
Result<WaitResult> WaitForChild(Task& task, const WaitRequest& request);

}  // namespace kernel
