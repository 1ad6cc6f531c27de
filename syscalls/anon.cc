// eventfd(2), timerfd_create(2), signalfd(2), inotify(7), memfd_create(2).

#include <linux/memfd.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>

#include "sentry/kernel/kernel.h"
#include "syscalls/handlers.h"
#include "syscalls/time_util.h"
#include "vfs/fs/anon/eventfd.h"
#include "vfs/fs/anon/inotify.h"
#include "vfs/fs/anon/signalfd.h"
#include "vfs/fs/anon/timerfd.h"
#include "vfs/fs/tmpfs/memfd.h"
#include "vfs/operations.h"

namespace syscalls {

Result<uint64_t> SysEventfd2(Task& task, uint32_t initial, FlagsArg flags) {
  return static_cast<uint64_t>(TRY(task.InstallFd(TRY(anonfs::CreateEvent(initial, flags, task.creds())), (flags & EFD_CLOEXEC) != 0)));
}
Result<uint64_t> SysEventfd(Task& task, uint32_t initial) { return SysEventfd2(task, initial, {0}); }

// --- timerfd ---

Result<uint64_t> SysTimerfdCreate(Task& task, int clock, FlagsArg flags) {
  return static_cast<uint64_t>(TRY(task.InstallFd(TRY(anonfs::CreateTimer(clock, flags, task.creds())), (flags & TFD_CLOEXEC) != 0)));
}

namespace {
Result<RefPtr<anonfs::TimerFile>> GetTimer(Task& task, int fd) {
  RefPtr<vfs::FileDescription> file = TRY(task.GetIoFile(fd));
  auto* timer = vfs::FileAs<anonfs::TimerFile>(file.get());
  if (timer == nullptr) return Errno::kEINVAL;
  return RefPtr<anonfs::TimerFile>(timer);
}
}  // namespace

Result<uint64_t> SysTimerfdSettime(Task& task, FdArg fd, FlagsArg flags, InArg<itimerspec> in, OutArg<itimerspec> old) {
  itimerspec value = TRY(in.Read(task));
  RefPtr<anonfs::TimerFile> timer = TRY(GetTimer(task, fd));
  itimerspec before = TRY(timer->SetTime(flags, value));
  if (!old.null()) TRY(old.Write(task, before));
  return 0;
}

Result<uint64_t> SysTimerfdGettime(Task& task, FdArg fd, OutArg<itimerspec> out) {
  RefPtr<anonfs::TimerFile> timer = TRY(GetTimer(task, fd));
  TRY(out.Write(task, timer->GetTime()));
  return 0;
}

// --- signalfd ---

Result<uint64_t> SysSignalfd4(Task& task, int fd, UserAddress set, size_t size, FlagsArg flags) {
  if ((flags.value & ~uint64_t{SFD_CLOEXEC | SFD_NONBLOCK}) != 0) return Errno::kEINVAL;
  kernel::SignalSet mask = TRY(ReadSignalSet(task, set, size)) & ~kernel::kUnblockableSignals;
  if (fd == -1) {
    return static_cast<uint64_t>(TRY(task.InstallFd(TRY(anonfs::CreateSignal(mask, flags, task.creds())), (flags & SFD_CLOEXEC) != 0)));
  }
  RefPtr<vfs::FileDescription> file = TRY(task.GetIoFile(fd));
  auto* signal_file = vfs::FileAs<anonfs::SignalFile>(file.get());
  if (signal_file == nullptr) return Errno::kEINVAL;
  signal_file->SetMask(mask);
  return static_cast<uint64_t>(fd);
}
Result<uint64_t> SysSignalfd(Task& task, int fd, UserAddress set, size_t size) { return SysSignalfd4(task, fd, set, size, {0}); }

// --- inotify ---

Result<uint64_t> SysInotifyInit1(Task& task, FlagsArg flags) {
  return static_cast<uint64_t>(TRY(task.InstallFd(TRY(anonfs::CreateInotify(flags, task.creds())), (flags & IN_CLOEXEC) != 0)));
}
Result<uint64_t> SysInotifyInit(Task& task) { return SysInotifyInit1(task, {0}); }

Result<uint64_t> SysInotifyAddWatch(Task& task, FdArg fd, PathArg path, uint32_t mask) {
  RefPtr<vfs::FileDescription> file = TRY(task.GetIoFile(fd));
  auto* inotify = vfs::FileAs<anonfs::InotifyFile>(file.get());
  if (inotify == nullptr) return Errno::kEINVAL;
  std::string name = TRY(path.Read(task));
  vfs::WalkContext context = task.WalkFromCwd();
  unsigned walk = ((mask & IN_DONT_FOLLOW) != 0 ? 0u : unsigned{vfs::kWalkFollow}) | ((mask & IN_ONLYDIR) != 0 ? unsigned{vfs::kWalkDirectory} : 0u);
  vfs::Path place = TRY(vfs::Walk(context, name, walk));
  TRY(vfs::Access(context, place, R_OK));
  return static_cast<uint64_t>(TRY(inotify->AddWatch(place, mask)));
}

Result<uint64_t> SysInotifyRmWatch(Task& task, FdArg fd, int watch) {
  RefPtr<vfs::FileDescription> file = TRY(task.GetIoFile(fd));
  auto* inotify = vfs::FileAs<anonfs::InotifyFile>(file.get());
  if (inotify == nullptr) return Errno::kEINVAL;
  TRY(inotify->RemoveWatch(watch));
  return 0;
}

// --- memfd ---

Result<uint64_t> SysMemfdCreate(Task& task, UserAddress name_address, FlagsArg flags) {
  constexpr uint64_t kKnown = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  if ((flags.value & MFD_HUGETLB) != 0) return Errno::kENOSYS;  // no huge pages are set aside
  if ((flags.value & ~kKnown) != 0) return Errno::kEINVAL;
  Result<std::string> name = task.mm().CopyInString(name_address, 250);
  if (!name.ok()) return name.error() == Errno::kENAMETOOLONG ? Errno::kEINVAL : name.error();
  RefPtr<vfs::FileDescription> file = TRY(tmpfs::CreateMemfd(*name, (flags & MFD_ALLOW_SEALING) != 0, task.creds()));
  return static_cast<uint64_t>(TRY(task.InstallFd(std::move(file), (flags & MFD_CLOEXEC) != 0)));
}

}  // namespace syscalls
