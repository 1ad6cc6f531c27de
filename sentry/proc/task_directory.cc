#include "sentry/proc/task_directory.h"

#include <dirent.h>
#include <fmt/core.h>
#include <sched.h>
#include <unistd.h>

#include "base/host.h"
#include "sentry/kernel/namespace_file.h"
#include "vfs/operations.h"

namespace proc {

using kernel::PidNamespace;
using kernel::ThreadGroup;

namespace {

// Until it is reaped it has its number.
bool Alive(const Task& task) { return task.pid()->task == &task; }

pseudo::Node::Owner OwnerOf(const Task& task) {
  // prctl(2) PR_SET_DUMPABLE: the files of an undumpable process belong to root.
  if (task.memory() && task.mm().dumpable != 1) return {0, 0};
  return {task.creds()->euid, task.creds()->egid};
}

// What may see another's memory, descriptors and the like: ptrace(2) access mode.
Result<void> CheckMayLook(const Task& target) {
  Task* caller = Task::CurrentOrNull();
  if (caller == nullptr || &caller->thread_group() == &target.thread_group()) return {};
  const Credentials& from = *caller->creds();
  const Credentials& to = *target.creds();
  bool same = from.fsuid == to.euid && from.fsuid == to.suid && from.fsuid == to.ruid && from.fsgid == to.egid && from.fsgid == to.sgid &&
              from.fsgid == to.rgid && (!target.memory() || target.mm().dumpable == 1) && (to.permitted & ~from.permitted) == 0;
  if (!same && !from.HasIn(CAP_SYS_PTRACE, *to.user_ns)) return Errno::kEACCES;
  return {};
}

// A link to an object: reading it gives a name, following it goes to the object itself.
class MagicLink final : public pseudo::Node {
 public:
  using Resolve = std::function<Result<vfs::Path>()>;
  using Name = std::function<Result<std::string>()>;
  MagicLink(vfs::FileSystem* fs, uint32_t mode, Resolve resolve, Name name)
      : Node(fs, S_IFLNK | mode), resolve_(std::move(resolve)), name_(std::move(name)) {}
  bool magic_link() const override { return true; }
  Result<std::string> ReadLink(const Credentials&) override { return name_(); }
  Result<vfs::Path> FollowMagicLink(const vfs::WalkContext&) override { return resolve_(); }
  Result<RefPtr<vfs::FileDescription>> Open(const vfs::OpenOptions&, const Credentials&) override { return Errno::kELOOP; }

 private:
  const Resolve resolve_;
  const Name name_;
};

Result<std::string> NameOf(const Task& task, const vfs::Path& place) {
  Task* caller = Task::CurrentOrNull();
  const vfs::Path root = caller != nullptr && caller->fs() ? caller->fs()->root : task.fs() ? task.fs()->root : vfs::Path{};
  return vfs::PathName(place, root);
}

RefPtr<pseudo::Node> PathLink(vfs::FileSystem* fs, RefPtr<Task> task, std::function<vfs::Path(Task&)> get) {
  auto resolve = [task, get]() -> Result<vfs::Path> {
    TRY(CheckMayLook(*task));
    vfs::Path place = get(*task);
    if (!place.valid()) return Errno::kENOENT;
    return place;
  };
  auto name = [task, resolve]() -> Result<std::string> { return NameOf(*task, TRY(resolve())); };
  return MakeRef<MagicLink>(fs, 0777, resolve, name);
}

RefPtr<pseudo::Node> ExecutableLink(vfs::FileSystem* fs, RefPtr<Task> task) {
  auto get = [task]() -> Result<vfs::FileDescription*> {
    TRY(CheckMayLook(*task));
    if (!task->memory() || !task->mm().executable) return Errno::kENOENT;
    return task->mm().executable.get();
  };
  auto resolve = [get]() -> Result<vfs::Path> { return TRY(get())->path(); };
  auto name = [get, task]() -> Result<std::string> {
    vfs::FileDescription* file = TRY(get());
    std::string special = file->LinkName();  // of a memfd
    return special.empty() ? NameOf(*task, file->path()) : special;
  };
  return MakeRef<MagicLink>(fs, 0777, resolve, name);
}

// fd/ and fdinfo/.
class FdDirectory final : public pseudo::Directory {
 public:
  FdDirectory(vfs::FileSystem* fs, RefPtr<Task> task, bool info) : Directory(fs, info ? 0555 : 0500), task_(std::move(task)), info_(info) {}

