// The same random calls, by several users, on a tmpfs of ours and on one of the host's: every result and the whole tree at the
// end must be equal. The host's half runs in a child in a chroot, so it needs root; without it the test is skipped.

#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <random>

#include "base/host.h"
#include "vfs/fs/devtmpfs/devtmpfs.h"
#include "vfs/fs/overlay/overlay_fs.h"
#include "vfs/fs/tmpfs/tmpfs.h"
#include "vfs/testing/world.h"

namespace vfs {
namespace {

enum class Op { kMkdir, kRmdir, kUnlink, kOpen, kRename, kLink, kSymlink, kStat, kChmod, kChown, kTruncate, kReadLink, kAccess, kMknod };
constexpr int kOps = 14;

struct Call {
  Op op;
  unsigned user = 0;  // index into kUsers
  std::string name, other;
  int flags = 0;
  uint32_t mode = 0;
  uint32_t uid = 0, gid = 0;
};

struct User {
  uid_t uid;
  gid_t gid;
};
constexpr User kUsers[] = {{0, 0}, {1000, 1000}, {1001, 1000}};

bool Protected(const char* what) {
  std::ifstream file(std::string("/proc/sys/fs/protected_") + what);
  int value = 0;
  file >> value;
  return value != 0;
}

class Generator {
 public:
  explicit Generator(unsigned seed, bool many_users) : random_(seed), many_users_(many_users) {
    sticky_ = !Protected("symlinks") && !Protected("regular") && !Protected("fifos");
    user_links_ = !Protected("hardlinks");
  }

  Call Next() {
    Call call{.op = static_cast<Op>(Below(kOps))};
    if (many_users_) call.user = Below(std::size(kUsers));
    call.name = Name();
    call.mode = Mode();
    switch (call.op) {
      case Op::kOpen: {
        constexpr int kAccess[] = {O_RDONLY, O_WRONLY, O_RDWR};
        constexpr int kMore[] = {O_CREAT, O_CREAT, O_EXCL, O_TRUNC, O_DIRECTORY, O_NOFOLLOW, O_APPEND, O_PATH, O_TMPFILE, O_NOATIME};
        call.flags = kAccess[Below(3)];
        for (int more : kMore) {
          if (Below(5) == 0) call.flags |= more;
        }
        break;
      }
      case Op::kRename: {
        constexpr int kFlags[] = {0, 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_NOREPLACE | RENAME_EXCHANGE, 64};
        call.flags = kFlags[Below(std::size(kFlags))];
        call.other = Name();
        break;
      }
      case Op::kLink:
        call.other = Name();
        call.flags = Below(2) == 0 ? AT_SYMLINK_FOLLOW : 0;
        if (!user_links_) call.user = 0;
        break;
      case Op::kSymlink:
        call.other = Name();
        break;
      case Op::kStat:
        call.flags = Below(2) == 0 ? AT_SYMLINK_NOFOLLOW : 0;
        break;
      case Op::kChown:
        call.uid = kUsers[Below(std::size(kUsers))].uid;
        call.gid = kUsers[Below(std::size(kUsers))].gid;
        break;
      case Op::kAccess:
        call.flags = static_cast<int>(Below(8));
        break;
      case Op::kMknod: {
        constexpr uint32_t kTypes[] = {0, S_IFREG, S_IFSOCK, S_IFDIR, S_IFLNK, S_IFCHR};
        call.mode |= kTypes[Below(std::size(kTypes))];
        break;
      }
      default:
        break;
    }
    return call;
  }

 private:
  unsigned Below(size_t bound) { return static_cast<unsigned>(random_() % bound); }

  uint32_t Mode() {
    uint32_t mode = Below(3) == 0 ? random_() & 0777 : 0777;
    if (Below(6) == 0) mode |= S_ISGID;
    if (Below(10) == 0) mode |= S_ISUID;
    if (sticky_ && Below(6) == 0) mode |= S_ISVTX;
    return mode;
  }

  std::string Name() {
    if (Below(60) == 0) return "";
    std::string name = Below(4) == 0 ? "/" : "";
    unsigned depth = 1 + Below(3);
    for (unsigned i = 0; i < depth; i++) {
      if (i > 0) name += Below(12) == 0 ? "//" : "/";
      switch (Below(24)) {
        case 0: name += '.'; break;
        case 1: name += ".."; break;
        case 2: name += std::string(Below(2) == 0 ? 255 : 256, 'x'); break;
        default: name += static_cast<char>('a' + Below(5)); break;
      }
    }
    if (Below(10) == 0) name += '/';
    return name;
  }

