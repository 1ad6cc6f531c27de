// What unit tests of memory need of runsc::vfs to link, until that target exists.

#include "vfs/file_description.h"

namespace vfs {

void FileDescription::Init(Path path, int flags, RefPtr<const Credentials> creds) {
  path_ = std::move(path);
  flags_ = flags;
  creds_ = std::move(creds);
}
FileDescription::~FileDescription() = default;
Result<size_t> FileDescription::Read(const IoVec&) { return Errno::kENOSYS; }
Result<size_t> FileDescription::Write(const IoVec&) { return Errno::kENOSYS; }
Result<size_t> FileDescription::AppendWrite(const IoVec&, uint64_t*) { return Errno::kENOSYS; }
Result<int64_t> FileDescription::Seek(int64_t, int) { return Errno::kENOSYS; }
Result<void> FileDescription::Truncate(uint64_t) { return Errno::kENOSYS; }
Result<Attributes> FileDescription::Stat() { return Errno::kENOSYS; }

}  // namespace vfs
