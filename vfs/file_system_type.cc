#include "vfs/file_system_type.h"

#include <algorithm>


namespace vfs {

namespace {
std::vector<FileSystemType*>& Types() {
  static auto* types = new std::vector<FileSystemType*>;
  return *types;
}
}  // namespace

void RegisterFileSystemType(FileSystemType type) {
  if (FileSystemType* known = FindFileSystemType(type.name)) {
    *known = std::move(type);
  } else {
    Types().push_back(new FileSystemType(std::move(type)));
  }
}

FileSystemType* FindFileSystemType(std::string_view name) {
  for (FileSystemType* type : Types()) {
    if (type->name == name) return type;
  }
  return nullptr;
}

const std::vector<FileSystemType*>& FileSystemTypes() { return Types(); }

std::vector<MountOption> ParseMountOptions(std::string_view options) {
  std::vector<MountOption> parsed;
  while (!options.empty()) {
    std::string_view option = options.substr(0, options.find(','));
    options.remove_prefix(std::min(options.size(), option.size() + 1));
    if (option.empty()) continue;
    size_t equals = option.find('=');
    if (equals == std::string_view::npos) {
      parsed.push_back({option, {}});
    } else {
      parsed.push_back({option.substr(0, equals), option.substr(equals + 1)});
    }
  }
  return parsed;
}

}  // namespace vfs
