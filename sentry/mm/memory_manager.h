#pragma once

// MemoryManager: the memory of one or more tasks (Linux's mm_struct): the set of VMAs, which pages of the memory file or of
// a host file stand behind each address, copy-on-write, brk, and access to application memory for the Sentry.
//
// Shape: a VMA says what the application asked for; a PMA (page mapping area) says which pages are there now:
//   anonymous private   file offsets for the whole VMA are reserved at mmap time and mapped eagerly in the stub in one
//                       piece, so first touches never reach the Sentry;
//   shared file         mapped straight from Mappable::Translate;
//   private file        read-only pages straight from the host descriptor; written ones copied into the memory file;
//   after fork          both sides hold the PMA with counted pages, write-protected; a write fault copies (with
//                       fault-around), or takes the page back where its count is 1. The child's stub gets at once what
//                       earlier children touched, the rest at their first touch (deferred.cc).
// Order at copy-on-write: protect in the stub (Flush where another thread may run), then share.
//
// Under the kernel lock; what touches host files may drop it, so callers hold a reference and revalidate.

#include <sys/mman.h>

#include <atomic>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/container/inlined_vector.h"
#include "absl/functional/function_ref.h"
#include "base/io_vec.h"
#include "base/memory_file.h"
#include "base/ref.h"
#include "base/user_memory.h"
#include "platform/platform.h"
#include "sentry/mm/fork_history.h"
#include "sentry/mm/pma_map.h"
#include "sentry/mm/vma_set.h"
#include "vfs/file_description.h"

namespace mm {

enum class Access { kRead, kWrite, kExecute };

// System calls in a file's code: the offsets that they return to, ascending.
struct FileCalls {
  RefPtr<vfs::FileDescription> file;
  std::vector<uint64_t> offsets;
};

struct MapRequest {
  uint64_t address = 0;
  uint64_t length = 0;
  int prot = 0;    // PROT_*
  int flags = 0;   // MAP_*
  RefPtr<vfs::FileDescription> file;  // null: anonymous
  RefPtr<vfs::Mappable> mappable;     // shared memory without a file description (SysV); normally taken from file->Map()
  int max_prot = 7;                   // with a mappable: what mprotect may give it
  uint64_t offset = 0;
  std::string name;                   // "[heap]", "[stack]", "[vdso]" in maps
  bool special = false;               // vDSO: may not be remapped over by brk growth etc.
};

// A VMA as /proc/PID/maps and mincore see it.
struct VmaInfo {
  uint64_t start, end;
  int prot;
  bool shared;
  uint64_t offset;
  const vfs::FileDescription* file;  // null: anonymous
  const std::string& name;
  uint64_t committed_bytes;          // the host pages behind it (Detail::kResidency)
  int advice_flags;                  // Vma::Flag, for smaps
  vfs::Mappable* mappable = nullptr; // null: private anonymous
};

// The identity of a futex word: the same for all who share the page.
struct FutexKey {
  uint64_t object = 0;  // MemoryManager (private) or page offset / Mappable (shared)
  uint64_t offset = 0;
  friend bool operator==(const FutexKey&, const FutexKey&) = default;
  template <class H>
  friend H AbslHashValue(H h, const FutexKey& k) {
    return H::combine(std::move(h), k.object, k.offset);
  }
};

class MemoryManager;

// Application memory held for an I/O: spans in the Sentry; its pages stay theirs until it is dropped, whatever the
// application unmaps meanwhile. Dropped under the kernel lock.
class Pinned {
 public:
  Pinned() = default;
  Pinned(Pinned&&) noexcept;
  Pinned& operator=(Pinned&&) noexcept;
  ~Pinned();
  const IoVec& io() const { return io_; }
  size_t size() const { return io_.size(); }

 private:
  friend class MemoryManager;
  struct Hold {
    uint64_t address;         // of the first page
    uint64_t offset, length;  // of memory file pages
    RefPtr<Window> window;    // or of a host file
  };
  void Drop();
  IoVec io_;
  absl::InlinedVector<Hold, 2> holds_;
  RefPtr<RefCounted> memory_;  // the MemoryManager, where it is pinned for writing
};

// Makes the pages of MAP_SHARED|MAP_ANONYMOUS mappings (tmpfs has a better one than the default). Set at start-up.
using SharedAnonymousFactory = Result<RefPtr<vfs::Mappable>> (*)(uint64_t length);
void SetSharedAnonymousFactory(SharedAnonymousFactory factory);

// What the kernel knows about the child of a fork, to copy at once what it will write first.
struct ForkHints {
  uint64_t stack_pointer = 0;
};

class MemoryManager final : public RefCounted, public base::UserMemory {
 public:
  static Result<RefPtr<MemoryManager>> Create(platform::Platform& platform);
  ~MemoryManager() override;

