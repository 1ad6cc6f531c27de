#include "runsc-cli/state_store.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/host.h"
#include "sentry/boot/json_reader.h"

namespace cli {

using boot::Json;
using boot::JsonReader;
using boot::Status;
using boot::StatusOr;

namespace {

// No wait status.
constexpr int32_t kNotEnded = -1;
constexpr const char* kExitStatusName = "/exit-status";

constexpr const char* kStatusNames[] = {"creating", "created", "running", "paused", "stopped"};

Status NoSuchContainer(const std::string& id) {
  return Status::Error(boot::StrCat("container \"", id, "\" does not exist"), Errno::kENOENT);
}

Json ProcessJson(const ProcessId& process) {
  return {{"pid", process.pid}, {"startTime", process.start_time}};
}

ProcessId ReadProcessId(const JsonReader& reader, const char* key) {
  ProcessId process;
  reader.Object(key, [&](const JsonReader& item) {
    item.Integer("pid", process.pid);
    item.Integer("startTime", process.start_time);
  });
  return process;
}

std::string Dump(const Json& json, int indent) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

StatusOr<ContainerState> LoadFrom(const std::string& directory) {
  std::string path = directory + "/state.json";
  Fd file(TRY_HOST(HOST(open(path.c_str(), O_RDONLY | O_CLOEXEC)), path));
  std::string text;
  char buffer[4096];
  while (ssize_t n = TRY_HOST(HOST_RETRY(read(file.get(), buffer, sizeof buffer)), path)) {
    text.append(buffer, static_cast<size_t>(n));
  }
  StatusOr<Json> json = boot::ParseJson(text);
  if (!json.ok()) return boot::Annotate(json.status(), path);
  Status status;
  JsonReader reader(*json, "", status);
  ContainerState state;
  std::string name;
  reader.String("id", state.id);
  reader.String("bundle", state.bundle);
  reader.String("created", state.created);
  reader.String("ociVersion", state.oci_version);
  reader.String("status", name);
  reader.StringMap("annotations", state.annotations);
  reader.Strings("cgroupPaths", state.cgroup_paths);
  reader.Integer("owner", state.owner);
  state.sentry = ReadProcessId(reader, "sentry");
  state.gofer = ReadProcessId(reader, "gofer");
  for (int i = 0; i <= static_cast<int>(ContainerStatus::kStopped); i++) {
    if (name == kStatusNames[i]) state.status = static_cast<ContainerStatus>(i);
  }
  if (!status.ok()) return boot::Annotate(status, path);
  return state;
}

}  // namespace

const char* StatusName(ContainerStatus status) { return kStatusNames[static_cast<int>(status)]; }

ContainerStatus ContainerState::CurrentStatus() const {
  // While it is being created there may be no Sentry yet; the creator removes everything if it
  // fails.
  if (status == ContainerStatus::kCreating && sentry.pid == 0) return status;
  return IsAlive(sentry) ? status : ContainerStatus::kStopped;
}

std::string ContainerState::OciJson() const {
  ContainerStatus current = CurrentStatus();
  Json json = {{"ociVersion", oci_version},
               {"id", id},
               {"status", StatusName(current)},
               {"bundle", bundle},
               {"created", created}};
  json["pid"] = current == ContainerStatus::kStopped ? 0 : sentry.pid;
  if (!annotations.empty()) json["annotations"] = annotations;
  return Dump(json, 2);
}

Status WriteFileAtomically(const std::string& path, std::string_view text, unsigned mode) {
  std::string temporary = boot::StrCat(path, ".", getpid());
  Fd file(TRY_HOST(HOST(open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode)),
                   temporary));
  while (!text.empty()) {
    Result<ssize_t> n = HOST_RETRY(write(file.get(), text.data(), text.size()));
    if (!n.ok()) {
      unlink(temporary.c_str());
      return boot::ErrnoStatus(n.error(), temporary);
    }
    text.remove_prefix(static_cast<size_t>(*n));
  }
  TRY_HOST(HOST(rename(temporary.c_str(), path.c_str())), path);
  return Status();
}

ContainerDir::~ContainerDir() {
  // Explicitly: children that were forked meanwhile share the descriptor, and with it the lock.
  if (lock_.valid()) flock(lock_.get(), LOCK_UN);
}

StatusOr<ContainerState> ContainerDir::Load() const { return LoadFrom(path_); }

Status ContainerDir::Save(const ContainerState& state) const {
  Json json = {{"id", state.id},
               {"bundle", state.bundle},
               {"created", state.created},
               {"ociVersion", state.oci_version},
               {"status", StatusName(state.status)},
               {"sentry", ProcessJson(state.sentry)},
               {"gofer", ProcessJson(state.gofer)},
               {"annotations", state.annotations},
               {"cgroupPaths", state.cgroup_paths},
               {"owner", state.owner}};
  return WriteFileAtomically(path_ + "/state.json", Dump(json, -1), 0600);
}

