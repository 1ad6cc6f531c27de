// get_mempolicy(2), set_mempolicy(2), mbind(2), migrate_pages(2), move_pages(2): there is one node, 0, so that policies are
// checked and remembered and have no effect.

#include <linux/mempolicy.h>

#include "sentry/kernel/kernel.h"
#include "syscalls/handlers.h"
#include "syscalls/permissions.h"

namespace syscalls {

namespace {

constexpr uint64_t kNode = 1;  // the mask of node 0
constexpr uint64_t kMaxNodeBits = kPageSize * 8;

// A node mask of `max_node` bits, of which the last does not count.
Result<uint64_t> ReadNodes(Task& task, UserAddress address, uint64_t max_node) {
  if (max_node > 0) max_node--;
  if (address == 0 || max_node == 0) return 0;
  if (max_node > kMaxNodeBits) return Errno::kEINVAL;
  std::vector<uint64_t> words((max_node + 63) / 64);
  TRY(task.mm().CopyIn(words.data(), address, words.size() * 8));
  if (max_node % 64 != 0) words.back() &= (uint64_t{1} << max_node % 64) - 1;
  for (size_t i = 0; i < words.size(); i++) {
    if ((words[i] & ~(i == 0 ? ~uint64_t{0} : 0)) != 0) return Errno::kEINVAL;
  }
  return words[0];
}

Result<void> CheckPolicy(int mode, uint64_t nodes) {
  constexpr int kFlags = MPOL_F_STATIC_NODES | MPOL_F_RELATIVE_NODES;
  int flags = mode & kFlags;
  mode &= ~kFlags;
  if (flags == kFlags) return Errno::kEINVAL;
  switch (mode) {
    case MPOL_DEFAULT:
    case MPOL_LOCAL:
      return nodes != 0 || flags != 0 ? Result<void>(Errno::kEINVAL) : Result<void>();
    case MPOL_PREFERRED:
      if (nodes == 0) return flags != 0 ? Result<void>(Errno::kEINVAL) : Result<void>();
      break;
    case MPOL_BIND:
    case MPOL_INTERLEAVE:
    case MPOL_PREFERRED_MANY:
      break;
    default:
      return Errno::kEINVAL;
  }
  return (nodes & kNode) == 0 ? Result<void>(Errno::kEINVAL) : Result<void>();
}

bool Mapped(Task& task, uint64_t address) {
  bool found = false;
  task.mm().ForEachVma([&](const mm::VmaInfo& vma) {
    found = address >= vma.start && address < vma.end;
    return !found && vma.end <= address;
  });
  return found;
}

}  // namespace

Result<uint64_t> SysGetMempolicy(Task& task, OutArg<int> mode, UserAddress nodes, uint64_t max_node, UserAddress address, FlagsArg flags) {
  int how = flags;
  if ((how & ~(MPOL_F_NODE | MPOL_F_ADDR | MPOL_F_MEMS_ALLOWED)) != 0) return Errno::kEINVAL;
  if (nodes != 0 && max_node < 1) return Errno::kEINVAL;
  if ((how & MPOL_F_MEMS_ALLOWED) != 0 && (how & (MPOL_F_NODE | MPOL_F_ADDR)) != 0) return Errno::kEINVAL;
  if ((how & MPOL_F_ADDR) != 0) {
    if (!Mapped(task, address)) return Errno::kEFAULT;
  } else if (address != 0) {
    return Errno::kEINVAL;
  }
  int policy = task.memory_policy;
  uint64_t mask = task.memory_policy_nodes;
  if ((how & MPOL_F_MEMS_ALLOWED) != 0) {
    policy = 0;
    mask = kNode;
  } else if ((how & MPOL_F_NODE) != 0) {
    // Of an address: the node it is on. Of the task: where interleaving goes on.
    if ((how & MPOL_F_ADDR) == 0 && (policy & 0xff) != MPOL_INTERLEAVE) return Errno::kEINVAL;
    policy = 0;
  } else if ((how & MPOL_F_ADDR) != 0) {
    policy = MPOL_DEFAULT;
    mask = 0;
  }
  if (!mode.null()) TRY(mode.Write(task, policy));
  if (nodes != 0) {
    size_t bytes = ((max_node - 1 + 63) / 64) * 8;
    if (bytes > kPageSize) return Errno::kEINVAL;
    std::vector<uint64_t> words(bytes / 8);
    if (!words.empty()) words[0] = mask;
    TRY(task.mm().CopyOut(nodes, words.data(), bytes));
  }
  return 0;
}

Result<uint64_t> SysSetMempolicy(Task& task, int mode, UserAddress nodes, uint64_t max_node) {
  uint64_t mask = TRY(ReadNodes(task, nodes, max_node));
  TRY(CheckPolicy(mode, mask));
  task.memory_policy = mode;
  task.memory_policy_nodes = mask & kNode;
  return 0;
}

Result<uint64_t> SysMbind(Task& task, UserAddress address, uint64_t length, int mode, UserAddress nodes, uint64_t max_node, FlagsArg flags) {
  constexpr uint64_t kKnown = MPOL_MF_STRICT | MPOL_MF_MOVE | MPOL_MF_MOVE_ALL;
  if ((flags.value & ~kKnown) != 0 || address % kPageSize != 0) return Errno::kEINVAL;
  if ((flags.value & MPOL_MF_MOVE_ALL) != 0 && !task.creds()->Has(CAP_SYS_NICE)) return Errno::kEPERM;
  uint64_t mask = TRY(ReadNodes(task, nodes, max_node));
  TRY(CheckPolicy(mode, mask));
  uint64_t end = address + base::PageUp(length);
  if (end < address) return Errno::kEINVAL;
  // The range must be mapped without holes.
  uint64_t covered = address;
  task.mm().ForEachVma([&](const mm::VmaInfo& vma) {
    if (vma.start <= covered && covered < vma.end) covered = vma.end;
    return covered < end;
  });
  return covered < end ? Result<uint64_t>(Errno::kEFAULT) : Result<uint64_t>(0);
}

Result<uint64_t> SysMigratePages(Task& task, int pid, uint64_t max_node, UserAddress from, UserAddress to) {
  (void)TRY(ReadNodes(task, from, max_node));
  uint64_t target = TRY(ReadNodes(task, to, max_node));
  RefPtr<Task> other(TRY(FindTask(task, pid)));
  TRY(CheckMayTrace(task, *other));
  return (target & kNode) == 0 ? Result<uint64_t>(Errno::kEINVAL) : Result<uint64_t>(0);
}

Result<uint64_t> SysMovePages(Task& task, int pid, uint64_t count, UserAddress pages, UserAddress nodes, UserAddress status, FlagsArg flags) {
  if ((flags.value & ~uint64_t{MPOL_MF_MOVE | MPOL_MF_MOVE_ALL}) != 0) return Errno::kEINVAL;
  if ((flags.value & MPOL_MF_MOVE_ALL) != 0 && !task.creds()->Has(CAP_SYS_NICE)) return Errno::kEPERM;
  RefPtr<Task> other(TRY(FindTask(task, pid)));
  TRY(CheckMayTrace(task, *other));
  if (other->ended()) return Errno::kESRCH;
  for (uint64_t i = 0; i < count; i++) {
    if (task.HasPendingSignal()) return Errno::kERESTARTNOINTR;  // `count` may be anything
    uint64_t page = TRY(task.mm().Read<uint64_t>(pages + i * 8));
    int result = Mapped(*other, page) ? 0 : -ENOENT;
    if (nodes != 0) {
      int node = TRY(task.mm().Read<int>(nodes + i * 4));
      if (node != 0) return Errno::kENODEV;
    }
    if (!other->memory()) return Errno::kESRCH;
    TRY(task.mm().Write<int>(status + i * 4, result));
  }
  return 0;
}

Result<uint64_t> SysSetMempolicyHomeNode(Task&, UserAddress address, uint64_t, uint64_t node, FlagsArg flags) {
  if (flags.value != 0 || address % kPageSize != 0 || node != 0) return Errno::kEINVAL;
  return 0;
}

}  // namespace syscalls
