// unix(7), cmsg(3): SCM_RIGHTS and SCM_CREDENTIALS
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "util/check.h"
#include "util/child.h"
#include "util/fd.h"
#include "util/temp_dir.h"

namespace conformance {
namespace {

struct Received {
  ssize_t bytes = -1;
  int flags = 0;
  std::vector<int> fds;
  bool has_credentials = false;
  ucred credentials = {};
};

ssize_t SendFds(int socket, const std::vector<int>& fds, const char* text = "x") {
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * 300)] = {};
  iovec vector = {const_cast<char*>(text), strlen(text)};
  msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control,
                    .msg_controllen = CMSG_SPACE(sizeof(int) * fds.size())};
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
  memcpy(CMSG_DATA(header), fds.data(), sizeof(int) * fds.size());
  return sendmsg(socket, &message, 0);
}

Received Receive(int socket, size_t control_size = 1024, int flags = 0, size_t data_size = 64) {
  alignas(cmsghdr) char control[2048] = {};
  char data[64];
  iovec vector = {data, data_size};
  msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control,
                    .msg_controllen = control_size};
  Received received;
  received.bytes = recvmsg(socket, &message, flags);
  received.flags = message.msg_flags;
  for (cmsghdr* h = CMSG_FIRSTHDR(&message); h != nullptr; h = CMSG_NXTHDR(&message, h)) {
    if (h->cmsg_level != SOL_SOCKET) continue;
    if (h->cmsg_type == SCM_RIGHTS) {
      size_t count = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      for (size_t i = 0; i < count; i++) {
        received.fds.push_back(reinterpret_cast<int*>(CMSG_DATA(h))[i]);
      }
    } else if (h->cmsg_type == SCM_CREDENTIALS) {
      received.has_credentials = true;
      memcpy(&received.credentials, CMSG_DATA(h), sizeof(ucred));
    }
  }
  return received;
}

struct Ancillary : testing::Test {
  Ancillary() { Make(SOCK_STREAM); }
  void Make(int type) {
    int fds[2] = {-1, -1};
    EXPECT_OK(socketpair(AF_UNIX, type, 0, fds));
    a.Reset(fds[0]);
    b.Reset(fds[1]);
  }
  Fd a, b;
  TempDir dir;
};
using ScmRights = Ancillary;
using ScmCredentials = Ancillary;

TEST_F(ScmRights, PassesTheOpenFileDescription) {
  Fd file(open(dir.File("f", "0123456789").c_str(), O_RDONLY));
  ASSERT_EQ(lseek(file, 4, SEEK_SET), 4);
  ASSERT_EQ(SendFds(a, {file}), 1);
  Received got = Receive(b);
  ASSERT_EQ(got.fds.size(), 1u);
  Fd copy(got.fds[0]);
  EXPECT_NE(copy.get(), file.get());
  char c;
  EXPECT_EQ(read(copy, &c, 1), 1);
  EXPECT_EQ(c, '4');
  EXPECT_EQ(lseek(file, 0, SEEK_CUR), 5);
}

TEST_F(ScmRights, ToAnotherProcessAndOutlivesTheSender) {
  std::string path = dir.File("f", "data");
  pid_t pid = Fork([&] {
    Fd file(open(path.c_str(), O_RDONLY));
    return SendFds(a, {file}) == 1 ? 0 : 1;
  });
  EXPECT_EXITED(Wait(pid), 0);
  ASSERT_OK(unlink(path.c_str()));
  Received got = Receive(b);
  ASSERT_EQ(got.fds.size(), 1u);
  Fd copy(got.fds[0]);
  EXPECT_EQ(ReadAll(copy), "data");
}

TEST_F(ScmRights, CloexecOnlyWhenAsked) {
  Fd file(open("/", O_RDONLY | O_CLOEXEC));
  ASSERT_EQ(SendFds(a, {file}), 1);
  ASSERT_EQ(SendFds(a, {file}), 1);
  Received plain = Receive(b, 1024, 0, 1), cloexec = Receive(b, 1024, MSG_CMSG_CLOEXEC, 1);
  ASSERT_EQ(plain.fds.size() + cloexec.fds.size(), 2u);
  Fd first(plain.fds[0]), second(cloexec.fds[0]);
  EXPECT_EQ(fcntl(first, F_GETFD), 0);
  EXPECT_EQ(fcntl(second, F_GETFD), FD_CLOEXEC);
}

TEST_F(ScmRights, StreamReadStopsAtAMessageWithRights) {
  Fd file(open("/", O_RDONLY));
  ASSERT_EQ(write(a, "aa", 2), 2);
  ASSERT_EQ(SendFds(a, {file}, "bb"), 2);
  ASSERT_EQ(write(a, "cc", 2), 2);
  Received first = Receive(b), second = Receive(b);
  // Rights come with the first byte of their message, and end the read there.
  EXPECT_EQ(first.bytes + second.bytes + (second.bytes < 4 && first.bytes < 4 ? 2 : 0), 6);
  EXPECT_EQ(first.fds.size() + second.fds.size(), 1u);
  for (int fd : first.fds) close(fd);
  for (int fd : second.fds) close(fd);
}

TEST_F(ScmRights, TooSmallControlBufferTruncates) {
  Fd file(open("/", O_RDONLY));
  ASSERT_EQ(SendFds(a, {file, file, file}), 1);
  Received got = Receive(b, CMSG_LEN(sizeof(int) * 2));
  EXPECT_TRUE(got.flags & MSG_CTRUNC);
  EXPECT_EQ(got.fds.size(), 2u);
  for (int fd : got.fds) close(fd);
  ASSERT_EQ(SendFds(a, {file}), 1);
  got = Receive(b, 0);
  EXPECT_TRUE(got.flags & MSG_CTRUNC);
}

