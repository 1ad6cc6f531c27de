#include "sentry/kernel/pid.h"

#include <gtest/gtest.h>

namespace kernel {
namespace {

RefPtr<PidNamespace> NewNamespace(RefPtr<PidNamespace> parent = nullptr) {
  return MakeRef<PidNamespace>(std::move(parent), MakeRef<base::UserNamespace>(nullptr, 0));
}

TEST(Pid, HasANumberInEachNamespaceAbove) {
  RefPtr<PidNamespace> root = NewNamespace();
  RefPtr<Pid> first = *root->Allocate();
  RefPtr<PidNamespace> inner = NewNamespace(root);
  RefPtr<Pid> pid = *inner->Allocate();
  EXPECT_EQ(first->In(*root), 1);
  EXPECT_EQ(pid->In(*root), 2);
  EXPECT_EQ(pid->In(*inner), 1);
  EXPECT_EQ(first->In(*inner), 0);
  EXPECT_EQ(inner->Find(1), pid.get());
}

TEST(Pid, FreesItsNumbers) {
  RefPtr<PidNamespace> root = NewNamespace();
  { RefPtr<Pid> pid = *root->Allocate(); }
  EXPECT_EQ(root->Find(1), nullptr);
  // Numbers go up before they come again.
  EXPECT_EQ((*root->Allocate())->In(*root), 2);
}

TEST(Pid, WrapsToThreeHundred) {
  RefPtr<PidNamespace> root = NewNamespace();
  RefPtr<Pid> low = *root->Allocate();
  root->last = root->pid_max - 1;
  EXPECT_EQ((*root->Allocate())->In(*root), 300);
}

TEST(PidNamespace, GivesNoNumbersOnceDead) {
  RefPtr<PidNamespace> root = NewNamespace();
  root->dead = true;
  EXPECT_EQ(root->Allocate().error(), Errno::kENOMEM);
}

}  // namespace
}  // namespace kernel
