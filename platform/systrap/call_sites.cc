#include "platform/systrap/call_sites.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "platform/systrap/posted_call.h"

namespace platform::systrap {

namespace {

constexpr uint8_t kInvalid = 0x06, kInvalidToo = 0x60;  // the pointers are multiples of 8
constexpr int kJump = 7;  // the length of jmp *absolute32

std::array<uint8_t, kJump> JumpTo(int index) {
  const uint32_t pointer = STUB_TABLE + 8 * static_cast<uint32_t>(index);
  return {0xff, 0x24, 0x25, static_cast<uint8_t>(pointer), static_cast<uint8_t>(pointer >> 8), static_cast<uint8_t>(pointer >> 16),
          static_cast<uint8_t>(pointer >> 24)};
}

// Of the lower half, in which threads differ: their stacks lie side by side.
constexpr uint32_t kHash = 0x9e3779b9;
constexpr int kThreadBits = 7;

uint32_t Hash(uint64_t fs_base) { return static_cast<uint32_t>(fs_base) * kHash >> (32 - kThreadBits); }

constexpr uint64_t kNoThread = ~uint64_t{0};  // no fs_base, which threads without one have as 0
struct ThreadEntry {
  uint64_t fs_base;
  uint64_t header;
};
static_assert(STUB_TABLE_THREADS + (sizeof(ThreadEntry) << kThreadBits) == STUB_TABLE_SIZE);

// What `cmp $immediate, %rax` does, the only instruction behind a call that a jump covers.
void Compare(Registers& registers, const uint8_t* immediate) {
  int32_t value;
  memcpy(&value, immediate, sizeof value);
  const uint64_t a = registers.rax, b = static_cast<uint64_t>(int64_t{value}), difference = a - b;
  const uint64_t carry = a < b, parity = ~__builtin_parity(difference & 0xff) & 1,
                 adjust = (a ^ b ^ difference) >> 4 & 1, zero = difference == 0,
                 sign = difference >> 63, overflow = ((a ^ b) & (a ^ difference)) >> 63;
  constexpr uint64_t kFlags = 0x8d5;
  registers.eflags = (registers.eflags & ~kFlags) | carry | parity << 2 | adjust << 4 | zero << 6 |
                     sign << 7 | overflow << 11;
}

template <class T>
void Store(char* to, T value) {
  std::atomic_ref<T>(*reinterpret_cast<T*>(to)).store(value, std::memory_order_release);
}

}  // namespace

// Instructions with a system call among them, by their bytes; -1 matches anything.
struct CallSites::Shape {
  int before;   // bytes of the instructions in front of `syscall`
  int after;    // bytes of those behind it that the jump covers too
  int entry;    // where one who enters the jump at the place of `syscall` meets an invalid instruction
  std::array<int16_t, 8> prefix;
  std::array<int16_t, 8> suffix;
  int length() const { return before + 2 + after; }
};

constexpr CallSites::Shape CallSites::kShapes[] = {
    // mov $nr, %eax: nearly all wrappers. Not mov $15, %rax: unwinders know a signal frame's return
    // address by these bytes.
    {5, 0, 5, {0xb8, -1, -1, -1, -1}, {}},
    // mov $AT_FDCWD, %edi: what opendir(3) uses
    {5, 0, 5, {0xbf, -1, -1, -1, -1}, {}},
    // mov 8(%rsp), %r9: syscall(3)
    {5, 0, 5, {0x4c, 0x8b, 0x4c, 0x24, 0x08}, {}},
    // xor %eax, %eax; then cmp $-4096, %rax: read. The jump's rest does no harm where eax is 0.
    {2, 6, kJump, {0x31, 0xc0}, {0x48, 0x3d, 0x00, 0xf0, 0xff, 0xff}},
    // mov %rbx, %rdi; then cmp $-4095, %rax: all that Go programs call
    {3, 6, 3, {0x48, 0x89, 0xdf}, {0x48, 0x3d, 0x01, 0xf0, 0xff, 0xff}},
};

uint64_t CallSites::Site::return_address() const { return address + shape->before + 2; }
uint64_t CallSites::Site::end() const { return address + shape->length(); }

bool CallSites::Count(uint64_t ip, uint32_t hot, bool* warm) {
  // Small programs end before that.
  if (next_warm_ == 0) next_warm_ = hot + hot / 2;
  *warm = ++calls_ == next_warm_;
  if (*warm) next_warm_ *= 2;
  if (!counters_) counters_ = std::make_unique<std::array<Counter, kCounters>>();
  // In one of a few places. Whoever made the fewest calls makes room: two that took turns at one place would never be hot.
  Counter* place = &(*counters_)[(ip * 0x9e3779b97f4a7c15u) >> (64 - kSetBits) << kPlaceBits];
  Counter* least = place;
  for (Counter* end = place + (1 << kPlaceBits); place != end; place++) {
    if (place->ip == ip) return ++place->count == hot;
    if (place->count < least->count) least = place;
  }
  *least = {ip, 1};
  return hot == 1;
}

std::vector<uint64_t> CallSites::Calls() const {
  constexpr uint32_t kSeveral = 3;
  std::vector<uint64_t> calls;
  if (!counters_) return calls;
  for (const Counter& counter : *counters_) {
    if (counter.count >= kSeveral) calls.push_back(counter.ip);
  }
  return calls;
}

int CallSites::FreeIndex(const Shape& shape) const {
  // Where the second byte of the pointer is an invalid instruction.
  constexpr int kFirst = STUB_TABLE_DOUBLE_SIX / 8, kLast = kFirst + 32;
  auto fits = [&](int index) {
    if (shape.after == 0) return index < kFirst || index >= kLast;
    const auto jump = JumpTo(index);
    const bool entered = shape.entry >= kJump || jump[shape.entry] == kInvalidToo, returned = jump[shape.before + 2] == kInvalid;
    return entered && returned;
  };
  for (int i = 0; i < STUB_MAX_SITES; i++) {
    if (!(*sites_)[i].used() && fits(i)) return i;
  }
  return -1;
}

std::optional<CodePatch> CallSites::Replace(uint64_t ip,
                                            std::span<const uint8_t, CodePatch::kWindow> code) {
  constexpr int kBefore = CodePatch::kBefore;
  if (code[kBefore - 2] != 0x0f || code[kBefore - 1] != 0x05) return std::nullopt;
  for (const Shape& shape : kShapes) {
    const uint8_t* start = code.data() + kBefore - 2 - shape.before;
    auto matches = [](const std::array<int16_t, 8>& pattern, int length, const uint8_t* bytes) {
      for (int i = 0; i < length; i++) {
        if (pattern[i] >= 0 && pattern[i] != bytes[i]) return false;
      }
      return true;
    };
    if (!matches(shape.prefix, shape.before, start)) continue;
    if (!matches(shape.suffix, shape.after, code.data() + kBefore)) continue;
    const uint64_t address = ip - 2 - shape.before;
    if (!sites_) {
      sites_ = std::make_unique<std::array<Site, STUB_MAX_SITES>>();
      ClearThreads();
    }
    auto known = by_address_.find(address);
    const bool same = known != by_address_.end() && (*sites_)[known->second].shape == &shape &&
                      memcmp((*sites_)[known->second].original.data(), start, shape.length()) == 0;
    const int index = same ? known->second : FreeIndex(shape);
    if (index < 0) return std::nullopt;
    Site& site = (*sites_)[index];
    if (!site.used()) count_++;
    site.address = address;
    site.shape = &shape;
    memcpy(site.original.data(), start, shape.length());
    by_address_[address] = index;
    WriteTrampoline(index);

    CodePatch patch;
    patch.address = address;
    patch.length = shape.length();
    memset(patch.bytes.data(), kInvalid, patch.length);
    const auto jump = JumpTo(index);
    memcpy(patch.bytes.data(), jump.data(), jump.size());
    return patch;
  }
  return std::nullopt;
}

namespace {

// Assembles a trampoline.
class Code {
 public:
  void Bytes(std::initializer_list<uint8_t> bytes) {
    for (uint8_t byte : bytes) bytes_[size_++] = byte;
  }
  void Copy(const uint8_t* from, int length) {
    memcpy(bytes_ + size_, from, length);
    size_ += length;
  }
  void Word(uint32_t value) {
    memcpy(bytes_ + size_, &value, 4);
    size_ += 4;
  }
  void Quad(uint64_t value) {
    memcpy(bytes_ + size_, &value, 8);
    size_ += 8;
  }
  int size() const { return size_; }
  const uint8_t* data() const { return bytes_; }

