#include "vfs/fs/devtmpfs/devtmpfs.h"

#include <sys/sysmacros.h>

#include "vfs/file_system_type.h"
#include "vfs/fs/devtmpfs/memory_devices.h"
#include "vfs/fs/tmpfs/tmpfs.h"
#include "vfs/operations.h"
#include "vfs/special_file.h"

namespace devtmpfs {

namespace {

struct Node {
  const char* name;
  unsigned major, minor;
};
constexpr Node kNodes[] = {
    {"null", 1, 3}, {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0},
};

struct LinkNode {
  const char* name;
  const char* target;
};
constexpr LinkNode kLinks[] = {
    {"ptmx", "pts/ptmx"},           {"fd", "/proc/self/fd"},          {"stdin", "/proc/self/fd/0"},
    {"stdout", "/proc/self/fd/1"},  {"stderr", "/proc/self/fd/2"},    {"core", "/proc/kcore"},
};

// What is there already stays as it is.
Result<void> Tolerate(const Result<void>& made) {
  if (!made.ok() && made.error() != Errno::kEEXIST) return made.error();
  return {};
}

}  // namespace

void RegisterMemoryDevices() {
  for (auto device : {MemoryDevice::kNull, MemoryDevice::kZero, MemoryDevice::kFull, MemoryDevice::kRandom, MemoryDevice::kUrandom}) {
    vfs::RegisterCharDevice(1, static_cast<unsigned>(device), [device](const vfs::SpecialOpen&) -> Result<RefPtr<vfs::FileDescription>> {
      return OpenMemoryDevice(device);
    });
  }
}

Result<void> Populate(const vfs::WalkContext& context) {
  for (const Node& node : kNodes) {
    TRY(Tolerate(vfs::Mknod(context, node.name, S_IFCHR | 0666, makedev(node.major, node.minor))));
  }
  for (const LinkNode& link : kLinks) TRY(Tolerate(vfs::Symlink(context, link.target, link.name)));
  return {};
}

Result<RefPtr<vfs::FileSystem>> Create(std::string source, std::string_view options, const Credentials& creds) {
  std::string text = "mode=0755";
  if (!options.empty()) text.append(",").append(options);
  RefPtr<tmpfs::TmpFileSystem> fs = TRY(tmpfs::TmpFileSystem::Create(std::move(source), text, creds, "devtmpfs"));

  // Filled by the ordinary calls, on a mount that nobody else sees, as the kernel would: whoever mounts may lack the
  // capabilities for it.
  auto mount = MakeRef<vfs::Mount>(RefPtr<vfs::FileSystem>(fs), 0ul);
  vfs::WalkContext context;
  context.root = context.start = vfs::Path{mount, mount->root()};
  auto kernel = MakeRef<Credentials>();
  kernel->permitted = kernel->effective = base::kAllCapabilities;
  context.creds = std::move(kernel);
  TRY(Populate(context));
  TRY(vfs::Mknod(context, "console", S_IFCHR | 0600, makedev(5, 1)));
  TRY(vfs::Mkdir(context, "pts", 0755));
  TRY(vfs::Mkdir(context, "shm", 01777));
  TRY(vfs::Mkdir(context, "mqueue", 01777));
  return RefPtr<vfs::FileSystem>(std::move(fs));
}

void Register() {
  RegisterMemoryDevices();
  vfs::RegisterFileSystemType({.name = "devtmpfs", .create = [](const vfs::MountRequest& request) -> Result<RefPtr<vfs::FileSystem>> {
                                 return Create(request.source, request.options, *request.context.creds);
                               }});
}

}  // namespace devtmpfs
