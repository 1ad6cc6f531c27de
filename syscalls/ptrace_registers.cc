#include "syscalls/ptrace_registers.h"

#include <elf.h>
#include <sys/uio.h>
#include <sys/user.h>

#include <algorithm>
#include <cstring>

#include "sentry/kernel/kernel.h"

namespace syscalls {

namespace {

// What a debugger may change: CF PF AF ZF SF TF DF OF RF NT AC.
constexpr uint64_t kUserFlags = 0x1 | 0x4 | 0x10 | 0x40 | 0x80 | 0x100 | 0x400 | 0x800 | 0x10000 | 0x4000 | 0x40000;
constexpr uint64_t kAddressLimit = (uint64_t{1} << 47) - kPageSize;
constexpr size_t kFxsaveSize = 512, kSoftwareOffset = 464, kSoftwareSize = 48;
constexpr uint64_t kX87AndSse = 3;
constexpr uint32_t kXstateMagic = 0x46505853;  // FP_XSTATE_MAGIC1

// The features that XSAVE may hold here: what bytes 464 to 471 of NT_X86_XSTATE tell a debugger.
uint64_t EnabledFeatures(const std::vector<uint8_t>& frame) {
  // The software bytes of a signal frame: magic, size, features.
  uint64_t features = 0;
  uint32_t magic = 0;
  memcpy(&magic, frame.data() + kSoftwareOffset, sizeof magic);
  memcpy(&features, frame.data() + kSoftwareOffset + 8, sizeof features);
  return magic == kXstateMagic && features != 0 ? features : kX87AndSse;
}

std::vector<uint8_t> Frame(Task& target) {
  std::span<const uint8_t> state = target.context().fpu_state();
  std::vector<uint8_t> frame(state.begin(), state.end());
  if (frame.size() < kFxsaveSize) frame.resize(kFxsaveSize);
  // A signal frame has a closing word behind the state proper.
  uint32_t magic = 0, size = 0;
  memcpy(&magic, frame.data() + kSoftwareOffset, sizeof magic);
  memcpy(&size, frame.data() + kSoftwareOffset + 16, sizeof size);
  if (magic == kXstateMagic && size >= kFxsaveSize && size <= frame.size()) frame.resize(size);
  frame.resize(frame.size() & ~size_t{7});
  return frame;
}

// As the set NT_X86_XSTATE: the frame with other software bytes.
std::vector<uint8_t> ExtendedState(Task& target) {
  std::vector<uint8_t> state = Frame(target);
  uint64_t features = EnabledFeatures(state);
  memset(state.data() + kSoftwareOffset, 0, kSoftwareSize);
  memcpy(state.data() + kSoftwareOffset, &features, sizeof features);
  return state;
}

// A debugger takes the size from the processor, which may have features that applications here do not get: what lies behind
// the state that there is counts for nothing.
Result<void> SetExtendedState(Task& target, const std::vector<uint8_t>& wanted) {
  std::vector<uint8_t> state = Frame(target);
  const uint64_t features = EnabledFeatures(state);
  std::vector<uint8_t> software(state.begin() + kSoftwareOffset, state.begin() + kSoftwareOffset + kSoftwareSize);
  std::copy_n(wanted.begin(), std::min(wanted.size(), state.size()), state.begin());
  std::copy(software.begin(), software.end(), state.begin() + kSoftwareOffset);
  if (state.size() >= kFxsaveSize + 8) {
    uint64_t present;
    memcpy(&present, state.data() + kFxsaveSize, sizeof present);
    present &= features;
    memcpy(state.data() + kFxsaveSize, &present, sizeof present);
  }
  return target.context().SetFpuState(state);
}

}  // namespace

Result<void> SetGeneralRegisters(Task& target, const platform::Registers& wanted) {
  if (wanted.fs_base >= kAddressLimit || wanted.gs_base >= kAddressLimit) return Errno::kEIO;
  platform::Registers& regs = target.regs();
  // Segments are what they are; another value could only be one that faults.
  if ((wanted.cs & 3) != 3 || (wanted.ss & 3) != 3) return Errno::kEIO;
  const platform::Registers old = regs;
  regs = wanted;
  regs.cs = old.cs, regs.ss = old.ss, regs.ds = old.ds, regs.es = old.es, regs.fs = old.fs, regs.gs = old.gs;
  regs.eflags = (old.eflags & ~kUserFlags) | (wanted.eflags & kUserFlags);
  target.trace->RegistersChanged();
  return {};
}

Result<uint64_t> PeekUser(Task& target, uint64_t offset) {
  if (offset % 8 != 0 || offset >= sizeof(struct user)) return Errno::kEIO;
  uint64_t value = 0;
  if (offset < sizeof(platform::Registers)) {
    memcpy(&value, reinterpret_cast<const char*>(&target.context().registers()) + offset, sizeof value);
  }
  return value;
}

Result<void> PokeUser(Task& target, uint64_t offset, uint64_t value) {
  if (offset % 8 != 0 || offset >= sizeof(struct user)) return Errno::kEIO;
  if (offset < sizeof(platform::Registers)) {
    platform::Registers regs = target.context().registers();
    memcpy(reinterpret_cast<char*>(&regs) + offset, &value, sizeof value);
    return SetGeneralRegisters(target, regs);
  }
  bool debug = offset >= offsetof(struct user, u_debugreg) && offset < offsetof(struct user, u_debugreg) + 64;
  return debug && value == 0 ? Result<void>() : Errno::kEIO;
}

std::vector<uint8_t> GetFpRegisters(Task& target) {
  std::vector<uint8_t> image = Frame(target);
  image.resize(kFxsaveSize);
  memset(image.data() + kSoftwareOffset, 0, kSoftwareSize);
  return image;
}

Result<void> SetFpRegisters(Task& target, const std::vector<uint8_t>& image) {
  std::vector<uint8_t> frame = Frame(target);
  memcpy(frame.data(), image.data(), std::min(image.size(), kSoftwareOffset));
  if (frame.size() >= kFxsaveSize + 8) {
    uint64_t present;
    memcpy(&present, frame.data() + kFxsaveSize, sizeof present);
    present |= kX87AndSse;
    memcpy(frame.data() + kFxsaveSize, &present, sizeof present);
  }
  return target.context().SetFpuState(frame);
}

Result<uint64_t> RegisterSet(Task& task, Task& target, uint64_t type, UserAddress vector, bool set) {
  iovec io = TRY(task.mm().Read<iovec>(vector));
  std::vector<uint8_t> image;
  switch (type) {
    case NT_PRSTATUS:
      image.resize(sizeof(platform::Registers));
      memcpy(image.data(), &target.context().registers(), image.size());
      break;
    case NT_PRFPREG:
      image = GetFpRegisters(target);
      break;
    case NT_X86_XSTATE:
      image = ExtendedState(target);
      break;
    default:
      return Errno::kEINVAL;
  }
  if (io.iov_len % 8 != 0) return Errno::kEINVAL;
  size_t length = std::min(io.iov_len, image.size());
  UserAddress address = reinterpret_cast<UserAddress>(io.iov_base);
  if (!set) {
    TRY(task.mm().CopyOut(address, image.data(), length));
  } else {
    TRY(task.mm().CopyIn(image.data(), address, length));
    // Copying may have parked: the tracee may have been killed meanwhile.
    if (!target.trace->accessible() || target.ended()) return Errno::kESRCH;
    if (type == NT_PRSTATUS) {
      platform::Registers regs;
      memcpy(&regs, image.data(), sizeof regs);
      TRY(SetGeneralRegisters(target, regs));
    } else if (type == NT_PRFPREG) {
      TRY(SetFpRegisters(target, image));
    } else {
      if (length < std::min(kFxsaveSize + 64, image.size())) return Errno::kEFAULT;
      TRY(SetExtendedState(target, image));
    }
  }
  io.iov_len = length;
  TRY(task.mm().Write<iovec>(vector, io));
  return 0;
}

}  // namespace syscalls
