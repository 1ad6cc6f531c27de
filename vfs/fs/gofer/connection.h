#pragma once

// Connection: the Sentry's end of the gofer's socket, shared by the file systems of one container. The gofer answers one request at a time,
// so calls take turns; an Exchange is one turn. All under the kernel lock, which is dropped while the gofer works; on a fiber, except
// before the sandbox runs.
//
//   Exchange exchange(connection);
//   exchange.Begin(Opcode::kStat, handle);
//   Reader in = TRY(exchange.Run());           // the reply's error, or EIO when the gofer is gone
//   WireAttributes attributes = TRY(exchange.Take<WireAttributes>(in));
//
// What comes back is as hostile as what an application sends. A reply that does not parse ends the connection like the gofer's death.

#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/functional/any_invocable.h"
#include "base/fd.h"
#include "base/fiber.h"
#include "base/ref.h"
#include "base/result.h"
#include "gofer/protocol/codec.h"
#include "vfs/fs/gofer/placement.h"

namespace goferfs {

class Exchange;
class HostFilePool;

class Connection : public RefCounted {
 public:
  // Reads what the Sentry's filter does not let it read later: its limit of descriptors and its CPUs. Once a process; without it there are
  // cautious assumptions.
  static void Prepare();

  // `on_death` is called once, under the kernel lock, when the gofer is gone or breaks the protocol. `max_host_files`: how many donated
  // descriptors may be open at once (0: half of RLIMIT_NOFILE, or 400 without Prepare).
  static RefPtr<Connection> Create(Fd socket, std::function<void()> on_death = nullptr, size_t max_host_files = 0);
  ~Connection() override;

  bool dead() const { return dead_; }
  HostFilePool& host_files() { return *host_files_; }

  // Takes in the reply to a posted request, if one is due; otherwise the next call does that. May park.
  void Settle();
  // Who posted a request is gone.
  void ForgetPosted(const void* owner);

  // Lets the server forget a handle, with one of the next requests.
  void QueueClose(gofer::Handle handle);

  uint64_t calls() const { return calls_; }  // round trips so far, for tests and statistics

 private:
  friend class Exchange;
  Connection(Fd socket, std::function<void()> on_death, size_t max_host_files);
  void TakeTurn();
  void GiveTurn();
  std::vector<gofer::Handle> TakeClosing();  // as many as one message takes
  void Die(const char* why);

  Fd socket_;
  std::function<void()> on_death_;
  std::unique_ptr<HostFilePool> host_files_;
  bool dead_ = false;
  bool busy_ = false;              // an Exchange has the turn
  std::deque<Fiber*> waiting_;     // for the turn, first come first served
  std::vector<gofer::Handle> closing_;
  uint32_t next_id_ = 1;
  // The request whose reply nobody waits for yet, and who takes that: nobody once the owner is gone.
  struct Posted {
    uint32_t id = 0;  // 0: there is none
    const void* owner = nullptr;
    absl::AnyInvocable<void(Exchange&, gofer::Reader&)> take;
  };
  Posted posted_;
  // What is to be posted when the turn is given on.
  struct ToPost {
    const void* owner = nullptr;
    absl::AnyInvocable<void(Exchange&)> post;
  };
  ToPost to_post_;
  uint64_t calls_ = 0;
  Placement placement_;
  const std::unique_ptr<char[]> request_, reply_;
};

// One request and its reply. Nothing that parks, other than Run, may happen while one exists.
class Exchange {
 public:
  explicit Exchange(Connection& connection);
  ~Exchange();
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  void Begin(gofer::Opcode opcode, gofer::Handle handle);
  template <class T>
  Exchange& Put(const T& value) {
    fits_ &= out_.Put(value);
    return *this;
  }
  Exchange& PutName(std::string_view name) {
    fits_ &= out_.PutName(name);
    return *this;
  }
  Exchange& PutBytes(std::string_view bytes) {
    fits_ &= out_.PutBytes(bytes.data(), bytes.size());
    return *this;
  }

  // Sends it and waits for the reply: its body, or its error. ENAMETOOLONG when the request does not fit.
  Result<gofer::Reader> Run();

  // At the end of this exchange `post` begins another request and Posts it. `owner` is for ForgetPosted.
  void Then(const void* owner, absl::AnyInvocable<void(Exchange&)> post) { connection_.to_post_ = {owner, std::move(post)}; }
  // Sends it; nobody waits for the reply, and the server works on it meanwhile. `take` gets the reply before the next call of anybody, at the latest;
  // it is not told of errors.
  void Post(const void* owner, absl::AnyInvocable<void(Exchange&, gofer::Reader&)> take);

  // The next T of the reply. EIO, and the end of the connection, when it is not there.
  template <class T>
  Result<T> Take(gofer::Reader& in) {
    auto value = in.Take<T>();
    if (!value) return Broken();
    return *value;
  }
  // The reply makes no sense.
  Errno Broken();

  // Before Run: how many descriptors the reply may bring; one, unless said otherwise.
  void Expect(size_t descriptors) { expected_ = descriptors; }
  // The next descriptor that came along; invalid when there is none.
  Fd TakeFd() { return taken_ < fds_.size() ? std::move(fds_[taken_++]) : Fd(); }

 private:
  Result<void> SendClosing(const std::vector<gofer::Handle>& closing);
  Result<size_t> Transfer(const std::vector<gofer::Handle>& closing);
  Result<size_t> Receive(gofer::ReplyHeader* header);
  // The body of the reply that was received, or its error.
  Result<gofer::Reader> Check(size_t size, uint32_t id);
  void TakePosted();

  Connection& connection_;
  gofer::Writer out_;
  bool fits_ = true;
  absl::InlinedVector<Fd, 1> fds_;
  size_t expected_ = 1;
  size_t taken_ = 0;
};

}  // namespace goferfs
