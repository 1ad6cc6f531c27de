#include "sentry/boot/spec.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/host.h"
#include "base/log.h"
#include "sentry/boot/capability_names.h"
#include "sentry/boot/json_reader.h"
#include "sentry/boot/mount_options.h"

namespace boot {

namespace {

// A config.json larger than this is a mistake or an attack.
constexpr size_t kMaxSpecSize = 16 << 20;

struct RlimitName {
  std::string_view name;
  int resource;
};
constexpr RlimitName kRlimits[] = {
    {"RLIMIT_AS", RLIMIT_AS},
    {"RLIMIT_CORE", RLIMIT_CORE},
    {"RLIMIT_CPU", RLIMIT_CPU},
    {"RLIMIT_DATA", RLIMIT_DATA},
    {"RLIMIT_FSIZE", RLIMIT_FSIZE},
    {"RLIMIT_LOCKS", RLIMIT_LOCKS},
    {"RLIMIT_MEMLOCK", RLIMIT_MEMLOCK},
    {"RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE},
    {"RLIMIT_NICE", RLIMIT_NICE},
    {"RLIMIT_NOFILE", RLIMIT_NOFILE},
    {"RLIMIT_NPROC", RLIMIT_NPROC},
    {"RLIMIT_RSS", RLIMIT_RSS},
    {"RLIMIT_RTPRIO", RLIMIT_RTPRIO},
    {"RLIMIT_RTTIME", RLIMIT_RTTIME},
    {"RLIMIT_SIGPENDING", RLIMIT_SIGPENDING},
    {"RLIMIT_STACK", RLIMIT_STACK},
};

uint64_t ReadCapabilities(const JsonReader& reader, const char* key) {
  std::vector<std::string> names;
  reader.Strings(key, names);
  uint64_t set = 0;
  for (const std::string& name : names) {
    std::optional<int> number = CapabilityNumber(name);
    // A capability that a newer standard knows cannot be granted; refusing the container would be
    // worse (runc warns too).
    if (!number) {
      LOG_WARNING("ignoring unknown capability {} in {}", name, key);
      continue;
    }
    set |= uint64_t{1} << *number;
  }
  return set;
}

void ReadRlimit(const JsonReader& reader, ProcessSpec& process) {
  std::string type;
  Rlimit limit;
  reader.String("type", type);
  reader.Integer("soft", limit.soft);
  reader.Integer("hard", limit.hard);
  std::optional<int> resource = RlimitByName(type);
  if (!resource) return reader.Fail("type", StrCat("unknown resource limit \"", type, "\""));
  if (limit.soft > limit.hard) return reader.Fail("soft", "larger than the hard limit");
  limit.resource = *resource;
  for (const Rlimit& other : process.rlimits) {
    if (other.resource == limit.resource) return reader.Fail("type", StrCat("given twice: ", type));
  }
  process.rlimits.push_back(limit);
}

void ReadProcess(const JsonReader& reader, ProcessSpec& process) {
  reader.Strings("args", process.args);
  reader.Strings("env", process.env);
  reader.String("cwd", process.cwd);
  reader.Bool("terminal", process.terminal);
  reader.Object("consoleSize", [&](const JsonReader& size) {
    size.Integer("height", process.console_rows);
    size.Integer("width", process.console_columns);
  });
  reader.Object("user", [&](const JsonReader& user) {
    user.Integer("uid", process.uid);
    user.Integer("gid", process.gid);
    user.Integers("additionalGids", process.additional_gids);
    user.Integer("umask", process.umask);
  });
  reader.Object("capabilities", [&](const JsonReader& sets) {
    process.capabilities.bounding = ReadCapabilities(sets, "bounding");
    process.capabilities.effective = ReadCapabilities(sets, "effective");
    process.capabilities.inheritable = ReadCapabilities(sets, "inheritable");
    process.capabilities.permitted = ReadCapabilities(sets, "permitted");
    process.capabilities.ambient = ReadCapabilities(sets, "ambient");
  });
  reader.Objects("rlimits", [&](const JsonReader& limit) { ReadRlimit(limit, process); });
  reader.Bool("noNewPrivileges", process.no_new_privileges);
  reader.Integer("oomScoreAdj", process.oom_score_adj);

  if (process.args.empty() || process.args[0].empty()) reader.Fail("args", "must name a program");
  if (!process.cwd.starts_with("/")) reader.Fail("cwd", "must be an absolute path");
}

std::vector<HookSpec> ReadHooks(const JsonReader& reader, const char* key) {
  std::vector<HookSpec> hooks;
  reader.Objects(key, [&](const JsonReader& item) {
    HookSpec hook;
    item.String("path", hook.path);
    item.Strings("args", hook.args);
    item.Strings("env", hook.env);
    item.Integer("timeout", hook.timeout_seconds);
    if (!hook.path.starts_with("/")) item.Fail("path", "must be an absolute path");
    if (hook.timeout_seconds && *hook.timeout_seconds <= 0)
      item.Fail("timeout", "must be positive");
    hooks.push_back(std::move(hook));
  });
  return hooks;
}

void ReadResources(const JsonReader& reader, Resources& resources) {
  reader.Object("memory", [&](const JsonReader& memory) {
    memory.Integer("limit", resources.memory_limit);
    memory.Integer("reservation", resources.memory_reservation);
    memory.Integer("swap", resources.memory_swap);
  });
  reader.Object("cpu", [&](const JsonReader& cpu) {
    cpu.Integer("shares", resources.cpu_shares);
    cpu.Integer("quota", resources.cpu_quota);
    cpu.Integer("period", resources.cpu_period);
    cpu.String("cpus", resources.cpuset_cpus);
    cpu.String("mems", resources.cpuset_mems);
  });
  reader.Object("pids",
                [&](const JsonReader& pids) { pids.Integer("limit", resources.pids_limit); });
  reader.StringMap("unified", resources.unified);
}

void ReadLinux(const JsonReader& reader, Spec& spec) {
  reader.Objects("namespaces", [&](const JsonReader& item) {
    NamespaceSpec ns;
    item.String("type", ns.type);
    item.String("path", ns.path);
    if (ns.type.empty()) item.Fail("type", "missing");
    spec.namespaces.push_back(std::move(ns));
  });
  reader.String("cgroupsPath", spec.cgroups_path);
  reader.Strings("maskedPaths", spec.masked_paths);
  reader.Strings("readonlyPaths", spec.readonly_paths);
  reader.StringMap("sysctl", spec.sysctl);
  reader.String("rootfsPropagation", spec.rootfs_propagation);
  reader.Object("resources", [&](const JsonReader& item) { ReadResources(item, spec.resources); });
}

void ReadMount(const JsonReader& reader, Spec& spec) {
  MountSpec mount;
  reader.String("destination", mount.destination);
  reader.String("type", mount.type);
  reader.String("source", mount.source);
  reader.Strings("options", mount.options);
  if (mount.destination.empty()) return reader.Fail("destination", "missing");
  // Older bundles name it relative to the root (runc accepts and corrects that too).
  if (mount.destination[0] != '/') mount.destination.insert(0, "/");
  ParseMountOptions(mount);
  if (mount.is_bind() && mount.source.empty())
    return reader.Fail("source", "a bind mount needs one");
  spec.mounts.push_back(std::move(mount));
}

void ReadSpec(const JsonReader& reader, Spec& spec) {
  reader.String("ociVersion", spec.oci_version);
  if (spec.oci_version.empty()) reader.Fail("ociVersion", "missing");
  if (!spec.oci_version.starts_with("1.")) {
    reader.Fail("ociVersion", StrCat("version ", spec.oci_version, " is not supported, 1.x is"));
  }
  if (!reader.Has("root")) reader.Fail("root", "missing");
  reader.Object("root", [&](const JsonReader& root) {
    root.String("path", spec.root.path);
    root.Bool("readonly", spec.root.readonly);
    if (spec.root.path.empty()) root.Fail("path", "missing");
  });
  if (!reader.Has("process")) reader.Fail("process", "missing");
  reader.Object("process", [&](const JsonReader& process) { ReadProcess(process, spec.process); });
  reader.Objects("mounts", [&](const JsonReader& mount) { ReadMount(mount, spec); });
  reader.String("hostname", spec.hostname);
  reader.String("domainname", spec.domainname);
  reader.StringMap("annotations", spec.annotations);
  reader.Object("hooks", [&](const JsonReader& hooks) {
    spec.hooks.prestart = ReadHooks(hooks, "prestart");
    spec.hooks.create_runtime = ReadHooks(hooks, "createRuntime");
    spec.hooks.create_container = ReadHooks(hooks, "createContainer");
    spec.hooks.start_container = ReadHooks(hooks, "startContainer");
    spec.hooks.poststart = ReadHooks(hooks, "poststart");
    spec.hooks.poststop = ReadHooks(hooks, "poststop");
  });
  reader.Object("linux", [&](const JsonReader& section) { ReadLinux(section, spec); });
}

StatusOr<std::string> ReadFile(const std::string& path) {
  Fd file(TRY_HOST(HOST(::open(path.c_str(), O_RDONLY | O_CLOEXEC)), path));
  std::string text;
  char buffer[16384];
  for (;;) {
    ssize_t n = TRY_HOST(HOST_RETRY(::read(file.get(), buffer, sizeof buffer)), path);
    if (n == 0) return text;
    text.append(buffer, static_cast<size_t>(n));
    if (text.size() > kMaxSpecSize) return Error(path, ": larger than 16 MB");
  }
}

}  // namespace

std::optional<int> RlimitByName(std::string_view name) {
  for (const RlimitName& entry : kRlimits) {
    if (entry.name == name) return entry.resource;
  }
  return std::nullopt;
}

StatusOr<Spec> ParseSpec(std::string_view text) {
  Json document = TRY_STATUS(ParseJson(text));
  Spec spec;
  Status status;
  ReadSpec(JsonReader(document, "", status), spec);
  RETURN_IF_ERROR(status);
  return spec;
}

StatusOr<ProcessSpec> ParseProcess(std::string_view text) {
  Json document = TRY_STATUS(ParseJson(text));
  ProcessSpec process;
  Status status;
  ReadProcess(JsonReader(document, "", status), process);
  RETURN_IF_ERROR(status);
  return process;
}

StatusOr<Spec> LoadSpec(const std::string& bundle, std::string* text_out) {
  std::string path = StrCat(bundle, "/config.json");
  std::string text = TRY_STATUS(ReadFile(path));
  StatusOr<Spec> spec = ParseSpec(text);
  if (!spec.ok()) return Annotate(spec.status(), path);
  auto make_absolute = [&](std::string& name) {
    if (!name.starts_with("/")) name = StrCat(bundle, "/", name);
  };
  make_absolute(spec->root.path);
  for (MountSpec& mount : spec->mounts) {
    if (mount.is_bind()) make_absolute(mount.source);
  }
  if (text_out != nullptr) *text_out = std::move(text);
  return spec;
}

}  // namespace boot
