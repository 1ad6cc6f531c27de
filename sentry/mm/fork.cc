// fork(2): the child gets the same pieces, counted and write-protected on both sides.

#include <sys/mman.h>

#include <algorithm>

#include "base/log.h"
#include "sentry/mm/memory_manager.h"

namespace mm {

using base::PageDown;

namespace {
// Copied at once around the stack pointer: both sides write there as soon as they return, and a fault costs more than
// copying this.
constexpr uint64_t kStackBelow = 4 << 10, kStackAbove = 8 << 10;
// How many of the first pages that each side writes are remembered for the next fork.
constexpr int kNotesAfterFork = 24;
// Copying this much in between is cheaper than one more piece.
constexpr uint64_t kHotGap = 8 << 10;

// Copies of pieces within one hot range after the other, contiguous where the pieces are, so that they are mapped as one.
class HotCopies {
 public:
  ~HotCopies() { ReleaseUpTo(end_); }
  // Of [start, start + length); the range ends at `range_end`.
  Result<uint64_t> Copy(const char* source, uint64_t start, uint64_t length, uint64_t range_end) {
    base::MemoryFile& file = base::MemoryFile::Get();
    if (start >= end_) {
      ReleaseUpTo(end_);
      next_ = end_ = 0;
      offset_ = TRY(file.Reserve(range_end - start));
      start_ = next_ = start;
      end_ = range_end;
    }
    ReleaseUpTo(start);
    uint64_t offset = offset_ + (start - start_);
    IoVec content(const_cast<char*>(source), length);
    if (file.Fill(offset, content) < length) return Errno::kENOMEM;
    next_ = start + length;
    return offset;
  }