Status ContainerDir::SaveSpec(const std::string& text) const {
  return WriteFileAtomically(path_ + "/config.json", text, 0600);
}

StatusOr<std::atomic<int32_t>*> ContainerDir::MapExitStatus() const {
  std::string path = path_ + kExitStatusName;
  Fd file(TRY_HOST(HOST(open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600)), path));
  // Written, not left a hole: on a full disk the Sentry's store would be a SIGBUS.
  TRY_HOST(HOST(write(file.get(), &kNotEnded, sizeof kNotEnded)), path);
  void* map = mmap(nullptr, sizeof kNotEnded, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
  if (map == MAP_FAILED) return boot::Error(path, ": cannot be mapped");
  return static_cast<std::atomic<int32_t>*>(map);
}

Status ContainerDir::Remove() {
  DIR* dir = opendir(path_.c_str());
  if (dir != nullptr) {
    // Flat: nothing here makes directories.
    while (dirent* entry = readdir(dir)) unlinkat(dirfd(dir), entry->d_name, 0);
    closedir(dir);
  }
  TRY_HOST(HOST(rmdir(path_.c_str())), path_);
  return Status();
}

Status StateStore::CheckId(const std::string& id) {
  bool good = !id.empty() && id.size() <= 1024 && id != "." && id != "..";
  for (char c : id) {
    good = good &&
           (isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '+' || c == '-' || c == '.');
  }
  if (!good)
    return boot::Error("invalid container id \"", id, "\" (letters, digits, _ + - . are allowed)");
  return Status();
}

StatusOr<ContainerDir> StateStore::Create(const std::string& id) {
  RETURN_IF_ERROR(CheckId(id));
  // The parents, as mkdir -p does.
  for (size_t slash = root_.find('/', 1);; slash = root_.find('/', slash + 1)) {
    std::string prefix = root_.substr(0, slash);
    Result<int> made = HOST(mkdir(prefix.c_str(), 0711));
    if (!made.ok() && made.error() != Errno::kEEXIST)
      return boot::ErrnoStatus(made.error(), prefix);
    if (slash == root_.npos) break;
  }
  std::string path = PathOf(id);
  Result<int> made = HOST(mkdir(path.c_str(), 0700));
  if (!made.ok() && made.error() == Errno::kEEXIST) {
    return Status::Error(boot::StrCat("container with id \"", id, "\" exists already"),
                         Errno::kEEXIST);
  }
  if (!made.ok()) return boot::ErrnoStatus(made.error(), path);
  return Lock(id);
}

StatusOr<ContainerDir> StateStore::Lock(const std::string& id) {
  RETURN_IF_ERROR(CheckId(id));
  std::string path = PathOf(id);
  Result<int> fd = HOST(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.ok())
    return fd.error() == Errno::kENOENT ? NoSuchContainer(id) : boot::ErrnoStatus(fd.error(), path);
  Fd lock(*fd);
  TRY_HOST(HOST_RETRY(flock(lock.get(), LOCK_EX)), path);
  // Deleted, and perhaps made anew, while we waited?
  struct stat ours, current;
  if (fstat(lock.get(), &ours) != 0 || stat(path.c_str(), &current) != 0 ||
      ours.st_ino != current.st_ino) {
    return NoSuchContainer(id);
  }
  return ContainerDir(std::move(path), std::move(lock));
}

StatusOr<ContainerState> StateStore::Load(const std::string& id) const {
  RETURN_IF_ERROR(CheckId(id));
  StatusOr<ContainerState> state = LoadFrom(PathOf(id));
  if (!state.ok() && state.status().cause() == Errno::kENOENT) return NoSuchContainer(id);
  return state;
}

std::optional<int> StateStore::ExitStatusOf(const std::string& id) const {
  Fd file(open((PathOf(id) + kExitStatusName).c_str(), O_RDONLY | O_CLOEXEC));
  int32_t status = kNotEnded;
  if (!file.valid() || pread(file.get(), &status, sizeof status, 0) != sizeof status) return {};
  if (status == kNotEnded) return {};
  return status;
}

std::vector<std::string> StateStore::List() const {
  std::vector<std::string> ids;
  DIR* dir = opendir(root_.c_str());
  if (dir == nullptr) return ids;
  while (dirent* entry = readdir(dir)) {
    if (CheckId(entry->d_name).ok() && entry->d_type != DT_REG) ids.push_back(entry->d_name);
  }
  closedir(dir);
  std::sort(ids.begin(), ids.end());
  return ids;
}

}  // namespace cli
