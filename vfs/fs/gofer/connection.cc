#include "vfs/fs/gofer/connection.h"

#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "base/affinity.h"
#include "base/host.h"
#include "base/kernel_lock.h"
#include "base/log.h"
#include "vfs/dentry.h"
#include "vfs/fs/gofer/host_file.h"

namespace goferfs {

using gofer::kMaxMessage;

namespace {
// Handles to close go with a later request, once this many have come together.
constexpr size_t kCloseBatch = 64;
// So many cached dentries go at a time when the server has no descriptors left.
constexpr size_t kShrinkBatch = 1024;

size_t default_host_files = 400;
}  // namespace

void Connection::Prepare() {
  rlimit limit{};
  if (HOST(getrlimit(RLIMIT_NOFILE, &limit)).ok() && limit.rlim_cur >= 64) {
    default_host_files = std::min<size_t>(limit.rlim_cur / 2, size_t{1} << 19);
  }
  base::Affinity::Prepare();
}

RefPtr<Connection> Connection::Create(Fd socket, std::function<void()> on_death, size_t max_host_files) {
  return RefPtr<Connection>::Adopt(new Connection(std::move(socket), std::move(on_death), max_host_files));
}

Connection::Connection(Fd socket, std::function<void()> on_death, size_t max_host_files)
    : socket_(std::move(socket)),
      on_death_(std::move(on_death)),
      host_files_(std::make_unique<HostFilePool>(max_host_files != 0 ? max_host_files : default_host_files)),
      request_(new char[kMaxMessage]),
      reply_(new char[kMaxMessage]) {}

Connection::~Connection() = default;

void Connection::TakeTurn() {
  if (!busy_) {
    busy_ = true;
    return;
  }
  Fiber* self = Fiber::Current();
  CHECK(self != nullptr);  // only before the sandbox runs are calls made off fibers, and then one at a time
  waiting_.push_back(self);
  // The turn is handed over, so that nobody can get in between: it is ours once we are out of the queue.
  while (std::find(waiting_.begin(), waiting_.end(), self) != waiting_.end()) Fiber::Park();
}

void Connection::GiveTurn() {
  if (waiting_.empty()) {
    busy_ = false;
    return;
  }
  Fiber* next = waiting_.front();
  waiting_.pop_front();
  next->Unpark();
}

void Connection::Die(const char* why) {
  if (dead_) return;
  dead_ = true;
  LOG_WARNING("the gofer is lost: {}", why);
  if (on_death_) on_death_();
}

void Connection::QueueClose(gofer::Handle handle) {
  if (handle != 0 && !dead_) closing_.push_back(handle);
}

std::vector<gofer::Handle> Connection::TakeClosing() {
  size_t count = std::min(closing_.size(), gofer::kMaxCloseHandles);
  std::vector<gofer::Handle> taken(closing_.end() - static_cast<ptrdiff_t>(count), closing_.end());
  closing_.resize(closing_.size() - count);
  return taken;
}

void Connection::Settle() {
  if (posted_.id != 0) Exchange taking(*this);
}

void Connection::ForgetPosted(const void* owner) {
  if (posted_.owner == owner) posted_ = {.id = posted_.id};
  if (to_post_.owner == owner) to_post_ = {};
}

Exchange::Exchange(Connection& connection) : connection_(connection), out_(nullptr, 0) {
  connection_.TakeTurn();
  out_ = gofer::Writer(connection_.request_.get(), kMaxMessage);
  if (connection_.posted_.id != 0) TakePosted();
}

Exchange::~Exchange() {
  if (auto then = std::exchange(connection_.to_post_, {}); then.post) then.post(*this);
  connection_.GiveTurn();
}

void Exchange::Begin(gofer::Opcode opcode, gofer::Handle handle) {
  out_.Truncate(0);
  fits_ = true;
  fds_.clear();
  taken_ = 0;
  expected_ = 1;
  Put(gofer::RequestHeader{static_cast<uint16_t>(opcode), 0, connection_.next_id_++, handle});
}

Errno Exchange::Broken() {
  connection_.Die("a malformed reply");
  return Errno::kEIO;
}

Result<gofer::Reader> Exchange::Run() {
  if (!fits_) return Errno::kENAMETOOLONG;
  for (;;) {
    if (connection_.dead_) return Errno::kEIO;
    std::vector<gofer::Handle> closing;
    if (connection_.closing_.size() >= kCloseBatch) closing = connection_.TakeClosing();
    connection_.calls_++;
    Result<size_t> size = Errno::kEIO;
    {
      KernelLock::Unlocked unlocked;
      size = Transfer(closing);
    }
    if (!size.ok()) {
      connection_.Die("its socket is closed");
      return Errno::kEIO;
    }
    gofer::RequestHeader request;
    memcpy(&request, out_.data(), sizeof request);
    Result<gofer::Reader> in = Check(*size, request.id);
    if (in.ok()) return in;
    Errno error = in.error();
    if (error != Errno::kENFILE && error != Errno::kEMFILE) return error;
    // Inodes that only the dentry cache holds have most of them.
    while (connection_.closing_.empty() && vfs::Dentry::ShrinkCache(kShrinkBatch) > 0) {
    }
    if (connection_.closing_.empty()) return error;
    // The server has run out of descriptors while we sit on some that it may close.
    closing = connection_.TakeClosing();
    KernelLock::Unlocked unlocked;
    (void)SendClosing(closing);
  }
}

Result<gofer::Reader> Exchange::Check(size_t size, uint32_t id) {
  gofer::Reader in(connection_.reply_.get(), size);
  auto reply = in.Take<gofer::ReplyHeader>();
  if (!reply || reply->id != id || reply->error < 0 || reply->error > base::kMaxUserErrno) return Broken();
  if (reply->error != 0) return static_cast<Errno>(reply->error);
  return in;
}

void Exchange::Post(const void* owner, absl::AnyInvocable<void(Exchange&, gofer::Reader&)> take) {
  if (!fits_ || connection_.dead_) return;
  connection_.calls_++;
  iovec out{out_.data(), out_.size()};
  msghdr request{.msg_iov = &out, .msg_iovlen = 1};
  // Does not block: the server has read all that was sent before. No advice where to run, so that it may work while we do.
  if (!HOST_RETRY(sendmsg(connection_.socket_.get(), &request, MSG_NOSIGNAL)).ok()) return connection_.Die("its socket is closed");
  gofer::RequestHeader header;
  memcpy(&header, out_.data(), sizeof header);
  connection_.posted_ = {header.id, owner, std::move(take)};
}

void Exchange::TakePosted() {
  Connection::Posted posted = std::exchange(connection_.posted_, {});
  if (connection_.dead_) return;
  Result<size_t> size = Errno::kEIO;
  {
    KernelLock::Unlocked unlocked;
    gofer::ReplyHeader header;
    size = Receive(&header);
  }
  if (!size.ok()) return connection_.Die("its socket is closed");
  Result<gofer::Reader> in = Check(*size, posted.id);
  if (in.ok() && posted.take) posted.take(*this, *in);
}

Result<void> Exchange::SendClosing(const std::vector<gofer::Handle>& closing) {
  struct [[gnu::packed]] {
    gofer::RequestHeader header;
    gofer::CloseRequest close;
  } request{{static_cast<uint16_t>(gofer::Opcode::kClose), 0, 0, 0}, {static_cast<uint32_t>(closing.size())}};
  iovec parts[2] = {{&request, sizeof request}, {const_cast<gofer::Handle*>(closing.data()), closing.size() * sizeof(gofer::Handle)}};
  msghdr message{.msg_iov = parts, .msg_iovlen = 2};
  TRY(HOST_RETRY(sendmsg(connection_.socket_.get(), &message, MSG_NOSIGNAL)));
  return {};
}

// Without the kernel lock; the turn is what protects the buffers.
Result<size_t> Exchange::Transfer(const std::vector<gofer::Handle>& closing) {
  int socket = connection_.socket_.get();
  if (!closing.empty()) TRY(SendClosing(closing));
  Placement::Call call(connection_.placement_);
  uint16_t cpu = call.advice();
  memcpy(out_.data() + offsetof(gofer::RequestHeader, cpu), &cpu, sizeof cpu);
  iovec out{out_.data(), out_.size()};
  msghdr request{.msg_iov = &out, .msg_iovlen = 1};
  TRY(HOST_RETRY(sendmsg(socket, &request, MSG_NOSIGNAL)));
  gofer::ReplyHeader header{};
  size_t size = TRY(Receive(&header));
  call.Done(header);
  return size;
}

Result<size_t> Exchange::Receive(gofer::ReplyHeader* header) {
  iovec in{connection_.reply_.get(), kMaxMessage};
  alignas(cmsghdr) char control[CMSG_SPACE(gofer::kMaxOpenFiles * sizeof(int))];
  msghdr reply{.msg_iov = &in, .msg_iovlen = 1, .msg_control = control, .msg_controllen = CMSG_SPACE(expected_ * sizeof(int))};
  ssize_t size = TRY(HOST_RETRY(recvmsg(connection_.socket_.get(), &reply, MSG_CMSG_CLOEXEC)));
  if (cmsghdr* cmsg = CMSG_FIRSTHDR(&reply); cmsg != nullptr && cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SCM_RIGHTS) {
    // The padding of the control buffer makes room for one more, which must not stay open.
    for (size_t i = 0; CMSG_LEN((i + 1) * sizeof(int)) <= cmsg->cmsg_len; i++) {
      int fd;
      memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof fd, sizeof fd);
      fds_.emplace_back(fd);
    }
  }
  if (size == 0 || fds_.size() > expected_ || (reply.msg_flags & MSG_TRUNC) != 0) return Errno::kEIO;
  // MSG_CTRUNC without more than that: there was no room in our table. Who needs a descriptor sees that there is none.
  if ((reply.msg_flags & MSG_CTRUNC) != 0) fds_.clear();
  if (static_cast<size_t>(size) >= sizeof *header) memcpy(header, connection_.reply_.get(), sizeof *header);
  return static_cast<size_t>(size);
}

}  // namespace goferfs
