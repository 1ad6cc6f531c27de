// Costs in the Sentry alone: the platform only counts.

#include <benchmark/benchmark.h>

#include "sentry/mm/memory_manager.h"
#include "sentry/mm/testing/fake_file.h"
#include "sentry/mm/testing/fake_platform.h"

namespace mm {
namespace {

constexpr int kReadWrite = PROT_READ | PROT_WRITE;

struct Fixture {
  Fixture() {
    testing::SetUpMemory();
    platform.record = false;
    memory = *MemoryManager::Create(platform);
    memory->SetLayout(0x7ffe00000000);
  }
  uint64_t Map(uint64_t length, int prot = kReadWrite, int flags = MAP_PRIVATE) {
    return *memory->Map({.length = length, .prot = prot, .flags = flags | MAP_ANONYMOUS});
  }
  testing::FakePlatform platform;
  RefPtr<MemoryManager> memory;
};

void BM_MapUnmap(benchmark::State& state) {
  Fixture f;
  uint64_t length = static_cast<uint64_t>(state.range(0)) << 10;
  f.Map(4096, PROT_READ);
  for (auto _ : state) {
    uint64_t address = f.Map(length);
    (void)f.memory->Unmap(address, length);
  }
}
BENCHMARK(BM_MapUnmap)->Arg(4)->Arg(64)->Arg(1024)->Arg(65536)->Arg(1 << 20);

// With every page written in between, as by an application's buffers.
void BM_MapTouchUnmap(benchmark::State& state) {
  Fixture f;
  uint64_t length = static_cast<uint64_t>(state.range(0)) << 10;
  std::string data(length, 'x');
  for (auto _ : state) {
    uint64_t address = f.Map(length);
    (void)f.memory->CopyOut(address, data.data(), length);
    (void)f.memory->Unmap(address, length);
  }
}
BENCHMARK(BM_MapTouchUnmap)->Arg(64);

void BM_MapUnmapAmongMany(benchmark::State& state) {
  Fixture f;
  for (int i = 0; i < state.range(0); i++) f.Map(8192, i % 2 == 0 ? PROT_READ : kReadWrite);
  for (auto _ : state) {
    uint64_t address = f.Map(65536);
    (void)f.memory->Unmap(address, 65536);
  }
}
BENCHMARK(BM_MapUnmapAmongMany)->Arg(10000);

void BM_CopyIn(benchmark::State& state) {
  Fixture f;
  uint64_t address = f.Map(65536);
  char buffer[4096];
  size_t size = static_cast<size_t>(state.range(0));
  (void)f.memory->CopyOut(address, buffer, sizeof buffer);
  for (auto _ : state) {
    (void)f.memory->CopyIn(buffer, address + 64, size);
    benchmark::DoNotOptimize(buffer);
  }
}
BENCHMARK(BM_CopyIn)->Arg(8)->Arg(144)->Arg(4000);

void BM_CopyInString(benchmark::State& state) {
  Fixture f;
  uint64_t address;
  const char path[] = "/usr/lib/x86_64-linux-gnu/libc.so.6";
  if (state.range(0) != 0) {
    auto file = MakeRef<testing::FakeFile>(std::string(path, sizeof path), O_RDONLY);
    address = *f.memory->Map({.length = 4096, .prot = PROT_READ, .flags = MAP_PRIVATE, .file = file});
  } else {
    address = f.Map(4096);
    (void)f.memory->CopyOut(address, path, sizeof path);
  }
  for (auto _ : state) benchmark::DoNotOptimize(f.memory->CopyInString(address, 4096));
}
BENCHMARK(BM_CopyInString)->Arg(0)->Arg(1);

void BM_Pin(benchmark::State& state) {
  Fixture f;
  uint64_t address = f.Map(1 << 20);
  size_t size = static_cast<size_t>(state.range(0)) << 10;
  for (auto _ : state) benchmark::DoNotOptimize(f.memory->Pin(address + 100, size, true));
}
BENCHMARK(BM_Pin)->Arg(4)->Arg(64);

void BM_Fork(benchmark::State& state) {
  Fixture f;
  for (int i = 0; i < state.range(0); i++) {
    uint64_t address = f.Map(65536, i % 2 == 0 ? kReadWrite : kReadWrite | PROT_EXEC);
    std::string data(65536, 'x');
    (void)f.memory->CopyOut(address, data.data(), data.size());
  }
  for (auto _ : state) benchmark::DoNotOptimize(f.memory->Fork());
}
BENCHMARK(BM_Fork)->Arg(50);

// A write fault on a shared page after fork, and one that finds the page unshared again.
void BM_CopyOnWrite(benchmark::State& state) {
  Fixture f;
  uint64_t length = 64 << 20;
  uint64_t address = f.Map(length);
  std::string data(1 << 20, 'x');
  for (uint64_t i = 0; i < length; i += data.size()) (void)f.memory->CopyOut(address + i, data.data(), data.size());
  RefPtr<MemoryManager> child = *f.memory->Fork();
  uint64_t at = 0;
  for (auto _ : state) {
    if (at == length) {
      state.PauseTiming();
      child.reset();
      child = *f.memory->Fork();
      at = 0;
      state.ResumeTiming();
    }
    (void)f.memory->HandleFault(address + at, Access::kWrite);
    at += 65536;
  }
}
BENCHMARK(BM_CopyOnWrite);

void BM_Protect(benchmark::State& state) {
  Fixture f;
  uint64_t address = f.Map(1 << 20);
  for (auto _ : state) {
    (void)f.memory->Protect(address + 65536, 65536, PROT_READ);
    (void)f.memory->Protect(address + 65536, 65536, kReadWrite);
  }
}
BENCHMARK(BM_Protect);

void BM_Brk(benchmark::State& state) {
  Fixture f;
  f.memory->start_brk = f.memory->brk = 0x600000000;
  for (auto _ : state) {
    f.memory->Brk(0x600021000);
    f.memory->Brk(0x600000000);
  }
}
BENCHMARK(BM_Brk);

}  // namespace
}  // namespace mm