  std::mt19937 random_;
  const bool many_users_;
  bool sticky_, user_links_;
};

std::string Describe(const Call& call) {
  static constexpr const char* kNames[] = {"mkdir",  "rmdir", "unlink", "open",     "rename",   "link",   "symlink",
                                           "stat",   "chmod", "chown",  "truncate", "readlink", "access", "mknod"};
  char text[1024];
  snprintf(text, sizeof text, "%s(\"%s\", \"%s\", flags %#x, mode %#o, %u:%u) by %u", kNames[static_cast<int>(call.op)],
           call.name.c_str(), call.other.c_str(), static_cast<unsigned>(call.flags), call.mode, call.uid, call.gid,
           kUsers[call.user].uid);
  return text;
}

// A result as text: the errno, or what the call told.
std::string Failure(Errno error) { return std::string(base::ErrnoName(error)); }

bool count_directory_links = true;  // an overlay does not

std::string StatText(uint32_t mode, uint64_t nlink, uid_t uid, gid_t gid, uint64_t size) {
  char text[128];
  if (S_ISDIR(mode)) size = 0;
  if (S_ISDIR(mode) && !count_directory_links) nlink = 0;
  snprintf(text, sizeof text, "%06o nlink %lu %u:%u size %lu", mode, nlink, uid, gid, size);
  return text;
}

// --- the host's half ---------------------------------------------------------------------------------------------------

template <class T>
std::string HostText(T result) {
  auto value = base::HostResult(result);
  return value.ok() ? "ok" : Failure(value.error());
}

std::string OnHost(const Call& call) {
  const char* name = call.name.c_str();
  const char* other = call.other.c_str();
  switch (call.op) {
    case Op::kMkdir: return HostText(mkdir(name, call.mode & 07777));
    case Op::kRmdir: return HostText(rmdir(name));
    case Op::kUnlink: return HostText(unlink(name));
    case Op::kOpen: {
      auto fd = base::HostResult(open(name, call.flags | O_NONBLOCK, call.mode & 07777));
      if (!fd.ok()) return Failure(fd.error());
      std::string text = "ok";
      if ((call.flags & O_ACCMODE) != O_RDONLY && (call.flags & O_PATH) == 0) text += HostText(write(*fd, "data", 4));
      close(*fd);
      return text;
    }
    case Op::kRename: return HostText(renameat2(AT_FDCWD, name, AT_FDCWD, other, static_cast<unsigned>(call.flags)));
    case Op::kLink: return HostText(linkat(AT_FDCWD, name, AT_FDCWD, other, call.flags));
    case Op::kSymlink: return HostText(symlink(other, name));
    case Op::kStat: {
      struct stat st;
      auto result = base::HostResult(fstatat(AT_FDCWD, name, &st, call.flags));
      if (!result.ok()) return Failure(result.error());
      return StatText(st.st_mode, st.st_nlink, st.st_uid, st.st_gid, static_cast<uint64_t>(st.st_size));
    }
    case Op::kChmod: return HostText(chmod(name, call.mode));
    case Op::kChown: return HostText(lchown(name, call.uid, call.gid));
    case Op::kTruncate: return HostText(truncate(name, call.mode));
    case Op::kReadLink: {
      char buffer[4096];
      auto size = base::HostResult(readlink(name, buffer, sizeof buffer));
      return size.ok() ? std::string(buffer, static_cast<size_t>(*size)) : Failure(size.error());
    }
    case Op::kAccess: return HostText(syscall(SYS_faccessat2, AT_FDCWD, name, call.flags, AT_EACCESS));
    case Op::kMknod: return HostText(mknod(name, call.mode, 0x103));
  }
  return "";
}

std::string ReadHostFile(const std::string& name) {
  std::ifstream file(name);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

[[noreturn]] void RunHostHalf(const std::vector<Call>& calls, const std::string& root, int out) {
  CHECK_OK(HOST(chroot(root.c_str())));
  CHECK_OK(HOST(chdir("/")));
  umask(0);
  CHECK_OK(HOST(syscall(SYS_setgroups, 0, nullptr)));
  std::string results;
  for (const Call& call : calls) {
    // Only this thread's ids, as the program has no other.
    CHECK_OK(HOST(syscall(SYS_setresgid, -1, kUsers[call.user].gid, -1)));
    CHECK_OK(HOST(syscall(SYS_setresuid, -1, kUsers[call.user].uid, -1)));
    results += OnHost(call) + '\n';
    CHECK_OK(HOST(syscall(SYS_setresuid, -1, 0, -1)));
  }
  for (size_t done = 0; done < results.size();) {
    done += static_cast<size_t>(HOST(write(out, results.data() + done, results.size() - done)).value());
  }
  _exit(0);
}

// --- our half ----------------------------------------------------------------------------------------------------------

template <class T>
std::string Text(const Result<T>& result) {
  return result.ok() ? "ok" : Failure(result.error());
}

Result<std::string> StatOurs(const WalkContext& context, std::string_view name, unsigned walk) {
  Path place = TRY(Walk(context, name, walk));
  Attributes attr = TRY(place.inode().Stat());
  return StatText(attr.mode, attr.nlink, attr.uid, attr.gid, attr.size);
}

Result<void> ChangeOurs(const WalkContext& context, std::string_view name, unsigned walk, SetAttributes changes) {
  Path place = TRY(Walk(context, name, walk));
  return SetAttr(context, place, changes);
}

Result<void> LinkOurs(const WalkContext& context, const Call& call) {
  Path place = TRY(Walk(context, call.name, call.flags != 0 ? unsigned{kWalkFollow} : 0));
  return Link(context, place, context, call.other);
}

std::string OnOurs(const WalkContext& context, const Call& call) {
  using Valid = SetAttributes;
  std::string_view name = call.name;
  switch (call.op) {
    case Op::kMkdir: return Text(Mkdir(context, name, call.mode & 07777));
    case Op::kRmdir: return Text(Rmdir(context, name));
    case Op::kUnlink: return Text(Unlink(context, name));
    case Op::kOpen: {
      auto file = Open(context, name, call.flags | O_NONBLOCK, call.mode & 07777);
      if (!file.ok()) return Failure(file.error());
      std::string text = "ok";
      if ((*file)->writable()) {
        CHECK_OK(PrepareWrite(**file, *context.creds));
        text += WriteAll(**file, "data") == 4 ? "ok" : "short";
      }
      return text;
    }
    case Op::kRename: return Text(Rename(context, name, context, call.other, static_cast<unsigned>(call.flags)));
    case Op::kLink: return Text(LinkOurs(context, call));
    case Op::kSymlink: return Text(Symlink(context, call.other, name));
    case Op::kStat: {
      auto text = StatOurs(context, name, call.flags != 0 ? 0 : unsigned{kWalkFollow});
      return text.ok() ? *text : Failure(text.error());
    }
    case Op::kChmod: return Text(ChangeOurs(context, name, kWalkFollow, {.valid = Valid::kMode, .mode = call.mode}));
    case Op::kChown:
      return Text(ChangeOurs(context, name, 0, {.valid = Valid::kUid | Valid::kGid, .uid = call.uid, .gid = call.gid}));
    case Op::kTruncate: return Text(ChangeOurs(context, name, kWalkFollow, {.valid = Valid::kSize, .size = call.mode}));
    case Op::kReadLink: {
      auto text = vfs::ReadLink(context, name, 0);
      return text.ok() ? *text : Failure(text.error());
    }
    case Op::kAccess: {
      auto place = Walk(context, name, kWalkFollow);
      return place.ok() ? Text(Access(context, *place, call.flags)) : Failure(place.error());
    }
    case Op::kMknod: return Text(Mknod(context, name, call.mode, 0x103));
  }
  return "";
}

// Every name below with its attributes, contents and links.
void DumpOurs(const World& w, const std::string& directory, std::string* out) {
  for (const std::string& name : w.List(directory.empty() ? "/" : directory)) {
    std::string path = directory + "/" + name;
    *out += path + " " + StatOurs(w.context, path, 0).value();
    uint32_t mode = w.Stat(path, 0)->mode;
    if (S_ISREG(mode)) *out += " " + w.ReadFile(path);
    if (S_ISLNK(mode)) *out += " " + *vfs::ReadLink(w.context, path, 0);
    *out += '\n';
    if (S_ISDIR(mode)) DumpOurs(w, path, out);
  }
}

void DumpHost(const std::string& root, const std::string& directory, std::string* out) {
  std::vector<std::string> names;
  DIR* dir = opendir((root + directory).c_str());
  while (dirent* entry = readdir(dir)) {
    if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) names.emplace_back(entry->d_name);
  }
  closedir(dir);
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) {
    std::string path = directory + "/" + name;
    struct stat st;
    CHECK_OK(HOST(lstat((root + path).c_str(), &st)));
    *out += path + " " + StatText(st.st_mode, st.st_nlink, st.st_uid, st.st_gid, static_cast<uint64_t>(st.st_size));
    if (S_ISREG(st.st_mode)) *out += " " + ReadHostFile(root + path);
    char buffer[4096];
    if (S_ISLNK(st.st_mode)) {
      *out += " " + std::string(buffer, static_cast<size_t>(readlink((root + path).c_str(), buffer, sizeof buffer)));
    }
    *out += '\n';
    if (S_ISDIR(st.st_mode)) DumpHost(root, path, out);
  }
}

// --- both --------------------------------------------------------------------------------------------------------------

std::vector<std::string> Lines(const std::string& text) {
  std::vector<std::string> lines;
  for (size_t at = 0; at < text.size();) {
    size_t end = text.find('\n', at);
    lines.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

enum class Kind { kTmpfs, kOverlay };

void Compare(unsigned seed, bool many_users, Kind kind = Kind::kTmpfs) {
  count_directory_links = kind == Kind::kTmpfs;
  devtmpfs::RegisterMemoryDevices();  // mknod makes null devices
  char root[] = "/dev/shm/runsc-vfs-test.XXXXXX";
  ASSERT_NE(mkdtemp(root), nullptr);
  ASSERT_EQ(chmod(root, 0777), 0);
  Generator generator(seed, many_users);
  std::vector<Call> calls;
  for (int i = 0; i < 3000; i++) calls.push_back(generator.Next());

  int pipes[2];
  ASSERT_EQ(pipe(pipes), 0);
  pid_t child = fork();
  if (child == 0) RunHostHalf(calls, root, pipes[1]);
  close(pipes[1]);
  std::string text;
  char buffer[4096];
  for (ssize_t n; (n = read(pipes[0], buffer, sizeof buffer)) > 0;) text.append(buffer, static_cast<size_t>(n));
  close(pipes[0]);
  int status = 0;
  waitpid(child, &status, 0);
  ASSERT_EQ(status, 0);
  std::vector<std::string> expected = Lines(text);
  ASSERT_EQ(expected.size(), calls.size());
  std::string host_tree;
  DumpHost(root, "", &host_tree);

  RunOnFiber([&] {
    auto creds = MakeRef<Credentials>();
    RefPtr<FileSystem> bottom = tmpfs::TmpFileSystem::Create("t", "mode=777", *creds).value();
    World w(bottom);
    std::vector<WalkContext> contexts;
    for (const User& user : kUsers) contexts.push_back(w.As(user.uid, user.gid));
    for (size_t i = 0; i < calls.size(); i++) {
      if (kind == Kind::kOverlay && i == calls.size() / 2) {
        // What there is so far becomes the lower layer.
        RefPtr<FileSystem> top = tmpfs::TmpFileSystem::Create("t", "mode=777", *creds).value();
        Attributes root_attr = bottom->root()->Stat().value();
        CHECK_OK(top->root()->SetAttr({.valid = SetAttributes::kMode | SetAttributes::kUid | SetAttributes::kGid,
                                       .mode = root_attr.mode & 07777,
                                       .uid = root_attr.uid,
                                       .gid = root_attr.gid}));
        w = World(overlay::CreateOverlay({.upper = top->root(), .lowers = {bottom->root()}, .layers = {top, bottom}}).value());
        for (size_t user = 0; user < std::size(kUsers); user++) contexts[user] = w.As(kUsers[user].uid, kUsers[user].gid);
      }
      if (kind == Kind::kOverlay && i % 100 == 0) {
        // Inodes come and go.
        Dentry::SetCacheLimit(0);
        Dentry::SetCacheLimit(32768);
      }
      std::string got = OnOurs(contexts[calls[i].user], calls[i]);
      EXPECT_EQ(got, expected[i]) << "seed " << seed << " call " << i << ": " << Describe(calls[i]);
      if (got != expected[i]) return;
    }
    std::string tree;
    DumpOurs(w, "", &tree);
    EXPECT_EQ(tree, host_tree) << "seed " << seed;
  });
  std::string clean = std::string("rm -rf ") + root;
  EXPECT_EQ(system(clean.c_str()), 0);
}

bool HostIsSuitable() {
  struct statfs st;
  return geteuid() == 0 && statfs("/dev/shm", &st) == 0 && st.f_type == 0x01021994;
}

TEST(Differential, AsRoot) {
  if (!HostIsSuitable()) GTEST_SKIP() << "needs root and a tmpfs on /dev/shm";
  for (unsigned seed = 1; seed <= 10 && !HasFailure(); seed++) Compare(seed, false);
}

TEST(Differential, AsSeveralUsers) {
  if (!HostIsSuitable()) GTEST_SKIP() << "needs root and a tmpfs on /dev/shm";
  for (unsigned seed = 1001; seed <= 1015 && !HasFailure(); seed++) Compare(seed, true);
}

TEST(Differential, OnAnOverlay) {
  if (!HostIsSuitable()) GTEST_SKIP() << "needs root and a tmpfs on /dev/shm";
  for (unsigned seed = 2001; seed <= 2030 && !HasFailure(); seed++) Compare(seed, seed % 2 == 0, Kind::kOverlay);
}

}  // namespace
}  // namespace vfs
