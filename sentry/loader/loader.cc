#include "sentry/loader/loader.h"

#include <cpuid.h>
#include <elf.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/random.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "base/host.h"
#include "base/log.h"
#include "base/memory_file.h"
#include "base/tick_clock.h"
#include "sentry/loader/cpuid_sites.h"
#include "sentry/loader/elf_file.h"
#include "sentry/loader/initial_stack.h"
#include "sentry/loader/script.h"

#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ 51
#endif

namespace loader {

using base::PageDown;
using base::PageUp;

namespace {

constexpr int kMaxScriptDepth = 5;
constexpr uint64_t kOverflowId = 65534;  // of ids that the user namespace does not map

VdsoImage* vdso = nullptr;

// The random parts of one image, taken from the host in one call.
struct Random {
  uint8_t for_program[16];  // AT_RANDOM
  uint64_t stack, mmap, image, brk, jitter;
};

Result<Random> TakeRandom() {
  Random random;
  if (TRY(HOST_RETRY(getrandom(&random, sizeof random, 0))) != sizeof random) return Errno::kEIO;
  return random;
}

// As Linux lays out x86-64 processes (arch/x86/mm/mmap.c), relative to the end of what the platform offers.
struct Layout {
  uint64_t stack_top, mmap_base, image_base;
};

Layout ChooseLayout(const platform::Platform& platform, const Random& random, uint64_t stack_limit) {
  uint64_t end = PageDown(platform.max_user_address());
  // Half of Linux's bits each where the address space is smaller than usual.
  int shift = end >= (uint64_t{1} << 46) ? 0 : 12;
  uint64_t stack_pages = (random.stack & 0x3fffff) >> shift;         // 16 GB
  uint64_t mmap_pages = (random.mmap & ((1 << 28) - 1)) >> shift;    // 1 TB
  uint64_t image_pages = (random.image & ((1 << 28) - 1)) >> shift;
  Layout layout;
  layout.stack_top = end - stack_pages * kPageSize;
  uint64_t pad = (uint64_t{0x3fffff} >> shift) * kPageSize + mm::VmaSet::kGuardGap;
  uint64_t gap = std::min(stack_limit, end) + pad;
  gap = std::clamp(gap, uint64_t{128} << 20, end / 6 * 5);
  layout.mmap_base = PageDown(end - gap - std::min(mmap_pages * kPageSize, end / 8));
  layout.image_base = PageDown(end / 3 * 2) + image_pages * kPageSize;
  return layout;
}

// A free range of the size in the mmap area.
Result<uint64_t> FindRange(mm::MemoryManager& memory, uint64_t hint, uint64_t size) {
  uint64_t address = TRY(memory.Map(
      {.address = hint, .length = size, .prot = PROT_NONE, .flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE}));
  TRY(memory.Unmap(address, size));
  return address;
}

// Where to put a position-independent file: what to add to its addresses.
Result<uint64_t> ChooseBias(mm::MemoryManager& memory, const ElfFile& elf, uint64_t hint) {
  uint64_t size = elf.high() - elf.low();
  uint64_t alignment = elf.alignment();
  uint64_t extra = alignment > kPageSize ? alignment : 0;
  if (size + extra < size) return Errno::kENOMEM;
  uint64_t address = TRY(FindRange(memory, hint, size + extra));
  uint64_t bias = address - elf.low();
  return (bias + alignment - 1) & ~(alignment - 1);
}

Result<uint64_t> MapVdso(mm::MemoryManager& memory) {
  if (vdso == nullptr) return 0;
  uint64_t address = TRY(FindRange(memory, 0, vdso->size));
  if (vdso->image_offset > 0) {
    TRY(memory.Map({.address = address,
                    .length = vdso->image_offset,
                    .prot = PROT_READ,
                    .flags = MAP_SHARED | MAP_FIXED,
                    .mappable = vdso->mappable,
                    .name = "[vvar]",
                    .special = true}));
  }
  TRY(memory.Map({.address = address + vdso->image_offset,
                  .length = vdso->size - vdso->image_offset,
                  .prot = PROT_READ | PROT_EXEC,
                  .flags = MAP_PRIVATE | MAP_FIXED,
                  .mappable = vdso->mappable,
                  .offset = vdso->image_offset,
                  .name = "[vdso]",
                  .special = true}));
  return address + vdso->image_offset;
}

void NoteCodeAndData(mm::MemoryManager& memory, const ElfFile& elf, uint64_t bias) {
  uint64_t start_code = UINT64_MAX, end_code = 0, start_data = 0, end_data = 0;
  for (const Elf64_Phdr& s : elf.segments()) {
    uint64_t end = s.p_vaddr + s.p_filesz;
    if ((s.p_flags & PF_X) != 0) {
      start_code = std::min<uint64_t>(start_code, s.p_vaddr);
      end_code = std::max(end_code, end);
    }
    start_data = std::max<uint64_t>(start_data, s.p_vaddr);
    end_data = std::max(end_data, end);
  }
  memory.start_code = end_code != 0 ? start_code + bias : 0;
  memory.end_code = end_code + bias;
  memory.start_data = start_data + bias;
  memory.end_data = end_data + bias;
}

// Asked once: in many virtual machines each cpuid is an exit to the hypervisor, 6 us.
struct Processor {
  uint32_t features = 0;     // AT_HWCAP
  bool cpuid_slow = false;   // slower than the fault that may replace it
  static const Processor& Get() {
    static const Processor processor;
    return processor;
  }

