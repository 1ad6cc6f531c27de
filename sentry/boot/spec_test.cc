#include "sentry/boot/spec.h"

#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include "sentry/boot/capability_names.h"

namespace boot {
namespace {

constexpr std::string_view kMinimal = R"({"ociVersion": "1.0.2", "root": {"path": "rootfs"},
  "process": {"args": ["/bin/sh"], "cwd": "/"}})";

std::string ErrorOf(std::string_view text) {
  StatusOr<Spec> spec = ParseSpec(text);
  return spec.ok() ? "ok" : std::string(spec.status().message());
}

// kMinimal with `section` in front of everything else.
std::string With(std::string_view section) {
  return StrCat("{", section, ", ", kMinimal.substr(1));
}

TEST(SpecTest, MinimalIsEnough) {
  StatusOr<Spec> spec = ParseSpec(kMinimal);
  ASSERT_TRUE(spec.ok()) << spec.status().message();
  EXPECT_EQ(spec->root.path, "rootfs");
  EXPECT_EQ(spec->process.args, std::vector<std::string>{"/bin/sh"});
  EXPECT_EQ(spec->process.uid, 0u);
  EXPECT_FALSE(spec->process.umask.has_value());
}

TEST(SpecTest, ReadsEverySection) {
  StatusOr<Spec> spec = ParseSpec(R"({
    "ociVersion": "1.1.0",
    "process": {
      "terminal": true, "consoleSize": {"height": 25, "width": 80},
      "user": {"uid": 1000, "gid": 1001, "additionalGids": [5, 6], "umask": 18},
      "args": ["sleep", "1"], "env": ["A=b"], "cwd": "/tmp",
      "capabilities": {"bounding": ["CAP_CHOWN", "CAP_KILL"], "effective": ["CAP_KILL"],
                       "permitted": ["CAP_KILL"], "ambient": ["CAP_FROM_THE_FUTURE"]},
      "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 1024, "hard": 18446744073709551615}],
      "noNewPrivileges": true, "oomScoreAdj": -5
    },
    "root": {"path": "/r", "readonly": true},
    "hostname": "h", "domainname": "d",
    "mounts": [
      {"destination": "/proc", "type": "proc", "source": "proc"},
      {"destination": "data", "type": "bind", "source": "/x", "options": ["rbind", "ro", "rslave", "size=1"]}
    ],
    "annotations": {"a": "b"},
    "hooks": {"poststop": [{"path": "/h", "args": ["h", "1"], "env": ["X=1"], "timeout": 3}]},
    "linux": {
      "namespaces": [{"type": "pid"}, {"type": "network", "path": "/n"}],
      "cgroupsPath": "/c", "maskedPaths": ["/m"], "readonlyPaths": ["/ro"],
      "sysctl": {"net.x": "1"}, "rootfsPropagation": "rprivate",
      "resources": {"memory": {"limit": 1048576, "swap": -1}, "cpu": {"shares": 2, "quota": -1, "period": 100000,
                    "cpus": "0-1"}, "pids": {"limit": 10}}
    },
    "future": {"anything": [1, 2]}
  })");
  ASSERT_TRUE(spec.ok()) << spec.status().message();
  EXPECT_TRUE(spec->process.terminal);
  EXPECT_EQ(spec->process.console_rows, 25);
  EXPECT_EQ(spec->process.console_columns, 80);
  EXPECT_EQ(spec->process.additional_gids, (std::vector<uint32_t>{5, 6}));
  EXPECT_EQ(spec->process.umask, 18u);
  EXPECT_EQ(spec->process.capabilities.bounding, uint64_t{1} << 0 | uint64_t{1} << 5);
  EXPECT_EQ(spec->process.capabilities.effective, uint64_t{1} << 5);
  EXPECT_EQ(spec->process.capabilities.ambient, 0u);
  ASSERT_EQ(spec->process.rlimits.size(), 1u);
  EXPECT_EQ(spec->process.rlimits[0].resource, RLIMIT_NOFILE);
  EXPECT_EQ(spec->process.rlimits[0].hard, UINT64_MAX);
  EXPECT_TRUE(spec->process.no_new_privileges);
  EXPECT_EQ(spec->process.oom_score_adj, -5);
  EXPECT_TRUE(spec->root.readonly);
  ASSERT_EQ(spec->mounts.size(), 2u);
  EXPECT_FALSE(spec->mounts[0].is_bind());
  EXPECT_EQ(spec->mounts[1].destination, "/data");
  EXPECT_TRUE(spec->mounts[1].is_bind());
  EXPECT_EQ(spec->mounts[1].flags, uint64_t{MS_BIND | MS_REC | MS_RDONLY});
  EXPECT_EQ(spec->mounts[1].propagation, uint64_t{MS_SLAVE | MS_REC});
  EXPECT_EQ(spec->mounts[1].data, "size=1");
  ASSERT_EQ(spec->hooks.poststop.size(), 1u);
  EXPECT_EQ(spec->hooks.poststop[0].timeout_seconds, 3);
  ASSERT_EQ(spec->namespaces.size(), 2u);
  EXPECT_EQ(spec->namespaces[1].path, "/n");
  EXPECT_EQ(spec->cgroups_path, "/c");
  EXPECT_EQ(spec->sysctl.at("net.x"), "1");
  EXPECT_EQ(spec->resources.memory_limit, 1048576);
  EXPECT_EQ(spec->resources.memory_swap, -1);
  EXPECT_EQ(spec->resources.cpu_quota, -1);
  EXPECT_EQ(spec->resources.pids_limit, 10);
}

