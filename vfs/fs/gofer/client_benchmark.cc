// What the gofer costs: a round trip, a cold open, and what the caches save.

#include <benchmark/benchmark.h>
#include <fcntl.h>

#include "base/kernel_lock.h"
#include "gofer/testing.h"
#include "vfs/fs/gofer/connection.h"
#include "vfs/fs/gofer/directory.h"
#include "vfs/fs/gofer/gofer_fs.h"
#include "vfs/fs/gofer/regular.h"

namespace goferfs {
namespace {

struct Setup {
  explicit Setup(bool shared) {
    host.Write("file", std::string(65536, 'x'));
    for (int i = 0; i < 1000; i++) host.Write("entry" + std::to_string(i), "");
    gofer = std::make_unique<gofer::TestGofer>(std::vector<gofer::Export>{{host.path(), false}});
    Connection::Prepare();
    connection = Connection::Create(gofer->TakeSocket());
    KernelLock::Section section;
    fs = Create(connection, {.shared = shared}).value();
    root = fs->root();
  }
  ~Setup() {
    KernelLock::Section section;
    root.reset();
    fs.reset();
  }
  gofer::TempDirectory host;
  std::unique_ptr<gofer::TestGofer> gofer;
  RefPtr<Connection> connection;
  RefPtr<vfs::FileSystem> fs;
  RefPtr<vfs::Inode> root;
};

void OnFiber(absl::AnyInvocable<void()> work) {
  KernelLock::Section section;
  Fiber::Start(std::move(work));
}

const RefPtr<Credentials>& Root() {
  static RefPtr<Credentials> creds = Credentials::Root(MakeRef<base::UserNamespace>(nullptr, 0));
  return creds;
}

void BM_RoundTrip(benchmark::State& state) {  // one statx in the gofer
  Setup setup(true);
  OnFiber([&] {
    for (auto _ : state) benchmark::DoNotOptimize(setup.root->Stat().ok());
  });
}
BENCHMARK(BM_RoundTrip)->UseRealTime();

void BM_ColdLookup(benchmark::State& state) {
  Setup setup(false);
  OnFiber([&] {
    for (auto _ : state) benchmark::DoNotOptimize(setup.root->Lookup("file").ok());
  });
}
BENCHMARK(BM_ColdLookup)->UseRealTime();

void BM_ColdOpen(benchmark::State& state) {  // lookup and open in one call
  Setup setup(false);
  OnFiber([&] {
    for (auto _ : state) {
      setup.root->LookupAhead("file", O_RDONLY);
      auto inode = setup.root->Lookup("file");
      benchmark::DoNotOptimize((*inode)->Open({O_RDONLY}, *Root()).ok());
    }
  });
}
BENCHMARK(BM_ColdOpen)->UseRealTime();

void BM_WarmOpen(benchmark::State& state) {
  Setup setup(false);
  OnFiber([&] {
    RefPtr<vfs::Inode> inode = setup.root->Lookup("file").value();
    for (auto _ : state) benchmark::DoNotOptimize(inode->Open({O_RDONLY}, *Root()).ok());
  });
}
BENCHMARK(BM_WarmOpen)->UseRealTime();

void BM_CachedStat(benchmark::State& state) {
  Setup setup(false);
  OnFiber([&] {
    RefPtr<vfs::Inode> inode = setup.root->Lookup("file").value();
    for (auto _ : state) benchmark::DoNotOptimize(inode->Stat().ok());
  });
}
BENCHMARK(BM_CachedStat)->UseRealTime();

void BM_Read4k(benchmark::State& state) {
  Setup setup(false);
  OnFiber([&] {
    RefPtr<vfs::Inode> inode = setup.root->Lookup("file").value();
    RefPtr<vfs::FileDescription> file = inode->Open({O_RDONLY}, *Root()).value();
    char page[4096];
    for (auto _ : state) benchmark::DoNotOptimize(file->ReadAt(IoVec(page, sizeof page), 0, 0).ok());
  });
}
BENCHMARK(BM_Read4k)->UseRealTime();

void BM_CreateAndUnlink(benchmark::State& state) {
  Setup setup(false);
  OnFiber([&] {
    for (auto _ : state) {
      auto inode = setup.root->Create("new", {S_IFREG | 0644, 0, 0, 0});
      benchmark::DoNotOptimize(setup.root->Unlink("new", **inode).ok());
    }
  });
}
BENCHMARK(BM_CreateAndUnlink)->UseRealTime();

void BM_List1000WithAttributes(benchmark::State& state) {
  Setup setup(false);
  OnFiber([&] {
    for (auto _ : state) {
      // A new file system each time: the directory remembers.
      RefPtr<vfs::FileSystem> fs = Create(setup.connection, {}).value();
      benchmark::DoNotOptimize(static_cast<DirectoryInode&>(*fs->root()).List().ok());
    }
  });
}
BENCHMARK(BM_List1000WithAttributes)->UseRealTime();

}  // namespace
}  // namespace goferfs
