#pragma once

// The system call table: made from table.def, the only list of numbers, names, handlers and support.

#include <cstdint>
#include <string>

#include "platform/platform.h"
#include "sentry/kernel/task.h"

namespace syscalls {

enum class Support { kFull, kPartial, kNone };

struct Entry {
  const char* name = nullptr;  // null: no such call
  int64_t (*invoke)(kernel::Task& task, const uint64_t* args) = nullptr;  // null: ENOSYS
  std::string (*format)(kernel::Task& task, const uint64_t* args) = nullptr;
  Support support = Support::kNone;
  bool registers = false;  // the handler needs complete registers (platform::Platform::Options::full_state)
  const char* note = "";
};

inline constexpr uint64_t kTableSize = 480;
const Entry& Lookup(uint64_t number);

// The numbers whose handlers need complete registers.
platform::SyscallSet FullStateSyscalls();

// Kernel::dispatch.
int64_t Dispatch(kernel::Task& task, const platform::Event& event);

// --strace: one line a call in the debug log.
extern bool strace_enabled;

// `runsc syscalls` and docs/syscalls.md: "table", "csv", "json", "markdown".
std::string Describe(const std::string& format);

}  // namespace syscalls
