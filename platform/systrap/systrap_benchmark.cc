// Round trips: compare with "user_notif sync wakeup" and "SIGSYS in-process" of a plain C program on the same machine.

#include <benchmark/benchmark.h>

#include "platform/systrap/guest_test_util.h"

namespace platform::systrap {
namespace {

GUEST(kLoop, R"(
1:  mov $39, %eax
    syscall
    jmp 1b
)");

void RoundTrips(benchmark::State& state, Guest& guest) {
  guest.OnFiber([&] {
    auto space = guest.NewSpace(kLoop);
    auto context = guest.NewContext();
    for (auto _ : state) {
      benchmark::DoNotOptimize(context->Run(*space));
      context->SetResult(1);
    }
  });
}

void BM_Notify(benchmark::State& state) {
  Guest guest;
  RoundTrips(state, guest);
}
BENCHMARK(BM_Notify)->UseRealTime();

void BM_FullState(benchmark::State& state) {
  Guest guest({39});
  RoundTrips(state, guest);
}
BENCHMARK(BM_FullState)->UseRealTime();

void BM_EnsureRegisters(benchmark::State& state) {
  Guest guest;
  guest.OnFiber([&] {
    auto space = guest.NewSpace(kLoop);
    auto context = guest.NewContext();
    for (auto _ : state) {
      benchmark::DoNotOptimize(context->Run(*space));
      CHECK_OK(context->EnsureRegisters());
    }
  });
}
BENCHMARK(BM_EnsureRegisters)->UseRealTime();

// One change of mappings with each call.
void BM_MapAndRun(benchmark::State& state) {
  Guest guest;
  guest.OnFiber([&] {
    auto space = guest.NewSpace(kLoop);
    auto context = guest.NewContext();
    bool mapped = false;
    for (auto _ : state) {
      benchmark::DoNotOptimize(context->Run(*space));
      if (mapped) {
        CHECK_OK(space->Unmap(0x600000, 64 << 10));
      } else {
        CHECK_OK(space->Map(0x600000, 64 << 10, guest.memory_fd(), 0x100000, PROT_READ, false));
      }
      mapped = !mapped;
    }
  });
}
BENCHMARK(BM_MapAndRun)->UseRealTime();

// A new address space (an emptied stub is used again), 20 mappings, the first call, and its end.
void BM_SpaceLife(benchmark::State& state) {
  Guest guest;
  guest.OnFiber([&] {
    for (auto _ : state) {
      auto space = guest.NewSpace(kLoop);
      for (int i = 0; i < 20; i++) {
        CHECK_OK(space->Map(0x600000 + i * 0x10000, 64 << 10, guest.memory_fd(), 0x10000 * (i % 7 + 2), PROT_READ, false));
      }
      auto context = guest.NewContext();
      benchmark::DoNotOptimize(context->Run(*space));
    }
  });
}
BENCHMARK(BM_SpaceLife)->UseRealTime();

// As many spaces at once as emptied stubs are kept, and more: fresh stubs.
void BM_FreshSpaces(benchmark::State& state) {
  Guest guest;
  constexpr int kSpaces = 32;
  guest.OnFiber([&] {
    for (auto _ : state) {
      std::vector<RefPtr<AddressSpace>> spaces;
      std::vector<std::unique_ptr<Context>> contexts;
      for (int i = 0; i < kSpaces; i++) {
        spaces.push_back(guest.NewSpace(kLoop));
        contexts.push_back(guest.NewContext());
        benchmark::DoNotOptimize(contexts.back()->Run(*spaces.back()));
      }
    }
  });
  state.SetItemsProcessed(state.iterations() * kSpaces);
}
BENCHMARK(BM_FreshSpaces)->UseRealTime();

void BM_ThreadLife(benchmark::State& state) {
  Guest guest;
  guest.OnFiber([&] {
    auto space = guest.NewSpace(kLoop);
    for (auto _ : state) {
      auto context = guest.NewContext();
      benchmark::DoNotOptimize(context->Run(*space));
    }
  });
}
BENCHMARK(BM_ThreadLife)->UseRealTime();

void BM_CreateToFirstCall(benchmark::State& state) {
  for (auto _ : state) {
    Guest guest;
    guest.OnFiber([&] {
      auto space = guest.NewSpace(kLoop);
      auto context = guest.NewContext();
      benchmark::DoNotOptimize(context->Run(*space));
    });
  }
}
BENCHMARK(BM_CreateToFirstCall)->UseRealTime();

}  // namespace
}  // namespace platform::systrap
