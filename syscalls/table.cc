#include "syscalls/table.h"

#include <sys/syscall.h>

#include <array>
#include <utility>

#include "base/event_loop.h"
#include "base/log.h"
#include "syscalls/args.h"
#include "syscalls/handlers.h"

namespace syscalls {

bool strace_enabled = false;

namespace {

template <auto handler, class... Args, size_t... Index>
int64_t InvokeWith(Result<uint64_t> (*)(Task&, Args...), std::index_sequence<Index...>, Task& task, const uint64_t* args) {
  Result<uint64_t> result = handler(task, ArgTraits<Args>::Decode(args[Index])...);
  return result.ok() ? static_cast<int64_t>(*result) : -static_cast<int64_t>(result.error());
}
template <auto handler>
int64_t Invoke(Task& task, const uint64_t* args) {
  return []<class... Args>(Result<uint64_t> (*f)(Task&, Args...), Task& t, const uint64_t* a) {
    return InvokeWith<handler>(f, std::index_sequence_for<Args...>{}, t, a);
  }(handler, task, args);
}

template <class... Args, size_t... Index>
std::string FormatWith(Result<uint64_t> (*)(Task&, Args...), std::index_sequence<Index...>, Task& task, const uint64_t* args) {
  std::string out;
  ((out += (Index == 0 ? "" : ", ") + ArgTraits<Args>::Format(task, args[Index])), ...);
  return out;
}
template <auto handler>
std::string Format(Task& task, const uint64_t* args) {
  return []<class... Args>(Result<uint64_t> (*f)(Task&, Args...), Task& t, const uint64_t* a) {
    return FormatWith(f, std::index_sequence_for<Args...>{}, t, a);
  }(handler, task, args);
}

constexpr std::array<Entry, kTableSize> MakeTable() {
  std::array<Entry, kTableSize> table = {};
#define SYSCALL(number, name, handler, ...) \
  table[number] = {#name, &Invoke<&handler>, &Format<&handler>, Support::kFull, false, ""};
#define SYSCALL_NEW(...) SYSCALL(__VA_ARGS__)
#define SYSCALL_REGS(number, name, handler, ...) \
  table[number] = {#name, &Invoke<&handler>, &Format<&handler>, Support::kFull, true, ""};
#define SYSCALL_PARTIAL(number, name, handler, note) \
  table[number] = {#name, &Invoke<&handler>, &Format<&handler>, Support::kPartial, false, note};
#define SYSCALL_NONE(number, name, note) table[number] = {#name, nullptr, nullptr, Support::kNone, false, note};
#include "syscalls/table.def"
#undef SYSCALL
#undef SYSCALL_NEW
#undef SYSCALL_REGS
#undef SYSCALL_PARTIAL
#undef SYSCALL_NONE
  return table;
}

constexpr std::array<Entry, kTableSize> kTable = MakeTable();
constexpr Entry kUnknown = {};

// The numbers are Linux's: checked against the host's header.
#define SYSCALL(number, name, ...) SYSCALL_CHECK(number, name)
#define SYSCALL_REGS(number, name, ...) SYSCALL_CHECK(number, name)
#define SYSCALL_PARTIAL(number, name, ...) SYSCALL_CHECK(number, name)
#define SYSCALL_NEW(number, name, ...)
#define SYSCALL_NONE(number, name, ...)
#define SYSCALL_CHECK(number, name) static_assert(__NR_##name == number, "wrong number for " #name);
#include "syscalls/table.def"
#undef SYSCALL
#undef SYSCALL_NEW
#undef SYSCALL_REGS
#undef SYSCALL_PARTIAL
#undef SYSCALL_NONE

std::string ResultText(int64_t value) {
  if (value >= 0 || value < -4095) return value > 0xffff || value < 0 ? fmt::format("{:#x}", value) : fmt::format("{}", value);
  return fmt::format("-1 {}", base::ErrnoName(static_cast<Errno>(-value)));
}

void LogUnknown(const Task& task, uint64_t number) {
  // One line a number: what an application can provoke must not fill the log.
  static std::array<bool, kTableSize + 1> told = {};
  bool& seen = told[std::min(number, kTableSize)];
  if (seen) return;
  seen = true;
  LOG_INFO("task {} ({}): system call {} ({}) is not supported", task.tid(), task.comm, number,
           Lookup(number).name != nullptr ? Lookup(number).name : "?");
}

}  // namespace

const Entry& Lookup(uint64_t number) { return number < kTableSize ? kTable[number] : kUnknown; }

platform::SyscallSet FullStateSyscalls() {
  platform::SyscallSet set;
  for (uint64_t i = 0; i < kTableSize; i++) set[i] = kTable[i].registers;
  return set;
}

int64_t Dispatch(Task& task, const platform::Event& event) {
  // Linux looks at the low 32 bits, as a signed number. 32-bit calls have numbers of their own: there are none here.
  uint64_t number = static_cast<uint32_t>(event.nr);
  if (task.seccomp_mode != 0 && !event.compat) [[unlikely]] {
    std::optional<int64_t> denied = CheckSeccomp(task, event);
    if (denied) return *denied;
    number = static_cast<uint32_t>(event.nr);  // a tracer may have changed it
  }
  const Entry& entry = event.compat ? kUnknown : Lookup(number);
  if (entry.invoke == nullptr) [[unlikely]] {
    LogUnknown(task, event.compat ? kTableSize : number);
    return -static_cast<int64_t>(Errno::kENOSYS);
  }
  if (!strace_enabled) [[likely]] return entry.invoke(task, event.args);

  int tid = task.tid();
  std::string comm = task.comm;
  std::string text = fmt::format("{}({})", entry.name, entry.format(task, event.args));
  LOG_INFO("strace {} {} > {}", tid, comm, text);
  int64_t start = base::MonotonicNow();
  int64_t value = entry.invoke(task, event.args);
  task.context().ForgetAnswers();  // the next one is to be seen too
  LOG_INFO("strace {} {} < {} = {} ({} us)", tid, comm, text, ResultText(value), (base::MonotonicNow() - start) / 1000);
  return value;
}

std::string Describe(const std::string& format) {
  std::string out;
  auto support = [](const Entry& entry) {
    return entry.support == Support::kFull ? "full" : entry.support == Support::kPartial ? "partial" : "none";
  };
  int counts[3] = {};
  for (uint64_t i = 0; i < kTableSize; i++) {
    const Entry& entry = kTable[i];
    if (entry.name == nullptr) continue;
    counts[static_cast<int>(entry.support)]++;
    if (format == "csv") {
      out += fmt::format("{},{},{},\"{}\"\n", i, entry.name, support(entry), entry.note);
    } else if (format == "json") {
      out += fmt::format("{}\n  {{\"number\": {}, \"name\": \"{}\", \"support\": \"{}\", \"note\": \"{}\"}}",
                         out.empty() ? "[" : ",", i, entry.name, support(entry), entry.note);
    } else if (format == "markdown") {
      out += fmt::format("| {} | {} | {} | {} |\n", i, entry.name, support(entry), entry.note);
    } else {
      out += fmt::format("{:>3}  {:<26} {:<8} {}\n", i, entry.name, support(entry), entry.note);
    }
  }
  if (format == "json") return out + "\n]\n";
  if (format == "csv") return "number,name,support,note\n" + out;
  if (format == "markdown") {
    return fmt::format(
        "# System calls\n\nMade by `runsc syscalls --format=markdown` from syscalls/table.def. {} full, {} partial, {} not "
        "supported (ENOSYS unless the note says otherwise).\n\n| number | name | support | note |\n|---|---|---|---|\n{}",
        counts[0], counts[1], counts[2], out);
  }
  return out;
}

}  // namespace syscalls
