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

}  // namespace
}  // namespace platform::systrap
