#pragma once

// Files that are names for something else: devices and FIFOs. Whatever file system holds the inode, vfs/operations opens
// them through what is registered here. Registration happens once, at start-up.

#include <sys/sysmacros.h>

#include "absl/functional/any_invocable.h"
#include "vfs/file_description.h"
#include "vfs/path_walk.h"

namespace vfs {

struct SpecialOpen {
  const WalkContext& context;  // who opens; context.task for terminals
  const Path& place;
  int flags;                   // O_*
};

// Returns a description on which Init is yet to be called. May park.
using SpecialOpener = absl::AnyInvocable<Result<RefPtr<FileDescription>>(const SpecialOpen&)>;

// The opener of a character device; one with kAnyMinor serves the whole major number where no exact one is there.
inline constexpr unsigned kAnyMinor = ~0u;
void RegisterCharDevice(unsigned major, unsigned minor, SpecialOpener opener);
void RegisterBlockDevice(unsigned major, unsigned minor, SpecialOpener opener);
// open(2) of any S_IFIFO inode.
void RegisterFifoOpener(SpecialOpener opener);

// Null where nothing is registered: then the inode's own Open decides (devpts), whose usual answer is ENXIO.
SpecialOpener* FindSpecialOpener(uint32_t type, uint64_t rdev);

}  // namespace vfs
