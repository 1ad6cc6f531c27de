#include "sentry/kernel/kernel.h"

#include "base/event_loop.h"
#include "base/log.h"
#include "sentry/kernel/host_info.h"
#include "sentry/loader/loader.h"

namespace kernel {

namespace {

Kernel* the_kernel = nullptr;

// What a fatal Sentry error says of the guest.
std::string DescribeCurrentTask() {
  Task* task = Task::CurrentOrNull();
  if (task == nullptr) return "no task";
  return fmt::format("task {} ({}) {} nr {} args {:#x} {:#x} {:#x} {:#x} {:#x} {:#x} ip {:#x}", task->tid(), task->comm,
                     task->in_syscall ? "in system call" : "outside of system calls, last", task->syscall().nr,
                     task->syscall().args[0], task->syscall().args[1], task->syscall().args[2], task->syscall().args[3],
                     task->syscall().args[4], task->syscall().args[5], task->syscall().ip);
}

}  // namespace

Kernel& Kernel::Get() { return *the_kernel; }

Kernel::Kernel(std::unique_ptr<platform::Platform> platform)
    : platform_(std::move(platform)),
      boot_time_ns_(base::MonotonicNow()),
      cpu_count_(GetHostInfo().cpus) {
  the_kernel = this;
  base::fatal_context = DescribeCurrentTask;
  user_ns = MakeRef<base::UserNamespace>(nullptr, 0);
  pid_ns = MakeRef<PidNamespace>(nullptr, user_ns);
  namespaces.uts = MakeRef<UtsNamespace>(user_ns);
  namespaces.ipc = MakeRef<IpcNamespace>(user_ns);
  namespaces.net = MakeRef<NetNamespace>(user_ns);
  namespaces.pid_for_children = pid_ns;
}

Result<RefPtr<Task>> Kernel::CreateProcess(const ProcessSpec& spec, StartError* error) {
  auto fail = [error](Errno e, std::string what) {
    *error = {e, std::move(what)};
    return e;
  };
  if (spec.argv.empty()) return fail(Errno::kEINVAL, "process.args is empty");

  Result<RefPtr<Pid>> pid = pid_ns->Allocate();
  if (!pid.ok()) return fail(pid.error(), "no process number");
  auto group = MakeRef<ThreadGroup>(pid_ns, MakeRef<SignalHandlers>());
  group->started_by_kernel = true;
  group->start_time_ns = base::MonotonicNow();
  group->oom_score_adj = spec.oom_score_adj;
  for (const auto& [resource, limit] : spec.limits) group->limits[resource] = limit;

  Task::Init init;
  init.thread_group = group;
  init.pid = *pid;
  init.creds = spec.creds;
  init.namespaces = namespaces;
  init.fds = MakeRef<FdTable>();
  init.fs = MakeRef<FsContext>(namespaces.mount->RootPath(), namespaces.mount->RootPath(), spec.umask);
  Result<std::unique_ptr<platform::Context>> context = platform_->CreateContext();
  if (!context.ok()) return fail(context.error(), "no execution context");
  init.context = std::move(context).value();
  auto task = MakeRef<Task>(*this, std::move(init));
  task->no_new_privs = spec.no_new_privs;
  // A task that never starts takes itself apart here.
  auto abandon = [&](Errno e, std::string what) {
    std::erase(group->tasks, task.get());
    live_tasks--;
    return fail(e, std::move(what));
  };
  if (pid_ns->init == nullptr) {
    pid_ns->init = group.get();
  } else {
    group->SetParent(nullptr);
  }
  auto session = MakeRef<Session>(*pid);
  session->leader = group.get();
  group->JoinProcessGroup(MakeRef<ProcessGroup>(*pid, session));
  if (spec.terminal) {
    session->terminal = spec.terminal;
    session->foreground = group->process_group;
  }
  for (size_t fd = 0; fd < spec.files.size(); fd++) {
    if (spec.files[fd]) CHECK_OK(task->fds()->InstallAt(static_cast<int>(fd), spec.files[fd], false, 1 << 20));
  }

  vfs::WalkContext walk = task->WalkFromCwd();
  Result<vfs::Path> cwd = vfs::Walk(walk, spec.cwd, vfs::kWalkFollow | vfs::kWalkDirectory);
  if (!cwd.ok()) return abandon(cwd.error(), "working directory " + spec.cwd);
  task->fs()->cwd = *cwd;

  // execvp's search, by the PATH of the new process.
  const std::string& name = spec.argv[0];
  std::vector<std::string> candidates;
  if (name.find('/') != std::string::npos) {
    candidates.push_back(name);
  } else {
    std::string path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    for (const std::string& env : spec.envp) {
      if (env.starts_with("PATH=")) path = env.substr(5);
    }
    for (size_t start = 0; start <= path.size();) {
      size_t end = std::min(path.find(':', start), path.size());
      std::string dir = path.substr(start, end - start);
      candidates.push_back((dir.empty() ? "." : dir) + "/" + name);
      start = end + 1;
    }
  }
  Errno failure = Errno::kENOENT;
  for (const std::string& candidate : candidates) {
    Result<RefPtr<vfs::FileDescription>> file = task->OpenExecutable(AT_FDCWD, candidate, 0);
    if (!file.ok()) {
      if (file.error() != Errno::kENOENT && file.error() != Errno::kENOTDIR) failure = file.error();
      continue;
    }
    loader::ExecRequest request;
    request.file = *file;
    request.filename = candidate;
    request.argv = spec.argv;
    request.envp = spec.envp;
    request.creds = spec.creds;
    request.stack_limit = group->Limit(RLIMIT_STACK);
    request.open = [&task](const std::string& path) { return task->OpenExecutable(AT_FDCWD, path, 0); };
    Result<loader::ExecImage> image = loader::Load(*platform_, request);
    if (!image.ok()) return abandon(image.error(), "exec " + candidate);
    image->memory->executable = image->executable;
    (void)image->executable->DenyWrites().ok();
    task->SetImage(std::move(image->memory), image->entry, image->stack_pointer, std::move(image->comm));
    group->has_executed = true;
    return task;
  }
  return abandon(failure, "exec " + name);
}

void Kernel::Pause() {
  if (paused_) return;
  paused_ = true;
  pid_ns->ForEach([](int, Pid& pid) {
    if (pid.task != nullptr) pid.task->Kick();
  });
}

void Kernel::Resume() {
  if (!paused_) return;
  paused_ = false;
  resume_events.Notify(EPOLLIN);
}

void Kernel::KillAll() {
  std::vector<RefPtr<ThreadGroup>> groups;
  pid_ns->ForEach([&](int, Pid& pid) {
    if (pid.task != nullptr && pid.task->is_leader()) groups.emplace_back(&pid.task->thread_group());
  });
  for (auto& group : groups) group->ExitGroup(SIGKILL);
}

}  // namespace kernel
