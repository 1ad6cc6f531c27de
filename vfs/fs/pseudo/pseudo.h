#pragma once

// What file systems made of code (proc, sys) are built from: generated files, directories whose entries code decides, and
// links. All inodes are read-only as names: nothing can be created, removed or renamed.

#include <functional>
#include <string>
#include <vector>

#include "vfs/file_description.h"
#include "vfs/inode.h"

namespace pseudo {

// An inode with attributes that do not change by themselves. Subclasses may override owner() and Stat().
class Node : public vfs::Inode {
 public:
  Node(vfs::FileSystem* fs, uint32_t mode) : Inode(fs), mode_(mode), ino_(fs->NextIno()) {}

  Result<vfs::Attributes> Stat() override;
  uint32_t type() const override { return mode_ & S_IFMT; }
  uint64_t ino() const { return ino_; }

  // Who owns it: root unless set.
  struct Owner {
    uid_t uid = 0;
    gid_t gid = 0;
  };
  std::function<Owner()> owner;

 protected:
  const uint32_t mode_;
  const uint64_t ino_;
};

// A file whose content is made when it is read from its start. `write` gets what one write(2) brings, without the last
// newline; null: not writable.
class File final : public Node {
 public:
  using Generate = std::function<Result<std::string>()>;
  using Accept = std::function<Result<void>(std::string_view)>;
  File(vfs::FileSystem* fs, uint32_t mode, Generate generate, Accept accept = nullptr)
      : Node(fs, S_IFREG | mode), generate_(std::move(generate)), accept_(std::move(accept)) {}

  Result<void> SetAttr(const vfs::SetAttributes& changes) override;  // truncation to nothing before a write is accepted
  Result<RefPtr<vfs::FileDescription>> Open(const vfs::OpenOptions& options, const Credentials& creds) override;

 private:
  friend class GeneratedFileDescription;
  const Generate generate_;
  const Accept accept_;
};

class Link final : public Node {
 public:
  using Target = std::function<Result<std::string>()>;
  Link(vfs::FileSystem* fs, Target target) : Node(fs, S_IFLNK | 0777), target_(std::move(target)) {}
  Result<std::string> ReadLink(const Credentials&) override { return target_(); }
  Result<RefPtr<vfs::FileDescription>> Open(const vfs::OpenOptions&, const Credentials&) override { return Errno::kELOOP; }

 private:
  const Target target_;
};

// A directory that says what is in it. Offsets of readdir are positions in the list, behind "." and "..".
class Directory : public Node {
 public:
  explicit Directory(vfs::FileSystem* fs, uint32_t mode = 0555) : Node(fs, S_IFDIR | mode) {}
  struct Entry {
    std::string name;
    uint64_t ino;
    uint8_t type;  // DT_*
  };
  virtual std::vector<Entry> List() = 0;
  // The error of creat(2), mkdir(2) and the like: in proc a name that is not there cannot come to be.
  Errno no_creation() const;
  Result<RefPtr<vfs::Inode>> Create(std::string_view, const vfs::CreateOptions&) override { return no_creation(); }
  Result<RefPtr<vfs::Inode>> Mkdir(std::string_view, const vfs::CreateOptions&) override { return no_creation(); }
  Result<RefPtr<vfs::Inode>> Mknod(std::string_view, const vfs::CreateOptions&) override { return no_creation(); }
  Result<RefPtr<vfs::Inode>> Symlink(std::string_view, std::string_view, const vfs::CreateOptions&) override {
    return no_creation();
  }
  Result<RefPtr<vfs::FileDescription>> Open(const vfs::OpenOptions& options, const Credentials& creds) override;
};

// Entries fixed at start-up, in the order of Add.
class StaticDirectory : public Directory {
 public:
  using Directory::Directory;
  void Add(std::string name, RefPtr<Node> node) { entries_.emplace_back(std::move(name), std::move(node)); }
  // Add for a generated file.
  void AddFile(std::string name, uint32_t mode, File::Generate generate, File::Accept accept = nullptr) {
    Add(std::move(name), MakeRef<File>(fs_, mode, std::move(generate), std::move(accept)));
  }
  void AddText(std::string name, std::string text) {
    AddFile(std::move(name), 0444, [text = std::move(text)]() -> Result<std::string> { return text; });
  }
  // The directory `name`, made if it is not there.
  StaticDirectory& Subdirectory(std::string_view name);
  Result<RefPtr<vfs::Inode>> Lookup(std::string_view name) override;
  std::vector<Entry> List() override;

 private:
  std::vector<std::pair<std::string, RefPtr<Node>>> entries_;
};

}  // namespace pseudo
