// The server as a hostile client sees it.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <atomic>
#include <optional>
#include <random>
#include <set>
#include <thread>

#include "base/host.h"
#include "gofer/protocol/codec.h"
#include "gofer/testing.h"

namespace gofer {
namespace {

struct Reply {
  bool closed = false;
  int error = 0;
  std::string body;
  Fd fd;  // the first
  std::vector<Fd> more;

  template <class T>
  T As() const {
    Reader in(body.data(), body.size());
    return in.Take<T>().value_or(T{});
  }
};

// Sends what it is told to, right or wrong.
class RawClient {
 public:
  explicit RawClient(int socket) : socket_(socket) {}

  Reply SendFrame(std::string_view frame) {
    if (!HOST(send(socket_, frame.data(), frame.size(), MSG_NOSIGNAL)).ok()) return {.closed = true};
    return Receive();
  }
  Reply Receive() {
    std::string buffer(kMaxMessage, '\0');
    iovec iov{buffer.data(), buffer.size()};
    alignas(cmsghdr) char control[CMSG_SPACE(kMaxOpenFiles * sizeof(int))];
    msghdr message{.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    Result<ssize_t> size = HOST_RETRY(recvmsg(socket_, &message, MSG_CMSG_CLOEXEC));
    if (!size.ok() || *size == 0) return {.closed = true};
    Reply reply;
    Reader in(buffer.data(), static_cast<size_t>(*size));
    auto header = in.Take<ReplyHeader>();
    EXPECT_TRUE(header.has_value());
    EXPECT_EQ(header->id, id_);
    reply.error = header->error;
    reply.body = in.Rest();
    if (cmsghdr* cmsg = CMSG_FIRSTHDR(&message)) {
      for (size_t i = 0; CMSG_LEN((i + 1) * sizeof(int)) <= cmsg->cmsg_len; i++) {
        int fd;
        memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof fd, sizeof fd);
        if (i == 0) {
          reply.fd = Fd(fd);
        } else {
          reply.more.emplace_back(fd);
        }
      }
    }
    return reply;
  }

  template <class... Parts>
  std::string Frame(Opcode opcode, Handle handle, const Parts&... parts) {
    buffer_.resize(kMaxMessage);
    Writer out(buffer_.data(), buffer_.size());
    out.Put(RequestHeader{static_cast<uint16_t>(opcode), 0, ++id_, handle});
    (Add(out, parts), ...);
    return std::string(out.data(), out.size());
  }
  template <class... Parts>
  Reply Call(Opcode opcode, Handle handle, const Parts&... parts) {
    return SendFrame(Frame(opcode, handle, parts...));
  }

  Handle Attach(uint32_t index = 0) {
    Reply reply = Call(Opcode::kAttach, 0, AttachRequest{index});
    EXPECT_EQ(reply.error, 0);
    return reply.As<AttachReply>().node.handle;
  }
  Reply Walk(Handle parent, std::vector<std::string> names, uint32_t flags = 0) {
    std::string bytes;
    for (const std::string& name : names) bytes += static_cast<char>(name.size()) + name;
    return SendFrame(Frame(Opcode::kWalk, parent, WalkRequest{static_cast<uint16_t>(names.size()), 0, flags}) + bytes);
  }
  WireNode WalkOne(Handle parent, const std::string& name) {
    Reply reply = Walk(parent, {name});
    EXPECT_EQ(reply.error, 0) << name;
    if (reply.error != 0) return {};
    Reader in(reply.body.data(), reply.body.size());
    (void)in.Take<WalkReply>();
    return *in.Take<WireNode>();
  }

 private:
  static void Add(Writer& out, std::string_view name) { out.PutName(name); }
  static void Add(Writer& out, const std::string& name) { out.PutName(name); }
  static void Add(Writer& out, const char* name) { out.PutName(name); }
  template <class T>
  static void Add(Writer& out, const T& value) {
    out.Put(value);
  }

  int socket_;
  uint32_t id_ = 0;
  std::string buffer_;
};

int Error(Errno error) { return static_cast<int>(error); }

class ServerTest : public testing::Test {
 protected:
  ServerTest() {
    outside_.Write("secret", "outside");
    root_.Mkdir("dir");
    root_.Mkdir("dir/sub");
    root_.Write("dir/sub/file", "contents");
    root_.Write("top", "top");
    CHECK_OK(HOST(symlink((outside_ / "secret").c_str(), (root_ / "absolute").c_str())));
    CHECK_OK(HOST(symlink("../..", (root_ / "dir/up").c_str())));
    CHECK_OK(HOST(mkfifo((root_ / "fifo").c_str(), 0600)));
    gofer_.emplace(std::vector<Export>{{root_.path(), false}, {root_.path(), true}});
    client_.emplace(gofer_->socket());
  }

