#pragma once

// The list of cached dentries, in the order in which they came or were last seen to be used. Internal to vfs/dentry.cc.

#include <cstddef>

#include "vfs/dentry.h"

namespace vfs {

class DentryCache {
 public:
  static DentryCache& Get();

  // Takes a reference to it, then drops others as far as the bound demands.
  void Add(Dentry& dentry);
  // Drops the reference.
  void Remove(Dentry& dentry);
  void Trim();
  // Drops up to `count` that nobody uses, oldest first. Returns how many those were.
  size_t Shrink(size_t count);

  size_t size = 0;
  size_t limit = 32768;

 private:
  void Link(Dentry& dentry);
  void Unlink(Dentry& dentry);

  Dentry* oldest_ = nullptr;
  Dentry* newest_ = nullptr;
};

}  // namespace vfs
