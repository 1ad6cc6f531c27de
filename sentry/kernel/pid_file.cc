#include "sentry/kernel/pid_file.h"

#include "sentry/kernel/task.h"
#include "vfs/operations.h"

namespace kernel {

namespace {

class PidFile final : public vfs::FileDescription {
 public:
  explicit PidFile(RefPtr<ThreadGroup> group) : group_(std::move(group)) {}
  EventMask Readiness() override { return group_->zombie || group_->reaped ? EventMask{EPOLLIN} : 0; }
  WaitQueue* wait_queue() override { return &group_->exit_events; }
  std::string LinkName() override { return "anon_inode:[pidfd]"; }
  Result<size_t> Read(const IoVec&) override { return Errno::kEINVAL; }
  Result<size_t> Write(const IoVec&) override { return Errno::kEINVAL; }
  const void* kind() const override { return &kKind; }
  static constexpr char kKind = 0;

  const RefPtr<ThreadGroup> group_;
};

}  // namespace

RefPtr<vfs::FileDescription> MakePidFile(RefPtr<ThreadGroup> group, RefPtr<const Credentials> creds, int flags) {
  auto file = MakeRef<PidFile>(std::move(group));
  vfs::InitAnonymous(*file, "anon_inode:[pidfd]", 0600, O_RDWR | flags, std::move(creds));
  return file;
}

ThreadGroup* PidFileTarget(vfs::FileDescription& file) {
  return file.kind() == &PidFile::kKind ? static_cast<PidFile&>(file).group_.get() : nullptr;
}

}  // namespace kernel
