// Access to application memory by the Sentry: the memory file is plain memory here, host files are read through windows.

#include <algorithm>
#include <cstring>

#include "base/log.h"
#include "sentry/mm/memory_manager.h"

namespace mm {

using base::PageDown;

namespace {
// Address space of the Sentry, not memory: most programs and libraries are smaller.
constexpr uint64_t kSharedWindow = 16 << 20;
}  // namespace

Result<char*> MemoryManager::WindowData(PmaMap::iterator piece, uint64_t address, bool write) {
  Pma& pma = piece->second;
  uint64_t length = pma.end - piece->first;
  if (!pma.window || !pma.window->Covers(pma.offset, length) || (write && !pma.window->writable())) {
    pma.window = TRY(FindWindow(*vmas_.Find(address)->mappable, pma, length, write));
  }
  return pma.window->At(pma.offset + (address - piece->first));
}

// One window for all who map the beginning of a file, for as long as anybody does; one of its own for a piece further on.
Result<RefPtr<Window>> MemoryManager::FindWindow(vfs::Mappable& mappable, const Pma& pma, uint64_t length, bool write) {
  auto* window = static_cast<Window*>(mappable.window.get());
  if (window != nullptr && window->Covers(pma.offset, length) && (!write || window->writable())) {
    return RefPtr<Window>(window);
  }
  if (pma.offset > kSharedWindow || length > kSharedWindow - pma.offset) {
    return Window::Create(pma.fd, pma.offset, length, write);
  }
  RefPtr<Window> made = TRY(Window::Create(pma.fd, 0, kSharedWindow, write));
  mappable.window = made;
  return made;
}

Result<MemoryManager::Run> MemoryManager::RunAt(uint64_t address, size_t size, Access access, Force force) {
  auto piece = TRY(Ensure(address, access, force));
  const Pma& pma = piece->second;
  size_t length = std::min<uint64_t>(size, pma.end - address);
  if (!pma.in_memory_file()) {
    return Run{TRY(WindowData(piece, address, access == Access::kWrite)), length, false};
  }
  char* start = base::MemoryFile::Get().At(pma.offset);
  if (pma.prot != 0) {
    cache_[cache_next_++ % std::size(cache_)] = {piece->first, pma.end, start, pma.write_ok && (pma.prot & 2) != 0};
  }
  return Run{start + (address - piece->first), length, true};
}

Result<void> MemoryManager::CopyIn(void* to, UserAddress from, size_t size) {
  if (const CacheEntry* entry = Cached(from, size, false)) {
    memcpy(to, entry->data + (from - entry->start), size);
    return {};
  }
  return CopyInSlow(to, from, size, Force::kNo) == size ? Result<void>() : Errno::kEFAULT;
}

Result<void> MemoryManager::CopyOut(UserAddress to, const void* from, size_t size) {
  if (const CacheEntry* entry = Cached(to, size, true)) {
    memcpy(entry->data + (to - entry->start), from, size);
    return {};
  }
  return CopyOutSlow(to, from, size, Force::kNo) == size ? Result<void>() : Errno::kEFAULT;
}

size_t MemoryManager::CopyInSlow(void* to, uint64_t from, size_t size, Force force) {
  size_t done = 0;
  while (done < size) {
    Result<Run> run = RunAt(from + done, size - done, Access::kRead, force);
    if (!run.ok()) break;
    char* target = static_cast<char*>(to) + done;
    size_t copied = run->size;
    if (run->plain) {
      memcpy(target, run->data, run->size);
    } else {
      copied = base::SafeCopy(target, run->data, run->size);
    }
    done += copied;
    if (copied < run->size) break;
  }
  return done;
}

size_t MemoryManager::CopyOutSlow(uint64_t to, const void* from, size_t size, Force force) {
  size_t done = 0;
  while (done < size) {
    Result<Run> run = RunAt(to + done, size - done, Access::kWrite, force);
    if (!run.ok()) break;
    const char* source = static_cast<const char*>(from) + done;
    size_t copied = run->size;
    if (run->plain) {
      memcpy(run->data, source, run->size);
    } else {
      copied = base::SafeCopy(run->data, source, run->size);
    }
    done += copied;
    if (copied < run->size) break;
  }
  return done;
}

size_t MemoryManager::CopyInPartial(void* to, UserAddress from, size_t size, bool force) {
  return CopyInSlow(to, from, size, force ? Force::kYes : Force::kNo);
}

size_t MemoryManager::CopyOutPartial(UserAddress to, const void* from, size_t size, bool force) {
  return CopyOutSlow(to, from, size, force ? Force::kYes : Force::kNo);
}

Result<std::string> MemoryManager::CopyInString(UserAddress from, size_t max) {
  std::string text;
  char buffer[512];
  while (text.size() < max) {
    size_t want = max - text.size();
    UserAddress at = from + text.size();
    const char* data;
    size_t size;
    if (const CacheEntry* entry = Cached(at, 1, false)) {
      data = entry->data + (at - entry->start);
      size = std::min<uint64_t>(want, entry->end - at);
    } else {
      Result<Run> run = RunAt(at, want, Access::kRead, Force::kNo);
      if (!run.ok()) return Errno::kEFAULT;
      data = run->data;
      size = run->size;
      if (!run->plain) {
        // Not across a page: the next one may lie behind the end of the file.
        size = std::min<size_t>({size, sizeof buffer, kPageSize - at % kPageSize});
        if (base::SafeCopy(buffer, data, size) < size) return Errno::kEFAULT;
        data = buffer;
      }
    }
    // The application may change it while it is read; what counts is the NUL seen in the copy.
    size_t length = strnlen(data, size);
    text.append(data, length);
    if (length < size) {
      if (size_t nul = text.find('\0'); nul != std::string::npos) text.resize(nul);
      return text;
    }
  }
  if (size_t nul = text.find('\0'); nul != std::string::npos) {
    text.resize(nul);
    return text;
  }
  return Errno::kENAMETOOLONG;
}

// --- pinning ---

Pinned::Pinned(Pinned&& other) noexcept
    : io_(std::move(other.io_)), holds_(std::move(other.holds_)), memory_(std::move(other.memory_)) {
  other.io_.Clear();
  other.holds_.clear();
}

Pinned& Pinned::operator=(Pinned&& other) noexcept {
  if (this != &other) {
    Drop();
    io_ = std::move(other.io_);
    other.io_.Clear();
    holds_ = std::move(other.holds_);
    other.holds_.clear();
    memory_ = std::move(other.memory_);
  }
  return *this;
}

Pinned::~Pinned() { Drop(); }

void Pinned::Drop() {
  for (Hold& hold : holds_) {
    if (hold.window) continue;
    if (memory_) {
      auto& pins = static_cast<MemoryManager*>(memory_.get())->write_pins_;
      auto it = std::find(pins.begin(), pins.end(), MemoryManager::WritePin{hold.address, hold.offset, hold.length});
      *it = pins.back();
      pins.pop_back();
    }
    base::MemoryFile::Get().DecRef(hold.offset, hold.length);
  }
  holds_.clear();
  io_.Clear();
  memory_.reset();
}

size_t MemoryManager::PinInto(uint64_t address, size_t length, bool write, Pinned* pinned) {
  base::MemoryFile& file = base::MemoryFile::Get();
  size_t done = 0;
  while (done < length) {
    uint64_t at = address + done;
    size_t rest = length - done;
    Result<Run> run = RunAt(at, rest, write ? Access::kWrite : Access::kRead, Force::kNo);
    if (!run.ok()) break;
    if (run->plain) {
      uint64_t offset = static_cast<uint64_t>(run->data - file.At(0));
      uint64_t first = PageDown(offset), end = base::PageUp(offset + run->size);
      file.IncRef(first, end - first);
      pinned->holds_.push_back({PageDown(at), first, end - first, nullptr});
      if (write) {
        write_pins_.push_back({PageDown(at), first, end - first});
        if (!pinned->memory_) pinned->memory_ = RefPtr<RefCounted>(this);
      }
    } else {
      pinned->holds_.push_back({0, 0, 0, pmas_.Find(at)->second.window});
    }
    pinned->io_.Append(run->data, run->size);
    done += run->size;
  }
  return done;
}

Result<Pinned> MemoryManager::Pin(UserAddress address, size_t length, bool write) {
  Pinned pinned;
  if (length > 0 && PinInto(address, length, write, &pinned) == 0) return Errno::kEFAULT;
  return pinned;
}

Result<Pinned> MemoryManager::PinVector(const std::vector<std::pair<UserAddress, size_t>>& vector, bool write) {
  Pinned pinned;
  for (auto [address, length] : vector) {
    if (length == 0) continue;
    size_t done = PinInto(address, length, write, &pinned);
    if (done == length) continue;
    if (pinned.io_.empty()) return Errno::kEFAULT;
    break;
  }
  return pinned;
}

// --- futexes ---

Result<std::atomic<uint32_t>*> MemoryManager::AtomicWord(UserAddress address, bool write) {
  if (address % 4 != 0) return Errno::kEINVAL;
  const CacheEntry* entry = Cached(address, 4, write);
  char* data;
  if (entry != nullptr) {
    data = entry->data + (address - entry->start);
  } else {
    Result<Run> run = RunAt(address, 4, write ? Access::kWrite : Access::kRead, Force::kNo);
    if (!run.ok()) return Errno::kEFAULT;
    data = run->data;
    uint32_t probe;
    if (!run->plain && base::SafeCopy(&probe, data, 4) < 4) return Errno::kEFAULT;
  }
  return reinterpret_cast<std::atomic<uint32_t>*>(data);
}

Result<FutexKey> MemoryManager::GetFutexKey(UserAddress address, bool process_shared) {
  if (address % 4 != 0) return Errno::kEINVAL;
  if (address >= vmas_.limit()) return Errno::kEFAULT;
  if (process_shared) {
    Vma* vma = vmas_.Find(address);
    if (vma == nullptr || vma->prot == 0) return Errno::kEFAULT;
    if (vma->shared()) return FutexKey{vma->mappable->FutexKey(), vma->OffsetOf(address)};
  }
  return FutexKey{reinterpret_cast<uint64_t>(this), address};
}

}  // namespace mm
