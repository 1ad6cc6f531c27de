#include "runsc-cli/cgroup.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <set>
#include <sstream>

#include "base/fd.h"
#include "base/host.h"
#include "base/log.h"

namespace cli {

using boot::Status;
using boot::StatusOr;
using boot::StrCat;

namespace {

StatusOr<std::string> ReadAll(const std::string& path) {
  Fd file(TRY_HOST(HOST(open(path.c_str(), O_RDONLY | O_CLOEXEC)), path));
  std::string text;
  char buffer[4096];
  while (ssize_t n = TRY_HOST(HOST_RETRY(read(file.get(), buffer, sizeof buffer)), path)) {
    text.append(buffer, static_cast<size_t>(n));
  }
  return text;
}

Status WriteValue(const std::string& path, const std::string& value) {
  std::string what = StrCat("cgroup: writing \"", value, "\" to ", path);
  Fd file(TRY_HOST(HOST(open(path.c_str(), O_WRONLY | O_CLOEXEC)), what));
  TRY_HOST(HOST_RETRY(write(file.get(), value.data(), value.size())), what);
  return Status();
}

std::vector<std::string> Split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::stringstream stream(text);
  for (std::string part; std::getline(stream, part, separator);) parts.push_back(part);
  return parts;
}

// Controller ("" for v2, "name=systemd" as it is) to this process's own cgroup in its hierarchy.
StatusOr<std::map<std::string, std::string>> OwnCgroups() {
  std::map<std::string, std::string> own;
  std::string text = TRY_STATUS(ReadAll("/proc/self/cgroup"));
  for (const std::string& line : Split(text, '\n')) {
    size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == line.npos) continue;
    std::string controllers = line.substr(first + 1, second - first - 1);
    std::string path = line.substr(second + 1);
    if (controllers.empty()) own[""] = path;
    for (const std::string& controller : Split(controllers, ',')) own[controller] = path;
  }
  return own;
}

constexpr const char* kKnownControllers[] = {
    "cpu",  "cpuacct", "cpuset",   "memory",     "devices", "freezer", "blkio",
    "pids", "net_cls", "net_prio", "perf_event", "hugetlb", "rdma",    "misc"};

bool IsController(const std::string& option) {
  return option.starts_with("name=") ||
         std::find(std::begin(kKnownControllers), std::end(kKnownControllers), option) !=
             std::end(kKnownControllers);
}

// A child of a v1 cpuset starts without CPUs and memory nodes, and takes no process until it has
// some.
void InheritCpuset(const std::string& directory) {
  std::string parent = directory.substr(0, directory.rfind('/'));
  for (const char* name : {"/cpuset.cpus", "/cpuset.mems"}) {
    StatusOr<std::string> current = ReadAll(directory + name), inherited = ReadAll(parent + name);
    if (!current.ok() || !inherited.ok() || current->find_first_not_of("\n") != current->npos)
      continue;
    (void)WriteValue(directory + name, *inherited);
  }
}

}  // namespace

std::string Cgroup::ExpandSystemdPath(const std::string& path) {
  std::vector<std::string> parts = Split(path, ':');
  if (parts.size() != 3) return path;
  std::string slice = parts[0].empty() ? "system.slice" : parts[0];
  // "a-b.slice" lies in "a.slice".
  std::string result;
  if (slice != "-.slice") {
    for (size_t dash = slice.find('-'); dash != slice.npos; dash = slice.find('-', dash + 1)) {
      result += StrCat("/", slice.substr(0, dash), ".slice");
    }
    result += "/" + slice;
  }
  if (parts[2].ends_with(".slice")) return StrCat(result, "/", parts[2]);
  return StrCat(result, "/", parts[1], parts[1].empty() ? "" : "-", parts[2], ".scope");
}

StatusOr<std::vector<Cgroup::Hierarchy>> Cgroup::FindHierarchies(const std::string& cgroups_path) {
  for (const std::string& part : Split(cgroups_path, '/')) {
    if (part == "..") return boot::Error("cgroupsPath \"", cgroups_path, "\" leads upwards");
  }
  std::map<std::string, std::string> own = TRY_STATUS(OwnCgroups());
  std::string mounts = TRY_STATUS(ReadAll("/proc/self/mountinfo"));
  std::vector<Hierarchy> found;
  std::set<std::string> seen;
  for (const std::string& line : Split(mounts, '\n')) {
    // proc(5): id parent major:minor root mount-point options [optional fields] - type source
    // super-options
    size_t dash = line.find(" - ");
    if (dash == line.npos) continue;
    std::vector<std::string> left = Split(line.substr(0, dash), ' '),
                             right = Split(line.substr(dash + 3), ' ');
    if (left.size() < 5 || right.size() < 3) continue;
    Hierarchy hierarchy;
    hierarchy.mount_point = left[4];
    hierarchy.unified = right[0] == "cgroup2";
    if (!hierarchy.unified && right[0] != "cgroup") continue;
    if (!hierarchy.unified) {
      for (const std::string& option : Split(right[2], ',')) {
        if (IsController(option)) hierarchy.controllers.push_back(option);
      }
      if (hierarchy.controllers.empty()) continue;
    }
    std::string key = hierarchy.unified ? "" : hierarchy.controllers[0];
    if (!seen.insert(key).second) continue;  // mounted twice
    std::string inside = cgroups_path;
    if (!inside.starts_with("/")) inside = StrCat(own[key] == "/" ? "" : own[key], "/", inside);
    // A mount of a part of the hierarchy shows paths below that part only.
    if (left[3] != "/" && inside.starts_with(left[3] + "/")) inside = inside.substr(left[3].size());
    hierarchy.directory = hierarchy.mount_point + inside;
    while (hierarchy.directory.ends_with("/")) hierarchy.directory.pop_back();
    found.push_back(std::move(hierarchy));
  }
  if (found.empty())
    return boot::Error("no cgroup file system is mounted (--ignore-cgroups does without)");
  return found;
}

