#include <linux/sockios.h>
#include <sys/time.h>

#include <algorithm>

#include "vfs/socket.h"

namespace vfs {

namespace {

// /proc/sys/net/core/{r,w}mem_max. What an application asks for is doubled for bookkeeping, and read back so: socket(7).
constexpr int kMaxBuffer = 212992;
constexpr int kMinSendBuffer = 4608, kMinReceiveBuffer = 2304;

template <class T>
std::string Bytes(const T& value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof value);
}

template <class T>
Result<T> Parse(std::string_view bytes) {
  if (bytes.size() < sizeof(T)) return Errno::kEINVAL;
  T value;
  memcpy(&value, bytes.data(), sizeof value);
  return value;
}

std::string TimeoutBytes(int64_t ns) {
  return Bytes(timeval{.tv_sec = ns / 1'000'000'000, .tv_usec = ns % 1'000'000'000 / 1000});
}

Result<int64_t> ParseTimeout(std::string_view bytes) {
  const timeval value = TRY(Parse<timeval>(bytes));
  if (value.tv_usec < 0 || value.tv_usec >= 1'000'000) return Errno::kEDOM;
  if (value.tv_sec < 0) return int64_t{1};  // at once: 0 means never here
  if (value.tv_sec >= INT64_MAX / 2'000'000'000) return int64_t{0};
  return value.tv_sec * int64_t{1'000'000'000} + value.tv_usec * int64_t{1000};
}

int BufferSize(int asked, int minimum, bool force) {
  const int limit = force ? INT32_MAX / 2 : kMaxBuffer;
  const int size = std::min(asked < 0 && force ? 0 : asked < 0 ? limit : asked, limit);
  return std::max(size * 2, minimum);
}

}  // namespace

Result<std::string> Socket::GetSockOpt(int level, int name) {
  if (level != SOL_SOCKET) return Errno::kEOPNOTSUPP;
  switch (name) {
    case SO_TYPE: return Bytes(type_);
    case SO_DOMAIN: return Bytes(family_);
    case SO_PROTOCOL: return Bytes(protocol_);
    case SO_ERROR: return Bytes(static_cast<int>(TakeError()));
    case SO_ACCEPTCONN: return Bytes(int{listening()});
    case SO_DEBUG: return Bytes(0);
    case SO_REUSEADDR: return Bytes(int{reuse_address_});
    case SO_REUSEPORT: return Bytes(int{reuse_port_});
    case SO_BROADCAST: return Bytes(int{broadcast_});
    case SO_KEEPALIVE: return Bytes(int{keep_alive_});
    case SO_DONTROUTE: return Bytes(int{dont_route_});
    case SO_OOBINLINE: return Bytes(int{oob_inline_});
    case SO_NO_CHECK: return Bytes(int{no_check_});
    case SO_PASSCRED: return Bytes(int{pass_credentials_});
    case SO_RXQ_OVFL: return Bytes(int{receive_queue_overflow_});
    case SO_TIMESTAMP: return Bytes(int{timestamps_ == SO_TIMESTAMP});
    case SO_TIMESTAMPNS: return Bytes(int{timestamps_ == SO_TIMESTAMPNS});
    case SO_SNDBUF: return Bytes(send_buffer_);
    case SO_RCVBUF: return Bytes(receive_buffer_);
    case SO_SNDLOWAT: return Bytes(1);
    case SO_RCVLOWAT: return Bytes(receive_low_water_);
    case SO_RCVTIMEO_OLD:
    case SO_RCVTIMEO_NEW: return TimeoutBytes(receive_timeout_);
    case SO_SNDTIMEO_OLD:
    case SO_SNDTIMEO_NEW: return TimeoutBytes(send_timeout_);
    case SO_LINGER: return Bytes(linger_);
    case SO_PRIORITY: return Bytes(priority_);
    case SO_MARK: return Bytes(mark_);
    case SO_BUSY_POLL: return Bytes(busy_poll_);
    case SO_INCOMING_CPU: return Bytes(incoming_cpu_);
    case SO_PEEK_OFF: return Bytes(peek_offset_);
    case SO_BINDTODEVICE: return device_.empty() ? std::string() : device_ + '\0';
    case SO_COOKIE:
      if (cookie_ == 0) cookie_ = next_cookie_++;
      return Bytes(cookie_);
    case SO_PEERCRED: {
      const SocketCredentials peer = TRY(PeerCredentials());
      return Bytes(ucred{.pid = peer.pid, .uid = peer.uid, .gid = peer.gid});
    }
    case SO_PEERNAME: {
      const SocketAddress peer = TRY(GetPeerName());
      return std::string(peer.data(), peer.length());
    }
    default: return Errno::kENOPROTOOPT;
  }
}

Result<void> Socket::SetSockOpt(const Credentials& creds, int level, int name, std::string_view value) {
  if (level != SOL_SOCKET) return Errno::kEOPNOTSUPP;
  if (name == SO_BINDTODEVICE) {
    const std::string device(value.substr(0, std::min<size_t>(value.find('\0'), 15)));
    if (device != device_ && !device_.empty() && !creds.Has(CAP_NET_RAW)) return Errno::kEPERM;
    device_ = device;
    return {};
  }
  switch (name) {
    case SO_RCVTIMEO_OLD:
    case SO_RCVTIMEO_NEW:
      receive_timeout_ = TRY(ParseTimeout(value));
      return {};
    case SO_SNDTIMEO_OLD:
    case SO_SNDTIMEO_NEW:
      send_timeout_ = TRY(ParseTimeout(value));
      return {};
    case SO_LINGER:
      linger_ = TRY(Parse<linger>(value));
      linger_.l_onoff = linger_.l_onoff != 0;
      return {};
    default:
      return SetIntOption(creds, name, TRY(Parse<int>(value)));
  }
}

Result<void> Socket::SetIntOption(const Credentials& creds, int name, int value) {
  switch (name) {
    case SO_DEBUG:
      if (value != 0 && !creds.Has(CAP_NET_ADMIN)) return Errno::kEACCES;
      return {};
    case SO_TYPE:
    case SO_PROTOCOL:
    case SO_DOMAIN:
    case SO_ERROR:
    case SO_SNDLOWAT:
    case SO_ACCEPTCONN: return Errno::kENOPROTOOPT;
    case SO_REUSEADDR: reuse_address_ = value != 0; return {};
    case SO_REUSEPORT: reuse_port_ = value != 0; return {};
    case SO_BROADCAST: broadcast_ = value != 0; return {};
    case SO_KEEPALIVE: keep_alive_ = value != 0; return {};
    case SO_DONTROUTE: dont_route_ = value != 0; return {};
    case SO_OOBINLINE: oob_inline_ = value != 0; return {};
    case SO_NO_CHECK: no_check_ = value != 0; return {};
    case SO_PASSCRED: pass_credentials_ = value != 0; return {};
    case SO_RXQ_OVFL: receive_queue_overflow_ = value != 0; return {};
    case SO_TIMESTAMP:
    case SO_TIMESTAMPNS: timestamps_ = value != 0 ? name : 0; return {};
    case SO_RCVLOWAT: receive_low_water_ = value < 0 ? INT32_MAX : std::max(value, 1); return {};
    case SO_BUSY_POLL: busy_poll_ = value; return {};
    case SO_INCOMING_CPU: incoming_cpu_ = value; return {};
    case SO_PEEK_OFF: {
      // Linux has it for AF_UNIX, UDP and, later, TCP.
      peek_offset_ = std::max(value, -1);
      return {};
    }
    case SO_PRIORITY:
      if ((value < 0 || value > 6) && !creds.Has(CAP_NET_ADMIN) && !creds.Has(CAP_NET_RAW)) return Errno::kEPERM;
      priority_ = value;
      return {};
    case SO_MARK:
      if (!creds.Has(CAP_NET_ADMIN) && !creds.Has(CAP_NET_RAW)) return Errno::kEPERM;
      mark_ = value;
      return {};
    case SO_SNDBUFFORCE:
    case SO_RCVBUFFORCE:
      if (!creds.Has(CAP_NET_ADMIN)) return Errno::kEPERM;
      [[fallthrough]];
    case SO_SNDBUF:
    case SO_RCVBUF: {
      const bool force = name == SO_SNDBUFFORCE || name == SO_RCVBUFFORCE;
      if (name == SO_SNDBUF || name == SO_SNDBUFFORCE) {
        send_buffer_ = BufferSize(value, kMinSendBuffer, force);
      } else {
        receive_buffer_ = BufferSize(value, kMinReceiveBuffer, force);
      }
      OnBufferSizeChanged();
      return {};
    }
    default: return Errno::kENOPROTOOPT;
  }
}

}  // namespace vfs
