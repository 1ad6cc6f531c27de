#pragma once

// An OCI runtime specification (config.json, version 1.x) as plain structs: what this runtime uses
// of it. Unknown fields are tolerated, as the standard asks; a known field of a wrong type or value
// is an error of one line that names it.

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sentry/boot/status.h"

namespace boot {

// Bit n is capability n.
struct CapabilitySets {
  uint64_t bounding = 0, effective = 0, inheritable = 0, permitted = 0, ambient = 0;
};

struct Rlimit {
  int resource = 0;  // RLIMIT_*
  uint64_t soft = 0, hard = 0;
};

struct ProcessSpec {
  std::vector<std::string> args, env;
  std::string cwd = "/";
  bool terminal = false;
  uint16_t console_rows = 0, console_columns = 0;  // 0: not given
  uint32_t uid = 0, gid = 0;
  std::vector<uint32_t> additional_gids;
  std::optional<uint32_t> umask;
  CapabilitySets capabilities;
  std::vector<Rlimit> rlimits;
  bool no_new_privileges = false;
  std::optional<int> oom_score_adj;
};

struct RootSpec {
  std::string path;  // made absolute by LoadSpec
  bool readonly = false;
};

struct MountSpec {
  std::string destination, type, source;
  std::vector<std::string> options;  // as given
  // What `options` mean (sentry/boot/mount_options.h).
  uint64_t flags = 0;        // MS_* to set
  uint64_t clear_flags = 0;  // MS_* that an option named explicitly off ("rw", "exec")
  uint64_t propagation = 0;  // MS_SHARED and the like, MS_REC included
  std::string data;          // the rest, comma separated
  bool is_bind() const;
};

struct NamespaceSpec {
  std::string type, path;
};

struct HookSpec {
  std::string path;
  std::vector<std::string> args, env;
  std::optional<int> timeout_seconds;
};

struct Hooks {
  std::vector<HookSpec> prestart, create_runtime, create_container, start_container, poststart,
      poststop;
};

// linux.resources, as far as the cgroup code applies it.
struct Resources {
  std::optional<int64_t> memory_limit, memory_reservation, memory_swap;
  std::optional<uint64_t> cpu_shares, cpu_period;
  std::optional<int64_t> cpu_quota;
  std::string cpuset_cpus, cpuset_mems;
  std::optional<int64_t> pids_limit;
  std::map<std::string, std::string> unified;
};

struct Spec {
  std::string oci_version;
  ProcessSpec process;
  RootSpec root;
  std::vector<MountSpec> mounts;
  std::string hostname, domainname;
  std::map<std::string, std::string> annotations;
  Hooks hooks;
  std::vector<NamespaceSpec> namespaces;
  std::string cgroups_path;
  std::vector<std::string> masked_paths, readonly_paths;
  std::map<std::string, std::string> sysctl;
  std::string rootfs_propagation;
  Resources resources;
};

// `text` is JSON. The result is checked for what a container cannot do without (root.path,
// process.args, ...).
StatusOr<Spec> ParseSpec(std::string_view text);
// A process object alone (`exec --process FILE`).
StatusOr<ProcessSpec> ParseProcess(std::string_view text);
// Reads BUNDLE/config.json; root.path and relative bind sources become absolute. `text_out`, unless
// null, gets the text.
StatusOr<Spec> LoadSpec(const std::string& bundle, std::string* text_out = nullptr);

// RLIMIT_NOFILE for "RLIMIT_NOFILE".
std::optional<int> RlimitByName(std::string_view name);

}  // namespace boot
