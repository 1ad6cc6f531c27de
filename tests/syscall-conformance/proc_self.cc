// proc(5): /proc/self and a few files that programs read at start
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <atomic>
#include <set>
#include <sstream>

#include "util/check.h"
#include "util/child.h"
#include "util/clock.h"
#include "util/fd.h"
#include "util/helper.h"
#include "util/memory.h"
#include "util/temp_dir.h"

namespace conformance {
namespace {

std::string ReadLink(const std::string& path) {
  char target[PATH_MAX];
  ssize_t n = readlink(path.c_str(), target, sizeof(target));
  EXPECT_GE(n, 0) << path << ": " << strerror(errno);
  return std::string(target, n < 0 ? 0 : n);
}

// The value of "Key:\tvalue" in a status file.
std::string StatusField(const std::string& path, const std::string& key) {
  std::istringstream lines(ReadFile(path));
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind(key + ":", 0) == 0) {
      size_t start = line.find_first_not_of(" \t", key.size() + 1);
      return start == std::string::npos ? "" : line.substr(start);
    }
  }
  return "(missing)";
}

// The line of /proc/self/maps that covers an address, or "".
std::string MapsLine(const void* address) {
  std::istringstream lines(ReadFile("/proc/self/maps"));
  for (std::string line; std::getline(lines, line);) {
    unsigned long low = 0, high = 0;
    if (sscanf(line.c_str(), "%lx-%lx", &low, &high) != 2) continue;
    auto value = reinterpret_cast<unsigned long>(address);
    if (value >= low && value < high) return line;
  }
  return "";
}

TEST(ProcSelf, ListsEachEntryOnceWhateverWasLookedUpBefore) {
  Fd directory(open("/proc/self", O_RDONLY | O_DIRECTORY));
  ASSERT_GE(directory.get(), 0);
  struct stat before, after;
  ASSERT_EQ(fstatat(directory.get(), "maps", &before, 0), 0);
  DIR* stream = fdopendir(dup(directory.get()));
  ASSERT_NE(stream, nullptr);
  std::multiset<std::string> names;
  while (dirent* entry = readdir(stream)) {
    names.insert(entry->d_name);
    if (std::string(entry->d_name) == "maps") {
      EXPECT_EQ(entry->d_ino, before.st_ino);
    }
  }
  closedir(stream);
  for (const char* name : {"maps", "exe", "fd", "ns", "net", "task", "status", "cmdline"}) EXPECT_EQ(names.count(name), 1u) << name;
  ASSERT_EQ(fstatat(directory.get(), "maps", &after, 0), 0);
  EXPECT_EQ(after.st_ino, before.st_ino);
}

TEST(ProcSelf, IsTheCallersPid) {
  EXPECT_EQ(ReadLink("/proc/self"), std::to_string(getpid()));
  EXPECT_EXITED(RunChild([] {
                  char target[16] = {};
                  CHILD_CHECK(readlink("/proc/self", target, 15) > 0);
                  return atoi(target) == getpid() ? 0 : 1;
                }),
                0);
  std::thread other([] {
    EXPECT_EQ(ReadLink("/proc/thread-self"),
              std::to_string(getpid()) + "/task/" + std::to_string(syscall(SYS_gettid)));
  });
  other.join();
}

TEST(ProcSelf, ExeCwdRoot) {
  TempDir dir;
  EXPECT_EQ(ReadLink("/proc/self/exe"), SelfPath());
  EXPECT_EQ(ReadLink("/proc/self/root"), "/");
  EXPECT_EXITED(RunChild([&] {
                  CHILD_CHECK(chdir(dir.c_str()) == 0);
                  char target[PATH_MAX] = {};
                  CHILD_CHECK(readlink("/proc/self/cwd", target, PATH_MAX - 1) > 0);
                  CHILD_CHECK(dir.path() == target);
                  return 0;
                }),
                0);
}

