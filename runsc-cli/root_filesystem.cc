#include "runsc-cli/root_filesystem.h"

#include <sys/mount.h>
#include <sys/stat.h>

#include "base/log.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/terminal_owner.h"
#include "sentry/mm/memory_manager.h"
#include "sentry/proc/proc_fs.h"
#include "vfs/file_system_type.h"
#include "vfs/fs/devpts/devpts.h"
#include "vfs/fs/devtmpfs/devtmpfs.h"
#include "vfs/fs/gofer/gofer_fs.h"
#include "vfs/fs/overlay/overlay_fs.h"
#include "vfs/fs/pipe/pipe_file.h"
#include "vfs/fs/sock/unix_socket.h"
#include "vfs/fs/tmpfs/shared_anonymous.h"
#include "vfs/fs/tmpfs/tmpfs.h"
#include "vfs/operations.h"
#include "vfs/socket.h"
#include "vfs/special_file.h"
#include "vfs/terminal.h"

namespace cli {

using boot::ErrnoStatus;
using boot::Status;
using boot::StatusOr;
using boot::StrCat;

namespace {

Result<RefPtr<vfs::FileDescription>> OpenControllingTerminal(const vfs::SpecialOpen& open) {
  auto* task = static_cast<kernel::Task*>(open.context.task);
  if (task == nullptr || !task->thread_group().session().terminal) return Errno::kENXIO;
  return static_cast<vfs::Terminal&>(*task->thread_group().session().terminal).Open(open.flags);
}

Result<RefPtr<vfs::FileSystem>> CreateProc(const vfs::MountRequest& request) {
  auto* task = static_cast<kernel::Task*>(request.context.task);
  return proc::CreateProcFs(task != nullptr ? task->pid_ns() : kernel::Kernel::Get().pid_ns, request.source);
}

}  // namespace

void NameTerminal(vfs::MountNamespace& mounts, const kernel::ProcessSpec& process) {
  if (!process.terminal) return;
  vfs::WalkContext context{.root = mounts.RootPath(), .start = mounts.RootPath(), .creds = process.creds};
  Result<vfs::Path> directory = vfs::Walk(context, "/dev/pts", vfs::kWalkFollow | vfs::kWalkDirectory);
  // Without a devpts the terminal has no name; nothing else depends on that.
  if (directory.ok()) (void)devpts::Adopt(*directory, "/dev/pts", *process.files[0]).ok();
}

void RegisterFileSystems() {
  tmpfs::Register();
  devtmpfs::Register();
  devpts::Register();
  overlay::RegisterOverlay();
  vfs::RegisterFileSystemType({.name = "proc", .user_mountable = true, .create = CreateProc});
  vfs::RegisterFileSystemType({.name = "sysfs", .user_mountable = true, .create = [](const vfs::MountRequest& request) -> Result<RefPtr<vfs::FileSystem>> {
                                 return proc::CreateSysFs(request.source);
                               }});
  vfs::RegisterCharDevice(5, 0, OpenControllingTerminal);
  vfs::RegisterCharDevice(5, 1, OpenControllingTerminal);
  pipefs::RegisterFifos();
  unix_socket::Register();
  vfs::Socket::SetCurrentCredentials([] {
    kernel::Task* task = kernel::Task::CurrentOrNull();
    if (task == nullptr) return vfs::SocketCredentials{};
    return vfs::SocketCredentials{.pid = task->thread_group().tgid(*kernel::Kernel::Get().pid_ns),
                                  .uid = task->creds()->euid,
                                  .gid = task->creds()->egid};
  });
  kernel::RegisterTerminalOwner();
  kernel::RegisterSignalSource();
  mm::SetSharedAnonymousFactory(tmpfs::CreateSharedAnonymous);
}

namespace {

// Puts the container's tree together, one mount after the other, as a process with all rights and the root as working directory.
class Assembler {
 public:
  Assembler(const boot::BootConfig& config, RefPtr<goferfs::Connection> gofer, RefPtr<const Credentials> creds)
      : config_(config), gofer_(std::move(gofer)), creds_(std::move(creds)) {}

  StatusOr<RefPtr<vfs::MountNamespace>> Run() {
    bool overlay = config_.overlay != boot::Overlay::kNone;
    Result<RefPtr<vfs::FileSystem>> root = HostFiles(0, overlay, config_.spec.root.readonly && !overlay);
    if (!root.ok()) return ErrnoStatus(root.error(), StrCat("root file system ", config_.spec.root.path));
    ns_ = MakeRef<vfs::MountNamespace>(MakeRef<vfs::Mount>(*root, (*root)->root_dentry(), 0));
    context_ = {.root = ns_->RootPath(), .start = ns_->RootPath(), .creds = creds_};
    for (size_t i = 0; i < config_.spec.mounts.size(); i++) {
      if (Status status = AddMount(config_.spec.mounts[i], config_.mount_exports[i]); !status.ok()) return status;
    }
    if (Status status = PopulateDev(); !status.ok()) return status;
    for (const std::string& path : config_.spec.readonly_paths) Protect(path, MS_RDONLY);
    for (const std::string& path : config_.spec.masked_paths) Mask(path);
    if (config_.spec.root.readonly) ns_->root()->flags |= MS_RDONLY;
    return ns_;
  }

