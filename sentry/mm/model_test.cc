// Random operations on a tree of memory managers against a page-by-page model: what the application and the Sentry read,
// where they fault, and what the stub has mapped must agree with it at all times.

#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <random>

#include "sentry/mm/memory_manager.h"
#include "sentry/mm/testing/fake_file.h"
#include "sentry/mm/testing/fake_platform.h"

namespace mm {
namespace {

using testing::FakeAddressSpace;
using testing::FakeCpu;
using testing::FakeFile;
using testing::FakePlatform;

constexpr uint64_t kBase = 0x100000000;
constexpr uint64_t kPages = 96;
constexpr uint64_t kFilePages = 24;
constexpr uint64_t kEnd = kBase + kPages * kPageSize;

// The first byte of a page stands for all of it.
struct ModelPage {
  int prot = 0;
  bool shared = false;
  std::shared_ptr<uint8_t> cell;  // shared by all who would see a write
  std::shared_ptr<uint8_t> file;  // what MADV_DONTNEED brings back, null for anonymous
  bool beyond_file = false;       // SIGBUS
  bool dont_fork = false, wipe = false;
};
using Model = std::map<uint64_t, ModelPage>;

struct Process {
  RefPtr<MemoryManager> memory;
  Model model;
};

class Simulation {
 public:
  explicit Simulation(uint64_t seed) : random_(seed) {
    std::string content;
    for (uint64_t page = 0; page < kFilePages; page++) {
      content += std::string(kPageSize, static_cast<char>(page + 1));
      file_cells_.push_back(std::make_shared<uint8_t>(page + 1));
    }
    shared_file_ = MakeRef<FakeFile>(content, O_RDWR);
    private_file_ = MakeRef<FakeFile>(content, O_RDONLY);
    Process first;
    first.memory = *MemoryManager::Create(platform_);
    processes_.push_back(std::move(first));
  }

  void Run(int steps) {
    for (int step = 0; step < steps; step++) {
      Process& process = processes_[random_() % processes_.size()];
      process.memory->running = static_cast<int>(random_() % 2);
      Step(process);
      if (::testing::Test::HasFailure()) {
        ADD_FAILURE() << "in step " << step;
        return;
      }
      if (step % 16 == 0) CheckAll();
    }
    CheckAll();
  }

 private:
  uint64_t RandomPage() { return kBase + random_() % kPages * kPageSize; }
  uint64_t RandomLength(uint64_t from) {
    uint64_t pages = random_() % 4 != 0 ? random_() % 6 + 1 : random_() % 40 + 1;
    return std::min(pages * kPageSize, kEnd - from);
  }
  int RandomProt() {
    constexpr int kProts[] = {PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE, PROT_READ | PROT_EXEC};
    return kProts[random_() % std::size(kProts)];
  }

  void Step(Process& p) {
    uint64_t address = RandomPage();
    uint64_t length = RandomLength(address);
    switch (random_() % 20) {
      case 0:
      case 1:
        return MapAnonymous(p, address, length, random_() % 4 == 0);
      case 2:
        return MapFile(p, address, length, random_() % 2 == 0);
      case 3:
        EXPECT_TRUE(p.memory->Unmap(address, length).ok());
        p.model.erase(p.model.lower_bound(address), p.model.lower_bound(address + length));
        return;
      case 4:
      case 5:
        return Protect(p, address, length, RandomProt());
      case 6:
        if (processes_.size() < 6 && random_() % 3 == 0) return Fork(p);
        return;
      case 7:
        if (processes_.size() > 1 && random_() % 4 == 0) {
          std::swap(p, processes_.back());
          processes_.pop_back();
        }
        return;
      case 8:
        return DontNeed(p, address, length);
      case 9:
        return Flags(p, address, length);
      case 10:
      case 11:
        return Remap(p, address, length);
      case 12:
        return Bulk(p, address, length);
      default:
        return Touch(p, address);
    }
  }

  void MapAnonymous(Process& p, uint64_t address, uint64_t length, bool shared) {
    int prot = RandomProt();
    ASSERT_TRUE(p.memory
                    ->Map({.address = address,
                           .length = length,
                           .prot = prot,
                           .flags = MAP_ANONYMOUS | MAP_FIXED | (shared ? MAP_SHARED : MAP_PRIVATE)})
                    .ok());
    for (uint64_t at = address; at < address + length; at += kPageSize) {
      p.model[at] = {.prot = prot, .shared = shared, .cell = std::make_shared<uint8_t>(0)};
    }
  }

