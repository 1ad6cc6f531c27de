#include "gofer/server.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

#include <algorithm>
#include <memory>

#include "base/host.h"
#include "base/log.h"

namespace gofer {

namespace {
int64_t Now() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}
}  // namespace

Server::Server(Fd socket, std::vector<ExportRoot> exports, size_t max_handles)
    : socket_(std::move(socket)), exports_(std::move(exports)), handles_(max_handles) {}

bool Server::Run() {
  auto request = std::make_unique<char[]>(kMaxMessage);
  auto reply = std::make_unique<char[]>(kMaxMessage);
  for (;;) {
    iovec in{request.get(), kMaxMessage};
    msghdr message{.msg_iov = &in, .msg_iovlen = 1};
    Result<ssize_t> received = HOST_RETRY(recvmsg(socket_.get(), &message, 0));
    if (!received.ok() || *received == 0) return true;
    // There is no room for control data, so descriptors that somebody sends show as MSG_CTRUNC and are gone already.
    if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) return false;

    int64_t start = Now();
    RequestHeader header{};
    memcpy(&header, request.get(), std::min(static_cast<size_t>(*received), sizeof header));
    if (header.opcode != static_cast<uint16_t>(Opcode::kClose)) RunOn(header.cpu);
    Writer writer(reply.get(), kMaxMessage);
    Donated donated;
    if (Answer({request.get(), static_cast<size_t>(*received)}, writer, donated) == Parse::kMalformed) return false;
    if (writer.size() == 0) continue;
    ReplyHeader told;
    memcpy(&told, writer.data(), sizeof told);
    told.cpu = static_cast<uint16_t>(sched_getcpu() + 1);
    told.service_ns = static_cast<uint32_t>(std::min<int64_t>(Now() - start, UINT32_MAX));
    writer.Fill(0, told);

    iovec out{writer.data(), writer.size()};
    msghdr answer{.msg_iov = &out, .msg_iovlen = 1};
    alignas(cmsghdr) char control[CMSG_SPACE(kMaxOpenFiles * sizeof(int))] = {};
    if (!donated.empty()) {
      answer.msg_control = control;
      answer.msg_controllen = CMSG_SPACE(donated.size() * sizeof(int));
      cmsghdr* cmsg = CMSG_FIRSTHDR(&answer);
      cmsg->cmsg_level = SOL_SOCKET;
      cmsg->cmsg_type = SCM_RIGHTS;
      cmsg->cmsg_len = CMSG_LEN(donated.size() * sizeof(int));
      for (size_t i = 0; i < donated.size(); i++) {
        int fd = donated[i].get();
        memcpy(CMSG_DATA(cmsg) + i * sizeof fd, &fd, sizeof fd);
      }
    }
    if (!HOST_RETRY(sendmsg(socket_.get(), &answer, MSG_NOSIGNAL)).ok()) return true;
  }
}

Parse Server::Answer(std::string_view request, Writer& reply, Donated& donated) {
  Reader in(request.data(), request.size());
  auto header = in.Take<RequestHeader>();
  if (!header) return Parse::kMalformed;
  malformed_ = false;
  if (header->opcode == static_cast<uint16_t>(Opcode::kClose)) {
    Close(in);
    return malformed_ ? Parse::kMalformed : Parse::kOk;
  }
  size_t at = reply.Reserve<ReplyHeader>();
  size_t body = reply.size();
  Outcome outcome = Dispatch(*header, in, reply, donated);
  if (malformed_) {
    LOG_WARNING("malformed request: opcode {}, {} bytes", uint16_t{header->opcode}, request.size());
    return Parse::kMalformed;
  }
  if (!outcome.ok()) {
    reply.Truncate(body);
    donated.clear();
  }
  reply.Fill(at, ReplyHeader{.id = header->id, .error = static_cast<int32_t>(outcome.error())});
  return Parse::kOk;
}

void Server::RunOn(uint16_t cpu) {
  if (cpu == advised_cpu_ || cpu > CPU_SETSIZE) return;
  if (advised_cpu_ == 0 && !HOST(sched_getaffinity(0, sizeof all_cpus_, &all_cpus_)).ok()) return;
  cpu_set_t mask = all_cpus_;
  if (cpu != 0) {
    CPU_ZERO(&mask);
    CPU_SET(cpu - 1, &mask);
  }
  advised_cpu_ = cpu;
  // Where the cpuset does not have that one, all stays as it was.
  (void)HOST(sched_setaffinity(0, sizeof mask, &mask));
}

