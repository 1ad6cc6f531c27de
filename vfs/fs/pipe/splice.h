#pragma once

// splice(2), tee(2), vmsplice(2) and sendfile(2) on open files. Each is the whole system call behind the decoding of its
// arguments and so, unlike operations of files, blocks the calling fiber: ERESTARTSYS when interrupted before anything was
// moved. On EPIPE the caller raises SIGPIPE.

#include <cstdint>

#include "vfs/file_description.h"
#include "vfs/fs/pipe/pipe.h"

namespace pipefs {

// Offsets are read and advanced; null stands for the file position. `flags`: SPLICE_F_*.
Result<size_t> Splice(vfs::FileDescription& in, int64_t* in_offset, vfs::FileDescription& out, int64_t* out_offset,
                      size_t length, unsigned flags);
Result<size_t> Tee(vfs::FileDescription& in, vfs::FileDescription& out, size_t length, unsigned flags);
// `memory` is what is written to a writing end, or filled from a reading end.
Result<size_t> Vmsplice(vfs::FileDescription& pipe, const IoVec& memory, unsigned flags);
// Copies through a buffer of the Sentry. `in` must have positions (EINVAL).
Result<size_t> SendFile(vfs::FileDescription& out, vfs::FileDescription& in, int64_t* in_offset, size_t count);

// --- the parts, which do not block: EAGAIN ---
// Moves what `in` has to the pipe's free slots. At end of file: 0.
Result<size_t> SpliceFrom(vfs::FileDescription& in, int64_t* in_offset, Pipe& to, size_t length);
// 0 when the pipe is empty and has no writers.
Result<size_t> SpliceTo(Pipe& from, vfs::FileDescription& out, int64_t* out_offset, size_t length);
Result<size_t> SplicePipes(Pipe& from, Pipe& to, size_t length);

}  // namespace pipefs
