// mmap(2), mprotect(2), brk(2), mremap(2), madvise(2), msync(2), mlock(2), mincore(2), process_vm_readv(2).

#include <linux/membarrier.h>
#include <sys/uio.h>

#include "sentry/kernel/kernel.h"
#include "syscalls/handlers.h"
#include "syscalls/permissions.h"

namespace syscalls {

Result<uint64_t> SysMmap(Task& task, UserAddress address, uint64_t length, FlagsArg prot, FlagsArg flags, FdArg fd, uint64_t offset) {
  mm::MapRequest request{.address = address, .length = length, .prot = prot, .flags = flags, .offset = offset};
  if (offset % kPageSize != 0) return Errno::kEINVAL;
  if ((flags & MAP_ANONYMOUS) == 0) {
    request.file = TRY(task.GetIoFile(fd));
  }
  return task.mm().Map(request);
}

Result<uint64_t> SysMunmap(Task& task, UserAddress address, uint64_t length) {
  TRY(task.mm().Unmap(address, length));
  return 0;
}

Result<uint64_t> SysMprotect(Task& task, UserAddress address, uint64_t length, FlagsArg prot) {
  TRY(task.mm().Protect(address, length, prot));
  return 0;
}

Result<uint64_t> SysPkeyMprotect(Task& task, UserAddress address, uint64_t length, FlagsArg prot, int pkey) {
  if (pkey != -1) return Errno::kEINVAL;  // no key was ever handed out
  return SysMprotect(task, address, length, prot);
}

Result<uint64_t> SysBrk(Task& task, UserAddress address) { return task.mm().Brk(address); }

Result<uint64_t> SysMremap(Task& task, UserAddress old_address, uint64_t old_size, uint64_t new_size, FlagsArg flags, UserAddress new_address) {
  return task.mm().Remap(old_address, old_size, new_size, flags, new_address);
}

Result<uint64_t> SysMadvise(Task& task, UserAddress address, uint64_t length, int advice) {
  TRY(task.mm().Advise(address, length, advice));
  return 0;
}

Result<uint64_t> SysMsync(Task& task, UserAddress address, uint64_t length, FlagsArg flags) {
  TRY(task.mm().Sync(address, length, flags));
  return 0;
}

Result<uint64_t> SysMincore(Task& task, UserAddress address, uint64_t length, UserAddress vector) {
  std::vector<uint8_t> residency;
  TRY(task.mm().Mincore(address, length, &residency));
  TRY(task.mm().CopyOut(vector, residency.data(), residency.size()));
  return 0;
}

Result<uint64_t> SysMlock(Task& task, UserAddress address, uint64_t length) {
  TRY(task.mm().Lock(address, length, 0));
  return 0;
}
Result<uint64_t> SysMlock2(Task& task, UserAddress address, uint64_t length, FlagsArg flags) {
  if ((flags.value & ~uint64_t{MLOCK_ONFAULT}) != 0) return Errno::kEINVAL;
  TRY(task.mm().Lock(address, length, flags));
  return 0;
}
Result<uint64_t> SysMunlock(Task& task, UserAddress address, uint64_t length) {
  TRY(task.mm().Unlock(address, length));
  return 0;
}
Result<uint64_t> SysMlockall(Task& task, FlagsArg flags) {
  if (flags == 0 || (flags & ~(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT)) != 0 || flags == MCL_ONFAULT) return Errno::kEINVAL;
  if (!task.creds()->Has(CAP_IPC_LOCK) && task.thread_group().Limit(RLIMIT_MEMLOCK) == 0) return Errno::kEPERM;
  TRY(task.mm().LockAll(flags));
  return 0;
}
Result<uint64_t> SysMunlockall(Task& task) {
  task.mm().UnlockAll();
  return 0;
}

namespace {

using Ranges = std::vector<std::pair<UserAddress, size_t>>;

Result<Ranges> ReadRanges(Task& task, UserAddress iov, uint64_t count) {
  if (count > IOV_MAX) return Errno::kEINVAL;
  Ranges ranges;
  size_t total = 0;
  for (uint64_t i = 0; i < count; i++) {
    iovec entry = TRY(task.mm().Read<iovec>(iov + i * sizeof(iovec)));
    if (entry.iov_len > SSIZE_MAX - total) return Errno::kEINVAL;
    total += entry.iov_len;
    ranges.emplace_back(reinterpret_cast<UserAddress>(entry.iov_base), entry.iov_len);
  }
  return ranges;
}

Result<uint64_t> ProcessVm(Task& task, int pid, UserAddress local_iov, uint64_t local_count, UserAddress remote_iov,
                           uint64_t remote_count, uint64_t flags, bool write) {
  if (flags != 0) return Errno::kEINVAL;
  Ranges local = TRY(ReadRanges(task, local_iov, local_count));
  Ranges remote = TRY(ReadRanges(task, remote_iov, remote_count));
  RefPtr<Task> target(TRY(FindTask(task, pid)));
  TRY(CheckMayTrace(task, *target));
  RefPtr<mm::MemoryManager> other = target->memory();
  if (!other) return Errno::kESRCH;
  uint64_t done = 0;
  size_t l = 0, l_done = 0;
  char buffer[16384];
  for (auto& [address, length] : remote) {
    for (size_t r_done = 0; r_done < length;) {
      while (l < local.size() && l_done == local[l].second) l++, l_done = 0;
      if (l == local.size()) return done;
      size_t n = std::min({sizeof buffer, length - r_done, local[l].second - l_done});
      mm::MemoryManager& from = write ? task.mm() : *other;
      mm::MemoryManager& to = write ? *other : task.mm();
      UserAddress here = local[l].first + l_done, there = address + r_done;
      size_t got = from.CopyInPartial(buffer, write ? here : there, n);
      size_t put = to.CopyOutPartial(write ? there : here, buffer, got);
      done += put;
      if (put < n) {
        if (done == 0) return Errno::kEFAULT;
        return done;
      }
      r_done += n;
      l_done += n;
    }
  }
  return done;
}

}  // namespace

Result<uint64_t> SysProcessVmReadv(Task& task, int pid, UserAddress local, uint64_t local_count, UserAddress remote, uint64_t remote_count, FlagsArg flags) {
  return ProcessVm(task, pid, local, local_count, remote, remote_count, flags.value, false);
}
Result<uint64_t> SysProcessVmWritev(Task& task, int pid, UserAddress local, uint64_t local_count, UserAddress remote, uint64_t remote_count, FlagsArg flags) {
  return ProcessVm(task, pid, local, local_count, remote, remote_count, flags.value, true);
}

}  // namespace syscalls
