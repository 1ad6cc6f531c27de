#include "sentry/kernel/ipc_object.h"

namespace kernel {

Result<void> IpcPermissions::Check(const Credentials& creds, uint32_t wanted, const base::UserNamespace& ns) const {
  wanted = (wanted >> 6 | wanted >> 3 | wanted) & 7;
  uint32_t granted = mode;
  if (creds.euid == cuid || creds.euid == uid) {
    granted >>= 6;
  } else if (creds.egid == cgid || creds.egid == gid || creds.InGroup(cgid) || creds.InGroup(gid)) {
    granted >>= 3;
  }
  if ((wanted & ~granted & 7) != 0 && !creds.HasIn(CAP_IPC_OWNER, ns)) return Errno::kEACCES;
  return {};
}

Result<void> IpcPermissions::CheckOwner(const Credentials& creds, const base::UserNamespace& ns) const {
  if (creds.euid == cuid || creds.euid == uid || creds.HasIn(CAP_SYS_ADMIN, ns)) return {};
  return Errno::kEPERM;
}

Result<void> IpcPermissions::Set(const ipc_perm& wanted, const Credentials& creds) {
  uid_t new_uid = creds.user_ns->UidToKernel(wanted.uid);
  gid_t new_gid = creds.user_ns->GidToKernel(wanted.gid);
  if (new_uid == UINT32_MAX || new_gid == UINT32_MAX) return Errno::kEINVAL;
  uid = new_uid;
  gid = new_gid;
  mode = (mode & ~0777u) | (wanted.mode & 0777u);
  return {};
}

ipc_perm IpcPermissions::ForUser(const Credentials& creds) const {
  ipc_perm out = {};
  out.__key = key;
  out.uid = creds.user_ns->UidFromKernel(uid);
  out.gid = creds.user_ns->GidFromKernel(gid);
  out.cuid = creds.user_ns->UidFromKernel(cuid);
  out.cgid = creds.user_ns->GidFromKernel(cgid);
  out.mode = static_cast<decltype(out.mode)>(mode);
  out.__seq = sequence;
  return out;
}

}  // namespace kernel
