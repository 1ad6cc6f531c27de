#pragma once

// The one error type inside the Sentry and the gofer: Linux errno values (errno(3)), plus the restart codes that Linux
// keeps inside the kernel. `kERESTART*` may be returned by anything that blocks; only signal delivery consumes them,
// no value above kMaxUserErrno ever reaches an application.

#include <cstdint>
#include <string_view>

namespace base {

#define BASE_ERRNO_LIST(X)                                                                           \
  X(EPERM, 1) X(ENOENT, 2) X(ESRCH, 3) X(EINTR, 4) X(EIO, 5) X(ENXIO, 6) X(E2BIG, 7)               \
  X(ENOEXEC, 8) X(EBADF, 9) X(ECHILD, 10) X(EAGAIN, 11) X(ENOMEM, 12) X(EACCES, 13)                \
  X(EFAULT, 14) X(ENOTBLK, 15) X(EBUSY, 16) X(EEXIST, 17) X(EXDEV, 18) X(ENODEV, 19)               \
  X(ENOTDIR, 20) X(EISDIR, 21) X(EINVAL, 22) X(ENFILE, 23) X(EMFILE, 24) X(ENOTTY, 25)             \
  X(ETXTBSY, 26) X(EFBIG, 27) X(ENOSPC, 28) X(ESPIPE, 29) X(EROFS, 30) X(EMLINK, 31)               \
  X(EPIPE, 32) X(EDOM, 33) X(ERANGE, 34) X(EDEADLK, 35) X(ENAMETOOLONG, 36) X(ENOLCK, 37)          \
  X(ENOSYS, 38) X(ENOTEMPTY, 39) X(ELOOP, 40) X(ENOMSG, 42) X(EIDRM, 43) X(ENOSTR, 60)             \
  X(ENODATA, 61) X(ETIME, 62) X(ENONET, 64) X(ENOLINK, 67) X(EPROTO, 71) X(EBADMSG, 74)            \
  X(EOVERFLOW, 75) X(EBADFD, 77) X(EILSEQ, 84) X(ERESTART, 85) X(EUSERS, 87) X(ENOTSOCK, 88)       \
  X(EDESTADDRREQ, 89) X(EMSGSIZE, 90) X(EPROTOTYPE, 91) X(ENOPROTOOPT, 92)                         \
  X(EPROTONOSUPPORT, 93) X(ESOCKTNOSUPPORT, 94) X(EOPNOTSUPP, 95) X(EPFNOSUPPORT, 96)              \
  X(EAFNOSUPPORT, 97) X(EADDRINUSE, 98) X(EADDRNOTAVAIL, 99) X(ENETDOWN, 100)                      \
  X(ENETUNREACH, 101) X(ENETRESET, 102) X(ECONNABORTED, 103) X(ECONNRESET, 104)                    \
  X(ENOBUFS, 105) X(EISCONN, 106) X(ENOTCONN, 107) X(ESHUTDOWN, 108) X(ETOOMANYREFS, 109)          \
  X(ETIMEDOUT, 110) X(ECONNREFUSED, 111) X(EHOSTDOWN, 112) X(EHOSTUNREACH, 113)                    \
  X(EALREADY, 114) X(EINPROGRESS, 115) X(ESTALE, 116) X(EDQUOT, 122) X(ECANCELED, 125)             \
  X(ENOKEY, 126) X(EKEYEXPIRED, 127) X(EKEYREVOKED, 128) X(EKEYREJECTED, 129)                      \
  X(EOWNERDEAD, 130) X(ENOTRECOVERABLE, 131)                                                         \
  /* Restart codes, kernel-internal in Linux (include/linux/errno.h). */                             \
  X(ERESTARTSYS, 512) X(ERESTARTNOINTR, 513) X(ERESTARTNOHAND, 514) X(ERESTART_RESTARTBLOCK, 516)

enum class Errno : int16_t {
#define X(name, value) k##name = value,
  BASE_ERRNO_LIST(X)
#undef X
};

inline constexpr int kMaxUserErrno = 511;

// "ENOENT" for kENOENT; "E?" for a value that is in no list.
std::string_view ErrnoName(Errno error);

// The text that strerror(3) gives, without its locale and its static buffer.
std::string_view ErrnoText(Errno error);

}  // namespace base

using base::Errno;
