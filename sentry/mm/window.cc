#include "sentry/mm/window.h"

#include <sys/mman.h>

#include "base/host.h"

namespace mm {

Result<RefPtr<Window>> Window::Create(int fd, uint64_t offset, uint64_t length, bool writable) {
  void* base = mmap(nullptr, length, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd,
                    static_cast<off_t>(offset));
  if (base == MAP_FAILED) return Errno::kEFAULT;
  return MakeRef<Window>(static_cast<char*>(base), offset, length, writable);
}

Window::~Window() { munmap(base_, length_); }

}  // namespace mm
