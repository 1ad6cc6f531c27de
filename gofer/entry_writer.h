#pragma once

// Writes the entries of a directory into a reply, with the attributes that are wanted.

#include <cstdint>
#include <string_view>

#include "base/result.h"
#include "gofer/protocol/codec.h"

namespace gofer {

// What getdents64(2) fills in.
struct LinuxDirent {
  uint64_t d_ino;
  int64_t d_off;
  uint16_t d_reclen;
  uint8_t d_type;
  char d_name[];
};

class EntryWriter {
 public:
  EntryWriter(int directory, uint64_t dev, Attributes wanted, Writer& out)
      : directory_(directory), dev_(dev), wanted_(wanted), out_(out) {}

  // What an entry takes, at least.
  size_t LeastSize(const LinuxDirent& entry, std::string_view name) const;
  // Returns its mode, as far as that was asked for and is known. EFBIG where there is no room.
  Result<uint32_t> Put(const LinuxDirent& entry, std::string_view name);

 private:
  // What d_ino of regular files is good for, as the first of them showed. On an overlay of the host, say, it may be another number.
  enum class Number { kNotKnown, kAsStat, kOther };

  bool Wants(const LinuxDirent& entry, Number number) const;

  const int directory_;
  const uint64_t dev_;
  const Attributes wanted_;
  Writer& out_;
  Number number_ = Number::kNotKnown;
};

}  // namespace gofer
