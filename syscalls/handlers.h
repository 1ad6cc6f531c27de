#pragma once

// The handlers of the table, by family. Each decodes nothing itself (syscalls/args.h does), checks its arguments, calls a method of
// a layer below and returns the value for rax or an errno. Which errno when: the man page named at the top of each file.

#include <linux/capability.h>
#include <mqueue.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <utime.h>
#include <sys/timerfd.h>
#include <sys/socket.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/timex.h>
#include <sys/utsname.h>

#include <optional>

#include "syscalls/args.h"

namespace syscalls {

using kernel::SignalAction;
using kernel::SignalSet;

// process.cc
Result<uint64_t> SysFork(Task& task);
Result<uint64_t> SysVfork(Task& task);
Result<uint64_t> SysClone(Task& task, FlagsArg flags, UserAddress stack, UserAddress parent_tid, UserAddress child_tid, uint64_t tls);
Result<uint64_t> SysClone3(Task& task, UserAddress address, size_t size);
Result<uint64_t> SysExecve(Task& task, PathArg path, UserAddress argv, UserAddress envp);
Result<uint64_t> SysExecveat(Task& task, DirFdArg dirfd, PathArg path, UserAddress argv, UserAddress envp, FlagsArg flags);
Result<uint64_t> SysExit(Task& task, int status);
Result<uint64_t> SysExitGroup(Task& task, int status);
Result<uint64_t> SysWait4(Task& task, int pid, OutArg<int> status, FlagsArg options, OutArg<rusage> usage);
Result<uint64_t> SysWaitid(Task& task, int which, int id, OutArg<siginfo_t> info, FlagsArg options, OutArg<rusage> usage);
Result<uint64_t> SysGetpid(Task& task);
Result<uint64_t> SysGettid(Task& task);
Result<uint64_t> SysGetppid(Task& task);
Result<uint64_t> SysGetpgid(Task& task, int pid);
Result<uint64_t> SysGetpgrp(Task& task);
Result<uint64_t> SysGetsid(Task& task, int pid);
Result<uint64_t> SysSetpgid(Task& task, int pid, int pgid);
Result<uint64_t> SysSetsid(Task& task);
Result<uint64_t> SysSetTidAddress(Task& task, UserAddress address);
Result<uint64_t> SysUnshare(Task& task, FlagsArg flags);
Result<uint64_t> SysPidfdOpen(Task& task, int pid, FlagsArg flags);
Result<uint64_t> SysPidfdSendSignal(Task& task, FdArg fd, SignalArg signo, InArg<siginfo_t> info, FlagsArg flags);
Result<uint64_t> SysPidfdGetfd(Task& task, FdArg pidfd, int fd, FlagsArg flags);

// sysv_shm.cc, sysv_sem.cc, sysv_msg.cc
Result<uint64_t> SysShmget(Task& task, key_t key, size_t size, FlagsArg flags);
Result<uint64_t> SysShmat(Task& task, int id, UserAddress address, FlagsArg flags);
Result<uint64_t> SysShmdt(Task& task, UserAddress address);
Result<uint64_t> SysShmctl(Task& task, int id, int command, UserAddress buffer);
Result<uint64_t> SysSemget(Task& task, key_t key, int count, FlagsArg flags);
Result<uint64_t> SysSemop(Task& task, int id, UserAddress operations, size_t count);
Result<uint64_t> SysSemtimedop(Task& task, int id, UserAddress operations, size_t count, InArg<timespec> timeout);
Result<uint64_t> SysSemctl(Task& task, int id, int number, int command, uint64_t argument);
Result<uint64_t> SysMsgget(Task& task, key_t key, FlagsArg flags);
Result<uint64_t> SysMsgsnd(Task& task, int id, UserAddress message, size_t size, FlagsArg flags);
Result<uint64_t> SysMsgrcv(Task& task, int id, UserAddress message, size_t size, long type, FlagsArg flags);
Result<uint64_t> SysMsgctl(Task& task, int id, int command, UserAddress buffer);

// aio.cc
Result<uint64_t> SysIoSetup(Task& task, uint32_t events, InOutArg<uint64_t> context);
Result<uint64_t> SysIoDestroy(Task& task, uint64_t context);
Result<uint64_t> SysIoSubmit(Task& task, uint64_t context, int64_t count, UserAddress blocks);
Result<uint64_t> SysIoCancel(Task& task, uint64_t context, UserAddress block, UserAddress result);
Result<uint64_t> SysIoGetevents(Task& task, uint64_t context, int64_t least, int64_t most, UserAddress events, InArg<timespec> timeout);
Result<uint64_t> SysIoPgetevents(Task& task, uint64_t context, int64_t least, int64_t most, UserAddress events, InArg<timespec> timeout,
                                 UserAddress mask);

// namespace.cc
Result<uint64_t> SysSetns(Task& task, FdArg fd, FlagsArg type);
Result<uint64_t> SysKcmp(Task& task, int pid1, int pid2, int type, uint64_t index1, uint64_t index2);

// numa.cc
Result<uint64_t> SysGetMempolicy(Task& task, OutArg<int> mode, UserAddress nodes, uint64_t max_node, UserAddress address, FlagsArg flags);
Result<uint64_t> SysSetMempolicy(Task& task, int mode, UserAddress nodes, uint64_t max_node);
Result<uint64_t> SysMbind(Task& task, UserAddress address, uint64_t length, int mode, UserAddress nodes, uint64_t max_node, FlagsArg flags);
Result<uint64_t> SysMigratePages(Task& task, int pid, uint64_t max_node, UserAddress from, UserAddress to);
Result<uint64_t> SysMovePages(Task& task, int pid, uint64_t count, UserAddress pages, UserAddress nodes, UserAddress status, FlagsArg flags);
Result<uint64_t> SysSetMempolicyHomeNode(Task& task, UserAddress address, uint64_t length, uint64_t node, FlagsArg flags);

// membarrier.cc
Result<uint64_t> SysMembarrier(Task& task, int command, FlagsArg flags, int cpu);

// futex2.cc
Result<uint64_t> SysFutexWake(Task& task, UserAddress address, uint64_t mask, int count, FlagsArg flags);
Result<uint64_t> SysFutexWait(Task& task, UserAddress address, uint64_t value, uint64_t mask, FlagsArg flags, InArg<timespec> timeout, int clock);
Result<uint64_t> SysFutexRequeue(Task& task, UserAddress waiters, FlagsArg flags, int wake, int requeue);

// denied.cc
Result<uint64_t> SysPkeyAlloc(Task& task, uint64_t flags, uint64_t rights);
Result<uint64_t> SysPkeyFree(Task& task, int key);
Result<uint64_t> SysProcessMadvise(Task& task, FdArg pidfd, UserAddress vector, size_t count, int advice, FlagsArg flags);
Result<uint64_t> SysProcessMrelease(Task& task, FdArg pidfd, FlagsArg flags);
Result<uint64_t> SysNameToHandleAt(Task& task, DirFdArg dirfd, PathArg path, UserAddress handle, UserAddress mount_id, FlagsArg flags);
Result<uint64_t> SysOpenByHandleAt(Task& task, FdArg mount, UserAddress handle, FlagsArg flags);
Result<uint64_t> SysQuotactl(Task& task, uint32_t command, UserAddress special, int id, UserAddress address);
Result<uint64_t> SysQuotactlFd(Task& task, FdArg fd, uint32_t command, int id, UserAddress address);
Result<uint64_t> SysFanotifyInit(Task& task, uint32_t flags, uint32_t event_flags);
Result<uint64_t> SysFanotifyMark(Task& task, FdArg group, uint32_t flags, uint64_t mask, DirFdArg dirfd, PathArg path);
Result<uint64_t> SysLookupDcookie(Task& task, uint64_t cookie, UserAddress buffer, size_t size);
Result<uint64_t> SysUstat(Task& task, uint32_t device, UserAddress buffer);

// mqueue.cc
Result<uint64_t> SysMqOpen(Task& task, PathArg name, FlagsArg flags, ModeArg mode, InArg<mq_attr> attributes);
Result<uint64_t> SysMqUnlink(Task& task, PathArg name);
Result<uint64_t> SysMqTimedsend(Task& task, FdArg fd, UserAddress data, size_t size, uint32_t priority, InArg<timespec> timeout);
Result<uint64_t> SysMqTimedreceive(Task& task, FdArg fd, UserAddress data, size_t size, OutArg<uint32_t> priority,
                                   InArg<timespec> timeout);
Result<uint64_t> SysMqNotify(Task& task, FdArg fd, InArg<sigevent> event);
Result<uint64_t> SysMqGetsetattr(Task& task, FdArg fd, InArg<mq_attr> wanted, OutArg<mq_attr> old);

// ptrace.cc
Result<uint64_t> SysPtrace(Task& task, int64_t request, int pid, uint64_t address, uint64_t data);

// signal.cc
Result<uint64_t> SysRestartSyscall(Task& task);
Result<uint64_t> SysRtSigaction(Task& task, SignalArg signo, InArg<SignalAction> action, OutArg<SignalAction> old, size_t size);
Result<uint64_t> SysRtSigprocmask(Task& task, int how, InArg<SignalSet> set, OutArg<SignalSet> old, size_t size);
Result<uint64_t> SysRtSigpending(Task& task, OutArg<SignalSet> set, size_t size);
Result<uint64_t> SysRtSigsuspend(Task& task, InArg<SignalSet> set, size_t size);
Result<uint64_t> SysPause(Task& task);
Result<uint64_t> SysRtSigtimedwait(Task& task, InArg<SignalSet> set, OutArg<siginfo_t> info, InArg<timespec> timeout, size_t size);
Result<uint64_t> SysRtSigreturn(Task& task);
Result<uint64_t> SysSigaltstack(Task& task, InArg<stack_t> stack, OutArg<stack_t> old);
Result<uint64_t> SysKill(Task& task, int pid, SignalArg signo);
Result<uint64_t> SysTkill(Task& task, int tid, SignalArg signo);
Result<uint64_t> SysTgkill(Task& task, int tgid, int tid, SignalArg signo);
Result<uint64_t> SysRtSigqueueinfo(Task& task, int tgid, SignalArg signo, InArg<siginfo_t> info);
Result<uint64_t> SysRtTgsigqueueinfo(Task& task, int tgid, int tid, SignalArg signo, InArg<siginfo_t> info);

// memory.cc
Result<uint64_t> SysMmap(Task& task, UserAddress address, uint64_t length, FlagsArg prot, FlagsArg flags, FdArg fd, uint64_t offset);
Result<uint64_t> SysMunmap(Task& task, UserAddress address, uint64_t length);
Result<uint64_t> SysMprotect(Task& task, UserAddress address, uint64_t length, FlagsArg prot);
Result<uint64_t> SysPkeyMprotect(Task& task, UserAddress address, uint64_t length, FlagsArg prot, int pkey);
Result<uint64_t> SysBrk(Task& task, UserAddress address);
Result<uint64_t> SysMremap(Task& task, UserAddress old_address, uint64_t old_size, uint64_t new_size, FlagsArg flags, UserAddress new_address);
Result<uint64_t> SysMadvise(Task& task, UserAddress address, uint64_t length, int advice);
Result<uint64_t> SysMsync(Task& task, UserAddress address, uint64_t length, FlagsArg flags);
Result<uint64_t> SysMincore(Task& task, UserAddress address, uint64_t length, UserAddress vector);
Result<uint64_t> SysMlock(Task& task, UserAddress address, uint64_t length);
Result<uint64_t> SysMlock2(Task& task, UserAddress address, uint64_t length, FlagsArg flags);
Result<uint64_t> SysMunlock(Task& task, UserAddress address, uint64_t length);
Result<uint64_t> SysMlockall(Task& task, FlagsArg flags);
Result<uint64_t> SysMunlockall(Task& task);
Result<uint64_t> SysProcessVmReadv(Task& task, int pid, UserAddress local, uint64_t local_count, UserAddress remote, uint64_t remote_count, FlagsArg flags);
Result<uint64_t> SysProcessVmWritev(Task& task, int pid, UserAddress local, uint64_t local_count, UserAddress remote, uint64_t remote_count, FlagsArg flags);

// futex.cc
Result<uint64_t> SysFutex(Task& task, UserAddress address, int op, uint32_t value, UserAddress timeout, UserAddress address2, uint32_t value3);
Result<uint64_t> SysFutexWaitv(Task& task, UserAddress waiters, uint32_t count, FlagsArg flags, InArg<timespec> timeout, int clock);
Result<uint64_t> SysSetRobustList(Task& task, UserAddress head, size_t size);
Result<uint64_t> SysGetRobustList(Task& task, int pid, OutArg<uint64_t> head, OutArg<uint64_t> size);

// time.cc
Result<uint64_t> SysClockGettime(Task& task, int clock, OutArg<timespec> out);
Result<uint64_t> SysClockGetres(Task& task, int clock, OutArg<timespec> out);
Result<uint64_t> SysClockSettime(Task& task, int clock, InArg<timespec> in);
Result<uint64_t> SysGettimeofday(Task& task, OutArg<timeval> tv, OutArg<struct timezone> tz);
Result<uint64_t> SysSettimeofday(Task& task, InArg<timeval> tv, InArg<struct timezone> tz);
Result<uint64_t> SysTime(Task& task, OutArg<int64_t> out);
Result<uint64_t> SysTimes(Task& task, OutArg<struct tms> out);
Result<uint64_t> SysNanosleep(Task& task, InArg<timespec> request, OutArg<timespec> remaining);
Result<uint64_t> SysClockNanosleep(Task& task, int clock, FlagsArg flags, InArg<timespec> request, OutArg<timespec> remaining);
Result<uint64_t> SysGetitimer(Task& task, int which, OutArg<itimerval> out);
Result<uint64_t> SysSetitimer(Task& task, int which, InArg<itimerval> in, OutArg<itimerval> old);
Result<uint64_t> SysAlarm(Task& task, uint32_t seconds);
Result<uint64_t> SysAdjtimex(Task& task, InOutArg<struct timex> arg);
Result<uint64_t> SysClockAdjtime(Task& task, int clock, InOutArg<struct timex> arg);

// posix_timer.cc
Result<uint64_t> SysTimerCreate(Task& task, int clock, InArg<sigevent> event, OutArg<int> out);
Result<uint64_t> SysTimerSettime(Task& task, int id, FlagsArg flags, InArg<itimerspec> in, OutArg<itimerspec> old);
Result<uint64_t> SysTimerGettime(Task& task, int id, OutArg<itimerspec> out);
Result<uint64_t> SysTimerGetoverrun(Task& task, int id);
Result<uint64_t> SysTimerDelete(Task& task, int id);

// identity.cc
Result<uint64_t> SysGetuid(Task& task);
Result<uint64_t> SysGeteuid(Task& task);
Result<uint64_t> SysGetgid(Task& task);
Result<uint64_t> SysGetegid(Task& task);
Result<uint64_t> SysGetresuid(Task& task, OutArg<uid_t> ruid, OutArg<uid_t> euid, OutArg<uid_t> suid);
Result<uint64_t> SysGetresgid(Task& task, OutArg<gid_t> rgid, OutArg<gid_t> egid, OutArg<gid_t> sgid);
Result<uint64_t> SysSetuid(Task& task, uint32_t id);
Result<uint64_t> SysSetgid(Task& task, uint32_t id);
Result<uint64_t> SysSetreuid(Task& task, uint32_t ruid, uint32_t euid);
Result<uint64_t> SysSetregid(Task& task, uint32_t rgid, uint32_t egid);
Result<uint64_t> SysSetresuid(Task& task, uint32_t ruid, uint32_t euid, uint32_t suid);
Result<uint64_t> SysSetresgid(Task& task, uint32_t rgid, uint32_t egid, uint32_t sgid);
Result<uint64_t> SysSetfsuid(Task& task, uint32_t id);
Result<uint64_t> SysSetfsgid(Task& task, uint32_t id);
Result<uint64_t> SysGetgroups(Task& task, int size, UserAddress list);
Result<uint64_t> SysSetgroups(Task& task, int size, UserAddress list);
Result<uint64_t> SysCapget(Task& task, InOutArg<__user_cap_header_struct> header, UserAddress data);
Result<uint64_t> SysCapset(Task& task, InOutArg<__user_cap_header_struct> header, UserAddress data);

// prctl.cc
Result<uint64_t> SysPrctl(Task& task, int option, uint64_t arg2, uint64_t arg3, uint64_t arg4, uint64_t arg5);
Result<uint64_t> SysArchPrctl(Task& task, int code, uint64_t address);
Result<uint64_t> SysPersonality(Task& task, uint64_t persona);

// resource.cc
Result<uint64_t> SysGetrlimit(Task& task, int resource, OutArg<rlimit> out);
Result<uint64_t> SysSetrlimit(Task& task, int resource, InArg<rlimit> in);
Result<uint64_t> SysPrlimit64(Task& task, int pid, int resource, InArg<rlimit> in, OutArg<rlimit> old);
Result<uint64_t> SysGetrusage(Task& task, int who, OutArg<rusage> out);
Result<uint64_t> SysSchedYield(Task&);
Result<uint64_t> SysSchedGetaffinity(Task& task, int pid, size_t size, UserAddress mask);
Result<uint64_t> SysSchedSetaffinity(Task& task, int pid, size_t size, UserAddress mask);
Result<uint64_t> SysSchedGetscheduler(Task& task, int pid);
Result<uint64_t> SysSchedSetscheduler(Task& task, int pid, int policy, InArg<sched_param> param);
Result<uint64_t> SysSchedGetparam(Task& task, int pid, OutArg<sched_param> param);
Result<uint64_t> SysSchedSetparam(Task& task, int pid, InArg<sched_param> param);
Result<uint64_t> SysSchedGetPriorityMax(Task&, int policy);
Result<uint64_t> SysSchedGetPriorityMin(Task&, int policy);
Result<uint64_t> SysSchedRrGetInterval(Task& task, int pid, OutArg<timespec> out);
Result<uint64_t> SysSchedGetattr(Task& task, int pid, UserAddress attr, uint32_t size, FlagsArg flags);
Result<uint64_t> SysSchedSetattr(Task& task, int pid, UserAddress attr, FlagsArg flags);
Result<uint64_t> SysGetpriority(Task& task, int which, uint32_t who);
Result<uint64_t> SysSetpriority(Task& task, int which, uint32_t who, int nice);
Result<uint64_t> SysIoprioGet(Task& task, int which, int who);
Result<uint64_t> SysIoprioSet(Task& task, int which, int who, int ioprio);
Result<uint64_t> SysGetcpu(Task& task, OutArg<uint32_t> cpu, OutArg<uint32_t> node);

// system.cc
Result<uint64_t> SysUname(Task& task, OutArg<utsname> out);
Result<uint64_t> SysSethostname(Task& task, UserAddress name, size_t length);
Result<uint64_t> SysSetdomainname(Task& task, UserAddress name, size_t length);
Result<uint64_t> SysSysinfo(Task& task, OutArg<struct sysinfo> out);
Result<uint64_t> SysGetrandom(Task& task, UserAddress buffer, size_t size, FlagsArg flags);
Result<uint64_t> SysSyslog(Task& task, int type, UserAddress buffer, int length);
Result<uint64_t> SysReboot(Task& task);
Result<uint64_t> SysAcct(Task& task);
Result<uint64_t> SysSwapon(Task& task);
Result<uint64_t> SysSwapoff(Task& task);
Result<uint64_t> SysIopl(Task& task);
Result<uint64_t> SysIoperm(Task& task);
Result<uint64_t> SysInitModule(Task& task);
Result<uint64_t> SysDeleteModule(Task& task);
Result<uint64_t> SysKexecLoad(Task& task);
Result<uint64_t> SysVhangup(Task& task);
Result<uint64_t> SysPerfEventOpen(Task&);
Result<uint64_t> SysBpf(Task&);
Result<uint64_t> SysModifyLdt(Task&, int function);

// seccomp.cc
Result<uint64_t> SysSeccomp(Task& task, uint32_t operation, FlagsArg flags, UserAddress args);

// read_write.cc
Result<uint64_t> SysRead(Task& task, FdArg fd, UserAddress buffer, size_t size);
Result<uint64_t> SysWrite(Task& task, FdArg fd, UserAddress buffer, size_t size);
Result<uint64_t> SysPread64(Task& task, FdArg fd, UserAddress buffer, size_t size, int64_t offset);
Result<uint64_t> SysPwrite64(Task& task, FdArg fd, UserAddress buffer, size_t size, int64_t offset);
Result<uint64_t> SysReadv(Task& task, FdArg fd, UserAddress iov, uint64_t count);
Result<uint64_t> SysWritev(Task& task, FdArg fd, UserAddress iov, uint64_t count);
Result<uint64_t> SysPreadv(Task& task, FdArg fd, UserAddress iov, uint64_t count, int64_t offset);
Result<uint64_t> SysPwritev(Task& task, FdArg fd, UserAddress iov, uint64_t count, int64_t offset);
Result<uint64_t> SysPreadv2(Task& task, FdArg fd, UserAddress iov, uint64_t count, int64_t offset, uint64_t, int flags);
Result<uint64_t> SysPwritev2(Task& task, FdArg fd, UserAddress iov, uint64_t count, int64_t offset, uint64_t, int flags);
Result<uint64_t> SysLseek(Task& task, FdArg fd, int64_t offset, int whence);
Result<uint64_t> SysTruncate(Task& task, PathArg path, int64_t length);
Result<uint64_t> SysFtruncate(Task& task, FdArg fd, int64_t length);
Result<uint64_t> SysFallocate(Task& task, FdArg fd, int mode, int64_t offset, int64_t length);
Result<uint64_t> SysFsync(Task& task, FdArg fd);
Result<uint64_t> SysFdatasync(Task& task, FdArg fd);
Result<uint64_t> SysSyncFileRange(Task& task, FdArg fd, int64_t offset, int64_t length, FlagsArg flags);
Result<uint64_t> SysSync(Task& task);
Result<uint64_t> SysSyncfs(Task& task, FdArg fd);
Result<uint64_t> SysReadahead(Task& task, FdArg fd, int64_t offset, size_t count);
Result<uint64_t> SysFadvise64(Task& task, FdArg fd, int64_t offset, int64_t length, int advice);

// open.cc
Result<uint64_t> SysOpen(Task& task, PathArg path, FlagsArg flags, ModeArg mode);
Result<uint64_t> SysOpenat(Task& task, DirFdArg dirfd, PathArg path, FlagsArg flags, ModeArg mode);
Result<uint64_t> SysCreat(Task& task, PathArg path, ModeArg mode);
Result<uint64_t> SysOpenat2(Task& task, DirFdArg dirfd, PathArg path, UserAddress how_address, size_t size);
Result<uint64_t> SysClose(Task& task, int fd);
Result<uint64_t> SysCloseRange(Task& task, uint32_t first, uint32_t last, FlagsArg flags);
Result<uint64_t> SysUmask(Task& task, ModeArg mask);
Result<uint64_t> SysGetcwd(Task& task, UserAddress buffer, size_t size);
Result<uint64_t> SysChdir(Task& task, PathArg path);
Result<uint64_t> SysFchdir(Task& task, FdArg fd);
Result<uint64_t> SysChroot(Task& task, PathArg path);

// stat.cc
Result<uint64_t> SysStat(Task& task, PathArg path, OutArg<struct stat> out);
Result<uint64_t> SysLstat(Task& task, PathArg path, OutArg<struct stat> out);
Result<uint64_t> SysFstat(Task& task, FdArg fd, OutArg<struct stat> out);
Result<uint64_t> SysNewfstatat(Task& task, DirFdArg dirfd, PathArg path, OutArg<struct stat> out, FlagsArg flags);
Result<uint64_t> SysStatx(Task& task, DirFdArg dirfd, PathArg path, FlagsArg flags, FlagsArg mask, OutArg<struct statx> out);
Result<uint64_t> SysAccess(Task& task, PathArg path, int mode);
Result<uint64_t> SysFaccessat(Task& task, DirFdArg dirfd, PathArg path, int mode);
Result<uint64_t> SysFaccessat2(Task& task, DirFdArg dirfd, PathArg path, int mode, FlagsArg flags);
Result<uint64_t> SysChmod(Task& task, PathArg path, ModeArg mode);
Result<uint64_t> SysFchmod(Task& task, FdArg fd, ModeArg mode);
Result<uint64_t> SysFchmodat(Task& task, DirFdArg dirfd, PathArg path, ModeArg mode);
Result<uint64_t> SysFchmodat2(Task& task, DirFdArg dirfd, PathArg path, ModeArg mode, FlagsArg flags);
Result<uint64_t> SysChown(Task& task, PathArg path, uint32_t uid, uint32_t gid);
Result<uint64_t> SysLchown(Task& task, PathArg path, uint32_t uid, uint32_t gid);
Result<uint64_t> SysFchown(Task& task, FdArg fd, uint32_t uid, uint32_t gid);
Result<uint64_t> SysFchownat(Task& task, DirFdArg dirfd, PathArg path, uint32_t uid, uint32_t gid, FlagsArg flags);
Result<uint64_t> SysUtimensat(Task& task, DirFdArg dirfd, PathArg path, UserAddress times, FlagsArg flags);
Result<uint64_t> SysUtimes(Task& task, PathArg path, UserAddress times);
Result<uint64_t> SysFutimesat(Task& task, DirFdArg dirfd, PathArg path, UserAddress times);
Result<uint64_t> SysUtime(Task& task, PathArg path, InArg<utimbuf> times);
Result<uint64_t> SysReadlink(Task& task, PathArg path, UserAddress buffer, int size);
Result<uint64_t> SysReadlinkat(Task& task, DirFdArg dirfd, PathArg path, UserAddress buffer, int size);
Result<uint64_t> SysStatfs(Task& task, PathArg path, UserAddress out);
Result<uint64_t> SysFstatfs(Task& task, FdArg fd, UserAddress out);

// directory.cc
Result<uint64_t> SysMkdir(Task& task, PathArg path, ModeArg mode);
Result<uint64_t> SysMkdirat(Task& task, DirFdArg dirfd, PathArg path, ModeArg mode);
Result<uint64_t> SysMknod(Task& task, PathArg path, ModeArg mode, uint32_t dev);
Result<uint64_t> SysMknodat(Task& task, DirFdArg dirfd, PathArg path, ModeArg mode, uint32_t dev);
Result<uint64_t> SysRmdir(Task& task, PathArg path);
Result<uint64_t> SysUnlink(Task& task, PathArg path);
Result<uint64_t> SysUnlinkat(Task& task, DirFdArg dirfd, PathArg path, FlagsArg flags);
Result<uint64_t> SysRename(Task& task, PathArg from, PathArg to);
Result<uint64_t> SysRenameat(Task& task, DirFdArg from_dirfd, PathArg from, DirFdArg to_dirfd, PathArg to);
Result<uint64_t> SysRenameat2(Task& task, DirFdArg from_dirfd, PathArg from, DirFdArg to_dirfd, PathArg to, uint32_t flags);
Result<uint64_t> SysSymlink(Task& task, PathArg target, PathArg path);
Result<uint64_t> SysSymlinkat(Task& task, PathArg target, DirFdArg dirfd, PathArg path);
Result<uint64_t> SysLink(Task& task, PathArg from, PathArg to);
Result<uint64_t> SysLinkat(Task& task, DirFdArg from_dirfd, PathArg from, DirFdArg to_dirfd, PathArg to, FlagsArg flags);
Result<uint64_t> SysGetdents64(Task& task, FdArg fd, UserAddress buffer, uint32_t size);
Result<uint64_t> SysGetdents(Task& task, FdArg fd, UserAddress buffer, uint32_t size);

// fd.cc
Result<uint64_t> SysDup(Task& task, FdArg fd);
Result<uint64_t> SysDup2(Task& task, FdArg old_fd, FdArg new_fd);
Result<uint64_t> SysDup3(Task& task, FdArg old_fd, FdArg new_fd, FlagsArg flags);
Result<uint64_t> SysFcntl(Task& task, FdArg fd, int command, uint64_t argument);
Result<uint64_t> SysIoctl(Task& task, FdArg fd, uint32_t request, uint64_t argument);
Result<uint64_t> SysFlock(Task& task, FdArg fd, int operation);

// poll.cc
Result<uint64_t> SysPoll(Task& task, UserAddress fds, uint32_t count, int timeout);
Result<uint64_t> SysPpoll(Task& task, UserAddress fds, uint32_t count, InOutArg<timespec> timeout, UserAddress set, size_t size);
Result<uint64_t> SysSelect(Task& task, int n, UserAddress in, UserAddress out, UserAddress exceptional, InOutArg<timeval> timeout);
Result<uint64_t> SysPselect6(Task& task, int n, UserAddress in, UserAddress out, UserAddress exceptional, InOutArg<timespec> timeout, UserAddress mask);
Result<uint64_t> SysEpollCreate1(Task& task, FlagsArg flags);
Result<uint64_t> SysEpollCreate(Task& task, int size);
Result<uint64_t> SysEpollCtl(Task& task, FdArg epfd, int operation, FdArg fd, InArg<epoll_event> event);
Result<uint64_t> SysEpollWait(Task& task, FdArg epfd, UserAddress events, int max, int timeout);
Result<uint64_t> SysEpollPwait(Task& task, FdArg epfd, UserAddress events, int max, int timeout, UserAddress set, size_t size);
Result<uint64_t> SysEpollPwait2(Task& task, FdArg epfd, UserAddress events, int max, InArg<timespec> timeout, UserAddress set, size_t size);

// anon.cc
Result<uint64_t> SysEventfd2(Task& task, uint32_t initial, FlagsArg flags);
Result<uint64_t> SysEventfd(Task& task, uint32_t initial);
Result<uint64_t> SysTimerfdCreate(Task& task, int clock, FlagsArg flags);
Result<uint64_t> SysTimerfdSettime(Task& task, FdArg fd, FlagsArg flags, InArg<itimerspec> in, OutArg<itimerspec> old);
Result<uint64_t> SysTimerfdGettime(Task& task, FdArg fd, OutArg<itimerspec> out);
Result<uint64_t> SysSignalfd4(Task& task, int fd, UserAddress set, size_t size, FlagsArg flags);
Result<uint64_t> SysSignalfd(Task& task, int fd, UserAddress set, size_t size);
Result<uint64_t> SysInotifyInit1(Task& task, FlagsArg flags);
Result<uint64_t> SysInotifyInit(Task& task);
Result<uint64_t> SysInotifyAddWatch(Task& task, FdArg fd, PathArg path, uint32_t mask);
Result<uint64_t> SysInotifyRmWatch(Task& task, FdArg fd, int watch);
Result<uint64_t> SysMemfdCreate(Task& task, UserAddress name_address, FlagsArg flags);

// pipe.cc
Result<uint64_t> SysPipe2(Task& task, UserAddress out, FlagsArg flags);
Result<uint64_t> SysPipe(Task& task, UserAddress out);
Result<uint64_t> SysSplice(Task& task, FdArg in_fd, UserAddress in_offset, FdArg out_fd, UserAddress out_offset, size_t length, uint32_t flags);
Result<uint64_t> SysTee(Task& task, FdArg in_fd, FdArg out_fd, size_t length, uint32_t flags);
Result<uint64_t> SysVmsplice(Task& task, FdArg fd, UserAddress iov, uint64_t count, uint32_t flags);
Result<uint64_t> SysSendfile(Task& task, FdArg out_fd, FdArg in_fd, UserAddress offset, size_t count);
Result<uint64_t> SysCopyFileRange(Task& task, FdArg in_fd, UserAddress in_offset, FdArg out_fd, UserAddress out_offset, size_t length, FlagsArg flags);

// xattr.cc
Result<uint64_t> SysGetxattr(Task& task, PathArg path, UserAddress name, UserAddress value, size_t size);
Result<uint64_t> SysLgetxattr(Task& task, PathArg path, UserAddress name, UserAddress value, size_t size);
Result<uint64_t> SysFgetxattr(Task& task, FdArg fd, UserAddress name, UserAddress value, size_t size);
Result<uint64_t> SysSetxattr(Task& task, PathArg path, UserAddress name, UserAddress value, size_t size, FlagsArg flags);
Result<uint64_t> SysLsetxattr(Task& task, PathArg path, UserAddress name, UserAddress value, size_t size, FlagsArg flags);
Result<uint64_t> SysFsetxattr(Task& task, FdArg fd, UserAddress name, UserAddress value, size_t size, FlagsArg flags);
Result<uint64_t> SysListxattr(Task& task, PathArg path, UserAddress list, size_t size);
Result<uint64_t> SysLlistxattr(Task& task, PathArg path, UserAddress list, size_t size);
Result<uint64_t> SysFlistxattr(Task& task, FdArg fd, UserAddress list, size_t size);
Result<uint64_t> SysRemovexattr(Task& task, PathArg path, UserAddress name);
Result<uint64_t> SysLremovexattr(Task& task, PathArg path, UserAddress name);
Result<uint64_t> SysFremovexattr(Task& task, FdArg fd, UserAddress name);

// mount.cc
Result<uint64_t> SysMount(Task& task, UserAddress source_address, PathArg target, UserAddress type_address, FlagsArg flags_arg, UserAddress data);
Result<uint64_t> SysUmount2(Task& task, PathArg target, FlagsArg flags);
Result<uint64_t> SysPivotRoot(Task& task, PathArg new_root, PathArg put_old);

// socket.cc
Result<uint64_t> SysSocket(Task& task, int family, int type, int protocol);
Result<uint64_t> SysSocketpair(Task& task, int family, int type, int protocol, UserAddress out);
Result<uint64_t> SysBind(Task& task, FdArg fd, UserAddress address, uint32_t length);
Result<uint64_t> SysListen(Task& task, FdArg fd, int backlog);
Result<uint64_t> SysAccept4(Task& task, FdArg fd, UserAddress address, UserAddress length, FlagsArg flags);
Result<uint64_t> SysAccept(Task& task, FdArg fd, UserAddress address, UserAddress length);
Result<uint64_t> SysConnect(Task& task, FdArg fd, UserAddress address, uint32_t length);
Result<uint64_t> SysGetsockname(Task& task, FdArg fd, UserAddress address, UserAddress length);
Result<uint64_t> SysGetpeername(Task& task, FdArg fd, UserAddress address, UserAddress length);
Result<uint64_t> SysShutdown(Task& task, FdArg fd, int how);
Result<uint64_t> SysSetsockopt(Task& task, FdArg fd, int level, int name, UserAddress value, int length);
Result<uint64_t> SysGetsockopt(Task& task, FdArg fd, int level, int name, UserAddress value, UserAddress length);
Result<uint64_t> SysSendto(Task& task, FdArg fd, UserAddress buffer, size_t size, FlagsArg flags, UserAddress address, uint32_t length);
Result<uint64_t> SysSendmsg(Task& task, FdArg fd, InArg<msghdr> message, FlagsArg flags);
Result<uint64_t> SysSendmmsg(Task& task, FdArg fd, UserAddress messages, uint32_t count, FlagsArg flags);
Result<uint64_t> SysRecvfrom(Task& task, FdArg fd, UserAddress buffer, size_t size, FlagsArg flags, UserAddress address, UserAddress length);
Result<uint64_t> SysRecvmsg(Task& task, FdArg fd, UserAddress message, FlagsArg flags);
Result<uint64_t> SysRecvmmsg(Task& task, FdArg fd, UserAddress messages, uint32_t count, FlagsArg flags_arg, InArg<timespec> timeout);

// --- shared between families ---
Result<kernel::SignalSet> ReadSignalSet(Task& task, UserAddress address, size_t size);
rusage ToRusage(const kernel::Usage& usage);
Result<uint64_t> SetSeccomp(Task& task, uint64_t mode, UserAddress args);
// The answer of the task's own seccomp filters: nothing to go on, or what the call returns.
std::optional<int64_t> CheckSeccomp(Task& task, const platform::Event& event, bool recheck = false);
// Bytes of memory that the sandbox sees: the host's total, and what it may still take.
struct MemoryTotals {
  uint64_t total, available;
};
MemoryTotals GetMemoryTotals();

}  // namespace syscalls
