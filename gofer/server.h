#pragma once

// The gofer's server: reads requests from one socket and answers each, in one thread. It trusts nothing it reads. What names cannot be or
// handles that are not open are errors to the client; a message that does not parse ends the service, since a working client never sends one.

#include <sched.h>

#include <optional>
#include <string_view>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "base/fd.h"
#include "base/result.h"
#include "gofer/handle_table.h"
#include "gofer/protocol/codec.h"
#include "gofer/tree_walk.h"

namespace gofer {

struct ExportRoot {
  Fd path;
  bool read_only = false;
};

// Descriptors that go to the client with a reply; at most kMaxOpenFiles.
using Donated = std::vector<Fd>;

// What a handler returns besides errors of the request: the message itself was wrong.
enum class Parse { kOk, kMalformed };

class Server {
 public:
  // The working directory must be /proc/self/fd (gofer/sandbox.h).
  Server(Fd socket, std::vector<ExportRoot> exports, size_t max_handles);

  // Until the client is gone (true) or misbehaves (false).
  bool Run();

  // One request; the reply goes to `reply`, and descriptors for the client to `donated`. For Run and for the fuzzer. No reply is to be
  // sent where it is left empty.
  Parse Answer(std::string_view request, Writer& reply, Donated& donated);

 private:
  using Outcome = Result<void>;

  // Each handles one opcode: reads the rest of the request, appends the body of the reply. `malformed_` says that the rest did not parse.
  // gofer/server_walk.cc
  Outcome Attach(Reader& in, Writer& out);
  Outcome Walk(Node& parent, Reader& in, Writer& out, Donated& donated);
  Outcome Open(Node& node, Reader& in, Donated& donated);
  Outcome ReadDir(Node& node, Reader& in, Writer& out);
  // gofer/server_ahead.cc
  Outcome OpenFiles(Node& parent, Reader& in, Writer& out, Donated& donated);
  Outcome StatFiles(Node& parent, Reader& in, Writer& out);
  Outcome ListTrees(Node& parent, Reader& in, Writer& out);
  Outcome ListMore(Reader& in, Writer& out);
  // gofer/server_create.cc
  Outcome Create(Node& parent, Reader& in, Writer& out, Donated& donated);
  Outcome CreateUnnamed(Node& parent, Reader& in, Writer& out, Donated& donated);
  Outcome Mkdir(Node& parent, Reader& in, Writer& out);
  Outcome Mknod(Node& parent, Reader& in, Writer& out);
  Outcome Symlink(Node& parent, Reader& in, Writer& out);
  Outcome Link(Node& parent, Reader& in, Writer& out);
  Outcome Unlink(Node& parent, Reader& in, Writer& out);
  Outcome Rename(Node& parent, Reader& in, Writer& out);
  struct NamedCreate {
    CreateRequest request;
    std::string_view name, target;
  };
  // Reads and checks what every request that makes a name starts with.
  Result<NamedCreate> TakeCreate(const Node& parent, Reader& in, uint32_t allowed_mode);
  // Gives the new file its owner and mode and tells of it.
  Outcome ReplyCreated(Node& parent, Fd path, const CreateRequest& request, Writer& out);
  // gofer/server_attributes.cc
  Outcome SetAttr(Node& node, Reader& in, Writer& out);
  Outcome Stat(Node& node, Writer& out);
  Outcome ReadLink(Node& node, Writer& out);
  Outcome StatFs(Node& node, Writer& out);
  Outcome GetXattr(Node& node, Reader& in, Writer& out);
  Outcome SetXattr(Node& node, Reader& in);
  Outcome ListXattr(Node& node, Writer& out);
  Outcome RemoveXattr(Node& node, Reader& in);
  Outcome Sync(Node& node, Reader& in);
  void Close(Reader& in);

  Outcome Dispatch(const RequestHeader& header, Reader& in, Writer& out, Donated& donated);
  // Pins this process to where the client advises (0: not at all).
  void RunOn(uint16_t cpu);
  Errno Malformed();
  // Registers `path` as a node like `parent`'s children and tells its attributes.
  Result<WireNode> AddNode(const Node& parent, Fd path);
  // `count` names. EPROTO for what does not parse, EINVAL for what can be no name.
  using Names = absl::InlinedVector<std::string_view, 8>;
  Result<Names> TakeNames(Reader& in, size_t count);
  // Takes FilesRequests and visits each file that they name, `most` at the most: visit(directory or why there is none, name).
  template <class Visit>
  Result<void> ForEachFile(const Node& from, Reader& in, size_t most, Visit visit);
  // Whether everything was read; otherwise the message is malformed.
  bool Finished(const Reader& in);

  Fd socket_;
  std::vector<ExportRoot> exports_;
  HandleTable handles_;
  std::optional<TreeWalk> tree_;  // of the last kListTrees
  bool malformed_ = false;
  uint16_t advised_cpu_ = 0;
  cpu_set_t all_cpus_;  // before the first advice
};

// --- shared by the server's files (gofer/host_files.cc) ---

// A component as the C string that the host wants.
class CName {
 public:
  explicit CName(std::string_view name) {
    size_t size = name.size() <= kMaxName ? name.size() : kMaxName;
    memcpy(bytes_, name.data(), size);
    bytes_[size] = '\0';
  }
  const char* get() const { return bytes_; }

 private:
  char bytes_[kMaxName + 1];
};

// The name of descriptor `fd` in the working directory /proc/self/fd.
class FdName {
 public:
  explicit FdName(int fd);
  const char* get() const { return at_; }

 private:
  char bytes_[12];
  char* at_;
};

Result<Fd> OpenPathAt(int parent, std::string_view name);
// Opens again what an O_PATH descriptor names.
Result<Fd> Reopen(int path, int flags);
// A directory, for reading its names.
Result<Fd> OpenDirectoryAt(int parent, const char* name);
// A descriptor to give away, of what `path` names. Only regular files: opening a fifo blocks, and a device acts.
Result<Fd> OpenRegular(int path, uint32_t type, uint32_t access);
// EISDIR, ELOOP or ENXIO unless it is the type of a regular file.
Result<void> CheckRegular(uint32_t type);
// For reading, by its name, what was a regular file just now; who has it must look. Should it be something else after all: an export has no
// devices, and opening a fifo does not block.
Result<Fd> OpenFileAt(int parent, std::string_view name);
Result<WireAttributes> StatPath(int path);
Result<WireAttributes> StatChild(int parent, const char* name);

}  // namespace gofer
