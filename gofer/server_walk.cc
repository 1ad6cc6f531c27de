// Finding, opening and listing files.

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/host.h"
#include "gofer/entry_writer.h"
#include "gofer/server.h"

namespace gofer {

namespace {

// The target of the link that `path` names.
Result<size_t> ReadTarget(int path, char* to, size_t size) {
  size_t length = static_cast<size_t>(TRY(HOST(readlinkat(path, "", to, size))));
  if (length == size) return Errno::kENAMETOOLONG;
  return length;
}

bool ValidAccess(uint32_t flags) { return flags == O_RDONLY || flags == O_WRONLY || flags == O_RDWR; }

Result<Fd> OpenForClient(const Node& node, uint32_t access) {
  if (access != O_RDONLY && node.read_only && S_ISREG(node.type)) return Errno::kEROFS;
  return OpenRegular(node.path.get(), node.type, access);
}

}  // namespace

Result<void> Server::Attach(Reader& in, Writer& out) {
  auto request = in.Take<AttachRequest>();
  if (!request || !Finished(in)) return Malformed();
  if (request->export_index >= exports_.size()) return Errno::kEINVAL;
  const ExportRoot& root = exports_[request->export_index];
  Node parent{.export_index = request->export_index, .read_only = root.read_only};
  WireNode node = TRY(AddNode(parent, TRY(root.path.Dup())));
  out.Put(AttachReply{node, root.read_only});
  return {};
}

Result<void> Server::Walk(Node& parent, Reader& in, Writer& out, Donated& donated) {
  auto request = in.Take<WalkRequest>();
  if (!request || request->count == 0 || request->count > kMaxWalkNames || request->reserved != 0) return Malformed();
  Names names = TRY(TakeNames(in, request->count));
  if (!Finished(in)) return Malformed();
  uint32_t access = request->open_flags & ~kWalkOpen;
  bool open = (request->open_flags & kWalkOpen) != 0;
  if (!ValidAccess(access) || (!open && access != 0)) return Errno::kEINVAL;

  size_t header_at = out.Reserve<WalkReply>();
  WalkReply reply{};
  Node* at = &parent;
  char target[kMaxTarget + 1];
  while (reply.count < request->count) {
    Result<Fd> path = OpenPathAt(at->path.get(), names[reply.count]);
    Result<WireNode> node = path.ok() ? AddNode(*at, std::move(path).value()) : Result<WireNode>(path.error());
    if (!node.ok()) {
      if (reply.count == 0) return node.error();
      reply.error = static_cast<int32_t>(node.error());
      break;
    }
    out.Put(*node);
    reply.count++;
    at = handles_.Get(node->handle).value();
    if (S_ISLNK(at->type)) {
      Result<size_t> size = ReadTarget(at->path.get(), target, sizeof target);
      if (size.ok()) {
        reply.target_size = static_cast<uint16_t>(*size);
        out.PutBytes(target, *size);
      }
      break;
    }
    if (!S_ISDIR(at->type) && reply.count < request->count) {
      reply.error = static_cast<int32_t>(Errno::kENOTDIR);
      break;
    }
  }
  if (open && reply.count == request->count && S_ISREG(at->type)) {
    Result<Fd> fd = OpenForClient(*at, access);
    if (fd.ok()) {
      donated.push_back(std::move(fd).value());
    } else {
      reply.open_error = static_cast<int32_t>(fd.error());
    }
  }
  out.Fill(header_at, reply);
  return {};
}

Result<void> Server::Open(Node& node, Reader& in, Donated& donated) {
  auto request = in.Take<OpenRequest>();
  if (!request || !Finished(in)) return Malformed();
  if (!ValidAccess(request->flags)) return Errno::kEINVAL;
  donated.push_back(TRY(OpenForClient(node, request->flags)));
  return {};
}

Result<void> Server::ReadDir(Node& node, Reader& in, Writer& out) {
  auto request = in.Take<ReadDirRequest>();
  if (!request || !Finished(in)) return Malformed();
  if (request->attributes > kLastAttributes) return Errno::kEINVAL;
  if (!S_ISDIR(node.type)) return Errno::kENOTDIR;
  // A listing of several batches goes on with one descriptor, since not every file system's cookies outlive it.
  if (!node.listing.valid() || request->cookie == 0 || request->cookie != node.listing_cookie) {
    node.listing = TRY(Reopen(node.path.get(), O_RDONLY | O_DIRECTORY));
    if (request->cookie != 0) TRY(HOST(lseek(node.listing.get(), request->cookie, SEEK_SET)));
  }

  ReadDirReply reply{};
  size_t header_at = out.Reserve<ReadDirReply>();
  // The entry that does not fit ends the batch; the next one begins there.
  EntryWriter writer(node.path.get(), node.dev, static_cast<Attributes>(request->attributes), out);
  alignas(LinuxDirent) char buffer[16 * 1024];
  int64_t cookie = request->cookie;
  bool full = false;
  while (!full) {
    long size = TRY(HOST(syscall(SYS_getdents64, node.listing.get(), buffer, sizeof buffer)));
    if (size == 0) {
      reply.end = 1;
      break;
    }
    for (long at = 0; at < size;) {
      auto* entry = reinterpret_cast<LinuxDirent*>(buffer + at);
      at += entry->d_reclen;
      std::string_view name(entry->d_name);
      if (ValidName(name)) {
        if (!writer.Put(*entry, name).ok()) {
          full = true;
          break;
        }
        reply.count++;
      }
      cookie = entry->d_off;
    }
  }
  if (reply.end != 0) {
    node.listing.reset();
  } else {
    // The host's position is behind what did not fit.
    TRY(HOST(lseek(node.listing.get(), cookie, SEEK_SET)));
    node.listing_cookie = cookie;
  }
  out.Fill(header_at, reply);
  return {};
}

}  // namespace gofer
