// What a lower layer is asked, and what may happen while it takes its time to answer.

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>

#include "vfs/fs/overlay/test_util.h"

namespace overlay {
namespace {

// Lets the fibers that are ready run.
void Yield() {
  Fiber* self = Fiber::Current();
  bool back = false;
  Fiber::Start([&] {
    back = true;
    self->Unpark();
  });
  while (!back) Fiber::Park();
}

// A file system in front of another that counts questions and answers some of them late.
class SlowFs final : public FileSystem {
 public:
  explicit SlowFs(RefPtr<FileSystem> inner)
      : FileSystem("slow", "slow"), inner_(std::move(inner)) {}
  ~SlowFs() override { inodes_.clear(); }
  RefPtr<Inode> root() override { return Wrap(inner_->root()); }
  Result<struct statfs> StatFs() override { return inner_->StatFs(); }
  RefPtr<Inode> Wrap(RefPtr<Inode> inode);

  void Asked(std::string_view question) {
    asked[std::string(question)]++;
    while (blocked == question) {
      waiting.push_back(Fiber::Current());
      Fiber::Park();
    }
  }
  void Unblock() {
    blocked.clear();
    for (Fiber* fiber : std::exchange(waiting, {})) fiber->Unpark();
  }
  // How often it was asked since the last call.
  int Count(const std::string& question) { return std::exchange(asked[question], 0); }

  std::map<std::string, int> asked;
  std::string blocked;
  std::vector<Fiber*> waiting;

 private:
  RefPtr<FileSystem> inner_;
  std::map<Inode*, RefPtr<Inode>> inodes_;
};

class SlowFile final : public FileDescription {
 public:
  SlowFile(SlowFs& fs, RefPtr<FileDescription> inner) : fs_(fs), inner_(std::move(inner)) {}
  Result<size_t> ReadAt(const IoVec& to, uint64_t offset, int flags) override {
    fs_.Asked("read");
    return inner_->ReadAt(to, offset, flags);
  }
  Result<void> ReadDir(absl::FunctionRef<bool(const DirectoryEntry&)> emit) override {
    fs_.Asked("list");
    inner_->set_offset(offset_);
    TRY(inner_->ReadDir(emit));
    offset_ = inner_->offset();
    return {};
  }

 private:
  SlowFs& fs_;
  RefPtr<FileDescription> inner_;
};

class SlowInode final : public Inode {
 public:
  SlowInode(SlowFs* fs, RefPtr<Inode> inner) : Inode(fs), inner_(std::move(inner)) {}
  Result<Attributes> Stat() override {
    Attributes attr = TRY(inner_->Stat());
    attr.dev = fs_->dev();
    return attr;
  }
  uint32_t type() const override { return inner_->type(); }
  Result<RefPtr<Inode>> Lookup(std::string_view name) override {
    slow().Asked("lookup");
    RefPtr<Inode> found = TRY(inner_->Lookup(name));
    return slow().Wrap(std::move(found));
  }
  Result<RefPtr<FileDescription>> Open(const OpenOptions& options,
                                       const Credentials& creds) override {
    slow().Asked("open");
    RefPtr<FileDescription> file = TRY(inner_->Open(options, creds));
    file->Init(Path{nullptr, MakeRef<Dentry>(nullptr, "", inner_)}, options.flags,
               RefPtr<const Credentials>(&creds));
    return RefPtr<FileDescription>(MakeRef<SlowFile>(slow(), std::move(file)));
  }

 private:
  SlowFs& slow() const { return static_cast<SlowFs&>(*fs_); }
  const RefPtr<Inode> inner_;
};

RefPtr<Inode> SlowFs::Wrap(RefPtr<Inode> inode) {
  RefPtr<Inode>& wrapped = inodes_[inode.get()];
  if (!wrapped) wrapped = MakeRef<SlowInode>(this, std::move(inode));
  return wrapped;
}

struct Slow {
  Slow() {
    RefPtr<FileSystem> below = NewTmpfs();
    lower = std::make_unique<World>(below);
    slow = MakeRef<SlowFs>(below);
    RefPtr<FileSystem> upper = NewTmpfs();
    fs = CreateOverlay({.upper = upper->root(), .lowers = {slow->root()}, .layers = {upper, slow}})
             .value();
    world = std::make_unique<World>(fs);
  }
  World* operator->() { return world.get(); }

