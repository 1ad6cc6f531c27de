// uname(2), sethostname(2), sysinfo(2), getrandom(2), syslog(2), reboot(2), acct(2): the system as a whole.

#include <linux/random.h>
#include <sys/random.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

#include "base/event_loop.h"
#include "base/host.h"
#include "sentry/kernel/host_info.h"
#include "sentry/kernel/kernel.h"
#include "syscalls/handlers.h"

namespace syscalls {

Result<uint64_t> SysUname(Task& task, OutArg<utsname> out) {
  utsname names = {};
  auto set = [](char* field, std::string_view text) { memcpy(field, text.data(), std::min<size_t>(text.size(), 64)); };
  set(names.sysname, "Linux");
  set(names.nodename, task.namespaces.uts->hostname);
  set(names.release, kernel::Kernel::kRelease);
  set(names.version, kernel::Kernel::kVersion);
  set(names.machine, "x86_64");
  set(names.domainname, task.namespaces.uts->domainname);
  TRY(out.Write(task, names));
  return 0;
}

namespace {
Result<void> SetName(Task& task, UserAddress name, size_t length, std::string& target) {
  if (!task.creds()->HasIn(CAP_SYS_ADMIN, *task.namespaces.uts->user_ns)) return Errno::kEPERM;
  if (length > 64) return Errno::kEINVAL;
  std::string text(length, 0);
  TRY(task.mm().CopyIn(text.data(), name, length));
  target = text.substr(0, text.find('\0'));
  return {};
}
}  // namespace

Result<uint64_t> SysSethostname(Task& task, UserAddress name, size_t length) {
  TRY(SetName(task, name, length, task.namespaces.uts->hostname));
  return 0;
}
Result<uint64_t> SysSetdomainname(Task& task, UserAddress name, size_t length) {
  TRY(SetName(task, name, length, task.namespaces.uts->domainname));
  return 0;
}

Result<uint64_t> SysSysinfo(Task& task, OutArg<struct sysinfo> out) {
  MemoryTotals memory = GetMemoryTotals();
  struct sysinfo info = {};
  // Rounded up, as Linux does: never zero.
  info.uptime = (base::MonotonicNow() - task.kernel().boot_time_ns()) / 1'000'000'000 + 1;
  info.totalram = memory.total;
  info.freeram = memory.available;
  info.procs = static_cast<unsigned short>(std::min<uint64_t>(task.kernel().live_tasks, UINT16_MAX));
  info.mem_unit = 1;
  TRY(out.Write(task, info));
  return 0;
}

Result<uint64_t> SysGetrandom(Task& task, UserAddress buffer, size_t size, FlagsArg flags) {
  if ((flags.value & ~uint64_t{GRND_NONBLOCK | GRND_RANDOM | GRND_INSECURE}) != 0) return Errno::kEINVAL;
  if ((flags & (GRND_RANDOM | GRND_INSECURE)) == (GRND_RANDOM | GRND_INSECURE)) return Errno::kEINVAL;
  size = std::min<size_t>(size, INT32_MAX);
  char chunk[256];
  for (size_t done = 0; done < size;) {
    size_t n = std::min(size - done, sizeof chunk);
    TRY(HOST(getrandom(chunk, n, 0)));
    Result<void> copied = task.mm().CopyOut(buffer + done, chunk, n);
    if (!copied.ok()) {
      if (done > 0) return done;
      return copied.error();
    }
    done += n;
  }
  return size;
}

Result<uint64_t> SysSyslog(Task& task, int type, UserAddress buffer, int length) {
  constexpr int kReadAll = 3, kSizeUnread = 9, kSizeBuffer = 10;
  static constexpr std::string_view kLog = "<6>[    0.000000] Linux version 6.1.0-runsc\n<6>[    0.000000] Command line: runsc\n";
  if (type < 0 || type > 10) return Errno::kEINVAL;
  if (type != kReadAll && type != kSizeBuffer && !task.creds()->Has(CAP_SYSLOG)) return Errno::kEPERM;
  switch (type) {
    case kReadAll: {
      if (buffer == 0 || length < 0) return Errno::kEINVAL;
      size_t n = std::min<size_t>(static_cast<size_t>(length), kLog.size());
      TRY(task.mm().CopyOut(buffer, kLog.data() + kLog.size() - n, n));
      return n;
    }
    case kSizeBuffer:
      return 1 << 16;
    case kSizeUnread:
    default:
      return 0;
  }
}

// --- what only the owner of the machine may do ---

namespace {
Result<uint64_t> Refuse(Task& task, int capability, Errno with_capability) {
  return task.creds()->Has(capability) ? with_capability : Errno::kEPERM;
}
}  // namespace

Result<uint64_t> SysReboot(Task& task) { return Refuse(task, CAP_SYS_BOOT, Errno::kEPERM); }
Result<uint64_t> SysAcct(Task& task) { return Refuse(task, CAP_SYS_PACCT, Errno::kENOSYS); }
Result<uint64_t> SysSwapon(Task& task) { return Refuse(task, CAP_SYS_ADMIN, Errno::kEPERM); }
Result<uint64_t> SysSwapoff(Task& task) { return Refuse(task, CAP_SYS_ADMIN, Errno::kEPERM); }
Result<uint64_t> SysIopl(Task& task) { return Refuse(task, CAP_SYS_RAWIO, Errno::kEPERM); }
Result<uint64_t> SysIoperm(Task& task) { return Refuse(task, CAP_SYS_RAWIO, Errno::kEPERM); }
Result<uint64_t> SysInitModule(Task& task) { return Refuse(task, CAP_SYS_MODULE, Errno::kEPERM); }
Result<uint64_t> SysDeleteModule(Task& task) { return Refuse(task, CAP_SYS_MODULE, Errno::kEPERM); }
Result<uint64_t> SysKexecLoad(Task& task) { return Refuse(task, CAP_SYS_BOOT, Errno::kEPERM); }
Result<uint64_t> SysVhangup(Task& task) { return Refuse(task, CAP_SYS_TTY_CONFIG, Errno::kEPERM); }
Result<uint64_t> SysPerfEventOpen(Task&) { return Errno::kEACCES; }
Result<uint64_t> SysBpf(Task&) { return Errno::kEPERM; }
Result<uint64_t> SysModifyLdt(Task&, int function) { return function == 0 ? Result<uint64_t>(uint64_t{0}) : Errno::kEPERM; }

MemoryTotals GetMemoryTotals() {
  MemoryTotals now{kernel::GetHostInfo().memory_bytes, 0};
  uint64_t used = base::MemoryFile::Get().committed_bytes();
  now.available = used < now.total ? now.total - used : 0;
  return now;
}

}  // namespace syscalls
