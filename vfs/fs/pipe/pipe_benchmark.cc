#include <benchmark/benchmark.h>

#include "base/kernel_lock.h"
#include "vfs/fs/pipe/pipe_file.h"

namespace pipefs {
namespace {

RefPtr<const Credentials> Creds() {
  return RefPtr<const Credentials>(Credentials::Root(MakeRef<base::UserNamespace>(nullptr, 0)));
}

void BM_WriteRead(benchmark::State& state) {
  PipeEnds ends = CreatePipe(0, Creds()).value();
  std::string buffer(state.range(0), 'x');
  IoVec iov(buffer.data(), buffer.size());
  for (auto _ : state) {
    benchmark::DoNotOptimize(ends.write->Write(iov));
    benchmark::DoNotOptimize(ends.read->Read(iov));
  }
}
BENCHMARK(BM_WriteRead)->Arg(1)->Arg(512)->Arg(4096)->Arg(65536);

// Two fibers, one byte back and forth: each iteration is two writes, two wake-ups, two fiber switches.
void BM_PingPong(benchmark::State& state) {
  PipeEnds there = CreatePipe(0, Creds()).value();
  PipeEnds back = CreatePipe(0, Creds()).value();
  auto read_one = [](vfs::FileDescription& file) {
    char c;
    return base::BlockUntil<size_t>(*file.wait_queue(), EPOLLIN, base::kNoDeadline,
                                    [&] { return file.Read(IoVec(&c, 1)); });
  };
  auto write_one = [](vfs::FileDescription& file) {
    char c = 'x';
    benchmark::DoNotOptimize(file.Write(IoVec(&c, 1)));
  };
  KernelLock::Section section;
  Fiber::Start([&] {
    while (*read_one(*there.read) == 1) write_one(*back.write);
  });
  Fiber::Start([&] {
    for (auto _ : state) {
      write_one(*there.write);
      benchmark::DoNotOptimize(read_one(*back.read));
    }
    there.write.reset();
  });
  base::FiberRunner::RunReady();
}
BENCHMARK(BM_PingPong);

}  // namespace
}  // namespace pipefs
