#include "vfs/fs/sock/rights_cycle.h"

#include "base/event_loop.h"
#include "vfs/fs/sock/unix_socket.h"

namespace unix_socket {

namespace {

using Rights = std::vector<RefPtr<vfs::FileDescription>>;

int64_t in_flight = 0;
Rights* dropping = nullptr;  // while DropRights runs

UnixSocket* InFlightSocket(const RefPtr<vfs::FileDescription>& file) {
  auto* socket = vfs::FileAs<UnixSocket>(file.get());
  return socket != nullptr && socket->cycle.candidate ? socket : nullptr;
}

// Calls `visit` for each candidate in messages to `socket`, or to one that waits to be accepted on it.
template <class Visit>
void ForQueued(UnixSocket& socket, Visit visit) {
  auto queue = [&](const MessageQueue& messages) {
    for (Message* m = messages.front(); m != nullptr; m = MessageQueue::Next(*m)) {
      for (const auto& file : m->rights()) {
        if (UnixSocket* queued = InFlightSocket(file)) visit(*queued);
      }
    }
  };
  queue(socket.messages());
  for (const auto& embryo : socket.accept_queue()) queue(embryo->messages());
}

}  // namespace

int64_t InFlight() { return in_flight; }

void CountInFlight(vfs::FileDescription& file, int by) {
  in_flight += by;
  if (auto* socket = vfs::FileAs<UnixSocket>(&file)) socket->cycle.in_flight += by;
}

void DropRights(Rights rights) {
  if (dropping != nullptr) {
    for (auto& file : rights) dropping->push_back(std::move(file));
    return;
  }
  dropping = &rights;
  while (!rights.empty()) {
    RefPtr<vfs::FileDescription> file = std::move(rights.back());
    rights.pop_back();
    file.reset();
  }
  dropping = nullptr;
}

void ScheduleCollection() {
  static base::Timer* timer = new base::Timer(&CollectCycles);
  if (!timer->armed()) timer->Arm(base::MonotonicNow());
}

void CollectCycles() {
  // Suspects are sockets that all references to come from messages. One whose messages are all with other suspects may still be
  // within reach of a socket that is not; what is left when those have been followed is garbage.
  std::vector<UnixSocket*> suspects;
  UnixSocket::ForAll([&](UnixSocket& socket) {
    socket.cycle.candidate = socket.cycle.in_flight > 0 && socket.refs() == socket.cycle.in_flight;
    socket.cycle.outside = socket.cycle.in_flight;
    if (socket.cycle.candidate) suspects.push_back(&socket);
  });
  for (UnixSocket* socket : suspects) {
    ForQueued(*socket, [](UnixSocket& queued) { queued.cycle.outside--; });
  }
  std::vector<UnixSocket*> reached;
  auto reach = [&](UnixSocket& socket) {
    socket.cycle.candidate = false;
    reached.push_back(&socket);
  };
  for (UnixSocket* socket : suspects) {
    if (socket->cycle.candidate && socket->cycle.outside > 0) reach(*socket);
  }
  while (!reached.empty()) {
    UnixSocket* socket = reached.back();
    reached.pop_back();
    ForQueued(*socket, reach);
  }
  Rights garbage;
  auto take = [&](MessageQueue& messages) {
    for (Message* m = messages.front(); m != nullptr; m = MessageQueue::Next(*m)) {
      for (auto& file : m->TakeRights()) garbage.push_back(std::move(file));
    }
  };
  for (UnixSocket* socket : suspects) {
    if (!socket->cycle.candidate) continue;
    socket->cycle.candidate = false;
    take(socket->messages());
    for (const auto& embryo : socket->accept_queue()) take(embryo->messages());
  }
  DropRights(std::move(garbage));
}

}  // namespace unix_socket
