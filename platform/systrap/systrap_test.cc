#include "platform/systrap/systrap.h"

#include <gtest/gtest.h>

#include "platform/systrap/guest_test_util.h"

namespace platform::systrap {
namespace {

using Kind = Event::Kind;

GUEST(kGetpid, R"(
    mov $39, %eax
    syscall
    mov %rax, %rdi
    mov $60, %eax
    syscall
    hlt
)");

TEST(Systrap, SystemCallsAndResults) {
  Guest guest;
  guest.OnFiber([&] {
    auto space = guest.NewSpace(kGetpid);
    auto context = guest.NewContext();
    Event event = context->Run(*space);
    EXPECT_EQ(event.kind, Kind::kSyscall);
    EXPECT_EQ(event.nr, 39u);
    EXPECT_EQ(event.ip, kCode + 7);
    context->SetResult(1234);
    event = context->Run(*space);
    EXPECT_EQ(event.kind, Kind::kSyscall);
    EXPECT_EQ(event.nr, 60u);
    EXPECT_EQ(event.args[0], 1234u);
  });
}

}  // namespace
}  // namespace platform::systrap
