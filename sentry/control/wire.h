#pragma once

// Framing of the control protocol and conversion between its messages and the structs of the rest
// of the program.

#include <cstdint>
#include <string>
#include <vector>

#include "base/fd.h"
#include "sentry/boot/spec.h"
#include "sentry/control/control.pb.h"

namespace control {

// More than the largest argument list and environment that Linux takes (ARG_MAX of an 8 MB stack).
inline constexpr uint32_t kMaxMessage = 4 << 20;
inline constexpr size_t kHeaderSize = 4;
// Descriptors in one message: stdin, stdout, stderr.
inline constexpr int kMaxFds = 3;

// Length and bytes.
std::string Frame(const google::protobuf::MessageLite& message);
// The length that a header announces; EMSGSIZE beyond kMaxMessage.
Result<uint32_t> FrameSize(const char header[kHeaderSize]);

void ToProto(const boot::ProcessSpec& spec, Process& out);
// EINVAL for what no client of ours sends: no arguments, zero bytes in strings, a relative working
// directory.
Result<boot::ProcessSpec> FromProto(const Process& in);

// recvmsg(2) that takes descriptors along (close-on-exec) into `fds`. 0 at end of file. EPROTO when
// more descriptors came than kMaxFds.
Result<size_t> ReceiveWithFds(int socket, char* buffer, size_t size, std::vector<Fd>& fds);
// sendmsg(2) of as much of `data` as fits, with `fds` attached.
Result<size_t> SendWithFds(int socket, std::string_view data, const std::vector<int>& fds);

}  // namespace control
