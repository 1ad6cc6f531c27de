#include "vfs/fs/pipe/pipe.h"

#include <algorithm>
#include <bit>

namespace pipefs {

PageRef::Page* PageRef::pool_ = nullptr;
int PageRef::pooled_ = 0;

PageRef PageRef::Allocate() {
  PageRef ref;
  if (pool_ != nullptr) {
    ref.page_ = pool_;
    pool_ = pool_->next_free;
    pooled_--;
  } else {
    ref.page_ = new Page;
  }
  ref.page_->refs = 1;
  return ref;
}

void PageRef::Free(Page* page) {
  constexpr int kMaxPooled = 64;
  if (pooled_ >= kMaxPooled) {
    delete page;
    return;
  }
  page->next_free = pool_;
  pool_ = page;
  pooled_++;
}

size_t Pipe::bytes() const {
  size_t total = 0;
  for (size_t i = 0; i < used_; i++) total += At(i).length;
  return total;
}

void Pipe::Resize(size_t ring_size) {
  auto ring = std::make_unique<Slot[]>(ring_size);
  for (size_t i = 0; i < used_; i++) ring[i] = std::move(At(i));
  ring_ = std::move(ring);
  ring_size_ = ring_size;
  head_ = 0;
}

void Pipe::Push(Slot slot) {
  if (used_ == ring_size_) Resize(std::max(capacity_, ring_size_ * 2));
  used_++;
  At(used_ - 1) = std::move(slot);
}

void Pipe::PopFront() {
  At(0).page.Drop();
  head_ = (head_ + 1) & (ring_size_ - 1);
  used_--;
}

Result<size_t> Pipe::Read(const IoVec& to) {
  if (to.empty()) return size_t{0};
  if (used_ == 0) {
    if (writers_ == 0) return size_t{0};
    return Errno::kEAGAIN;
  }
  const bool was_full = is_full();
  size_t done = 0;
  bool fault = false;
  while (used_ > 0 && done < to.size()) {
    Slot& slot = At(0);
    const size_t want = std::min<size_t>(slot.length, to.size() - done);
    const size_t copied = to.Write(done, slot.page.data() + slot.offset, want);
    if (copied < want) {
      // Linux: fs/pipe.c pipe_read(): what was copied of this page is neither consumed nor reported.
      fault = true;
      break;
    }
    done += copied;
    slot.offset += copied;
    slot.length -= copied;
    const bool packet = slot.packet;
    if (packet || slot.length == 0) PopFront();
    if (packet) break;
  }
  if (was_full && !is_full()) NotifyWriters();
  if (fault && done == 0) return Errno::kEFAULT;
  return done;
}

Result<size_t> Pipe::Write(const IoVec& from, bool packets) {
  if (readers_ == 0) return Errno::kEPIPE;
  const size_t size = from.size();
  if (size == 0) return size_t{0};
  size_t done = 0;
  bool fault = false;

  // The part of the request that does not fill a page goes to the last one, if all of it fits there.
  const size_t tail = size & (kPipePage - 1);
  if (tail != 0 && used_ > 0) {
    Slot& last = At(used_ - 1);
    const size_t end = last.offset + last.length;
    if (last.merge && end + tail <= kPipePage) {
      if (from.Read(0, last.page.data() + end, tail) < tail) return Errno::kEFAULT;
      last.length += tail;
      done = tail;
    }
  }
  while (done < size && !is_full()) {
    Slot slot;
    slot.page = PageRef::Allocate();
    const size_t want = std::min(kPipePage, size - done);
    const size_t copied = from.Read(done, slot.page.data(), want);
    fault = copied < want;
    if (copied == 0) break;
    slot.length = copied;
    slot.packet = packets;
    slot.merge = !packets;
    Push(std::move(slot));
    done += copied;
    if (fault) break;
  }
  if (done > 0) {
    NotifyReaders();
    return done;
  }
  return fault ? Errno::kEFAULT : Errno::kEAGAIN;
}

Result<size_t> Pipe::SetCapacity(uint64_t bytes, const Credentials& creds) {
  if (bytes > uint64_t{1} << 31) return Errno::kEINVAL;
  const size_t slots = std::bit_ceil(std::max<uint64_t>((bytes + kPipePage - 1) / kPipePage, 1));
  if (slots > kMaxSlots && slots > capacity_ && !creds.Has(CAP_SYS_RESOURCE)) return Errno::kEPERM;
  if (slots < used_ + reserved_) return Errno::kEBUSY;
  const bool was_full = is_full();
  capacity_ = slots;
  if (ring_size_ != 0) Resize(std::bit_ceil(std::max(slots, used_)));
  if (was_full && !is_full()) NotifyWriters();
  return capacity_bytes();
}

void Pipe::AddReader() {
  readers_++;
  reader_opens_++;
  if (!queue.empty()) queue.Notify(EPOLLIN | EPOLLOUT);
}

void Pipe::AddWriter() {
  writers_++;
  writer_opens_++;
  if (!queue.empty()) queue.Notify(EPOLLIN | EPOLLOUT);
}

void Pipe::RemoveReader() {
  readers_--;
  if (readers_ == 0) {
    DropContentsIfUnused();
    queue.Notify(EPOLLOUT | EPOLLERR);
  }
}

void Pipe::RemoveWriter() {
  writers_--;
  if (writers_ == 0) {
    DropContentsIfUnused();
    queue.Notify(EPOLLIN | EPOLLHUP);
  }
}

void Pipe::DropContentsIfUnused() {
  if (readers_ > 0 || writers_ > 0) return;
  ring_.reset();
  ring_size_ = head_ = used_ = 0;
  capacity_ = kDefaultSlots;
}

std::vector<Slot> Pipe::Take(size_t length) {
  std::vector<Slot> taken;
  while (length > 0 && used_ > 0) {
    Slot& slot = At(0);
    if (slot.length <= length) {
      length -= slot.length;
      Slot whole = std::move(slot);
      whole.merge = false;
      PopFront();
      taken.push_back(std::move(whole));
    } else {
      Slot part;
      part.page = slot.page.Share();
      part.offset = slot.offset;
      part.length = length;
      slot.offset += length;
      slot.length -= length;
      length = 0;
      taken.push_back(std::move(part));
    }
  }
  return taken;
}

void Pipe::PutBack(std::vector<Slot> slots) {
  for (auto it = slots.rbegin(); it != slots.rend(); ++it) {
    if (used_ == ring_size_) Resize(std::bit_ceil(std::max(capacity_, ring_size_ + 1)));
    head_ = (head_ + ring_size_ - 1) & (ring_size_ - 1);
    used_++;
    At(0) = std::move(*it);
  }
}

std::vector<Slot> Pipe::ShareFront(size_t length, size_t max_slots) const {
  std::vector<Slot> shared;
  for (size_t i = 0; i < used_ && length > 0 && shared.size() < max_slots; i++) {
    const Slot& slot = At(i);
    Slot copy;
    copy.page = slot.page.Share();
    copy.offset = slot.offset;
    copy.length = std::min<size_t>(slot.length, length);
    copy.packet = slot.packet;
    length -= copy.length;
    shared.push_back(std::move(copy));
  }
  return shared;
}

void Pipe::Append(Slot slot) { Push(std::move(slot)); }

void Pipe::Unreserve(size_t slots) {
  reserved_ -= slots;
  if (slots > 0 && !is_full()) NotifyWriters();
}

}  // namespace pipefs
