#pragma once

// memfd_create(2): unnamed files on an internal tmpfs, and the seals of fcntl(2).

#include <string_view>

#include "vfs/file_description.h"

namespace tmpfs {

// Open for reading and writing. Without `allow_sealing` it has F_SEAL_SEAL from the start.
Result<RefPtr<vfs::FileDescription>> CreateMemfd(std::string_view name, bool allow_sealing, RefPtr<const Credentials> creds);

// F_ADD_SEALS: EINVAL for files of other kinds and unknown seals, EPERM without write access or when sealed against it,
// EBUSY for F_SEAL_WRITE while there are writable shared mappings. F_GET_SEALS.
Result<void> AddSeals(vfs::FileDescription& file, uint32_t seals);
Result<uint32_t> GetSeals(vfs::FileDescription& file);

}  // namespace tmpfs
