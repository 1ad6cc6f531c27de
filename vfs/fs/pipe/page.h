#pragma once

// The pages that hold what is in a pipe. They are counted because tee(2) and splice(2) put one page into several pipes;
// plain counts, all under the kernel lock.

#include <cstddef>
#include <cstdint>
#include <utility>

namespace pipefs {

inline constexpr size_t kPipePage = 4096;

class PageRef {
 public:
  PageRef() = default;
  PageRef(PageRef&& other) noexcept : page_(std::exchange(other.page_, nullptr)) {}
  PageRef& operator=(PageRef&& other) noexcept {
    std::swap(page_, other.page_);
    return *this;
  }
  ~PageRef() { Drop(); }

  static PageRef Allocate();
  PageRef Share() const {
    page_->refs++;
    PageRef ref;
    ref.page_ = page_;
    return ref;
  }
  void Drop() {
    if (page_ != nullptr && --page_->refs == 0) Free(page_);
    page_ = nullptr;
  }

  char* data() const { return page_->data; }
  bool valid() const { return page_ != nullptr; }

 private:
  struct Page {
    char data[kPipePage];
    uint32_t refs;
    Page* next_free;
  };
  static void Free(Page* page);
  // Pages that were given back most recently: warm in the cache, and no malloc on the way of a small write.
  static Page* pool_;
  static int pooled_;

  Page* page_ = nullptr;
};

}  // namespace pipefs
