#pragma once

// What the three System V mechanisms share: identifiers, keys, owners and permissions. sysvipc(7).

#include <sys/ipc.h>
#include <sys/types.h>

#include <cstdint>
#include <map>

#include "base/credentials.h"
#include "base/ref.h"
#include "base/result.h"

namespace kernel {

class Task;

// struct ipc_perm as the kernel keeps it. The ids are kernel ids.
struct IpcPermissions {
  key_t key = IPC_PRIVATE;
  int id = -1;
  uid_t uid = 0, cuid = 0;
  gid_t gid = 0, cgid = 0;
  uint32_t mode = 0;
  uint16_t sequence = 0;

  // EACCES unless every class of access in `mode` (0444, 0222, or both) is allowed to the caller.
  Result<void> Check(const Credentials& creds, uint32_t mode, const base::UserNamespace& ns) const;
  // Who may change or remove it. EPERM.
  Result<void> CheckOwner(const Credentials& creds, const base::UserNamespace& ns) const;
  // IPC_SET. EINVAL for ids that the namespace does not know.
  Result<void> Set(const ipc_perm& wanted, const Credentials& creds);
  ipc_perm ForUser(const Credentials& creds) const;
};

// Objects by identifier: an index into a table and a sequence number, which makes stale ids fail. T is RefCounted and has
// `IpcPermissions permissions` and `bool removed`. The table holds a reference to each object until it is removed; a shared
// memory segment stays known, without the reference, while it is attached.
template <class T>
class IpcTable {
 public:
  static constexpr int kIndexBits = 15;
  static constexpr int kMaxObjects = 32000;

  ~IpcTable() {
    for (auto& [index, object] : objects_) {
      object->permissions.id = -1;
      if (!object->removed) {
        object->removed = true;
        object->OnRemoved();
        object->DecRef();
      }
    }
  }

  // EINVAL: there is none with this id.
  Result<RefPtr<T>> Find(int id) const {
    if (id < 0) return Errno::kEINVAL;
    auto it = objects_.find(id & ((1 << kIndexBits) - 1));
    if (it == objects_.end() || it->second->permissions.id != id || !it->second->TryIncRef()) return Errno::kEINVAL;
    return RefPtr<T>::Adopt(it->second);
  }
  RefPtr<T> FindKey(key_t key) const {
    for (auto& [index, object] : objects_) {
      if (!object->removed && object->permissions.key == key) return RefPtr<T>(object);
    }
    return nullptr;
  }
  // For *_STAT, which takes an index.
  Result<RefPtr<T>> AtIndex(int index) const {
    auto it = objects_.find(index);
    if (it == objects_.end() || !it->second->TryIncRef()) return Errno::kEINVAL;
    return RefPtr<T>::Adopt(it->second);
  }
  // ENOSPC.
  Result<void> Add(RefPtr<T> object, int limit = kMaxObjects) {
    if (static_cast<int>(objects_.size()) >= limit) return Errno::kENOSPC;
    int index = 0;
    for (auto& [used, other] : objects_) {
      if (used != index) break;
      index++;
    }
    if (index <= last_index_) sequence_ = static_cast<uint16_t>((sequence_ + 1) & 0x7fff);
    last_index_ = index;
    object->permissions.sequence = sequence_;
    object->permissions.id = sequence_ << kIndexBits | index;
    objects_[index] = object.release();
    return {};
  }
  // Its id is invalid from now on; the caller has told those who wait.
  void Remove(T& object) {
    Forget(object);
    object.removed = true;
    object.OnRemoved();
    object.DecRef();
  }
  // Takes it out of the table without touching references.
  void Forget(T& object) {
    auto it = objects_.find(object.permissions.id & ((1 << kIndexBits) - 1));
    if (object.permissions.id >= 0 && it != objects_.end() && it->second == &object) objects_.erase(it);
    object.permissions.id = -1;
  }
  const std::map<int, T*>& objects() const { return objects_; }
  int highest_index() const { return objects_.empty() ? 0 : objects_.rbegin()->first; }

 private:
  std::map<int, T*> objects_;
  int last_index_ = -1;
  uint16_t sequence_ = 0;
};

// shmget, semget, msgget: `make` creates an object, `fits` checks an existing one against what was asked.
template <class T, class Make, class Fits>
Result<int> IpcGet(IpcTable<T>& table, const Credentials& creds, const base::UserNamespace& ns, key_t key, int flags, Make make,
                   Fits fits) {
  if (key != IPC_PRIVATE) {
    if (RefPtr<T> found = table.FindKey(key)) {
      if ((flags & (IPC_CREAT | IPC_EXCL)) == (IPC_CREAT | IPC_EXCL)) return Errno::kEEXIST;
      TRY(fits(*found));
      uint32_t mode = static_cast<uint32_t>(flags);
      TRY(found->permissions.Check(creds, mode, ns));
      return found->permissions.id;
    }
    if ((flags & IPC_CREAT) == 0) return Errno::kENOENT;
  }
  RefPtr<T> object = TRY(make());
  object->permissions.key = key;
  object->permissions.uid = object->permissions.cuid = creds.euid;
  object->permissions.gid = object->permissions.cgid = creds.egid;
  object->permissions.mode = static_cast<uint32_t>(flags) & 0777;
  TRY(table.Add(object));
  return object->permissions.id;
}

}  // namespace kernel
