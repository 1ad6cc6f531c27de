#include "sentry/loader/x86_length.h"

#include <algorithm>

namespace loader {

namespace {

constexpr size_t kMaxLength = 15;

enum class Map { kOne, kTwo, k38, k3a };

// What follows an opcode.
struct Form {
  bool valid = true;
  bool modrm = false;
  size_t immediate = 0;
};
constexpr Form kInvalid = {.valid = false};

struct Prefixes {
  bool operand16 = false;
  bool address32 = false;
  bool wide = false;  // REX.W
};

// `modrm`: the byte behind the opcode, which some immediates depend on.
Form OneByteForm(uint8_t op, uint8_t modrm, const Prefixes& p) {
  const size_t full = p.operand16 && !p.wide ? 2 : 4;
  if (op < 0x40) {
    switch (op & 7) {
      case 4: return {.immediate = 1};
      case 5: return {.immediate = full};
      case 6:
      case 7: return kInvalid;
      default: return {.modrm = true};
    }
  }
  if (op >= 0x50 && op < 0x60) return {};
  if (op >= 0x70 && op < 0x80) return {.immediate = 1};
  if (op >= 0x84 && op < 0x90) return {.modrm = true};
  if (op >= 0x90 && op < 0xa0) return op == 0x9a ? kInvalid : Form{};
  if (op >= 0xb0 && op < 0xb8) return {.immediate = 1};
  if (op >= 0xb8 && op < 0xc0) return {.immediate = p.wide ? 8 : full};
  if (op >= 0xd8 && op < 0xe0) return {.modrm = true};
  switch (op) {
    case 0x63:
    case 0xd0: case 0xd1: case 0xd2: case 0xd3:
    case 0xfe: case 0xff:
      return {.modrm = true};
    case 0x68:
    case 0xa9:
      return {.immediate = full};
    case 0x69:
    case 0x81:
    case 0xc7:
      return {.modrm = true, .immediate = full};
    case 0x6a:
    case 0xa8:
    case 0xcd:
    case 0xe0: case 0xe1: case 0xe2: case 0xe3:
    case 0xeb:
      return {.immediate = 1};
    case 0x6b:
    case 0x80: case 0x83:
    case 0xc0: case 0xc1: case 0xc6:
      return {.modrm = true, .immediate = 1};
    case 0xa0: case 0xa1: case 0xa2: case 0xa3:
      return {.immediate = p.address32 ? size_t{4} : size_t{8}};
    case 0xa4: case 0xa5: case 0xa6: case 0xa7:
    case 0xaa: case 0xab: case 0xac: case 0xad: case 0xae: case 0xaf:
    case 0xc3: case 0xc9: case 0xcc:
    case 0xf4: case 0xf5: case 0xf8: case 0xf9: case 0xfc: case 0xfd:
      return {};
    case 0xc2:
      return {.immediate = 2};
    case 0xc8:
      return {.immediate = 3};
    case 0xe8: case 0xe9:
      return p.operand16 ? kInvalid : Form{.immediate = 4};  // processors differ
    case 0xf6:
      return {.modrm = true, .immediate = (modrm & 0x38) < 0x10 ? size_t{1} : size_t{0}};
    case 0xf7:
      return {.modrm = true, .immediate = (modrm & 0x38) < 0x10 ? full : 0};
    default:
      return kInvalid;
  }
}

Form TwoByteForm(uint8_t op, const Prefixes& p) {
  if (op >= 0x80 && op < 0x90) return p.operand16 ? kInvalid : Form{.immediate = 4};
  if (op >= 0xc8 && op < 0xd0) return {};  // bswap
  switch (op) {
    case 0x05:  // syscall
    case 0x0b:  // ud2
    case 0x31:  // rdtsc
    case 0x77:  // emms, vzeroupper
    case 0xa0: case 0xa1: case 0xa2: case 0xa8: case 0xa9:
      return {};
    case 0x70: case 0x71: case 0x72: case 0x73:
    case 0xa4: case 0xac: case 0xba:
    case 0xc2: case 0xc4: case 0xc5: case 0xc6:
      return {.modrm = true, .immediate = 1};
    case 0x01: case 0x02: case 0x03: case 0x0d:
    case 0xa3: case 0xa5: case 0xab: case 0xad: case 0xae: case 0xaf:
    case 0xc0: case 0xc1: case 0xc3: case 0xc7:
      return {.modrm = true};
    default:
      break;
  }
  const bool modrm = (op >= 0x10 && op < 0x20) || (op >= 0x28 && op < 0x30) || (op >= 0x40 && op < 0x80) ||
                     (op >= 0x90 && op < 0xa0) || (op >= 0xb0 && op < 0xc0) || op >= 0xd0;
  return modrm ? Form{.modrm = true} : kInvalid;
}

Form FormOf(Map map, uint8_t op, uint8_t modrm, const Prefixes& p) {
  switch (map) {
    case Map::kOne: return OneByteForm(op, modrm, p);
    case Map::kTwo: return TwoByteForm(op, p);
    case Map::k38: return {.modrm = true};
    case Map::k3a: return {.modrm = true, .immediate = 1};
  }
  return kInvalid;
}

class Decoder {
 public:
  explicit Decoder(std::span<const uint8_t> code) : code_(code.first(std::min(code.size(), kMaxLength))) {}

