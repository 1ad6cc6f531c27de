// What the system calls pay for names: warm walks, names known to be missing, opens, and making and removing files.

#include <benchmark/benchmark.h>

#include <optional>

#include "base/kernel_lock.h"
#include "vfs/fs/tmpfs/tmpfs.h"
#include "vfs/testing/world.h"

namespace vfs {
namespace {

struct Tree {
  Tree() {
    RunOnFiber([] {});
    section.emplace();
    auto creds = MakeRef<Credentials>();
    world.emplace(RefPtr<FileSystem>(tmpfs::TmpFileSystem::Create("tmpfs", "", *creds).value()));
    for (const char* name : {"/a", "/a/b", "/a/b/c"}) world->Mkdir(name);
    world->WriteFile("/a/b/c/d", std::string(4096, 'x'));
    CHECK_OK(Symlink(world->context, "a/b", "/link"));
    user = world->As(1000, 1000);
  }
  ~Tree() { world.reset(); }

  std::optional<base::KernelLock::Section> section;
  std::optional<World> world;
  WalkContext user;
};

void WalkWarm(benchmark::State& state, const WalkContext& context, std::string_view name) {
  for (auto _ : state) benchmark::DoNotOptimize(Walk(context, name, kWalkFollow));
}

void BM_WalkRoot(benchmark::State& state) {
  Tree tree;
  WalkWarm(state, tree.world->context, "/a/b/c/d");
}
BENCHMARK(BM_WalkRoot);

void BM_WalkUser(benchmark::State& state) {
  Tree tree;
  WalkWarm(state, tree.user, "/a/b/c/d");
}
BENCHMARK(BM_WalkUser);

void BM_WalkMissing(benchmark::State& state) {
  Tree tree;
  WalkWarm(state, tree.world->context, "/a/b/c/missing");
}
BENCHMARK(BM_WalkMissing);

void BM_WalkThroughLink(benchmark::State& state) {
  Tree tree;
  WalkWarm(state, tree.world->context, "/link/c/d");
}
BENCHMARK(BM_WalkThroughLink);

void BM_Stat(benchmark::State& state) {
  Tree tree;
  for (auto _ : state) {
    Path place = Walk(tree.world->context, "/a/b/c/d", kWalkFollow).value();
    benchmark::DoNotOptimize(place.inode().Stat());
  }
}
BENCHMARK(BM_Stat);

void BM_OpenClose(benchmark::State& state) {
  Tree tree;
  for (auto _ : state) benchmark::DoNotOptimize(tree.world->Open("/a/b/c/d", O_RDONLY));
}
BENCHMARK(BM_OpenClose);

void BM_CreateUnlink(benchmark::State& state) {
  Tree tree;
  for (auto _ : state) {
    CHECK_OK(tree.world->Open("/a/b/c/new", O_RDWR | O_CREAT | O_EXCL));
    CHECK_OK(Unlink(tree.world->context, "/a/b/c/new"));
  }
}
BENCHMARK(BM_CreateUnlink);

void BM_MkdirRmdir(benchmark::State& state) {
  Tree tree;
  for (auto _ : state) {
    CHECK_OK(Mkdir(tree.world->context, "/a/b/new", 0755));
    CHECK_OK(Rmdir(tree.world->context, "/a/b/new"));
  }
}
BENCHMARK(BM_MkdirRmdir);

void BM_Rename(benchmark::State& state) {
  Tree tree;
  tree.world->WriteFile("/a/one", "");
  for (auto _ : state) {
    CHECK_OK(Rename(tree.world->context, "/a/one", tree.world->context, "/a/b/two", 0));
    CHECK_OK(Rename(tree.world->context, "/a/b/two", tree.world->context, "/a/one", 0));
  }
}
BENCHMARK(BM_Rename);

// Of a file in memory, at the position.
void BM_Read4k(benchmark::State& state) {
  Tree tree;
  RefPtr<FileDescription> file = tree.world->Open("/a/b/c/d", O_RDONLY).value();
  char buffer[4096];
  for (auto _ : state) {
    file->set_offset(0);
    benchmark::DoNotOptimize(file->Read(IoVec(buffer, sizeof buffer)));
  }
}
BENCHMARK(BM_Read4k);

void BM_Overwrite4k(benchmark::State& state) {
  Tree tree;
  RefPtr<FileDescription> file = tree.world->Open("/a/b/c/d", O_RDWR).value();
  char buffer[4096] = {};
  for (auto _ : state) {
    file->set_offset(0);
    benchmark::DoNotOptimize(file->Write(IoVec(buffer, sizeof buffer)));
  }
}
BENCHMARK(BM_Overwrite4k);

// A file written from nothing in pieces of the given size, then removed.
void BM_WriteFresh(benchmark::State& state) {
  Tree tree;
  constexpr size_t kTotal = 8 << 20;
  std::string piece(static_cast<size_t>(state.range(0)), 'x');
  for (auto _ : state) {
    RefPtr<FileDescription> file = tree.world->Open("/a/new", O_RDWR | O_CREAT).value();
    for (size_t done = 0; done < kTotal; done += piece.size()) WriteAll(*file, piece);
    file.reset();
    CHECK_OK(Unlink(tree.world->context, "/a/new"));
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * kTotal));
}
BENCHMARK(BM_WriteFresh)->Arg(4096)->Arg(65536)->Arg(1 << 20);

}  // namespace
}  // namespace vfs
