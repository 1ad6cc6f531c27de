// The client against a real gofer, and against one that lies.

#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <random>
#include <thread>

#include "base/host.h"
#include "base/kernel_lock.h"
#include "base/log.h"
#include "gofer/testing.h"
#include "vfs/fs/gofer/connection.h"
#include "vfs/fs/gofer/directory.h"
#include "vfs/fs/gofer/gofer_fs.h"
#include "vfs/fs/gofer/host_file.h"
#include "vfs/fs/gofer/regular.h"
#include "vfs/operations.h"

namespace goferfs {
namespace {

using gofer::TempDirectory;
using gofer::TestGofer;

// On a fiber, under the kernel lock, like a system call.
void OnFiber(absl::AnyInvocable<void()> work) {
  KernelLock::Section section;
  Fiber::Start(std::move(work));
}

RefPtr<const Credentials> Root() {
  static RefPtr<const Credentials> creds = Credentials::Root(MakeRef<base::UserNamespace>(nullptr, 0));
  return creds;
}

// Inode::Open and what vfs does around it.
Result<RefPtr<vfs::FileDescription>> Open(vfs::Inode& inode, int flags) {
  RefPtr<vfs::FileDescription> file = TRY(inode.Open({flags}, *Root()));
  vfs::Path path;
  path.dentry = MakeRef<vfs::Dentry>(nullptr, "", RefPtr<vfs::Inode>(&inode));
  file->Init(path, flags, Root());
  return file;
}

std::string ReadAll(vfs::FileDescription& file) {
  std::string text(4096, '\0');
  Result<size_t> n = file.ReadAt(IoVec(text.data(), text.size()), 0, 0);
  EXPECT_TRUE(n.ok());
  text.resize(n.ok() ? *n : 0);
  return text;
}

Result<size_t> WriteText(vfs::FileDescription& file, std::string text, uint64_t offset) {
  return file.WriteAt(IoVec(text.data(), text.size()), offset, 0);
}

std::map<std::string, uint8_t> Names(vfs::Inode& directory) {
  std::map<std::string, uint8_t> names;
  auto file = Open(directory, O_RDONLY | O_DIRECTORY);
  EXPECT_TRUE(file.ok());
  EXPECT_TRUE((*file)->ReadDir([&](const vfs::DirectoryEntry& entry) {
    EXPECT_TRUE(names.emplace(entry.name, entry.type).second);
    return true;
  }).ok());
  return names;
}

class ClientTest : public testing::Test {
 protected:
  void Start(bool shared = false, size_t max_host_files = 0, bool read_only = false, size_t max_gofer_files = 0) {
    gofer_.emplace(std::vector<gofer::Export>{{host_.path(), read_only}}, true, max_gofer_files);
    Connection::Prepare();
    connection_ = Connection::Create(gofer_->TakeSocket(), [this] { deaths_++; }, max_host_files);
    KernelLock::Section section;
    Result<RefPtr<vfs::FileSystem>> fs = Create(connection_, {.shared = shared});
    ASSERT_TRUE(fs.ok());
    fs_ = *fs;
    root_ = fs_->root();
  }
  void TearDown() override {
    KernelLock::Section section;
    root_.reset();
    fs_.reset();
    connection_.reset();
  }
  RefPtr<vfs::Inode> Look(std::string_view name) {
    Result<RefPtr<vfs::Inode>> inode = root_->Lookup(name);
    EXPECT_TRUE(inode.ok()) << name;
    return inode.ok() ? *inode : nullptr;
  }
  uint64_t calls() const { return connection_->calls(); }

