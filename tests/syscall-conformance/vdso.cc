// vdso(7), getauxval(3)
#include <elf.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <sys/time.h>

#include "util/check.h"
#include "util/child.h"
#include "util/clock.h"
#include "util/helper.h"
#include "util/memory.h"

namespace conformance {
namespace {

// Finds a symbol the way a C library does: by the dynamic section of the image in memory.
void* VdsoSymbol(const char* name) {
  auto base = getauxval(AT_SYSINFO_EHDR);
  if (base == 0) return nullptr;
  auto* header = reinterpret_cast<const Elf64_Ehdr*>(base);
  auto* segments = reinterpret_cast<const Elf64_Phdr*>(base + header->e_phoff);
  uintptr_t bias = 0;
  const Elf64_Dyn* dynamic = nullptr;
  for (int i = 0; i < header->e_phnum; i++) {
    if (segments[i].p_type == PT_LOAD) bias = base + segments[i].p_offset - segments[i].p_vaddr;
    if (segments[i].p_type == PT_DYNAMIC) {
      dynamic = reinterpret_cast<const Elf64_Dyn*>(base + segments[i].p_offset);
    }
  }
  if (dynamic == nullptr) return nullptr;
  const Elf64_Sym* symbols = nullptr;
  const char* strings = nullptr;
  size_t string_size = 0;
  for (; dynamic->d_tag != DT_NULL; dynamic++) {
    if (dynamic->d_tag == DT_SYMTAB) {
      symbols = reinterpret_cast<const Elf64_Sym*>(bias + dynamic->d_un.d_ptr);
    }
    if (dynamic->d_tag == DT_STRTAB) {
      strings = reinterpret_cast<const char*>(bias + dynamic->d_un.d_ptr);
    }
    if (dynamic->d_tag == DT_STRSZ) string_size = dynamic->d_un.d_val;
  }
  if (symbols == nullptr || strings == nullptr) return nullptr;
  // The string table follows the symbols, which bounds their number.
  for (auto* s = symbols; reinterpret_cast<const char*>(s + 1) <= strings; s++) {
    if (s->st_name >= string_size || s->st_shndx == SHN_UNDEF) continue;
    if (strcmp(strings + s->st_name, name) == 0) {
      return reinterpret_cast<void*>(bias + s->st_value);
    }
  }
  return nullptr;
}

TEST(Vdso, IsAMappedElfImage) {
  auto base = getauxval(AT_SYSINFO_EHDR);
  ASSERT_NE(base, 0u);
  EXPECT_EQ(base % kPage, 0u);
  auto* header = reinterpret_cast<const Elf64_Ehdr*>(base);
  EXPECT_EQ(memcmp(header->e_ident, ELFMAG, SELFMAG), 0);
  EXPECT_EQ(header->e_machine, EM_X86_64);
  EXPECT_EQ(header->e_type, ET_DYN);
}

TEST(Vdso, ClockGettimeMatchesTheSystemCall) {
  auto function =
      reinterpret_cast<int (*)(clockid_t, timespec*)>(VdsoSymbol("__vdso_clock_gettime"));
  ASSERT_NE(function, nullptr);
  for (clockid_t clock : {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_MONOTONIC_RAW}) {
    timespec before = {}, direct = {}, after = {};
    ASSERT_OK(syscall(SYS_clock_gettime, clock, &before));
    ASSERT_EQ(function(clock, &direct), 0) << clock;
    ASSERT_OK(syscall(SYS_clock_gettime, clock, &after));
    EXPECT_LE(ToNs(before), ToNs(direct)) << clock;
    EXPECT_LE(ToNs(direct), ToNs(after)) << clock;
  }
  // Clocks that it cannot read itself are passed to the kernel.
  timespec cpu = {};
  EXPECT_EQ(function(CLOCK_THREAD_CPUTIME_ID, &cpu), 0);
  EXPECT_EQ(function(99, &cpu), -EINVAL);
}

TEST(Vdso, GettimeofdayTimeAndGetcpu) {
  auto gettimeofday_function =
      reinterpret_cast<int (*)(timeval*, void*)>(VdsoSymbol("__vdso_gettimeofday"));
  auto time_function = reinterpret_cast<time_t (*)(time_t*)>(VdsoSymbol("__vdso_time"));
  auto getcpu_function =
      reinterpret_cast<long (*)(unsigned*, unsigned*, void*)>(VdsoSymbol("__vdso_getcpu"));
  ASSERT_NE(gettimeofday_function, nullptr);
  ASSERT_NE(time_function, nullptr);
  ASSERT_NE(getcpu_function, nullptr);
  timeval tv = {};
  EXPECT_EQ(gettimeofday_function(&tv, nullptr), 0);
  EXPECT_NEAR(tv.tv_sec, NowNs(CLOCK_REALTIME) / 1'000'000'000, 1);
  EXPECT_NEAR(time_function(nullptr), tv.tv_sec, 1);
  unsigned cpu = ~0u;
  EXPECT_EQ(getcpu_function(&cpu, nullptr, nullptr), 0);
  EXPECT_LT(cpu, 8192u);
}

TEST(Vdso, IsNotWritable) {
  auto base = getauxval(AT_SYSINFO_EHDR);
  EXPECT_KILLED(RunChild([base] {
                  *reinterpret_cast<volatile char*>(base) = 1;
                  return 0;
                }),
                SIGSEGV);
}

TEST(Vdso, KeepsTimeInForkedChildren) {
  int64_t before = NowNs();
  EXPECT_EXITED(RunChild([before] { return NowNs() >= before ? 0 : 1; }), 0);
}

RegisterHelper base_helper("vdso-base", [](int, char** argv) {
  int64_t before = atoll(argv[2]);
  return getauxval(AT_SYSINFO_EHDR) != 0 && NowNs() >= before ? 0 : 1;
});

TEST(Vdso, IsThereAfterExec) {
  HelperArgv argv("vdso-base", {std::to_string(NowNs())});
  EXPECT_EXITED(RunChild([&] {
                  execv(SelfPath().c_str(), argv.data());
                  return 95;
                }),
                0);
}

}  // namespace
}  // namespace conformance
