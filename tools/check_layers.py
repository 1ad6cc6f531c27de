#!/usr/bin/env python3
"""Checks that no include points up or sideways (docs/architecture.md). Prints each wrong edge; exit status 1 if there is one.

A line may be waived by a comment on it: // layer: why
"""
import os
import re
import subprocess
import sys

# directory -> what it may include besides itself. The longest matching prefix counts.
ALLOWED = {
    "base": [],
    "platform": ["base"],
    "platform/ptrace": ["base", "platform/platform.h"],
    "platform/systrap": ["base", "platform/platform.h"],
    "platform/kvm": ["base", "platform/platform.h"],
    "vfs": ["base"],
    "vfs/fs": ["base", "vfs"],
    "vfs/fs/gofer": ["base", "vfs", "gofer/protocol"],
    "gofer/protocol": ["base"],
    "gofer": ["base", "gofer/protocol"],
    "netstack": ["base"],
    "sentry": ["base", "vfs", "platform/platform.h", "netstack"],
    "syscalls": ["base", "vfs", "platform/platform.h", "sentry"],
    "runsc-cli": ["base", "vfs", "platform", "gofer", "netstack", "sentry", "syscalls"],
    "bench": ["base", "vfs", "platform", "gofer", "netstack", "sentry", "syscalls"],
    "tests": [],
}
# The kernel knows file systems by vfs/ alone; proc is built from the pseudo file system's parts.
FORBIDDEN = {"sentry": ["vfs/fs"], "vfs": ["vfs/fs"]}
WAIVED = {("sentry/proc", "vfs/fs/pseudo")}
TESTS_MAY = {"platform/systrap": ["platform/ptrace/guest"], "sentry": ["platform", "vfs/fs"], "vfs": ["vfs/fs", "gofer"], "gofer": ["vfs"]}


def longest(table, path):
    matches = [k for k in table if path == k or path.startswith(k + "/")]
    return max(matches, key=len) if matches else None


def main():
    files = subprocess.run(["git", "ls-files", "*.cc", "*.h", "*.S"], capture_output=True, text=True, check=True).stdout.split()
    wrong = []
    for path in files:
        layer = longest(ALLOWED, os.path.dirname(path))
        if layer is None or path.startswith("tests/"):
            continue
        test = re.search(r"_(test|benchmark)\.(cc|h)$|test_util|fuzz", path)
        for number, line in enumerate(open(path), 1):
            m = re.match(r'\s*#include "([^"]+)"', line)
            if not m or "// layer:" in line or "/" not in m[1]:
                continue
            target = m[1]
            own = longest(ALLOWED, os.path.dirname(target))
            if own is None:
                continue  # a library
            top = layer.split("/")[0]
            ok = own == layer or any(target == a or target.startswith(a + "/") for a in ALLOWED[layer])
            bad = any(target.startswith(f + "/") for f in FORBIDDEN.get(layer, []))
            if layer == "vfs/fs" and target.startswith("vfs/fs/"):
                # File systems do not know each other, but for the parts that several are built from.
                mine, theirs = path.split("/")[2], target.split("/")[2]
                bad = mine != theirs and theirs not in ("pseudo", "pipe", "tmpfs")
            if any(path.startswith(a + "/") and target.startswith(b + "/") for a, b in WAIVED):
                ok, bad = True, False
            if test and any(target.startswith(t) for t in TESTS_MAY.get(layer, []) + TESTS_MAY.get(top, [])):
                ok, bad = True, False
            if not ok or bad:
                wrong.append(f"{path}:{number}: {layer} may not include {target}")
    for line in wrong:
        print(line)
    print("layers: " + ("FAIL" if wrong else "OK"))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
