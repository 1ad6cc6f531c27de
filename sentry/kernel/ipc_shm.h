#pragma once

// System V shared memory: segments that mappings share. shmget(2), shmop(2), shmctl(2).

#include <sys/shm.h>

#include "sentry/kernel/ipc_object.h"
#include "vfs/mappable.h"

namespace kernel {

class ShmSegment final : public vfs::Mappable {
 public:
  static constexpr uint32_t kDestroyed = 01000, kLocked = 02000;  // SHM_DEST, SHM_LOCKED in mode

  static Result<RefPtr<ShmSegment>> Create(IpcTable<ShmSegment>& table, uint64_t size);
  ~ShmSegment() override;

  uint64_t size() const { return size_; }
  // One for every memory area that maps it, as Linux counts. `held`: references of the caller.
  uint64_t attached(int held) const;
  // IPC_RMID: goes at once, or when the last mapping does.
  void Destroy();
  void OnRemoved() {}
  // The segment of a mapping, or null.
  static ShmSegment* From(vfs::Mappable* mappable);

  Result<Pages> Translate(uint64_t offset, uint64_t length, bool write) override { return pages_->Translate(offset, length, write); }
  Result<size_t> Read(void* to, uint64_t offset, size_t length) override { return pages_->Read(to, offset, length); }
  Result<uint64_t> Size() override { return pages_->Size(); }
  uint64_t FutexKey() override { return pages_->FutexKey(); }
  uint64_t populate_ahead() const override { return pages_->populate_ahead(); }
  void AddMapper(Mapper* mapper) override;
  void RemoveMapper(Mapper* mapper) override;

  IpcPermissions permissions;
  bool removed = false;  // the table holds no reference any more
  int creator_pid = 0, last_pid = 0;
  int64_t attach_time = 0, detach_time = 0, change_time = 0;  // seconds of CLOCK_REALTIME

 private:
  ShmSegment(IpcTable<ShmSegment>& table, uint64_t size, RefPtr<vfs::Mappable> pages);

  IpcTable<ShmSegment>& table_;  // read only while permissions.id says that it is in the table
  const uint64_t size_;
  const RefPtr<vfs::Mappable> pages_;
  int mappers_ = 0;  // each holds a reference beside those of its memory areas
};

}  // namespace kernel