Errno Server::Malformed() {
  malformed_ = true;
  return Errno::kEPROTO;
}

bool Server::Finished(const Reader& in) {
  if (!in.AtEnd()) malformed_ = true;
  return !malformed_;
}

Result<void> Server::Dispatch(const RequestHeader& header, Reader& in, Writer& out, Donated& donated) {
  auto opcode = static_cast<Opcode>(header.opcode);
  if (opcode == Opcode::kAttach) return Attach(in, out);
  if (opcode == Opcode::kListMore) return ListMore(in, out);
  if (header.opcode == 0 || header.opcode > kLastOpcode) return Malformed();
  Node& node = *TRY(handles_.Get(header.handle));
  switch (opcode) {
    case Opcode::kWalk:
      return Walk(node, in, out, donated);
    case Opcode::kOpen:
      return Open(node, in, donated);
    case Opcode::kCreate:
      return Create(node, in, out, donated);
    case Opcode::kCreateUnnamed:
      return CreateUnnamed(node, in, out, donated);
    case Opcode::kMkdir:
      return Mkdir(node, in, out);
    case Opcode::kMknod:
      return Mknod(node, in, out);
    case Opcode::kSymlink:
      return Symlink(node, in, out);
    case Opcode::kLink:
      return Link(node, in, out);
    case Opcode::kUnlink:
      return Unlink(node, in, out);
    case Opcode::kRename:
      return Rename(node, in, out);
    case Opcode::kSetAttr:
      return SetAttr(node, in, out);
    case Opcode::kStat:
      return Finished(in) ? Stat(node, out) : Outcome(Errno::kEPROTO);
    case Opcode::kReadLink:
      return Finished(in) ? ReadLink(node, out) : Outcome(Errno::kEPROTO);
    case Opcode::kReadDir:
      return ReadDir(node, in, out);
    case Opcode::kOpenFiles:
      return OpenFiles(node, in, out, donated);
    case Opcode::kStatFiles:
      return StatFiles(node, in, out);
    case Opcode::kListTrees:
      return ListTrees(node, in, out);
    case Opcode::kStatFs:
      return Finished(in) ? StatFs(node, out) : Outcome(Errno::kEPROTO);
    case Opcode::kGetXattr:
      return GetXattr(node, in, out);
    case Opcode::kSetXattr:
      return SetXattr(node, in);
    case Opcode::kListXattr:
      return Finished(in) ? ListXattr(node, out) : Outcome(Errno::kEPROTO);
    case Opcode::kRemoveXattr:
      return RemoveXattr(node, in);
    case Opcode::kSync:
      return Sync(node, in);
    case Opcode::kAttach:
    case Opcode::kListMore:
    case Opcode::kClose:
      break;
  }
  return Malformed();
}

Result<WireNode> Server::AddNode(const Node& parent, Fd path) {
  WireNode node;
  node.attributes = TRY(StatPath(path.get()));
  node.handle = TRY(handles_.Add({.path = std::move(path),
                                  .type = node.attributes.mode & S_IFMT,
                                  .dev = node.attributes.dev,
                                  .export_index = parent.export_index,
                                  .read_only = parent.read_only}));
  return node;
}

Result<Server::Names> Server::TakeNames(Reader& in, size_t count) {
  Names names;
  for (size_t i = 0; i < count; i++) {
    auto name = in.TakeName();
    if (!name) return Malformed();
    names.push_back(*name);
  }
  for (std::string_view name : names) {
    if (!ValidName(name)) return Errno::kEINVAL;
  }
  return names;
}

void Server::Close(Reader& in) {
  auto request = in.Take<CloseRequest>();
  if (!request || request->count > kMaxCloseHandles || in.Rest().size() != request->count * sizeof(Handle)) {
    malformed_ = true;
    return;
  }
  struct [[gnu::packed]] Item {
    Handle handle;
  };
  while (auto item = in.Take<Item>()) handles_.Close(item->handle);
}

}  // namespace gofer
