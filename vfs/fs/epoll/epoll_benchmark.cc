#include <benchmark/benchmark.h>

#include "base/log.h"
#include "vfs/fs/anon/eventfd.h"
#include "vfs/fs/epoll/epoll.h"

namespace epoll {
namespace {

using File = RefPtr<vfs::FileDescription>;

RefPtr<const Credentials> Creds() {
  return RefPtr<const Credentials>(Credentials::Root(MakeRef<base::UserNamespace>(nullptr, 0)));
}

// One ready file among many that are not.
void BM_WaitReady(benchmark::State& state) {
  File epoll = CreateEpoll(0, Creds()).value();
  EpollFile& instance = *vfs::FileAs<EpollFile>(epoll.get());
  std::vector<File> files;
  for (int i = 0; i < state.range(0); i++) {
    files.push_back(anonfs::CreateEvent(i == 0, 0, Creds()).value());
    CHECK_OK(instance.Control(EPOLL_CTL_ADD, i, *files.back(), {.events = EPOLLIN, .data = {}}));
  }
  epoll_event out[8];
  for (auto _ : state) benchmark::DoNotOptimize(instance.Wait(out));
}
BENCHMARK(BM_WaitReady)->Arg(1)->Arg(1000);

// An edge: eventfd write, epoll_wait, eventfd read.
void BM_Edge(benchmark::State& state) {
  File epoll = CreateEpoll(0, Creds()).value();
  EpollFile& instance = *vfs::FileAs<EpollFile>(epoll.get());
  File event = anonfs::CreateEvent(0, 0, Creds()).value();
  CHECK_OK(instance.Control(EPOLL_CTL_ADD, 1, *event, {.events = EPOLLIN | EPOLLET, .data = {}}));
  epoll_event out[8];
  for (auto _ : state) {
    uint64_t value = 1;
    benchmark::DoNotOptimize(event->Write(IoVec(&value, 8)));
    benchmark::DoNotOptimize(instance.Wait(out));
    benchmark::DoNotOptimize(event->Read(IoVec(&value, 8)));
  }
}
BENCHMARK(BM_Edge);

}  // namespace
}  // namespace epoll