  platform::AddressSpace& space() { return *space_; }

  // Where mmap without an address begins to look, downwards; by the loader, before the first Map.
  void SetLayout(uint64_t mmap_base);
  // Puts what is mapped in the range into the stub's page tables, where it will be touched for certain.
  void Precommit(uint64_t start, uint64_t end);

  // --- system calls; lengths and flags as they come from the application, errnos of the man pages ---
  Result<uint64_t> Map(const MapRequest& request);
  Result<void> Unmap(uint64_t address, uint64_t length);
  Result<void> Protect(uint64_t address, uint64_t length, int prot);
  Result<uint64_t> Remap(uint64_t old_address, uint64_t old_size, uint64_t new_size, int flags, uint64_t new_address);
  uint64_t Brk(uint64_t address);  // as the raw system call: the new break, or the old one
  Result<void> Advise(uint64_t address, uint64_t length, int advice);
  Result<void> Sync(uint64_t address, uint64_t length, int flags);
  Result<void> Mincore(uint64_t address, uint64_t length, std::vector<uint8_t>* residency);
  Result<void> Lock(uint64_t address, uint64_t length, int flags);    // mlock2: bookkeeping for VmLck and limits
  Result<void> Unlock(uint64_t address, uint64_t length);
  Result<void> LockAll(int flags);    // mlockall(MCL_*). CAP_IPC_LOCK: the kernel sets limit_memlock to UINT64_MAX
  void UnlockAll();

  // A copy for fork. On return this side is write-protected in its stub as far as pages are shared.
  Result<RefPtr<MemoryManager>> Fork(const ForkHints& hints = {});

  // A page fault at `address`. Success: run on. kEFAULT: no such mapping (SEGV_MAPERR); kEACCES: SEGV_ACCERR; kENXIO: beyond the end of
  // the file (SIGBUS BUS_ADRERR); kENOMEM: SIGBUS or OOM kill. Grows MAP_GROWSDOWN stacks. On a fiber.
  Result<void> HandleFault(uint64_t address, Access access);

  // Lets the platform replace the system call that returned to `ip` by something faster, if it is in a file's code.
  void ReplaceCall(uint64_t ip);
  // All files in whose code calls may be replaced, with those that were made several times.
  std::vector<FileCalls> Calls() const;
  // As ReplaceCall, for the calls that return to these offsets of a file, ascending, where it is mapped. On a fiber (parks).
  void ReplaceCalls(const vfs::FileDescription& file, std::span<const uint64_t> offsets);
  // Lets the platform replace the cpuid instructions at these addresses, ascending and not far from each other, of code that
  // no thread executes yet.
  void ReplaceCpuid(std::span<const uint64_t> addresses);
  // Undoes the replacement of calls, or of the call at this address only, for good: for a debugger, or a signal handler, which
  // shall see the code as it is.
  // On a fiber (parks).
  void RestoreCalls();
  void RestoreCalls(uint64_t address);

  // --- access by the Sentry (UserMemory): honours protections like the application's own access ---
  Result<void> CopyIn(void* to, UserAddress from, size_t size) override;
  Result<void> CopyOut(UserAddress to, const void* from, size_t size) override;
  Result<std::string> CopyInString(UserAddress from, size_t max) override;
  // As far as it goes: bytes copied before the first inaccessible one (process_vm_readv, /proc/PID/mem). `force`:
  // ptrace's access, which ignores protections (copying private pages).
  size_t CopyInPartial(void* to, UserAddress from, size_t size, bool force = false);
  size_t CopyOutPartial(UserAddress to, const void* from, size_t size, bool force = false);
  // Pins [address, address+length) for reading or (write) writing by host or Sentry; as long a prefix as is accessible;
  // EFAULT when not even one byte is (and length > 0).
  Result<Pinned> Pin(UserAddress address, size_t length, bool write);
  // The same for an array of ranges; a prefix. `vector`: {address, length}.
  Result<Pinned> PinVector(const std::vector<std::pair<UserAddress, size_t>>& vector, bool write);

  // A futex word or other atomic in application memory, 4-byte aligned (else EINVAL). The pointer is valid until the kernel lock is
  // dropped. Write access breaks copy-on-write.
  Result<std::atomic<uint32_t>*> AtomicWord(UserAddress address, bool write);
  Result<FutexKey> GetFutexKey(UserAddress address, bool process_shared);

  // In address order, until it returns false. `visit` must not change the areas nor park. With kNone committed_bytes is 0,
  // since finding it takes a host call for each piece.
  enum class Detail { kNone, kResidency };
  void ForEachVma(absl::FunctionRef<bool(const VmaInfo&)> visit, Detail detail = Detail::kNone);
  uint64_t total_bytes() const;      // VmSize
  uint64_t resident_bytes() const;   // VmRSS; a host call for each piece or 16 MB
  uint64_t ResidentIn(uint64_t start, uint64_t end) const;
  uint64_t locked_bytes() const { return locked_; }

