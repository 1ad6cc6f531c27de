#pragma once

// What a Sentry may ask of the host once it runs: no path, no socket, no new process, no executable
// memory of its own.

#include <span>

#include "sentry/boot/seccomp_rules.h"

namespace boot {

// `platform_syscalls`: what the platform needs besides (Platform::host_syscalls).
Status InstallSentryFilter(std::span<const int> platform_syscalls, FilterAction otherwise);

// The list itself, for documentation and tests.
std::span<const SyscallRule> SentryRules();

}  // namespace boot
