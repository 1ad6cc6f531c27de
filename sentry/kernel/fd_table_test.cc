#include "sentry/kernel/fd_table.h"

#include <gtest/gtest.h>

namespace kernel {
namespace {

int closed = 0;

class TestFile final : public vfs::FileDescription {
 public:
  Result<void> OnClose() override {
    closed++;
    return {};
  }
};

RefPtr<vfs::FileDescription> NewFile() { return MakeRef<TestFile>(); }

TEST(FdTable, GivesTheLowestFreeNumber) {
  FdTable table;
  for (int i = 0; i < 3; i++) EXPECT_EQ(*table.Install(NewFile(), false, 1024), i);
  ASSERT_TRUE(table.Close(1).ok());
  EXPECT_EQ(*table.Install(NewFile(), false, 1024), 1);
  EXPECT_EQ(*table.Install(NewFile(), false, 1024), 3);
  EXPECT_EQ(*table.Install(NewFile(), false, 1024, 10), 10);
}

TEST(FdTable, EndsAtTheLimit) {
  FdTable table;
  EXPECT_EQ(*table.Install(NewFile(), false, 1), 0);
  EXPECT_EQ(table.Install(NewFile(), false, 1).error(), Errno::kEMFILE);
  EXPECT_EQ(table.Install(NewFile(), false, 1, 1).error(), Errno::kEINVAL);
  EXPECT_EQ(table.InstallAt(1, NewFile(), false, 1).error(), Errno::kEBADF);
  EXPECT_EQ(table.InstallAt(-1, NewFile(), false, 10).error(), Errno::kEBADF);
}

TEST(FdTable, ReplacingCloses) {
  FdTable table;
  ASSERT_TRUE(table.Install(NewFile(), false, 10).ok());
  closed = 0;
  ASSERT_TRUE(table.InstallAt(0, NewFile(), true, 10).ok());
  EXPECT_EQ(closed, 1);
  EXPECT_TRUE(*table.cloexec(0));
}

TEST(FdTable, CloseOnExecClosesOnlyThose) {
  FdTable table;
  ASSERT_TRUE(table.Install(NewFile(), true, 10).ok());
  ASSERT_TRUE(table.Install(NewFile(), false, 10).ok());
  RefPtr<FdTable> copy = table.Copy();
  copy->CloseOnExec();
  EXPECT_EQ(copy->Numbers(), std::vector<int>{1});
  EXPECT_EQ(table.Numbers(), (std::vector<int>{0, 1}));
}

}  // namespace
}  // namespace kernel