  // How many tasks use it as their memory, and how many of them may be executing application code now (they are inside
  // platform::Context::Run, which puts queued changes in force first). With any, unmapping and protecting flush at once.
  int users = 0, running = 0;

  // Kept here for sentry/kernel and syscalls/, since they are those of the address space.
  RefPtr<RefCounted> aio;             // io_setup(2)
  uint32_t membarrier_commands = 0;   // that MEMBARRIER_CMD_REGISTER_* has allowed

  // Set by the loader, read by proc, prctl(PR_SET_MM_*) and core dumps.
  uint64_t start_code = 0, end_code = 0, start_data = 0, end_data = 0;
  uint64_t start_brk = 0, brk = 0, start_stack = 0;
  uint64_t arg_start = 0, arg_end = 0, env_start = 0, env_end = 0;
  std::vector<std::pair<uint64_t, uint64_t>> auxv;
  RefPtr<vfs::FileDescription> executable;
  int dumpable = 1;
  uint64_t vdso_address = 0;        // of the image; signal trampolines of apps without SA_RESTORER do not exist on x86-64
  // Limits of the thread group that matter here (RLIMIT_AS, RLIMIT_DATA, RLIMIT_STACK, RLIMIT_MEMLOCK), kept current by
  // the kernel.
  uint64_t limit_as = UINT64_MAX, limit_data = UINT64_MAX, limit_stack = 8 << 20, limit_memlock = 8 << 20;

 private:
  friend class TruncateLink;
  friend class Pinned;
  // What a change took out: dropped once it is in force in the stub.
  struct Released {
    absl::InlinedVector<std::pair<uint64_t, uint64_t>, 4> pages;  // offset, length in the memory file
    absl::InlinedVector<std::unique_ptr<Vma>, 2> vmas;
    void AddPages(uint64_t offset, uint64_t length);
  };
  enum class Force { kNo, kYes };

  explicit MemoryManager(platform::Platform& platform);

  // map.cc
  Result<uint64_t> ChooseAddress(uint64_t hint, uint64_t length, int flags);
  Result<void> CheckLimits(uint64_t length, bool data, uint64_t replaced_start, uint64_t replaced_end);
  Result<void> SetUpFile(const MapRequest& request, Vma* vma);
  void RemoveRange(uint64_t start, uint64_t end, Released* released);
  // Takes pieces out of the map and the stub.
  void DropPieces(uint64_t start, uint64_t end, Released* released);
  // Puts queued changes in force where that matters and drops what was released. May park when it flushes.
  // `heap`: it was the end of the heap.
  void Settle(Released* released, bool flush, bool heap = false);
  bool ConcurrentlyUsed() const { return running > 0; }
  Result<void> RoomForSplits(int more) const;

  void ProtectPieces(uint64_t start, uint64_t end, int prot);

  // populate.cc
  enum class Mapping { kNow, kDeferred };
  void PopulateNew(uint64_t start, uint64_t end, Mapping mapping = Mapping::kNow);
  void PopulateGaps(const Vma& vma, uint64_t start, uint64_t end);
  void PopulateHeap(uint64_t start, uint64_t end);
  // Keeps pages that the heap has given up for when it grows again; false where they are of no use.
  bool ReserveForHeap(uint64_t offset, uint64_t length);
  Result<void> AllocateAnonymous(uint64_t start, uint64_t end, int prot);
  Result<void> PopulateAnonymous(const Vma& vma, uint64_t address);
  Result<void> PopulateFile(uint64_t address, uint64_t end, Access access, Mapping mapping = Mapping::kNow);
  void CopyEagerly(uint64_t start, uint64_t end);
  Result<void> MapPiece(uint64_t start, Pma& pma, bool precommit = false);
  void MapRecycled(uint64_t start, Pma& pma, const base::MemoryFile::Runs& present);

  // deferred.cc
  void MapDeferredAround(uint64_t address);
  void TouchDeferred(uint64_t address);

  // fault.cc: a piece that can be accessed at `address`. May park; the result is valid until the next change.
  Result<PmaMap::iterator> Ensure(uint64_t address, Access access, Force force);
  Result<void> CheckAccess(const Vma& vma, Access access, Force force) const;
  Result<void> MakeWritable(const Vma& vma, PmaMap::iterator piece, uint64_t address);
  Result<void> CopyShared(PmaMap::iterator piece, uint64_t page, uint64_t lowest, uint64_t highest);
  Result<void> CopyPrivateFile(const Vma& vma, uint64_t start, uint64_t end);
  Result<Vma*> GrowDown(uint64_t address);