TEST_F(ScmRights, PlainReadDropsThem) {
  int ends[2];
  ASSERT_OK(pipe(ends));
  Fd reader(ends[0]), writer(ends[1]);
  ASSERT_EQ(SendFds(a, {writer}), 1);
  writer.Reset();
  pollfd event = {reader, POLLIN, 0};
  EXPECT_EQ(poll(&event, 1, 0), 0) << "the writer is in flight";
  char c;
  ASSERT_EQ(read(b, &c, 1), 1);
  EXPECT_EQ(read(reader, &c, 1), 0) << "and then it is gone";
}

TEST_F(ScmRights, UnreadOnesAreReleasedWithTheSocket) {
  int ends[2];
  ASSERT_OK(pipe(ends));
  Fd reader(ends[0]), writer(ends[1]);
  ASSERT_EQ(SendFds(a, {writer}), 1);
  writer.Reset();
  a.Reset();
  b.Reset();
  char c;
  EXPECT_EQ(read(reader, &c, 1), 0);
}

TEST_F(ScmRights, PeekGivesACopy) {
  Fd file(open("/", O_RDONLY));
  ASSERT_EQ(SendFds(a, {file}), 1);
  Received peeked = Receive(b, 1024, MSG_PEEK), got = Receive(b);
  ASSERT_EQ(peeked.fds.size(), 1u);
  ASSERT_EQ(got.fds.size(), 1u);
  EXPECT_NE(peeked.fds[0], got.fds[0]);
  close(peeked.fds[0]);
  close(got.fds[0]);
}

TEST_F(ScmRights, LimitsAndErrors) {
  Fd file(open("/", O_RDONLY));
  EXPECT_ERRNO(SendFds(a, {9999}), EBADF);
  EXPECT_ERRNO(SendFds(a, std::vector<int>(254, file.get())), EINVAL);
  EXPECT_EQ(SendFds(a, std::vector<int>(253, file.get())), 1);
  Received got = Receive(b, 2048);
  EXPECT_EQ(got.fds.size(), 253u);
  for (int fd : got.fds) close(fd);
}

TEST_F(ScmRights, BadControlLengthIsEinval) {
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  char data = 0;
  iovec vector = {&data, 1};
  msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control,
                    .msg_controllen = sizeof(control)};
  auto* header = reinterpret_cast<cmsghdr*>(control);
  *header = {.cmsg_len = 4, .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
  EXPECT_ERRNO(sendmsg(a, &message, 0), EINVAL);
  *header = {.cmsg_len = 4096, .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
  EXPECT_ERRNO(sendmsg(a, &message, 0), EINVAL);
  *header = {.cmsg_len = CMSG_LEN(4), .cmsg_level = SOL_SOCKET, .cmsg_type = 99};
  EXPECT_ERRNO(sendmsg(a, &message, 0), EINVAL);
}

TEST_F(ScmRights, SocketSentOverItself) {
  ASSERT_EQ(SendFds(a, {a, b}), 1);
  Received got = Receive(b);
  ASSERT_EQ(got.fds.size(), 2u);
  ASSERT_EQ(write(got.fds[0], "via copy", 8), 8);
  char buffer[8];
  EXPECT_EQ(read(got.fds[1], buffer, 8), 8);
  for (int fd : got.fds) close(fd);
}

TEST_F(ScmCredentials, AttachedWhenReceiverAsks) {
  int on = 1;
  ASSERT_EQ(write(a, "before", 6), 6);
  ASSERT_OK(setsockopt(b, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)));
  pid_t pid = Fork([&] { return write(a, "x", 1) == 1 ? 0 : 1; });
  EXPECT_EXITED(Wait(pid), 0);
  Received got = Receive(b, 1024, 0, 6);
  got = Receive(b);
  ASSERT_TRUE(got.has_credentials);
  EXPECT_EQ(got.credentials.pid, pid);
  EXPECT_EQ(got.credentials.uid, getuid());
}

TEST_F(ScmCredentials, RootMayNameOthersUsersMayNot) {
  Make(SOCK_DGRAM);
  int on = 1;
  ASSERT_OK(setsockopt(b, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)));
  auto send_as = [&](ucred credentials) {
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(ucred))] = {};
    char data = 'x';
    iovec vector = {&data, 1};
    msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control,
                      .msg_controllen = sizeof(control)};
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    *header = {.cmsg_len = CMSG_LEN(sizeof(ucred)), .cmsg_level = SOL_SOCKET,
               .cmsg_type = SCM_CREDENTIALS};
    memcpy(CMSG_DATA(header), &credentials, sizeof(credentials));
    return sendmsg(a, &message, 0);
  };
  EXPECT_EQ(send_as({getpid(), 1234, 5678}), 1);
  Received got = Receive(b);
  ASSERT_TRUE(got.has_credentials);
  EXPECT_EQ(got.credentials.uid, 1234u);
  EXPECT_EQ(got.credentials.gid, 5678u);
  EXPECT_EXITED(RunChild([&] {
                  CHILD_CHECK(setresgid(100, 100, 100) == 0 && setresuid(100, 100, 100) == 0);
                  CHILD_ERRNO(send_as({getpid(), 0, 100}), EPERM);
                  CHILD_ERRNO(send_as({getppid(), 100, 100}), EPERM);
                  CHILD_CHECK(send_as({getpid(), 100, 100}) == 1);
                  return 0;
                }),
                0);
}

}  // namespace
}  // namespace conformance
