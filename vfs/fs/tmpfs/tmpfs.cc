#include "vfs/fs/tmpfs/tmpfs.h"

#include <linux/magic.h>
#include <unistd.h>

#include <cstdio>
#include <optional>

#include "base/memory_file.h"
#include "vfs/file_system_type.h"
#include "vfs/fs/tmpfs/directory.h"

namespace tmpfs {

namespace {

struct Options {
  std::optional<uint64_t> max_pages, max_inodes;
  std::optional<uint32_t> mode;
  std::optional<uid_t> uid;
  std::optional<gid_t> gid;
};

Result<uint64_t> ParseNumber(std::string_view text, int base = 10) {
  uint64_t value = 0;
  if (text.empty()) return Errno::kEINVAL;
  for (char c : text) {
    if (c < '0' || c >= '0' + base || value > (UINT64_MAX >> 8)) return Errno::kEINVAL;
    value = value * static_cast<uint64_t>(base) + static_cast<uint64_t>(c - '0');
  }
  return value;
}

// "64k", "1G", "10%" (of the machine's memory), plain bytes.
Result<uint64_t> ParseSize(std::string_view text) {
  uint64_t factor = 1;
  bool percent = false;
  if (!text.empty()) {
    switch (text.back()) {
      case 'k': case 'K': factor = uint64_t{1} << 10; break;
      case 'm': case 'M': factor = uint64_t{1} << 20; break;
      case 'g': case 'G': factor = uint64_t{1} << 30; break;
      case 't': case 'T': factor = uint64_t{1} << 40; break;
      case '%': percent = true; break;
    }
    if (factor != 1 || percent) text.remove_suffix(1);
  }
  uint64_t value = TRY(ParseNumber(text));
  if (percent) {
    long pages = sysconf(_SC_PHYS_PAGES);
    return pages > 0 ? static_cast<uint64_t>(pages) * kPageSize / 100 * value : 0;
  }
  if (__builtin_mul_overflow(value, factor, &value)) return Errno::kEINVAL;
  return value;
}

Result<Options> ParseOptions(std::string_view text, const Credentials& creds) {
  Options options;
  for (const vfs::MountOption& option : vfs::ParseMountOptions(text)) {
    if (option.name == "size") {
      options.max_pages = (TRY(ParseSize(option.value)) + kPageSize - 1) / kPageSize;
    } else if (option.name == "nr_blocks") {
      options.max_pages = TRY(ParseSize(option.value));
    } else if (option.name == "nr_inodes") {
      options.max_inodes = TRY(ParseSize(option.value));
    } else if (option.name == "mode") {
      options.mode = static_cast<uint32_t>(TRY(ParseNumber(option.value, 8))) & 07777;
    } else if (option.name == "uid" || option.name == "gid") {
      uint64_t number = TRY(ParseNumber(option.value));
      if (number >= UINT32_MAX) return Errno::kEINVAL;
      auto id = static_cast<uint32_t>(number);
      const auto& ns = creds.user_ns;
      if (ns) id = option.name == "uid" ? ns->UidToKernel(id) : ns->GidToKernel(id);
      if (id == UINT32_MAX) return Errno::kEINVAL;
      (option.name == "uid" ? options.uid : options.gid) = id;
    } else if (option.name == "huge" || option.name == "mpol" || option.name == "inode32" || option.name == "inode64" ||
               option.name == "noswap" || option.name == "rootcontext" || option.name == "context") {
      // Nothing that could be seen.
    } else {
      return Errno::kEINVAL;
    }
  }
  return options;
}

}  // namespace

TmpFileSystem::TmpFileSystem(std::string name, std::string source)
    : FileSystem(std::move(name), std::move(source)), space_(MakeRef<Space>()) {}

TmpFileSystem::~TmpFileSystem() = default;

Result<RefPtr<TmpFileSystem>> TmpFileSystem::Create(std::string source, std::string_view options_text, const Credentials& creds,
                                                    std::string name) {
  Options options = TRY(ParseOptions(options_text, creds));
  auto fs = RefPtr<TmpFileSystem>::Adopt(new TmpFileSystem(std::move(name), std::move(source)));
  fs->space_->max_pages = options.max_pages.value_or(0);
  fs->space_->max_inodes = options.max_inodes.value_or(0);
  fs->mode_ = options.mode.value_or(01777);
  vfs::CreateOptions root{.mode = S_IFDIR | fs->mode_,
                          .uid = options.uid.value_or(creds.fsuid),
                          .gid = options.gid.value_or(creds.fsgid)};
  fs->space_->inodes++;
  fs->root_ = MakeRef<Directory>(fs.get(), root);
  return fs;
}

RefPtr<vfs::Inode> TmpFileSystem::root() { return root_; }

Result<struct statfs> TmpFileSystem::StatFs() {
  // Without a limit, a size that satisfies programs which look before they write.
  constexpr uint64_t kUnlimitedPages = (uint64_t{256} << 30) / kPageSize;
  constexpr uint64_t kUnlimitedInodes = uint64_t{1} << 24;
  const Space& space = *space_;
  auto free = [](uint64_t max, uint64_t used) { return used < max ? max - used : 0; };
  struct statfs st = {};
  st.f_type = TMPFS_MAGIC;
  st.f_bsize = st.f_frsize = kPageSize;
  st.f_blocks = space.max_pages != 0 ? space.max_pages : kUnlimitedPages;
  st.f_bfree = st.f_bavail = free(st.f_blocks, space.pages);
  st.f_files = space.max_inodes != 0 ? space.max_inodes : kUnlimitedInodes;
  st.f_ffree = free(st.f_files, space.inodes);
  st.f_namelen = 255;
  return st;
}

std::string TmpFileSystem::MountOptions() {
  std::string text;
  auto add = [&text](std::string_view name, const std::string& value) {
    if (!text.empty()) text += ',';
    text += name;
    text += value;
  };
  if (space_->max_pages != 0) add("size=", std::to_string(space_->max_pages * kPageSize / 1024) + "k");
  if (space_->max_inodes != 0) add("nr_inodes=", std::to_string(space_->max_inodes));
  if (mode_ != 01777) {
    char octal[8];
    snprintf(octal, sizeof octal, "%03o", mode_);
    add("mode=", octal);
  }
  return text;
}

Result<void> TmpFileSystem::Remount(unsigned long, std::string_view text) {
  auto creds = MakeRef<Credentials>();
  Options options = TRY(ParseOptions(text, *creds));
  if (options.max_pages.value_or(0) != 0 && *options.max_pages < space_->pages) return Errno::kEINVAL;
  if (options.max_inodes.value_or(0) != 0 && *options.max_inodes < space_->inodes) return Errno::kEINVAL;
  if (options.max_pages) space_->max_pages = *options.max_pages;
  if (options.max_inodes) space_->max_inodes = *options.max_inodes;
  return {};
}

void Register() {
  for (const char* name : {"tmpfs", "ramfs"}) {
    vfs::RegisterFileSystemType(
        {.name = name, .user_mountable = true, .create = [name](const vfs::MountRequest& request) -> Result<RefPtr<vfs::FileSystem>> {
           return RefPtr<vfs::FileSystem>(TRY(TmpFileSystem::Create(request.source, request.options, *request.context.creds, name)));
         }});
  }
}

}  // namespace tmpfs