  // copy.cc: the longest accessible run at `address`, at most `size`. May park; valid until the next change.
  struct Run {
    char* data;
    size_t size;
    bool plain;  // the memory file: cannot fault
  };
  Result<Run> RunAt(uint64_t address, size_t size, Access access, Force force);
  Result<char*> WindowData(PmaMap::iterator piece, uint64_t address, bool write);
  Result<RefPtr<Window>> FindWindow(vfs::Mappable& mappable, const Pma& pma, uint64_t length, bool write);
  size_t CopyInSlow(void* to, uint64_t from, size_t size, Force force);
  size_t CopyOutSlow(uint64_t to, const void* from, size_t size, Force force);
  size_t PinInto(uint64_t address, size_t length, bool write, Pinned* pinned);

  // advise.cc
  Result<void> AdviseArea(uint64_t start, uint64_t end, int advice);
  Result<void> ChangeFlags(uint64_t start, uint64_t end, uint32_t set, uint32_t clear);
  Result<void> Discard(uint64_t start, uint64_t end, Released* released);
  Result<void> RemovePages(uint64_t start, uint64_t end);
  Result<void> PopulateRange(uint64_t start, uint64_t end, Access access);

  // remap.cc
  Result<uint64_t> Move(uint64_t old_address, uint64_t old_size, uint64_t new_size, int flags, uint64_t new_address);
  void MovePieces(uint64_t from, uint64_t length, uint64_t to, Released* released);

  // residency.cc
  Result<void> SetLocked(uint64_t start, uint64_t end, bool lock);

  // fork.cc
  void CopyAreasTo(MemoryManager* child);
  bool SharePiecesWith(MemoryManager* child, const ForkHints& hints);
  Result<void> FlushForks();  // may park
  std::vector<std::pair<uint64_t, uint64_t>> HotRanges(const ForkHints& hints);

  // patch.cc
  std::optional<platform::CodePatch> PatchOfCall(uint64_t ip);
  const Vma* ReplaceableAt(uint64_t address) const;
  void WritePatches(std::vector<platform::CodePatch> patches, bool flush);
  Result<void> ReplacePages(uint64_t start, std::span<const char> content, Released* released);
  void UndoSplitPatches(uint64_t start, uint64_t end, Released* released);
  void UndoPatch(uint64_t page, const platform::CodePatch& patch, Released* released);

  void InvalidateFile(vfs::Mappable* mappable, uint64_t offset, uint64_t length);
  RefPtr<RefCounted> LinkTruncate(vfs::Mappable* mappable);

  // The pieces that were last accessed, for copies without a lookup. Only memory file pieces.
  struct CacheEntry {
    uint64_t start = 1, end = 0;
    char* data = nullptr;
    bool write = false;
  };
  void ForgetCache() {
    for (CacheEntry& entry : cache_) entry = {};
  }
  const CacheEntry* Cached(uint64_t address, size_t size, bool write) const {
    for (const CacheEntry& entry : cache_) {
      if (address >= entry.start && address < entry.end && size <= entry.end - address && (!write || entry.write)) {
        return &entry;
      }
    }
    return nullptr;
  }

  platform::Platform& platform_;
  RefPtr<platform::AddressSpace> space_;
  uint64_t locked_ = 0;
  absl::flat_hash_map<vfs::Mappable*, RefCounted*> truncate_links_;  // weak; outlives the VMAs, which hold them
  VmaSet vmas_;
  mutable PmaMap pmas_;  // mutable: its iterators are, const methods only read
  CacheEntry cache_[4];
  unsigned cache_next_ = 0;
  absl::flat_hash_map<uint64_t, platform::CodePatch> split_patches_;  // those on two pages, by the second
  absl::flat_hash_set<uint64_t> seen_calls_;  // addresses of calls that somebody may have looked at: not to be replaced
  uint64_t heap_reserve_ = 0, heap_reserve_length_ = 0;  // memory file pages that brk will use next,
  uint64_t heap_reserve_used_ = 0;                       // those below this offset not clean
  // Pages that I/O in progress writes to. They are never shared at fork, or what arrives would be lost to this side once
  // the application has written to its copy.
  struct WritePin {
    uint64_t address, offset, length;
    friend bool operator==(const WritePin&, const WritePin&) = default;
  };
  absl::InlinedVector<WritePin, 4> write_pins_;
  RefPtr<ForkHistory> history_, parent_history_;  // of the forks made by this, and of the one that made it
  int fork_notes_left_ = 0;  // what is written long after a fork says nothing about the next one
  uint64_t last_copy_start_ = 0, last_copy_end_ = 0;  // of copy-on-write
  // Forks whose write protection was queued while other threads may run, and of them those with it in force.
  uint64_t forks_protected_ = 0, forks_flushed_ = 0;
  bool lock_future_ = false;     // mlockall(MCL_FUTURE)
};

}  // namespace mm