  void MapFile(Process& p, uint64_t address, uint64_t length, bool shared) {
    int prot = RandomProt();
    uint64_t page = random_() % kFilePages;
    ASSERT_TRUE(p.memory
                    ->Map({.address = address,
                           .length = length,
                           .prot = prot,
                           .flags = MAP_FIXED | (shared ? MAP_SHARED : MAP_PRIVATE) | (random_() % 2 == 0 ? MAP_DENYWRITE : 0),
                           .file = shared ? shared_file_ : private_file_,
                           .offset = page * kPageSize})
                    .ok());
    for (uint64_t at = address; at < address + length; at += kPageSize, page++) {
      ModelPage model{.prot = prot, .shared = shared};
      if (page < kFilePages) {
        model.file = std::make_shared<uint8_t>(page + 1);
        model.cell = shared ? file_cells_[page] : std::make_shared<uint8_t>(page + 1);
      } else {
        model.beyond_file = true;
      }
      p.model[at] = model;
    }
  }

  void Protect(Process& p, uint64_t address, uint64_t length, int prot) {
    Result<void> result = p.memory->Protect(address, length, prot);
    for (uint64_t at = address; at < address + length; at += kPageSize) {
      auto it = p.model.find(at);
      if (it == p.model.end()) {
        EXPECT_EQ(result.error(), Errno::kENOMEM);
        return;
      }
      it->second.prot = prot;
    }
    EXPECT_TRUE(result.ok());
  }

  void Fork(Process& p) {
    Process child;
    ForkHints hints{.stack_pointer = random_() % 2 == 0 ? RandomPage() + 8 : 0};
    child.memory = p.memory->Fork(hints).value();
    for (auto& [at, page] : p.model) {
      if (page.dont_fork) continue;
      ModelPage copy = page;
      if (!page.shared && page.cell) copy.cell = std::make_shared<uint8_t>(page.wipe ? 0 : *page.cell);
      child.model[at] = copy;
    }
    processes_.push_back(std::move(child));
  }

  void DontNeed(Process& p, uint64_t address, uint64_t length) {
    Result<void> result = p.memory->Advise(address, length, MADV_DONTNEED);
    bool hole = false;
    for (uint64_t at = address; at < address + length; at += kPageSize) {
      auto it = p.model.find(at);
      if (it == p.model.end()) {
        hole = true;
        continue;
      }
      ModelPage& page = it->second;
      if (page.shared || page.beyond_file) continue;
      page.cell = std::make_shared<uint8_t>(page.file ? *page.file : 0);
    }
    EXPECT_EQ(result.error(), hole ? Errno::kENOMEM : Errno{});
  }

  void Flags(Process& p, uint64_t address, uint64_t length) {
    bool fork = random_() % 2 == 0, on = random_() % 2 == 0;
    for (uint64_t at = address; at < address + length; at += kPageSize) {
      auto it = p.model.find(at);
      if (it == p.model.end()) {
        EXPECT_EQ(p.memory->Advise(at, kPageSize, fork ? MADV_DONTFORK : MADV_WIPEONFORK).error(), Errno::kENOMEM);
        continue;
      }
      ModelPage& page = it->second;
      bool anonymous = !page.shared && !page.file && !page.beyond_file;
      if (fork) {
        EXPECT_TRUE(p.memory->Advise(at, kPageSize, on ? MADV_DONTFORK : MADV_DOFORK).ok());
        page.dont_fork = on;
      } else if (anonymous) {
        EXPECT_TRUE(p.memory->Advise(at, kPageSize, on ? MADV_WIPEONFORK : MADV_KEEPONFORK).ok());
        page.wipe = on;
      } else {
        EXPECT_EQ(p.memory->Advise(at, kPageSize, MADV_WIPEONFORK).error(), Errno::kEINVAL);
      }
    }
  }

  // Moves one or two pages, which mostly are of one area.
  void Remap(Process& p, uint64_t address, uint64_t) {
    uint64_t to = RandomPage();
    auto from = p.model.find(address);
    if (from == p.model.end() || to == address) return;
    bool keep = random_() % 4 == 0;
    int flags = MREMAP_MAYMOVE | MREMAP_FIXED | (keep ? 4 : 0);
    Result<uint64_t> result = p.memory->Remap(address, kPageSize, kPageSize, flags, to);
    ASSERT_TRUE(result.ok()) << static_cast<int>(result.error());
    p.model[to] = from->second;
    if (!keep) {
      p.model.erase(address);
      return;
    }
    ModelPage& left = p.model[address];
    if (!left.shared && left.cell) left.cell = std::make_shared<uint8_t>(left.file ? *left.file : 0);
  }

