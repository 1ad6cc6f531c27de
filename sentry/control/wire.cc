#include "sentry/control/wire.h"

#include <string.h>
#include <sys/socket.h>

#include "base/host.h"

namespace control {

std::string Frame(const google::protobuf::MessageLite& message) {
  std::string out(kHeaderSize, '\0');
  message.AppendToString(&out);
  uint32_t size = static_cast<uint32_t>(out.size() - kHeaderSize);
  for (size_t i = 0; i < kHeaderSize; i++) out[i] = static_cast<char>(size >> (8 * i));
  return out;
}

Result<uint32_t> FrameSize(const char header[kHeaderSize]) {
  uint32_t size = 0;
  for (size_t i = 0; i < kHeaderSize; i++)
    size |= uint32_t{static_cast<uint8_t>(header[i])} << (8 * i);
  if (size > kMaxMessage) return Errno::kEMSGSIZE;
  return size;
}

void ToProto(const boot::ProcessSpec& spec, Process& out) {
  for (const std::string& arg : spec.args) out.add_args(arg);
  for (const std::string& variable : spec.env) out.add_env(variable);
  out.set_cwd(spec.cwd);
  out.set_terminal(spec.terminal);
  out.set_console_rows(spec.console_rows);
  out.set_console_columns(spec.console_columns);
  out.set_uid(spec.uid);
  out.set_gid(spec.gid);
  for (uint32_t gid : spec.additional_gids) out.add_additional_gids(gid);
  if (spec.umask) out.set_umask(*spec.umask);
  out.set_cap_bounding(spec.capabilities.bounding);
  out.set_cap_effective(spec.capabilities.effective);
  out.set_cap_inheritable(spec.capabilities.inheritable);
  out.set_cap_permitted(spec.capabilities.permitted);
  out.set_cap_ambient(spec.capabilities.ambient);
  for (const boot::Rlimit& limit : spec.rlimits) {
    Rlimit* item = out.add_rlimits();
    item->set_resource(limit.resource);
    item->set_soft(limit.soft);
    item->set_hard(limit.hard);
  }
  out.set_no_new_privileges(spec.no_new_privileges);
  if (spec.oom_score_adj) out.set_oom_score_adj(*spec.oom_score_adj);
}

Result<boot::ProcessSpec> FromProto(const Process& in) {
  auto bad = [](const std::string& text) { return text.find('\0') != std::string::npos; };
  boot::ProcessSpec spec;
  for (const std::string& arg : in.args()) {
    if (bad(arg)) return Errno::kEINVAL;
    spec.args.push_back(arg);
  }
  for (const std::string& variable : in.env()) {
    if (bad(variable)) return Errno::kEINVAL;
    spec.env.push_back(variable);
  }
  spec.cwd = in.cwd();
  if (spec.args.empty() || bad(spec.cwd) || !spec.cwd.starts_with("/")) return Errno::kEINVAL;
  spec.terminal = in.terminal();
  spec.console_rows = static_cast<uint16_t>(in.console_rows());
  spec.console_columns = static_cast<uint16_t>(in.console_columns());
  spec.uid = in.uid();
  spec.gid = in.gid();
  spec.additional_gids.assign(in.additional_gids().begin(), in.additional_gids().end());
  if (in.has_umask()) spec.umask = in.umask();
  spec.capabilities = {.bounding = in.cap_bounding(),
                       .effective = in.cap_effective(),
                       .inheritable = in.cap_inheritable(),
                       .permitted = in.cap_permitted(),
                       .ambient = in.cap_ambient()};
  for (const Rlimit& item : in.rlimits()) {
    if (item.resource() < 0 || item.resource() >= 16 || item.soft() > item.hard())
      return Errno::kEINVAL;
    spec.rlimits.push_back({item.resource(), item.soft(), item.hard()});
  }
  spec.no_new_privileges = in.no_new_privileges();
  if (in.has_oom_score_adj()) spec.oom_score_adj = in.oom_score_adj();
  return spec;
}

Result<size_t> ReceiveWithFds(int socket, char* buffer, size_t size, std::vector<Fd>& fds) {
  iovec part{buffer, size};
  // Room for more than is allowed, so that too many are seen, and closed, rather than cut off by
  // the host.
  alignas(cmsghdr) char space[CMSG_SPACE(sizeof(int) * (kMaxFds + 8))];
  msghdr message{
      .msg_iov = &part, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
  ssize_t n = TRY(HOST_RETRY(recvmsg(socket, &message, MSG_CMSG_CLOEXEC)));
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; i++) {
      int fd;
      memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
      fds.emplace_back(fd);
    }
  }
  if (fds.size() > kMaxFds || (message.msg_flags & MSG_CTRUNC) != 0) return Errno::kEPROTO;
  return static_cast<size_t>(n);
}

Result<size_t> SendWithFds(int socket, std::string_view data, const std::vector<int>& fds) {
  iovec part{const_cast<char*>(data.data()), data.size()};
  msghdr message{.msg_iov = &part, .msg_iovlen = 1};
  alignas(cmsghdr) char space[CMSG_SPACE(sizeof(int) * kMaxFds)] = {};
  if (!fds.empty()) {
    if (fds.size() > kMaxFds) return Errno::kEINVAL;
    message.msg_control = space;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * fds.size());
    cmsghdr* c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
    memcpy(CMSG_DATA(c), fds.data(), sizeof(int) * fds.size());
  }
  return static_cast<size_t>(TRY(HOST_RETRY(sendmsg(socket, &message, MSG_NOSIGNAL))));
}

}  // namespace control