  TempDirectory outside_, root_;
  std::optional<TestGofer> gofer_;
  std::optional<RawClient> client_;
};

constexpr auto kAll = static_cast<uint32_t>(Attributes::kAll);

TEST_F(ServerTest, WalksSeveralComponentsAndOpensTheLast) {
  Handle root = client_->Attach();
  Reply reply = client_->Walk(root, {"dir", "sub", "file"}, kWalkOpen | O_RDONLY);
  ASSERT_EQ(reply.error, 0);
  WalkReply walk = reply.As<WalkReply>();
  EXPECT_EQ(walk.count, 3);
  EXPECT_EQ(walk.error, 0);
  ASSERT_TRUE(reply.fd.valid());
  char text[16];
  EXPECT_EQ(pread(reply.fd.get(), text, sizeof text, 0), 8);
  EXPECT_EQ(write(reply.fd.get(), "x", 1), -1);
}

TEST_F(ServerTest, WalkStopsAtMissingNamesLinksAndFiles) {
  Handle root = client_->Attach();
  Reply reply = client_->Walk(root, {"dir", "nothing", "x"});
  EXPECT_EQ(reply.As<WalkReply>().count, 1);
  EXPECT_EQ(reply.As<WalkReply>().error, Error(Errno::kENOENT));
  reply = client_->Walk(root, {"dir", "up", "etc"});
  EXPECT_EQ(reply.As<WalkReply>().count, 2);
  EXPECT_EQ(reply.As<WalkReply>().target_size, 5);
  EXPECT_EQ(reply.body.substr(reply.body.size() - 5), "../..");
  reply = client_->Walk(root, {"top", "x"});
  EXPECT_EQ(reply.As<WalkReply>().count, 1);
  EXPECT_EQ(reply.As<WalkReply>().error, Error(Errno::kENOTDIR));
  EXPECT_EQ(client_->Walk(root, {"nothing"}).error, Error(Errno::kENOENT));
}

TEST_F(ServerTest, NamesThatAreNoComponentsAreRefused) {
  Handle root = client_->Attach();
  WireNode dir = client_->WalkOne(root, "dir");
  std::vector<std::string> bad = {"", ".", "..", "a/b", "/", "/etc", std::string("a\0b", 3), "../" + outside_.path()};
  for (const std::string& name : bad) {
    EXPECT_EQ(client_->Walk(dir.handle, {name}).error, Error(Errno::kEINVAL)) << name;
    CreateRequest create{0644, 0, 0, 0, 0};
    for (Opcode opcode : {Opcode::kCreate, Opcode::kMkdir, Opcode::kSymlink}) {
      EXPECT_EQ(client_->Call(opcode, dir.handle, create, name).error, Error(Errno::kEINVAL)) << name;
    }
    EXPECT_EQ(client_->Call(Opcode::kUnlink, dir.handle, UnlinkRequest{AT_REMOVEDIR}, name).error, Error(Errno::kEINVAL));
    EXPECT_EQ(client_->Call(Opcode::kRename, root, RenameRequest{dir.handle, 0}, "top", name).error, Error(Errno::kEINVAL));
    EXPECT_EQ(client_->Call(Opcode::kRename, root, RenameRequest{dir.handle, 0}, name, "top").error, Error(Errno::kEINVAL));
    EXPECT_EQ(client_->Call(Opcode::kLink, dir.handle, LinkRequest{dir.handle}, name).error, Error(Errno::kEINVAL));
  }
}

TEST_F(ServerTest, LinksAreNeverFollowed) {
  Handle root = client_->Attach();
  WireNode link = client_->WalkOne(root, "absolute");
  EXPECT_TRUE(S_ISLNK(link.attributes.mode));
  EXPECT_EQ(client_->Call(Opcode::kOpen, link.handle, OpenRequest{O_RDONLY}).error, Error(Errno::kELOOP));
  EXPECT_EQ(client_->Walk(link.handle, {"secret"}).error, Error(Errno::kENOTDIR));
  SetAttrRequest chmod_request{};
  chmod_request.valid = SetAttrRequest::kMode;
  chmod_request.mode = 0777;
  EXPECT_NE(client_->Call(Opcode::kSetAttr, link.handle, chmod_request).error, 0);
  chmod_request.valid = SetAttrRequest::kSize;
  EXPECT_NE(client_->Call(Opcode::kSetAttr, link.handle, chmod_request).error, 0);
  chmod_request.valid = SetAttrRequest::kUid;
  chmod_request.uid = 12;
  EXPECT_EQ(client_->Call(Opcode::kSetAttr, link.handle, chmod_request).error, 0);
  struct stat st;
  ASSERT_EQ(stat((outside_ / "secret").c_str(), &st), 0);
  EXPECT_EQ(st.st_uid, 0u);
  EXPECT_EQ(st.st_size, 7);
  EXPECT_EQ(client_->Call(Opcode::kCreate, root, CreateRequest{0644, 0, 0, 0, 0}, "absolute").error, Error(Errno::kEEXIST));
}

TEST_F(ServerTest, HandlesThatAreNotOpenAreErrors) {
  Handle root = client_->Attach();
  WireNode top = client_->WalkOne(root, "top");
  EXPECT_EQ(client_->Call(Opcode::kStat, top.handle).error, 0);
  std::string frame = client_->Frame(Opcode::kClose, 0, CloseRequest{1});
  frame.append(reinterpret_cast<const char*>(&top.handle), sizeof top.handle);
  ASSERT_TRUE(HOST(send(gofer_->socket(), frame.data(), frame.size(), 0)).ok());
  std::mt19937_64 random(1);
  std::vector<Handle> bad = {0, 1, ~Handle{0}, top.handle, top.handle + (Handle{1} << 32), Handle{3} << 32};
  for (int i = 0; i < 100; i++) bad.push_back(random());
  for (Handle handle : bad) {
    if (handle == root) continue;
    EXPECT_EQ(client_->Call(Opcode::kStat, handle).error, Error(Errno::kEBADF)) << handle;
  }
  // The slot is used again, by another generation.
  WireNode again = client_->WalkOne(root, "top");
  EXPECT_NE(again.handle, top.handle);
  EXPECT_EQ(client_->Call(Opcode::kStat, top.handle).error, Error(Errno::kEBADF));
}

TEST_F(ServerTest, SpecialFilesAreNotOpenedAndDevicesNotMade) {
  Handle root = client_->Attach();
  WireNode fifo = client_->WalkOne(root, "fifo");
  EXPECT_EQ(client_->Call(Opcode::kOpen, fifo.handle, OpenRequest{O_RDONLY}).error, Error(Errno::kENXIO));
  Reply walk = client_->Walk(root, {"fifo"}, kWalkOpen | O_RDWR);
  EXPECT_EQ(walk.error, 0);
  EXPECT_FALSE(walk.fd.valid());
  EXPECT_EQ(client_->Call(Opcode::kOpen, root, OpenRequest{O_RDONLY}).error, Error(Errno::kEISDIR));
  EXPECT_EQ(client_->Call(Opcode::kMknod, root, CreateRequest{S_IFCHR | 0666, 0, 0, 0, 0}, "null").error, Error(Errno::kEPERM));
  EXPECT_EQ(client_->Call(Opcode::kMknod, root, CreateRequest{S_IFBLK | 0666, 0, 0, 0, 0}, "sda").error, Error(Errno::kEPERM));
  EXPECT_EQ(client_->Call(Opcode::kMknod, root, CreateRequest{S_IFSOCK | 0666, 5, 6, 0, 0}, "sock").error, 0);
}

TEST_F(ServerTest, ReadOnlyExportsRefuseEveryChange) {
  Handle root = client_->Attach(1);
  WireNode dir = client_->WalkOne(root, "dir");
  WireNode top = client_->WalkOne(root, "top");
  const int kReadOnly = Error(Errno::kEROFS);
  CreateRequest create{0644, 0, 0, 0, 0};
  for (Opcode opcode : {Opcode::kCreate, Opcode::kMkdir, Opcode::kMknod}) {
    CreateRequest typed = create;
    if (opcode == Opcode::kMknod) typed.mode |= S_IFIFO;
    EXPECT_EQ(client_->Call(opcode, dir.handle, typed, "new").error, kReadOnly);
  }
  EXPECT_EQ(client_->Call(Opcode::kCreateUnnamed, dir.handle, create).error, kReadOnly);
  EXPECT_EQ(client_->Call(Opcode::kOpen, top.handle, OpenRequest{O_RDWR}).error, kReadOnly);
  EXPECT_EQ(client_->Call(Opcode::kOpen, top.handle, OpenRequest{O_WRONLY}).error, kReadOnly);
  EXPECT_EQ(client_->Call(Opcode::kUnlink, root, UnlinkRequest{0}, "top").error, kReadOnly);
  EXPECT_EQ(client_->Call(Opcode::kRename, root, RenameRequest{dir.handle, 0}, "top", "t").error, kReadOnly);
  EXPECT_EQ(client_->Call(Opcode::kLink, dir.handle, LinkRequest{top.handle}, "t").error, kReadOnly);
  SetAttrRequest set{};
  set.valid = SetAttrRequest::kMtimeNow;
  EXPECT_EQ(client_->Call(Opcode::kSetAttr, top.handle, set).error, kReadOnly);
  EXPECT_EQ(client_->Call(Opcode::kRemoveXattr, top.handle, XattrRequest{}, "user.a").error, kReadOnly);
  Reply open = client_->Call(Opcode::kOpen, top.handle, OpenRequest{O_RDONLY});
  EXPECT_TRUE(open.fd.valid());
  // A writable export's handle is no way around it.
  Handle writable = client_->Attach(0);
  WireNode other = client_->WalkOne(writable, "top");
  EXPECT_EQ(client_->Call(Opcode::kLink, dir.handle, LinkRequest{other.handle}, "t").error, kReadOnly);
  EXPECT_EQ(client_->Call(Opcode::kLink, writable, LinkRequest{top.handle}, "t").error, Error(Errno::kEXDEV));
}

TEST_F(ServerTest, UnknownFlagsAreErrors) {
  Handle root = client_->Attach();
  WireNode top = client_->WalkOne(root, "top");
  const int kInvalid = Error(Errno::kEINVAL);
  for (uint32_t flags : {3u, uint32_t{O_CREAT}, uint32_t{O_TRUNC}, uint32_t{O_PATH}, ~0u}) {
    EXPECT_EQ(client_->Call(Opcode::kOpen, top.handle, OpenRequest{flags}).error, kInvalid);
    EXPECT_EQ(client_->Walk(root, {"top"}, flags | kWalkOpen).error, kInvalid);
  }
  EXPECT_EQ(client_->Call(Opcode::kUnlink, root, UnlinkRequest{1}, "top").error, kInvalid);
  EXPECT_EQ(client_->Call(Opcode::kRename, root, RenameRequest{root, 4}, "top", "b").error, kInvalid);
  SetAttrRequest set{};
  set.valid = 256;
  EXPECT_EQ(client_->Call(Opcode::kSetAttr, top.handle, set).error, kInvalid);
  EXPECT_EQ(client_->Call(Opcode::kCreate, root, CreateRequest{S_IFCHR | 0644, 0, 0, 0, 0}, "n").error, kInvalid);
  EXPECT_EQ(client_->Call(Opcode::kAttach, 0, AttachRequest{7}).error, kInvalid);
  EXPECT_EQ(client_->Call(Opcode::kSetXattr, top.handle, XattrRequest{8, 0}, "user.x").error, kInvalid);
  EXPECT_EQ(client_->Call(Opcode::kGetXattr, top.handle, XattrRequest{}, "trusted.x").error, Error(Errno::kEOPNOTSUPP));
  EXPECT_EQ(client_->Call(Opcode::kSetXattr, top.handle, XattrRequest{0, 0}, "security.capability").error,
            Error(Errno::kEOPNOTSUPP));
}

TEST_F(ServerTest, MalformedFramesEndTheService) {
  auto ends = [&](const std::string& frame) {
    TestGofer gofer({{root_.path(), false}});
    RawClient client(gofer.socket());
    Handle root = client.Attach();
    EXPECT_NE(root, 0u);
    EXPECT_TRUE(client.SendFrame(frame).closed);
    return gofer.Wait() == 2;
  };
  RawClient maker(-1);
  Handle root = Handle{1} << 32;
  EXPECT_TRUE(ends("x"));
  EXPECT_TRUE(ends(maker.Frame(static_cast<Opcode>(0), root)));
  EXPECT_TRUE(ends(maker.Frame(static_cast<Opcode>(999), root)));
  EXPECT_TRUE(ends(maker.Frame(Opcode::kStat, root, OpenRequest{})));
  EXPECT_TRUE(ends(maker.Frame(Opcode::kWalk, root)));
  EXPECT_TRUE(ends(maker.Frame(Opcode::kWalk, root, WalkRequest{0, 0, 0})));
  EXPECT_TRUE(ends(maker.Frame(Opcode::kWalk, root, WalkRequest{2, 0, 0}, "one")));
  EXPECT_TRUE(ends(maker.Frame(Opcode::kWalk, root, WalkRequest{1, 0, 0}, "one", "two")));
  EXPECT_TRUE(ends(maker.Frame(Opcode::kWalk, root, WalkRequest{1, 0, 0}) + "\xff" + "short"));
  EXPECT_TRUE(ends(maker.Frame(Opcode::kSetXattr, root, XattrRequest{0, 100}, "user.a")));
  EXPECT_TRUE(ends(maker.Frame(Opcode::kSymlink, root, CreateRequest{0777, 0, 0, 9, 0}, "l")));
  EXPECT_TRUE(ends(maker.Frame(Opcode::kClose, 0, CloseRequest{0xffffffff})));
  EXPECT_TRUE(ends(maker.Frame(Opcode::kOpenFiles, root, FilesRequest{0, 0})));
  EXPECT_TRUE(ends(maker.Frame(Opcode::kOpenFiles, root, FilesRequest{2, 0}, "one")));
  EXPECT_TRUE(ends(maker.Frame(Opcode::kOpenFiles, root, FilesRequest{kMaxOpenFiles + 1, 0}) + std::string(200, '\0')));
  // Too many in all, and half a request behind a whole one.
  std::string one = maker.Frame(Opcode::kOpenFiles, root, FilesRequest{1, 0}, "one"), more = one;
  for (size_t i = 0; i < kMaxOpenFiles; i++) more += one.substr(sizeof(RequestHeader));
  EXPECT_TRUE(ends(more));
  EXPECT_TRUE(ends(one + one.substr(sizeof(RequestHeader), sizeof(FilesRequest) - 1)));
  EXPECT_TRUE(ends(maker.Frame(Opcode::kStatFiles, root, FilesRequest{kMaxStatFiles + 1, 0}) + std::string(600, '\0')));
  EXPECT_TRUE(ends(maker.Frame(Opcode::kListTrees, root, ListTreesRequest{kMaxListTrees + 1, 0, 0, kAll}) + std::string(200, '\0')));
  EXPECT_TRUE(ends(std::string(kMaxMessage + 1, 'x')));
}

TEST_F(ServerTest, DescriptorsSentToItEndTheService) {
  std::string frame = client_->Frame(Opcode::kAttach, 0, AttachRequest{0});
  iovec iov{frame.data(), frame.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  cmsghdr* cmsg = CMSG_FIRSTHDR(&message);
  cmsg->cmsg_level = SOL_SOCKET;
  cmsg->cmsg_type = SCM_RIGHTS;
  cmsg->cmsg_len = CMSG_LEN(sizeof(int));
  int fd = 0;
  memcpy(CMSG_DATA(cmsg), &fd, sizeof fd);
  ASSERT_TRUE(HOST(sendmsg(gofer_->socket(), &message, 0)).ok());
  EXPECT_TRUE(client_->Receive().closed);
}

TEST_F(ServerTest, ARaceOfRenamesNeverLeadsOutside) {
  // A thread keeps exchanging "dir/sub" for a link to the outside; what the walk opens is always ours.
  CHECK_OK(HOST(symlink(outside_.path().c_str(), (root_ / "dir/evil").c_str())));
  outside_.Write("file", "outside!");
  std::atomic<bool> stop{false};
  std::thread renamer([&] {
    while (!stop) {
      (void)HOST(renameat2(AT_FDCWD, (root_ / "dir/sub").c_str(), AT_FDCWD, (root_ / "dir/evil").c_str(), RENAME_EXCHANGE));
    }
  });
  Handle root = client_->Attach();
  int opened = 0;
  for (int i = 0; i < 3000; i++) {
    Reply reply = client_->Walk(root, {"dir", "sub", "file"}, kWalkOpen | O_RDONLY);
    if (reply.fd.valid()) {
      char text[16] = {};
      EXPECT_EQ(pread(reply.fd.get(), text, sizeof text, 0), 8);
      EXPECT_STREQ(text, "contents");
      opened++;
    }
    std::string close_frame = client_->Frame(Opcode::kClose, 0, CloseRequest{reply.As<WalkReply>().count});
    for (size_t n = 0; reply.error == 0 && n < reply.As<WalkReply>().count; n++) {
      close_frame += reply.body.substr(sizeof(WalkReply) + n * sizeof(WireNode), sizeof(Handle));
    }
    if (reply.error == 0) CHECK_OK(HOST(send(gofer_->socket(), close_frame.data(), close_frame.size(), 0)));
  }
  stop = true;
  renamer.join();
  EXPECT_GT(opened, 0);
}

TEST_F(ServerTest, CreateSetsOwnerAndModeExactly) {
  Handle root = client_->Attach();
  Reply reply = client_->Call(Opcode::kCreate, root, CreateRequest{06755, 1000, 1001, 0, 0}, "new");
  ASSERT_EQ(reply.error, 0);
  ASSERT_TRUE(reply.fd.valid());
  EXPECT_EQ(write(reply.fd.get(), "abc", 3), 3);
  struct stat st;
  ASSERT_EQ(stat((root_ / "new").c_str(), &st), 0);
  EXPECT_EQ(st.st_uid, 1000u);
  EXPECT_EQ(st.st_gid, 1001u);
  EXPECT_EQ(st.st_mode, S_IFREG | 06755u);
  reply = client_->Call(Opcode::kMkdir, root, CreateRequest{01777, 5, 6, 0, 0}, "newdir");
  ASSERT_EQ(reply.error, 0);
  ASSERT_EQ(stat((root_ / "newdir").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode, S_IFDIR | 01777u);
  EXPECT_EQ(st.st_uid, 5u);
  EXPECT_EQ(reply.As<CreateReply>().parent.nlink, 4u);
}

TEST_F(ServerTest, ListsABigDirectoryInBatches) {
  root_.Mkdir("big");
  std::set<std::string> expected;
  for (int i = 0; i < 3000; i++) {
    std::string name = "file_with_a_longer_name_" + std::to_string(i);
    root_.Write("big/" + name, "");
    expected.insert(name);
  }
  Handle root = client_->Attach();
  WireNode big = client_->WalkOne(root, "big");
  for (Attributes wanted : {Attributes::kNone, Attributes::kSome, Attributes::kAll}) {
    std::set<std::string> got;
    size_t with_attributes = 0;
    int64_t cookie = 0;
    int batches = 0;
    for (bool end = false; !end;) {
      Reply reply = client_->Call(Opcode::kReadDir, big.handle, ReadDirRequest{cookie, static_cast<uint32_t>(wanted)});
      ASSERT_EQ(reply.error, 0);
      Reader in(reply.body.data(), reply.body.size());
      auto header = *in.Take<ReadDirReply>();
      for (uint32_t i = 0; i < header.count; i++) {
        auto entry = in.Take<WireDirent>();
        ASSERT_TRUE(entry.has_value());
        if (entry->has_attributes != 0) {
          with_attributes++;
          EXPECT_EQ(in.Take<WireAttributes>()->ino, entry->ino);
        }
        auto name = in.TakeBytes(entry->name_size);
        ASSERT_TRUE(name.has_value());
        EXPECT_TRUE(got.insert(std::string(*name)).second);
        cookie = entry->next;
      }
      EXPECT_TRUE(in.AtEnd());
      batches++;
      end = header.end != 0;
    }
    EXPECT_EQ(got, expected);
    EXPECT_GT(batches, 1);
    // One file of a batch shows whether the numbers of the others are good.
    size_t some = wanted == Attributes::kNone ? 0u : wanted == Attributes::kAll ? 3000u : static_cast<size_t>(batches);
    EXPECT_EQ(with_attributes, some);
  }
}

TEST_F(ServerTest, OpensSeveralFilesOfADirectory) {
  root_.Write("dir/one", "1");
  root_.Write("dir/two", "2");
  Handle root = client_->Attach();
  Handle dir = client_->WalkOne(root, "dir").handle;
  Reply reply = client_->Call(Opcode::kOpenFiles, dir, FilesRequest{5, 0}, "one", "sub", "none", "up", "two");
  ASSERT_EQ(reply.error, 0);
  Reader in(reply.body.data(), reply.body.size());
  for (Errno expected : {Errno{}, Errno::kEISDIR, Errno::kENOENT, Errno::kELOOP, Errno{}}) {
    auto file = in.Take<FileReply>();
    ASSERT_TRUE(file.has_value());
    EXPECT_EQ(file->error, Error(expected));
    EXPECT_EQ(file->attributes.size, file->error == 0 ? 1u : 0u);
  }
  EXPECT_TRUE(in.AtEnd());
  ASSERT_EQ(reply.more.size(), 1u);
  char c;
  EXPECT_EQ(pread(reply.fd.get(), &c, 1, 0), 1);
  EXPECT_EQ(c, '1');
  EXPECT_EQ(pread(reply.more[0].get(), &c, 1, 0), 1);
  EXPECT_EQ(c, '2');
  EXPECT_EQ(fcntl(reply.fd.get(), F_GETFL) & O_ACCMODE, O_RDONLY);

  EXPECT_EQ(client_->Call(Opcode::kOpenFiles, root, FilesRequest{1, 2}, "dir", "sub", "file").As<FileReply>().attributes.size, 8u);
  EXPECT_EQ(client_->Call(Opcode::kOpenFiles, dir, FilesRequest{1, 1}, "up", "top").As<FileReply>().error, Error(Errno::kENOTDIR));
  EXPECT_EQ(client_->Call(Opcode::kOpenFiles, dir, FilesRequest{1, 2}, "up", "dir", "one").As<FileReply>().error, Error(Errno::kENOTDIR));
  EXPECT_EQ(client_->Call(Opcode::kOpenFiles, dir, FilesRequest{1, 1}, "..", "top").error, Error(Errno::kEINVAL));
  EXPECT_EQ(client_->Call(Opcode::kOpenFiles, root, FilesRequest{1, 0}, "fifo").As<FileReply>().error, Error(Errno::kENXIO));
  EXPECT_EQ(client_->Call(Opcode::kOpenFiles, root, FilesRequest{1, 0}, "..").error, Error(Errno::kEINVAL));
  EXPECT_EQ(client_->Call(Opcode::kOpenFiles, root, FilesRequest{1, 0}, "dir/one").error, Error(Errno::kEINVAL));
  Handle top = client_->WalkOne(root, "top").handle;
  EXPECT_EQ(client_->Call(Opcode::kOpenFiles, top, FilesRequest{1, 0}, "x").As<FileReply>().error, Error(Errno::kENOTDIR));
}

TEST_F(ServerTest, OpensFilesOfSeveralDirectories) {
  root_.Mkdir("dir/sub/deep");
  root_.Write("dir/one", "1");
  root_.Write("dir/sub/two", "22");
  root_.Write("dir/sub/deep/three", "333");
  Handle root = client_->Attach();
  Handle dir = client_->WalkOne(root, "dir").handle;
  Reply reply = client_->Call(Opcode::kOpenFiles, dir, FilesRequest{1, 1}, "sub", "two", FilesRequest{2, 2}, "sub", "deep", "three", "none",
                              FilesRequest{2, 1}, "gone", "a", "b", FilesRequest{1, 2}, "up", "dir", "one", FilesRequest{1, 0}, "one");
  ASSERT_EQ(reply.error, 0);
  Reader in(reply.body.data(), reply.body.size());
  for (Errno expected : {Errno{}, Errno{}, Errno::kENOENT, Errno::kENOENT, Errno::kENOENT, Errno::kENOTDIR, Errno{}}) {
    EXPECT_EQ(in.Take<FileReply>()->error, Error(expected));
  }
  EXPECT_TRUE(in.AtEnd());
  ASSERT_EQ(reply.more.size(), 2u);
  struct stat st;
  EXPECT_EQ(fstat(reply.fd.get(), &st), 0);
  EXPECT_EQ(st.st_size, 2);
  EXPECT_EQ(fstat(reply.more[0].get(), &st), 0);
  EXPECT_EQ(st.st_size, 3);
  EXPECT_EQ(fstat(reply.more[1].get(), &st), 0);
  EXPECT_EQ(st.st_size, 1);
}

TEST_F(ServerTest, TellsOfSeveralNamesOfADirectory) {
  root_.Write("dir/one", "1");
  Handle root = client_->Attach();
  Handle dir = client_->WalkOne(root, "dir").handle;
  Reply reply = client_->Call(Opcode::kStatFiles, root, FilesRequest{4, 1}, "dir", "one", "none", "sub", "up");
  ASSERT_EQ(reply.error, 0);
  Reader in(reply.body.data(), reply.body.size());
  EXPECT_EQ(in.Take<FileReply>()->attributes.size, 1u);
  EXPECT_EQ(in.Take<FileReply>()->error, Error(Errno::kENOENT));
  EXPECT_TRUE(S_ISDIR(in.Take<FileReply>()->attributes.mode));
  EXPECT_TRUE(S_ISLNK(in.Take<FileReply>()->attributes.mode));
  EXPECT_TRUE(in.AtEnd());
  EXPECT_EQ(client_->Call(Opcode::kStatFiles, dir, FilesRequest{1, 1}, "up", "top").As<FileReply>().error, Error(Errno::kENOTDIR));
  EXPECT_EQ(client_->Call(Opcode::kStatFiles, dir, FilesRequest{1, 0}, "..").error, Error(Errno::kEINVAL));
  EXPECT_EQ(client_->Call(Opcode::kStatFiles, dir, FilesRequest{1, 1}, "..", "top").error, Error(Errno::kEINVAL));
}

TEST_F(ServerTest, ListsTreesDepthFirst) {
  root_.Mkdir("a");
  root_.Mkdir("a/b");
  root_.Write("a/b/file", "");
  root_.Mkdir("c");
  CHECK_OK(HOST(symlink(outside_.path().c_str(), (root_ / "a/link").c_str())));
  auto ino = [&](const char* name) {
    struct stat st {};
    EXPECT_EQ(lstat((root_ / name).c_str(), &st), 0);
    return st.st_ino;
  };
  auto list = [&](const Reply& reply) {
    std::vector<std::pair<uint64_t, std::set<std::string>>> listings;
    EXPECT_EQ(reply.error, 0);
    Reader in(reply.body.data(), reply.body.size());
    while (auto listing = in.Take<WireListing>()) {
      auto& [number, names] = listings.emplace_back(uint64_t{listing->ino}, std::set<std::string>());
      for (uint32_t i = 0; i < listing->count; i++) {
        auto entry = in.Take<WireDirent>();
        EXPECT_TRUE(entry.has_value());
        EXPECT_EQ(entry->has_attributes, 1);
        EXPECT_TRUE(in.Take<WireAttributes>().has_value());
        names.insert(std::string(*in.TakeBytes(entry->name_size)));
      }
    }
    EXPECT_TRUE(in.AtEnd());
    return listings;
  };
  Handle root = client_->Attach();
  using Listings = std::vector<std::pair<uint64_t, std::set<std::string>>>;
  EXPECT_EQ(list(client_->Call(Opcode::kListTrees, root, ListTreesRequest{2, 0, 65536, kAll}, "a", "c")),
            (Listings{{ino("a"), {"b", "link"}}, {ino("a/b"), {"file"}}, {ino("c"), {}}}));
  EXPECT_EQ(list(client_->Call(Opcode::kListTrees, root, ListTreesRequest{1, 1, 65536, kAll}, "a", "b")), (Listings{{ino("a/b"), {"file"}}}));
  EXPECT_NE(client_->Call(Opcode::kListTrees, root, ListTreesRequest{1, 1, 65536, kAll}, "a", "link").error, 0);
  EXPECT_EQ(client_->Call(Opcode::kListTrees, root, ListTreesRequest{1, 2, 65536, kAll}, "dir", "up", "dir").error, Error(Errno::kENOTDIR));
  // What cannot be listed is left out, unless it is the first.
  EXPECT_EQ(list(client_->Call(Opcode::kListTrees, root, ListTreesRequest{4, 0, 65536, kAll}, "c", "top", "none", "a")).size(), 3u);
  EXPECT_EQ(list(client_->Call(Opcode::kListTrees, root, ListTreesRequest{2, 0, 0, kAll}, "a", "c")).size(), 1u);
  EXPECT_EQ(client_->Call(Opcode::kListTrees, root, ListTreesRequest{1, 0, 65536, kAll}, "top").error, Error(Errno::kENOTDIR));
  EXPECT_NE(client_->Call(Opcode::kListTrees, root, ListTreesRequest{1, 0, 65536, kAll}, "absolute").error, 0);
  EXPECT_EQ(client_->Call(Opcode::kListTrees, root, ListTreesRequest{1, 0, 65536, kAll}, "..").error, Error(Errno::kEINVAL));
  EXPECT_EQ(client_->Call(Opcode::kListTrees, root, ListTreesRequest{1, 0, 65536, kAll + 1}, "a").error, Error(Errno::kEINVAL));
  EXPECT_EQ(client_->Call(Opcode::kListMore, 0, ListMoreRequest{65536, kAll + 1}).error, Error(Errno::kEINVAL));

  // In pieces.
  EXPECT_EQ(list(client_->Call(Opcode::kListTrees, root, ListTreesRequest{2, 0, 0, kAll}, "a", "c")).size(), 1u);
  EXPECT_EQ(list(client_->Call(Opcode::kListMore, 0, ListMoreRequest{1, kAll})), (Listings{}));
  EXPECT_EQ(list(client_->Call(Opcode::kListMore, 0, ListMoreRequest{60, kAll})), (Listings{{ino("a/b"), {"file"}}}));
  EXPECT_EQ(list(client_->Call(Opcode::kListMore, 0, ListMoreRequest{65536, kAll})), (Listings{{ino("c"), {}}}));
  EXPECT_EQ(list(client_->Call(Opcode::kListMore, 0, ListMoreRequest{65536, kAll})), (Listings{}));

  // Only whole directories.
  root_.Mkdir("a/big");
  for (int i = 0; i < 1000; i++) root_.Write("a/big/file" + std::to_string(i), "");
  EXPECT_LE(list(client_->Call(Opcode::kListTrees, root, ListTreesRequest{2, 0, 1 << 20, kAll}, "a", "c")).size(), 2u);
  Handle a = client_->WalkOne(root, "a").handle;
  EXPECT_EQ(client_->Call(Opcode::kListTrees, a, ListTreesRequest{1, 0, 0, kAll}, "big").error, Error(Errno::kEFBIG));
}

// What follows the header of each opcode: bytes of the struct, names.
constexpr struct {
  size_t body;
  int names;
} kShapes[] = {{0, 0},
               {sizeof(AttachRequest), 0},
               {sizeof(WalkRequest), 1},
               {sizeof(OpenRequest), 0},
               {sizeof(CreateRequest), 1},
               {sizeof(CreateRequest), 0},
               {sizeof(CreateRequest), 1},
               {sizeof(CreateRequest), 1},
               {sizeof(CreateRequest), 1},
               {sizeof(LinkRequest), 1},
               {sizeof(UnlinkRequest), 1},
               {sizeof(RenameRequest), 2},
               {sizeof(SetAttrRequest), 0},
               {0, 0},
               {0, 0},
               {sizeof(ReadDirRequest), 0},
               {0, 0},
               {sizeof(XattrRequest), 1},
               {sizeof(XattrRequest), 1},
               {0, 0},
               {sizeof(XattrRequest), 1},
               {sizeof(SyncRequest), 0},
               {sizeof(FilesRequest), 1},
               {sizeof(FilesRequest), 1},
               {sizeof(ListTreesRequest), 1},
               {sizeof(ListMoreRequest), 0},
               {sizeof(CloseRequest), 0}};
static_assert(std::size(kShapes) == kLastOpcode + 1);

// Random requests, well formed or almost: whatever happens, nothing outside changes and the gofer ends only by choice.
TEST_F(ServerTest, SurvivesRandomRequests) {
  std::mt19937 random(42);
  int closed = 0;
  for (int round = 0; round < 40; round++) {
    TestGofer gofer({{root_.path(), false}, {root_.path(), true}});
    RawClient client(gofer.socket());
    std::vector<Handle> handles = {client.Attach(0), client.Attach(1)};
    const char* names[] = {"dir", "sub", "file", "top", "absolute", "up", "fifo", "new", "..", ".", "a/b", "", "user.x"};
    for (int i = 0; i < 400; i++) {
      auto opcode = static_cast<Opcode>(random() % 4000 == 0 ? random() : 1 + random() % kLastOpcode);
      if (opcode == Opcode::kClose || opcode == Opcode::kSync) continue;
      Handle handle = random() % 20 == 0 ? random() : handles[random() % handles.size()];
      std::string frame = client.Frame(opcode, handle);
      size_t body = kShapes[static_cast<size_t>(opcode) % std::size(kShapes)].body;
      for (size_t b = 0; b < body; b++) frame += static_cast<char>(random() % 16 == 0 ? random() : 0);
      if (opcode == Opcode::kWalk || opcode == Opcode::kOpenFiles || opcode == Opcode::kStatFiles || opcode == Opcode::kListTrees) frame.replace(sizeof(RequestHeader), 4, std::string("\1\0\0\0", 4));
      // `reserved` and `target_size` stay zero, or most frames would only be malformed.
      if (body == sizeof(CreateRequest)) memset(&frame[sizeof(RequestHeader) + 12], 0, 4);
      if (opcode == Opcode::kSetXattr) memset(&frame[sizeof(RequestHeader) + 4], 0, 4);
      if (opcode == Opcode::kLink || opcode == Opcode::kRename) memcpy(&frame[sizeof(RequestHeader)], &handles[random() % handles.size()], 8);
      int count = kShapes[static_cast<size_t>(opcode) % std::size(kShapes)].names;
      for (int n = 0; n < count; n++) {
        std::string name = names[random() % std::size(names)];
        frame += static_cast<char>(name.size()) + name;
      }
      if (random() % 1000 == 0) frame.resize(1 + random() % frame.size());
      Reply reply = client.SendFrame(frame);
      if (reply.closed) {
        closed++;
        EXPECT_EQ(gofer.Wait(), 2) << static_cast<int>(opcode);
        break;
      }
      if (opcode == Opcode::kWalk && reply.error == 0 && reply.As<WalkReply>().count == 1) {
        Handle made;
        memcpy(&made, reply.body.data() + sizeof(WalkReply), sizeof made);
        handles.push_back(made);
      }
    }
  }
  EXPECT_LT(closed, 40);
  EXPECT_EQ(outside_.Read("secret"), "outside");
}

TEST_F(ServerTest, EndsWhenTheClientIsGone) {
  client_->Attach();
  gofer_->TakeSocket().reset();
  EXPECT_EQ(gofer_->Wait(), 0);
}

TEST(Server, ExportsARegularFile) {
  TempDirectory root;
  root.Write("hosts", "127.0.0.1");
  TestGofer gofer({{root / "hosts", false}});
  RawClient client(gofer.socket());
  Handle handle = client.Attach();
  Reply reply = client.Call(Opcode::kOpen, handle, OpenRequest{O_RDWR});
  EXPECT_TRUE(reply.fd.valid());
  EXPECT_EQ(client.Walk(handle, {"x"}).error, Error(Errno::kENOTDIR));
}

TEST(Server, RefusesToStartWithoutAnExport) {
  TestGofer gofer({{"/nonexistent/export", false}});
  EXPECT_EQ(gofer.Wait(), 1);
}

}  // namespace
}  // namespace gofer
