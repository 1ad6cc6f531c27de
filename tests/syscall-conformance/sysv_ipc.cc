// sysvipc(7): shared memory, semaphores, message queues
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

#include "util/check.h"
#include "util/child.h"
#include "util/clock.h"
#include "util/interrupt.h"
#include "util/memory.h"
#include "util/signals.h"

namespace conformance {
namespace {

// The objects outlive processes, so each is removed in its destructor.
struct Shm {
  explicit Shm(size_t size, key_t key = IPC_PRIVATE, int flags = IPC_CREAT | 0600)
      : id(shmget(key, size, flags)) {
    EXPECT_GE(id, 0) << strerror(errno);
  }
  ~Shm() { shmctl(id, IPC_RMID, nullptr); }
  int id;
};
struct Sem {
  explicit Sem(int count) : id(semget(IPC_PRIVATE, count, IPC_CREAT | 0600)) {
    EXPECT_GE(id, 0) << strerror(errno);
  }
  ~Sem() { semctl(id, 0, IPC_RMID); }
  int Op(unsigned short number, short delta, short flags = 0) {
    sembuf op = {number, delta, flags};
    return semop(id, &op, 1);
  }
  int Value(int number) { return semctl(id, number, GETVAL); }
  int id;
};
struct Msg {
  Msg() : id(msgget(IPC_PRIVATE, IPC_CREAT | 0600)) { EXPECT_GE(id, 0) << strerror(errno); }
  ~Msg() { msgctl(id, IPC_RMID, nullptr); }
  int id;
};
struct Message {
  long type;
  char text[16];
};

key_t UniqueKey() { return 0x434f0000 ^ getpid(); }

TEST(Shm, IsSharedBetweenProcesses) {
  Shm shm(2 * kPage);
  auto* p = static_cast<volatile char*>(shmat(shm.id, nullptr, 0));
  ASSERT_NE(p, MAP_FAILED);
  EXPECT_EQ(p[kPage], 0);
  EXPECT_EXITED(RunChild([&] {
                  p[0] = 1;  // Attachments are inherited.
                  auto* q = static_cast<char*>(shmat(shm.id, nullptr, 0));
                  q[kPage] = 2;
                  return 0;
                }),
                0);
  EXPECT_EQ(p[0], 1);
  EXPECT_EQ(p[kPage], 2);
  EXPECT_OK(shmdt(const_cast<char*>(p)));
  EXPECT_ERRNO(shmdt(const_cast<char*>(p)), EINVAL);
}

TEST(Shm, RemovedSegmentLivesWhileAttached) {
  Shm shm(kPage);
  auto* p = static_cast<char*>(shmat(shm.id, nullptr, 0));
  shmid_ds status = {};
  ASSERT_OK(shmctl(shm.id, IPC_STAT, &status));
  EXPECT_EQ(status.shm_nattch, 1u);
  EXPECT_EQ(status.shm_segsz, kPage);
  EXPECT_EQ(status.shm_cpid, getpid());
  ASSERT_OK(shmctl(shm.id, IPC_RMID, nullptr));
  p[0] = 1;
  EXPECT_EQ(p[0], 1);
  ASSERT_OK(shmdt(p));
  EXPECT_ERRNO(shmctl(shm.id, IPC_STAT, &status), EINVAL);
}

TEST(Shm, KeysAndErrors) {
  Shm shm(kPage, UniqueKey(), IPC_CREAT | IPC_EXCL | 0600);
  EXPECT_ERRNO(shmget(UniqueKey(), kPage, IPC_CREAT | IPC_EXCL | 0600), EEXIST);
  EXPECT_EQ(shmget(UniqueKey(), 0, 0), shm.id);
  EXPECT_ERRNO(shmget(UniqueKey(), 2 * kPage, 0), EINVAL);
  EXPECT_ERRNO(shmget(UniqueKey() + 1000003, kPage, 0), ENOENT);
  EXPECT_ERRNO(shmget(IPC_PRIVATE, 0, IPC_CREAT | 0600), EINVAL);
  EXPECT_ERRNO(shmat(-1, nullptr, 0), EINVAL);
  EXPECT_ERRNO(shmat(shm.id, reinterpret_cast<void*>(0x10001), 0), EINVAL);
}

TEST(Shm, ReadOnlyAttachFaultsOnWrite) {
  Shm shm(kPage);
  auto* p = static_cast<volatile char*>(shmat(shm.id, nullptr, SHM_RDONLY));
  ASSERT_NE(p, MAP_FAILED);
  EXPECT_EQ(p[0], 0);
  EXPECT_KILLED(RunChild([&] {
                  p[0] = 1;
                  return 0;
                }),
                SIGSEGV);
  shmdt(const_cast<char*>(p));
}

TEST(Shm, PermissionsOfOtherUsers) {
  Shm shm(kPage);
  EXPECT_EXITED(RunChild([&] {
                  CHILD_CHECK(setresgid(1000, 1000, 1000) == 0);
                  CHILD_CHECK(setresuid(1000, 1000, 1000) == 0);
                  CHILD_CHECK(shmat(shm.id, nullptr, 0) == MAP_FAILED && errno == EACCES);
                  CHILD_ERRNO(shmctl(shm.id, IPC_RMID, nullptr), EPERM);
                  return 0;
                }),
                0);
}

TEST(Sem, AddTakeAndNowait) {
  Sem sem(2);
  EXPECT_EQ(sem.Value(0), 0);
  ASSERT_OK(sem.Op(0, 3));
  ASSERT_OK(sem.Op(0, -2));
  EXPECT_EQ(sem.Value(0), 1);
  EXPECT_ERRNO(sem.Op(0, -2, IPC_NOWAIT), EAGAIN);
  EXPECT_ERRNO(sem.Op(0, 0, IPC_NOWAIT), EAGAIN);
  EXPECT_OK(sem.Op(1, 0, IPC_NOWAIT));
  EXPECT_EQ(semctl(sem.id, 0, GETPID), getpid());
}

TEST(Sem, SeveralOperationsAreAtomic) {
  Sem sem(2);
  ASSERT_OK(sem.Op(0, 1));
  sembuf both[] = {{0, -1, IPC_NOWAIT}, {1, -1, IPC_NOWAIT}};
  EXPECT_ERRNO(semop(sem.id, both, 2), EAGAIN);
  EXPECT_EQ(sem.Value(0), 1) << "nothing was taken";
  ASSERT_OK(sem.Op(1, 1));
  EXPECT_OK(semop(sem.id, both, 2));
}

TEST(Sem, BlocksUntilPosted) {
  Sem sem(1);
  pid_t pid = Fork([&] { return sem.Op(0, -1); });
  for (int i = 0; i < 500 && semctl(sem.id, 0, GETNCNT) == 0; i++) SleepMs(2);
  EXPECT_EQ(semctl(sem.id, 0, GETNCNT), 1);
  ASSERT_OK(sem.Op(0, 1));
  EXPECT_EXITED(Wait(pid), 0);
}

TEST(Sem, UndoAtExit) {
  Sem sem(1);
  ASSERT_OK(sem.Op(0, 1));
  EXPECT_EXITED(RunChild([&] { return sem.Op(0, -1, SEM_UNDO); }), 0);
  EXPECT_EQ(sem.Value(0), 1);
}

TEST(Sem, RemovalWakesWithEidrm) {
  Sem sem(1);
  pid_t pid = Fork([&] {
    CHILD_ERRNO(sem.Op(0, -1), EIDRM);
    return 0;
  });
  for (int i = 0; i < 500 && semctl(sem.id, 0, GETNCNT) == 0; i++) SleepMs(2);
  ASSERT_OK(semctl(sem.id, 0, IPC_RMID));
  EXPECT_EXITED(Wait(pid), 0);
}

TEST(Sem, TimeoutSignalAndErrors) {
  Sem sem(1);
  sembuf op = {0, -1, 0};
  timespec limit = {0, 50'000'000};
  EXPECT_ERRNO(semtimedop(sem.id, &op, 1, &limit), EAGAIN);
  ScopedHandler handler(SIGUSR1, +[](int) {}, SA_RESTART);
  EXPECT_ERRNO(Interrupted([&] { return semop(sem.id, &op, 1); }, [] {}), EINTR)
      << "never restarted";
  EXPECT_ERRNO(sem.Op(1, 1), EFBIG);
  EXPECT_ERRNO(semop(-1, &op, 1), EINVAL);
  EXPECT_ERRNO(semop(sem.id, &op, 0), EINVAL);
  EXPECT_ERRNO(semctl(sem.id, 0, SETVAL, 32768), ERANGE);
  EXPECT_ERRNO(semget(IPC_PRIVATE, 0, IPC_CREAT | 0600), EINVAL);
}

TEST(Msg, TypesSelectMessages) {
  Msg queue;
  Message a = {5, "five"}, b = {2, "two"}, got = {};
  ASSERT_OK(msgsnd(queue.id, &a, 5, 0));
  ASSERT_OK(msgsnd(queue.id, &b, 4, 0));
  EXPECT_EQ(msgrcv(queue.id, &got, 16, 2, 0), 4);
  EXPECT_STREQ(got.text, "two");
  ASSERT_OK(msgsnd(queue.id, &b, 4, 0));
  EXPECT_EQ(msgrcv(queue.id, &got, 16, -5, 0), 4) << "the lowest type first";
  EXPECT_EQ(msgrcv(queue.id, &got, 16, 0, 0), 5);
  EXPECT_EQ(got.type, 5);
}

TEST(Msg, SizesAndErrors) {
  Msg queue;
  Message message = {1, "0123456789"}, got = {};
  EXPECT_ERRNO(msgrcv(queue.id, &got, 16, 0, IPC_NOWAIT), ENOMSG);
  ASSERT_OK(msgsnd(queue.id, &message, 10, 0));
  EXPECT_ERRNO(msgrcv(queue.id, &got, 4, 0, 0), E2BIG);
  EXPECT_EQ(msgrcv(queue.id, &got, 4, 0, MSG_NOERROR), 4);
  message.type = 0;
  EXPECT_ERRNO(msgsnd(queue.id, &message, 1, 0), EINVAL);
  message.type = 1;
  EXPECT_ERRNO(msgsnd(-1, &message, 1, 0), EINVAL);
  EXPECT_ERRNO(msgsnd(queue.id, BadPointer(), 1, 0), EFAULT);
}

TEST(Msg, BlockedReceiverGetsTheMessage) {
  Msg queue;
  pid_t pid = Fork([&] {
    Message got = {};
    return static_cast<int>(msgrcv(queue.id, &got, 16, 0, 0));
  });
  SleepMs(50);
  Message message = {1, "abc"};
  ASSERT_OK(msgsnd(queue.id, &message, 3, 0));
  EXPECT_EXITED(Wait(pid), 3);
}

TEST(Msg, RemovalWakesWithEidrm) {
  Msg queue;
  pid_t pid = Fork([&] {
    Message got = {};
    CHILD_ERRNO(msgrcv(queue.id, &got, 16, 0, 0), EIDRM);
    return 0;
  });
  SleepMs(50);
  ASSERT_OK(msgctl(queue.id, IPC_RMID, nullptr));
  EXPECT_EXITED(Wait(pid), 0);
}

}  // namespace
}  // namespace conformance
