#pragma once

// Where in files the system calls are that processes make: one that begins to make many has all that are known of its libraries
// replaced at once (mm::MemoryManager::ReplaceCalls), since most processes end before one call is hot.
//
// Whoever executes a call in the middle of what is really another instruction could have that replaced too. So what one process
// shows counts only for those that it may control anyway, which have all of its credentials that ptrace(2) looks at.
//
// Under the kernel lock.

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "base/credentials.h"
#include "vfs/file_version.h"

namespace kernel {

class KnownCalls {
 public:
  // Calls returned to the offsets `shown` of the file. All that are known now, ascending. On a fiber (may park).
  std::vector<uint64_t> Learn(const Credentials& creds, vfs::FileDescription& file, std::span<const uint64_t> shown);

 private:
  struct Key {
    friend auto operator<=>(const Key&, const Key&) = default;

    const base::UserNamespace* user_ns;
    uid_t ruid, euid, suid;
    gid_t rgid, egid, sgid;
    base::CapabilitySet permitted;
    vfs::FileVersion file;
  };
  struct Calls {
    RefPtr<base::UserNamespace> user_ns;  // which another one must not take the place of
    std::vector<uint64_t> offsets;
  };
  std::map<Key, Calls> calls_;
};

}  // namespace kernel
