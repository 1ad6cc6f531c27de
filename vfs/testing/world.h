#pragma once

// For unit tests of file systems: a mount namespace, a process's view of it, and a fiber to run on.

#include <functional>
#include <string>
#include <vector>

#include "base/credentials.h"
#include "vfs/operations.h"

namespace vfs {

// Creates the memory file once, takes the kernel lock and runs `body` on a fiber to its end.
void RunOnFiber(std::function<void()> body);

class World {
 public:
  explicit World(RefPtr<FileSystem> root);
  ~World();

  // A second process: other credentials, the same namespace. Without capabilities unless uid is 0.
  WalkContext As(uid_t uid, gid_t gid, std::vector<gid_t> groups = {}) const;

  Result<RefPtr<FileDescription>> Open(std::string_view name, int flags, uint32_t mode = 0644) const {
    return vfs::Open(context, name, flags, mode);
  }
  Result<Attributes> Stat(std::string_view name, unsigned walk_flags = kWalkFollow) const;
  // Shorthands that abort on failure.
  void Mkdir(std::string_view name, uint32_t mode = 0755) const { CHECK_OK(vfs::Mkdir(context, name, mode)); }
  void WriteFile(std::string_view name, std::string_view content) const;
  std::string ReadFile(std::string_view name) const;
  std::vector<std::string> List(std::string_view name) const;  // sorted, without the dots
  Path Place(std::string_view name, unsigned walk_flags = kWalkFollow) const {
    return Walk(context, name, walk_flags).value();
  }

  RefPtr<MountNamespace> ns;
  WalkContext context;  // root's, at "/"
};

// Of a Result, Errno{} when it is ok: EXPECT_EQ(ErrorOf(...), Errno::kENOENT).
template <class T>
Errno ErrorOf(const Result<T>& result) {
  return result.ok() ? Errno{} : result.error();
}

std::string ReadAll(FileDescription& file);
size_t WriteAll(FileDescription& file, std::string_view content);

}  // namespace vfs