  bool cacheable() const override { return false; }
  Result<RefPtr<vfs::Inode>> Lookup(std::string_view name) override {
    TRY(CheckMayLook(*task_));
    int fd = 0;
    if (name.empty() || name.size() > 9 || (name.size() > 1 && name[0] == '0')) return Errno::kENOENT;
    for (char c : name) {
      if (c < '0' || c > '9') return Errno::kENOENT;
      fd = fd * 10 + (c - '0');
    }
    if (!task_->fds() || task_->fds()->Peek(fd) == nullptr) return Errno::kENOENT;
    RefPtr<pseudo::Node> node = info_ ? InfoFile(fd) : DescriptorLink(fd);
    node->owner = [task = task_] { return OwnerOf(*task); };
    return RefPtr<vfs::Inode>(node);
  }
  std::vector<Entry> List() override {
    std::vector<Entry> out;
    if (!task_->fds() || !CheckMayLook(*task_).ok()) return out;
    for (int fd : task_->fds()->Numbers()) out.push_back({std::to_string(fd), static_cast<uint64_t>(fd) + (ino_ << 20), info_ ? uint8_t{DT_REG} : uint8_t{DT_LNK}});
    return out;
  }

 private:
  RefPtr<pseudo::Node> DescriptorLink(int fd) {
    auto get = [task = task_, fd]() -> Result<RefPtr<vfs::FileDescription>> {
      TRY(CheckMayLook(*task));
      if (!task->fds()) return Errno::kENOENT;
      Result<RefPtr<vfs::FileDescription>> file = task->fds()->Get(fd);
      if (!file.ok()) return Errno::kENOENT;
      return file;
    };
    auto resolve = [get]() -> Result<vfs::Path> { return TRY(get())->path(); };
    auto name = [get, task = task_]() -> Result<std::string> {
      RefPtr<vfs::FileDescription> file = TRY(get());
      std::string special = file->LinkName();
      if (!special.empty()) return special;
      return NameOf(*task, file->path());
    };
    uint32_t mode = 0;
    if (vfs::FileDescription* file = task_->fds()->Peek(fd)) mode = (file->readable() ? 0500u : 0u) | (file->writable() ? 0300u : 0u);
    return MakeRef<MagicLink>(fs_, mode, resolve, name);
  }
  RefPtr<pseudo::Node> InfoFile(int fd) {
    return MakeRef<pseudo::File>(fs_, 0444, [task = task_, fd]() -> Result<std::string> {
      if (!task->fds()) return Errno::kENOENT;
      RefPtr<vfs::FileDescription> file = TRY(task->fds()->Get(fd));
      bool cloexec = TRY(task->fds()->cloexec(fd));
      vfs::Attributes attr = TRY(file->Stat());
      return fmt::format("pos:\t{}\nflags:\t0{:o}\nmnt_id:\t{}\nino:\t{}\n{}", file->offset(), file->flags() | (cloexec ? O_CLOEXEC : 0),
                         file->path().mount ? file->path().mount->id() : 0, attr.ino, file->FdInfo());
    });
  }

  const RefPtr<Task> task_;
  const bool info_;
};

// task/: the threads of a process.
class ThreadsDirectory final : public pseudo::Directory {
 public:
  ThreadsDirectory(vfs::FileSystem* fs, RefPtr<ThreadGroup> group, const PidNamespace& ns)
      : Directory(fs), group_(std::move(group)), ns_(const_cast<PidNamespace*>(&ns)) {}
  bool cacheable() const override { return false; }
  Result<RefPtr<vfs::Inode>> Lookup(std::string_view name) override {
    for (Task* task : group_->tasks) {
      if (std::to_string(task->tid_in(*ns_)) == name) {
        return RefPtr<vfs::Inode>(MakeTaskDirectory(fs_, RefPtr<Task>(task), TaskLevel::kThread, *ns_));
      }
    }
    return Errno::kENOENT;
  }
  std::vector<Entry> List() override {
    std::vector<Entry> out;
    for (Task* task : group_->tasks) {
      int tid = task->tid_in(*ns_);
      out.push_back({std::to_string(tid), static_cast<uint64_t>(tid) << 16, DT_DIR});
    }
    return out;
  }

