#pragma once

// Pid and PidNamespace, pid_namespaces(7). A Pid is a number in its namespace and in each ancestor; it names a task, a
// thread group, a process group or a session, and the numbers stay taken until all that use it are gone.

#include <map>
#include <vector>

#include "base/credentials.h"
#include "base/ref.h"
#include "base/result.h"

namespace kernel {

class Task;
class ThreadGroup;
class ProcessGroup;
class Session;
class PidNamespace;

class Pid : public RefCounted {
 public:
  ~Pid() override;
  // The number as seen in `ns`; 0 where it is not visible.
  int In(const PidNamespace& ns) const;
  const RefPtr<PidNamespace>& ns() const { return numbers_.front().first; }

  // Who is called so now; borrowed, cleared by them when they end.
  Task* task = nullptr;
  ProcessGroup* process_group = nullptr;
  Session* session = nullptr;

 private:
  friend class PidNamespace;
  std::vector<std::pair<RefPtr<PidNamespace>, int>> numbers_;  // innermost first
};

class PidNamespace : public RefCounted {
 public:
  PidNamespace(RefPtr<PidNamespace> parent_namespace, RefPtr<base::UserNamespace> user);

  // EAGAIN: no number free. ENOMEM: the namespace's init is gone.
  Result<RefPtr<Pid>> Allocate();
  Pid* Find(int number) const;
  Task* FindTask(int tid) const;
  ThreadGroup* FindThreadGroup(int tgid) const;
  template <class Visit>
  void ForEach(Visit visit) const {  // (number, Pid&) in order; `visit` may not add or remove
    for (const auto& [number, pid] : pids_) visit(number, *pid);
  }

  const RefPtr<PidNamespace> parent;
  const RefPtr<base::UserNamespace> user_ns;
  const int level;
  const uint64_t id;            // inode number in /proc/PID/ns
  ThreadGroup* init = nullptr;  // reaps orphans; its end kills the rest
  bool dead = false;
  int last = 0;
  int pid_max = 4194304;

 private:
  friend class Pid;
  std::map<int, Pid*> pids_;
};

}  // namespace kernel
