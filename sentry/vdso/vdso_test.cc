#include <elf.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <string>
#include <thread>

#include "base/event_loop.h"
#include "sentry/vdso/vdso_clock.h"

namespace vdso {
namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kMillisecond = 1'000'000;

// The image in this process as a loader would map it, its functions found as libc finds them.
class LoadedVdso {
 public:
  LoadedVdso() {
    auto image = Image();
    fd_ = memfd_create("vdso", MFD_CLOEXEC);
    EXPECT_EQ(ftruncate(fd_, kParamsSize), 0);
    size_t size = kParamsSize + image.size();
    auto* base = static_cast<char*>(
        mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    image_ = base + kParamsSize;
    memcpy(image_, image.data(), image.size());
    EXPECT_EQ(mprotect(image_, image.size(), PROT_READ | PROT_EXEC), 0);
    EXPECT_NE(mmap(base, kParamsSize, PROT_READ, MAP_SHARED | MAP_FIXED, fd_, 0), MAP_FAILED);
    page_ = mmap(nullptr, kParamsSize, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
    clock_gettime = Find<decltype(clock_gettime)>("__vdso_clock_gettime");
    gettimeofday = Find<decltype(gettimeofday)>("__vdso_gettimeofday");
    time = Find<decltype(time)>("__vdso_time");
    clock_getres = Find<decltype(clock_getres)>("__vdso_clock_getres");
    getcpu = Find<decltype(getcpu)>("__vdso_getcpu");
  }
  ~LoadedVdso() {
    munmap(image_ - kParamsSize, kParamsSize + Image().size());
    munmap(page_, kParamsSize);
    close(fd_);
  }

  void* page() { return page_; }
  Params& params() { return *static_cast<Params*>(page_); }

  int64_t Read(int clock) {
    timespec now;
    EXPECT_EQ(clock_gettime(clock, &now), 0);
    EXPECT_LT(now.tv_nsec, kSecond);
    return now.tv_sec * kSecond + now.tv_nsec;
  }

  template <class T>
  T Find(const std::string& name) {
    auto* header = reinterpret_cast<const Elf64_Ehdr*>(image_);
    EXPECT_EQ(memcmp(header->e_ident, ELFMAG, SELFMAG), 0);
    auto* segments = reinterpret_cast<const Elf64_Phdr*>(image_ + header->e_phoff);
    const Elf64_Dyn* dynamic = nullptr;
    for (int i = 0; i < header->e_phnum; i++) {
      if (segments[i].p_type == PT_DYNAMIC)
        dynamic = reinterpret_cast<const Elf64_Dyn*>(image_ + segments[i].p_vaddr);
    }
    const char* strings = nullptr;
    const Elf64_Sym* symbols = nullptr;
    const uint32_t* hash = nullptr;
    const uint16_t* versions = nullptr;
    const Elf64_Verdef* definitions = nullptr;
    bool gnu_hash = false, relocations = false;
    for (; dynamic->d_tag != DT_NULL; dynamic++) {
      const char* at = image_ + dynamic->d_un.d_ptr;
      if (dynamic->d_tag == DT_STRTAB) strings = at;
      if (dynamic->d_tag == DT_SYMTAB) symbols = reinterpret_cast<const Elf64_Sym*>(at);
      if (dynamic->d_tag == DT_HASH) hash = reinterpret_cast<const uint32_t*>(at);
      if (dynamic->d_tag == DT_VERSYM) versions = reinterpret_cast<const uint16_t*>(at);
      if (dynamic->d_tag == DT_VERDEF) definitions = reinterpret_cast<const Elf64_Verdef*>(at);
      if (dynamic->d_tag == DT_GNU_HASH) gnu_hash = true;
      if (dynamic->d_tag == DT_RELA || dynamic->d_tag == DT_JMPREL) relocations = true;
    }
    EXPECT_TRUE(gnu_hash);
    EXPECT_FALSE(relocations);
    for (uint32_t i = 0; i < hash[1]; i++) {
      if (name != strings + symbols[i].st_name) continue;
      const Elf64_Verdef* definition = definitions;
      while (definition->vd_ndx != (versions[i] & 0x7fff)) {
        EXPECT_NE(definition->vd_next, 0u);
        definition = reinterpret_cast<const Elf64_Verdef*>(
            reinterpret_cast<const char*>(definition) + definition->vd_next);
      }
      auto* aux = reinterpret_cast<const Elf64_Verdaux*>(reinterpret_cast<const char*>(definition) +
                                                         definition->vd_aux);
      EXPECT_STREQ(strings + aux->vda_name, "LINUX_2.6");
      binding = ELF64_ST_BIND(symbols[i].st_info);
      return reinterpret_cast<T>(image_ + symbols[i].st_value);
    }
    ADD_FAILURE() << "no symbol " << name;
    return nullptr;
  }

  int (*clock_gettime)(int, timespec*);
  int (*gettimeofday)(timeval*, struct timezone*);
  time_t (*time)(time_t*);
  int (*clock_getres)(int, timespec*);
  long (*getcpu)(unsigned*, unsigned*, void*);
  int binding = 0;

 private:
  int fd_;
  char* image_;
  void* page_;
};

void Calibrate(VdsoClock& clock) {
  while (!clock.ready()) {
    usleep(1000);
    clock.Refresh(base::MonotonicNow());
  }
}

int64_t Host(int clock) {
  timespec now;
  ::clock_gettime(clock, &now);
  return now.tv_sec * kSecond + now.tv_nsec;
}

// How far the vDSO is from the host, in the best of some tries.
int64_t Difference(LoadedVdso& vdso, int clock) {
  int64_t best_width = INT64_MAX, difference = 0;
  for (int i = 0; i < 20; i++) {
    int64_t before = Host(clock);
    int64_t middle = vdso.Read(clock);
    int64_t after = Host(clock);
    if (after - before >= best_width) continue;
    best_width = after - before;
    difference = middle - before - best_width / 2;
  }
  return difference;
}

#define SKIP_WITHOUT_TSC() \
  if (!VdsoClock::TscUsable()) GTEST_SKIP() << "no usable TSC"

TEST(Vdso, ImageIsWhatALoaderExpects) {
  LoadedVdso vdso;
  EXPECT_EQ(Image().size() % 4096, 0u);
  EXPECT_LE(Image().size(), 8192u);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(Image().data()) % 4096, 0u);
  for (const char* name : {"clock_gettime", "gettimeofday", "time", "clock_getres", "getcpu"}) {
    EXPECT_NE(vdso.Find<void*>(name), nullptr);
    EXPECT_EQ(vdso.binding, STB_WEAK);
  }
}

TEST(Vdso, MakesTheSystemCallUntilReady) {
  LoadedVdso vdso;
  ASSERT_EQ(vdso.params().ready, 0u);
  EXPECT_LT(std::abs(Difference(vdso, CLOCK_MONOTONIC)), kMillisecond);
  timeval now;
  EXPECT_EQ(vdso.gettimeofday(&now, nullptr), 0);
  EXPECT_LE(std::abs(now.tv_sec - ::time(nullptr)), 1);
  EXPECT_LE(std::abs(vdso.time(nullptr) - ::time(nullptr)), 1);
  timespec out;
  EXPECT_EQ(vdso.clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &out), 0);
  EXPECT_EQ(vdso.clock_gettime(CLOCK_MONOTONIC_RAW, &out), 0);
  EXPECT_EQ(vdso.clock_gettime(12345, &out), -EINVAL);
  EXPECT_EQ(vdso.clock_gettime(-12345678, &out), -EINVAL);
  EXPECT_EQ(vdso.clock_getres(12345, &out), -EINVAL);
  unsigned cpu = 9999;
  EXPECT_EQ(vdso.getcpu(&cpu, nullptr, nullptr), 0);
  EXPECT_LT(cpu, 4096u);
  // A writer that stopped half-way does not hang the reader.
  vdso.params().ready = 1;
  vdso.params().sequence = 7;
  EXPECT_LT(std::abs(Difference(vdso, CLOCK_MONOTONIC)), kMillisecond);
}

TEST(Vdso, AgreesWithTheHost) {
  SKIP_WITHOUT_TSC();
  LoadedVdso vdso;
  VdsoClock clock(vdso.page());
  EXPECT_FALSE(clock.ready());
  Calibrate(clock);
  int64_t worst = 0;
  for (int64_t end = base::MonotonicNow() + 3 * kSecond; base::MonotonicNow() < end; usleep(1000)) {
    clock.Refresh(base::MonotonicNow());
    for (int id : {CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_BOOTTIME}) {
      int64_t difference = std::abs(Difference(vdso, id));
      worst = std::max(worst, difference);
      EXPECT_LT(difference, 1000) << id;
    }
  }
  printf("worst difference %ld ns\n", static_cast<long>(worst));
  EXPECT_LT(std::abs(Difference(vdso, CLOCK_REALTIME_COARSE)), 20 * kMillisecond);
  timespec resolution;
  EXPECT_EQ(vdso.clock_getres(CLOCK_MONOTONIC, &resolution), 0);
  EXPECT_EQ(resolution.tv_nsec, 1);
  EXPECT_EQ(vdso.clock_getres(CLOCK_MONOTONIC, nullptr), 0);
  struct timezone zone = {1, 1};
  timeval now;
  EXPECT_EQ(vdso.gettimeofday(&now, &zone), 0);
  EXPECT_EQ(zone.tz_minuteswest, 0);
  EXPECT_LT(std::abs(now.tv_sec * 1'000'000 + now.tv_usec - Host(CLOCK_REALTIME) / 1000), 100'000);
  time_t seconds;
  EXPECT_EQ(vdso.time(&seconds), seconds);
}

TEST(Vdso, AnOldPageIsNotUsed) {
  SKIP_WITHOUT_TSC();
  LoadedVdso vdso;
  VdsoClock clock(vdso.page());
  Calibrate(clock);
  // Wrong on purpose: a difference shows that the page is in use.
  vdso.params().monotonic += 5 * kSecond;
  EXPECT_GT(Difference(vdso, CLOCK_MONOTONIC), 4 * kSecond);
  usleep(50'000);  // more than thrice the first baseline
  EXPECT_LT(std::abs(Difference(vdso, CLOCK_MONOTONIC)), kMillisecond);
  // And the next refresh finds it off and starts over.
  clock.Refresh(base::MonotonicNow());
  EXPECT_FALSE(clock.ready());
  Calibrate(clock);
  EXPECT_LT(std::abs(Difference(vdso, CLOCK_MONOTONIC)), 1000);
}

TEST(Vdso, MonotonicNeverGoesBack) {
  SKIP_WITHOUT_TSC();
  LoadedVdso vdso;
  VdsoClock clock(vdso.page());
  Calibrate(clock);
  std::atomic<bool> stop{false};
  std::atomic<int64_t> newest{0};
  std::atomic<int> back{0};
  auto reader = [&] {
    while (!stop) {
      // What any thread has read before this read began.
      int64_t floor = newest.load();
      int64_t now = vdso.Read(CLOCK_MONOTONIC);
      if (now < floor) back++;
      int64_t seen = newest.load();
      while (seen < now && !newest.compare_exchange_weak(seen, now)) {
      }
    }
  };
  std::thread first(reader), second(reader);
  int refreshes = 0;
  for (int64_t end = base::MonotonicNow() + kSecond; base::MonotonicNow() < end; refreshes++) {
    // Lines that are ahead, behind, too steep: within what a host's clock could do in an interval.
    clock.Refresh(INT64_MAX);
    if (refreshes % 3 == 0) {
      usleep(200);
    } else {
      usleep(20);
    }
  }
  stop = true;
  first.join();
  second.join();
  EXPECT_EQ(back, 0);
  EXPECT_GT(refreshes, 1000);
}

TEST(Vdso, ALineThatIsAheadIsSlewed) {
  SKIP_WITHOUT_TSC();
  LoadedVdso vdso;
  VdsoClock clock(vdso.page());
  Calibrate(clock);
  vdso.params().monotonic += 300'000;
  int64_t before = vdso.Read(CLOCK_MONOTONIC);
  clock.Refresh(INT64_MAX);
  int64_t after = vdso.Read(CLOCK_MONOTONIC);
  EXPECT_GE(after, before);
  EXPECT_GT(Difference(vdso, CLOCK_MONOTONIC), 200'000);
  for (int64_t end = base::MonotonicNow() + 100 * kMillisecond; base::MonotonicNow() < end;
       usleep(500)) {
    clock.Refresh(base::MonotonicNow());
    int64_t now = vdso.Read(CLOCK_MONOTONIC);
    EXPECT_GE(now, after);
    after = now;
  }
  EXPECT_LT(std::abs(Difference(vdso, CLOCK_MONOTONIC)), 1000);
}

TEST(Vdso, NativeCpuNumbers) {
  LoadedVdso vdso;
  VdsoClock clock(vdso.page());
  clock.SetNativeCpus(4096);
  cpu_set_t one;
  CPU_ZERO(&one);
  int here = sched_getcpu();
  CPU_SET(here, &one);
  ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
  unsigned cpu = 9999, node = 9999;
  EXPECT_EQ(vdso.getcpu(&cpu, &node, nullptr), 0);
  EXPECT_EQ(cpu, static_cast<unsigned>(here));
  EXPECT_EQ(node, 0u);
}

TEST(Vdso, Cost) {
  SKIP_WITHOUT_TSC();
  LoadedVdso vdso;
  VdsoClock clock(vdso.page());
  Calibrate(clock);
  usleep(20'000);
  clock.Refresh(base::MonotonicNow());
  constexpr int kCalls = 200'000;
  timespec now;
  int64_t start = Host(CLOCK_MONOTONIC);
  for (int i = 0; i < kCalls; i++) vdso.clock_gettime(CLOCK_MONOTONIC, &now);
  int64_t middle = Host(CLOCK_MONOTONIC);
  for (int i = 0; i < kCalls; i++) ::clock_gettime(CLOCK_MONOTONIC, &now);
  int64_t end = Host(CLOCK_MONOTONIC);
  printf("clock_gettime: %.1f ns, the host's %.1f ns\n",
         static_cast<double>(middle - start) / kCalls, static_cast<double>(end - middle) / kCalls);
}

}  // namespace
}  // namespace vdso
