#include "runsc-cli/flags.h"

#include <gtest/gtest.h>
#include <sys/mount.h>

#include "runsc-cli/launch.h"
#include "runsc-cli/options.h"
#include "runsc-cli/signal_names.h"
#include "sentry/boot/mount_options.h"

namespace cli {
namespace {

TEST(FlagsTest, EveryForm) {
  bool all = false, quiet = true;
  std::string name;
  Args many;
  int number = 0;
  FlagParser parser("x", FlagParser::Order::kAnywhere);
  parser.Bool("all,a", &all)
      .Bool("quiet", &quiet)
      .String("name,n", &name)
      .Strings("e", &many)
      .Int("number", &number);
  StatusOr<Args> rest = parser.Parse({"-a", "one", "--name=x=y", "--quiet=false", "-e", "A=1",
                                      "-e=B=2", "--number", "-5", "--", "--all"});
  ASSERT_TRUE(rest.ok()) << rest.status().message();
  EXPECT_EQ(*rest, (Args{"one", "--all"}));
  EXPECT_TRUE(all);
  EXPECT_FALSE(quiet);
  EXPECT_EQ(name, "x=y");
  EXPECT_EQ(many, (Args{"A=1", "B=2"}));
  EXPECT_EQ(number, -5);
}

TEST(FlagsTest, CommandLinesAreLeftAlone) {
  bool flag = false;
  FlagParser parser("x", FlagParser::Order::kFlagsFirst);
  parser.Bool("f", &flag);
  EXPECT_EQ(*parser.Parse({"ls", "-f", "--color"}), (Args{"ls", "-f", "--color"}));
  EXPECT_FALSE(flag);
  EXPECT_EQ(*parser.Parse({"-f", "-"}), (Args{"-"}));
}

TEST(FlagsTest, Errors) {
  bool flag = false;
  int number = 0;
  FlagParser parser("x", FlagParser::Order::kAnywhere);
  parser.Bool("flag", &flag).Int("number", &number);
  EXPECT_EQ(parser.Parse({"--nope=1"}).status().message(), "unknown flag --nope");
  EXPECT_EQ(parser.Parse({"--number"}).status().message(), "flag --number needs a value");
  EXPECT_EQ(parser.Parse({"--number=1x"}).status().message(),
            "invalid value \"1x\" for flag --number");
  EXPECT_EQ(parser.Parse({"--flag=maybe"}).status().message(),
            "invalid value \"maybe\" for flag --flag");
}

std::string OptionsError(const Args& args) {
  StatusOr<ParsedCommandLine> parsed = ParseOptions(args);
  return parsed.ok() ? "ok" : parsed.status().message();
}

TEST(OptionsTest, AsContainerManagersCall) {
  StatusOr<ParsedCommandLine> parsed =
      ParseOptions({"--root", "/run/x", "--log", "/l", "--log-format", "json", "--systemd-cgroup",
                    "create", "--bundle", "b", "id"});
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(parsed->options.root, "/run/x");
  EXPECT_TRUE(parsed->options.log_json);
  EXPECT_TRUE(parsed->options.systemd_cgroup);
  EXPECT_EQ(parsed->rest, (Args{"create", "--bundle", "b", "id"}));
}

TEST(OptionsTest, ValuesAreChecked) {
  EXPECT_EQ(OptionsError({"--network=host"}), "--network=host is not available yet");
  EXPECT_EQ(OptionsError({"--network=none", "--rootless=false"}), "ok");
  EXPECT_EQ(OptionsError({"--platform=kvm"}),
            "--platform: \"kvm\" is none of systrap, ptrace, auto");
  EXPECT_EQ(OptionsError({"--overlay2=disk"}),
            "--overlay2: \"disk\" is none of none, root:memory, all:memory, root:self");
  EXPECT_EQ(ParseOptions({"--overlay2=root:self"})->options.overlay, boot::Overlay::kRootMemory);
  EXPECT_EQ(OptionsError({"--file-access=x"}), "--file-access: \"x\" is none of exclusive, shared");
}

TEST(SignalNamesTest, Forms) {
  EXPECT_EQ(ParseSignal("9"), 9);
  EXPECT_EQ(ParseSignal("SIGKILL"), 9);
  EXPECT_EQ(ParseSignal("term"), 15);
  EXPECT_EQ(ParseSignal("RTMIN+3"), 37);
  EXPECT_EQ(ParseSignal("SIGRTMAX"), 64);
  EXPECT_EQ(ParseSignal("0"), 0);
  EXPECT_EQ(ParseSignal("65"), std::nullopt);
  EXPECT_EQ(ParseSignal("NOPE"), std::nullopt);
  EXPECT_EQ(ParseSignal(""), std::nullopt);
  EXPECT_EQ(ParseSignal("-1"), std::nullopt);
}

TEST(ExportsTest, RootThenBindMountsInOrder) {
  boot::Spec spec;
  spec.root.path = "/r";
  spec.mounts.resize(3);
  spec.mounts[0].type = "proc";
  spec.mounts[1] = {.destination = "/a", .type = "bind", .source = "/x", .options = {"ro"}};
  spec.mounts[2] = {.destination = "/b", .type = "bind", .source = "/y"};
  boot::ParseMountOptions(spec.mounts[1]);
  std::vector<int> indices;
  std::vector<GoferExport> exports = ExportsOf(spec, boot::Overlay::kNone, indices);
  ASSERT_EQ(exports.size(), 3u);
  EXPECT_EQ(indices, (std::vector<int>{-1, 1, 2}));
  EXPECT_FALSE(exports[0].read_only);
  EXPECT_TRUE(exports[1].read_only);
  EXPECT_FALSE(exports[2].read_only);
  // With an overlay above it nothing below may be written.
  EXPECT_TRUE(ExportsOf(spec, boot::Overlay::kRootMemory, indices)[0].read_only);
  EXPECT_FALSE(ExportsOf(spec, boot::Overlay::kRootMemory, indices)[2].read_only);
  EXPECT_TRUE(ExportsOf(spec, boot::Overlay::kAllMemory, indices)[2].read_only);
}

}  // namespace
}  // namespace cli
