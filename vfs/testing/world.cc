#include "vfs/testing/world.h"

#include <algorithm>

#include "base/io_vec.h"
#include "base/kernel_lock.h"
#include "base/log.h"
#include "base/memory_file.h"

namespace vfs {

void RunOnFiber(std::function<void()> body) {
  static bool once = [] {
    base::InstallSafeCopyHandler();
    CHECK_OK(base::MemoryFile::Create(uint64_t{1} << 33));
    return true;
  }();
  (void)once;
  bool done = false;
  {
    base::KernelLock::Section section;
    base::Fiber::Start([&] {
      body();
      done = true;
    });
  }
  CHECK(done);
}

World::World(RefPtr<FileSystem> root) {
  auto mount = MakeRef<Mount>(std::move(root), static_cast<unsigned long>(MS_RELATIME));
  ns = MakeRef<MountNamespace>(std::move(mount));
  context.root = context.start = ns->RootPath();
  context.creds = base::Credentials::Root(MakeRef<base::UserNamespace>(nullptr, 0));
}

World::~World() = default;

WalkContext World::As(uid_t uid, gid_t gid, std::vector<gid_t> groups) const {
  auto creds = MakeRef<Credentials>();
  creds->user_ns = context.creds->user_ns;
  creds->ruid = creds->euid = creds->suid = creds->fsuid = uid;
  creds->rgid = creds->egid = creds->sgid = creds->fsgid = gid;
  creds->groups = std::move(groups);
  if (uid == 0) creds->permitted = creds->effective = base::kAllCapabilities;
  WalkContext other = context;
  other.creds = std::move(creds);
  return other;
}

Result<Attributes> World::Stat(std::string_view name, unsigned walk_flags) const {
  Path place = TRY(Walk(context, name, walk_flags));
  return place.inode().Stat();
}

std::string ReadAll(FileDescription& file) {
  std::string content;
  char buffer[4096];
  for (;;) {
    size_t done = file.Read(IoVec(buffer, sizeof buffer)).value();
    if (done == 0) return content;
    content.append(buffer, done);
  }
}

size_t WriteAll(FileDescription& file, std::string_view content) {
  return file.Write(IoVec(const_cast<char*>(content.data()), content.size())).value();
}

void World::WriteFile(std::string_view name, std::string_view content) const {
  RefPtr<FileDescription> file = Open(name, O_WRONLY | O_CREAT | O_TRUNC).value();
  CHECK(WriteAll(*file, content) == content.size());
}

std::string World::ReadFile(std::string_view name) const {
  RefPtr<FileDescription> file = Open(name, O_RDONLY).value();
  return ReadAll(*file);
}

std::vector<std::string> World::List(std::string_view name) const {
  RefPtr<FileDescription> file = Open(name, O_RDONLY | O_DIRECTORY).value();
  std::vector<std::string> names;
  CHECK_OK(file->ReadDir([&names](const DirectoryEntry& entry) {
    if (entry.name != "." && entry.name != "..") names.emplace_back(entry.name);
    return true;
  }));
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace vfs
