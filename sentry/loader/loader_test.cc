#include "sentry/loader/loader.h"

#include <elf.h>
#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <random>

#include "sentry/loader/script.h"
#include "sentry/mm/testing/fake_file.h"
#include "sentry/mm/testing/fake_platform.h"

namespace loader {
namespace {

using mm::testing::FakeCpu;
using mm::testing::FakeFile;
using mm::testing::FakePlatform;

// Makes small ELF files: one header page, then what segments say.
struct ElfBuilder {
  Elf64_Ehdr header = {};
  std::vector<Elf64_Phdr> segments;
  std::string body;

  explicit ElfBuilder(uint16_t type = ET_EXEC) {
    memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_ident[EI_DATA] = ELFDATA2LSB;
    header.e_type = type;
    header.e_machine = EM_X86_64;
    header.e_phoff = sizeof header;
    header.e_phentsize = sizeof(Elf64_Phdr);
  }
  Elf64_Phdr& Load(uint64_t vaddr, uint64_t offset, uint64_t filesz, uint64_t memsz, uint32_t flags) {
    segments.push_back({.p_type = PT_LOAD,
                        .p_flags = flags,
                        .p_offset = offset,
                        .p_vaddr = vaddr,
                        .p_filesz = filesz,
                        .p_memsz = memsz,
                        .p_align = 4096});
    return segments.back();
  }
  void Interpreter(const std::string& path) {
    segments.push_back({.p_type = PT_INTERP, .p_offset = 0x800, .p_filesz = path.size() + 1});
    body.resize(std::max<size_t>(body.size(), 0x1000), '\0');
    memcpy(body.data() + 0x800, path.c_str(), path.size() + 1);
  }
  std::string Build() {
    header.e_phnum = static_cast<uint16_t>(segments.size());
    body.resize(std::max<size_t>(body.size(), 0x1000), '\0');
    memcpy(body.data(), &header, sizeof header);
    if (!segments.empty()) memcpy(body.data() + sizeof header, segments.data(), segments.size() * sizeof(Elf64_Phdr));
    return body;
  }
};

// Text at page 0 and data with .bss at page 1, marked by letters.
ElfBuilder Program(uint16_t type, uint64_t base) {
  ElfBuilder elf(type);
  elf.header.e_entry = base + 0x900;
  elf.Load(base, 0, 0x1000, 0x1000, PF_R | PF_X);
  elf.Load(base + 0x1100, 0x1100, 0x200, 0x3000, PF_R | PF_W);
  elf.body.resize(0x2000, 'z');
  memset(elf.body.data() + 0x1100, 'd', 0x200);
  return elf;
}

class LoaderTest : public ::testing::Test {
 protected:
  void SetUp() override { mm::testing::SetUpMemory(); }

  RefPtr<vfs::FileDescription> File(const std::string& content) {
    return RefPtr<vfs::FileDescription>(MakeRef<FakeFile>(content, O_RDONLY));
  }
  Result<ExecImage> LoadContent(const std::string& content, std::vector<std::string> argv = {"prog"},
                                std::vector<std::string> envp = {"A=B"}) {
    ExecRequest request;
    request.file = File(content);
    request.filename = "/bin/program-with-a-long-name";
    request.argv = std::move(argv);
    request.envp = std::move(envp);
    request.stack_limit = stack_limit_;
    request.open = [this](const std::string& path) -> Result<RefPtr<vfs::FileDescription>> {
      auto it = files_.find(path);
      if (it == files_.end()) return Errno::kENOENT;
      return File(it->second);
    };
    return Load(platform_, request);
  }

  // The stack as the program would read it.
  struct Stack {
    std::vector<std::string> argv, envp;
    std::map<uint64_t, uint64_t> auxv;
  };
  Stack ReadStack(const ExecImage& image) {
    Stack stack;
    uint64_t at = image.stack_pointer;
    auto word = [&] {
      uint64_t value = *image.memory->Read<uint64_t>(at);
      at += 8;
      return value;
    };
    uint64_t argc = word();
    for (uint64_t i = 0; i < argc; i++) stack.argv.push_back(*image.memory->CopyInString(word(), 1 << 20));
    EXPECT_EQ(word(), 0u);
    while (uint64_t pointer = word()) stack.envp.push_back(*image.memory->CopyInString(pointer, 1 << 20));
    while (uint64_t type = word()) stack.auxv[type] = word();
    return stack;
  }