  size_t Length() {
    ReadPrefixes();
    if (!ReadOpcode()) return 0;
    const Form form = FormOf(map_, opcode_, Peek(), prefixes_);
    if (!form.valid) return 0;
    if (form.modrm || (vector_ && opcode_ != 0x77)) SkipModrm();
    at_ += form.immediate;
    return at_ <= code_.size() ? at_ : 0;
  }

 private:
  uint8_t Peek() const { return at_ < code_.size() ? code_[at_] : 0; }
  uint8_t Next() {
    uint8_t byte = Peek();
    at_++;  // whether it was there is checked at the end
    return byte;
  }

  void ReadPrefixes() {
    for (;; at_++) {
      switch (Peek()) {
        case 0x66: prefixes_.operand16 = true; break;
        case 0x67: prefixes_.address32 = true; break;
        case 0x26: case 0x2e: case 0x36: case 0x3e: case 0x64: case 0x65:
        case 0xf0: case 0xf2: case 0xf3:
          break;
        default:
          return;
      }
      if (at_ >= code_.size()) return;
    }
  }

  bool ReadOpcode() {
    uint8_t byte = Next();
    if ((byte & 0xf0) == 0x40) {
      prefixes_.wide = (byte & 8) != 0;
      byte = Next();
    } else if (byte == 0xc5) {
      Next();
      return ReadVectorOpcode(1);
    } else if (byte == 0xc4) {
      const int map = Next() & 0x1f;
      Next();
      return ReadVectorOpcode(map);
    } else if (byte == 0x62) {
      const int map = Next() & 7;
      at_ += 2;
      return ReadVectorOpcode(map);
    }
    opcode_ = byte;
    if (byte != 0x0f) return true;
    opcode_ = Next();
    map_ = Map::kTwo;
    if (opcode_ == 0x38 || opcode_ == 0x3a) {
      map_ = opcode_ == 0x38 ? Map::k38 : Map::k3a;
      opcode_ = Next();
    }
    return true;
  }

  bool ReadVectorOpcode(int map) {
    vector_ = true;
    prefixes_ = {};
    opcode_ = Next();
    switch (map) {
      case 1: map_ = Map::kTwo; return true;
      case 2: map_ = Map::k38; return true;
      case 3: map_ = Map::k3a; return true;
      default: return false;
    }
  }

  void SkipModrm() {
    const uint8_t modrm = Next();
    const int mod = modrm >> 6, rm = modrm & 7;
    if (mod == 3) return;
    if (rm == 4) {
      const uint8_t sib = Next();
      if (mod == 0 && (sib & 7) == 5) at_ += 4;
    } else if (mod == 0 && rm == 5) {
      at_ += 4;
    }
    at_ += mod == 1 ? 1 : mod == 2 ? 4 : 0;
  }

  const std::span<const uint8_t> code_;
  size_t at_ = 0;
  Prefixes prefixes_;
  bool vector_ = false;
  Map map_ = Map::kOne;
  uint8_t opcode_ = 0;
};

}  // namespace

size_t InstructionLength(std::span<const uint8_t> code) { return Decoder(code).Length(); }

}  // namespace loader
