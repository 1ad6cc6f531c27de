#include "base/errno.h"

#include <string.h>

namespace base {

std::string_view ErrnoName(Errno error) {
  switch (error) {
#define X(name, value)  \
  case Errno::k##name: \
    return #name;
    BASE_ERRNO_LIST(X)
#undef X
  }
  return "E?";
}

std::string_view ErrnoText(Errno error) {
  const char* text = strerrordesc_np(static_cast<int>(error));
  return text != nullptr ? text : "unknown error";
}

}  // namespace base
