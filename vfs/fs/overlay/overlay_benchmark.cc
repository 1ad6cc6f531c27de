// What an overlay costs on top of its layers: the same calls on a bare tmpfs and through an overlay
// of it.

#include <benchmark/benchmark.h>

#include <memory>

#include "base/fiber.h"
#include "base/io_vec.h"
#include "base/kernel_lock.h"
#include "base/memory_file.h"
#include "vfs/fs/overlay/overlay_fs.h"
#include "vfs/fs/tmpfs/tmpfs.h"
#include "vfs/testing/world.h"

namespace overlay {
namespace {

using namespace vfs;  // NOLINT: the harness

enum Where : int64_t { kBare, kLower, kUpper };

void Run(benchmark::State& state, void (*body)(benchmark::State&, World&)) {
  RunOnFiber([&] {
    auto creds = MakeRef<Credentials>();
    RefPtr<FileSystem> upper = tmpfs::TmpFileSystem::Create("tmpfs", "", *creds).value();
    RefPtr<FileSystem> lower = tmpfs::TmpFileSystem::Create("tmpfs", "", *creds).value();
    World bare(lower);
    RefPtr<FileSystem> fs =
        CreateOverlay({.upper = upper->root(), .lowers = {lower->root()}, .layers = {upper, lower}})
            .value();
    World over(fs);
    World& made = state.range(0) == kUpper ? over : bare;
    made.Mkdir("/usr");
    made.Mkdir("/usr/lib");
    for (int i = 0; i < 100; i++)
      made.WriteFile("/usr/lib/file" + std::to_string(i), std::string(4096, 'x'));
    body(state, state.range(0) == kBare ? bare : over);
  });
}

void BM_Stat(benchmark::State& state) {
  Run(state, [](benchmark::State& state, World& w) {
    for (auto _ : state) benchmark::DoNotOptimize(w.Stat("/usr/lib/file7").ok());
  });
}
BENCHMARK(BM_Stat)->Arg(kBare)->Arg(kLower)->Arg(kUpper);

void BM_StatByUser(benchmark::State& state) {  // who needs permission to search directories
  Run(state, [](benchmark::State& state, World& w) {
    WalkContext user = w.As(1000, 1000);
    for (auto _ : state)
      benchmark::DoNotOptimize(Walk(user, "/usr/lib/file7", 0)->inode().Stat().ok());
  });
}
BENCHMARK(BM_StatByUser)->Arg(kBare)->Arg(kLower)->Arg(kUpper);

void BM_OpenClose(benchmark::State& state) {
  Run(state, [](benchmark::State& state, World& w) {
    for (auto _ : state) benchmark::DoNotOptimize(w.Open("/usr/lib/file7", O_RDONLY).ok());
  });
}
BENCHMARK(BM_OpenClose)->Arg(kBare)->Arg(kLower)->Arg(kUpper);

void BM_Read(benchmark::State& state) {
  Run(state, [](benchmark::State& state, World& w) {
    RefPtr<FileDescription> file = w.Open("/usr/lib/file7", O_RDONLY).value();
    char byte;
    for (auto _ : state) benchmark::DoNotOptimize(file->ReadAt(IoVec(&byte, 1), 0, 0).ok());
  });
}
BENCHMARK(BM_Read)->Arg(kBare)->Arg(kLower)->Arg(kUpper);

void BM_ColdStat(benchmark::State& state) {  // a name that the dentry cache does not know
  Run(state, [](benchmark::State& state, World& w) {
    Dentry& root = *w.context.root.dentry;
    for (auto _ : state) {
      root.DropChildren();
      benchmark::DoNotOptimize(w.Stat("/usr").ok());
    }
  });
}
BENCHMARK(BM_ColdStat)->Arg(kBare)->Arg(kLower)->Arg(kUpper);

void BM_List(benchmark::State& state) {  // 100 entries
  Run(state, [](benchmark::State& state, World& w) {
    for (auto _ : state) {
      RefPtr<FileDescription> directory = w.Open("/usr/lib", O_RDONLY | O_DIRECTORY).value();
      size_t entries = 0;
      CHECK_OK(directory->ReadDir([&entries](const DirectoryEntry&) { return ++entries != 0; }));
    }
  });
}
BENCHMARK(BM_List)->Arg(kBare)->Arg(kLower)->Arg(kUpper);

void BM_CreateUnlink(benchmark::State& state) {
  Run(state, [](benchmark::State& state, World& w) {
    for (auto _ : state) {
      benchmark::DoNotOptimize(w.Open("/usr/lib/new", O_WRONLY | O_CREAT).ok());
      CHECK_OK(Unlink(w.context, "/usr/lib/new"));
    }
  });
}
BENCHMARK(BM_CreateUnlink)->Arg(kBare)->Arg(kLower)->Arg(kUpper);

}  // namespace
}  // namespace overlay