 private:
  // Files of the host by the gofer, under a fresh in-memory upper layer if `overlay`.
  Result<RefPtr<vfs::FileSystem>> HostFiles(int gofer_export, bool overlay, bool read_only) {
    goferfs::Options options{.export_index = static_cast<uint32_t>(gofer_export),
                             .shared = config_.file_access == boot::FileAccess::kShared,
                             .read_only = read_only};
    RefPtr<vfs::FileSystem> files = TRY(goferfs::Create(gofer_, options));
    // A single file cannot have an overlay: its mount is as it is.
    if (!overlay || !S_ISDIR(files->root()->type())) return files;
    RefPtr<tmpfs::TmpFileSystem> upper = TRY(tmpfs::TmpFileSystem::Create("none", "mode=755", *creds_));
    return overlay::CreateOverlay({.upper = upper->root(), .lowers = {files->root()}, .source = "none", .layers = {upper, files}});
  }

  Status AddMount(const boot::MountSpec& mount, int gofer_export) {
    std::string what = StrCat("mount ", mount.destination);
    RefPtr<vfs::FileSystem> fs;
    if (gofer_export >= 0) {
      bool overlay = config_.overlay == boot::Overlay::kAllMemory;
      Result<RefPtr<vfs::FileSystem>> made = HostFiles(gofer_export, overlay, (mount.flags & MS_RDONLY) != 0 && !overlay);
      if (!made.ok()) return ErrnoStatus(made.error(), what);
      fs = std::move(made).value();
    } else {
      // The kinds of /dev that specifications ask for are one here; control groups are not shown.
      std::string type = mount.type == "mqueue" || mount.type == "cgroup" || mount.type == "cgroup2" ? "tmpfs" : mount.type;
      vfs::FileSystemType* known = vfs::FindFileSystemType(type);
      if (known == nullptr) return boot::Error(what, ": file system type ", mount.type, " is not known");
      Result<RefPtr<vfs::FileSystem>> made = known->create({.context = context_, .source = mount.source.empty() ? mount.type : mount.source, .flags = mount.flags,
                                                            .options = type == mount.type ? mount.data : ""});
      if (!made.ok()) return ErrnoStatus(made.error(), StrCat(what, " (", mount.type, " ", mount.data, ")"));
      fs = std::move(made).value();
    }
    Result<vfs::Path> place = MakeMountpoint(mount.destination, S_ISDIR(fs->root()->type()));
    if (!place.ok()) return ErrnoStatus(place.error(), what);
    Result<void> mounted = vfs::MountFs(context_, fs, *place, mount.flags & ~uint64_t{MS_BIND | MS_REC});
    if (!mounted.ok()) return ErrnoStatus(mounted.error(), what);
    return {};
  }

  // The mount point, made with its parents where it is missing.
  Result<vfs::Path> MakeMountpoint(const std::string& path, bool directory) {
    for (size_t end = 1; end <= path.size(); end++) {
      if (end < path.size() && path[end] != '/') continue;
      std::string prefix = path.substr(0, end);
      if (vfs::Walk(context_, prefix, vfs::kWalkFollow).ok()) continue;
      bool last = end == path.size();
      Result<void> made = last && !directory ? vfs::Mknod(context_, prefix, S_IFREG | 0644, 0) : vfs::Mkdir(context_, prefix, 0755);
      if (!made.ok() && made.error() != Errno::kEEXIST) return made.error();
    }
    return vfs::Walk(context_, path, vfs::kWalkFollow);
  }

  // A /dev that the specification mounts is empty; the runtime puts the standard devices into it.
  Status PopulateDev() {
    Result<vfs::Path> dev = vfs::Walk(context_, "/dev", vfs::kWalkFollow | vfs::kWalkDirectory);
    if (!dev.ok()) return {};
    vfs::WalkContext inside = context_;
    inside.start = *dev;
    if (dev->inode().fs().name() != "tmpfs" && dev->inode().fs().name() != "devtmpfs") return {};
    Result<void> made = devtmpfs::Populate(inside);
    if (!made.ok()) return ErrnoStatus(made.error(), "devices in /dev");
    return {};
  }

  void Protect(const std::string& path, unsigned long flags) {
    Result<vfs::Path> place = vfs::Walk(context_, path, vfs::kWalkFollow);
    if (!place.ok()) return;
    if (vfs::BindMount(context_, *place, *place, MS_BIND | MS_REC).ok()) {
      Result<vfs::Path> mounted = vfs::Walk(context_, path, vfs::kWalkFollow);
      if (mounted.ok()) (void)vfs::Remount(context_, *mounted, MS_BIND | MS_REMOUNT | flags, "").ok();
    }
  }

  // Hides a path: a directory under an empty read-only tmpfs, a file under /dev/null.
  void Mask(const std::string& path) {
    Result<vfs::Path> place = vfs::Walk(context_, path, vfs::kWalkFollow);
    if (!place.ok()) return;
    if (place->dentry->is_directory()) {
      Result<RefPtr<tmpfs::TmpFileSystem>> empty = tmpfs::TmpFileSystem::Create("tmpfs", "mode=755", *creds_);
      if (empty.ok()) (void)vfs::MountFs(context_, *empty, *place, MS_RDONLY).ok();
    } else if (Result<vfs::Path> null = vfs::Walk(context_, "/dev/null", vfs::kWalkFollow); null.ok()) {
      (void)vfs::BindMount(context_, *null, *place, MS_BIND).ok();
    }
  }

  const boot::BootConfig& config_;
  const RefPtr<goferfs::Connection> gofer_;
  const RefPtr<const Credentials> creds_;
  RefPtr<vfs::MountNamespace> ns_;
  vfs::WalkContext context_;
};

}  // namespace

StatusOr<RefPtr<vfs::MountNamespace>> AssembleRoot(const boot::BootConfig& config, const RefPtr<goferfs::Connection>& gofer,
                                                   const RefPtr<const Credentials>& creds) {
  return Assembler(config, gofer, creds).Run();
}

}  // namespace cli
