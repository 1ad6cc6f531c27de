// libFuzzer target: the input is a sequence of requests, each behind its length (two bytes, little-endian), to a server on a small directory.
//
//   cmake -S . -B build/fuzz -G Ninja -DCMAKE_CXX_COMPILER=clang++-19 -DCMAKE_C_COMPILER=clang-19 -DRUNSC_FUZZ=ON \
//     -DRUNSC_SANITIZE=address,undefined
//   ninja -C build/fuzz gofer_server_fuzzer && TMPDIR=/dev/shm build/fuzz/gofer/gofer_server_fuzzer -max_len=2000 corpus
//
// The handles that the first requests of each input get are always the same, so an input that works keeps working.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>

#include "base/host.h"
#include "base/log.h"
#include "gofer/server.h"
#include "gofer/testing.h"

namespace gofer {
namespace {

// Made anew for each input, or one would leave its names to the next.
struct Files {
  Files() {
    root.Mkdir("dir");
    root.Write("dir/file", "contents");
    root.Write("top", "top");
    CHECK(symlink("dir/file", (root / "link").c_str()) == 0);
    CHECK(symlink("/", (root / "absolute").c_str()) == 0);
  }
  TempDirectory root;
};

}  // namespace
}  // namespace gofer

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const bool entered = chdir("/proc/self/fd") == 0;
  CHECK(entered);
  gofer::Files files;
  std::vector<gofer::ExportRoot> exports;
  for (bool read_only : {false, true}) {
    exports.push_back({Fd(open(files.root.path().c_str(), O_PATH | O_CLOEXEC)), read_only});
  }
  gofer::Server server(Fd(), std::move(exports), 64);
  static auto buffer = std::make_unique<char[]>(gofer::kMaxMessage);
  const char* at = reinterpret_cast<const char*>(data);
  while (size >= 2) {
    size_t length = data[0] | static_cast<size_t>(data[1]) << 8;
    data += 2, at += 2, size -= 2;
    length = std::min(length, size);
    gofer::Writer reply(buffer.get(), gofer::kMaxMessage);
    gofer::Donated donated;
    if (server.Answer({at, length}, reply, donated) == gofer::Parse::kMalformed) break;
    CHECK(reply.size() == 0 || reply.size() >= sizeof(gofer::ReplyHeader));
    // A descriptor that is given away is of a regular file, and only of ours.
    for (const Fd& fd : donated) {
      struct stat st, root;
      CHECK(fstat(fd.get(), &st) == 0 && stat(files.root.path().c_str(), &root) == 0);
      CHECK(S_ISREG(st.st_mode) && st.st_dev == root.st_dev);
    }
    data += length, at += length, size -= length;
  }
  return 0;
}
