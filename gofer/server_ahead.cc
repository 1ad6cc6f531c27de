// Several files in one call, for a client that goes through a tree: opening the files of a directory, and listing directories with what is below
// them.

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <span>

#include "base/host.h"
#include "gofer/server.h"

namespace gofer {

namespace {

// What ListTrees says of the trees below one directory.
class TreeLister {
 public:
  TreeLister(Writer& out, size_t budget) : out_(out), budget_(budget) {}

  // Whether another directory may be begun.
  bool wants_more() const { return !full_ && out_.size() < budget_; }

  // `dev`: the device that it must be on, if it matters. EFBIG where the message has no room for it.
  Result<void> List(int parent, const char* name, const uint64_t* dev, uint32_t depth) {
    Fd directory = TRY(OpenDirectoryAt(parent, name));
    WireAttributes attributes = TRY(StatPath(directory.get()));
    uint64_t here = attributes.dev;
    if (dev != nullptr && here != *dev) return Errno::kEXDEV;
    size_t start = out_.size();
    Result<std::string_view> entries = PutListing(directory.get(), attributes);
    if (!entries.ok()) {
      out_.Truncate(start);
      full_ = entries.error() == Errno::kEFBIG;
      return entries.error();
    }
    Reader in(entries->data(), entries->size());
    while (auto entry = in.Take<WireDirent>()) {
      std::string_view child = *in.TakeBytes(entry->name_size);
      if (!S_ISDIR(entry->attributes.mode) || depth == kMaxTreeDepth) continue;
      if (!wants_more()) break;
      // One that cannot be listed is for the client to ask for, if it wants it.
      (void)List(directory.get(), CName(child).get(), &here, depth + 1);
    }
    return {};
  }

 private:
  // The bytes of the entries.
  Result<std::string_view> PutListing(int directory, const WireAttributes& attributes) {
    if (out_.room() < sizeof(WireListing)) return Errno::kEFBIG;
    WireListing listing{.dev = attributes.dev, .ino = attributes.ino, .count = 0};
    size_t at = out_.Reserve<WireListing>();
    size_t start = out_.size();
    while (long size = TRY(HOST(syscall(SYS_getdents64, directory, buffer_, sizeof buffer_)))) {
      // Before anybody is asked for attributes.
      size_t needed = 0;
      ForEach(size, [&](const LinuxDirent&, std::string_view name) { needed += sizeof(WireDirent) + name.size(); });
      if (needed > out_.room()) return Errno::kEFBIG;
      ForEach(size, [&](const LinuxDirent& entry, std::string_view) {
        PutEntry(directory, entry, true, out_);
        listing.count++;
      });
    }
    out_.Fill(at, listing);
    return std::string_view(out_.data() + start, out_.size() - start);
  }

  template <class Visit>
  void ForEach(long size, Visit visit) const {
    for (long at = 0; at < size;) {
      auto* entry = reinterpret_cast<const LinuxDirent*>(buffer_ + at);
      at += entry->d_reclen;
      std::string_view name(entry->d_name);
      if (ValidName(name)) visit(*entry, name);
    }
  }

  Writer& out_;
  const size_t budget_;
  bool full_ = false;
  alignas(LinuxDirent) char buffer_[16 * 1024];
};

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

Result<void> Server::ListTrees(Node& parent, Reader& in, Writer& out) {
  auto request = in.Take<ListTreesRequest>();
  if (!request || request->count == 0 || request->count > kMaxListTrees || request->depth > kMaxWalkNames) return Malformed();
  Names names = TRY(TakeNames(in, request->depth + request->count));
  Fd held;
  const int directory = TRY(WalkDown(parent, {names.data(), request->depth}, held));
  TreeLister lister(out, request->budget);
  TRY(lister.List(directory, CName(names[request->depth]).get(), nullptr, 0));
  for (size_t i = request->depth + 1u; i < names.size() && lister.wants_more(); i++) {
    (void)lister.List(directory, CName(names[i]).get(), nullptr, 0);
  }
  return {};
}

}  // namespace gofer