Status Cgroup::MakeDirectory(Hierarchy& hierarchy) {
  for (size_t at = hierarchy.mount_point.size();;) {
    at = hierarchy.directory.find('/', at + 1);
    std::string prefix = hierarchy.directory.substr(0, at);
    Result<int> made = HOST(mkdir(prefix.c_str(), 0755));
    if (!made.ok() && made.error() != Errno::kEEXIST) {
      return boot::ErrnoStatus(made.error(), StrCat("cgroup: making ", prefix));
    }
    bool leaf = at == hierarchy.directory.npos;
    if (made.ok() && leaf) made_.push_back(prefix);
    if (hierarchy.controllers == std::vector<std::string>{"cpuset"}) InheritCpuset(prefix);
    if (hierarchy.unified) {
      // Each controller alone: one that the host keeps in v1, or that the parent cannot give, must
      // not stop the others.
      std::string control = prefix.substr(0, prefix.rfind('/')) + "/cgroup.subtree_control";
      StatusOr<std::string> available =
          ReadAll(prefix.substr(0, prefix.rfind('/')) + "/cgroup.controllers");
      if (available.ok()) {
        std::stringstream names(*available);
        for (std::string name; names >> name;) (void)WriteValue(control, "+" + name);
      }
    }
    if (leaf) break;
  }
  if (hierarchy.unified) {
    std::stringstream names(TRY_STATUS(ReadAll(hierarchy.directory + "/cgroup.controllers")));
    for (std::string name; names >> name;) hierarchy.controllers.push_back(name);
  }
  return Status();
}

Status Cgroup::ApplyV1(const Hierarchy& hierarchy, const std::string& controller,
                       const boot::Resources& r) {
  const std::string dir = hierarchy.directory + "/";
  if (controller == "memory") {
    if (r.memory_limit)
      RETURN_IF_ERROR(WriteValue(dir + "memory.limit_in_bytes", StrCat(*r.memory_limit)));
    if (r.memory_reservation) {
      RETURN_IF_ERROR(
          WriteValue(dir + "memory.soft_limit_in_bytes", StrCat(*r.memory_reservation)));
    }
    if (r.memory_swap) {
      // A host without swap accounting has no such file, and no swap to limit either.
      Status status = WriteValue(dir + "memory.memsw.limit_in_bytes", StrCat(*r.memory_swap));
      if (!status.ok() && status.cause() != Errno::kENOENT) return status;
    }
  } else if (controller == "cpu") {
    if (r.cpu_shares && *r.cpu_shares != 0)
      RETURN_IF_ERROR(WriteValue(dir + "cpu.shares", StrCat(*r.cpu_shares)));
    if (r.cpu_period && *r.cpu_period != 0) {
      RETURN_IF_ERROR(WriteValue(dir + "cpu.cfs_period_us", StrCat(*r.cpu_period)));
    }
    if (r.cpu_quota && *r.cpu_quota != 0)
      RETURN_IF_ERROR(WriteValue(dir + "cpu.cfs_quota_us", StrCat(*r.cpu_quota)));
  } else if (controller == "cpuset") {
    if (!r.cpuset_cpus.empty()) RETURN_IF_ERROR(WriteValue(dir + "cpuset.cpus", r.cpuset_cpus));
    if (!r.cpuset_mems.empty()) RETURN_IF_ERROR(WriteValue(dir + "cpuset.mems", r.cpuset_mems));
  } else if (controller == "pids") {
    if (r.pids_limit && *r.pids_limit != 0) {
      RETURN_IF_ERROR(
          WriteValue(dir + "pids.max", *r.pids_limit < 0 ? "max" : StrCat(*r.pids_limit)));
    }
  }
  return Status();
}