  // Access by the Sentry over several pages.
  void Bulk(Process& p, uint64_t address, uint64_t length) {
    auto expected = [&](bool write) {
      uint64_t at = address;
      for (; at < address + length; at += kPageSize) {
        auto it = p.model.find(at);
        if (it == p.model.end() || it->second.beyond_file) break;
        if (write ? (it->second.prot & PROT_WRITE) == 0 : it->second.prot == 0) break;
      }
      return at - address;
    };
    std::string buffer(length, '\0');
    size_t readable = expected(false);
    EXPECT_EQ(p.memory->CopyInPartial(buffer.data(), address, length), readable);
    for (size_t i = 0; i < readable; i += kPageSize) {
      EXPECT_EQ(static_cast<uint8_t>(buffer[i]), *p.model[address + i].cell) << std::hex << address + i;
    }
    if (random_() % 2 == 0) {
      Result<Pinned> pinned = p.memory->Pin(address, length, false);
      EXPECT_EQ(pinned.ok() ? pinned->size() : 0, readable);
      return;
    }
    uint8_t value = static_cast<uint8_t>(random_());
    buffer.assign(length, static_cast<char>(value));
    size_t writable = expected(true);
    EXPECT_EQ(p.memory->CopyOutPartial(address, buffer.data(), length), writable);
    for (size_t i = 0; i < writable; i += kPageSize) *p.model[address + i].cell = value;
  }

  void Touch(Process& p, uint64_t address) {
    auto it = p.model.find(address);
    bool write = random_() % 2 == 0;
    FakeCpu cpu(*p.memory);
    Errno expected{};
    if (it == p.model.end()) {
      expected = Errno::kEFAULT;
    } else if (write ? (it->second.prot & PROT_WRITE) == 0 : it->second.prot == 0) {
      expected = Errno::kEACCES;
    } else if (it->second.beyond_file) {
      expected = Errno::kENXIO;
    }
    if (write) {
      uint8_t value = static_cast<uint8_t>(random_());
      EXPECT_EQ(cpu.Store(address, value).error(), expected) << std::hex << address;
      if (expected == Errno{}) *it->second.cell = value;
      return;
    }
    Result<uint8_t> value = cpu.Load(address);
    EXPECT_EQ(value.error(), expected) << std::hex << address;
    if (expected == Errno{} && value.ok()) {
      EXPECT_EQ(*value, *it->second.cell) << std::hex << address;
    }
  }

  // The stub has nothing that it should not have, and what it has is right.
  void CheckAll() {
    for (Process& p : processes_) {
      auto& space = static_cast<FakeAddressSpace&>(p.memory->space());
      for (auto& [at, mapped] : space.pages) {
        auto it = p.model.find(at);
        ASSERT_NE(it, p.model.end()) << std::hex << at;
        EXPECT_EQ(mapped.prot & ~it->second.prot, 0) << std::hex << at;
        if (mapped.prot == 0 || it->second.beyond_file) continue;
        uint8_t value = 0;
        ASSERT_EQ(pread(mapped.fd, &value, 1, static_cast<off_t>(mapped.offset)), 1);
        EXPECT_EQ(value, *it->second.cell) << std::hex << at;
      }
      uint64_t pages = 0;
      uint64_t last_end = 0;
      p.memory->ForEachVma([&](const VmaInfo& vma) {
        EXPECT_GE(vma.start, last_end);
        last_end = vma.end;
        for (uint64_t at = vma.start; at < vma.end; at += kPageSize, pages++) {
          auto it = p.model.find(at);
          EXPECT_NE(it, p.model.end()) << std::hex << at;
          if (it == p.model.end()) return false;
          EXPECT_EQ(vma.prot, it->second.prot);
          EXPECT_EQ(vma.shared, it->second.shared);
        }
        return true;
      });
      EXPECT_EQ(pages, p.model.size());
      EXPECT_EQ(p.memory->total_bytes(), p.model.size() * kPageSize);
    }
  }

  std::mt19937_64 random_;
  FakePlatform platform_;
  // Not one for both: whether a private mapping sees writes through a shared one depends on when it is copied.
  RefPtr<FakeFile> shared_file_, private_file_;
  std::vector<std::shared_ptr<uint8_t>> file_cells_;
  std::vector<Process> processes_;
};

TEST(MemoryModelTest, RandomOperations) {
  testing::SetUpMemory();
  int seeds = getenv("MODEL_SEEDS") != nullptr ? atoi(getenv("MODEL_SEEDS")) : 40;
  for (int seed = 0; seed < seeds; seed++) {
    uint64_t before = base::MemoryFile::Get().allocated_bytes();
    {
      Simulation simulation(static_cast<uint64_t>(seed));
      simulation.Run(2000);
    }
    EXPECT_EQ(base::MemoryFile::Get().allocated_bytes(), before);
    if (HasFailure()) {
      ADD_FAILURE() << "seed " << seed;
      return;
    }
  }
}

}  // namespace
}  // namespace mm
