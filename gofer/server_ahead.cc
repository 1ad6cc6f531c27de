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

}  // namespace

Result<void> Server::OpenFiles(Node& parent, Reader& in, Writer& out, Donated& donated) {
  auto request = in.Take<OpenFilesRequest>();
  if (!request || request->count == 0 || request->count > kMaxOpenFiles || request->depth > kMaxWalkNames) return Malformed();
  Names names = TRY(TakeNames(in, request->depth + request->count));
  Fd held;
  const int directory = TRY(WalkDown(parent, {names.data(), request->depth}, held));
  for (std::string_view name : std::span(names).subspan(request->depth)) {
    OpenedFile file{};
    auto open = [&]() -> Result<Fd> {
      Fd path = TRY(OpenPathAt(directory, name));
      file.attributes = TRY(StatPath(path.get()));
      return OpenRegular(path.get(), file.attributes.mode & S_IFMT, O_RDONLY);
    };
    Result<Fd> fd = open();
    if (fd.ok()) {
      donated.push_back(std::move(fd).value());
    } else {
      file = {.error = static_cast<int32_t>(fd.error()), .attributes = {}};
    }
    out.Put(file);
  }
  return {};
}

Result<void> Server::StatFiles(Node& parent, Reader& in, Writer& out) {
  auto request = in.Take<StatFilesRequest>();
  if (!request || request->count == 0 || request->count > kMaxStatFiles || request->depth > kMaxWalkNames) return Malformed();
  Names names = TRY(TakeNames(in, request->depth + request->count));
  Fd held;
  const int directory = TRY(WalkDown(parent, {names.data(), request->depth}, held));
  for (std::string_view name : std::span(names).subspan(request->depth)) {
    Result<WireAttributes> attributes = StatChild(directory, CName(name).get());
    out.Put(attributes.ok() ? StatedFile{.error = 0, .attributes = *attributes}
                            : StatedFile{.error = static_cast<int32_t>(attributes.error()), .attributes = {}});
  }
  return {};
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
