#pragma once

// What the file system calls do, with the checks that Linux makes around inode operations: permissions, sticky bits,
// read-only mounts, name rules, dentry upkeep, inotify events. One function a call family; names come as (context, name).

#include <string>
#include <string_view>

#include "vfs/file_description.h"
#include "vfs/path_walk.h"

namespace vfs {

// open(2), openat2(2): `flags` O_*, `mode` permission bits for creation with the umask already applied.
Result<RefPtr<FileDescription>> Open(const WalkContext& context, std::string_view name, int flags, uint32_t mode,
                                     uint64_t resolve = 0);
// Opens a place that a walk or a magic link found (execve, /proc/self/fd reopen). Checks permission.
Result<RefPtr<FileDescription>> OpenPath(const WalkContext& context, const Path& place, int flags);

Result<void> Mkdir(const WalkContext& context, std::string_view name, uint32_t mode);
Result<void> Mknod(const WalkContext& context, std::string_view name, uint32_t mode, uint64_t rdev);
// As Mknod, but returns the new place: bind(2) of unix sockets.
Result<Path> MknodPath(const WalkContext& context, std::string_view name, uint32_t mode, uint64_t rdev);
Result<void> Symlink(const WalkContext& context, std::string_view target, std::string_view name);
Result<void> Link(const WalkContext& old_context, const Path& old_place, const WalkContext& new_context, std::string_view new_name);
Result<void> Unlink(const WalkContext& context, std::string_view name);
Result<void> Rmdir(const WalkContext& context, std::string_view name);
Result<void> Rename(const WalkContext& old_context, std::string_view old_name, const WalkContext& new_context,
                    std::string_view new_name, unsigned flags);
Result<std::string> ReadLink(const WalkContext& context, std::string_view name, unsigned walk_flags);

Result<void> SetAttr(const WalkContext& context, const Path& place, SetAttributes changes);  // chmod, chown, utimes, truncate rules
// truncate(2) of a place that may be written, with the upkeep: set-user-ID bits go unless `creds` are known and may leave
// them, inotify hears of it.
Result<void> Truncate(const Path& place, uint64_t size, const Credentials* creds = nullptr);
Result<void> Access(const WalkContext& context, const Path& place, int mask);                  // R_OK...; context.creds decides

Result<std::string> GetXattr(const WalkContext& context, const Path& place, std::string_view name);
Result<void> SetXattr(const WalkContext& context, const Path& place, std::string_view name, std::string_view value, int flags);
Result<void> RemoveXattr(const WalkContext& context, const Path& place, std::string_view name);
Result<std::vector<std::string>> ListXattr(const WalkContext& context, const Path& place);

// mount(2) with an existing file system or a bind; remounts; umount2(2). The caller checked CAP_SYS_ADMIN. `flags` are the
// MS_* of mount(2); per mount ones stay with the mount, the rest goes to the file system. `place` is a walked path: the new
// mount goes on top of what is there.
Result<void> MountFs(const WalkContext& context, RefPtr<FileSystem> fs, const Path& place, unsigned long flags);
Result<void> BindMount(const WalkContext& context, const Path& source, const Path& place, unsigned long flags);  // MS_REC
Result<void> Remount(const WalkContext& context, const Path& place, unsigned long flags, std::string_view options);  // MS_REMOUNT, with MS_BIND: this mount only
Result<void> MoveMount(const WalkContext& context, const Path& source, const Path& place);
Result<void> ChangePropagation(const WalkContext& context, const Path& place, unsigned long flags);  // MS_SHARED... | MS_REC
Result<void> Unmount(const WalkContext& context, const Path& place, int flags);  // UMOUNT_NOFOLLOW is the walk's

// What surrounds a read or a write of file data, for whoever calls FileDescription's data operations (read(2) and its
// family, sendfile, splice): before a write, clears set-user-ID bits and the like as Linux's file_remove_privs; afterwards
// tells inotify. All are a few loads where there is nothing to do.
Result<void> PrepareWrite(FileDescription& file, const Credentials& creds);
void NotifyAccessed(FileDescription& file);  // IN_ACCESS
void NotifyModified(FileDescription& file);  // IN_MODIFY

// Whether a read of an inode with these times must set its atime: O_NOATIME, noatime, nodiratime, relatime (the default), strictatime.
bool AtimeNeedsUpdate(const Path& path, int open_flags, int64_t atime, int64_t mtime, int64_t ctime, int64_t now);

// execve(2) denies writing to the program while it runs: ETXTBSY where it is open for writing. Each success is undone by
// AllowWriteAccess.
Result<void> DenyWriteAccess(Inode& inode);
void AllowWriteAccess(Inode& inode);

// A description without a name in any directory (pipe, socket, eventfd, memfd...): gives it an inode on an internal
// pseudo file system with mode `mode` and a dentry called `name` ("anon_inode:[eventfd]", "memfd:x").
void InitAnonymous(FileDescription& file, std::string_view name, uint32_t mode, int flags, RefPtr<const Credentials> creds);
void InitAnonymous(FileDescription& file, std::string_view name, RefPtr<Inode> inode, int flags, RefPtr<const Credentials> creds);

}  // namespace vfs