 private:
  void ReleaseUpTo(uint64_t address) {
    if (next_ < address) base::MemoryFile::Get().DecRef(offset_ + (next_ - start_), address - next_);
    next_ = address;
  }
  uint64_t start_ = 0, end_ = 0, offset_ = 0;  // the range that is reserved, and where
  uint64_t next_ = 0;                          // of it is in use or given back
};
}  // namespace

Result<RefPtr<MemoryManager>> MemoryManager::Fork(const ForkHints& hints) {
  RefPtr<MemoryManager> child = TRY(Create(platform_));
  // From here on nothing parks until both sides are consistent.
  CopyAreasTo(child.get());
  child->space_->InheritCode(*space_);
  child->seen_calls_ = seen_calls_;
  child->split_patches_ = split_patches_;
  bool protects = SharePiecesWith(child.get(), hints);
  for (auto& [start, piece] : child->pmas_) {
    bool copied = piece.write_ok && !piece.shared;
    piece.deferred = !copied && !history_->TouchedIn(start, piece.end);
    if (!piece.deferred) (void)child->MapPiece(start, piece, /*precommit=*/copied);
  }
  if (protects && ConcurrentlyUsed()) {
    forks_protected_++;
    TRY(FlushForks());
  }
  return child;
}

Result<void> MemoryManager::FlushForks() {
  uint64_t queued = forks_protected_;
  TRY(space_->Flush());
  forks_flushed_ = std::max(forks_flushed_, queued);
  return {};
}

void MemoryManager::CopyAreasTo(MemoryManager* child) {
  child->vmas_.CopyBounds(vmas_);
  for (auto& [start, vma] : vmas_.map()) {
    if ((vma->flags & Vma::kDontFork) != 0) continue;
    auto copy = std::make_unique<Vma>(*vma);
    copy->flags &= ~Vma::kLocked;
    copy->truncate_link = copy->mappable ? child->LinkTruncate(copy->mappable.get()) : nullptr;
    child->vmas_.Insert(std::move(copy));
    if ((vma->flags & Vma::kWipeOnFork) != 0) {
      pmas_.SplitAt(vma->start);
      pmas_.SplitAt(vma->end);
    }
  }
  for (auto& [start, vma] : vmas_.map()) {
    if ((vma->flags & Vma::kDontFork) == 0) continue;
    pmas_.SplitAt(vma->start);
    pmas_.SplitAt(vma->end);
  }
  child->start_code = start_code;
  child->end_code = end_code;
  child->start_data = start_data;
  child->end_data = end_data;
  child->start_brk = start_brk;
  child->brk = brk;
  child->start_stack = start_stack;
  child->arg_start = arg_start;
  child->arg_end = arg_end;
  child->env_start = env_start;
  child->env_end = env_end;
  child->auxv = auxv;
  child->executable = executable;
  child->dumpable = dumpable;
  child->vdso_address = vdso_address;
  child->limit_as = limit_as;
  child->limit_data = limit_data;
  child->limit_stack = limit_stack;
  child->limit_memlock = limit_memlock;
}

// What both sides will write at once: around the stack pointer, and what they wrote after earlier forks. Ordered, disjoint.
// Nothing while others run: what is copied now would be older than pages that are copied once they are protected, and the
// child shall never see a later write of a thread without its earlier ones. (Who does not run now is not let into this
// address space before the protection is in force.)
std::vector<std::pair<uint64_t, uint64_t>> MemoryManager::HotRanges(const ForkHints& hints) {
  std::vector<std::pair<uint64_t, uint64_t>> ranges;
  auto add = [&](uint64_t start, uint64_t end) {
    if (!ranges.empty() && start <= ranges.back().second + kHotGap) {
      ranges.back().second = std::max(ranges.back().second, end);
    } else {
      ranges.emplace_back(start, end);
    }
  };
  if (!history_) history_ = MakeRef<ForkHistory>();
  history_->NextFork();
  if (ConcurrentlyUsed()) return {};
  uint64_t stack = PageDown(hints.stack_pointer);
  uint64_t stack_start = stack - std::min(stack, kStackBelow), stack_end = stack + kStackAbove;
  bool stack_done = stack == 0;
  for (uint64_t page : history_->pages()) {
    if (!stack_done && stack_start <= page) {
      add(stack_start, stack_end);
      stack_done = true;
    }
    add(page, page + kPageSize);
  }
  if (!stack_done) add(stack_start, stack_end);
  return ranges;
}

bool MemoryManager::SharePiecesWith(MemoryManager* child, const ForkHints& hints) {
  ForgetCache();
  base::MemoryFile& file = base::MemoryFile::Get();
  std::vector<std::pair<uint64_t, uint64_t>> hot = HotRanges(hints);
  child->parent_history_ = history_;
  fork_notes_left_ = child->fork_notes_left_ = kNotesAfterFork;
  for (auto [start, end] : hot) {
    pmas_.SplitAt(start);
    pmas_.SplitAt(end);
  }
  for (const WritePin& pin : write_pins_) {
    pmas_.SplitAt(pin.address);
    pmas_.SplitAt(pin.address + pin.length);
  }
  auto pinned = [&](uint64_t start, const Pma& piece) {
    return std::any_of(write_pins_.begin(), write_pins_.end(), [&](const WritePin& pin) {
      return piece.offset < pin.offset + pin.length && pin.offset < piece.offset + (piece.end - start);
    });
  };
  HotCopies copies;
  bool protects = false;
  uint64_t run_start = 0, run_end = 0;
  int run_prot = 0;
  auto emit = [&] {
    if (run_end > run_start) (void)space_->Protect(run_start, run_end - run_start, run_prot);
  };
  Vma* vma = nullptr;
  auto next_hot = hot.begin();
  for (auto& [start, piece] : pmas_) {
    while (next_hot != hot.end() && next_hot->second <= start) ++next_hot;
    bool in_hot = next_hot != hot.end() && next_hot->first <= start;
    if (vma == nullptr || vma->end <= start) vma = vmas_.Find(start);
    CHECK(vma != nullptr);
    if ((vma->flags & (Vma::kDontFork | Vma::kWipeOnFork)) != 0) continue;
    uint64_t length = piece.end - start;
    bool writable = piece.in_memory_file() && !piece.shared && (piece.prot & PROT_WRITE) != 0;
    if (writable && (in_hot || (piece.write_ok && pinned(start, piece)))) {
      Result<uint64_t> offset = in_hot ? copies.Copy(file.At(piece.offset), start, length, next_hot->second)
                                       : file.AllocateCopy(file.At(piece.offset), length);
      if (offset.ok()) {
        Pma copy = piece;
        copy.offset = *offset;
        copy.write_ok = true;
        child->pmas_.Insert(start, std::move(copy));
        continue;
      }
    }
    if (piece.in_memory_file()) file.IncRef(piece.offset, length);
    if (!piece.shared && piece.write_ok) {
      int before = piece.stub_prot();
      piece.write_ok = false;
      if (before != piece.stub_prot() && !piece.deferred) {
        protects = true;
        if (run_end != start || run_prot != piece.stub_prot()) {
          emit();
          run_start = start;
          run_prot = piece.stub_prot();
        }
        run_end = piece.end;
      }
    }
    child->pmas_.Insert(start, piece);
  }
  emit();
  pmas_.MergeRange(0, UINT64_MAX);
  return protects;
}

}  // namespace mm
