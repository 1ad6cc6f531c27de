#pragma once

// The host cgroup of a sandbox, in every v1 hierarchy that is mounted and in the v2 one: made
// before the Sentry and the gofer are, which are put into it before they do anything, limited as
// the specification asks.

#include <sys/types.h>

#include <string>
#include <vector>

#include "sentry/boot/spec.h"

namespace cli {

class Cgroup {
 public:
  // Makes `cgroups_path` (absolute: from the top of each hierarchy; relative: from this process's
  // own cgroup) and sets the limits. What it made is removed again when it fails.
  static boot::StatusOr<Cgroup> Create(const std::string& cgroups_path,
                                       const boot::Resources& resources);

  // Empty: no cgroup, Join does nothing.
  Cgroup() = default;

  boot::Status Join(pid_t pid) const;

  // The directories that Create made, to be removed with the container.
  const std::vector<std::string>& made() const { return made_; }

  // Removes such directories (and what the dead left inside), waiting a little for dying processes
  // to leave.
  static boot::Status Remove(const std::vector<std::string>& made);

  // SLICE:PREFIX:NAME, as callers with a systemd cgroup driver give it, as a path. Anything else is
  // returned as it is.
  static std::string ExpandSystemdPath(const std::string& path);

 private:
  struct Hierarchy {
    std::vector<std::string>
        controllers;  // v1; for v2 what cgroup.controllers of the directory says
    bool unified = false;
    std::string mount_point;
    std::string directory;  // of the sandbox
  };
  static boot::StatusOr<std::vector<Hierarchy>> FindHierarchies(const std::string& cgroups_path);
  boot::Status MakeDirectory(Hierarchy& hierarchy);
  boot::Status Apply(const boot::Resources& resources);
  boot::Status ApplyV1(const Hierarchy& hierarchy, const std::string& controller,
                       const boot::Resources& resources);
  boot::Status ApplyV2(const Hierarchy& hierarchy, const std::string& controller,
                       const boot::Resources& resources);

  std::vector<Hierarchy> hierarchies_;
  std::vector<std::string> made_;
};

}  // namespace cli