 private:
  const RefPtr<ThreadGroup> group_;
  const RefPtr<PidNamespace> ns_;
};

// /proc/PID/mem: the memory at its address.
class MemDescription final : public vfs::FileDescription {
 public:
  explicit MemDescription(RefPtr<mm::MemoryManager> memory) : memory_(std::move(memory)) {}
  Result<size_t> ReadAt(const IoVec& to, uint64_t offset, int) override { return Copy(to, offset, false); }
  Result<size_t> WriteAt(const IoVec& from, uint64_t offset, int) override { return Copy(from, offset, true); }
  Result<int64_t> Seek(int64_t offset, int whence) override {
    if (whence == SEEK_CUR) offset += static_cast<int64_t>(offset_);
    if (whence != SEEK_SET && whence != SEEK_CUR) return Errno::kEINVAL;
    offset_ = static_cast<uint64_t>(offset);
    return offset;
  }

 private:
  Result<size_t> Copy(const IoVec& io, uint64_t offset, bool write) {
    char buffer[4096];
    size_t done = 0;
    while (done < io.size()) {
      size_t n = std::min(io.size() - done, sizeof buffer);
      if (write) io.Read(done, buffer, n);
      size_t moved = write ? memory_->CopyOutPartial(offset + done, buffer, n, true) : memory_->CopyInPartial(buffer, offset + done, n, true);
      if (!write) io.Write(done, buffer, moved);
      done += moved;
      if (moved < n) break;
    }
    if (done == 0 && io.size() > 0) return Errno::kEIO;
    return done;
  }
  const RefPtr<mm::MemoryManager> memory_;
};

class MemFile final : public pseudo::Node {
 public:
  MemFile(vfs::FileSystem* fs, RefPtr<Task> task) : Node(fs, S_IFREG | 0600), task_(std::move(task)) {}
  Result<RefPtr<vfs::FileDescription>> Open(const vfs::OpenOptions&, const Credentials&) override {
    TRY(CheckMayLook(*task_));
    if (!task_->memory()) return Errno::kESRCH;
    return RefPtr<vfs::FileDescription>(MakeRef<MemDescription>(task_->memory()));
  }

 private:
  const RefPtr<Task> task_;
};

// uid_map and gid_map, user_namespaces(7).
Result<void> WriteIdMap(Task& target, std::string_view text, bool gids) {
  base::UserNamespace& ns = const_cast<base::UserNamespace&>(*target.creds()->user_ns);
  auto& map = gids ? ns.gid_map : ns.uid_map;
  if (ns.is_root() || !map.empty()) return Errno::kEPERM;
  std::vector<base::IdMapEntry> entries;
  std::string copy(text);
  for (size_t at = 0; at < copy.size();) {
    size_t end = std::min(copy.find('\n', at), copy.size());
    base::IdMapEntry entry;
    if (sscanf(copy.substr(at, end - at).c_str(), "%u %u %u", &entry.inside, &entry.outside, &entry.count) != 3 || entry.count == 0) return Errno::kEINVAL;
    // The outside number is one of the parent namespace.
    entry.outside = gids ? ns.parent->GidToKernel(entry.outside) : ns.parent->UidToKernel(entry.outside);
    if (entry.outside == UINT32_MAX) return Errno::kEPERM;
    entries.push_back(entry);
    at = end + 1;
  }
  if (entries.empty() || entries.size() > 340) return Errno::kEINVAL;
  Task* caller = Task::CurrentOrNull();
  const Credentials& from = *caller->creds();
  bool privileged = from.HasIn(gids ? CAP_SETGID : CAP_SETUID, *ns.parent);
  bool own_single = entries.size() == 1 && entries[0].count == 1 && entries[0].outside == (gids ? from.egid : from.euid) &&
                    (!gids || !ns.setgroups_allowed);
  if (!privileged && !own_single) return Errno::kEPERM;
  map = std::move(entries);
  return {};
}

std::string IdMapText(const base::UserNamespace& ns, bool gids) {
  if (ns.is_root()) return fmt::format("{:10} {:10} {:10}\n", 0, 0, 4294967295u);
  std::string out;
  for (const auto& entry : gids ? ns.gid_map : ns.uid_map) out += fmt::format("{:10} {:10} {:10}\n", entry.inside, entry.outside, entry.count);
  return out;
}

// Its entries are made when they are asked for: most of them nobody looks at, and programs come here for /proc/self/exe or maps.
class TaskDirectory final : public pseudo::StaticDirectory {
 public:
  TaskDirectory(vfs::FileSystem* fs, RefPtr<Task> task, TaskLevel level, const PidNamespace& ns)
      : StaticDirectory(fs), task_(std::move(task)), level_(level), ns_(const_cast<PidNamespace*>(&ns)) {}
  bool cacheable() const override { return false; }
  bool alive() const { return Alive(*task_); }

