#include "sentry/kernel/fd_table.h"

#include <algorithm>

#include "vfs/file_lock.h"

namespace kernel {

FdTable::~FdTable() { CloseAll(); }

Result<RefPtr<vfs::FileDescription>> FdTable::Get(int fd) const {
  vfs::FileDescription* file = Peek(fd);
  if (file == nullptr) return Errno::kEBADF;
  return RefPtr<vfs::FileDescription>(file);
}

Result<int> FdTable::Lowest(int minimum, uint64_t limit) {
  size_t fd = std::max(static_cast<size_t>(minimum), minimum == 0 ? lowest_hint_ : size_t{0});
  while (fd < entries_.size() && entries_[fd].file) fd++;
  if (fd >= limit) return Errno::kEMFILE;
  if (fd >= entries_.size()) entries_.resize(std::max(fd + 1, std::min<size_t>(entries_.size() * 2, 1024)));
  return static_cast<int>(fd);
}

Result<int> FdTable::Install(RefPtr<vfs::FileDescription> file, bool cloexec, uint64_t limit, int minimum) {
  if (minimum < 0 || static_cast<uint64_t>(minimum) >= limit) return minimum == 0 ? Errno::kEMFILE : Errno::kEINVAL;
  int fd = TRY(Lowest(minimum, limit));
  entries_[static_cast<size_t>(fd)] = {std::move(file), cloexec};
  if (static_cast<size_t>(fd) == lowest_hint_) lowest_hint_++;
  return fd;
}

Result<void> FdTable::InstallAt(int fd, RefPtr<vfs::FileDescription> file, bool cloexec, uint64_t limit) {
  if (fd < 0 || static_cast<uint64_t>(fd) >= limit) return Errno::kEBADF;
  if (static_cast<size_t>(fd) >= entries_.size()) entries_.resize(static_cast<size_t>(fd) + 1);
  RefPtr<vfs::FileDescription> old = std::move(entries_[static_cast<size_t>(fd)].file);
  entries_[static_cast<size_t>(fd)] = {std::move(file), cloexec};
  if (old) (void)Finish(std::move(old)).ok();  // dup2(2): errors of the implied close are lost
  return {};
}

RefPtr<vfs::FileDescription> FdTable::Remove(int fd) {
  RefPtr<vfs::FileDescription> file = std::move(entries_[static_cast<size_t>(fd)].file);
  lowest_hint_ = std::min(lowest_hint_, static_cast<size_t>(fd));
  return file;
}

Result<void> FdTable::Finish(RefPtr<vfs::FileDescription> file) {
  // fcntl(2): closing any descriptor of a file drops the POSIX record locks that the process has on it.
  vfs::ReleasePosixLocks(*file, this);
  return file->OnClose();
}

Result<void> FdTable::Close(int fd) {
  if (Peek(fd) == nullptr) return Errno::kEBADF;
  return Finish(Remove(fd));
}

void FdTable::CloseRange(unsigned first, unsigned last) {
  for (size_t fd = first; fd < entries_.size() && fd <= last; fd++) {
    if (entries_[fd].file) (void)Close(static_cast<int>(fd)).ok();
  }
}

void FdTable::CloseOnExec() {
  for (size_t fd = 0; fd < entries_.size(); fd++) {
    if (entries_[fd].file && entries_[fd].cloexec) (void)Close(static_cast<int>(fd)).ok();
  }
}

Result<bool> FdTable::cloexec(int fd) const {
  if (Peek(fd) == nullptr) return Errno::kEBADF;
  return entries_[static_cast<size_t>(fd)].cloexec;
}

Result<void> FdTable::set_cloexec(int fd, bool on) {
  if (Peek(fd) == nullptr) return Errno::kEBADF;
  entries_[static_cast<size_t>(fd)].cloexec = on;
  return {};
}

void FdTable::SetCloexecRange(unsigned first, unsigned last) {
  for (size_t fd = first; fd < entries_.size() && fd <= last; fd++) {
    if (entries_[fd].file) entries_[fd].cloexec = true;
  }
}

RefPtr<FdTable> FdTable::Copy() const {
  auto copy = MakeRef<FdTable>();
  copy->entries_ = entries_;
  copy->lowest_hint_ = lowest_hint_;
  return copy;
}

std::vector<int> FdTable::Numbers() const {
  std::vector<int> numbers;
  for (size_t fd = 0; fd < entries_.size(); fd++) {
    if (entries_[fd].file) numbers.push_back(static_cast<int>(fd));
  }
  return numbers;
}

}  // namespace kernel