  FakePlatform platform_;
  std::map<std::string, std::string> files_;
  uint64_t stack_limit_ = 8 << 20;
};

TEST_F(LoaderTest, StaticProgram) {
  ExecImage image = LoadContent(Program(ET_EXEC, 0x400000).Build(), {"prog", "arg"}, {"A=B", "C=D"}).value();
  EXPECT_EQ(image.entry, 0x400900u);
  EXPECT_EQ(image.comm, "program-with-a-");
  EXPECT_EQ(image.stack_pointer % 16, 0u);
  Stack stack = ReadStack(image);
  EXPECT_EQ(stack.argv, (std::vector<std::string>{"prog", "arg"}));
  EXPECT_EQ(stack.envp, (std::vector<std::string>{"A=B", "C=D"}));
  EXPECT_EQ(stack.auxv[AT_ENTRY], 0x400900u);
  EXPECT_EQ(stack.auxv[AT_PHDR], 0x400040u);
  EXPECT_EQ(stack.auxv[AT_PHNUM], 2u);
  EXPECT_EQ(stack.auxv[AT_BASE], 0u);
  EXPECT_EQ(stack.auxv[AT_PAGESZ], 4096u);
  EXPECT_EQ(*image.memory->CopyInString(stack.auxv[AT_EXECFN], 100), "/bin/program-with-a-long-name");
  EXPECT_EQ(*image.memory->CopyInString(stack.auxv[AT_PLATFORM], 100), "x86_64");
  EXPECT_NE(*image.memory->Read<uint64_t>(stack.auxv[AT_RANDOM]), 0u);

  FakeCpu cpu(*image.memory);
  EXPECT_EQ(*cpu.Load(0x4012ff), 'd');
  EXPECT_EQ(*cpu.Load(0x401300), 0);  // .bss in the file's last page
  EXPECT_EQ(*cpu.Load(0x4040ff), 0);
  EXPECT_TRUE(cpu.Store(0x4040ff, 1).ok());
  EXPECT_EQ(cpu.Store(0x400000, 1).error(), Errno::kEACCES);
  EXPECT_GE(image.memory->start_brk, 0x405000u);
  EXPECT_EQ(image.memory->Brk(image.memory->start_brk + 4096), image.memory->start_brk + 4096);
  EXPECT_TRUE(cpu.Store(image.stack_pointer - 100000, 1).ok());
  EXPECT_EQ(cpu.faults, 1);  // the refused store
}

TEST_F(LoaderTest, DynamicProgram) {
  ElfBuilder elf = Program(ET_DYN, 0);
  elf.Interpreter("/lib/ld.so");
  files_["/lib/ld.so"] = Program(ET_DYN, 0).Build();
  ExecImage image = LoadContent(elf.Build()).value();
  Stack stack = ReadStack(image);
  EXPECT_EQ(image.entry, stack.auxv[AT_BASE] + 0x900);
  EXPECT_GT(stack.auxv[AT_BASE], stack.auxv[AT_ENTRY]);
  EXPECT_EQ(stack.auxv[AT_PHDR], stack.auxv[AT_ENTRY] - 0x900 + 0x40);
  files_.clear();
  EXPECT_EQ(LoadContent(elf.Build()).error(), Errno::kENOENT);
  files_["/lib/ld.so"] = "no elf";
  EXPECT_EQ(LoadContent(elf.Build()).error(), Errno::kENOEXEC);
}

TEST_F(LoaderTest, Alignment) {
  ElfBuilder elf = Program(ET_DYN, 0);
  elf.segments[0].p_align = 2 << 20;
  ExecImage image = LoadContent(elf.Build()).value();
  EXPECT_EQ((image.entry - 0x900) % (2 << 20), 0u);
}

TEST_F(LoaderTest, Scripts) {
  files_["/bin/sh"] = Program(ET_EXEC, 0x400000).Build();
  ExecImage image = LoadContent("#! /bin/sh  -e x \n", {"script", "one"}).value();
  EXPECT_EQ(ReadStack(image).argv,
            (std::vector<std::string>{"/bin/sh", "-e x", "/bin/program-with-a-long-name", "one"}));
  files_["/bin/s"] = "#!/bin/s\n";
  EXPECT_EQ(LoadContent("#!/bin/s\n").error(), Errno::kELOOP);
  for (int i = 1; i <= 4; i++) files_["/" + std::to_string(i)] = "#!/" + std::to_string(i + 1) + "\n";
  files_["/5"] = files_["/bin/sh"];
  EXPECT_TRUE(LoadContent("#!/1\n").ok());
  EXPECT_EQ(LoadContent("#!/missing\n").error(), Errno::kENOENT);
}

TEST(ScriptTest, Lines) {
  EXPECT_EQ(ParseScript("#!/bin/sh\n")->interpreter, "/bin/sh");
  EXPECT_FALSE(ParseScript("#!/bin/sh \t\n")->has_argument);
  EXPECT_EQ(ParseScript("#!/bin/sh")->interpreter, "/bin/sh");
  EXPECT_EQ(ParseScript("#!\n").error(), Errno::kENOEXEC);
  EXPECT_EQ(ParseScript("#!  \t").error(), Errno::kENOEXEC);
  EXPECT_EQ(ParseScript("#!/bin/" + std::string(249, 'x')).error(), Errno::kENOEXEC);
  EXPECT_EQ(ParseScript("#!/bin/x " + std::string(247, 'y'))->argument, std::string(246, 'y'));
  EXPECT_EQ(ParseScript(std::string("#!/bin/x\0y\n", 11))->interpreter, "/bin/x");
}

TEST_F(LoaderTest, ArgumentLimits) {
  std::string program = Program(ET_EXEC, 0x400000).Build();
  EXPECT_TRUE(LoadContent(program, {std::string(131071, 'a')}).ok());
  EXPECT_EQ(LoadContent(program, {std::string(131072, 'a')}).error(), Errno::kE2BIG);
  std::vector<std::string> many(30, std::string(100000, 'a'));
  EXPECT_EQ(LoadContent(program, many).error(), Errno::kE2BIG);
  many.resize(15);
  EXPECT_EQ(ReadStack(LoadContent(program, many).value()).argv, many);
  stack_limit_ = 1 << 20;
  EXPECT_EQ(LoadContent(program, many).error(), Errno::kE2BIG);
  EXPECT_EQ(ReadStack(LoadContent(program, {}).value()).argv, std::vector<std::string>{""});
}

TEST_F(LoaderTest, Malformed) {
  EXPECT_EQ(LoadContent("").error(), Errno::kENOEXEC);
  EXPECT_EQ(LoadContent("\177ELF").error(), Errno::kENOEXEC);
  EXPECT_EQ(LoadContent(std::string(4096, 'x')).error(), Errno::kENOEXEC);
  ElfBuilder none;
  EXPECT_EQ(LoadContent(none.Build()).error(), Errno::kENOEXEC);
  ElfBuilder wrap = Program(ET_EXEC, 0x400000);
  wrap.segments[1].p_memsz = UINT64_MAX;
  EXPECT_EQ(LoadContent(wrap.Build()).error(), Errno::kENOMEM);
  ElfBuilder skew = Program(ET_EXEC, 0x400000);
  skew.segments[1].p_offset++;
  EXPECT_EQ(LoadContent(skew.Build()).error(), Errno::kEINVAL);
  ElfBuilder low = Program(ET_EXEC, 0);
  EXPECT_EQ(LoadContent(low.Build()).error(), Errno::kEPERM);
}

// Whatever the bytes are, there is an answer and nothing leaks.
TEST_F(LoaderTest, RandomDamage) {
  ElfBuilder elf = Program(ET_DYN, 0);
  elf.Interpreter("/lib/ld.so");
  files_["/lib/ld.so"] = Program(ET_DYN, 0).Build();
  platform_.record = false;
  const std::string good = elf.Build();
  size_t interesting = sizeof(Elf64_Ehdr) + elf.segments.size() * sizeof(Elf64_Phdr);
  uint64_t before = base::MemoryFile::Get().allocated_bytes();
  std::mt19937_64 random(1);
  int loaded = 0;
  for (int round = 0; round < 20000; round++) {
    std::string bad = good;
    for (uint64_t i = random() % 3 + 1; i > 0; i--) {
      size_t at = random() % interesting;
      switch (random() % 4) {
        case 0:
          bad[at] = static_cast<char>(random());
          break;
        case 1:
          bad[at] = static_cast<char>(bad[at] ^ (1 << random() % 8));
          break;
        case 2: {
          uint64_t value = random() >> (random() % 64);
          memcpy(bad.data() + (at & ~size_t{7}), &value, 8);
          break;
        }
        default: {
          uint64_t value = uint64_t{0} - (random() >> (random() % 64));
          memcpy(bad.data() + (at & ~size_t{7}), &value, 8);
        }
      }
    }
    if (random() % 8 == 0) bad.resize(random() % bad.size());
    if (LoadContent(bad).ok()) loaded++;
    if (round % 2 == 0) files_["/lib/ld.so"] = bad;
  }
  EXPECT_GT(loaded, 0);
  EXPECT_EQ(base::MemoryFile::Get().allocated_bytes(), before);
}

}  // namespace
}  // namespace loader
