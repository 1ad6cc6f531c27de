#include "sentry/loader/initial_stack.h"

#include <elf.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>

#include "base/memory_file.h"

namespace loader {

using base::PageUp;

namespace {
constexpr uint64_t kMaxArgumentString = 32 * 4096;  // Linux: MAX_ARG_STRLEN
constexpr uint64_t kArgMax = 131072;                // what is always allowed
constexpr uint64_t kDefaultStackLimit = 8 << 20;    // Linux: _STK_LIM
constexpr uint64_t kInitialSpace = 128 << 10;       // below the stack pointer; Linux: stack_expand
constexpr char kPlatform[] = "x86_64";
}  // namespace

Result<void> CheckArgumentSize(const std::vector<std::string>& argv, const std::vector<std::string>& envp,
                               const std::string& filename, uint64_t stack_limit) {
  // Linux: bprm_stack_limits().
  uint64_t limit = std::max(std::min(stack_limit / 4, kDefaultStackLimit / 4 * 3), kArgMax);
  uint64_t pointers = (std::max<uint64_t>(argv.size(), 1) + envp.size()) * sizeof(uint64_t);
  if (pointers >= limit) return Errno::kE2BIG;
  limit -= pointers;
  uint64_t total = 0;
  auto count = [&](const std::string& text) {
    total += text.size() + 1;
    return text.size() + 1 <= kMaxArgumentString && total <= limit;
  };
  if (!count(filename)) return Errno::kE2BIG;
  for (const std::string& text : argv) {
    if (!count(text)) return Errno::kE2BIG;
  }
  for (const std::string& text : envp) {
    if (!count(text)) return Errno::kE2BIG;
  }
  return {};
}

Result<uint64_t> BuildStack(mm::MemoryManager& memory, uint64_t top, int prot, uint64_t stack_limit,
                            const StackContents& contents) {
  // Sizes first, then one buffer from the stack pointer to the top, written at once.
  uint64_t strings = 8 + contents.filename.size() + 1;
  uint64_t arg_bytes = 0, env_bytes = 0;
  for (const std::string& text : contents.argv) arg_bytes += text.size() + 1;
  for (const std::string& text : contents.envp) env_bytes += text.size() + 1;
  strings += arg_bytes + env_bytes;

  uint64_t arg_start = top - strings;
  uint64_t env_start = arg_start + arg_bytes;
  uint64_t execfn = env_start + env_bytes;
  uint64_t platform = ((arg_start - contents.jitter) & ~uint64_t{15}) - sizeof kPlatform;
  uint64_t random = platform - sizeof contents.random;
  auto auxv = contents.auxv;
  auxv.emplace_back(AT_RANDOM, random);
  auxv.emplace_back(AT_EXECFN, execfn);
  auxv.emplace_back(AT_PLATFORM, platform);
  auxv.emplace_back(AT_NULL, 0);
  uint64_t words = 1 + contents.argv.size() + 1 + contents.envp.size() + 1 + 2 * auxv.size();
  uint64_t stack_pointer = (random - words * sizeof(uint64_t)) & ~uint64_t{15};

  uint64_t used = PageUp(top - stack_pointer);
  uint64_t size = used + kInitialSpace;
  if (stack_limit < size) size = std::max(used, PageUp(stack_limit));
  if (size > top) return Errno::kENOMEM;
  TRY(memory.Map({.address = top - size,
                  .length = size,
                  .prot = prot,
                  .flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_GROWSDOWN,
                  .name = "[stack]"}));

  std::vector<char> image(top - stack_pointer);
  auto put = [&](uint64_t address, const void* from, size_t length) {
    memcpy(image.data() + (address - stack_pointer), from, length);
  };
  std::vector<uint64_t> table;
  table.reserve(words);
  table.push_back(contents.argv.size());
  uint64_t at = arg_start;
  for (const auto* list : {&contents.argv, &contents.envp}) {
    for (const std::string& text : *list) {
      table.push_back(at);
      put(at, text.c_str(), text.size() + 1);
      at += text.size() + 1;
    }
    table.push_back(0);
  }
  for (auto [type, value] : auxv) {
    table.push_back(type);
    table.push_back(value);
  }
  put(stack_pointer, table.data(), table.size() * sizeof(uint64_t));
  put(execfn, contents.filename.c_str(), contents.filename.size() + 1);
  put(platform, kPlatform, sizeof kPlatform);
  put(random, contents.random, sizeof contents.random);
  TRY(memory.CopyOut(stack_pointer, image.data(), image.size()));
  // The program touches what is around its stack pointer at once.
  memory.Precommit(base::PageDown(stack_pointer) - kPageSize, std::min(top, base::PageUp(stack_pointer) + kPageSize));

  memory.start_stack = stack_pointer;
  memory.arg_start = arg_start;
  memory.arg_end = memory.env_start = env_start;
  memory.env_end = execfn;
  memory.auxv = std::move(auxv);
  return stack_pointer;
}

}  // namespace loader
