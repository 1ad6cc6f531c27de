#pragma once

// FdTable: file descriptors of one or more tasks (files_struct).

#include <memory>
#include <string>
#include <vector>

#include "base/ref.h"
#include "base/result.h"
#include "vfs/file_description.h"

namespace kernel {

class FdTable : public RefCounted {
 public:
  ~FdTable() override;

  // The description behind `fd`; EBADF. The reference keeps it alive while the table may change.
  Result<RefPtr<vfs::FileDescription>> Get(int fd) const;
  // Borrowed: valid until the caller parks or drops the kernel lock. Null: EBADF.
  vfs::FileDescription* Peek(int fd) const {
    return static_cast<size_t>(fd) < entries_.size() ? entries_[static_cast<size_t>(fd)].file.get() : nullptr;
  }

  // The lowest free number >= `minimum`. EMFILE at `limit` (RLIMIT_NOFILE); EINVAL if minimum >= limit.
  Result<int> Install(RefPtr<vfs::FileDescription> file, bool cloexec, uint64_t limit, int minimum = 0);
  // dup2 and dup3: replaces and closes what was there. EBADF at the limit.
  Result<void> InstallAt(int fd, RefPtr<vfs::FileDescription> file, bool cloexec, uint64_t limit);
  // close(2): flushes; the number is free even when the flush fails.
  Result<void> Close(int fd);
  void CloseRange(unsigned first, unsigned last);
  void CloseOnExec();
  void CloseAll() { CloseRange(0, ~0u); }

  Result<bool> cloexec(int fd) const;
  Result<void> set_cloexec(int fd, bool on);
  void SetCloexecRange(unsigned first, unsigned last);

  RefPtr<FdTable> Copy() const;

  // Open numbers in order.
  std::vector<int> Numbers() const;
  size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    RefPtr<vfs::FileDescription> file;
    bool cloexec = false;
  };
  Result<int> Lowest(int minimum, uint64_t limit);
  RefPtr<vfs::FileDescription> Remove(int fd);
  Result<void> Finish(RefPtr<vfs::FileDescription> file);

  std::vector<Entry> entries_;
  size_t lowest_hint_ = 0;  // no free number below
};

}  // namespace kernel