 private:
  uint8_t bytes_[STUB_TRAMPOLINE_SIZE] = {};
  int size_ = 0;
};

constexpr int kProbe = 3 + 7 + 2, kLookup = 5 + 7 + 3 + 3 + 7 + 2 + kProbe + 7 + 7 + 5;

}  // namespace

CallSites::Layout CallSites::LayoutOf(const Shape& shape) {
  const int call = shape.before + kLookup, after = call + 2;
  return {call, after, after + shape.after};
}

void CallSites::WriteTrampoline(int index) const {
  const Site& site = (*sites_)[index];
  const Layout layout = LayoutOf(*site.shape);
  const uint64_t base = STUB_TRAMPOLINES + (index << STUB_TRAMPOLINE_SHIFT);
  Code code;
  code.Copy(site.original.data(), site.shape->before);
  code.Bytes({0xf3, 0x49, 0x0f, 0xae, 0xc3});              // rdfsbase %r11
  code.Bytes({0x41, 0x69, 0xcb}), code.Word(kHash);        // imul $kHash, %r11d, %ecx
  code.Bytes({0xc1, 0xe9, 32 - kThreadBits});              // shr $25, %ecx
  code.Bytes({0xc1, 0xe1, 0x04});                          // shl $4, %ecx
  code.Bytes({0x4c, 0x39, 0x99});                          // cmp %r11, table(%rcx)
  code.Word(STUB_TABLE + STUB_TABLE_THREADS);
  code.Bytes({0x74, kProbe});                              // je found
  code.Bytes({0x83, 0xf1, sizeof(ThreadEntry)});           // xor $16, %ecx: its other place
  code.Bytes({0x4c, 0x39, 0x99});                          // cmp %r11, table(%rcx)
  code.Word(STUB_TABLE + STUB_TABLE_THREADS);
  code.Bytes({0x75, static_cast<uint8_t>(layout.call - (code.size() + 2))});  // jne call
  code.Bytes({0x4c, 0x8b, 0x99});                          // found: mov table+8(%rcx), %r11
  code.Word(STUB_TABLE + STUB_TABLE_THREADS + 8);
  code.Bytes({0x48, 0x8d, 0x0d});                          // lea after(%rip), %rcx
  code.Word(layout.after - (code.size() + 4));
  code.Bytes({0xe9});                                      // jmp StubCall
  code.Word(static_cast<uint32_t>(StubAddress(StubCall) - (base + code.size() + 4)));
  code.Bytes({0x0f, 0x05});                                // call: syscall
  code.Copy(site.original.data() + site.shape->before + 2, site.shape->after);
  code.Bytes({0xff, 0x25}), code.Word(0);                  // resume: jmp *0(%rip)
  code.Quad(site.end());
  memcpy(local_ + STUB_SLOT_TRAMPOLINES + (index << STUB_TRAMPOLINE_SHIFT), code.data(),
         code.size());
  Store(local_ + STUB_SLOT_TABLE + 8 * index, base);
}

std::vector<CodePatch> CallSites::Originals() const {
  std::vector<CodePatch> patches;
  for (auto [address, index] : by_address_) {
    const Site& site = (*sites_)[index];
    CodePatch patch;
    patch.address = address;
    patch.length = site.shape->length();
    memcpy(patch.bytes.data(), site.original.data(), patch.length);
    patches.push_back(patch);
  }
  return patches;
}

void CallSites::CopyFrom(const CallSites& other) {
  if (other.empty()) return;
  sites_ = std::make_unique<std::array<Site, STUB_MAX_SITES>>(*other.sites_);
  by_address_ = other.by_address_;
  count_ = other.count_;
  ClearThreads();
  for (auto [address, index] : by_address_) WriteTrampoline(index);
}

void CallSites::Clear() {
  counters_.reset();
  calls_ = next_warm_ = 0;
  if (count_ == 0) return;
  sites_.reset();
  by_address_.clear();
  count_ = 0;
  memset(local_ + STUB_SLOT_TABLE, 0, STUB_TABLE_SIZE);
}

void CallSites::ClearThreads() {
  memset(local_ + STUB_SLOT_TABLE + STUB_TABLE_THREADS, 0xff, STUB_TABLE_SIZE - STUB_TABLE_THREADS);
}

bool CallSites::Bind(uint64_t fs_base, uint64_t area) {
  if (count_ == 0 || fs_base == 0) return false;
  char* entries = local_ + STUB_SLOT_TABLE + STUB_TABLE_THREADS;
  const uint64_t header = area + STUB_AREA_HEADER;
  char* free = nullptr;
  for (uint32_t place : {Hash(fs_base), Hash(fs_base) ^ 1}) {
    char* at = entries + sizeof(ThreadEntry) * place;
    ThreadEntry old;
    memcpy(&old, at, sizeof old);
    if (old.fs_base == fs_base && old.header == header) return true;
    if (free == nullptr && (old.fs_base == fs_base || old.fs_base == kNoThread)) free = at;
  }
  if (free == nullptr) return false;
  // A reader sees no pair that never was.
  Store(free, kNoThread);
  Store(free + 8, header);
  Store(free, fs_base);
  return true;
}

void CallSites::Unbind(uint64_t area) {
  char* entries = local_ + STUB_SLOT_TABLE + STUB_TABLE_THREADS;
  for (int i = 0; i < 1 << kThreadBits; i++) {
    ThreadEntry entry;
    memcpy(&entry, entries + i * sizeof entry, sizeof entry);
    if (entry.header == area + STUB_AREA_HEADER) Store(entries + i * sizeof entry, kNoThread);
  }
}

const CallSites::Site* CallSites::SiteAt(uint64_t rip, int* offset) const {
  if (count_ == 0 || rip < STUB_TRAMPOLINES) return nullptr;
  const uint64_t index = (rip - STUB_TRAMPOLINES) >> STUB_TRAMPOLINE_SHIFT;
  if (index >= STUB_MAX_SITES || !(*sites_)[index].used()) return nullptr;
  *offset = static_cast<int>(rip % STUB_TRAMPOLINE_SIZE);
  return &(*sites_)[index];
}

std::optional<uint64_t> CallSites::ReturnAddress(uint64_t ip) const {
  int offset;
  const Site* site = SiteAt(ip, &offset);
  if (site == nullptr || offset != LayoutOf(*site->shape).after) return std::nullopt;
  return site->return_address();
}

bool CallSites::GoOn(uint64_t rip, Registers& registers) const {
  int offset;
  const Site* site = SiteAt(rip, &offset);
  if (site == nullptr) return false;
  const Layout layout = LayoutOf(*site->shape);
  const bool before_suffix = offset < layout.resume || site->shape->after == 0;
  registers.rip = before_suffix ? site->return_address() : site->end();
  return true;
}

bool CallSites::Normalise(const StubArea& area, bool taken, Registers& registers) const {
  if (count_ == 0 || registers.rip < STUB_CODE) return false;
  char* header = area.local + STUB_AREA_HEADER;
  auto field = [&]<class T = uint64_t>(int offset, T value = 0) {
    memcpy(&value, header + offset, sizeof value);
    return value;
  };
  bool posted = false;
  uint64_t trampoline = registers.rip;
  int offset;
  if (const Site* site = SiteAt(registers.rip, &offset); site != nullptr) {
    if (offset >= LayoutOf(*site->shape).after) return GoOn(registers.rip, registers);
    posted = offset == LayoutOf(*site->shape).call && registers.rax == STUB_PARK;
  } else {
    if (registers.rip < StubAddress(StubCall) || registers.rip >= StubAddress(StubCallEnd)) {
      return false;
    }
    trampoline = registers.rip == StubAddress(StubCall) ? registers.rcx : field(STUB_CALL_RETURN);
    if (registers.rip == StubAddress(StubCallAnswered) ||
        registers.rip == StubAddress(StubCallDone)) {
      return GoOn(trampoline, registers);
    }
    posted = registers.rip >= StubAddress(StubCallPosted);
    if (registers.rip >= StubAddress(StubCallBlocked) &&
        registers.rip < StubAddress(StubCallUnblocked)) {
      registers.rbx = field(STUB_CALL_RBX);
    }
  }
  if (posted) {
    const uint32_t now = CallState(area).exchange(STUB_CALL_FREE);
    if (now == STUB_CALL_DONE) registers.rax = field(STUB_CALL_RESULT);
    if (now == STUB_CALL_DONE || taken) return GoOn(trampoline, registers);
    registers.rax = field(STUB_CALL_NR, uint32_t{});
  }
  const Site* site = SiteAt(trampoline, &offset);
  if (site == nullptr) return false;
  registers.rip = site->address;
  return true;
}

CallSites::Trap CallSites::OnInvalidInstruction(Registers& registers) const {
  if (count_ == 0) return Trap::kNone;
  for (const Shape& shape : kShapes) {
    if (auto it = by_address_.find(registers.rip - shape.entry);
        it != by_address_.end() && (*sites_)[it->second].shape == &shape) {
      registers.rip = it->first + shape.before + 2;
      return Trap::kCall;
    }
    if (shape.after == 0) continue;
    if (auto it = by_address_.find(registers.rip - shape.before - 2);
        it != by_address_.end() && (*sites_)[it->second].shape == &shape) {
      Compare(registers, &(*sites_)[it->second].original[shape.before + 2 + 2]);
      registers.rip = it->first + shape.length();
      return Trap::kReturn;
    }
  }
  return Trap::kNone;
}

}  // namespace platform::systrap