Status Cgroup::ApplyV2(const Hierarchy& hierarchy, const std::string& controller,
                       const boot::Resources& r) {
  const std::string dir = hierarchy.directory + "/";
  auto number = [](int64_t value) { return value < 0 ? std::string("max") : StrCat(value); };
  if (controller == "memory") {
    if (r.memory_limit) RETURN_IF_ERROR(WriteValue(dir + "memory.max", number(*r.memory_limit)));
    if (r.memory_reservation)
      RETURN_IF_ERROR(WriteValue(dir + "memory.low", number(*r.memory_reservation)));
    if (r.memory_swap) {
      // In v1, and so in the standard, memory and swap together; in v2 swap alone.
      int64_t swap = *r.memory_swap;
      if (swap >= 0 && r.memory_limit && *r.memory_limit >= 0)
        swap = std::max<int64_t>(0, swap - *r.memory_limit);
      Status status = WriteValue(dir + "memory.swap.max", number(swap));
      if (!status.ok() && status.cause() != Errno::kENOENT) return status;
    }
  } else if (controller == "cpu") {
    if (r.cpu_shares && *r.cpu_shares != 0) {
      // Shares 2..262144 onto weights 1..10000.
      uint64_t shares = std::clamp<uint64_t>(*r.cpu_shares, 2, 262144);
      RETURN_IF_ERROR(WriteValue(dir + "cpu.weight", StrCat(1 + (shares - 2) * 9999 / 262142)));
    }
    if ((r.cpu_quota && *r.cpu_quota != 0) || (r.cpu_period && *r.cpu_period != 0)) {
      int64_t quota = r.cpu_quota.value_or(-1);
      uint64_t period = r.cpu_period.value_or(0) != 0 ? *r.cpu_period : 100000;
      RETURN_IF_ERROR(
          WriteValue(dir + "cpu.max", StrCat(quota <= 0 ? "max" : StrCat(quota), " ", period)));
    }
  } else if (controller == "cpuset") {
    if (!r.cpuset_cpus.empty()) RETURN_IF_ERROR(WriteValue(dir + "cpuset.cpus", r.cpuset_cpus));
    if (!r.cpuset_mems.empty()) RETURN_IF_ERROR(WriteValue(dir + "cpuset.mems", r.cpuset_mems));
  } else if (controller == "pids") {
    if (r.pids_limit && *r.pids_limit != 0)
      RETURN_IF_ERROR(WriteValue(dir + "pids.max", number(*r.pids_limit)));
  }
  return Status();
}

Status Cgroup::Apply(const boot::Resources& resources) {
  std::set<std::string> present;
  for (const Hierarchy& hierarchy : hierarchies_) {
    for (const std::string& controller : hierarchy.controllers) {
      present.insert(controller);
      RETURN_IF_ERROR(hierarchy.unified ? ApplyV2(hierarchy, controller, resources)
                                        : ApplyV1(hierarchy, controller, resources));
    }
    if (!hierarchy.unified) continue;
    for (const auto& [file, value] : resources.unified) {
      if (file.find('/') != file.npos)
        return boot::Error("linux.resources.unified: invalid name \"", file, "\"");
      RETURN_IF_ERROR(WriteValue(StrCat(hierarchy.directory, "/", file), value));
    }
  }
  // A limit that nobody enforces must not pass in silence.
  auto need = [&](bool wanted, const char* controller) {
    if (!wanted || present.contains(controller)) return Status();
    return boot::Error("cgroup: this host has no ", controller,
                       " controller for the limits asked for");
  };
  RETURN_IF_ERROR(need(resources.memory_limit.value_or(-1) > 0, "memory"));
  RETURN_IF_ERROR(need(resources.cpu_quota.value_or(-1) > 0, "cpu"));
  RETURN_IF_ERROR(need(resources.pids_limit.value_or(-1) > 0, "pids"));
  RETURN_IF_ERROR(need(!resources.cpuset_cpus.empty(), "cpuset"));
  return Status();
}

StatusOr<Cgroup> Cgroup::Create(const std::string& cgroups_path, const boot::Resources& resources) {
  Cgroup cgroup;
  cgroup.hierarchies_ = TRY_STATUS(FindHierarchies(cgroups_path));
  Status status;
  for (Hierarchy& hierarchy : cgroup.hierarchies_) {
    if (status.ok()) status = cgroup.MakeDirectory(hierarchy);
  }
  if (status.ok()) status = cgroup.Apply(resources);
  if (!status.ok()) {
    (void)Remove(cgroup.made_);
    return status;
  }
  return cgroup;
}

Status Cgroup::Join(pid_t pid) const {
  for (const Hierarchy& hierarchy : hierarchies_) {
    RETURN_IF_ERROR(WriteValue(hierarchy.directory + "/cgroup.procs", StrCat(pid)));
  }
  return Status();
}

Status Cgroup::Remove(const std::vector<std::string>& made) {
  Status result;
  for (const std::string& directory : made) {
    // Processes that were just killed stay in it until the host has torn them down.
    for (int attempt = 0;; attempt++) {
      Result<int> removed = HOST(rmdir(directory.c_str()));
      if (removed.ok() || removed.error() == Errno::kENOENT) break;
      if (removed.error() == Errno::kEBUSY && attempt < 200) {
        usleep(attempt < 20 ? 1000 : 10'000);
        continue;
      }
      if (result.ok())
        result = boot::ErrnoStatus(removed.error(), StrCat("cgroup: removing ", directory));
      break;
    }
  }
  return result;
}

}  // namespace cli
