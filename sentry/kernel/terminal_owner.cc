#include "sentry/kernel/terminal_owner.h"

#include "sentry/kernel/kernel.h"
#include "vfs/terminal.h"

namespace kernel {

namespace {

// TerminalOwner has a method of the same name as the class.
using SessionPtr = RefPtr<Session>;
using SessionRef = Session&;

// Which session a terminal controls: kept on both sides, Session::terminal and here.
class Owner final : public vfs::TerminalOwner {
 public:
  explicit Owner(vfs::Terminal& terminal) : terminal_(terminal) {}

  void SignalForeground(int signal) override {
    SessionPtr session = ControlledSession();
    if (!session || !session->foreground) return;
    RefPtr<ProcessGroup> group = session->foreground;
    group->SendSignal(MakeSignalInfo(signal, SI_KERNEL));
  }

  void HangUp() override {
    SessionPtr session = ControlledSession();
    if (!session) return;
    if (session->leader != nullptr) {
      RefPtr<ThreadGroup> leader(session->leader);
      leader->SendSignal(MakeSignalInfo(SIGHUP, SI_KERNEL));
      leader->SendSignal(MakeSignalInfo(SIGCONT, SI_KERNEL));
    }
    RefPtr<ProcessGroup> foreground = std::move(session->foreground);
    session->terminal.reset();
    session_.reset();
    if (foreground) foreground->SendSignal(MakeSignalInfo(SIGHUP, SI_KERNEL));
  }

  void OnOpen(int flags) override {
    if ((flags & O_NOCTTY) != 0 || (flags & O_ACCMODE) == O_WRONLY) return;
    Task* task = Task::CurrentOrNull();
    if (task == nullptr || ControlledSession()) return;
    SessionRef session = task->thread_group().session();
    if (session.leader != &task->thread_group() || session.terminal) return;
    Take(session, task->thread_group());
  }

  Result<void> CheckAccess(Access access) override {
    Task* task = Task::CurrentOrNull();
    if (task == nullptr) return {};
    SessionPtr session = ControlledSession();
    ThreadGroup& group = task->thread_group();
    if (!session || &group.session() != session.get()) return {};
    if (!session->foreground || session->foreground == group.process_group) return {};
    int signo = access == Access::kRead ? SIGTTIN : SIGTTOU;
    bool shut_off = (task->blocked() & SignalBit(signo)) != 0 || group.handlers->actions[signo].is_ignore();
    if (access == Access::kRead) {
      if (shut_off || group.process_group->IsOrphaned()) return Errno::kEIO;
    } else {
      if (shut_off) return {};
      if (group.process_group->IsOrphaned()) return Errno::kEIO;
    }
    RefPtr<ProcessGroup> members = group.process_group;
    members->SendSignal(MakeSignalInfo(signo, SI_KERNEL));
    return Errno::kERESTARTSYS;
  }

  Result<void> SetControlling(bool steal, bool readable) override {
    Task& task = Task::Current();
    ThreadGroup& group = task.thread_group();
    SessionRef session = group.session();
    if (session.leader == &group && session.terminal == &terminal_) return {};
    if (session.leader != &group || session.terminal) return Errno::kEPERM;
    if (SessionPtr other = ControlledSession()) {
      if (!steal || !task.creds()->Has(CAP_SYS_ADMIN)) return Errno::kEPERM;
      other->terminal.reset();
      other->foreground.reset();
    }
    if (!readable && !task.creds()->Has(CAP_SYS_ADMIN)) return Errno::kEPERM;
    Take(session, group);
    return {};
  }

  Result<void> GiveUp() override {
    ThreadGroup& group = Task::Current().thread_group();
    SessionRef session = group.session();
    if (session.terminal != &terminal_) return Errno::kENOTTY;
    if (session.leader == &group) {
      RefPtr<ProcessGroup> foreground = std::move(session.foreground);
      session.terminal.reset();
      session_.reset();
      if (foreground) {
        foreground->SendSignal(MakeSignalInfo(SIGHUP, SI_KERNEL));
        foreground->SendSignal(MakeSignalInfo(SIGCONT, SI_KERNEL));
      }
    }
    return {};
  }

  Result<int> ForegroundGroup(Side side) override {
    Task& task = Task::Current();
    SessionPtr session = ControlledSession();
    if (side == Side::kTerminal && (!session || &task.thread_group().session() != session.get())) return Errno::kENOTTY;
    if (!session || !session->foreground) return 0;
    return session->foreground->id->In(*task.pid_ns());
  }

  Result<void> SetForegroundGroup(Side side, int process_group) override {
    Task& task = Task::Current();
    SessionPtr session = ControlledSession();
    if (!session || &task.thread_group().session() != session.get()) return Errno::kENOTTY;
    if (process_group < 0) return Errno::kEINVAL;
    Pid* pid = task.pid_ns()->Find(process_group);
    if (pid == nullptr || pid->process_group == nullptr) return Errno::kESRCH;
    if (pid->process_group->session != session) return Errno::kEPERM;
    session->foreground = RefPtr<ProcessGroup>(pid->process_group);
    return {};
  }

  Result<int> Session(Side side) override {
    Task& task = Task::Current();
    SessionPtr session = ControlledSession();
    if (!session || (side == Side::kTerminal && &task.thread_group().session() != session.get())) return Errno::kENOTTY;
    return session->id->In(*task.pid_ns());
  }

 private:
  // A session that lost or changed its terminal (the end of its leader) no longer counts.
  SessionPtr ControlledSession() {
    if (session_ && session_->terminal != &terminal_) session_.reset();
    if (!session_) {
      // The boot code gives init its terminal without asking.
      Task* task = Task::CurrentOrNull();
      if (task != nullptr && task->thread_group().process_group && task->thread_group().session().terminal == &terminal_) {
        session_ = task->thread_group().process_group->session;
      }
    }
    return session_;
  }

  void Take(SessionRef session, ThreadGroup& group) {
    session.terminal = RefPtr<RefCounted>(&terminal_);
    session.foreground = group.process_group;
    session_ = SessionPtr(&session);
  }

  vfs::Terminal& terminal_;
  SessionPtr session_;
};

}  // namespace

void RegisterTerminalOwner() {
  vfs::Terminal::SetOwnerFactory([](vfs::Terminal& terminal) -> RefPtr<vfs::TerminalOwner> { return MakeRef<Owner>(terminal); });
}

}  // namespace kernel
