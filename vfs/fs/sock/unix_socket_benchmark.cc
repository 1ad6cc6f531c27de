#include <benchmark/benchmark.h>

#include "base/kernel_lock.h"
#include "vfs/fs/sock/unix_socket.h"

namespace unix_socket {
namespace {

vfs::SocketPair MakePair(int type) {
  Register();
  static auto* net = new vfs::NetContext;
  return vfs::CreateSocketPair(AF_UNIX, type, 0, *net,
                               RefPtr<const Credentials>(Credentials::Root(MakeRef<base::UserNamespace>(nullptr, 0))))
      .value();
}

void BM_SendReceive(benchmark::State& state) {
  vfs::SocketPair pair = MakePair(SOCK_STREAM);
  std::string buffer(state.range(0), 'x');
  IoVec iov(buffer.data(), buffer.size());
  for (auto _ : state) {
    benchmark::DoNotOptimize(pair.first->Write(iov));
    benchmark::DoNotOptimize(pair.second->Read(iov));
  }
}
BENCHMARK(BM_SendReceive)->Arg(1)->Arg(4096);

void BM_PingPong(benchmark::State& state) {
  vfs::SocketPair pair = MakePair(SOCK_STREAM);
  auto read_one = [](vfs::Socket& socket) {
    char c;
    return base::BlockUntil<size_t>(*socket.wait_queue(), EPOLLIN, base::kNoDeadline,
                                    [&] { return socket.Read(IoVec(&c, 1)); });
  };
  auto write_one = [](vfs::Socket& socket) {
    char c = 'x';
    benchmark::DoNotOptimize(socket.Write(IoVec(&c, 1)));
  };
  KernelLock::Section section;
  Fiber::Start([&] {
    while (*read_one(*pair.first) == 1) write_one(*pair.first);
  });
  Fiber::Start([&] {
    for (auto _ : state) {
      write_one(*pair.second);
      benchmark::DoNotOptimize(read_one(*pair.second));
    }
    pair.second.reset();
  });
  base::FiberRunner::RunReady();
}
BENCHMARK(BM_PingPong);

}  // namespace
}  // namespace unix_socket
