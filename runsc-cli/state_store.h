#pragma once

// Containers on disk: ROOT/<id>/ with state.json (replaced atomically), config.json (the
// specification it was created from), control.sock and exit-status (the Sentry stores it there). The directory itself is the lock of the
// container: whoever changes its life cycle holds it; readers need none.

#include <atomic>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "runsc-cli/process_id.h"
#include "sentry/boot/spec.h"

namespace cli {

enum class ContainerStatus { kCreating, kCreated, kRunning, kPaused, kStopped };
const char* StatusName(ContainerStatus status);

struct ContainerState {
  std::string id, bundle, created;                      // created: RFC 3339
  ContainerStatus status = ContainerStatus::kCreating;  // as last recorded; see CurrentStatus
  ProcessId sentry, gofer;
  std::string oci_version = "1.0.2";
  std::map<std::string, std::string> annotations;
  std::vector<std::string> cgroup_paths;  // that we made
  unsigned owner = 0;

  // What is recorded, corrected by who is still alive.
  ContainerStatus CurrentStatus() const;
  // The state document of the OCI standard, as `state` prints it and hooks get it.
  std::string OciJson() const;
};

// One container's directory, locked until destruction.
class ContainerDir {
 public:
  ContainerDir(ContainerDir&&) = default;
  ContainerDir& operator=(ContainerDir&&) = default;
  ~ContainerDir();

  const std::string& path() const { return path_; }
  boot::StatusOr<ContainerState> Load() const;
  boot::Status Save(const ContainerState& state) const;
  boot::Status SaveSpec(const std::string& text) const;
  boot::StatusOr<boot::Spec> LoadSpec() const { return boot::LoadSpec(path_); }
  // Makes the file that ExitStatusOf reads and maps it, for the Sentry that is cloned next.
  boot::StatusOr<std::atomic<int32_t>*> MapExitStatus() const;
  // Deletes it and all in it.
  boot::Status Remove();

 private:
  friend class StateStore;
  ContainerDir(std::string path, Fd lock) : path_(std::move(path)), lock_(std::move(lock)) {}
  std::string path_;
  Fd lock_;
};

class StateStore {
 public:
  explicit StateStore(std::string root) : root_(std::move(root)) {}

  // kEEXIST when the id is taken.
  boot::StatusOr<ContainerDir> Create(const std::string& id);
  // Waits for the lock. kENOENT when there is no such container.
  boot::StatusOr<ContainerDir> Lock(const std::string& id);
  // Without the lock.
  boot::StatusOr<ContainerState> Load(const std::string& id) const;
  std::vector<std::string> List() const;
  // The wait status of the init of a stopped container; nothing when its Sentry was killed.
  std::optional<int> ExitStatusOf(const std::string& id) const;

  std::string PathOf(const std::string& id) const { return root_ + "/" + id; }
  static boot::Status CheckId(const std::string& id);

 private:
  std::string root_;
};

// Writes `text` to `path` by way of a temporary file beside it.
boot::Status WriteFileAtomically(const std::string& path, std::string_view text,
                                 unsigned mode = 0644);

}  // namespace cli
