#include "sentry/boot/mount_options.h"

#include <sys/mount.h>

namespace boot {

namespace {

struct Option {
  std::string_view name;
  uint64_t flag;
  enum { kSet, kClear, kPropagation } effect;
};

#ifndef MS_NOSYMFOLLOW
constexpr uint64_t MS_NOSYMFOLLOW = 256;
#endif

constexpr Option kOptions[] = {
    {"ro", MS_RDONLY, Option::kSet},
    {"rw", MS_RDONLY, Option::kClear},
    {"nosuid", MS_NOSUID, Option::kSet},
    {"suid", MS_NOSUID, Option::kClear},
    {"nodev", MS_NODEV, Option::kSet},
    {"dev", MS_NODEV, Option::kClear},
    {"noexec", MS_NOEXEC, Option::kSet},
    {"exec", MS_NOEXEC, Option::kClear},
    {"sync", MS_SYNCHRONOUS, Option::kSet},
    {"async", MS_SYNCHRONOUS, Option::kClear},
    {"dirsync", MS_DIRSYNC, Option::kSet},
    {"mand", MS_MANDLOCK, Option::kSet},
    {"nomand", MS_MANDLOCK, Option::kClear},
    {"noatime", MS_NOATIME, Option::kSet},
    {"atime", MS_NOATIME, Option::kClear},
    {"nodiratime", MS_NODIRATIME, Option::kSet},
    {"diratime", MS_NODIRATIME, Option::kClear},
    {"relatime", MS_RELATIME, Option::kSet},
    {"norelatime", MS_RELATIME, Option::kClear},
    {"strictatime", MS_STRICTATIME, Option::kSet},
    {"nostrictatime", MS_STRICTATIME, Option::kClear},
    {"nosymfollow", MS_NOSYMFOLLOW, Option::kSet},
    {"symfollow", MS_NOSYMFOLLOW, Option::kClear},
    {"iversion", MS_I_VERSION, Option::kSet},
    {"noiversion", MS_I_VERSION, Option::kClear},
    {"bind", MS_BIND, Option::kSet},
    {"rbind", MS_BIND | MS_REC, Option::kSet},
    {"remount", MS_REMOUNT, Option::kSet},
    {"silent", MS_SILENT, Option::kSet},
    {"loud", MS_SILENT, Option::kClear},
    {"private", MS_PRIVATE, Option::kPropagation},
    {"rprivate", MS_PRIVATE | MS_REC, Option::kPropagation},
    {"shared", MS_SHARED, Option::kPropagation},
    {"rshared", MS_SHARED | MS_REC, Option::kPropagation},
    {"slave", MS_SLAVE, Option::kPropagation},
    {"rslave", MS_SLAVE | MS_REC, Option::kPropagation},
    {"unbindable", MS_UNBINDABLE, Option::kPropagation},
    {"runbindable", MS_UNBINDABLE | MS_REC, Option::kPropagation},
    {"defaults", 0, Option::kSet},
};

const Option* Find(std::string_view name) {
  for (const Option& option : kOptions) {
    if (option.name == name) return &option;
  }
  return nullptr;
}

}  // namespace

void ParseMountOptions(MountSpec& mount) {
  for (const std::string& name : mount.options) {
    const Option* option = Find(name);
    if (option == nullptr) {
      if (!mount.data.empty()) mount.data += ',';
      mount.data += name;
    } else if (option->effect == Option::kSet) {
      mount.flags |= option->flag;
      mount.clear_flags &= ~option->flag;
    } else if (option->effect == Option::kClear) {
      mount.flags &= ~option->flag;
      mount.clear_flags |= option->flag;
    } else {
      mount.propagation = option->flag;
    }
  }
}

bool MountSpec::is_bind() const { return type == "bind" || (flags & MS_BIND) != 0; }

}  // namespace boot