 private:
  static constexpr int64_t kFaultNs = 3000;  // at most: 1.2 to 2.7 us
  Processor() {
    int64_t least = INT64_MAX;
    for (int i = 0; i < 4; i++) {  // one may be interrupted
      uint32_t eax, ebx, ecx;
      int64_t start = base::TickNow();
      __cpuid(1, eax, ebx, ecx, features);
      least = std::min(least, base::TickNow() - start);
    }
    cpuid_slow = least > kFaultNs;
  }
};

// Where that pays.
void ReplaceCpuid(mm::MemoryManager& memory, vfs::FileDescription& file, uint64_t bias) {
  if (!Processor::Get().cpuid_slow) return;
  std::vector<uint64_t> addresses = CpuidSitesOf(file);
  for (uint64_t& address : addresses) address += bias;
  memory.ReplaceCpuid(addresses);
}

std::string BaseName(const std::string& path) {
  size_t slash = path.rfind('/');
  return slash == std::string::npos ? path : path.substr(slash + 1);
}

// Replaces scripts by their interpreters until something else is left in *file.
Result<void> ResolveScripts(const ExecRequest& request, RefPtr<vfs::FileDescription>* file, std::vector<std::string>* argv) {
  std::string name = request.filename;
  for (int depth = 0;; depth++) {
    if (depth > kMaxScriptDepth) return Errno::kELOOP;
    char head[kScriptHead];
    size_t size = TRY(ReadFile(**file, head, sizeof head, 0));
    if (size < 2 || head[0] != '#' || head[1] != '!') return {};
    ScriptLine script = TRY(ParseScript({head, size}));
    // argv[0] is replaced by: interpreter, argument, name of the script.
    if (!argv->empty()) argv->erase(argv->begin());
    argv->insert(argv->begin(), name);
    if (script.has_argument) argv->insert(argv->begin(), script.argument);
    argv->insert(argv->begin(), script.interpreter);
    if (!request.open) return Errno::kENOENT;
    *file = TRY(request.open(script.interpreter));
    name = script.interpreter;
  }
}

}  // namespace

void SetVdso(VdsoImage image) {
  if (vdso == nullptr) vdso = new VdsoImage;
  *vdso = std::move(image);
}

Result<ExecImage> Load(platform::Platform& platform, const ExecRequest& request) {
  ExecImage image;
  image.executable = request.file;
  StackContents stack;
  stack.argv = request.argv;
  if (stack.argv.empty()) stack.argv.emplace_back();  // Linux: since 5.18
  stack.envp = request.envp;
  stack.filename = request.filename;
  TRY(CheckArgumentSize(stack.argv, stack.envp, stack.filename, request.stack_limit));
  TRY(ResolveScripts(request, &image.executable, &stack.argv));
  TRY(CheckArgumentSize(stack.argv, stack.envp, stack.filename, request.stack_limit));

  uint64_t max_address = PageDown(platform.max_user_address());
  ElfFile elf = TRY(ElfFile::Parse(image.executable, max_address));
  std::optional<ElfFile> interpreter;
  if (!elf.interpreter().empty()) {
    if (!request.open) return Errno::kENOENT;
    RefPtr<vfs::FileDescription> file = TRY(request.open(elf.interpreter()));
    interpreter = TRY(ElfFile::Parse(std::move(file), max_address));
  }

  Random random = TRY(TakeRandom());
  Layout layout = ChooseLayout(platform, random, request.stack_limit);
  image.memory = TRY(mm::MemoryManager::Create(platform));
  mm::MemoryManager& memory = *image.memory;
  memory.SetLayout(layout.mmap_base);
  memory.limit_stack = request.stack_limit;
  memory.executable = image.executable;

  uint64_t bias = 0;
  if (elf.relocatable()) bias = TRY(ChooseBias(memory, elf, layout.image_base));
  if (elf.low() + bias < platform.min_user_address()) return Errno::kEPERM;
  TRY(elf.MapSegments(memory, bias));
  NoteCodeAndData(memory, elf, bias);
  image.entry = elf.header().e_entry + bias;

  // The heap begins behind the image, up to 32 MB later.
  uint64_t image_end = elf.high() + bias;
  memory.start_brk = memory.brk = image_end + (random.brk % (32 << 20) & ~(kPageSize - 1));

  uint64_t interpreter_bias = 0;
  if (interpreter.has_value()) {
    // An ET_EXEC interpreter goes where it wants, as in Linux.
    if (interpreter->relocatable()) interpreter_bias = TRY(ChooseBias(memory, *interpreter, 0));
    TRY(interpreter->MapSegments(memory, interpreter_bias));
    if (!request.traced) ReplaceCpuid(memory, interpreter->file(), interpreter_bias);
    image.entry = interpreter->header().e_entry + interpreter_bias;
  }
  if (image.entry >= max_address) return Errno::kEINVAL;
  uint64_t vdso_address = TRY(MapVdso(memory));
  memory.vdso_address = vdso_address;

  uint64_t phdr = elf.ProgramHeaderAddress();
  auto& auxv = stack.auxv;
  if (vdso_address != 0) auxv.emplace_back(AT_SYSINFO_EHDR, vdso_address);
  auxv.emplace_back(AT_HWCAP, Processor::Get().features);
  auxv.emplace_back(AT_PAGESZ, kPageSize);
  auxv.emplace_back(AT_CLKTCK, 100);
  auxv.emplace_back(AT_PHDR, phdr != 0 ? phdr + bias : 0);
  auxv.emplace_back(AT_PHENT, sizeof(Elf64_Phdr));
  auxv.emplace_back(AT_PHNUM, elf.header().e_phnum);
  auxv.emplace_back(AT_BASE, interpreter_bias);
  auxv.emplace_back(AT_FLAGS, 0);
  auxv.emplace_back(AT_ENTRY, elf.header().e_entry + bias);
  auto uid = [&](uid_t id) -> uint64_t {
    if (!request.creds || !request.creds->user_ns) return id;
    uint32_t shown = request.creds->user_ns->UidFromKernel(id);
    return shown == UINT32_MAX ? kOverflowId : shown;
  };
  auto gid = [&](gid_t id) -> uint64_t {
    if (!request.creds || !request.creds->user_ns) return id;
    uint32_t shown = request.creds->user_ns->GidFromKernel(id);
    return shown == UINT32_MAX ? kOverflowId : shown;
  };
  const Credentials* creds = request.creds.get();
  auxv.emplace_back(AT_UID, uid(creds != nullptr ? creds->ruid : 0));
  auxv.emplace_back(AT_EUID, uid(creds != nullptr ? creds->euid : 0));
  auxv.emplace_back(AT_GID, gid(creds != nullptr ? creds->rgid : 0));
  auxv.emplace_back(AT_EGID, gid(creds != nullptr ? creds->egid : 0));
  auxv.emplace_back(AT_SECURE, request.secure ? 1 : 0);
  auxv.emplace_back(AT_HWCAP2, getauxval(AT_HWCAP2));
  if (uint64_t size = getauxval(AT_MINSIGSTKSZ); size != 0) auxv.emplace_back(AT_MINSIGSTKSZ, size);

  memcpy(stack.random, random.for_program, sizeof stack.random);
  stack.jitter = random.jitter % 8192;
  int prot = PROT_READ | PROT_WRITE | (elf.executable_stack() ? PROT_EXEC : 0);
  image.stack_pointer = TRY(BuildStack(memory, layout.stack_top, prot, request.stack_limit, stack));
  image.comm = BaseName(request.filename).substr(0, 15);
  return image;
}

}  // namespace loader
