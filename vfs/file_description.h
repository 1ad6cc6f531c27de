#pragma once

// FileDescription: an open file (open(2) "open file description"), shared by the descriptors that dup and fork make.
// Operations never block on readiness: they return EAGAIN, and the system call layer waits on wait_queue() unless
// O_NONBLOCK is set. They may block on the host (dropping the kernel lock).

#include <fcntl.h>

#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "base/io_vec.h"
#include "base/ref.h"
#include "base/result.h"
#include "base/user_memory.h"
#include "base/wait_queue.h"
#include "vfs/inode.h"
#include "vfs/mappable.h"
#include "vfs/mount.h"

namespace vfs {

class Socket;
class Terminal;

struct DirectoryEntry {
  std::string_view name;
  uint64_t ino;
  uint8_t type;         // DT_*
  int64_t next_offset;  // the d_off to report: where reading goes on behind this entry
};

// Who does an ioctl.
struct IoctlContext {
  UserMemory& memory;
  const Credentials& creds;
  // The calling task's session and such, for terminals: an opaque pointer that sentry/kernel hands through to code that it
  // registered itself.
  void* task = nullptr;
};

class FileDescription : public RefCounted {
 public:
  // A weak link: told when the last reference to the file goes, while the object is still whole. An entry of at most one
  // file; unlinks itself on destruction.
  class Hook {
   public:
    Hook() = default;
    Hook(const Hook&) = delete;
    Hook& operator=(const Hook&) = delete;
    virtual ~Hook() { Unlink(); }

    // The hook was unlinked before. May destroy the hook; must not take references to the file.
    virtual void OnRelease() = 0;

    void LinkTo(FileDescription& file) {
      Unlink();
      file_ = &file;
      next_ = file.hooks_;
      if (next_ != nullptr) next_->previous_ = &next_;
      previous_ = &file.hooks_;
      file.hooks_ = this;
    }
    void Unlink() {
      if (file_ == nullptr) return;
      *previous_ = next_;
      if (next_ != nullptr) next_->previous_ = previous_;
      file_ = nullptr;
    }
    FileDescription* file() const { return file_; }

   private:
    FileDescription* file_ = nullptr;
    Hook* next_ = nullptr;
    Hook** previous_ = nullptr;
  };

  // Set right after Inode::Open (or by the creator of an anonymous file) and constant afterwards.
  void Init(Path path, int flags, RefPtr<const Credentials> creds);

  const Path& path() const { return path_; }        // mount and dentry; a pseudo mount for anonymous files
  Inode& inode() const;
  int flags() const { return flags_; }              // O_ACCMODE, status flags; without O_CLOEXEC, O_CREAT and the like
  void set_flags(int flags) { flags_ = flags; }     // F_SETFL; calls OnSetFlags
  bool readable() const { return (flags_ & O_ACCMODE) != O_WRONLY && (flags_ & O_PATH) == 0; }
  bool writable() const { return (flags_ & O_ACCMODE) != O_RDONLY && (flags_ & O_PATH) == 0; }
  bool nonblocking() const { return (flags_ & O_NONBLOCK) != 0; }
  const RefPtr<const Credentials>& creds() const { return creds_; }  // of the opener

  // --- data. Callers checked readable()/writable(). `offset` is absolute; ESPIPE where there are no positions. ---
  // 0 is the end of the file. A short count is a success.
  virtual Result<size_t> ReadAt(const IoVec& to, uint64_t offset, int rwf_flags) { return Errno::kESPIPE; }
  virtual Result<size_t> WriteAt(const IoVec& from, uint64_t offset, int rwf_flags) { return Errno::kESPIPE; }
  // At the file position, which they advance under position rules of read(2). The defaults use ReadAt/WriteAt with
  // offset_ and O_APPEND (the end is taken by AppendWrite); streams override them.
  virtual Result<size_t> Read(const IoVec& to);
  virtual Result<size_t> Write(const IoVec& from);
  // Appends atomically: default is Stat().size then WriteAt. Returns the bytes; sets *end to the new end.
  virtual Result<size_t> AppendWrite(const IoVec& from, uint64_t* end);
  // True for pipes, sockets and terminals, whose blocking write(2) goes on until all is written.
  virtual bool stream() const { return false; }
  virtual Result<int64_t> Seek(int64_t offset, int whence);  // default: regular-file rules incl. SEEK_DATA/SEEK_HOLE of a file without holes
  uint64_t offset() const { return offset_; }
  void set_offset(uint64_t offset) { offset_ = offset; }

  virtual Result<void> Truncate(uint64_t size);                                          // default: inode().SetAttr
  virtual Result<void> Allocate(int mode, uint64_t offset, uint64_t length) { return Errno::kEOPNOTSUPP; }  // fallocate(2)
  virtual Result<void> Sync(bool data_only) { return Errno::kEINVAL; }                     // fsync(2), fdatasync(2)
  virtual Result<void> OnClose() { return {}; }  // each close(2) of a descriptor (flush): not the last reference
  virtual void OnSetFlags(int old_flags) {}

  // --- directories: calls `emit` from the current offset() on until it returns false or all are told; then sets offset().
  // "." and ".." included. ENOTDIR.
  virtual Result<void> ReadDir(absl::FunctionRef<bool(const DirectoryEntry&)> emit) { return Errno::kENOTDIR; }

  // --- readiness: which of EPOLLIN, EPOLLOUT, EPOLLHUP, EPOLLERR, EPOLLPRI, EPOLLRDHUP hold now. Regular files: always
  // EPOLLIN | EPOLLOUT.
  virtual EventMask Readiness() { return EPOLLIN | EPOLLOUT; }
  // Null where readiness never changes (regular files; epoll_ctl(2) then says EPERM).
  virtual WaitQueue* wait_queue() { return nullptr; }

  // --- memory mapping: ENODEV where not supported. EACCES checks were done.
  virtual Result<RefPtr<Mappable>> Map() { return Errno::kENODEV; }

  virtual Result<uint64_t> Ioctl(uint32_t request, uint64_t argument, const IoctlContext& context) { return Errno::kENOTTY; }

  // For execve(2): as long as this description is, nobody can open the file for writing. ETXTBSY where somebody has.
  Result<void> DenyWrites();

  virtual Result<Attributes> Stat();  // default: inode().Stat()

  // Lines for /proc/PID/fdinfo behind pos, flags, mnt_id, ino.
  virtual std::string FdInfo() { return ""; }
  // "pipe:[12]" and the like for /proc/PID/fd links of anonymous files; empty: the path.
  virtual std::string LinkName() { return ""; }

  // --- what it is, in place of RTTI. For concrete classes see FileAs.
  virtual Socket* AsSocket() { return nullptr; }
  virtual Terminal* AsTerminal() { return nullptr; }
  virtual const void* kind() const { return nullptr; }  // the address of the class's kKind

  // F_SETSIG; the rest of signal-driven I/O is sentry/kernel/async_io.h.
  int async_signal = 0;

 protected:
  FileDescription() = default;
  ~FileDescription() override;
  void OnZeroRefs() override;  // hooks, locks, inotify; then deletes

  uint64_t offset_ = 0;

 private:
  Hook* hooks_ = nullptr;
  Path path_;
  int flags_ = 0;
  bool counted_as_writer_ = false, denies_writes_ = false;
  RefPtr<const Credentials> creds_;
};

// `file` as a T, or null when it is something else. T has `static inline char kKind` and a kind() that returns its address.
template <class T>
T* FileAs(FileDescription* file) {
  return file != nullptr && file->kind() == &T::kKind ? static_cast<T*>(file) : nullptr;
}

}  // namespace vfs
