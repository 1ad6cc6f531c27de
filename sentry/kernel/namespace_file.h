#pragma once

// What /proc/PID/ns/* leads to: files that stand for namespaces, for setns(2) and for comparing.

#include <string_view>

#include "sentry/kernel/namespaces.h"
#include "vfs/file_description.h"

namespace kernel {

struct NamespaceHandle {
  int type = 0;  // CLONE_NEW*
  RefPtr<RefCounted> object;
  uint64_t id = 0;  // the inode number
};

// The namespace of kind `type` that a task is in; CLONE_NEWPID: that of its children where `for_children`.
Result<NamespaceHandle> NamespaceOf(Task& task, int type, bool for_children = false);

// A place whose open gives a namespace file. `name`: "uts:[123]".
vfs::Path NamespacePath(NamespaceHandle handle, std::string_view name);

// The namespace behind an open file, or null.
const NamespaceHandle* NamespaceOfFile(vfs::FileDescription& file);

}  // namespace kernel
