#include "sentry/boot/seccomp_rules.h"

#include <seccomp.h>
#include <unistd.h>

#include <memory>

namespace boot {

namespace {

struct ContextDeleter {
  void operator()(void* context) const { seccomp_release(context); }
};

Status SeccompError(int rc, std::string_view what) {
  return ErrnoStatus(static_cast<Errno>(-rc), what);
}

scmp_arg_cmp Compare(const ArgCheck& check) {
  switch (check.op) {
    case ArgCheck::kMasked:
      return {check.index, SCMP_CMP_MASKED_EQ, check.mask, check.value};
    case ArgCheck::kSelfPid:
      return {check.index, SCMP_CMP_EQ, static_cast<uint64_t>(getpid()), 0};
    default:
      return {check.index, SCMP_CMP_EQ, check.value, 0};
  }
}

}  // namespace

Status InstallFilter(std::span<const SyscallRule> rules, std::span<const SyscallRefusal> refusals,
                     std::span<const int> unconditional, FilterAction otherwise) {
  uint32_t action = otherwise == FilterAction::kKill ? SCMP_ACT_KILL_PROCESS : SCMP_ACT_LOG;
  std::unique_ptr<void, ContextDeleter> filter(seccomp_init(action));
  if (filter == nullptr) return Error("seccomp filter: out of memory");
  // Another architecture (int 0x80, x32) is never an accident.
  int rc = seccomp_attr_set(filter.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
  if (rc == 0)
    rc = seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_NNP,
                          0);  // set already, without CAP_SYS_ADMIN
  if (rc == 0) rc = seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2);  // a binary tree
  if (rc != 0) return SeccompError(rc, "seccomp filter attributes");

  for (const SyscallRule& rule : rules) {
    scmp_arg_cmp compares[3];
    unsigned count = 0;
    for (const ArgCheck& check : rule.args) {
      if (check.op != ArgCheck::kNone) compares[count++] = Compare(check);
    }
    rc = seccomp_rule_add_exact_array(filter.get(), SCMP_ACT_ALLOW, rule.nr, count, compares);
    if (rc != 0)
      return SeccompError(rc,
                          StrCat("seccomp rule for system call ", rule.nr, " (", rule.why, ")"));
  }
  for (int nr : unconditional) {
    rc = seccomp_rule_add_exact_array(filter.get(), SCMP_ACT_ALLOW, nr, 0, nullptr);
    if (rc != 0 && rc != -EEXIST)
      return SeccompError(rc, StrCat("seccomp rule for system call ", nr));
  }
  for (const SyscallRefusal& refusal : refusals) {
    rc = seccomp_rule_add_exact_array(
        filter.get(), SCMP_ACT_ERRNO(static_cast<uint32_t>(refusal.error)), refusal.nr, 0, nullptr);
    if (rc != 0) return SeccompError(rc, StrCat("seccomp refusal of system call ", refusal.nr));
  }
  rc = seccomp_load(filter.get());
  if (rc != 0) return SeccompError(rc, "installing the seccomp filter");
  return Status();
}

}  // namespace boot