TEST(SpecTest, ErrorsNameThePlace) {
  EXPECT_EQ(ErrorOf("{"), "not valid JSON (at byte 2)");
  EXPECT_EQ(ErrorOf("[]"), "expected an object");
  EXPECT_EQ(ErrorOf("{}"), "ociVersion: missing");
  EXPECT_EQ(ErrorOf(R"({"ociVersion": "2.0"})"),
            "ociVersion: version 2.0 is not supported, 1.x is");
  EXPECT_EQ(ErrorOf(R"({"ociVersion": "1.0.0"})"), "root: missing");
  EXPECT_EQ(ErrorOf(R"({"ociVersion": "1.0.0", "root": {"path": "r"}})"), "process: missing");
  EXPECT_EQ(ErrorOf(R"({"ociVersion": "1.0.0", "root": {"path": "r"}, "process": {}})"),
            "process.args: must name a program");
  EXPECT_EQ(ErrorOf(With(R"("hostname": 5)")), "hostname: expected a string");
  EXPECT_EQ(ErrorOf(With(R"("hostname": "a\u0000b")")), "hostname: the string holds a zero byte");
  EXPECT_EQ(ErrorOf(With(R"("mounts": [{"destination": "/a"}, {"destination": 7}])")),
            "mounts[1].destination: expected a string");
  EXPECT_EQ(ErrorOf(With(R"("mounts": [{"destination": "/a", "type": "bind"}])")),
            "mounts[0].source: a bind mount needs one");
  EXPECT_EQ(ErrorOf(With(R"("linux": {"resources": {"cpu": {"shares": -1}}})")),
            "linux.resources.cpu.shares: the number is out of range");
  EXPECT_EQ(ErrorOf(With(R"("linux": {"resources": {"pids": {"limit": "x"}}})")),
            "linux.resources.pids.limit: expected an integer");
  EXPECT_EQ(ErrorOf(With(R"("hooks": {"prestart": [{"path": "rel"}]})")),
            "hooks.prestart[0].path: must be an absolute path");
}

TEST(SpecTest, ProcessAlone) {
  StatusOr<ProcessSpec> process =
      ParseProcess(R"({"args": ["ls"], "cwd": "/x", "user": {"uid": 4294967295}})");
  ASSERT_TRUE(process.ok()) << process.status().message();
  EXPECT_EQ(process->uid, 4294967295u);
  EXPECT_EQ(ParseProcess(R"({"args": ["ls"], "cwd": "x"})").status().message(),
            "cwd: must be an absolute path");
  EXPECT_EQ(ParseProcess(R"({"args": ["ls"], "user": {"uid": 4294967296}})").status().message(),
            "user.uid: the number is out of range");
  EXPECT_EQ(
      ParseProcess(R"({"args": ["ls"], "rlimits": [{"type": "RLIMIT_X"}]})").status().message(),
      "rlimits[0].type: unknown resource limit \"RLIMIT_X\"");
}

TEST(SpecTest, MissingFileIsNamed) {
  EXPECT_EQ(LoadSpec("/nonexistent").status().message(),
            "/nonexistent/config.json: No such file or directory");
}

TEST(CapabilityNamesTest, BothWays) {
  EXPECT_EQ(CapabilityNumber("CAP_SYS_ADMIN"), 21);
  EXPECT_EQ(CapabilityNumber("sys_admin"), 21);
  EXPECT_EQ(CapabilityNumber("CAP_NOPE"), std::nullopt);
  for (int i = 0; i <= kLastCapability; i++) EXPECT_EQ(CapabilityNumber(CapabilityName(i)), i);
}

}  // namespace
}  // namespace boot