  TempDirectory host_;
  std::optional<TestGofer> gofer_;
  RefPtr<Connection> connection_;
  RefPtr<vfs::FileSystem> fs_;
  RefPtr<vfs::Inode> root_;
  int deaths_ = 0;
};

const vfs::CreateOptions kFile{S_IFREG | 0644, 0, 0, 0};
const vfs::CreateOptions kDir{S_IFDIR | 0755, 0, 0, 0};

TEST_F(ClientTest, ReadsAndWritesWithoutTheGofer) {
  host_.Write("file", "hello");
  Start();
  OnFiber([&] {
    RefPtr<vfs::Inode> inode = Look("file");
    auto file = Open(*inode, O_RDWR);
    ASSERT_TRUE(file.ok());
    uint64_t before = calls();
    EXPECT_EQ(ReadAll(**file), "hello");
    EXPECT_TRUE(WriteText(**file, "J", 0).ok());
    uint64_t end = 0;
    std::string tail = " there";
    EXPECT_TRUE((*file)->AppendWrite(IoVec(tail.data(), tail.size()), &end).ok());
    EXPECT_EQ(end, 11u);
    EXPECT_EQ(inode->Stat()->size, 11u);
    EXPECT_TRUE((*file)->Truncate(4).ok());
    EXPECT_EQ(inode->Stat()->size, 4u);
    EXPECT_TRUE((*file)->Allocate(0, 0, 8192).ok());
    EXPECT_EQ(inode->Stat()->size, 8192u);
    EXPECT_TRUE((*file)->Sync(true).ok());
    EXPECT_EQ(calls(), before);
  });
  EXPECT_EQ(host_.Read("file").substr(0, 4), "Jell");
}

TEST_F(ClientTest, AWarmOpenAndAWarmStatCostNoCall) {
  host_.Write("file", "x");
  Start();
  OnFiber([&] {
    RefPtr<vfs::Inode> inode = Look("file");
    EXPECT_TRUE(Open(*inode, O_RDONLY).ok());
    uint64_t before = calls();
    EXPECT_TRUE(Open(*inode, O_RDONLY).ok());
    EXPECT_TRUE(inode->Stat().ok());
    EXPECT_EQ(calls(), before);
    EXPECT_TRUE(Open(*inode, O_RDWR).ok());
    EXPECT_EQ(calls(), before + 1);
  });
}

TEST_F(ClientTest, LookupAheadMakesAPathAndItsOpenOneCall) {
  host_.Mkdir("a");
  host_.Mkdir("a/b");
  host_.Write("a/b/file", "x");
  CHECK_OK(HOST(symlink("b", (host_ / "a/link").c_str())));
  Start();
  OnFiber([&] {
    uint64_t before = calls();
    root_->LookupAhead("a//b/file", O_RDONLY);
    RefPtr<vfs::Inode> b = Look("a")->Lookup("b").value();
    auto inode = b->Lookup("file");
    ASSERT_TRUE(inode.ok());
    auto file = Open(**inode, O_RDONLY);
    ASSERT_TRUE(file.ok());
    EXPECT_EQ(ReadAll(**file), "x");
    EXPECT_EQ(calls(), before + 1);
    // The end of the way is remembered too.
    root_->LookupAhead("a/b/none/more", -1);
    b = Look("a")->Lookup("b").value();
    EXPECT_EQ(b->Lookup("none").error(), Errno::kENOENT);
    EXPECT_EQ(calls(), before + 2);
    root_->LookupAhead("a/link/file", O_RDONLY);
    RefPtr<vfs::Inode> link = Look("a")->Lookup("link").value();
    EXPECT_EQ(link->ReadLink(*Root()).value(), "b");
    EXPECT_EQ(calls(), before + 3);
    // But not beyond a change.
    root_->LookupAhead("a/b/new", -1);
    EXPECT_TRUE(b->Create("new", kFile).ok());
    EXPECT_TRUE(b->Lookup("new").ok());
    root_->LookupAhead("a/../b", -1);
    EXPECT_TRUE(root_->Lookup("a").ok());
    EXPECT_EQ(root_->Lookup("b").error(), Errno::kENOENT);
  });
}

TEST_F(ClientTest, OpenByPathIsOneCall) {
  host_.Mkdir("a");
  host_.Mkdir("a/b");
  host_.Write("a/b/file", "x");
  host_.Write("a/b/other", "y");
  host_.Write("a/b/third", "z");
  CHECK_OK(HOST(symlink("a/b", (host_ / "link").c_str())));
  Start();
  OnFiber([&] {
    auto ns = MakeRef<vfs::MountNamespace>(MakeRef<vfs::Mount>(fs_, 0ul));
    vfs::WalkContext context{ns->RootPath(), ns->RootPath(), Root()};
    uint64_t before = calls();
    auto file = vfs::Open(context, "/a/b/file", O_RDONLY, 0);
    ASSERT_TRUE(file.ok());
    EXPECT_EQ(ReadAll(**file), "x");
    EXPECT_EQ(calls(), before + 1);
    EXPECT_TRUE(vfs::Open(context, "/a/b/file", O_RDONLY, 0).ok());
    EXPECT_TRUE(vfs::Walk(context, "a/b/file", vfs::kWalkFollow).ok());
    EXPECT_EQ(calls(), before + 1);
    EXPECT_EQ(vfs::Open(context, "/none/x", O_RDONLY, 0).error(), Errno::kENOENT);
    EXPECT_EQ(calls(), before + 2);
    EXPECT_TRUE(vfs::Open(context, "/link/other", O_RDWR | O_TRUNC, 0).ok());
    EXPECT_EQ(calls(), before + 4);  // the link, then the file
    EXPECT_TRUE(vfs::Open(context, "/a/b/third", O_RDWR | O_CREAT, 0644).ok());
    EXPECT_EQ(calls(), before + 5);
    EXPECT_TRUE(vfs::Open(context, "/a/b/new", O_RDWR | O_CREAT, 0644).ok());
    EXPECT_EQ(calls(), before + 7);  // is it there? make it
  });
  EXPECT_EQ(host_.Read("a/b/other"), "");
}

std::vector<std::string> InOrder(vfs::Inode& directory, uint8_t type) {
  std::vector<std::string> names;
  auto file = Open(directory, O_RDONLY | O_DIRECTORY);
  EXPECT_TRUE((*file)->ReadDir([&](const vfs::DirectoryEntry& entry) {
    if (entry.type == type && entry.name != "." && entry.name != "..") names.emplace_back(entry.name);
    return true;
  }).ok());
  return names;
}

TEST_F(ClientTest, AListedDirectoryAnswersLookupsAndStats) {
  for (int i = 0; i < 500; i++) host_.Write("f" + std::to_string(i), std::string(static_cast<size_t>(i), 'x'));
  host_.Mkdir("dir");
  CHECK_OK(HOST(symlink("f1", (host_ / "link").c_str())));
  Start();
  OnFiber([&] {
    auto names = Names(*root_);
    EXPECT_EQ(names.size(), 504u);
    EXPECT_EQ(names["link"], DT_LNK);
    EXPECT_EQ(names["dir"], DT_DIR);
    EXPECT_EQ(names["f7"], DT_REG);
    uint64_t before = calls();
    EXPECT_EQ(root_->Lookup("none").error(), Errno::kENOENT);
    EXPECT_EQ(Look("dir")->type(), uint32_t{S_IFDIR});
    EXPECT_EQ(calls(), before);
    // Attributes of files come when somebody asks for them, and those of others with them, whatever the order: 16, 256, and what is left.
    for (int i = 0; i < 500; i++) EXPECT_EQ(Look("f" + std::to_string(i))->Stat()->size, static_cast<uint64_t>(i));
    EXPECT_LE(calls() - before, 3u);
    // What was learned from the listing alone can be used like anything else.
    EXPECT_EQ(Look("link")->ReadLink(*Root()).value(), "f1");
    RefPtr<vfs::Inode> inode = Look("f9");
    auto file = Open(*inode, O_RDONLY);
    ASSERT_TRUE(file.ok());
    EXPECT_EQ(ReadAll(**file), "xxxxxxxxx");
    EXPECT_TRUE(Look("dir")->Create("in", kFile).ok());
    // The listing follows our own changes.
    EXPECT_TRUE(root_->Unlink("f9", *inode).ok());
    EXPECT_TRUE(root_->Create("new", kFile).ok());
    names = Names(*root_);
    EXPECT_EQ(names.count("f9"), 0u);
    EXPECT_EQ(names.count("new"), 1u);
    EXPECT_EQ(root_->Lookup("f9").error(), Errno::kENOENT);
    EXPECT_EQ(inode->Stat()->nlink, 0u);
  });
}

TEST_F(ClientTest, FilesOpenedOneAfterTheOtherAreFewCalls) {
  host_.Mkdir("dir");
  for (int i = 0; i < 100; i++) host_.Write("dir/f" + std::to_string(i), std::to_string(i));
  CHECK_OK(HOST(mkfifo((host_ / "dir/fifo").c_str(), 0600)));
  Start();
  OnFiber([&] {
    Names(*root_);
    RefPtr<vfs::Inode> dir = Look("dir");
    std::vector<std::string> names = InOrder(*dir, DT_REG);
    ASSERT_EQ(names.size(), 100u);
    auto open = [&](const std::string& name) {
      dir->LookupAhead(name, O_RDONLY);
      auto inode = dir->Lookup(name);
      ASSERT_TRUE(inode.ok());
      auto file = Open(**inode, O_RDONLY);
      ASSERT_TRUE(file.ok());
      EXPECT_EQ(ReadAll(**file), name.substr(1));
    };
    uint64_t before = calls();
    for (const std::string& name : names) open(name);
    EXPECT_LE(calls() - before, 9u);  // 1, 2, 4, 8, 16, 32, 32 and what is left
  });
}

TEST_F(ClientTest, FilesOpenedAllOverATreeAreFewCalls) {
  for (std::string a : {"p", "q", "r", "s", "t"}) {
    host_.Mkdir(a);
    host_.Write(a + "/file", a);
    for (std::string b : {"1", "2", "3"}) {
      host_.Mkdir(a + "/" + b);
      for (std::string c : {"x", "y"}) host_.Write(a + "/" + b + "/" + c, a + b + c);
    }
  }
  Start();
  OnFiber([&] {
    size_t opened = 0;
    // Lists all of a directory before it goes through it, as fts(3) does.
    std::function<void(vfs::Inode&)> walk = [&](vfs::Inode& directory) {
      auto description = Open(directory, O_RDONLY);
      std::vector<std::pair<std::string, uint8_t>> entries;
      ASSERT_TRUE((*description)->ReadDir([&](const vfs::DirectoryEntry& entry) {
        if (entry.name != "." && entry.name != "..") entries.emplace_back(entry.name, entry.type);
        return true;
      }).ok());
      for (const auto& [name, type] : entries) {
        directory.LookupAhead(name, O_RDONLY);
        auto child = directory.Lookup(name);
        ASSERT_TRUE(child.ok());
        if (type == DT_DIR) {
          walk(**child);
        } else {
          std::string text = ReadAll(**Open(**child, O_RDONLY));
          EXPECT_EQ(text.substr(text.size() - 1), name == "file" ? text : name);
          opened++;
        }
      }
    };
    uint64_t before = calls();
    walk(*root_);
    EXPECT_EQ(opened, 35u);
    EXPECT_LE(calls() - before, 20u);
    // A change in between is seen.
    RefPtr<vfs::Inode> t = Look("t");
    EXPECT_TRUE(t->Unlink("file", *t->Lookup("file").value()).ok());
    EXPECT_EQ(t->Lookup("file").error(), Errno::kENOENT);
  });
}

TEST_F(ClientTest, FilesThatNobodyUsesAreRemembered) {
  host_.Mkdir("dir");
  for (int i = 0; i < 9; i++) host_.Write("dir/f" + std::to_string(i), "text");
  CHECK_OK(HOST(link((host_ / "dir/f8").c_str(), (host_ / "dir/f9").c_str())));
  Start();
  OnFiber([&] {
    Names(*root_);
    RefPtr<vfs::Inode> dir = Look("dir");
    Names(*dir);
    for (int i = 0; i < 9; i++) EXPECT_EQ(dir->Lookup("f" + std::to_string(i)).value()->Stat()->size, 4u);
    uint64_t before = calls();
    for (int i = 0; i < 8; i++) EXPECT_EQ(dir->Lookup("f" + std::to_string(i)).value()->Stat()->size, 4u);
    EXPECT_EQ(calls(), before);
    // As we have changed them: the size through a descriptor, the mode by a call, a link that goes, the name.
    {
      RefPtr<vfs::Inode> file = dir->Lookup("f0").value();
      auto description = Open(*file, O_RDWR);
      EXPECT_TRUE(WriteText(**description, "longer text", 0).ok());
      vfs::SetAttributes mode{.valid = vfs::SetAttributes::kMode, .mode = 0400};
      EXPECT_TRUE(dir->Lookup("f1").value()->SetAttr(mode).ok());
      EXPECT_TRUE(dir->Unlink("f9", *dir->Lookup("f9").value()).ok());
      EXPECT_TRUE(dir->Rename("f2", *dir->Lookup("f2").value(), *dir, "g2", nullptr, 0).ok());
    }
    EXPECT_EQ(dir->Lookup("f0").value()->Stat()->size, 11u);
    EXPECT_EQ(dir->Lookup("f1").value()->Stat()->mode & 07777, 0400u);
    EXPECT_EQ(dir->Lookup("f8").value()->Stat()->nlink, 1u);
    EXPECT_EQ(dir->Lookup("f2").error(), Errno::kENOENT);
    EXPECT_EQ(dir->Lookup("g2").value()->Stat()->size, 4u);
  });
}

TEST_F(ClientTest, FilesOpenedHereAndThereAreOpenedAlone) {
  for (int i = 0; i < 100; i++) host_.Write("f" + std::to_string(i), std::to_string(i));
  Start();
  OnFiber([&] {
    std::vector<std::string> names = InOrder(*root_, DT_REG);
    size_t open = connection_->host_files().open();
    std::vector<RefPtr<vfs::Inode>> inodes;
    for (size_t i : {50u, 40u, 60u, 30u, 80u}) {
      inodes.push_back(Look(names[i]));
      EXPECT_TRUE(Open(*inodes.back(), O_RDONLY).ok());
    }
    EXPECT_EQ(connection_->host_files().open() - open, 5u);
    // What was opened ahead follows our changes.
    EXPECT_TRUE(Open(*Look(names[0]), O_RDONLY).ok());
    EXPECT_TRUE(Open(*Look(names[1]), O_RDONLY).ok());
    RefPtr<vfs::Inode> next = Look(names[2]);
    EXPECT_TRUE(WriteText(**Open(*next, O_RDWR), "changed", 0).ok());
    EXPECT_EQ(ReadAll(**Open(*next, O_RDONLY)), "changed");
    EXPECT_TRUE(root_->Unlink(names[3], *Look(names[3])).ok());
    EXPECT_EQ(root_->Lookup(names[3]).error(), Errno::kENOENT);
  });
}

TEST_F(ClientTest, GoingThroughATreeIsFewCalls) {
  // 4 directories in each of 4 in each of 4, with a file.
  std::vector<std::string> all = {""};
  for (size_t begin = 0, level = 0; level < 3; level++) {
    size_t end = all.size();
    for (; begin < end; begin++) {
      for (char c : {'a', 'b', 'c', 'd'}) {
        std::string name = all[begin] + c;
        host_.Mkdir(name);
        host_.Write(name + "/file", name);
        all.push_back(name + "/");
      }
    }
  }
  Start();
  OnFiber([&] {
    size_t found = 0;
    std::function<void(vfs::Inode&)> walk = [&](vfs::Inode& directory) {
      found++;
      for (const std::string& name : InOrder(directory, DT_DIR)) {
        auto child = directory.Lookup(name);
        ASSERT_TRUE(child.ok());
        EXPECT_EQ((*child)->Stat()->mode & S_IFMT, uint32_t{S_IFDIR});
        walk(**child);
      }
    };
    uint64_t before = calls();
    walk(*root_);
    EXPECT_EQ(found, all.size());
    EXPECT_LE(calls() - before, 8u);
    // What is known of a directory that nobody has asked for yet is up to date.
    RefPtr<vfs::Inode> d = Look("d");
    RefPtr<vfs::Inode> file = d->Lookup("file").value();
    EXPECT_EQ(ReadAll(**Open(*file, O_RDONLY)), "d");
    EXPECT_TRUE(d->Unlink("file", *file).ok());
    EXPECT_TRUE(d->Create("new", kFile).ok());
    EXPECT_EQ(InOrder(*d, DT_REG), std::vector<std::string>{"new"});
  });
}

TEST_F(ClientTest, ADirectoryListedAheadKnowsOfChangesBeforeItIsListed) {
  for (const char* name : {"a", "b", "c", "d", "e"}) {
    host_.Mkdir(name);
    host_.Write(std::string(name) + "/one", "");
  }
  Start();
  OnFiber([&] {
    std::vector<std::string> names = InOrder(*root_, DT_DIR);
    ASSERT_EQ(names.size(), 5u);
    for (size_t i = 0; i < 2; i++) EXPECT_EQ(InOrder(*Look(names[i]), DT_REG).size(), 1u);
    // The second call has told of the others too.
    uint64_t before = calls();
    RefPtr<vfs::Inode> fourth = Look(names[3]);
    RefPtr<vfs::Inode> one = fourth->Lookup("one").value();
    EXPECT_EQ(fourth->Lookup("two").error(), Errno::kENOENT);
    EXPECT_EQ(calls(), before);
    EXPECT_TRUE(WriteText(**Open(*one, O_RDWR), "abc", 0).ok());
    EXPECT_TRUE(fourth->Rename("one", *one, *fourth, "two", nullptr, 0).ok());
    EXPECT_EQ(InOrder(*fourth, DT_REG), std::vector<std::string>{"two"});
    EXPECT_EQ(fourth->Lookup("two").value()->Stat()->size, 3u);
  });
}

TEST_F(ClientTest, WhatIsWrittenWhileATreeIsListedIsSeen) {
  for (const char* name : {"a", "b", "c", "d", "e", "f"}) {
    host_.Mkdir(name);
    for (int i = 0; i < 30; i++) host_.Write(std::string(name) + "/f" + std::to_string(i), "");
  }
  Start();
  OnFiber([&] {
    std::vector<std::string> names = InOrder(*root_, DT_DIR);
    ASSERT_EQ(names.size(), 6u);
    RefPtr<vfs::Inode> last = Look(names[5]);
    RefPtr<vfs::Inode> written = last->Lookup("f7").value();
    RefPtr<vfs::FileDescription> file = Open(*written, O_RDWR).value();
    last.reset();
    for (size_t i = 0; i < 2; i++) EXPECT_EQ(InOrder(*Look(names[i]), DT_REG).size(), 30u);
    // The gofer lists the others now.
    EXPECT_TRUE(WriteText(*file, "abc", 0).ok());
    file.reset();
    written.reset();
    EXPECT_EQ(Look(names[5])->Lookup("f7").value()->Stat()->size, 3u);
    for (const std::string& name : names) EXPECT_EQ(InOrder(*Look(name), DT_REG).size(), 30u);
  });
}

TEST_F(ClientTest, AFileSystemMayGoWhileATreeIsListed) {
  for (const char* name : {"a", "b", "c", "d", "e", "f"}) {
    host_.Mkdir(name);
    for (int i = 0; i < 30; i++) host_.Write(std::string(name) + "/f" + std::to_string(i), "");
  }
  Start();
  OnFiber([&] {
    RefPtr<vfs::FileSystem> other = Create(connection_, {}).value();
    RefPtr<vfs::Inode> root = other->root();
    std::vector<std::string> names = InOrder(*root, DT_DIR);
    for (size_t i = 0; i < 2; i++) EXPECT_EQ(InOrder(*root->Lookup(names[i]).value(), DT_REG).size(), 30u);
    root.reset();
    other.reset();
    EXPECT_EQ(InOrder(*Look("c"), DT_REG).size(), 30u);
  });
}

TEST_F(ClientTest, AListingKnowsLessThanTheFilesInUse) {
  host_.Write("file", "");
  Start();
  OnFiber([&] {
    {
      RefPtr<vfs::Inode> file = Look("file");
      auto open = Open(*file, O_RDWR);
      Names(*root_);
      EXPECT_TRUE(WriteText(**open, "abc", 0).ok());
      EXPECT_EQ(Look("file")->Stat()->size, 3u);
    }
    EXPECT_EQ(Look("file")->Stat()->size, 3u);
  });
}

TEST_F(ClientTest, AnInodeFromAListingIsFoundAfterItWasRenamed) {
  host_.Write("a", "contents");
  host_.Mkdir("dir");
  Start();
  OnFiber([&] {
    Names(*root_);
    RefPtr<vfs::Inode> a = Look("a");
    RefPtr<vfs::Inode> dir = Look("dir");
    ASSERT_TRUE(root_->Rename("a", *a, *dir, "b", nullptr, 0).ok());
    ASSERT_TRUE(root_->Rename("dir", *dir, *root_, "elsewhere", nullptr, 0).ok());
    auto file = Open(*a, O_RDONLY);
    ASSERT_TRUE(file.ok());
    EXPECT_EQ(ReadAll(**file), "contents");
    EXPECT_EQ(dir->Lookup("b").value(), a);
  });
  EXPECT_TRUE(host_.Exists("elsewhere/b"));
}

TEST_F(ClientTest, MakesEveryKindOfFile) {
  Start();
  OnFiber([&] {
    auto file = root_->Create("file", {S_IFREG | 0640, 1000, 1001, 0});
    ASSERT_TRUE(file.ok());
    EXPECT_EQ((*file)->Stat()->mode, S_IFREG | 0640u);
    EXPECT_EQ((*file)->Stat()->uid, 1000u);
    uint64_t before = calls();
    EXPECT_TRUE(Open(**file, O_RDWR).ok());
    EXPECT_EQ(calls(), before);
    auto dir = root_->Mkdir("dir", kDir);
    ASSERT_TRUE(dir.ok());
    EXPECT_EQ(root_->Stat()->nlink, 3u);
    before = calls();
    EXPECT_EQ((*dir)->Lookup("x").error(), Errno::kENOENT);
    EXPECT_EQ(calls(), before);
    auto link = root_->Symlink("link", "dir/../file", {S_IFLNK | 0777, 7, 8, 0});
    ASSERT_TRUE(link.ok());
    EXPECT_EQ((*link)->ReadLink(*Root()).value(), "dir/../file");
    EXPECT_EQ((*link)->Stat()->uid, 7u);
    EXPECT_TRUE(root_->Mknod("fifo", {S_IFIFO | 0600, 0, 0, 0}).ok());
    EXPECT_TRUE(root_->Mknod("socket", {S_IFSOCK | 0600, 0, 0, 0}).ok());
    EXPECT_EQ(root_->Mknod("null", {S_IFCHR | 0600, 0, 0, 0x103}).error(), Errno::kEPERM);
    EXPECT_EQ(Look("fifo")->type(), uint32_t{S_IFIFO});
    EXPECT_EQ(Open(*Look("fifo"), O_RDONLY).error(), Errno::kENXIO);
    auto unnamed = root_->CreateUnnamed(kFile);
    ASSERT_TRUE(unnamed.ok());
    EXPECT_EQ((*unnamed)->Stat()->nlink, 0u);
    ASSERT_TRUE(root_->Link("named", **unnamed).ok());
    EXPECT_EQ((*unnamed)->Stat()->nlink, 1u);
    EXPECT_EQ(root_->Create("file", kFile).error(), Errno::kEEXIST);
    EXPECT_EQ(root_->Rmdir("file", **file).error(), Errno::kENOTDIR);
    EXPECT_TRUE(root_->Rmdir("dir", **dir).ok());
    EXPECT_EQ(root_->Stat()->nlink, 2u);
  });
  EXPECT_TRUE(host_.Exists("named"));
  EXPECT_FALSE(host_.Exists("dir"));
}

TEST_F(ClientTest, HardLinksShareAnInode) {
  host_.Write("one", "1");
  CHECK_OK(HOST(link((host_ / "one").c_str(), (host_ / "two").c_str())));
  Start();
  OnFiber([&] {
    RefPtr<vfs::Inode> one = Look("one");
    RefPtr<vfs::Inode> two = Look("two");
    EXPECT_EQ(one, two);
    ASSERT_TRUE(root_->Link("three", *one).ok());
    EXPECT_EQ(two->Stat()->nlink, 3u);
    ASSERT_TRUE(root_->Unlink("one", *one).ok());
    EXPECT_EQ(Look("three"), two);
    EXPECT_EQ(two->Stat()->nlink, 2u);
  });
}

TEST_F(ClientTest, RenameReplacesAndExchanges) {
  host_.Write("a", "a");
  host_.Write("b", "b");
  Start();
  OnFiber([&] {
    RefPtr<vfs::Inode> a = Look("a"), b = Look("b");
    ASSERT_TRUE(root_->Rename("a", *a, *root_, "b", b.get(), RENAME_EXCHANGE).ok());
    EXPECT_EQ(Look("b"), a);
    EXPECT_EQ(Look("a"), b);
    ASSERT_TRUE(root_->Rename("a", *b, *root_, "b", a.get(), 0).ok());
    EXPECT_EQ(a->Stat()->nlink, 0u);
    EXPECT_EQ(Look("b"), b);
    EXPECT_EQ(root_->Rename("b", *b, *root_, "c", nullptr, RENAME_WHITEOUT).error(), Errno::kEINVAL);
  });
  EXPECT_EQ(host_.Read("b"), "b");
}

TEST_F(ClientTest, AttributesAndExtendedAttributes) {
  host_.Write("file", "contents");
  Start();
  OnFiber([&] {
    RefPtr<vfs::Inode> file = Look("file");
    vfs::SetAttributes changes;
    changes.valid = vfs::SetAttributes::kMode | vfs::SetAttributes::kUid | vfs::SetAttributes::kMtime | vfs::SetAttributes::kSize;
    changes.mode = 04711;
    changes.uid = 77;
    changes.mtime = -1'500'000'000;
    changes.size = 3;
    ASSERT_TRUE(file->SetAttr(changes).ok());
    vfs::Attributes now = *file->Stat();
    EXPECT_EQ(now.mode, S_IFREG | 04711u);
    EXPECT_EQ(now.uid, 77u);
    EXPECT_EQ(now.mtime, -1'500'000'000);
    EXPECT_EQ(now.size, 3u);
    EXPECT_EQ(file->GetXattr("user.x").error(), Errno::kENODATA);
    EXPECT_TRUE(file->SetXattr("user.x", "value", 0).ok());
    EXPECT_EQ(file->GetXattr("user.x").value(), "value");
    EXPECT_EQ(file->ListXattr()->size(), 1u);
    EXPECT_TRUE(file->RemoveXattr("user.x").ok());
    EXPECT_EQ(file->SetXattr("trusted.x", "", 0).error(), Errno::kEOPNOTSUPP);
    EXPECT_TRUE(fs_->StatFs().ok());
    EXPECT_TRUE(fs_->Sync().ok());
  });
}

TEST_F(ClientTest, MapsAndTellsOfTruncation) {
  host_.Write("file", std::string(10000, 'm'));
  Start();
  OnFiber([&] {
    struct Mapper : vfs::Mappable::Mapper {
      void InvalidateMappings(uint64_t offset, uint64_t length) override { at = offset; }
      uint64_t at = 0;
    } mapper;
    RefPtr<vfs::Inode> inode = Look("file");
    auto file = Open(*inode, O_RDWR);
    ASSERT_TRUE(file.ok());
    auto mappable = (*file)->Map();
    ASSERT_TRUE(mappable.ok());
    EXPECT_EQ((*file)->Map().value(), *mappable);
    (*mappable)->AddMapper(&mapper);
    auto pages = (*mappable)->Translate(4096, 1 << 20, true);
    ASSERT_TRUE(pages.ok());
    EXPECT_FALSE(pages->in_memory_file);
    EXPECT_EQ(pages->length, 8192u);
    EXPECT_EQ((*mappable)->Translate(12288, 4096, false).error(), Errno::kENXIO);
    char page[4096];
    EXPECT_EQ((*mappable)->Read(page, 8192, 4096).value(), 10000u - 8192);
    EXPECT_EQ(page[0], 'm');
    EXPECT_EQ(page[4095], '\0');
    EXPECT_TRUE((*file)->Truncate(5000).ok());
    EXPECT_EQ(mapper.at, 5000u);
    (*mappable)->RemoveMapper(&mapper);
    auto reader = Open(*Look("file"), O_RDONLY);
    EXPECT_EQ((*file)->Seek(0, SEEK_HOLE).value(), 5000);
    EXPECT_EQ((*file)->Seek(0, SEEK_DATA).value(), 0);
  });
}

TEST_F(ClientTest, SharedModeSeesTheHostsChanges) {
  host_.Write("file", "old");
  Start(true);
  OnFiber([&] {
    RefPtr<vfs::Inode> file = Look("file");
    EXPECT_EQ(root_->Lookup("later").error(), Errno::kENOENT);
    host_.Write("file", "longer");
    host_.Write("later", "");
    EXPECT_EQ(file->Stat()->size, 6u);
    EXPECT_TRUE(root_->revalidates());
    EXPECT_FALSE(root_->Revalidate("later", nullptr));
    EXPECT_TRUE(root_->Revalidate("file", file.get()));
    CHECK_OK(HOST(rename((host_ / "later").c_str(), (host_ / "file").c_str())));
    EXPECT_FALSE(root_->Revalidate("file", file.get()));
    EXPECT_EQ(Names(*root_).count("later"), 0u);
  });
}

TEST_F(ClientTest, ReadOnlyExport) {
  host_.Write("file", "x");
  Start(false, 0, true);
  OnFiber([&] {
    RefPtr<vfs::Inode> file = Look("file");
    EXPECT_EQ(Open(*file, O_RDWR).error(), Errno::kEROFS);
    EXPECT_TRUE(Open(*file, O_RDONLY).ok());
    EXPECT_EQ(root_->Create("new", kFile).error(), Errno::kEROFS);
    EXPECT_EQ(root_->Unlink("file", *file).error(), Errno::kEROFS);
  });
}

TEST_F(ClientTest, IdleDescriptorsAreClosedBeyondTheBound) {
  for (int i = 0; i < 100; i++) host_.Write("f" + std::to_string(i), std::to_string(i));
  Start(false, 8);
  OnFiber([&] {
    std::vector<RefPtr<vfs::Inode>> inodes;
    std::vector<RefPtr<vfs::FileDescription>> open;
    for (int i = 0; i < 100; i++) {
      inodes.push_back(Look("f" + std::to_string(i)));
      auto file = Open(*inodes.back(), O_RDWR);
      ASSERT_TRUE(file.ok());
      EXPECT_TRUE(WriteText(**file, "abc", 0).ok());
      if (i < 4) open.push_back(*file);
    }
    EXPECT_LE(connection_->host_files().open(), 9u);
    // What was written just before its descriptor went is not forgotten.
    for (auto& inode : inodes) EXPECT_EQ(inode->Stat()->size, 3u);
    for (auto& file : open) EXPECT_EQ(ReadAll(*file), "abc");
    for (auto& inode : inodes) EXPECT_TRUE(Open(*inode, O_RDONLY).ok());
    EXPECT_LE(connection_->host_files().open(), 9u);
  });
}

TEST_F(ClientTest, CallsOfManyFibersOnSeveralThreads) {
  for (int i = 0; i < 64; i++) host_.Write("f" + std::to_string(i), std::to_string(i));
  Start(true);
  std::atomic<int> done{0};
  auto work = [&](int seed) {
    std::mt19937 random(static_cast<unsigned>(seed));
    for (int i = 0; i < 200; i++) {
      int n = static_cast<int>(random() % 64);
      Result<RefPtr<vfs::Inode>> inode = root_->Lookup("f" + std::to_string(n));
      ASSERT_TRUE(inode.ok());
      ASSERT_EQ((*inode)->Stat()->size, std::to_string(n).size());
      auto file = Open(**inode, O_RDONLY);
      ASSERT_TRUE(file.ok());
      ASSERT_EQ(ReadAll(**file), std::to_string(n));
    }
    done++;
  };
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; t++) {
    threads.emplace_back([&, t] {
      KernelLock::Section section;
      for (int f = 0; f < 4; f++) Fiber::Start([&, t, f] { work(t * 4 + f); });
    });
  }
  for (auto& thread : threads) thread.join();
  for (int i = 0; i < 1000 && done < 16; i++) {
    KernelLock::Section section;  // runs what others left ready
  }
  EXPECT_EQ(done, 16);
}

TEST_F(ClientTest, ADeadGoferIsToldOfOnceAndCallsFail) {
  host_.Write("file", "x");
  Start();
  OnFiber([&] {
    RefPtr<vfs::Inode> inode = Look("file");
    auto file = Open(*inode, O_RDONLY);
    gofer_->Kill();
    (void)gofer_->Wait();
    EXPECT_EQ(root_->Lookup("other").error(), Errno::kEIO);
    EXPECT_EQ(root_->Create("new", kFile).error(), Errno::kEIO);
    EXPECT_EQ(deaths_, 1);
    EXPECT_TRUE(connection_->dead());
    // Its descriptors go on working.
    EXPECT_EQ(ReadAll(**file), "x");
  });
}

TEST_F(ClientTest, AServerWithoutDescriptorsGetsThoseOfTheCacheBack) {
  for (int i = 0; i < 400; i++) host_.Write("f" + std::to_string(i), "");
  Start(false, 0, false, 200);
  OnFiber([&] {
    // Each stays in the cache, with a handle.
    for (int i = 0; i < 400; i++) {
      auto dentry = fs_->root_dentry()->Child("f" + std::to_string(i));
      ASSERT_TRUE(dentry.ok()) << i;
      EXPECT_FALSE((*dentry)->negative());
    }
  });
}

TEST_F(ClientTest, ServerHandlesAreGivenBack) {
  for (int i = 0; i < 300; i++) host_.Write("f" + std::to_string(i), "");
  Start();
  OnFiber([&] {
    // Each lookup makes a handle and drops it; a thousand times the limit would not fit otherwise.
    for (int round = 0; round < 100; round++) {
      for (int i = 0; i < 300; i++) ASSERT_TRUE(root_->Lookup("f" + std::to_string(i)).ok());
    }
  });
}

// A gofer that gives away a descriptor of something else than a regular file.
TEST(HostileGofer, OnlyRegularFilesAreAccepted) {
  int pair[2];
  CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
  std::thread server([fd = pair[1]] {
    char buffer[512];
    while (recv(fd, buffer, sizeof buffer, 0) > 0) {
      gofer::RequestHeader header;
      memcpy(&header, buffer, sizeof header);
      struct [[gnu::packed]] {
        gofer::ReplyHeader header{};
        gofer::AttachReply attach{};
      } reply;
      reply.header.id = header.id;
      reply.attach.node.handle = 1;
      reply.attach.node.attributes.mode = S_IFREG | 0755;
      reply.attach.node.attributes.nlink = 1;
      bool open = header.opcode == static_cast<uint16_t>(gofer::Opcode::kOpen);
      iovec iov{&reply, open ? sizeof reply.header : sizeof reply};
      msghdr message{.msg_iov = &iov, .msg_iovlen = 1};
      alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
      if (open) {
        message.msg_control = control;
        message.msg_controllen = sizeof control;
        cmsghdr* cmsg = CMSG_FIRSTHDR(&message);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(cmsg), &fd, sizeof fd);
      }
      if (sendmsg(fd, &message, MSG_NOSIGNAL) < 0) break;
    }
    close(fd);
  });
  {
    RefPtr<Connection> connection = Connection::Create(Fd(pair[0]));
    OnFiber([&] {
      RefPtr<vfs::FileSystem> fs = Create(connection, {}).value();
      EXPECT_EQ(Open(*fs->root(), O_RDONLY).error(), Errno::kEIO);
    });
  }
  server.join();
}

// A gofer that answers each request with a mutation of a plausible reply.
TEST(HostileGofer, NeverCrashesTheClient) {
  std::mt19937 random(7);
  int first_free = dup(0);
  close(first_free);
  for (int round = 0; round < 300; round++) {
    int pair[2];
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
    std::thread server([fd = pair[1], seed = random()] {
      std::mt19937 random(seed);
      std::string buffer(gofer::kMaxMessage, '\0');
      unsigned corruption = 5 + static_cast<unsigned>(random() % 200);
      for (;;) {
        ssize_t n = recv(fd, buffer.data(), buffer.size(), 0);
        if (n <= 0) break;
        gofer::RequestHeader header;
        memcpy(&header, buffer.data(), sizeof header);
        if (header.opcode == static_cast<uint16_t>(gofer::Opcode::kClose)) continue;
        std::string reply(sizeof(gofer::ReplyHeader) + 512 + random() % 2048, '\0');
        gofer::ReplyHeader reply_header{.id = header.id, .error = random() % 8 == 0 ? static_cast<int32_t>(random() % 140) : 0};
        memcpy(reply.data(), &reply_header, sizeof reply_header);
        gofer::WireAttributes attributes{};
        attributes.dev = 1;
        attributes.ino = 1 + random() % 3;
        uint32_t types[] = {S_IFREG, S_IFDIR, S_IFDIR, S_IFLNK, S_IFIFO};
        attributes.mode = types[random() % 5] | 0755;
        if (header.opcode == static_cast<uint16_t>(gofer::Opcode::kAttach)) attributes.mode = S_IFDIR | 0755;
        attributes.nlink = 1;
        gofer::WireNode node{1 + random() % 5, attributes};
        size_t at = sizeof reply_header;
        if (header.opcode == static_cast<uint16_t>(gofer::Opcode::kWalk)) {
          gofer::WalkReply walk{1, static_cast<uint16_t>(random() % 64), 0, 0};
          memcpy(&reply[at], &walk, sizeof walk);
          at += sizeof walk;
        }
        if (header.opcode == static_cast<uint16_t>(gofer::Opcode::kReadDir)) {
          gofer::ReadDirReply list{1 + static_cast<uint32_t>(random() % 3), static_cast<uint32_t>(random() % 2)};
          memcpy(&reply[at], &list, sizeof list);
          at += sizeof list;
          for (uint32_t i = 0; i < list.count; i++) {
            gofer::WireDirent entry{1, 2, DT_REG, 3, static_cast<uint8_t>(random() % 2), 0};
            memcpy(&reply[at], &entry, sizeof entry);
            at += sizeof entry;
            if (entry.has_attributes != 0) {
              memcpy(&reply[at], &attributes, sizeof attributes);
              at += sizeof attributes;
            }
            memcpy(&reply[at], random() % 8 == 0 ? "../" : "abc", 3);
            reply[at + 2] = static_cast<char>('a' + i);
            at += 3;
          }
        } else if (header.opcode == static_cast<uint16_t>(gofer::Opcode::kListTrees)) {
          reply.resize(at);
          for (auto listings = 1 + random() % 3; listings > 0; listings--) {
            gofer::WireListing listing{1, 1 + random() % 5, static_cast<uint32_t>(random() % 3)};
            reply.append(reinterpret_cast<char*>(&listing), sizeof listing);
            for (uint32_t i = 0; i < listing.count; i++) {
              attributes.ino = 1 + random() % 5;
              gofer::WireDirent entry{1, 2, DT_REG, 4, static_cast<uint8_t>(random() % 2), 0};
              reply.append(reinterpret_cast<char*>(&entry), sizeof entry);
              if (entry.has_attributes != 0) reply.append(reinterpret_cast<char*>(&attributes), sizeof attributes);
              reply += random() % 2 == 0 ? "name" : "abcd";
            }
          }
          reply.resize(std::max<size_t>(reply.size(), 256));
        } else if (header.opcode == static_cast<uint16_t>(gofer::Opcode::kStatFiles)) {
          for (int i = 0; i < 3; i++, at += sizeof(gofer::FileReply)) {
            gofer::FileReply file{random() % 4 == 0 ? static_cast<int32_t>(random() % 140) : 0, attributes};
            memcpy(&reply[at], &file, sizeof file);
          }
        } else if (header.opcode == static_cast<uint16_t>(gofer::Opcode::kOpenFiles)) {
          gofer::FileReply file{random() % 4 == 0 ? static_cast<int32_t>(random() % 140) : 0, attributes};
          memcpy(&reply[at], &file, sizeof file);
        } else {
          memcpy(&reply[at], &node, sizeof node);
        }
        if (random() % corruption == 0) {
          for (int i = 0; i < 4; i++) reply[random() % 200] = static_cast<char>(random());
        }
        if (random() % corruption == 0) reply.resize(random() % reply.size());
        iovec iov{reply.data(), reply.size()};
        msghdr message{.msg_iov = &iov, .msg_iovlen = 1};
        alignas(cmsghdr) char control[CMSG_SPACE(2 * sizeof(int))] = {};
        if (random() % 2 == 0) {
          int count = random() % corruption == 0 ? 2 : 1;
          message.msg_control = control;
          message.msg_controllen = CMSG_SPACE(static_cast<size_t>(count) * sizeof(int));
          cmsghdr* cmsg = CMSG_FIRSTHDR(&message);
          cmsg->cmsg_level = SOL_SOCKET;
          cmsg->cmsg_type = SCM_RIGHTS;
          cmsg->cmsg_len = CMSG_LEN(static_cast<size_t>(count) * sizeof(int));
          int fds[2] = {fd, fd};
          memcpy(CMSG_DATA(cmsg), fds, static_cast<size_t>(count) * sizeof(int));
        }
        if (sendmsg(fd, &message, MSG_NOSIGNAL) < 0) break;
      }
      close(fd);
    });
    {
      RefPtr<Connection> connection = Connection::Create(Fd(pair[0]));
      OnFiber([&] {
        Result<RefPtr<vfs::FileSystem>> fs = Create(connection, {.shared = random() % 2 == 0});
        if (!fs.ok()) return;
        std::vector<RefPtr<vfs::Inode>> inodes = {(*fs)->root()};
        for (int i = 0; i < 60; i++) {
          RefPtr<vfs::Inode> at = inodes[random() % inodes.size()];
          switch (random() % 12) {
            case 0:
            case 1: {
              if (random() % 2 == 0) at->LookupAhead("name/other/third", O_RDONLY);
              auto found = at->Lookup("name");
              if (found.ok()) inodes.push_back(*found);
              break;
            }
            case 2: {
              auto made = at->Create("made", kFile);
              if (made.ok()) inodes.push_back(*made);
              break;
            }
            case 3: {
              auto file = Open(*at, at->type() == S_IFDIR ? O_RDONLY : O_RDWR);
              if (!file.ok()) break;
              // The descriptor may be anything; only what a hostile gofer's file may do.
              if (at->type() == S_IFREG) (void)(*file)->Stat();
              if (at->type() == S_IFDIR) (void)(*file)->ReadDir([](const vfs::DirectoryEntry& e) { return gofer::ValidName(e.name) || e.name == "." || e.name == ".."; });
              break;
            }
            case 4:
              (void)at->Stat();
              break;
            case 5:
              (void)at->ReadLink(*Root());
              break;
            case 6:
              (void)at->Unlink("name", *inodes[random() % inodes.size()]);
              break;
            case 7:
              (void)at->ListXattr();
              break;
            case 8:
              (void)at->Rename("name", *inodes[random() % inodes.size()], *inodes[random() % inodes.size()], "other", nullptr, 0);
              break;
            case 9:
              (void)at->Link("link", *inodes[random() % inodes.size()]);
              break;
            case 10: {
              vfs::SetAttributes changes;
              changes.valid = vfs::SetAttributes::kMode;
              (void)at->SetAttr(changes);
              break;
            }
            case 11:
              (void)at->GetXattr("user.a");
              break;
          }
        }
      });
    }
    server.join();
  }
  // No descriptor that was sent has stayed open.
  int now_free = dup(0);
  EXPECT_EQ(now_free, first_free);
  close(now_free);
}

}  // namespace
}  // namespace goferfs
