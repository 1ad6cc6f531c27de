#include "vfs/special_file.h"

#include <sys/stat.h>

#include "absl/container/node_hash_map.h"

namespace vfs {

namespace {
using Openers = absl::node_hash_map<uint64_t, SpecialOpener>;

// Keyed by type and device number, which leaves the type's bits free: makedev uses 44 bits at most.
uint64_t Key(uint32_t type, unsigned major, unsigned minor) {
  return (uint64_t{type} << 48) | (uint64_t{major & 0xfff} << 32) | minor;
}

Openers& Registry() {
  static auto* openers = new Openers;
  return *openers;
}

SpecialOpener* Find(uint64_t key) {
  auto it = Registry().find(key);
  return it == Registry().end() ? nullptr : &it->second;
}
}  // namespace

void RegisterCharDevice(unsigned major, unsigned minor, SpecialOpener opener) {
  Registry().insert_or_assign(Key(S_IFCHR, major, minor), std::move(opener));
}

void RegisterBlockDevice(unsigned major, unsigned minor, SpecialOpener opener) {
  Registry().insert_or_assign(Key(S_IFBLK, major, minor), std::move(opener));
}

void RegisterFifoOpener(SpecialOpener opener) { Registry().insert_or_assign(Key(S_IFIFO, 0, 0), std::move(opener)); }

SpecialOpener* FindSpecialOpener(uint32_t type, uint64_t rdev) {
  if (S_ISFIFO(type)) return Find(Key(S_IFIFO, 0, 0));
  if (SpecialOpener* exact = Find(Key(type, major(rdev), minor(rdev)))) return exact;
  return Find(Key(type, major(rdev), kAnyMinor));
}

}  // namespace vfs
