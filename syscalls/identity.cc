// getuid(2), setuid(2), setresuid(2), setfsuid(2), getgroups(2), capget(2) and their group twins: credentials(7).

#include "syscalls/handlers.h"
#include "syscalls/permissions.h"

namespace syscalls {

namespace {

RefPtr<Credentials> CopyCreds(Task& task) { return MakeRef<Credentials>(*task.creds()); }

constexpr uint32_t kSecbitKeepCaps = 1 << 4, kSecbitNoSetuidFixup = 1 << 2;

// capabilities(7), "Effect of user ID changes on capabilities".
void FixCapabilities(const Credentials& old, Credentials& creds) {
  if ((creds.securebits & kSecbitNoSetuidFixup) != 0) return;
  uid_t root = creds.user_ns->UidToKernel(0);
  bool had_root = old.ruid == root || old.euid == root || old.suid == root;
  bool has_root = creds.ruid == root || creds.euid == root || creds.suid == root;
  if (had_root && !has_root && (creds.securebits & kSecbitKeepCaps) == 0) {
    creds.permitted = creds.effective = creds.ambient = 0;
  }
  if (old.euid == root && creds.euid != root) creds.effective = 0;
  if (old.euid != root && creds.euid == root) creds.effective = creds.permitted;
}

// Changing from and to the fsuid of root only touches the file capabilities.
void FixFileCapabilities(const Credentials& old, Credentials& creds) {
  constexpr base::CapabilitySet kFileCaps = base::CapabilityBit(CAP_CHOWN) | base::CapabilityBit(CAP_DAC_OVERRIDE) |
                                            base::CapabilityBit(CAP_DAC_READ_SEARCH) | base::CapabilityBit(CAP_FOWNER) |
                                            base::CapabilityBit(CAP_FSETID) | base::CapabilityBit(CAP_LINUX_IMMUTABLE) |
                                            base::CapabilityBit(CAP_MAC_OVERRIDE) | base::CapabilityBit(CAP_MKNOD);
  uid_t root = creds.user_ns->UidToKernel(0);
  if (old.fsuid == root && creds.fsuid != root) creds.effective &= ~kFileCaps;
  if (old.fsuid != root && creds.fsuid == root) creds.effective |= creds.permitted & kFileCaps;
}

void Publish(Task& task, RefPtr<Credentials> creds) {
  const Credentials& old = *task.creds();
  if (old.euid != creds->euid || old.egid != creds->egid || old.fsuid != creds->fsuid || (creds->permitted & ~old.permitted) != 0) {
    task.mm().dumpable = 0;
    task.parent_death_signal = 0;
  }
  task.set_creds(std::move(creds));
}

// -1 leaves an id alone; otherwise it must be mapped in the namespace.
Result<uid_t> MapUid(Task& task, uid_t id) {
  uid_t mapped = task.creds()->user_ns->UidToKernel(id);
  if (mapped == UINT32_MAX) return Errno::kEINVAL;
  return mapped;
}
Result<gid_t> MapGid(Task& task, gid_t id) {
  gid_t mapped = task.creds()->user_ns->GidToKernel(id);
  if (mapped == UINT32_MAX) return Errno::kEINVAL;
  return mapped;
}

}  // namespace

Result<uint64_t> SysGetuid(Task& task) { return task.Lasting(ShowUid(task, task.creds()->ruid)); }
Result<uint64_t> SysGeteuid(Task& task) { return task.Lasting(ShowUid(task, task.creds()->euid)); }
Result<uint64_t> SysGetgid(Task& task) { return task.Lasting(ShowGid(task, task.creds()->rgid)); }
Result<uint64_t> SysGetegid(Task& task) { return task.Lasting(ShowGid(task, task.creds()->egid)); }

Result<uint64_t> SysGetresuid(Task& task, OutArg<uid_t> ruid, OutArg<uid_t> euid, OutArg<uid_t> suid) {
  TRY(ruid.Write(task, ShowUid(task, task.creds()->ruid)));
  TRY(euid.Write(task, ShowUid(task, task.creds()->euid)));
  TRY(suid.Write(task, ShowUid(task, task.creds()->suid)));
  return 0;
}
Result<uint64_t> SysGetresgid(Task& task, OutArg<gid_t> rgid, OutArg<gid_t> egid, OutArg<gid_t> sgid) {
  TRY(rgid.Write(task, ShowGid(task, task.creds()->rgid)));
  TRY(egid.Write(task, ShowGid(task, task.creds()->egid)));
  TRY(sgid.Write(task, ShowGid(task, task.creds()->sgid)));
  return 0;
}

Result<uint64_t> SysSetuid(Task& task, uint32_t id) {
  uid_t uid = TRY(MapUid(task, id));
  const Credentials& old = *task.creds();
  auto creds = CopyCreds(task);
  if (old.Has(CAP_SETUID)) {
    creds->ruid = creds->suid = uid;
  } else if (uid != old.ruid && uid != old.suid) {
    return Errno::kEPERM;
  }
  creds->euid = creds->fsuid = uid;
  FixCapabilities(old, *creds);
  Publish(task, std::move(creds));
  return 0;
}

Result<uint64_t> SysSetgid(Task& task, uint32_t id) {
  gid_t gid = TRY(MapGid(task, id));
  const Credentials& old = *task.creds();
  auto creds = CopyCreds(task);
  if (old.Has(CAP_SETGID)) {
    creds->rgid = creds->sgid = gid;
  } else if (gid != old.rgid && gid != old.sgid) {
    return Errno::kEPERM;
  }
  creds->egid = creds->fsgid = gid;
  Publish(task, std::move(creds));
  return 0;
}

Result<uint64_t> SysSetreuid(Task& task, uint32_t ruid, uint32_t euid) {
  const Credentials& old = *task.creds();
  auto creds = CopyCreds(task);
  bool privileged = old.Has(CAP_SETUID);
  if (ruid != UINT32_MAX) {
    creds->ruid = TRY(MapUid(task, ruid));
    if (!privileged && creds->ruid != old.ruid && creds->ruid != old.euid) return Errno::kEPERM;
  }
  if (euid != UINT32_MAX) {
    creds->euid = TRY(MapUid(task, euid));
    if (!privileged && creds->euid != old.ruid && creds->euid != old.euid && creds->euid != old.suid) return Errno::kEPERM;
  }
  if (ruid != UINT32_MAX || (euid != UINT32_MAX && creds->euid != old.ruid)) creds->suid = creds->euid;
  creds->fsuid = creds->euid;
  FixCapabilities(old, *creds);
  Publish(task, std::move(creds));
  return 0;
}

Result<uint64_t> SysSetregid(Task& task, uint32_t rgid, uint32_t egid) {
  const Credentials& old = *task.creds();
  auto creds = CopyCreds(task);
  bool privileged = old.Has(CAP_SETGID);
  if (rgid != UINT32_MAX) {
    creds->rgid = TRY(MapGid(task, rgid));
    if (!privileged && creds->rgid != old.rgid && creds->rgid != old.egid) return Errno::kEPERM;
  }
  if (egid != UINT32_MAX) {
    creds->egid = TRY(MapGid(task, egid));
    if (!privileged && creds->egid != old.rgid && creds->egid != old.egid && creds->egid != old.sgid) return Errno::kEPERM;
  }
  if (rgid != UINT32_MAX || (egid != UINT32_MAX && creds->egid != old.rgid)) creds->sgid = creds->egid;
  creds->fsgid = creds->egid;
  Publish(task, std::move(creds));
  return 0;
}

Result<uint64_t> SysSetresuid(Task& task, uint32_t ruid, uint32_t euid, uint32_t suid) {
  const Credentials& old = *task.creds();
  auto creds = CopyCreds(task);
  auto set = [&](uint32_t id, uid_t& target) -> Result<void> {
    if (id == UINT32_MAX) return {};
    target = TRY(MapUid(task, id));
    if (!old.Has(CAP_SETUID) && target != old.ruid && target != old.euid && target != old.suid) return Errno::kEPERM;
    return {};
  };
  TRY(set(ruid, creds->ruid));
  TRY(set(euid, creds->euid));
  TRY(set(suid, creds->suid));
  creds->fsuid = creds->euid;
  FixCapabilities(old, *creds);
  Publish(task, std::move(creds));
  return 0;
}

Result<uint64_t> SysSetresgid(Task& task, uint32_t rgid, uint32_t egid, uint32_t sgid) {
  const Credentials& old = *task.creds();
  auto creds = CopyCreds(task);
  auto set = [&](uint32_t id, gid_t& target) -> Result<void> {
    if (id == UINT32_MAX) return {};
    target = TRY(MapGid(task, id));
    if (!old.Has(CAP_SETGID) && target != old.rgid && target != old.egid && target != old.sgid) return Errno::kEPERM;
    return {};
  };
  TRY(set(rgid, creds->rgid));
  TRY(set(egid, creds->egid));
  TRY(set(sgid, creds->sgid));
  creds->fsgid = creds->egid;
  Publish(task, std::move(creds));
  return 0;
}

// setfsuid(2) never fails: it returns the previous id whether or not it changed.
Result<uint64_t> SysSetfsuid(Task& task, uint32_t id) {
  const Credentials& old = *task.creds();
  uint64_t before = ShowUid(task, old.fsuid);
  uid_t uid = old.user_ns->UidToKernel(id);
  if (uid != UINT32_MAX && (old.Has(CAP_SETUID) || uid == old.ruid || uid == old.euid || uid == old.suid || uid == old.fsuid)) {
    auto creds = CopyCreds(task);
    creds->fsuid = uid;
    FixFileCapabilities(old, *creds);
    task.set_creds(std::move(creds));
  }
  return before;
}
Result<uint64_t> SysSetfsgid(Task& task, uint32_t id) {
  const Credentials& old = *task.creds();
  uint64_t before = ShowGid(task, old.fsgid);
  gid_t gid = old.user_ns->GidToKernel(id);
  if (gid != UINT32_MAX && (old.Has(CAP_SETGID) || gid == old.rgid || gid == old.egid || gid == old.sgid || gid == old.fsgid)) {
    auto creds = CopyCreds(task);
    creds->fsgid = gid;
    task.set_creds(std::move(creds));
  }
  return before;
}

Result<uint64_t> SysGetgroups(Task& task, int size, UserAddress list) {
  const auto& groups = task.creds()->groups;
  if (size < 0) return Errno::kEINVAL;
  if (size == 0) return groups.size();
  if (static_cast<size_t>(size) < groups.size()) return Errno::kEINVAL;
  std::vector<gid_t> shown;
  for (gid_t gid : groups) shown.push_back(ShowGid(task, gid));
  TRY(task.mm().CopyOut(list, shown.data(), shown.size() * sizeof(gid_t)));
  return groups.size();
}

Result<uint64_t> SysSetgroups(Task& task, int size, UserAddress list) {
  if (!task.creds()->Has(CAP_SETGID) || !task.creds()->user_ns->setgroups_allowed) return Errno::kEPERM;
  if (size < 0 || size > 65536) return Errno::kEINVAL;
  std::vector<gid_t> groups(static_cast<size_t>(size));
  TRY(task.mm().CopyIn(groups.data(), list, groups.size() * sizeof(gid_t)));
  for (gid_t& gid : groups) gid = TRY(MapGid(task, gid));
  std::sort(groups.begin(), groups.end());
  auto creds = CopyCreds(task);
  creds->groups = std::move(groups);
  task.set_creds(std::move(creds));
  return 0;
}

// --- capabilities ---

namespace {

// The number of 32-bit words of a capget version; EINVAL after telling the caller the preferred one.
Result<int> CapWords(Task& task, InOutArg<__user_cap_header_struct> header, const __user_cap_header_struct& given) {
  switch (given.version) {
    case _LINUX_CAPABILITY_VERSION_1:
      return 1;
    case _LINUX_CAPABILITY_VERSION_2:
    case _LINUX_CAPABILITY_VERSION_3:
      return 2;
    default: {
      __user_cap_header_struct preferred = given;
      preferred.version = _LINUX_CAPABILITY_VERSION_3;
      TRY(header.Write(task, preferred));
      return Errno::kEINVAL;
    }
  }
}

}  // namespace

Result<uint64_t> SysCapget(Task& task, InOutArg<__user_cap_header_struct> header, UserAddress data) {
  __user_cap_header_struct given = TRY(header.Read(task));
  Result<int> words = CapWords(task, header, given);
  if (!words.ok()) {
    if (words.error() == Errno::kEINVAL && data == 0) return 0;
    return words.error();
  }
  if (given.pid < 0) return Errno::kEINVAL;
  const RefPtr<const Credentials> creds = TRY(FindTask(task, given.pid))->creds();
  if (data == 0) return 0;
  __user_cap_data_struct out[2];
  for (int i = 0; i < 2; i++) {
    out[i] = {static_cast<uint32_t>(creds->effective >> (32 * i)), static_cast<uint32_t>(creds->permitted >> (32 * i)),
              static_cast<uint32_t>(creds->inheritable >> (32 * i))};
  }
  TRY(task.mm().CopyOut(data, out, sizeof out[0] * static_cast<size_t>(*words)));
  return 0;
}

Result<uint64_t> SysCapset(Task& task, InOutArg<__user_cap_header_struct> header, UserAddress data) {
  __user_cap_header_struct given = TRY(header.Read(task));
  int words = TRY(CapWords(task, header, given));
  if (given.pid != 0 && given.pid != task.tid()) return Errno::kEPERM;
  __user_cap_data_struct in[2] = {};
  TRY(task.mm().CopyIn(in, data, sizeof in[0] * static_cast<size_t>(words)));
  auto join = [&](auto member) {
    return (static_cast<uint64_t>(in[0].*member) | static_cast<uint64_t>(in[1].*member) << 32) & base::kAllCapabilities;
  };
  uint64_t effective = join(&__user_cap_data_struct::effective), permitted = join(&__user_cap_data_struct::permitted),
           inheritable = join(&__user_cap_data_struct::inheritable);
  const Credentials& old = *task.creds();
  if ((permitted & ~old.permitted) != 0 || (effective & ~permitted) != 0) return Errno::kEPERM;
  if (!old.Has(CAP_SETPCAP) && (inheritable & ~(old.inheritable | old.permitted)) != 0) return Errno::kEPERM;
  if ((inheritable & ~(old.inheritable | old.bounding)) != 0) return Errno::kEPERM;
  auto creds = CopyCreds(task);
  creds->effective = effective;
  creds->permitted = permitted;
  creds->inheritable = inheritable;
  creds->ambient &= permitted & inheritable;
  task.set_creds(std::move(creds));
  return 0;
}

}  // namespace syscalls