TEST(ProcSelf, CmdlineAndEnvironAreZeroSeparated) {
  std::string cmdline = ReadFile("/proc/self/cmdline");
  ASSERT_FALSE(cmdline.empty());
  EXPECT_EQ(cmdline.back(), '\0');
  EXPECT_NE(cmdline.find("conformance_proc_self"), std::string::npos);
  HelperArgv argv("print-environ");
  char variable[] = "CONFORMANCE=yes", *environment[] = {variable, nullptr};
  int ends[2];
  ASSERT_OK(pipe(ends));
  Fd reader(ends[0]), writer(ends[1]);
  pid_t pid = Fork([&] {
    dup2(writer, 1);
    execve(SelfPath().c_str(), argv.data(), environment);
    return 95;
  });
  writer.Reset();
  EXPECT_EQ(ReadAll(reader), std::string("CONFORMANCE=yes\0", 16));
  EXPECT_EXITED(Wait(pid), 0);
}
RegisterHelper environ_helper("print-environ", [](int, char**) {
  std::string text = ReadFile("/proc/self/environ");
  return write(1, text.data(), text.size()) < 0 ? 1 : 0;
});

TEST(ProcSelf, CommFollowsPrctlAndWrites) {
  ASSERT_OK(prctl(PR_SET_NAME, "a-name-that-is-too-long"));
  EXPECT_EQ(ReadFile("/proc/self/comm"), "a-name-that-is-\n");
  WriteFile("/proc/self/comm", "written");
  char name[16];
  ASSERT_OK(prctl(PR_GET_NAME, name));
  EXPECT_STREQ(name, "written");
}

TEST(ProcSelfFd, ListsExactlyTheOpenDescriptors) {
  TempDir dir;
  Fd a(open(dir.File("f").c_str(), O_RDONLY));
  std::set<std::string> names;
  DIR* d = opendir("/proc/self/fd");
  ASSERT_NE(d, nullptr);
  while (dirent* entry = readdir(d)) names.insert(entry->d_name);
  std::string own = std::to_string(dirfd(d));
  closedir(d);
  EXPECT_TRUE(names.count(std::to_string(a)));
  EXPECT_TRUE(names.count(own));
  a.Reset();
  EXPECT_ERRNO(access(("/proc/self/fd/" + own).c_str(), F_OK), ENOENT);
}

TEST(ProcSelfFd, LinksNameTheFile) {
  TempDir dir;
  std::string path = dir.File("f");
  Fd fd(open(path.c_str(), O_RDONLY));
  std::string link = "/proc/self/fd/" + std::to_string(fd);
  EXPECT_EQ(ReadLink(link), path);
  ASSERT_OK(rename(path.c_str(), (dir / "g").c_str()));
  EXPECT_EQ(ReadLink(link), dir / "g");
  ASSERT_OK(unlink((dir / "g").c_str()));
  EXPECT_EQ(ReadLink(link), dir / "g" + " (deleted)");
  int ends[2];
  ASSERT_OK(pipe(ends));
  Fd reader(ends[0]), writer(ends[1]);
  struct stat st;
  ASSERT_OK(fstat(reader, &st));
  EXPECT_EQ(ReadLink("/proc/self/fd/" + std::to_string(reader)),
            "pipe:[" + std::to_string(st.st_ino) + "]");
}

TEST(ProcSelfFd, OpeningADeletedFileWorks) {
  TempDir dir;
  std::string path = dir.File("f", "data");
  Fd fd(open(path.c_str(), O_RDONLY));
  ASSERT_OK(unlink(path.c_str()));
  EXPECT_EQ(ReadFile("/proc/self/fd/" + std::to_string(fd)), "data");
}

