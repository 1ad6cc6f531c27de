#include "sentry/kernel/known_calls.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include "sentry/mm/testing/fake_file.h"

namespace kernel {
namespace {

using mm::testing::FakeFile;
using Offsets = std::vector<uint64_t>;

TEST(KnownCallsTest, AreThoseOfOneFileInOrder) {
  KnownCalls known;
  auto creds = Credentials::Root(base::MakeRef<base::UserNamespace>(nullptr, 0));
  auto file = base::MakeRef<FakeFile>("one", O_RDONLY), other = base::MakeRef<FakeFile>("another", O_RDONLY);
  for (uint64_t offset : {30, 10, 20, 10}) known.Learn(*creds, *file, Offsets{offset});
  EXPECT_EQ(known.Learn(*creds, *file, {}), (Offsets{10, 20, 30}));
  EXPECT_EQ(known.Learn(*creds, *other, {}), Offsets());
}

TEST(KnownCallsTest, AreForThoseWithTheSameRights) {
  KnownCalls known;
  auto user_ns = base::MakeRef<base::UserNamespace>(nullptr, 0);
  auto creds = Credentials::Root(user_ns);
  auto file = base::MakeRef<FakeFile>("one", O_RDONLY);
  known.Learn(*creds, *file, Offsets{10});

  auto with = [&](auto change) {
    auto changed = base::MakeRef<Credentials>(*creds);
    change(*changed);
    return known.Learn(*changed, *file, {});
  };
  EXPECT_EQ(with([](Credentials&) {}), Offsets{10});
  EXPECT_EQ(with([](Credentials& c) { c.euid = 1; }), Offsets());
  EXPECT_EQ(with([](Credentials& c) { c.ruid = 1; }), Offsets());
  EXPECT_EQ(with([](Credentials& c) { c.sgid = 1; }), Offsets());
  EXPECT_EQ(with([](Credentials& c) { c.permitted &= c.permitted - 1; }), Offsets());
  EXPECT_EQ(with([&](Credentials& c) { c.user_ns = base::MakeRef<base::UserNamespace>(user_ns, 0); }), Offsets());
}

TEST(KnownCallsTest, AreBounded) {
  KnownCalls known;
  auto creds = Credentials::Root(base::MakeRef<base::UserNamespace>(nullptr, 0));
  auto file = base::MakeRef<FakeFile>("one", O_RDONLY);
  for (uint64_t offset = 0; offset < 10000; offset++) known.Learn(*creds, *file, Offsets{offset});
  EXPECT_LE(known.Learn(*creds, *file, {}).size(), 1000u);
}

}  // namespace
}  // namespace kernel
