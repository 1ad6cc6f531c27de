#include "vfs/fs/pseudo/pseudo.h"

#include <dirent.h>

#include "base/event_loop.h"

namespace pseudo {

Result<vfs::Attributes> Node::Stat() {
  vfs::Attributes attr;
  attr.dev = fs_->dev();
  attr.ino = ino_;
  attr.mode = mode_;
  attr.nlink = S_ISDIR(mode_) ? 2 : 1;
  attr.blksize = 1024;
  if (owner) {
    Owner who = owner();
    attr.uid = who.uid;
    attr.gid = who.gid;
  }
  attr.atime = attr.mtime = attr.ctime = base::RealtimeNow();
  return attr;
}

// The content is made at the first read and kept until the position is set back to the start, so that a reader of several
// pieces sees one state.
class GeneratedFileDescription final : public vfs::FileDescription {
 public:
  explicit GeneratedFileDescription(RefPtr<File> file) : file_(std::move(file)) {}

  Result<size_t> ReadAt(const IoVec& to, uint64_t offset, int) override {
    if (!made_ || offset == 0) {
      content_ = TRY(file_->generate_());
      made_ = true;
    }
    if (offset >= content_.size()) return 0;
    size_t n = std::min(to.size(), content_.size() - offset);
    size_t copied = to.Write(0, content_.data() + offset, n);
    if (copied == 0 && n > 0) return Errno::kEFAULT;
    return copied;
  }
  Result<size_t> WriteAt(const IoVec& from, uint64_t, int) override {
    if (!file_->accept_) return Errno::kEACCES;
    std::string text(std::min(from.size(), size_t{65536}), 0);
    if (from.Read(0, text.data(), text.size()) < text.size()) return Errno::kEFAULT;
    size_t size = text.size();
    if (!text.empty() && text.back() == '\n') text.pop_back();
    TRY(file_->accept_(text));
    made_ = false;
    return size;
  }

 private:
  const RefPtr<File> file_;
  std::string content_;
  bool made_ = false;
};

Result<void> File::SetAttr(const vfs::SetAttributes& changes) {
  if (changes.valid == vfs::SetAttributes::kSize && accept_) return {};
  return Errno::kEPERM;
}

Result<RefPtr<vfs::FileDescription>> File::Open(const vfs::OpenOptions&, const Credentials&) {
  return RefPtr<vfs::FileDescription>(MakeRef<GeneratedFileDescription>(RefPtr<File>(this)));
}

namespace {

class DirectoryDescription final : public vfs::FileDescription {
 public:
  explicit DirectoryDescription(RefPtr<Directory> directory) : directory_(std::move(directory)) {}

  Result<void> ReadDir(absl::FunctionRef<bool(const vfs::DirectoryEntry&)> emit) override {
    std::vector<Directory::Entry> entries = directory_->List();
    entries.insert(entries.begin(), {Directory::Entry{".", directory_->ino(), DT_DIR}, Directory::Entry{"..", directory_->ino(), DT_DIR}});
    for (uint64_t i = offset_; i < entries.size(); i++) {
      if (!emit({.name = entries[i].name, .ino = entries[i].ino, .type = entries[i].type, .next_offset = static_cast<int64_t>(i + 1)})) break;
      offset_ = i + 1;
    }
    return {};
  }
  Result<size_t> ReadAt(const IoVec&, uint64_t, int) override { return Errno::kEISDIR; }
  Result<void> Sync(bool) override { return {}; }

 private:
  const RefPtr<Directory> directory_;
};

}  // namespace

Errno Directory::no_creation() const { return fs().name() == "proc" ? Errno::kENOENT : Errno::kEPERM; }

Result<RefPtr<vfs::FileDescription>> Directory::Open(const vfs::OpenOptions&, const Credentials&) {
  return RefPtr<vfs::FileDescription>(MakeRef<DirectoryDescription>(RefPtr<Directory>(this)));
}

StaticDirectory& StaticDirectory::Subdirectory(std::string_view name) {
  for (auto& [entry, node] : entries_) {
    if (entry == name) return static_cast<StaticDirectory&>(*node);
  }
  auto directory = MakeRef<StaticDirectory>(fs_);
  StaticDirectory& made = *directory;
  Add(std::string(name), std::move(directory));
  return made;
}

Result<RefPtr<vfs::Inode>> StaticDirectory::Lookup(std::string_view name) {
  for (auto& [entry, node] : entries_) {
    if (entry == name) return RefPtr<vfs::Inode>(node);
  }
  return Errno::kENOENT;
}

std::vector<Directory::Entry> StaticDirectory::List() {
  std::vector<Entry> out;
  for (auto& [name, node] : entries_) out.push_back({name, node->ino(), static_cast<uint8_t>(IFTODT(node->type()))});
  return out;
}

}  // namespace pseudo
