// Several files in one call, for a client that goes through a tree: opening the files of a directory, and listing directories with what is below
// them.

#include <fcntl.h>
#include <sys/stat.h>

#include <span>

#include "base/host.h"
#include "gofer/server.h"

namespace gofer {

namespace {

// Goes from a node down to one directory after the other, by way of what their paths have in common. A link on the way is met as a link, where
// ENOTDIR says so.
class Descent {
 public:
  explicit Descent(const Node& from) : from_(from.path) {}

  // Good until the next call, like the names.
  Result<int> To(std::span<const std::string_view> path) {
    size_t common = 0;
    while (common < levels_.size() && common < path.size() && levels_[common].name == path[common]) common++;
    levels_.erase(levels_.begin() + static_cast<ptrdiff_t>(common), levels_.end());
    for (std::string_view name : path.subspan(common)) levels_.push_back({name, TRY(OpenPathAt(at(), name))});
    return at();
  }
  // A descriptor of where it has come.
  Result<Fd> Take() { return levels_.empty() ? from_.Dup() : std::move(levels_.back().directory); }

 private:
  struct Level {
    std::string_view name;
    Fd directory;
  };
  int at() const { return (levels_.empty() ? from_ : levels_.back().directory).get(); }

  const Fd& from_;
  absl::InlinedVector<Level, 4> levels_;
};

FileReply Failed(Errno error) { return {.error = static_cast<int32_t>(error), .attributes = {}}; }

}  // namespace

template <class Visit>
Result<void> Server::ForEachFile(const Node& from, Reader& in, size_t most, Visit visit) {
  Descent descent(from);
  do {
    auto request = in.Take<FilesRequest>();
    if (!request || request->count == 0 || request->count > most || request->depth > kMaxWalkNames) return Malformed();
    most -= request->count;
    Names names = TRY(TakeNames(in, request->depth + request->count));
    Result<int> directory = descent.To({names.data(), request->depth});
    for (std::string_view name : std::span(names).subspan(request->depth)) visit(directory, name);
  } while (!in.AtEnd());
  return {};
}

Result<void> Server::OpenFiles(Node& parent, Reader& in, Writer& out, Donated& donated) {
  return ForEachFile(parent, in, kMaxOpenFiles, [&](Result<int> directory, std::string_view name) {
    FileReply file{};
    auto open = [&]() -> Result<Fd> {
      // Opening by name takes half as long as finding the file and opening what was found, but it may be another one then.
      const int at = TRY(directory);
      TRY(CheckRegular(TRY(StatChild(at, CName(name).get())).mode & S_IFMT));
      Fd fd = TRY(OpenFileAt(at, name));
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
  return ForEachFile(parent, in, kMaxStatFiles, [&](Result<int> directory, std::string_view name) {
    Result<WireAttributes> attributes = directory.ok() ? StatChild(*directory, CName(name).get()) : directory.error();
    out.Put(attributes.ok() ? FileReply{.error = 0, .attributes = *attributes} : Failed(attributes.error()));
  });
}

Result<void> Server::ListTrees(Node& parent, Reader& in, Writer& out) {
  auto request = in.Take<ListTreesRequest>();
  if (!request || request->count == 0 || request->count > kMaxListTrees || request->depth > kMaxWalkNames) return Malformed();
  Names names = TRY(TakeNames(in, request->depth + request->count));
  if (!Finished(in)) return Malformed();
  if (request->attributes > kLastAttributes) return Errno::kEINVAL;
  tree_.reset();
  Descent descent(parent);
  TRY(descent.To({names.data(), request->depth}));
  TreeWalk walk(TRY(descent.Take()), {names.begin() + request->depth, names.end()});
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