TEST(ProcSelfFdinfo, PositionAndFlags) {
  TempDir dir;
  Fd fd(open(dir.File("f", "0123456789").c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_EQ(lseek(fd, 6, SEEK_SET), 6);
  std::string path = "/proc/self/fdinfo/" + std::to_string(fd);
  EXPECT_EQ(StatusField(path, "pos"), "6");
  EXPECT_EQ(std::stol(StatusField(path, "flags"), nullptr, 8) & O_CLOEXEC, O_CLOEXEC);
}

TEST(ProcSelfMaps, ShowsMappingsWithTheirRights) {
  TempDir dir;
  std::string path = dir.File("mapped", std::string(2 * kPage, 'x'));
  Fd fd(open(path.c_str(), O_RDWR));
  Mapping file(kPage, PROT_READ, MAP_SHARED, fd, kPage);
  std::string line = MapsLine(file.data());
  EXPECT_NE(line.find(" r--s 00001000 "), std::string::npos) << line;
  EXPECT_NE(line.find(path), std::string::npos) << line;
  PrivateMemory memory(3 * kPage);
  EXPECT_NE(MapsLine(memory.data()).find(" rw-p "), std::string::npos);
  ASSERT_OK(mprotect(memory.page(1), kPage, PROT_READ | PROT_EXEC));
  EXPECT_NE(MapsLine(memory.page(1)).find(" r-xp "), std::string::npos);
  EXPECT_NE(MapsLine(memory.page(2)).find(" rw-p "), std::string::npos);
  ASSERT_OK(munmap(memory.page(2), kPage));
  EXPECT_EQ(MapsLine(memory.page(2)), "");
}

TEST(ProcSelfMaps, NamesStackAndProgram) {
  int local = 0;
  EXPECT_NE(MapsLine(&local).find("[stack]"), std::string::npos);
  std::string code = MapsLine(reinterpret_cast<void*>(&MapsLine));
  EXPECT_NE(code.find(" r-xp "), std::string::npos);
  EXPECT_NE(code.find(SelfPath()), std::string::npos);
  EXPECT_NE(ReadFile("/proc/self/maps").find("[vdso]"), std::string::npos);
}

TEST(ProcSelfMaps, IsSortedAndDisjoint) {
  std::istringstream lines(ReadFile("/proc/self/maps"));
  unsigned long previous = 0;
  for (std::string line; std::getline(lines, line);) {
    unsigned long low = 0, high = 0;
    ASSERT_EQ(sscanf(line.c_str(), "%lx-%lx", &low, &high), 2) << line;
    if (line.find("vsyscall") != std::string::npos) continue;
    EXPECT_GE(low, previous);
    EXPECT_GT(high, low);
    previous = high;
  }
}

TEST(ProcSelfStatus, IdsThreadsAndSignals) {
  const char* path = "/proc/self/status";
  EXPECT_EQ(StatusField(path, "Pid"), std::to_string(getpid()));
  EXPECT_EQ(StatusField(path, "Tgid"), std::to_string(getpid()));
  EXPECT_EQ(StatusField(path, "PPid"), std::to_string(getppid()));
  EXPECT_EQ(StatusField(path, "Uid"), "0\t0\t0\t0");
  EXPECT_EQ(StatusField(path, "State"), "R (running)");
  EXPECT_EQ(StatusField(path, "Threads"), "1");
  EXPECT_EQ(StatusField(path, "TracerPid"), "0");
  for (const char* key : {"Name", "VmSize", "VmRSS", "SigQ", "SigPnd", "SigBlk", "SigIgn",
                          "SigCgt", "CapInh", "CapPrm", "CapEff", "CapBnd", "NoNewPrivs",
                          "Seccomp", "Cpus_allowed_list", "FDSize", "Groups"}) {
    EXPECT_NE(StatusField(path, key), "(missing)") << key;
  }
}

TEST(ProcSelfStatus, ThreadsAreInTask) {
  std::atomic<pid_t> tid = 0;
  std::atomic<bool> stop = false;
  std::thread other([&] {
    prctl(PR_SET_NAME, "worker");
    tid = syscall(SYS_gettid);
    while (!stop) SleepMs(1);
  });
  while (tid == 0) SleepMs(1);
  std::string task = "/proc/self/task/" + std::to_string(tid);
  EXPECT_EQ(ReadFile(task + "/comm"), "worker\n");
  EXPECT_EQ(StatusField(task + "/status", "Pid"), std::to_string(tid));
  EXPECT_EQ(StatusField("/proc/self/status", "Threads"), "2");
  // A thread is reachable by its id, though it is not listed.
  EXPECT_OK(access(("/proc/" + std::to_string(tid) + "/status").c_str(), F_OK));
  stop = true;
  other.join();
  EXPECT_ERRNO(access(task.c_str(), F_OK), ENOENT);
}

TEST(ProcSelfStat, FieldsAreWhereToolsLookForThem) {
  std::string stat = ReadFile("/proc/self/stat");
  size_t open = stat.find('('), close = stat.rfind(')');
  ASSERT_NE(open, std::string::npos);
  EXPECT_EQ(std::stoi(stat), getpid());
  std::istringstream rest(stat.substr(close + 2));
  std::vector<std::string> fields;
  for (std::string field; rest >> field;) fields.push_back(field);
  ASSERT_EQ(fields.size(), 50u);
  EXPECT_EQ(fields[0], "R");
  EXPECT_EQ(fields[1], std::to_string(getppid()));
  EXPECT_EQ(fields[2], std::to_string(getpgrp()));
  EXPECT_EQ(fields[3], std::to_string(getsid(0)));
  EXPECT_EQ(fields[17], "1") << "number of threads";
  EXPECT_GT(std::stoull(fields[20]), 0u) << "virtual size";
}

TEST(ProcPid, OfAZombieAndOfNobody) {
  pid_t pid = Fork([] { return 0; });
  siginfo_t info;
  ASSERT_OK(waitid(P_PID, pid, &info, WEXITED | WNOWAIT));
  std::string base = "/proc/" + std::to_string(pid);
  EXPECT_EQ(StatusField(base + "/status", "State"), "Z (zombie)");
  EXPECT_EQ(ReadFile(base + "/cmdline"), "");
  char target[16];
  EXPECT_ERRNO(readlink((base + "/exe").c_str(), target, 16), ENOENT);
  Fd status(open((base + "/status").c_str(), O_RDONLY));
  Wait(pid);
  char c;
  EXPECT_ERRNO(read(status, &c, 1), ESRCH);
  EXPECT_ERRNO(access(base.c_str(), F_OK), ENOENT);
}

TEST(ProcPid, StatesOfSleepingAndStoppedChildren) {
  pid_t pid = Fork([] {
    for (;;) pause();
    return 0;
  });
  std::string status = "/proc/" + std::to_string(pid) + "/status";
  for (int i = 0; i < 500 && StatusField(status, "State") != "S (sleeping)"; i++) SleepMs(2);
  EXPECT_EQ(StatusField(status, "State"), "S (sleeping)");
  int wait_status;
  kill(pid, SIGSTOP);
  ASSERT_EQ(waitpid(pid, &wait_status, WUNTRACED), pid);
  EXPECT_EQ(StatusField(status, "State"), "T (stopped)");
  kill(pid, SIGKILL);
  Wait(pid);
}

TEST(ProcSelfMem, ReadsAndWritesEvenProtectedPages) {
  PrivateMemory memory(kPage);
  strcpy(memory.data(), "before");
  ASSERT_OK(mprotect(memory.data(), kPage, PROT_READ));
  Fd mem(open("/proc/self/mem", O_RDWR));
  ASSERT_OK(mem.get());
  char buffer[8] = {};
  auto at = reinterpret_cast<off_t>(memory.data());
  EXPECT_EQ(pread(mem, buffer, 7, at), 7);
  EXPECT_STREQ(buffer, "before");
  EXPECT_EQ(pwrite(mem, "after", 6, at), 6);
  EXPECT_STREQ(memory.data(), "after");
  EXPECT_ERRNO(pread(mem, buffer, 1, 16), EIO);
}

TEST(ProcMounts, RootAndProcAreListed) {
  std::string mounts = ReadFile("/proc/self/mounts");
  EXPECT_NE(mounts.find(" / "), std::string::npos);
  EXPECT_NE(mounts.find(" /proc proc "), std::string::npos);
  std::string info = ReadFile("/proc/self/mountinfo");
  EXPECT_NE(info.find(" /proc "), std::string::npos);
  EXPECT_NE(info.find(" - proc "), std::string::npos);
  EXPECT_EQ(ReadFile("/proc/mounts"), mounts);
}

TEST(ProcRoot, FilesThatProgramsReadAtStart) {
  EXPECT_NE(ReadFile("/proc/meminfo").find("MemTotal:"), std::string::npos);
  EXPECT_NE(ReadFile("/proc/meminfo").find("MemAvailable:"), std::string::npos);
  EXPECT_NE(ReadFile("/proc/cpuinfo").find("processor\t: 0\n"), std::string::npos);
  EXPECT_EQ(ReadFile("/proc/stat").rfind("cpu  ", 0), 0u);
  EXPECT_GT(std::stod(ReadFile("/proc/uptime")), 0);
  EXPECT_EQ(ReadFile("/proc/version").rfind("Linux version ", 0), 0u);
  EXPECT_NE(ReadFile("/proc/filesystems").find("tmpfs"), std::string::npos);
  std::istringstream loadavg(ReadFile("/proc/loadavg"));
  double one, five, fifteen;
  EXPECT_TRUE(loadavg >> one >> five >> fifteen);
  EXPECT_GT(std::stol(ReadFile("/proc/sys/kernel/pid_max")), 0);
  EXPECT_FALSE(ReadFile("/proc/sys/kernel/hostname").empty());
  EXPECT_EQ(ReadFile("/proc/sys/kernel/ostype"), "Linux\n");
  EXPECT_FALSE(ReadFile("/proc/sys/vm/overcommit_memory").empty());
  EXPECT_EQ(ReadFile("/proc/sys/kernel/random/uuid").size(), 37u);
}

TEST(ProcRoot, IsNotWritableAsADirectory) {
  EXPECT_ERRNO(open("/proc/new", O_RDWR | O_CREAT, 0644), ENOENT);
  EXPECT_ERRNO(mkdir("/proc/new", 0755), ENOENT);
  EXPECT_ERRNO(open("/proc/999999999", O_RDONLY), ENOENT);
}

TEST(ProcSelf, LimitsOomAndSmallFiles) {
  EXPECT_NE(ReadFile("/proc/self/limits").find("Max open files"), std::string::npos);
  EXPECT_NO_FATAL_FAILURE(std::stoi(ReadFile("/proc/self/oom_score_adj")));
  EXPECT_FALSE(ReadFile("/proc/self/statm").empty());
  EXPECT_FALSE(ReadFile("/proc/self/smaps").empty());
  EXPECT_FALSE(ReadFile("/proc/self/auxv").empty());
  EXPECT_NE(ReadFile("/proc/self/io").find("rchar:"), std::string::npos);
  for (const char* name : {"mnt", "pid", "net", "user", "uts", "ipc"}) {
    std::string link = ReadLink(std::string("/proc/self/ns/") + name);
    EXPECT_EQ(link.rfind(std::string(name) + ":[", 0), 0u) << link;
  }
}

TEST(ProcSelf, ReadInSmallPiecesGivesTheSameText) {
  Fd fd(open("/proc/self/status", O_RDONLY));
  std::string text;
  char c;
  while (read(fd, &c, 1) == 1) text += c;
  EXPECT_NE(text.find("Pid:\t" + std::to_string(getpid()) + "\n"), std::string::npos);
  EXPECT_EQ(text.rfind("Name:", 0), 0u);
  EXPECT_EQ(text.back(), '\n');
}

}  // namespace
}  // namespace conformance
