// Making, removing and renaming names.

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include "base/host.h"
#include "gofer/server.h"

namespace gofer {

namespace {

constexpr uint32_t kPermissions = 07777;

Result<void> CheckWritable(const Node& parent) {
  if (parent.read_only) return Errno::kEROFS;
  return {};
}

}  // namespace

Result<Server::NamedCreate> Server::TakeCreate(const Node& parent, Reader& in, uint32_t allowed_mode) {
  auto request = in.Take<CreateRequest>();
  auto name = in.TakeName();
  auto target = request && name ? in.TakeBytes(request->target_size) : std::nullopt;
  if (!target || request->reserved != 0 || !Finished(in)) return Malformed();
  if (!ValidName(*name) || (request->mode & ~allowed_mode) != 0) return Errno::kEINVAL;
  TRY(CheckWritable(parent));
  return NamedCreate{*request, *name, *target};
}

Result<void> Server::ReplyCreated(Node& parent, Fd path, const CreateRequest& request, Writer& out) {
  int fd = path.get();
  CreateReply reply;
  reply.node = TRY(AddNode(parent, std::move(path)));
  WireAttributes& made = reply.node.attributes;
  if (made.uid != request.uid || made.gid != request.gid) {
    TRY(HOST(fchownat(fd, "", request.uid, request.gid, AT_EMPTY_PATH)));
    made = TRY(StatPath(fd));
  }
  // The host may have dropped set-id bits with the change of owner, or inherited set-group-ID from the directory, or applied a
  // default ACL; the client has decided what it shall be.
  if (!S_ISLNK(made.mode) && (made.mode & kPermissions) != (request.mode & kPermissions)) {
    TRY(HOST(fchmodat(AT_FDCWD, FdName(fd).get(), request.mode & kPermissions, 0)));
    made = TRY(StatPath(fd));
  }
  reply.parent = TRY(StatPath(parent.path.get()));
  out.Put(reply);
  return {};
}

Result<void> Server::Create(Node& parent, Reader& in, Writer& out, Donated& donated) {
  auto [request, name, target] = TRY(TakeCreate(parent, in, kPermissions));
  if (!target.empty()) return Errno::kEINVAL;
  CName c_name(name);
  Fd file(TRY(HOST(openat(parent.path.get(), c_name.get(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY,
                          request.mode & kPermissions))));
  // By descriptor, so that it is the same file whatever happens to the name meanwhile.
  Result<Fd> path = Reopen(file.get(), O_PATH);
  Outcome done = path.ok() ? ReplyCreated(parent, std::move(path).value(), request, out) : Outcome(path.error());
  if (!done.ok()) {
    (void)HOST(unlinkat(parent.path.get(), c_name.get(), 0));
    return done;
  }
  donated.push_back(std::move(file));
  return {};
}

Result<void> Server::CreateUnnamed(Node& parent, Reader& in, Writer& out, Donated& donated) {
  auto request = in.Take<CreateRequest>();
  if (!request || request->reserved != 0 || request->target_size != 0 || !Finished(in)) return Malformed();
  if ((request->mode & ~kPermissions) != 0) return Errno::kEINVAL;
  TRY(CheckWritable(parent));
  if (!S_ISDIR(parent.type)) return Errno::kENOTDIR;
  Fd file(TRY(HOST(openat(AT_FDCWD, FdName(parent.path.get()).get(), O_RDWR | O_TMPFILE | O_CLOEXEC,
                          request->mode & kPermissions))));
  TRY(ReplyCreated(parent, TRY(Reopen(file.get(), O_PATH)), *request, out));
  donated.push_back(std::move(file));
  return {};
}

Result<void> Server::Mkdir(Node& parent, Reader& in, Writer& out) {
  auto [request, name, target] = TRY(TakeCreate(parent, in, kPermissions));
  if (!target.empty()) return Errno::kEINVAL;
  CName c_name(name);
  TRY(HOST(mkdirat(parent.path.get(), c_name.get(), request.mode & kPermissions)));
  return ReplyCreated(parent, TRY(OpenPathAt(parent.path.get(), name)), request, out);
}

Result<void> Server::Mknod(Node& parent, Reader& in, Writer& out) {
  auto [request, name, target] = TRY(TakeCreate(parent, in, kPermissions | S_IFMT));
  if (!target.empty()) return Errno::kEINVAL;
  // Device nodes would act on the host; the Sentry has its own in its own file systems.
  uint32_t type = request.mode & S_IFMT;
  if (type != S_IFREG && type != S_IFIFO && type != S_IFSOCK) return Errno::kEPERM;
  CName c_name(name);
  TRY(HOST(mknodat(parent.path.get(), c_name.get(), request.mode, 0)));
  return ReplyCreated(parent, TRY(OpenPathAt(parent.path.get(), name)), request, out);
}

Result<void> Server::Symlink(Node& parent, Reader& in, Writer& out) {
  auto [request, name, target] = TRY(TakeCreate(parent, in, kPermissions));
  if (target.empty() || target.size() > kMaxTarget || target.find('\0') != std::string_view::npos) return Errno::kEINVAL;
  CName c_name(name);
  TRY(HOST(symlinkat(std::string(target).c_str(), parent.path.get(), c_name.get())));
  return ReplyCreated(parent, TRY(OpenPathAt(parent.path.get(), name)), request, out);
}

Result<void> Server::Link(Node& parent, Reader& in, Writer& out) {
  auto request = in.Take<LinkRequest>();
  auto name = in.TakeName();
  if (!request || !name || !Finished(in)) return Malformed();
  if (!ValidName(*name)) return Errno::kEINVAL;
  TRY(CheckWritable(parent));
  Node& target = *TRY(handles_.Get(request->target));
  if (target.export_index != parent.export_index) return Errno::kEXDEV;
  TRY(HOST(linkat(target.path.get(), "", parent.path.get(), CName(*name).get(), AT_EMPTY_PATH)));
  CreateReply reply{};
  reply.node.attributes = TRY(StatPath(target.path.get()));
  reply.parent = TRY(StatPath(parent.path.get()));
  out.Put(reply);
  return {};
}

Result<void> Server::Unlink(Node& parent, Reader& in, Writer& out) {
  auto request = in.Take<UnlinkRequest>();
  auto name = in.TakeName();
  if (!request || !name || !Finished(in)) return Malformed();
  if (!ValidName(*name) || (request->flags != 0 && request->flags != AT_REMOVEDIR)) return Errno::kEINVAL;
  TRY(CheckWritable(parent));
  TRY(HOST(unlinkat(parent.path.get(), CName(*name).get(), static_cast<int>(request->flags))));
  out.Put(TRY(StatPath(parent.path.get())));
  return {};
}

Result<void> Server::Rename(Node& parent, Reader& in, Writer& out) {
  auto request = in.Take<RenameRequest>();
  auto old_name = in.TakeName();
  auto new_name = old_name ? in.TakeName() : std::nullopt;
  if (!request || !new_name || !Finished(in)) return Malformed();
  if (!ValidName(*old_name) || !ValidName(*new_name)) return Errno::kEINVAL;
  if (request->flags != 0 && request->flags != RENAME_NOREPLACE && request->flags != RENAME_EXCHANGE) return Errno::kEINVAL;
  Node& new_parent = *TRY(handles_.Get(request->new_parent));
  if (new_parent.export_index != parent.export_index) return Errno::kEXDEV;
  TRY(CheckWritable(parent));
  TRY(HOST(renameat2(parent.path.get(), CName(*old_name).get(), new_parent.path.get(), CName(*new_name).get(),
                     request->flags)));
  RenameReply reply;
  reply.old_parent = TRY(StatPath(parent.path.get()));
  reply.new_parent = TRY(StatPath(new_parent.path.get()));
  out.Put(reply);
  return {};
}

}  // namespace gofer
