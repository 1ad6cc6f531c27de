#pragma once

// Trace: what ptrace(2) keeps for a task that is, or once was, traced: its tracer, the options, the stop it is in and how it
// was last resumed.
//
// The tracee stops itself: its fiber parks in Stop() with complete registers, so the tracer reads and changes them in its
// context without the tracee's help. Whoever ends the stop (resume, detach, the tracer's end, SIGKILL) unparks the fiber.
//
// References: a tracer holds its tracees (Task::tracees) until they are detached or their end was waited for; a tracee knows
// its tracer by a plain pointer, which the tracer clears when it ends.

#include <sys/ptrace.h>

#include <cstdint>

#include "base/result.h"
#include "sentry/kernel/signal.h"

namespace kernel {

class Task;

class Trace {
 public:
  enum class Kind { kNone, kSignal, kSyscallEntry, kSyscallExit, kSeccomp, kEvent, kGroup, kExit };
  enum class Mode { kClassic, kSeized };
  enum class Resumption { kContinue, kSyscall, kStep, kEmulate, kEmulateStep };

  explicit Trace(Task& task) : task_(task) {}

  Task* tracer() const { return tracer_; }
  bool active() const { return tracer_ != nullptr; }
  bool seized() const { return mode_ == Mode::kSeized; }
  uint32_t options() const { return options_; }
  void set_options(uint32_t options) { options_ = options; }

  // --- by the tracer ---
  void Attach(Task& tracer, Mode mode, uint32_t options);
  // Also when the task has ended. `signo` is delivered as by Resume.
  void Detach(int signo);
  // The following need a stop (accessible()).
  void Resume(Resumption how, int signo);
  Result<void> Listen();  // EIO unless it is in a group-stop or trap of PTRACE_SEIZE
  void Interrupt();       // PTRACE_INTERRUPT, stopped or not

  // In a stop in which the tracer may look at it: ptrace requests do not fail with ESRCH.
  bool accessible() const { return stopped_ && !listening_; }
  bool stopped() const { return stopped_; }
  Kind kind() const { return kind_; }
  uint64_t message() const { return message_; }
  // Null in group-stops without siginfo: PTRACE_GETSIGINFO says EINVAL.
  SignalInfo* info() { return has_info_ ? &info_ : nullptr; }
  // The tracer has written the general registers: the interrupted system call is to be judged anew by them.
  void RegistersChanged() { registers_changed_ = true; }

  // wait(2): a stop that was not reported yet; its code is a signal, with an event in the second byte.
  bool HasNews() const { return stopped_ && !listening_ && !reported_; }
  int code() const { return code_; }
  void MarkReported() { reported_ = true; }

  // --- by the tracee, on its fiber ---
  // A signal is about to be delivered. False: the tracer dropped it (or it is to come later); else it may be another now.
  bool SignalStop(SignalInfo* info);
  // Around a system call. False: the call is not to be made.
  bool SyscallEntry();
  void SyscallExit();
  // PTRACE_EVENT_*, where the tracer asked for it; tells whether it did.
  bool Event(int event, uint64_t message);
  // SECCOMP_RET_TRACE. False: the call is not to be made (ENOSYS without a tracer that wants it).
  bool SeccompStop(uint32_t data, bool* told);
  void ExecStop(int old_tid);
  void ExitStop(int status);
  // A handler was set up while single-stepping.
  void HandlerEntered();
  // The stops of job control and PTRACE_INTERRUPT.
  bool trap_pending() const { return interrupt_ || notify_ || group_stop_; }
  void JobControlStop();
  // Before application code runs, and after: the trap flag.
  void BeforeRun();
  void AfterRun();
  // A call that a stop interrupted is restarted by the application's own instruction, so that the tracer sees it.
  bool restarts_visibly() const { return active() || stopped_in_restart_; }
  void RewindForRestart();

  // --- by signals ---
  void OnGroupStop();
  void OnContinue();
  void OnKill();
  // SIGCHLD and a wake-up for the tracer.
  void NotifyTracer(int code, int status);

 private:
  void Stop(Kind kind, int code, const SignalInfo* info, uint64_t message);
  bool Dying(Kind kind) const;
  void Wake();
  void SyscallStop(Kind kind, uint64_t message);

  Task& task_;
  Task* tracer_ = nullptr;
  Mode mode_ = Mode::kClassic;
  uint32_t options_ = 0;
  Resumption resumption_ = Resumption::kContinue;

  bool stopped_ = false, listening_ = false, reported_ = true;
  Kind kind_ = Kind::kNone;
  int code_ = 0;
  SignalInfo info_;
  bool has_info_ = false;
  uint64_t message_ = 0;
  int resume_signal_ = 0;

  bool interrupt_ = false, notify_ = false, group_stop_ = false;  // traps that are due
  bool killed_ = false;             // SIGKILL ends even the stop of PTRACE_EVENT_EXIT
  bool forced_trap_flag_ = false;   // TF is ours, not the application's
  bool registers_changed_ = false;
  bool stopped_in_restart_ = false;
  bool skip_exit_stop_ = false;
};

}  // namespace kernel