  std::unique_ptr<World> lower, world;
  RefPtr<SlowFs> slow;
  RefPtr<FileSystem> fs;
};

TEST(OverlayLayers, AreAskedOnlyWhereTheyMatter) {
  RunOnFiber([] {
    Slow w;
    w.lower->Mkdir("/dir");
    w.lower->WriteFile("/dir/file", "x");
    EXPECT_TRUE(w->Stat("/dir/file").ok());
    EXPECT_EQ(w.slow->Count("lookup"), 2);
    EXPECT_TRUE(w->Stat("/dir/file").ok());
    EXPECT_EQ(ErrorOf(w->Stat("/dir/none")), Errno::kENOENT);
    EXPECT_EQ(ErrorOf(w->Stat("/dir/none")), Errno::kENOENT);
    EXPECT_EQ(w.slow->Count("lookup"), 1);
    (void)w->Open("/dir/file", O_RDONLY).value();
    (void)w->Open("/dir/file", O_RDONLY).value();
    EXPECT_EQ(w.slow->Count("lookup"), 0);
    EXPECT_EQ(w.slow->Count("open"), 2);
    // A new directory is the upper layer's alone.
    w->Mkdir("/new");
    w->WriteFile("/new/file", "x");
    CHECK_OK(Unlink(w->context, "/new/file"));
    EXPECT_EQ(w.slow->Count("lookup"), 1);
    // What was made here needs no question to go.
    w->WriteFile("/dir/temporary", "x");
    EXPECT_EQ(w.slow->Count("lookup"), 1);
    CHECK_OK(Rename(w->context, "/dir/temporary", w->context, "/dir/file", 0));
    CHECK_OK(Unlink(w->context, "/dir/file"));
    EXPECT_EQ(w.slow->Count("lookup"), 0);
    EXPECT_EQ(w.slow->Count("read"), 0);
    EXPECT_EQ(w->List("/dir"), Names{});
  });
}

TEST(OverlayLayers, TwoWritersCopyOnce) {
  RunOnFiber([] {
    Slow w;
    w.lower->WriteFile("/file", std::string(1'000'000, 'x'));
    w.slow->blocked = "read";
    int done = 0;
    for (int i = 0; i < 2; i++) {
      Fiber::Start([&, i] {
        auto file = w->Open("/file", O_WRONLY).value();
        file->set_offset(static_cast<uint64_t>(i));
        WriteAll(*file, i == 0 ? "a" : "b");
        done++;
      });
    }
    Yield();
    EXPECT_EQ(done, 0);
    EXPECT_EQ(w.slow->waiting.size(), 1u);
    // A reader need not wait for them.
    w.slow->Unblock();
    Yield();
    Yield();
    EXPECT_EQ(done, 2);
    EXPECT_EQ(w.slow->Count("open"), 1);
    EXPECT_EQ(w->ReadFile("/file").substr(0, 3), "abx");
  });
}

TEST(OverlayLayers, AFileRemovedWhileItIsCopiedUpStaysRemoved) {
  RunOnFiber([] {
    Slow w;
    w.lower->WriteFile("/file", "below");
    w.slow->blocked = "read";
    RefPtr<FileDescription> file;
    Fiber::Start([&] { file = w->Open("/file", O_RDWR).value(); });
    Yield();
    CHECK_OK(Unlink(w->context, "/file"));
    w.slow->Unblock();
    Yield();
    ASSERT_TRUE(file);
    EXPECT_EQ(ReadAll(*file), "below");
    EXPECT_EQ(file->Stat()->nlink, 0u);
    EXPECT_EQ(ErrorOf(w->Stat("/file")), Errno::kENOENT);
    w.fs->root_dentry()->DropChildren();
    EXPECT_EQ(ErrorOf(w->Stat("/file")), Errno::kENOENT);
    EXPECT_EQ(w->List("/"), Names{});
  });
}

TEST(OverlayLayers, ALookupThatACopyUpOvertakes) {
  RunOnFiber([] {
    Slow w;
    w.lower->WriteFile("/file", "below");
    w.slow->blocked = "lookup";
    bool done = false;
    Fiber::Start([&] {
      EXPECT_EQ(w->ReadFile("/file"), "above");
      done = true;
    });
    Yield();
    // Somebody knows the file already, writes to it, and forgets it again.
    w.slow->blocked.clear();
    {
      RefPtr<Inode> file = w.fs->root()->Lookup("file").value();
      SetAttributes empty{.valid = SetAttributes::kSize};
      CHECK_OK(file->SetAttr(empty));
      auto writer = file->Open({O_WRONLY}, *w->context.creds).value();
      EXPECT_EQ(writer->WriteAt(IoVec(const_cast<char*>("above"), 5), 0, 0).value(), 5u);
    }
    w.slow->Unblock();
    Yield();
    EXPECT_TRUE(done);
  });
}

TEST(OverlayLayers, ChangesWhileADirectoryMoves) {
  RunOnFiber([] {
    Slow w;
    w.lower->Mkdir("/dir");
    w.lower->Mkdir("/dir/sub");
    for (const char* name : {"/dir/a", "/dir/b", "/dir/sub/c", "/dir/sub/d"})
      w.lower->WriteFile(name, name);
    WalkContext inside = w->context;
    inside.start = w->Place("/dir/sub");
    w.slow->blocked = "read";
    bool done = false;
    Fiber::Start([&] {
      CHECK_OK(Rename(w->context, "/dir", w->context, "/moved", 0));
      done = true;
    });
    Yield();
    EXPECT_FALSE(done);
    CHECK_OK(Unlink(inside, "c"));
    (void)vfs::Open(inside, "new", O_WRONLY | O_CREAT, 0644).value();
    w.slow->Unblock();
    Yield();
    EXPECT_TRUE(done);
    EXPECT_EQ(w->List("/moved"), (Names{"a", "b", "sub"}));
    EXPECT_EQ(w->List("/moved/sub"), (Names{"d", "new"}));
    EXPECT_EQ(w->List("/"), Names{"moved"});
    w.fs->root_dentry()->DropChildren();
    EXPECT_EQ(w->List("/moved/sub"), (Names{"d", "new"}));
    EXPECT_EQ(w->ReadFile("/moved/sub/d"), "/dir/sub/d");
  });
}

}  // namespace
}  // namespace overlay
