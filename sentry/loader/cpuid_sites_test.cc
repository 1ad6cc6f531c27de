#include "sentry/loader/cpuid_sites.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <string>

#include "sentry/loader/x86_length.h"

namespace loader {
namespace {

// The whole of `bytes` is one instruction, and nothing shorter is.
void ExpectOne(std::initializer_list<uint8_t> bytes) {
  std::vector<uint8_t> code(bytes);
  EXPECT_EQ(InstructionLength(code), code.size()) << testing::PrintToString(code);
  for (size_t size = 0; size < code.size(); size++) {
    EXPECT_EQ(InstructionLength(std::span(code).first(size)), 0u) << testing::PrintToString(code) << " cut to " << size;
  }
  code.resize(32, 0x90);
  EXPECT_EQ(InstructionLength(code), bytes.size()) << testing::PrintToString(code);
}

TEST(InstructionLength, OpcodeMaps) {
  ExpectOne({0x90});
  ExpectOne({0x0f, 0xa2});                                                  // cpuid
  ExpectOne({0xf3, 0x0f, 0x1e, 0xfa});                                      // endbr64
  ExpectOne({0x48, 0x89, 0xe5});                                            // mov %rsp,%rbp
  ExpectOne({0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8});                          // movabs
  ExpectOne({0xb8, 1, 2, 3, 4});                                            // mov $,%eax
  ExpectOne({0x66, 0xb8, 1, 2});                                            // mov $,%ax
  ExpectOne({0xe8, 1, 2, 3, 4});                                            // call
  ExpectOne({0x0f, 0x85, 1, 2, 3, 4});                                      // jne
  ExpectOne({0xf7, 0xc0, 1, 2, 3, 4});                                      // test $,%eax
  ExpectOne({0xf7, 0xd8});                                                  // neg %eax
  ExpectOne({0xf6, 0x05, 1, 2, 3, 4, 5});                                   // testb $,(rip)
  ExpectOne({0x66, 0x0f, 0x3a, 0x0f, 0xc1, 8});                             // palignr
  ExpectOne({0x66, 0x0f, 0x38, 0x00, 0xc1});                                // pshufb
  ExpectOne({0x0f, 0xc8});                                                  // bswap
}

TEST(InstructionLength, Addressing) {
  ExpectOne({0x8b, 0x03});                                                  // (%rbx)
  ExpectOne({0x8b, 0x43, 1});                                               // 1(%rbx)
  ExpectOne({0x8b, 0x83, 1, 2, 3, 4});
  ExpectOne({0x8b, 0x04, 0x24});                                            // (%rsp)
  ExpectOne({0x8b, 0x44, 0x24, 1});
  ExpectOne({0x8b, 0x84, 0x24, 1, 2, 3, 4});
  ExpectOne({0x8b, 0x04, 0x25, 1, 2, 3, 4});                                // absolute
  ExpectOne({0x8b, 0x05, 1, 2, 3, 4});                                      // (rip)
  ExpectOne({0x64, 0x48, 0x8b, 0x04, 0x25, 0x28, 0, 0, 0});                 // %fs:0x28
}

TEST(InstructionLength, Vectors) {
  ExpectOne({0xc5, 0xf8, 0x77});                                            // vzeroupper
  ExpectOne({0xc5, 0xfd, 0x6f, 0x06});                                      // vmovdqa
  ExpectOne({0xc4, 0xe2, 0x7d, 0x58, 0xc0});                                // vpbroadcastd
  ExpectOne({0xc4, 0xe3, 0x7d, 0x39, 0xc0, 1});                             // vextracti128
  ExpectOne({0x62, 0xf1, 0x7c, 0x48, 0x11, 0x04, 0x24});                    // vmovups %zmm0,(%rsp)
}

TEST(InstructionLength, RefusesWhatNobodyEmits) {
  for (uint8_t byte : {0x06, 0x27, 0x60, 0x9a, 0xea, 0xd6}) {
    const uint8_t code[16] = {byte};
    EXPECT_EQ(InstructionLength(code), 0u) << int{byte};
  }
  uint8_t prefixes[32];
  std::fill(std::begin(prefixes), std::end(prefixes), 0x66);
  EXPECT_EQ(InstructionLength(prefixes), 0u);
}

std::vector<uint8_t> ReadAll(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// The same as the disassembler of binutils, for real code: the dynamic linker, and libraries that have the bytes in other
// instructions.
TEST(FindCpuid, AgreesWithTheDisassembler) {
  size_t found = 0;
  for (std::string path : {"/lib64/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/libc.so.6", "/lib/x86_64-linux-gnu/libstdc++.so.6"}) {
    std::vector<uint8_t> file = ReadAll(path);
    if (file.empty()) continue;
    std::vector<uint64_t> expected;
    std::string command = "objdump -d --no-show-raw-insn " + path + " | awk '$2 == \"cpuid\" {print $1}'";
    std::unique_ptr<FILE, int (*)(FILE*)> listing(popen(command.c_str(), "r"), pclose);
    unsigned long address;
    while (fscanf(listing.get(), "%lx:", &address) == 1) expected.push_back(address);
    EXPECT_EQ(FindCpuid(file), expected) << path;
    found += expected.size();
  }
  EXPECT_GT(found, 0u);
}

TEST(FindCpuid, BrokenFilesHaveNone) {
  std::vector<uint8_t> file = ReadAll("/lib64/ld-linux-x86-64.so.2");
  ASSERT_FALSE(file.empty());
  for (size_t size = 0; size < file.size(); size += size < 1024 ? 7 : 4099) (void)FindCpuid(std::span(file).first(size));
  EXPECT_TRUE(FindCpuid({}).empty());
  // Program headers and the table of functions, one byte at a time.
  for (size_t at = 0; at < 1024; at++) {
    std::vector<uint8_t> broken = file;
    broken[at] ^= 0xff;
    (void)FindCpuid(broken);
  }
}

}  // namespace
}  // namespace loader