  Result<RefPtr<vfs::Inode>> Lookup(std::string_view name) override {
    if (!complete_) Make(name);
    return StaticDirectory::Lookup(name);
  }
  std::vector<Entry> List() override {
    if (!complete_) Make({});
    complete_ = true;
    return StaticDirectory::List();
  }

 private:
  // The entry `wanted`, or all (empty), unless they are there.
  void Make(std::string_view wanted);
  void MakeNamespaces();

  const RefPtr<Task> task_;
  const TaskLevel level_;
  const RefPtr<PidNamespace> ns_;
  bool complete_ = false;
};

}  // namespace

bool IsOfLivingTask(const vfs::Inode& task_directory) { return static_cast<const TaskDirectory&>(task_directory).alive(); }

RefPtr<pseudo::Node> MakeTaskDirectory(vfs::FileSystem* fs, RefPtr<Task> task, TaskLevel level, const PidNamespace& ns) {
  return MakeRef<TaskDirectory>(fs, std::move(task), level, ns);
}

void TaskDirectory::Make(std::string_view wanted) {
  vfs::FileSystem* fs = fs_;
  const RefPtr<Task>& task = task_;
  const RefPtr<PidNamespace>& ns = ns_;
  const TaskLevel level = level_;
  auto missing = [&](std::string_view name) { return (wanted.empty() || wanted == name) && !StaticDirectory::Lookup(name).ok(); };
  auto add = [&](const char* name, auto make) {
    if (!missing(name)) return;
    RefPtr<pseudo::Node> node = make();
    node->owner = [task] { return OwnerOf(*task); };
    Add(name, std::move(node));
  };
  auto text = [&](const char* name, uint32_t mode, auto make, Result<void> (*accept)(Task&, std::string_view) = nullptr) {
    add(name, [&] {
      auto generate = [task, make, mode]() -> Result<std::string> {
        if (!Alive(*task)) return Errno::kESRCH;
        if ((mode & 0077) == 0) TRY(CheckMayLook(*task));
        return make(*task);
      };
      pseudo::File::Accept write;
      if (accept != nullptr) write = [task, accept](std::string_view value) { return accept(*task, value); };
      return MakeRef<pseudo::File>(fs, mode, generate, std::move(write));
    });
  };

  if (level == TaskLevel::kProcess) add("task", [&] { return MakeRef<ThreadsDirectory>(fs, task->thread_group_ref(), *ns); });
  add("fd", [&] { return MakeRef<FdDirectory>(fs, task, false); });
  add("fdinfo", [&] { return MakeRef<FdDirectory>(fs, task, true); });
  add("cwd", [&] { return PathLink(fs, task, [](Task& t) { return t.fs() ? t.fs()->cwd : vfs::Path{}; }); });
  add("root", [&] { return PathLink(fs, task, [](Task& t) { return t.fs() ? t.fs()->root : vfs::Path{}; }); });
  add("exe", [&] { return ExecutableLink(fs, task); });
  text("stat", 0444, [ns, level](Task& t) { return StatText(t, *ns, level); });
  text("status", 0444, [ns](Task& t) { return StatusText(t, *ns); });
  text("statm", 0444, StatmText);
  text("maps", 0444, [](Task& t) { return MapsText(t, false, false); });
  text("smaps", 0444, [](Task& t) { return MapsText(t, true, false); });
  text("smaps_rollup", 0444, [](Task& t) { return MapsText(t, false, true); });
  add("mem", [&] { return MakeRef<MemFile>(fs, task); });
  text("cmdline", 0444, CmdlineText);
  text("environ", 0400, EnvironText);
  text("auxv", 0400, AuxvText);
  text("limits", 0444, LimitsText);
  text("mounts", 0444, MountsText);
  text("mountinfo", 0444, MountinfoText);
  text("cgroup", 0444, [](Task&) -> Result<std::string> { return std::string("0::/\n"); });
  text("comm", 0644, [](Task& t) -> Result<std::string> { return t.comm + "\n"; },
       [](Task& task, std::string_view name) -> Result<void> {
    Task* caller = Task::CurrentOrNull();
    if (caller == nullptr || &caller->thread_group() != &task.thread_group()) return Errno::kEINVAL;
    task.comm = std::string(name.substr(0, 15));
    return {};
  });
  text("io", 0400, [](Task&) -> Result<std::string> {
    return std::string("rchar: 0\nwchar: 0\nsyscr: 0\nsyscw: 0\nread_bytes: 0\nwrite_bytes: 0\ncancelled_write_bytes: 0\n");
  });
  text("personality", 0400, [](Task& t) -> Result<std::string> { return fmt::format("{:08x}\n", t.thread_group().personality); });
  text("wchan", 0444, [](Task&) -> Result<std::string> { return std::string("0"); });
  text("syscall", 0400, [](Task& t) -> Result<std::string> {
    if (!t.in_syscall) return std::string("running\n");
    const platform::Event& e = t.syscall();
    return fmt::format("{} {:#x} {:#x} {:#x} {:#x} {:#x} {:#x} 0x0 {:#x}\n", e.nr, e.args[0], e.args[1], e.args[2], e.args[3], e.args[4], e.args[5], e.ip);
  });
  text("oom_score", 0444, [](Task& t) -> Result<std::string> { return fmt::format("{}\n", std::max(0, t.thread_group().oom_score_adj)); });
  text("oom_score_adj", 0644, [](Task& t) -> Result<std::string> { return fmt::format("{}\n", t.thread_group().oom_score_adj); },
       [](Task& task, std::string_view value) -> Result<void> {
         char* end;
         std::string copy(value);
         long adj = strtol(copy.c_str(), &end, 10);
         if (end == copy.c_str() || adj < -1000 || adj > 1000) return Errno::kEINVAL;
         Task* caller = Task::CurrentOrNull();
         if (adj < task.thread_group().oom_score_adj && caller != nullptr && !caller->creds()->Has(CAP_SYS_RESOURCE)) return Errno::kEACCES;
         task.thread_group().oom_score_adj = static_cast<int>(adj);
         return {};
       });
  text("loginuid", 0644, [](Task&) -> Result<std::string> { return std::string("4294967295"); });
  text("sessionid", 0444, [](Task&) -> Result<std::string> { return std::string("4294967295"); });
  text("uid_map", 0644, [](Task& t) -> Result<std::string> { return IdMapText(*t.creds()->user_ns, false); },
       [](Task& task, std::string_view value) { return WriteIdMap(task, value, false); });
  text("gid_map", 0644, [](Task& t) -> Result<std::string> { return IdMapText(*t.creds()->user_ns, true); },
       [](Task& task, std::string_view value) { return WriteIdMap(task, value, true); });
  text("setgroups", 0644, [](Task& t) -> Result<std::string> { return std::string(t.creds()->user_ns->setgroups_allowed ? "allow\n" : "deny\n"); },
       [](Task& task, std::string_view value) -> Result<void> {
         auto& user_ns = const_cast<base::UserNamespace&>(*task.creds()->user_ns);
         if (value == "allow") return user_ns.setgroups_allowed ? Result<void>() : Errno::kEPERM;
         if (value != "deny") return Errno::kEINVAL;
         if (user_ns.is_root() || !user_ns.gid_map.empty()) return Errno::kEPERM;
         user_ns.setgroups_allowed = false;
         return {};
       });
  text("children", 0444, [ns](Task& t) -> Result<std::string> {
    std::string out;
    for (ThreadGroup* child : t.thread_group().children) out += fmt::format("{} ", child->tgid(*ns));
    return out;
  });

  if (missing("net")) Add("net", NetDirectory(*fs));
  if (missing("ns")) MakeNamespaces();
}

void TaskDirectory::MakeNamespaces() {
  const RefPtr<Task>& task = task_;
  pseudo::StaticDirectory& namespaces = Subdirectory("ns");
  auto ns_link = [&](const char* name, int type, bool for_children = false) {
    auto link_name = [task, name, type, for_children]() -> Result<std::string> {
      TRY(CheckMayLook(*task));
      std::string_view kind = for_children ? "pid" : name;
      return fmt::format("{}:[{}]", kind, TRY(kernel::NamespaceOf(*task, type, for_children)).id);
    };
    auto resolve = [task, type, for_children, link_name]() -> Result<vfs::Path> {
      std::string text = TRY(link_name());
      return kernel::NamespacePath(TRY(kernel::NamespaceOf(*task, type, for_children)), text);
    };
    auto node = MakeRef<MagicLink>(fs_, 0777, resolve, link_name);
    node->owner = [task] { return OwnerOf(*task); };
    namespaces.Add(name, std::move(node));
  };
  ns_link("ipc", CLONE_NEWIPC);
  ns_link("mnt", CLONE_NEWNS);
  ns_link("net", CLONE_NEWNET);
  ns_link("pid", CLONE_NEWPID);
  ns_link("pid_for_children", CLONE_NEWPID, true);
  ns_link("user", CLONE_NEWUSER);
  ns_link("uts", CLONE_NEWUTS);
}

}  // namespace proc
