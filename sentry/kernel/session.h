#pragma once

// Process groups and sessions, setpgid(2), setsid(2), credentials(7).

#include <set>

#include "base/ref.h"
#include "sentry/kernel/pid.h"
#include "sentry/kernel/signal.h"

namespace kernel {

class Session : public RefCounted {
 public:
  explicit Session(RefPtr<Pid> session_id) : id(std::move(session_id)) { id->session = this; }
  ~Session() override { id->session = nullptr; }

  const RefPtr<Pid> id;
  ThreadGroup* leader = nullptr;
  // The controlling terminal (devpts or a host terminal), opaque; and its foreground group.
  RefPtr<RefCounted> terminal;
  RefPtr<ProcessGroup> foreground;
};

class ProcessGroup : public RefCounted {
 public:
  ProcessGroup(RefPtr<Pid> group_id, RefPtr<Session> of) : id(std::move(group_id)), session(std::move(of)) {
    id->process_group = this;
  }
  ~ProcessGroup() override { id->process_group = nullptr; }

  // True if no member has a parent in another group of the same session.
  bool IsOrphaned() const;
  void SendSignal(const SignalInfo& info);
  bool HasStoppedMember() const;

  const RefPtr<Pid> id;
  const RefPtr<Session> session;
  std::set<ThreadGroup*> members;
};

}  // namespace kernel
