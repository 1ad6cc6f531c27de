// Several files in one call, for a client that goes through a tree: opening the files of a directory, and listing directories with what is below
// them.

#include <fcntl.h>
#include <sys/stat.h>

#include <span>

#include "base/host.h"
#include "gofer/server.h"

namespace gofer {

namespace {

// The directory that `path` leads to from a node. A link on the way is met as a link, where ENOTDIR says so.
Result<int> WalkDown(const Node& from, std::span<const std::string_view> path, Fd& held) {
  int at = from.path.get();
  for (std::string_view name : path) {
    held = TRY(OpenPathAt(at, name));
    at = held.get();
  }
  return at;
}

FileReply Failed(Errno error) { return {.error = static_cast<int32_t>(error), .attributes = {}}; }

}  // namespace

template <class Visit>
Result<void> Server::ForEachFile(const Node& from, Reader& in, size_t most, Visit visit) {
  auto request = in.Take<FilesRequest>();
  if (!request || request->count == 0 || request->count > most || request->depth > kMaxWalkNames) return Malformed();
  Names names = TRY(TakeNames(in, request->depth + request->count));
  Fd held;
  const int directory = TRY(WalkDown(from, {names.data(), request->depth}, held));
  for (std::string_view name : std::span(names).subspan(request->depth)) visit(directory, name);
  return {};
}

Result<void> Server::OpenFiles(Node& parent, Reader& in, Writer& out, Donated& donated) {
  return ForEachFile(parent, in, kMaxOpenFiles, [&](int directory, std::string_view name) {
    FileReply file{};
    auto open = [&]() -> Result<Fd> {
      // Opening by name takes half as long as finding the file and opening what was found, but it may be another one then.
      TRY(CheckRegular(TRY(StatChild(directory, CName(name).get())).mode & S_IFMT));
      Fd fd = TRY(OpenFileAt(directory, name));
      file.attributes = TRY(StatPath(fd.get()));
      TRY(CheckRegular(file.attributes.mode & S_IFMT));
      return fd;
    };
    Result<Fd> fd = open();
    if (fd.ok()) donated.push_back(std::move(fd).value());
    out.Put(fd.ok() ? file : Failed(fd.error()));
  });
}

Result<void> Server::StatFiles(Node& parent, Reader& in, Writer& out) {
  return ForEachFile(parent, in, kMaxStatFiles, [&](int directory, std::string_view name) {
    Result<WireAttributes> attributes = StatChild(directory, CName(name).get());
    out.Put(attributes.ok() ? FileReply{.error = 0, .attributes = *attributes} : Failed(attributes.error()));
  });
}

Result<void> Server::ListTrees(Node& parent, Reader& in, Writer& out) {
  auto request = in.Take<ListTreesRequest>();
  if (!request || request->count == 0 || request->count > kMaxListTrees || request->depth > kMaxWalkNames) return Malformed();
  Names names = TRY(TakeNames(in, request->depth + request->count));
  if (request->attributes > kLastAttributes) return Errno::kEINVAL;
  tree_.reset();
  Fd held;
  (void)TRY(WalkDown(parent, {names.data(), request->depth}, held));
  if (!held.valid()) held = TRY(parent.path.Dup());
  TreeWalk walk(std::move(held), {names.begin() + request->depth, names.end()});
  auto attributes = static_cast<Attributes>(request->attributes);
  TRY(walk.ListNext(out, attributes));
  walk.Fill(out, request->budget, attributes);
  tree_ = std::move(walk);
  return {};
}

Result<void> Server::ListMore(Reader& in, Writer& out) {
  auto request = in.Take<ListMoreRequest>();
  if (!request || !Finished(in)) return Malformed();
  if (request->attributes > kLastAttributes) return Errno::kEINVAL;
  if (tree_) tree_->Fill(out, request->budget, static_cast<Attributes>(request->attributes));
  return {};
}

}  // namespace gofer
