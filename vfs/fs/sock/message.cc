#include "vfs/fs/sock/message.h"

#include <new>

#include "vfs/fs/sock/rights_cycle.h"
#include "vfs/fs/sock/unix_socket.h"

namespace unix_socket {

Result<Message::Ptr> Message::Create(RefPtr<Anchor> sender, const IoVec& data, size_t offset, size_t size) {
  Ptr message(new (::operator new(sizeof(Message) + size)) Message);
  message->size_ = size;
  message->sender_ = std::move(sender);
  message->sender_->in_flight += Cost(size);
  if (data.Read(offset, message->data(), size) < size) return Errno::kEFAULT;
  return message;
}

Message::~Message() {
  if (!rights_.empty()) DropRights(TakeRights());
  sender_->in_flight -= Cost(size_);
  if (sender_->socket != nullptr) sender_->socket->OnSpaceFreed();
}

void Message::Deleter::operator()(Message* message) const {
  message->~Message();
  ::operator delete(message);
}

void Message::SetRights(std::vector<RefPtr<vfs::FileDescription>> rights) {
  rights_ = std::move(rights);
  for (const auto& file : rights_) CountInFlight(*file, 1);
}

std::vector<RefPtr<vfs::FileDescription>> Message::TakeRights() {
  for (const auto& file : rights_) CountInFlight(*file, -1);
  return std::move(rights_);
}

void MessageQueue::Push(Message::Ptr message) {
  Message* m = message.release();
  m->next_ = nullptr;
  (last_ != nullptr ? last_->next_ : first_) = m;
  last_ = m;
  count_++;
  bytes_ += m->left();
}

Message::Ptr MessageQueue::Pop() {
  Message* m = first_;
  first_ = m->next_;
  if (first_ == nullptr) last_ = nullptr;
  count_--;
  bytes_ -= m->left();
  return Message::Ptr(m);
}

void MessageQueue::Clear() {
  while (first_ != nullptr) Pop();
}

}  // namespace unix_socket
