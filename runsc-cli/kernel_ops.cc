#include "runsc-cli/kernel_ops.h"

#include <sys/wait.h>
#include <unistd.h>

#include "base/event_loop.h"
#include "base/log.h"
#include "runsc-cli/root_filesystem.h"
#include "vfs/fs/host/host_file.h"
#include "vfs/terminal.h"

namespace cli {

using control::OpError;
using kernel::Task;
using kernel::ThreadGroup;

Result<kernel::ProcessSpec> ToKernelProcess(const boot::ProcessSpec& spec, std::vector<Fd> fds, const RefPtr<base::UserNamespace>& user_ns) {
  kernel::ProcessSpec out;
  out.argv = spec.args;
  out.envp = spec.env;
  out.cwd = spec.cwd;
  auto creds = MakeRef<Credentials>();
  creds->ruid = creds->euid = creds->suid = creds->fsuid = spec.uid;
  creds->rgid = creds->egid = creds->sgid = creds->fsgid = spec.gid;
  creds->groups.assign(spec.additional_gids.begin(), spec.additional_gids.end());
  std::sort(creds->groups.begin(), creds->groups.end());
  creds->bounding = spec.capabilities.bounding & base::kAllCapabilities;
  creds->permitted = spec.capabilities.permitted & base::kAllCapabilities;
  creds->effective = spec.capabilities.effective & creds->permitted;
  creds->inheritable = spec.capabilities.inheritable & base::kAllCapabilities;
  creds->ambient = spec.capabilities.ambient & creds->permitted & creds->inheritable;
  creds->user_ns = user_ns;
  out.creds = creds;
  out.umask = spec.umask.value_or(022);
  out.no_new_privs = spec.no_new_privileges;
  out.oom_score_adj = spec.oom_score_adj.value_or(0);
  for (const boot::Rlimit& limit : spec.rlimits) out.limits.emplace_back(limit.resource, rlimit{limit.soft, limit.hard});
  // One description for what is one host descriptor three times would need to know so; each is its own, as after open(2).
  for (Fd& fd : fds) {
    out.files.push_back(fd.valid() ? RefPtr<vfs::FileDescription>(TRY(hostfs_fd::ImportHostFd(std::move(fd), creds))) : nullptr);
  }
  if (spec.terminal && !out.files.empty() && out.files[0]) {
    if (vfs::Terminal* terminal = out.files[0]->AsTerminal()) out.terminal = RefPtr<RefCounted>(terminal);
  }
  return out;
}

KernelOps::KernelOps(kernel::Kernel& kernel, RefPtr<Task> init, std::atomic<int32_t>* exit_status)
    : kernel_(kernel), init_(std::move(init)), exit_status_(exit_status) {
  waited_[1];
  kernel_.on_exit = [this](ThreadGroup& group, int status) { OnExit(group, status); };
}

OpError KernelOps::Start() {
  if (started_) return {"the container has been started already", Errno::kEBUSY};
  started_ = true;
  init_->Start();
  return {};
}

OpError KernelOps::Signal(control::SignalTarget target, int signo, int pid) {
  if (signo < 0 || signo > kernel::kMaxSignal) return {"no such signal", Errno::kEINVAL};
  kernel::SignalInfo info = kernel::MakeSignalInfo(signo, SI_USER);
  if (!started_) {
    // Nothing runs that could handle it: a fatal signal ends the container, as it does a process before its first
    // instruction.
    kernel::DefaultAction action = signo == 0 ? kernel::DefaultAction::kIgnore : kernel::DefaultActionOf(signo);
    if (action == kernel::DefaultAction::kTerminate || action == kernel::DefaultAction::kCore) EndSandbox(signo);
    return {};
  }
  switch (target) {
    case control::SignalTarget::kInit:
      if (kernel_.pid_ns->init == nullptr) return {"the container's init has ended", Errno::kESRCH};
      kernel_.pid_ns->init->SendSignal(info);
      return {};
    case control::SignalTarget::kAll: {
      std::vector<RefPtr<ThreadGroup>> groups;
      kernel_.pid_ns->ForEach([&](int, kernel::Pid& p) {
        if (p.task != nullptr && p.task->is_leader()) groups.emplace_back(&p.task->thread_group());
      });
      for (auto& group : groups) group->SendSignal(info);
      return {};
    }
    case control::SignalTarget::kProcess:
    case control::SignalTarget::kForegroundGroup: {
      ThreadGroup* group = kernel_.pid_ns->FindThreadGroup(pid);
      if (group == nullptr || !group->process_group) return {"no such process", Errno::kESRCH};
      if (target == control::SignalTarget::kProcess) {
        group->SendSignal(info);
      } else {
        RefPtr<kernel::ProcessGroup> foreground = group->session().foreground;
        if (!foreground) return {"no foreground process group", Errno::kESRCH};
        foreground->SendSignal(info);
      }
      return {};
    }
  }
  return {"unknown target", Errno::kEINVAL};
}

void KernelOps::Exec(boot::ProcessSpec spec, std::vector<Fd> fds, ExecDone done) {
  base::Fiber::Start([this, spec = std::move(spec), fds = std::move(fds), done = std::move(done)]() mutable {
    if (!started_) return done({"the container has not been started", Errno::kEINVAL}, 0);
    Result<kernel::ProcessSpec> process = ToKernelProcess(spec, std::move(fds), kernel_.user_ns);
    if (!process.ok()) return done({"cannot take over the descriptors", process.error()}, 0);
    NameTerminal(*kernel_.namespaces.mount, *process);
    kernel::Kernel::StartError error;
    Result<RefPtr<Task>> task = kernel_.CreateProcess(*process, &error);
    if (!task.ok()) {
      return done({fmt::format("{}: {}", error.what, base::ErrnoText(error.error)), error.error}, 0);
    }
    int pid = (*task)->tid();
    waited_[pid];
    (*task)->Start();
    done({}, pid);
  });
}

void KernelOps::Wait(int pid, WaitDone done) {
  if (pid == 0) pid = 1;
  auto it = waited_.find(pid);
  if (it == waited_.end()) return done({"no such process to wait for", Errno::kECHILD}, 0);
  if (!it->second.ended) {
    it->second.waiters.push_back(std::move(done));
    return;
  }
  int status = it->second.status;
  if (pid != 1) waited_.erase(it);
  done({}, status);
}

void KernelOps::OnExit(ThreadGroup& group, int status) {
  int pid = group.tgid(*kernel_.pid_ns);
  auto it = waited_.find(pid);
  if (it != waited_.end()) {
    it->second.ended = true;
    it->second.status = status;
    auto waiters = std::move(it->second.waiters);
    for (WaitDone& waiter : waiters) waiter({}, status);
    if (!waiters.empty() && pid != 1) waited_.erase(pid);
  }
  if (&group == kernel_.pid_ns->init) EndSandbox(status);
}

// The container is over. Whoever waits has had his answer put into the socket by now.
void KernelOps::EndSandbox(int status) {
  if (exit_status_ != nullptr) exit_status_->store(status, std::memory_order_relaxed);
  kernel_.platform().Shutdown();
  int code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  LOG_INFO("the container ended with status {}", code);
  _exit(code);
}

std::vector<control::ProcessStatus> KernelOps::Processes() {
  std::vector<control::ProcessStatus> out;
  kernel_.pid_ns->ForEach([&](int number, kernel::Pid& p) {
    if (p.task == nullptr || !p.task->is_leader()) return;
    ThreadGroup& group = p.task->thread_group();
    kernel::Usage usage = group.TotalUsage();
    out.push_back({.pid = number,
                   .ppid = group.parent() != nullptr ? group.parent()->tgid(*kernel_.pid_ns) : 0,
                   .uid = p.task->creds()->ruid,
                   .threads = group.live_tasks,
                   .cpu_ns = usage.user_ns + usage.system_ns,
                   .start_realtime_ns = base::RealtimeNow() - (base::MonotonicNow() - group.start_time_ns),
                   .command = p.task->comm});
  });
  return out;
}

void KernelOps::Pause(Done done) {
  kernel_.Pause();
  done({});
}

OpError KernelOps::Resume() {
  kernel_.Resume();
  return {};
}

void KernelOps::Destroy() { EndSandbox(SIGKILL); }

}  // namespace cli
