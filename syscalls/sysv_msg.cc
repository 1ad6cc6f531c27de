// msgget(2), msgop(2), msgctl(2).

#include <sys/msg.h>

#include "base/event_loop.h"
#include "sentry/kernel/sysv_ipc.h"
#include "syscalls/handlers.h"

namespace syscalls {

using kernel::MessageQueue;
using kernel::SysvIpc;

namespace {

int64_t Now() { return base::RealtimeNow() / 1'000'000'000; }
SysvIpc& Ipc(Task& task) { return SysvIpc::Of(*task.namespaces.ipc); }
const base::UserNamespace& Owner(Task& task) { return *task.namespaces.ipc->user_ns; }

Result<uint64_t> GetInfo(Task& task, bool usage, UserAddress buffer) {
  auto& table = Ipc(task).msg;
  msginfo info = {};
  info.msgmni = kernel::IpcTable<MessageQueue>::kMaxObjects;
  info.msgmax = MessageQueue::kMaxMessage;
  info.msgmnb = MessageQueue::kMaxBytes;
  info.msgssz = 16;
  info.msgseg = 0xffff;
  info.msgpool = usage ? static_cast<int>(table.objects().size()) : info.msgmni * info.msgmnb / 1024;
  info.msgmap = info.msgmnb;
  info.msgtql = info.msgmnb;
  if (usage) {
    info.msgmap = info.msgtql = 0;
    for (auto& [index, queue] : table.objects()) {
      info.msgmap += static_cast<int>(queue->messages.size());
      info.msgtql += static_cast<int>(queue->bytes);
    }
  }
  TRY(task.mm().Write<msginfo>(buffer, info));
  return static_cast<uint64_t>(table.highest_index());
}

Result<uint64_t> GetStatus(Task& task, int id, int command, UserAddress buffer) {
  auto& table = Ipc(task).msg;
  RefPtr<MessageQueue> queue = TRY(command == IPC_STAT ? table.Find(id) : table.AtIndex(id));
  if (command != MSG_STAT_ANY) TRY(queue->permissions.Check(*task.creds(), 0444, Owner(task)));
  msqid_ds out = {};
  out.msg_perm = queue->permissions.ForUser(*task.creds());
  out.msg_stime = queue->send_time;
  out.msg_rtime = queue->receive_time;
  out.msg_ctime = queue->change_time;
  out.__msg_cbytes = queue->bytes;
  out.msg_qnum = queue->messages.size();
  out.msg_qbytes = queue->max_bytes;
  out.msg_lspid = queue->last_sender;
  out.msg_lrpid = queue->last_receiver;
  int full_id = queue->permissions.id;
  TRY(task.mm().Write<msqid_ds>(buffer, out));
  return command == IPC_STAT ? 0 : static_cast<uint64_t>(full_id);
}

}  // namespace

Result<uint64_t> SysMsgget(Task& task, key_t key, FlagsArg flags) {
  auto make = []() -> Result<RefPtr<MessageQueue>> {
    auto queue = MakeRef<MessageQueue>();
    queue->change_time = Now();
    return queue;
  };
  auto fits = [](MessageQueue&) -> Result<void> { return {}; };
  return static_cast<uint64_t>(TRY(kernel::IpcGet(Ipc(task).msg, *task.creds(), Owner(task), key, flags, make, fits)));
}

Result<uint64_t> SysMsgsnd(Task& task, int id, UserAddress message, size_t size, FlagsArg flags) {
  if (size > MessageQueue::kMaxMessage || id < 0) return Errno::kEINVAL;
  long type = TRY(task.mm().Read<long>(message));
  if (type < 1) return Errno::kEINVAL;
  std::string data(size, '\0');
  TRY(task.mm().CopyIn(data.data(), message + sizeof(long), size));
  RefPtr<MessageQueue> queue = TRY(Ipc(task).msg.Find(id));
  TRY(queue->permissions.Check(*task.creds(), 0222, Owner(task)));
  TRY(kernel::MsgSend(task, *queue, {type, std::move(data)}, flags));
  return 0;
}

Result<uint64_t> SysMsgrcv(Task& task, int id, UserAddress message, size_t size, long type, FlagsArg flags) {
  int how = flags;
  if (id < 0 || static_cast<ssize_t>(size) < 0) return Errno::kEINVAL;
  if ((how & MSG_COPY) != 0 && ((how & MSG_EXCEPT) != 0 || (how & IPC_NOWAIT) == 0)) return Errno::kEINVAL;
  RefPtr<MessageQueue> queue = TRY(Ipc(task).msg.Find(id));
  TRY(queue->permissions.Check(*task.creds(), 0444, Owner(task)));
  MessageQueue::Message got = TRY(kernel::MsgReceive(task, *queue, size, type, how));
  TRY(task.mm().Write<long>(message, got.type));
  TRY(task.mm().CopyOut(message + sizeof(long), got.data.data(), got.data.size()));
  return got.data.size();
}

Result<uint64_t> SysMsgctl(Task& task, int id, int command, UserAddress buffer) {
  auto& table = Ipc(task).msg;
  switch (command) {
    case IPC_INFO:
    case MSG_INFO:
      return GetInfo(task, command == MSG_INFO, buffer);
    case IPC_STAT:
    case MSG_STAT:
    case MSG_STAT_ANY:
      return GetStatus(task, id, command, buffer);
    case IPC_SET: {
      auto wanted = TRY(task.mm().Read<msqid_ds>(buffer));
      RefPtr<MessageQueue> queue = TRY(table.Find(id));
      TRY(queue->permissions.CheckOwner(*task.creds(), Owner(task)));
      if (wanted.msg_qbytes > MessageQueue::kMaxBytes && !task.creds()->HasIn(CAP_SYS_RESOURCE, Owner(task))) return Errno::kEPERM;
      TRY(queue->permissions.Set(wanted.msg_perm, *task.creds()));
      // A privileged caller may ask for more, but not for all of the Sentry's memory.
      queue->max_bytes = std::min<size_t>(wanted.msg_qbytes, 16 << 20);
      queue->change_time = Now();
      queue->changes.Notify(EPOLLIN);
      return 0;
    }
    case IPC_RMID: {
      RefPtr<MessageQueue> queue = TRY(table.Find(id));
      TRY(queue->permissions.CheckOwner(*task.creds(), Owner(task)));
      table.Remove(*queue);
      return 0;
    }
    default:
      return Errno::kEINVAL;
  }
}

}  // namespace syscalls
