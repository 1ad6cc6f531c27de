// Round trips: compare with "user_notif sync wakeup" and "SIGSYS in-process" of a plain C program
// on the same machine.

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
        CHECK_OK(space->Map(0x600000 + i * 0x10000, 64 << 10, guest.memory_fd(),
                            0x10000 * (i % 7 + 2), PROT_READ, false));
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

// `spaces` spaces of `threads` threads, all in a loop of calls; the time is of one call of one of
// them.
void BM_Parallel(benchmark::State& state) {
  Guest guest;
  const int spaces = state.range(0), threads = state.range(1);
  constexpr int kCalls = 20000;
  for (auto _ : state) {
    std::vector<std::atomic<bool>> done(spaces * threads);
    std::vector<RefPtr<AddressSpace>> all(spaces);
    guest.OnFiber([&] {
      for (int i = 0; i < spaces; i++) all[i] = guest.NewSpace(kLoop, 0x10000 * i);
    });
    for (int i = 0; i < spaces * threads; i++) {
      Guest::Start(
          [&, i] {
            auto context = guest.NewContext();
            for (int n = 0; n < kCalls; n++) {
              benchmark::DoNotOptimize(context->Run(*all[i % spaces]));
              context->SetResult(1);
            }
          },
          done[i]);
    }
    for (auto& flag : done) Guest::Await(flag);
    guest.OnFiber([&] { all.clear(); });
  }
  state.SetItemsProcessed(state.iterations() * spaces * threads * kCalls);
}
BENCHMARK(BM_Parallel)
    ->Args({1, 1})
    ->Args({2, 1})
    ->Args({4, 1})
    ->Args({1, 2})
    ->Args({1, 4})
    ->UseRealTime();

// Two processes that wake each other, as over a pipe: one call of each a turn.
void BM_PingPong(benchmark::State& state) {
  Guest guest;
  struct Side {
    Fiber* fiber = nullptr;
    bool turn = false;
  } sides[2];
  bool stop = false;
  std::atomic<bool> done[2] = {};
  auto side = [&](int me) {
    auto space = guest.NewSpace(kLoop, 0x10000 * me);
    auto context = guest.NewContext();
    sides[me].fiber = Fiber::Current();
    while (!stop) {
      benchmark::DoNotOptimize(context->Run(*space));
      while (!sides[me].turn && !stop) Fiber::Park();
      sides[me].turn = false;
      sides[!me].turn = true;
      if (sides[!me].fiber != nullptr) sides[!me].fiber->Unpark();
      if (me == 0 && !state.KeepRunning()) stop = true;
      context->SetResult(1);
    }
    sides[me].fiber = nullptr;
  };
  {
    KernelLock::Section section;
    sides[0].turn = true;
  }
  Guest::Start([&] { side(1); }, done[1]);
  Guest::Start([&] { side(0); }, done[0]);
  Guest::Await(done[0]);
  Guest::Await(done[1]);
}
BENCHMARK(BM_PingPong)->UseRealTime();

}  // namespace
}  // namespace platform::systrap
