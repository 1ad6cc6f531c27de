#pragma once

#include <signal.h>

#include <initializer_list>

namespace conformance {

// Installs a handler and puts the old one back.
class ScopedHandler {
 public:
  ScopedHandler(int signal, void (*handler)(int), int flags = 0);
  ScopedHandler(int signal, void (*handler)(int, siginfo_t*, void*), int flags = 0);
  ~ScopedHandler();
  ScopedHandler(const ScopedHandler&) = delete;
  ScopedHandler& operator=(const ScopedHandler&) = delete;

 private:
  int signal_;
  struct sigaction old_ = {};
};

sigset_t SignalSet(std::initializer_list<int> signals);

// Blocks signals in this thread and puts the old mask back.
class ScopedBlock {
 public:
  explicit ScopedBlock(std::initializer_list<int> signals);
  ~ScopedBlock();
  ScopedBlock(const ScopedBlock&) = delete;
  ScopedBlock& operator=(const ScopedBlock&) = delete;

 private:
  sigset_t old_;
};

}  // namespace conformance
