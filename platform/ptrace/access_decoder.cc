#include "platform/ptrace/access_decoder.h"

namespace platform::ptrace {

namespace {

// Distance within which an address counts as "at" a register: the widest push, string element or
// state save.
constexpr uint64_t kNear = 4096;

bool Near(uint64_t address, uint64_t base) { return address - base + kNear < 2 * kNear; }

// clang-format off: one line a group of opcodes.
Access OneByte(uint8_t opcode, uint8_t extension, const user_regs_struct& registers,
               uint64_t address) {
  // A push writes at the stack pointer, whatever it reads to do so.
  auto push = [&] { return Near(address, registers.rsp) ? Access::kWrite : Access::kRead; };
  // A pop to memory writes there and reads at the stack pointer.
  auto pop = [&] { return Near(address, registers.rsp) ? Access::kRead : Access::kWrite; };
  if (opcode < 0x40) {
    // add, or, adc, sbb, and, sub, xor, cmp: forms 0 and 1 have the memory operand first, and
    // only cmp does not write it.
    if ((opcode & 7) > 3) return Access::kUnknown;
    return (opcode & 7) < 2 && opcode < 0x38 ? Access::kWrite : Access::kRead;
  }
  if (opcode >= 0x50 && opcode <= 0x57) return Access::kWrite;  // push register
  if (opcode >= 0x58 && opcode <= 0x5f) return Access::kRead;   // pop register
  switch (opcode) {
    case 0x63:  // movsxd
    case 0x69: case 0x6b:  // imul
    case 0x84: case 0x85:  // test
    case 0x8a: case 0x8b: case 0x8e:
    case 0xa0: case 0xa1:
    case 0xa6: case 0xa7:  // cmps
    case 0xac: case 0xad:  // lods
    case 0xae: case 0xaf:  // scas
    case 0xc2: case 0xc3: case 0xca: case 0xcb: case 0xcf: case 0xc9:  // ret, iret, leave
    case 0x9d:             // popf
    case 0xd7:             // xlat
      return Access::kRead;
    case 0x68: case 0x6a: case 0x9c: case 0xe8: case 0xc8:  // push, pushf, call, enter
    case 0x86: case 0x87:  // xchg
    case 0x88: case 0x89: case 0x8c:
    case 0xa2: case 0xa3:
    case 0xaa: case 0xab:  // stos
    case 0xc6: case 0xc7:
      return Access::kWrite;
    case 0x8f:
      return pop();
    case 0x80: case 0x81: case 0x83:
      return extension == 7 ? Access::kRead : Access::kWrite;  // cmp, or the others
    case 0xa4: case 0xa5:  // movs
      if (Near(address, registers.rdi) == Near(address, registers.rsi)) return Access::kUnknown;
      return Near(address, registers.rdi) ? Access::kWrite : Access::kRead;
    case 0xc0: case 0xc1: case 0xd0: case 0xd1: case 0xd2: case 0xd3:  // rotates and shifts
      return Access::kWrite;
    case 0xf6: case 0xf7:
      return extension == 2 || extension == 3 ? Access::kWrite : Access::kRead;  // not, neg
    case 0xfe:
      return Access::kWrite;  // inc, dec
    case 0xff:
      if (extension < 2) return Access::kWrite;
      return extension == 4 || extension == 5 ? Access::kRead : push();
    case 0xd8: case 0xda: case 0xdc: case 0xde:  // x87 arithmetic
      return Access::kRead;
    case 0xd9:
      return extension == 0 || extension == 4 || extension == 5 ? Access::kRead : Access::kWrite;
    case 0xdb:
      return extension == 0 || extension == 5 ? Access::kRead : Access::kWrite;
    case 0xdd:
      return extension == 0 || extension == 4 ? Access::kRead : Access::kWrite;
    case 0xdf:
      return extension == 0 || extension == 4 || extension == 5 ? Access::kRead : Access::kWrite;
  }
  return Access::kUnknown;
}

// The map behind 0f, which SSE, AVX (VEX and EVEX map 1) and general instructions share. `prefix` is
// 0, 0x66, 0xf2 or 0xf3.
Access TwoByte(uint8_t opcode, uint8_t extension, uint8_t prefix, bool vector) {
  if (!vector) {
    if (opcode >= 0x90 && opcode <= 0x9f) return Access::kWrite;  // setcc
    switch (opcode) {
      case 0x18: case 0x1f:
        return Access::kUnknown;  // prefetch and nop do not fault
      case 0xa0: case 0xa8:       // push fs, gs
      case 0xa4: case 0xa5: case 0xac: case 0xad:  // shld, shrd
      case 0xab: case 0xb3: case 0xbb:             // bts, btr, btc
      case 0xb0: case 0xb1: case 0xc0: case 0xc1:  // cmpxchg, xadd
      case 0xc3:                                   // movnti
        return Access::kWrite;
      case 0xba:
        return extension == 4 ? Access::kRead : Access::kWrite;  // bt, or the others
      case 0xc7:
        // cmpxchg8b and 16b, xsavec, xsaves; xrstors reads, but not in user mode.
        return extension == 1 || extension == 4 || extension == 5 ? Access::kWrite
                                                                  : Access::kUnknown;
    }
  }
  switch (opcode) {
    case 0x11: case 0x13: case 0x17: case 0x29: case 0x2b: case 0x7f: case 0xd6: case 0xe7:
      return Access::kWrite;
    case 0x7e:
      return prefix == 0xf3 ? Access::kRead : Access::kWrite;
    case 0x91:  // kmov to memory
      return Access::kWrite;
    case 0xae:  // fxsave, fxrstor, ldmxcsr, stmxcsr, xsave, xrstor, xsaveopt, clflush
      return extension == 0 || extension == 3 || extension == 4 || extension == 6 ? Access::kWrite
                                                                                  : Access::kRead;
  }
  return Access::kRead;
}

// clang-format on
Access ThreeByte38(uint8_t opcode, uint8_t prefix, bool vector, bool evex) {
  if (!vector) {
    if (opcode == 0xf1) return prefix == 0xf2 ? Access::kRead : Access::kWrite;  // crc32, movbe
    if (opcode == 0xf9 || opcode == 0xf8) return Access::kWrite;  // movdiri, movdir64b
    return Access::kRead;
  }
  if (opcode == 0x2e || opcode == 0x2f || opcode == 0x8e)
    return Access::kWrite;  // vmaskmov, vpmaskmov
  if (evex && prefix == 0xf3 && (opcode & 0xc8) == 0 && opcode >= 0x10)
    return Access::kWrite;  // vpmov down-converts
  if (evex &&
      (opcode == 0x8a || opcode == 0x8b || opcode == 0x63 || (opcode >= 0xa0 && opcode <= 0xa3))) {
    return Access::kWrite;  // compress, scatter
  }
  return Access::kRead;
}

Access ThreeByte3a(uint8_t opcode, bool vector) {
  if (opcode >= 0x14 && opcode <= 0x17) return Access::kWrite;  // pextr, extractps
  if (vector &&
      (opcode == 0x19 || opcode == 0x1b || opcode == 0x1d || opcode == 0x39 || opcode == 0x3b)) {
    return Access::kWrite;  // vextract, vcvtps2ph
  }
  return Access::kRead;
}

}  // namespace

Access DecodeAccess(std::span<const uint8_t> code, const user_regs_struct& registers,
                    uint64_t address) {
  size_t at = 0;
  bool ended = false;
  auto next = [&]() -> uint8_t {
    if (at < code.size()) return code[at++];
    ended = true;
    return 0;
  };
  uint8_t prefix = 0;
  uint8_t opcode = next();
  for (;; opcode = next()) {
    if (opcode == 0xf2 || opcode == 0xf3) {
      prefix = opcode;
    } else if (opcode == 0x66) {
      if (prefix == 0) prefix = opcode;
    } else if (opcode != 0x67 && opcode != 0xf0 && opcode != 0x2e && opcode != 0x36 &&
               opcode != 0x3e && opcode != 0x26 && opcode != 0x64 && opcode != 0x65) {
      break;
    }
    if (ended) return Access::kUnknown;
  }
  if ((opcode & 0xf0) == 0x40) opcode = next();  // REX
  auto extension = [&] { return static_cast<uint8_t>(next() >> 3 & 7); };

  static constexpr uint8_t kPrefixes[] = {0, 0x66, 0xf3, 0xf2};
  int map = 0;
  bool evex = opcode == 0x62;
  bool vector = evex || opcode == 0xc4 || opcode == 0xc5;
  if (opcode == 0xc5) {
    map = 1;
    prefix = kPrefixes[next() & 3];
    opcode = next();
  } else if (vector) {
    map = next() & (evex ? 7 : 31);
    prefix = kPrefixes[next() & 3];
    if (evex) next();
    opcode = next();
  } else if (opcode == 0x0f) {
    map = 1;
    opcode = next();
    if (opcode == 0x38 || opcode == 0x3a) {
      map = opcode == 0x38 ? 2 : 3;
      opcode = next();
    }
  }
  if (ended) return Access::kUnknown;
  Access access;
  switch (map) {
    case 0:
      access = OneByte(opcode, extension(), registers, address);
      break;
    case 1:
      access = TwoByte(opcode, extension(), prefix, vector);
      break;
    case 2:
      access = ThreeByte38(opcode, prefix, vector, evex);
      break;
    case 3:
      access = ThreeByte3a(opcode, vector);
      break;
    default:
      access = Access::kUnknown;
      break;
  }
  return access;
}

}  // namespace platform::ptrace
