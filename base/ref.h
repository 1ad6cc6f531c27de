#pragma once

// Intrusive reference counting. A new object is adopted once by MakeRef; a count that would go from 0 to 1 aborts.
// Counts are atomic because objects are also dropped outside of the kernel lock (base/kernel_lock.h).

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <utility>

namespace base {

class RefCounted {
 public:
  RefCounted(const RefCounted&) = delete;
  RefCounted& operator=(const RefCounted&) = delete;

  void IncRef() const {
    if (refs_.fetch_add(1, std::memory_order_relaxed) <= 0) abort();
  }
  // Takes a reference unless the object is already being destroyed; for weak maps.
  bool TryIncRef() const {
    int64_t refs = refs_.load(std::memory_order_relaxed);
    while (refs > 0) {
      if (refs_.compare_exchange_weak(refs, refs + 1, std::memory_order_relaxed)) return true;
    }
    return false;
  }
  void DecRef() const {
    if (refs_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      const_cast<RefCounted*>(this)->OnZeroRefs();
    }
  }
  int64_t refs() const { return refs_.load(std::memory_order_relaxed); }

 protected:
  RefCounted() = default;
  virtual ~RefCounted() = default;
  // Called when the last reference goes; deletes by default.
  virtual void OnZeroRefs() { delete this; }

 private:
  mutable std::atomic<int64_t> refs_{1};
};

template <class T>
class RefPtr {
 public:
  RefPtr() = default;
  RefPtr(std::nullptr_t) {}  // NOLINT(google-explicit-constructor)
  // Takes a new reference.
  explicit RefPtr(T* object) : object_(object) {
    if (object_ != nullptr) object_->IncRef();
  }
  RefPtr(const RefPtr& other) : RefPtr(other.object_) {}
  RefPtr(RefPtr&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  template <class U, class = std::enable_if_t<std::is_convertible_v<U*, T*>>>
  RefPtr(const RefPtr<U>& other) : RefPtr(other.get()) {}  // NOLINT
  template <class U, class = std::enable_if_t<std::is_convertible_v<U*, T*>>>
  RefPtr(RefPtr<U>&& other) noexcept : object_(other.release()) {}  // NOLINT
  ~RefPtr() {
    if (object_ != nullptr) object_->DecRef();
  }
  RefPtr& operator=(RefPtr other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }

  // Takes over the reference that the caller holds.
  static RefPtr Adopt(T* object) {
    RefPtr ref;
    ref.object_ = object;
    return ref;
  }

  T* get() const { return object_; }
  T& operator*() const { return *object_; }
  T* operator->() const { return object_; }
  explicit operator bool() const { return object_ != nullptr; }
  // Gives the reference to the caller.
  [[nodiscard]] T* release() { return std::exchange(object_, nullptr); }
  void reset() { *this = RefPtr(); }

  friend bool operator==(const RefPtr& a, const RefPtr& b) { return a.object_ == b.object_; }
  friend bool operator==(const RefPtr& a, const T* b) { return a.object_ == b; }
  template <class H>
  friend H AbslHashValue(H h, const RefPtr& ref) {
    return H::combine(std::move(h), ref.object_);
  }

 private:
  T* object_ = nullptr;
};

template <class T, class... Args>
RefPtr<T> MakeRef(Args&&... args) {
  return RefPtr<T>::Adopt(new T(std::forward<Args>(args)...));
}

// static_cast for RefPtr.
template <class T, class U>
RefPtr<T> StaticRefCast(const RefPtr<U>& ref) {
  return RefPtr<T>(static_cast<T*>(ref.get()));
}

}  // namespace base

using base::MakeRef;
using base::RefCounted;
using base::RefPtr;
