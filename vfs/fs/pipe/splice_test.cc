#include "vfs/fs/pipe/splice.h"

#include <gtest/gtest.h>

#include <string>

#include "base/kernel_lock.h"
#include "vfs/fs/pipe/pipe_file.h"
#include "vfs/operations.h"

namespace pipefs {
namespace {

RefPtr<const Credentials> Creds() {
  return RefPtr<const Credentials>(Credentials::Root(MakeRef<base::UserNamespace>(nullptr, 0)));
}

// A regular file in memory.
class MemoryFile : public vfs::FileDescription {
 public:
  explicit MemoryFile(std::string text) : text(std::move(text)) {
    vfs::InitAnonymous(*this, "memory", S_IFREG | 0600, O_RDWR, Creds());
  }
  Result<size_t> ReadAt(const IoVec& to, uint64_t offset, int) override {
    if (offset >= text.size()) return size_t{0};
    return to.Write(0, text.data() + offset, std::min(to.size(), text.size() - offset));
  }
  Result<size_t> WriteAt(const IoVec& from, uint64_t offset, int) override {
    const size_t size = std::min(from.size(), limit);
    text.resize(std::max<size_t>(text.size(), offset + size));
    return from.Read(0, text.data() + offset, size);
  }
  Result<size_t> Read(const IoVec& to) override {
    size_t n = TRY(ReadAt(to, offset_, 0));
    offset_ += n;
    return n;
  }
  Result<size_t> Write(const IoVec& from) override {
    size_t n = TRY(WriteAt(from, offset_, 0));
    offset_ += n;
    return n;
  }
  std::string text;
  size_t limit = SIZE_MAX;
};

void Put(vfs::FileDescription& file, std::string text) {
  ASSERT_EQ(file.Write(IoVec(text.data(), text.size())).value(), text.size());
}
std::string Get(vfs::FileDescription& file, size_t size = 100000) {
  std::string text(size, 0);
  Result<size_t> n = file.Read(IoVec(text.data(), size));
  if (!n.ok()) return std::string(base::ErrnoName(n.error()));
  text.resize(*n);
  return text;
}

class SpliceTest : public testing::Test {
 protected:
  PipeEnds a_ = CreatePipe(O_NONBLOCK, Creds()).value();
  PipeEnds b_ = CreatePipe(O_NONBLOCK, Creds()).value();
};

TEST_F(SpliceTest, FileToPipeToFile) {
  MemoryFile& in = *MakeRef<MemoryFile>(std::string(9000, 'f') + "end").release();
  MemoryFile& out = *MakeRef<MemoryFile>("").release();
  int64_t offset = 1000;
  EXPECT_EQ(*Splice(in, &offset, *a_.write, nullptr, 100000, 0), 8003u);
  EXPECT_EQ(offset, 9003);
  EXPECT_EQ(in.offset(), 0u);
  EXPECT_EQ(*Splice(*a_.read, nullptr, out, nullptr, 100000, 0), 8003u);
  EXPECT_EQ(out.text, std::string(8000, 'f') + "end");
  EXPECT_EQ(out.offset(), 8003u);
  EXPECT_EQ(*Splice(in, &offset, *a_.write, nullptr, 1, 0), 0u);  // end of file
  in.DecRef();
  out.DecRef();
}

TEST_F(SpliceTest, WhatTheFileDidNotTakeStaysInThePipe) {
  MemoryFile& out = *MakeRef<MemoryFile>("").release();
  out.limit = 3;
  Put(*a_.write, "abcdefgh");
  EXPECT_EQ(*SpliceTo(vfs::FileAs<PipeFile>(a_.read.get())->pipe(), out, nullptr, 100), 3u);
  EXPECT_EQ(Get(*a_.read), "defgh");
  out.DecRef();
}

TEST_F(SpliceTest, Errors) {
  int64_t offset = 0;
  MemoryFile& file = *MakeRef<MemoryFile>("x").release();
  EXPECT_EQ(Splice(file, nullptr, file, nullptr, 1, 0).error(), Errno::kEINVAL);
  EXPECT_EQ(Splice(*a_.read, &offset, file, nullptr, 1, 0).error(), Errno::kESPIPE);
  EXPECT_EQ(Splice(*a_.read, nullptr, *a_.write, nullptr, 1, 0).error(), Errno::kEINVAL);
  EXPECT_EQ(Splice(*a_.write, nullptr, file, nullptr, 1, 0).error(), Errno::kEBADF);
  EXPECT_EQ(Splice(*a_.read, nullptr, *b_.write, nullptr, 1, 0).error(), Errno::kEAGAIN);
  EXPECT_EQ(Splice(*a_.read, nullptr, *b_.write, nullptr, 1, 64).error(), Errno::kEINVAL);
  EXPECT_EQ(*Splice(*a_.read, nullptr, *b_.write, nullptr, 0, 0), 0u);
  a_.write.reset();
  EXPECT_EQ(*Splice(*a_.read, nullptr, *b_.write, nullptr, 1, 0), 0u);
  file.DecRef();
}

TEST_F(SpliceTest, PipeToPipeMovesPartsOfPages) {
  Put(*a_.write, "hello world");
  EXPECT_EQ(*Splice(*a_.read, nullptr, *b_.write, nullptr, 5, 0), 5u);
  Put(*b_.write, "!");  // must not be appended to the shared page
  EXPECT_EQ(Get(*a_.read), " world");
  EXPECT_EQ(Get(*b_.read), "hello!");
}

TEST_F(SpliceTest, TeeLeavesTheData) {
  Put(*a_.write, "hello");
  EXPECT_EQ(*Tee(*a_.read, *b_.write, 4, 0), 4u);
  Put(*a_.write, "X");
  Put(*b_.write, "Y");
  EXPECT_EQ(Get(*a_.read), "helloX");
  EXPECT_EQ(Get(*b_.read), "hellY");
}

TEST_F(SpliceTest, Vmsplice) {
  std::string text = "memory";
  EXPECT_EQ(*Vmsplice(*a_.write, IoVec(text.data(), text.size()), 0), 6u);
  std::string back(10, 0);
  EXPECT_EQ(*Vmsplice(*a_.read, IoVec(back.data(), back.size()), 0), 6u);
  EXPECT_EQ(Vmsplice(*a_.read, IoVec(back.data(), back.size()), SPLICE_F_NONBLOCK).error(), Errno::kEAGAIN);
}

TEST_F(SpliceTest, SendFileGoesOnWhereAFullPipeStopped) {
  MemoryFile& in = *MakeRef<MemoryFile>(std::string(100000, 's')).release();
  EXPECT_EQ(*SendFile(*a_.write, in, nullptr, 200000), 65536u);
  EXPECT_EQ(in.offset(), 65536u);
  Get(*a_.read);
  EXPECT_EQ(*SendFile(*a_.write, in, nullptr, 200000), 100000u - 65536);
  EXPECT_EQ(*SendFile(*a_.write, in, nullptr, 200000), 0u);
  in.DecRef();
}

TEST_F(SpliceTest, BlocksForDataAndRoom) {
  PipeEnds from = CreatePipe(0, Creds()).value();
  PipeEnds to = CreatePipe(0, Creds()).value();
  Result<size_t> moved = Errno::kEIO;
  {
    KernelLock::Section section;
    Put(*to.write, std::string(65536, 'x'));
    Fiber::Start([&] { moved = Splice(*from.read, nullptr, *to.write, nullptr, 100, 0); });
  }
  {
    KernelLock::Section section;
    Put(*from.write, "data");
  }
  EXPECT_EQ(moved.error(), Errno::kEIO);
  {
    KernelLock::Section section;
    Get(*to.read, 65536);
  }
  EXPECT_EQ(*moved, 4u);
}

}  // namespace
}  // namespace pipefs
