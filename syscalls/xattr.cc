// getxattr(2), setxattr(2), listxattr(2), removexattr(2) and their l and f twins.

#include <sys/xattr.h>

#include "syscalls/handlers.h"
#include "vfs/operations.h"

namespace syscalls {

namespace {

struct Target {
  vfs::WalkContext context;
  vfs::Path place;
};

Result<Target> ByPath(Task& task, PathArg path, bool follow) {
  std::string name = TRY(path.Read(task));
  Target target{.context = task.WalkFromCwd()};
  target.place = TRY(vfs::Walk(target.context, name, follow ? unsigned{vfs::kWalkFollow} : 0u));
  return target;
}
Result<Target> ByFd(Task& task, int fd) {
  RefPtr<vfs::FileDescription> file = TRY(task.GetIoFile(fd));
  return Target{.context = task.WalkFromCwd(), .place = file->path()};
}

Result<std::string> ReadName(Task& task, UserAddress address) {
  Result<std::string> name = task.mm().CopyInString(address, XATTR_NAME_MAX + 1);
  if (!name.ok()) return name.error() == Errno::kENAMETOOLONG ? Errno::kERANGE : name.error();
  if (name->empty()) return Errno::kERANGE;
  return name;
}

Result<uint64_t> Get(Task& task, const Target& target, UserAddress name, UserAddress value, size_t size) {
  std::string text = TRY(vfs::GetXattr(target.context, target.place, TRY(ReadName(task, name))));
  if (size == 0) return text.size();
  if (text.size() > size) return Errno::kERANGE;
  TRY(task.mm().CopyOut(value, text.data(), text.size()));
  return text.size();
}

Result<uint64_t> Set(Task& task, const Target& target, UserAddress name, UserAddress value, size_t size, int flags) {
  if ((flags & ~(XATTR_CREATE | XATTR_REPLACE)) != 0) return Errno::kEINVAL;
  std::string key = TRY(ReadName(task, name));
  if (size > XATTR_SIZE_MAX) return Errno::kE2BIG;
  std::string text(size, 0);
  TRY(task.mm().CopyIn(text.data(), value, size));
  TRY(vfs::SetXattr(target.context, target.place, key, text, flags));
  return 0;
}

Result<uint64_t> List(Task& task, const Target& target, UserAddress list, size_t size) {
  std::string joined;
  for (const std::string& name : TRY(vfs::ListXattr(target.context, target.place))) joined.append(name.c_str(), name.size() + 1);
  if (size == 0) return joined.size();
  if (joined.size() > size) return Errno::kERANGE;
  TRY(task.mm().CopyOut(list, joined.data(), joined.size()));
  return joined.size();
}

Result<uint64_t> Remove(Task& task, const Target& target, UserAddress name) {
  TRY(vfs::RemoveXattr(target.context, target.place, TRY(ReadName(task, name))));
  return 0;
}

}  // namespace

Result<uint64_t> SysGetxattr(Task& task, PathArg path, UserAddress name, UserAddress value, size_t size) { return Get(task, TRY(ByPath(task, path, true)), name, value, size); }
Result<uint64_t> SysLgetxattr(Task& task, PathArg path, UserAddress name, UserAddress value, size_t size) { return Get(task, TRY(ByPath(task, path, false)), name, value, size); }
Result<uint64_t> SysFgetxattr(Task& task, FdArg fd, UserAddress name, UserAddress value, size_t size) { return Get(task, TRY(ByFd(task, fd)), name, value, size); }
Result<uint64_t> SysSetxattr(Task& task, PathArg path, UserAddress name, UserAddress value, size_t size, FlagsArg flags) { return Set(task, TRY(ByPath(task, path, true)), name, value, size, flags); }
Result<uint64_t> SysLsetxattr(Task& task, PathArg path, UserAddress name, UserAddress value, size_t size, FlagsArg flags) { return Set(task, TRY(ByPath(task, path, false)), name, value, size, flags); }
Result<uint64_t> SysFsetxattr(Task& task, FdArg fd, UserAddress name, UserAddress value, size_t size, FlagsArg flags) { return Set(task, TRY(ByFd(task, fd)), name, value, size, flags); }
Result<uint64_t> SysListxattr(Task& task, PathArg path, UserAddress list, size_t size) { return List(task, TRY(ByPath(task, path, true)), list, size); }
Result<uint64_t> SysLlistxattr(Task& task, PathArg path, UserAddress list, size_t size) { return List(task, TRY(ByPath(task, path, false)), list, size); }
Result<uint64_t> SysFlistxattr(Task& task, FdArg fd, UserAddress list, size_t size) { return List(task, TRY(ByFd(task, fd)), list, size); }
Result<uint64_t> SysRemovexattr(Task& task, PathArg path, UserAddress name) { return Remove(task, TRY(ByPath(task, path, true)), name); }
Result<uint64_t> SysLremovexattr(Task& task, PathArg path, UserAddress name) { return Remove(task, TRY(ByPath(task, path, false)), name); }
Result<uint64_t> SysFremovexattr(Task& task, FdArg fd, UserAddress name) { return Remove(task, TRY(ByFd(task, fd)), name); }

}  // namespace syscalls
