#include "base/wait_queue.h"

namespace base {

void Waiter::Remove() {
  if (queue_ == nullptr) return;
  if (queue_->cursor_ == this) queue_->cursor_ = next_;
  (prev_ != nullptr ? prev_->next_ : queue_->head_) = next_;
  (next_ != nullptr ? next_->prev_ : queue_->tail_) = prev_;
  prev_ = next_ = nullptr;
  queue_ = nullptr;
}

WaitQueue::~WaitQueue() {
  while (head_ != nullptr) head_->Remove();
}

void WaitQueue::Add(Waiter& waiter, EventMask mask) {
  waiter.Remove();
  waiter.mask = mask;
  waiter.queue_ = this;
  waiter.prev_ = tail_;
  (tail_ != nullptr ? tail_->next_ : head_) = &waiter;
  tail_ = &waiter;
}

void WaitQueue::Notify(EventMask events) {
  bool exclusive_told = false;
  Waiter* waiter = head_;
  while (waiter != nullptr) {
    cursor_ = waiter->next_;
    if ((events & (waiter->mask | EPOLLERR | EPOLLHUP)) != 0 && !(waiter->exclusive && exclusive_told)) {
      exclusive_told |= waiter->exclusive && waiter->TakesEvent();
      waiter->OnEvent(events);
    }
    waiter = cursor_;
  }
  cursor_ = nullptr;
}

}  // namespace base
