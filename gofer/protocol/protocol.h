#pragma once

// The wire between the gofer client in the Sentry and the gofer process: SOCK_SEQPACKET, one request or reply a message, fixed little-endian
// structs followed by the variable bytes they announce. Both ends treat what they receive as hostile.
//
// Request:  RequestHeader, the struct of its opcode, bytes.
// Reply:    ReplyHeader, and when error == 0 the struct of the opcode, bytes; at most one descriptor (SCM_RIGHTS), except for kOpenFiles.
// Names are single components: a length byte, then the bytes, no NUL.

#include <cstddef>
#include <cstdint>

namespace gofer {

// Fits a whole extended attribute (64 kB) with its headers.
inline constexpr size_t kMaxMessage = 68 * 1024;
inline constexpr size_t kMaxName = 255;
inline constexpr size_t kMaxTarget = 4095;  // of a symbolic link
inline constexpr size_t kMaxXattrValue = 64 * 1024;
inline constexpr size_t kMaxWalkNames = 64;
inline constexpr size_t kMaxCloseHandles = 1024;
inline constexpr size_t kMaxOpenFiles = 32;     // by one kOpenFiles
inline constexpr size_t kMaxStatFiles = 256;    // by one kStatFiles
inline constexpr size_t kMaxListTrees = 64;     // names of one kListTrees
inline constexpr uint32_t kMaxTreeDepth = 16;   // how far below a name kListTrees goes

// An object of the server, valid until closed: a slot of its table and the slot's generation. 0 is never valid.
using Handle = uint64_t;

enum class Opcode : uint16_t {
  kAttach = 1,  // AttachRequest -> AttachReply
  kWalk,        // WalkRequest, names -> WalkReply, nodes, target; descriptor
  kOpen,        // OpenRequest -> nothing; descriptor
  kCreate,      // CreateRequest, name -> CreateReply; descriptor (read-write)
  kCreateUnnamed,  // CreateRequest without a name -> CreateReply; descriptor (read-write)
  kMkdir,       // CreateRequest, name -> CreateReply
  kMknod,       // CreateRequest, name -> CreateReply
  kSymlink,     // CreateRequest, name, target -> CreateReply
  kLink,        // LinkRequest, name -> CreateReply (its node's handle is 0: the target's stays in use)
  kUnlink,      // UnlinkRequest, name -> WireAttributes of the parent
  kRename,      // RenameRequest, two names -> RenameReply
  kSetAttr,     // SetAttrRequest -> WireAttributes
  kStat,        // nothing -> WireAttributes
  kReadLink,    // nothing -> bytes
  kReadDir,     // ReadDirRequest -> ReadDirReply, entries
  kStatFs,      // nothing -> WireStatFs
  kGetXattr,    // XattrRequest, name -> bytes
  kSetXattr,    // XattrRequest, name, value -> nothing
  kListXattr,   // nothing -> names, each with its NUL
  kRemoveXattr,  // XattrRequest, name -> nothing
  kSync,        // SyncRequest -> nothing
  kOpenFiles,   // FilesRequest, path, names; the next -> FileReply for each; descriptors (read-only) of those without an error, in order
  kStatFiles,   // FilesRequest, path, names; the next -> FileReply for each
  kListTrees,   // ListTreesRequest, path, names -> WireListing, entries; then the next listing
  kListMore,    // ListMoreRequest -> what follows the last kListTrees or kListMore, in the same form; nothing at the end; no handle
  kClose,       // CloseRequest, handles; has no reply
};
inline constexpr uint16_t kLastOpcode = static_cast<uint16_t>(Opcode::kClose);

struct [[gnu::packed]] RequestHeader {
  uint16_t opcode;
  uint16_t cpu;       // advice where to run, plus 1: where the caller waits (vfs/fs/gofer/placement.h); 0: anywhere
  uint32_t id;        // copied to the reply
  Handle handle;      // what the request is about: the parent directory where there are names; unused by kAttach and kClose
};

struct [[gnu::packed]] ReplyHeader {
  uint32_t id;
  int32_t error;        // 0 or a positive errno value
  uint32_t service_ns;  // how long the server worked on it
  uint16_t cpu;         // where, plus 1
  uint16_t reserved;
};

struct [[gnu::packed]] WireAttributes {
  uint64_t dev, ino, rdev, size, blocks;
  int64_t atime, mtime, ctime, btime;  // nanoseconds; btime 0: not known
  uint32_t mode, nlink, uid, gid, blksize, reserved;
};
static_assert(sizeof(WireAttributes) == 96);

struct [[gnu::packed]] WireNode {
  Handle handle;
  WireAttributes attributes;
};

struct [[gnu::packed]] AttachRequest {
  uint32_t export_index;
};
struct [[gnu::packed]] AttachReply {
  WireNode node;
  uint32_t read_only;
};

// What to do with the last component of a walk besides naming it, if it is a regular file.
inline constexpr uint32_t kWalkOpen = uint32_t{1} << 31;  // with an access mode in the bits below

struct [[gnu::packed]] WalkRequest {
  uint16_t count;  // of names; 1 to kMaxWalkNames
  uint16_t reserved;
  uint32_t open_flags;  // 0, or kWalkOpen and one of O_RDONLY, O_RDWR
};
// The walk stops at the first name that is missing, at a symbolic link (whose target follows the nodes), and at anything else that is no
// directory. count == 0 comes with an error in ReplyHeader instead.
struct [[gnu::packed]] WalkReply {
  uint16_t count;        // of nodes; fewer than names where it stopped
  uint16_t target_size;  // of the last node, when it is a symbolic link
  int32_t error;         // why it stopped: 0 when it did not, or at a symbolic link
  int32_t open_error;    // why there is no descriptor, where one was asked for; 0 also where the last node is no regular file
};

struct [[gnu::packed]] OpenRequest {
  uint32_t flags;  // O_RDONLY, O_WRONLY or O_RDWR; regular files only
};

struct [[gnu::packed]] CreateRequest {
  uint32_t mode;  // permission bits; for kMknod with the type: S_IFREG, S_IFIFO or S_IFSOCK
  uint32_t uid, gid;
  uint16_t target_size;  // kSymlink
  uint16_t reserved;
};
struct [[gnu::packed]] CreateReply {
  WireNode node;
  WireAttributes parent;
};

struct [[gnu::packed]] LinkRequest {
  Handle target;
};

struct [[gnu::packed]] UnlinkRequest {
  uint32_t flags;  // 0 or AT_REMOVEDIR
};

struct [[gnu::packed]] RenameRequest {
  Handle new_parent;
  uint32_t flags;  // RENAME_NOREPLACE, RENAME_EXCHANGE
};
struct [[gnu::packed]] RenameReply {
  WireAttributes old_parent, new_parent;
};

struct [[gnu::packed]] SetAttrRequest {
  enum Valid : uint32_t { kMode = 1, kUid = 2, kGid = 4, kSize = 8, kAtime = 16, kMtime = 32, kAtimeNow = 64, kMtimeNow = 128 };
  static constexpr uint32_t kAll = 255;
  uint32_t valid;
  uint32_t mode, uid, gid;
  uint64_t size;
  int64_t atime, mtime;
};

// Which entries of a listing come with attributes.
enum class Attributes : uint32_t {
  kNone,
  kSome,  // all but regular files, where d_ino is what stat would say, as far as the first of them shows
  kAll,
};
inline constexpr uint32_t kLastAttributes = static_cast<uint32_t>(Attributes::kAll);

struct [[gnu::packed]] ReadDirRequest {
  int64_t cookie;  // 0: from the start; otherwise the next of an entry told before
  uint32_t attributes;
};
struct [[gnu::packed]] ReadDirReply {
  uint32_t count;
  uint32_t end;  // 1: nothing follows these
};
// An entry is this, WireAttributes if it has some, and the name.
struct [[gnu::packed]] WireDirent {
  int64_t next;
  uint64_t ino;
  uint8_t type;  // DT_*
  uint8_t name_size;
  uint8_t has_attributes;
  uint8_t reserved;
};

// Names files of a directory: to open regular ones, or to tell of any. No handles are made. Where the path leads nowhere, the replies for its
// files say why.
struct [[gnu::packed]] FilesRequest {
  uint16_t count;  // of names; at least 1, and with those of the other requests of the message up to kMaxOpenFiles or kMaxStatFiles
  uint16_t depth;  // so many names before them are the path from the handle to the directory; up to kMaxWalkNames
};
struct [[gnu::packed]] FileReply {
  int32_t error;
  WireAttributes attributes;  // zeroes with an error
};

// Lists subdirectories of a directory, and what is below them, as a walk through the tree would: a directory, then each of its
// subdirectories with all below it, then the next name. No handles are made. Only whole directories are told of: one that does not fit into the
// message ends the reply; when it is the first, the error is EFBIG. Directories on other devices are left out.
struct [[gnu::packed]] ListTreesRequest {
  uint16_t count;   // of names; 1 to kMaxListTrees
  uint16_t depth;   // as in FilesRequest
  uint32_t budget;  // another directory is begun only while the reply is smaller than this
  uint32_t attributes;
};
struct [[gnu::packed]] ListMoreRequest {
  uint32_t budget;
  uint32_t attributes;
};
struct [[gnu::packed]] WireListing {
  uint64_t dev, ino;  // of the directory
  uint32_t count;
};

struct [[gnu::packed]] WireStatFs {
  uint64_t type, block_size, blocks, blocks_free, blocks_available, files, files_free, name_max, fragment_size;
};

struct [[gnu::packed]] XattrRequest {
  uint32_t flags;       // kSetXattr: XATTR_CREATE, XATTR_REPLACE
  uint32_t value_size;  // kSetXattr
};

struct [[gnu::packed]] SyncRequest {
  uint32_t whole_file_system;  // 1: syncfs(2); 0: fsync(2)
};

struct [[gnu::packed]] CloseRequest {
  uint32_t count;
};

}  // namespace gofer
