#include "gofer/entry_writer.h"

#include <dirent.h>

#include "gofer/server.h"

namespace gofer {

bool EntryWriter::Wants(const LinuxDirent& entry, Number number) const {
  return wanted_ == Attributes::kAll || (wanted_ == Attributes::kSome && (entry.d_type != DT_REG || number != Number::kAsStat));
}

size_t EntryWriter::LeastSize(const LinuxDirent& entry, std::string_view name) const {
  const Number number = number_ == Number::kNotKnown ? Number::kAsStat : number_;
  return sizeof(WireDirent) + name.size() + (Wants(entry, number) ? sizeof(WireAttributes) : 0);
}

Result<uint32_t> EntryWriter::Put(const LinuxDirent& entry, std::string_view name) {
  const bool wants = Wants(entry, number_);
  if (out_.room() < sizeof(WireDirent) + name.size() + (wants ? sizeof(WireAttributes) : 0)) return Errno::kEFBIG;
  WireDirent dirent{
      .next = entry.d_off, .ino = entry.d_ino, .type = entry.d_type, .name_size = static_cast<uint8_t>(name.size()), .has_attributes = 0, .reserved = 0};
  Result<WireAttributes> attributes = wants ? StatChild(directory_, entry.d_name) : Errno::kENOENT;
  dirent.has_attributes = attributes.ok();
  out_.Put(dirent);
  if (attributes.ok()) out_.Put(*attributes);
  out_.PutBytes(name.data(), name.size());
  if (!attributes.ok()) return uint32_t{0};
  if (entry.d_type == DT_REG && number_ == Number::kNotKnown) {
    number_ = attributes->dev == dev_ && attributes->ino == entry.d_ino ? Number::kAsStat : Number::kOther;
  }
  return uint32_t{attributes->mode};
}

}  // namespace gofer
