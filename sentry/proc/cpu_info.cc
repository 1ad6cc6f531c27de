#include "sentry/proc/cpu_info.h"

#include <cpuid.h>
#include <fmt/core.h>

#include <cstring>

#include "sentry/kernel/kernel.h"

namespace proc {

namespace {

struct Flag {
  uint32_t leaf, subleaf;
  int reg;  // 0 eax, 1 ebx, 2 ecx, 3 edx
  int bit;
  const char* name;
};
// Linux's names of CPUID bits (arch/x86/include/asm/cpufeatures.h), those that programs look for.
constexpr Flag kFlags[] = {
    {1, 0, 3, 0, "fpu"}, {1, 0, 3, 4, "tsc"}, {1, 0, 3, 8, "cx8"}, {1, 0, 3, 15, "cmov"}, {1, 0, 3, 19, "clflush"}, {1, 0, 3, 23, "mmx"},
    {1, 0, 3, 24, "fxsr"}, {1, 0, 3, 25, "sse"}, {1, 0, 3, 26, "sse2"}, {1, 0, 3, 28, "ht"}, {1, 0, 2, 0, "pni"}, {1, 0, 2, 1, "pclmulqdq"},
    {1, 0, 2, 9, "ssse3"}, {1, 0, 2, 12, "fma"}, {1, 0, 2, 13, "cx16"}, {1, 0, 2, 19, "sse4_1"}, {1, 0, 2, 20, "sse4_2"}, {1, 0, 2, 22, "movbe"},
    {1, 0, 2, 23, "popcnt"}, {1, 0, 2, 25, "aes"}, {1, 0, 2, 26, "xsave"}, {1, 0, 2, 28, "avx"}, {1, 0, 2, 29, "f16c"}, {1, 0, 2, 30, "rdrand"},
    {1, 0, 2, 31, "hypervisor"}, {0x80000001, 0, 3, 11, "syscall"}, {0x80000001, 0, 3, 20, "nx"}, {0x80000001, 0, 3, 27, "rdtscp"},
    {0x80000001, 0, 3, 29, "lm"}, {0x80000001, 0, 2, 0, "lahf_lm"}, {0x80000001, 0, 2, 5, "abm"}, {0x80000007, 0, 3, 8, "constant_tsc"},
    {7, 0, 1, 0, "fsgsbase"}, {7, 0, 1, 3, "bmi1"}, {7, 0, 1, 5, "avx2"}, {7, 0, 1, 8, "bmi2"}, {7, 0, 1, 9, "erms"}, {7, 0, 1, 16, "avx512f"},
    {7, 0, 1, 17, "avx512dq"}, {7, 0, 1, 18, "rdseed"}, {7, 0, 1, 19, "adx"}, {7, 0, 1, 29, "sha_ni"}, {7, 0, 1, 30, "avx512bw"},
    {7, 0, 1, 31, "avx512vl"}, {7, 0, 3, 4, "fsrm"}};

uint32_t Cpuid(uint32_t leaf, uint32_t subleaf, int reg) {
  uint32_t regs[4] = {};
  if (__get_cpuid_max(leaf & 0x80000000, nullptr) < leaf) return 0;
  __cpuid_count(leaf, subleaf, regs[0], regs[1], regs[2], regs[3]);
  return regs[reg];
}

}  // namespace

Result<std::string> CpuInfoText() {
  char vendor[13] = {};
  uint32_t eax, ebx, ecx, edx;
  __cpuid(0, eax, ebx, ecx, edx);
  memcpy(vendor, &ebx, 4);
  memcpy(vendor + 4, &edx, 4);
  memcpy(vendor + 8, &ecx, 4);
  char brand[49] = {};
  for (uint32_t i = 0; i < 3; i++) {
    for (int r = 0; r < 4; r++) {
      uint32_t value = Cpuid(0x80000002 + i, 0, r);
      memcpy(brand + i * 16 + r * 4, &value, 4);
    }
  }
  uint32_t signature = Cpuid(1, 0, 0);
  uint32_t family = (signature >> 8 & 15) + ((signature >> 8 & 15) == 15 ? signature >> 20 & 255 : 0);
  uint32_t model = (signature >> 4 & 15) | (signature >> 12 & 0xf0);
  std::string flags;
  for (const Flag& flag : kFlags) {
    if ((Cpuid(flag.leaf, flag.subleaf, flag.reg) >> flag.bit & 1) != 0) flags += std::string(flags.empty() ? "" : " ") + flag.name;
  }
  int count = kernel::Kernel::Get().cpu_count();
  std::string out;
  for (int cpu = 0; cpu < count; cpu++) {
    out += fmt::format(
        "processor\t: {0}\nvendor_id\t: {1}\ncpu family\t: {2}\nmodel\t\t: {3}\nmodel name\t: {4}\nstepping\t: {5}\ncpu MHz\t\t: 2000.000\ncache size\t: 8192 "
        "KB\nphysical id\t: 0\nsiblings\t: {6}\ncore id\t\t: {0}\ncpu cores\t: {6}\napicid\t\t: {0}\nfpu\t\t: yes\nfpu_exception\t: yes\ncpuid level\t: {7}\nwp\t\t: "
        "yes\nflags\t\t: {8}\nbogomips\t: 4000.00\nclflush size\t: 64\ncache_alignment\t: 64\naddress sizes\t: 46 bits physical, 48 bits virtual\npower "
        "management:\n\n",
        cpu, vendor, family, model, brand, signature & 15, count, eax, flags);
  }
  return out;
}

}  // namespace proc
