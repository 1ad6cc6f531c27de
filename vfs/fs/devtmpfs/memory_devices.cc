// null, zero, full: mem(4), null(4), full(4). random, urandom: random(4).

#include "vfs/fs/devtmpfs/memory_devices.h"

#include <linux/random.h>
#include <sys/random.h>

#include <algorithm>
#include <optional>

#include "base/host.h"
#include "base/memory_file.h"

namespace devtmpfs {

namespace {

class Device : public vfs::FileDescription {
 public:
  // Positions are accepted and mean nothing.
  Result<int64_t> Seek(int64_t, int) override { return int64_t{0}; }
  Result<size_t> Read(const IoVec& to) override { return ReadAt(to, 0, 0); }
  Result<size_t> Write(const IoVec& from) override { return WriteAt(from, 0, 0); }
  Result<size_t> WriteAt(const IoVec& from, uint64_t, int) override { return from.size(); }
};

class Null final : public Device {
 public:
  Result<size_t> ReadAt(const IoVec&, uint64_t, int) override { return size_t{0}; }
};

// Pages of zeroes for mmap(2): private writers get copies of theirs; shared ones see each other through one object a
// mapping, as with anonymous shared memory.
class ZeroPages final : public vfs::Mappable {
 public:
  ~ZeroPages() override {
    if (length_ > 0) base::MemoryFile::Get().DecRef(start_, length_);
  }
  Result<Pages> Translate(uint64_t offset, uint64_t length, bool write) override {
    // The first look says how large the mapping is.
    if (length_ == 0) {
      base_ = offset;
      start_ = TRY(base::MemoryFile::Get().Allocate(length));
      length_ = length;
    }
    if (offset < base_ || offset - base_ >= length_) return Errno::kENXIO;
    uint64_t at = offset - base_;
    return Pages{.in_memory_file = true,
                 .fd = base::MemoryFile::Get().fd(),
                 .offset = start_ + at,
                 .length = std::min(length, length_ - at)};
  }
  Result<size_t> Read(void* to, uint64_t offset, size_t length) override {
    IoVec span(to, length);
    return span.Zero(0, length);
  }
  Result<uint64_t> Size() override { return uint64_t{INT64_MAX}; }

 private:
  uint64_t base_ = 0, start_ = 0, length_ = 0;
};

class Zero : public Device {
 public:
  Result<size_t> ReadAt(const IoVec& to, uint64_t, int) override {
    size_t done = to.Zero(0, to.size());
    if (done == 0 && to.size() > 0) return Errno::kEFAULT;
    return done;
  }
  Result<RefPtr<vfs::Mappable>> Map() override { return RefPtr<vfs::Mappable>(MakeRef<ZeroPages>()); }
};

class Full final : public Zero {
 public:
  Result<size_t> WriteAt(const IoVec& from, uint64_t, int) override { return Errno::kENOSPC; }
  Result<RefPtr<vfs::Mappable>> Map() override { return Errno::kENODEV; }
};

class Random final : public Device {
 public:
  Result<size_t> ReadAt(const IoVec& to, uint64_t, int) override {
    // The host's generator fills a buffer: the application's memory may be one that the host cannot write.
    size_t done = 0;
    char buffer[1024];
    while (done < to.size()) {
      size_t wanted = std::min(sizeof buffer, to.size() - done);
      // Up to 256 bytes are never interrupted; more may be short.
      auto got = TRY(HOST(::getrandom(buffer, wanted, 0)));
      size_t stored = to.Write(done, buffer, static_cast<size_t>(got));
      done += stored;
      if (stored < static_cast<size_t>(got)) break;
    }
    if (done == 0 && to.size() > 0) return Errno::kEFAULT;
    return done;
  }
  Result<uint64_t> Ioctl(uint32_t request, uint64_t argument, const vfs::IoctlContext& context) override {
    switch (request) {
      case RNDGETENTCNT:
        TRY(context.memory.Write<int32_t>(argument, 256));
        return uint64_t{0};
      case RNDADDTOENTCNT:
      case RNDADDENTROPY:
      case RNDZAPENTCNT:
      case RNDCLEARPOOL:
      case RNDRESEEDCRNG:
        // The pool is the host's.
        return context.creds.Has(CAP_SYS_ADMIN) ? Result<uint64_t>(uint64_t{0}) : Errno::kEPERM;
      default:
        return Errno::kENOTTY;
    }
  }
};

}  // namespace

RefPtr<vfs::FileDescription> OpenMemoryDevice(MemoryDevice device) {
  switch (device) {
    case MemoryDevice::kNull:
      return MakeRef<Null>();
    case MemoryDevice::kZero:
      return MakeRef<Zero>();
    case MemoryDevice::kFull:
      return MakeRef<Full>();
    case MemoryDevice::kRandom:
    case MemoryDevice::kUrandom:
      break;
  }
  return MakeRef<Random>();
}

}  // namespace devtmpfs
