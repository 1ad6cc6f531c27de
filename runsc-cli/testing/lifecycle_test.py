#!/usr/bin/env python3
"""The verbs of runsc end to end, with a kernel that runs no application code (fake_kernel.cc).

usage: lifecycle_test.py RUNSC_FAKE [unittest arguments]
"""

import array
import fcntl
import json
import os
import pty
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import time
import unittest

RUNSC = sys.argv.pop(1)


class Lifecycle(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="runsc-cli-")
        os.makedirs(self.path("bundle/rootfs"))

    def tearDown(self):
        for name in os.listdir(self.path("root")) if os.path.isdir(self.path("root")) else []:
            self.runsc("delete", "--force", name)
        leftovers = os.listdir(self.path("root")) if os.path.isdir(self.path("root")) else []
        shutil.rmtree(self.dir)
        self.assertEqual(leftovers, [])
        # Of everything that this test started, nothing runs.
        self.assertEqual(self.processes_mentioning(self.dir), [])

    @staticmethod
    def processes_mentioning(text):
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    if text.encode() in file.read() and int(pid) != os.getpid():
                        found.append(int(pid))
            except OSError:
                pass
        return found

    def path(self, *names):
        return os.path.join(self.dir, *names)

    def bundle(self, *args, **fields):
        spec = {"ociVersion": "1.0.2", "root": {"path": "rootfs"},
                "process": {"args": list(args), "cwd": "/", "terminal": fields.pop("terminal", False)}}
        spec.update(fields)
        with open(self.path("bundle/config.json"), "w") as file:
            json.dump(spec, file)
        return self.path("bundle")

    def command(self, *args):
        return [RUNSC, "--root", self.path("root"), "--platform", "ptrace", *args]

    def runsc(self, *args, **kw):
        kw.setdefault("timeout", 30)
        return subprocess.run(self.command(*args), capture_output=True, text=True, **kw)

    def good(self, *args, **kw):
        done = self.runsc(*args, **kw)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def bad(self, message, *args, code=1):
        done = self.runsc(*args)
        self.assertEqual(done.returncode, code, done.stderr)
        self.assertIn(message, done.stderr)
        self.assertEqual(done.stderr.count("\n"), 1)

    # A container that hangs, with stdio that nobody waits for.
    def create(self, *flags, program=("hang",), **fields):
        self.bundle(*program, **fields)
        with open(self.path("out"), "w") as out:
            done = subprocess.run(self.command("create", *flags, "--bundle", self.path("bundle"), "c"),
                                  stdin=subprocess.DEVNULL, stdout=out, stderr=out, timeout=30)
        with open(self.path("out")) as out:
            self.assertEqual(done.returncode, 0, out.read())

    def state(self):
        return json.loads(self.good("state", "c"))

    def await_state(self, status):
        for _ in range(500):
            if self.state()["status"] == status:
                return
            time.sleep(0.01)
        self.fail(f"not {status}: {self.state()}")

    def test_run_returns_the_status_and_deletes(self):
        self.assertEqual(self.runsc("run", "-b", self.bundle("exit", "7"), "c").returncode, 7)
        self.assertEqual(self.runsc("state", "c").returncode, 1)
        done = self.runsc("run", "-b", self.bundle("say", "hello"), "c")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "hello\n", ""))

    def test_do(self):
        done = self.runsc("do", "say", "-x")
        self.assertEqual((done.returncode, done.stdout), (0, "-x\n"))
        self.bad('executable file not found', "do", "nonexistent")

    def test_life_of_a_container(self):
        self.create("--pid-file", self.path("pid"))
        state = self.state()
        self.assertEqual(state["status"], "created")
        self.assertEqual(state["bundle"], self.path("bundle"))
        with open(self.path("pid")) as file:
            self.assertEqual(int(file.read()), state["pid"])
        self.bad("exists already", "create", "-b", self.path("bundle"), "c")
        self.good("start", "c")
        self.assertEqual(self.state()["status"], "running")
        self.bad("cannot start a container in the running state", "start", "c")
        self.bad("not stopped: running", "delete", "c")
        self.assertEqual(json.loads(self.good("ps", "--format", "json", "c")), [1])
        self.assertIn("hang", self.good("ps", "c"))
        self.good("pause", "c")
        self.assertEqual(self.state()["status"], "paused")
        self.bad("paused container", "exec", "c", "say", "x", code=255)
        self.good("resume", "c")
        listed = json.loads(self.good("list", "--format", "json"))
        self.assertEqual([(c["id"], c["status"]) for c in listed], [("c", "running")])
        self.assertEqual(self.good("list", "-q"), "c\n")
        waiter = subprocess.Popen(self.command("wait", "c"), stdout=subprocess.PIPE, text=True)
        time.sleep(0.1)
        self.good("kill", "c", "TERM")
        self.assertEqual(json.loads(waiter.communicate(timeout=30)[0]), {"id": "c", "exitStatus": 143})
        self.await_state("stopped")
        self.bad("container not running", "kill", "c")
        self.assertEqual(self.state()["pid"], 0)
        self.good("delete", "c")
        self.bad("does not exist", "state", "c")
        self.bad("does not exist", "delete", "c")
        self.good("delete", "--force", "c")

    def test_the_sentry_exits_as_init_did(self):
        # As a container manager sees it that reaps the Sentry (a subreaper).
        import ctypes
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
        self.create(program=("exit", "9"))
        pid = self.state()["pid"]
        self.good("start", "c")
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 9)

    def test_errors_of_start(self):
        self.bad('"nope": executable file not found', "run", "-b", self.bundle("nope"), "c")
        self.bad("config.json: No such file", "create", "-b", self.dir, "c")
        self.bad("process.args: must name a program", "create", "-b", self.bundle(), "c")
        self.bad("invalid container id", "create", "-b", self.bundle("hang"), "a/b")
        self.bad("detached container without --console-socket", "create", "-b", self.bundle("hang", terminal=True), "c")

    def test_a_sentry_that_breaks_its_filter_is_killed(self):
        done = self.runsc("run", "-b", self.bundle("violate"), "c")
        self.assertEqual(done.returncode, 128 + signal.SIGSYS)
        self.assertIn("killed by signal 31", done.stderr)
        done = self.runsc("run", "-b", self.bundle("crash"), "c")
        # abort(3) kills no init of a pid namespace, which a Sentry is; its handler makes it another signal.
        self.assertEqual(done.returncode, 128 + signal.SIGILL)
        self.assertIn("killed by signal 4", done.stderr)

    def test_platforms_work_within_the_walls(self):
        for platform in ["ptrace", "systrap"]:
            done = subprocess.run([RUNSC, "--root", self.path("root"), "--platform", platform, "do", "guest"],
                                  capture_output=True, text=True, timeout=60)
            if "cannot be used here" in done.stderr or "has no platform" in done.stderr:
                continue
            self.assertEqual((done.returncode, done.stderr), (0, ""), platform)

    def test_errors_in_the_log_are_json(self):
        self.runsc("--log", self.path("log"), "--log-format", "json", "state", 'x"y')
        with open(self.path("log")) as log:
            entry = json.loads(log.read())
        self.assertEqual(entry["level"], "error")
        self.assertIn("invalid container id", entry["msg"])
        self.assertRegex(entry["time"], r"^\d{4}-\d\d-\d\dT.*Z$")

    def test_run_forwards_signals(self):
        process = subprocess.Popen(self.command("run", "-b", self.bundle("hang"), "c"))
        for _ in range(200):
            if self.runsc("state", "c").returncode == 0 and self.state()["status"] == "running":
                break
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(timeout=30), 128 + signal.SIGINT)
        self.bad("does not exist", "state", "c")

    def test_run_dies_with_its_command(self):
        process = subprocess.Popen(self.command("run", "-b", self.bundle("hang"), "c"))
        for _ in range(200):
            if self.runsc("state", "c").returncode == 0 and self.state()["status"] == "running":
                break
            time.sleep(0.01)
        pid = self.state()["pid"]
        process.kill()
        process.wait()
        self.await_state("stopped")
        self.good("delete", "c")

    def test_detached_run_stays(self):
        self.bundle("hang")
        with open(os.devnull, "r+") as null:
            done = subprocess.run(self.command("run", "--detach", "-b", self.path("bundle"), "c"),
                                  stdin=null, stdout=null, stderr=null, timeout=30)
        self.assertEqual(done.returncode, 0)
        self.assertEqual(self.state()["status"], "running")
        self.bad("not stopped", "delete", "c")
        self.good("delete", "-f", "c")

    def test_exec(self):
        self.create()
        self.good("start", "c")
        self.assertEqual(self.good("exec", "c", "say", "hi"), "hi\n")
        self.assertEqual(self.runsc("exec", "c", "exit", "5").returncode, 5)
        self.bad("nope: No such file or directory", "exec", "c", "nope", code=255)
        with open(self.path("process.json"), "w") as file:
            json.dump({"args": ["exit", "6"], "cwd": "/"}, file)
        self.assertEqual(self.runsc("exec", "--process", self.path("process.json"), "c").returncode, 6)

    def test_detached_exec_has_a_stand_in(self):
        import ctypes
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
        self.create()
        self.good("start", "c")

        def start(*program):
            # Its output is open as long as the process is.
            command = self.command("exec", "--detach", "--pid-file", self.path("pid"), "--internal-pid-file",
                                   self.path("ipid"), "c", *program)
            with open(os.devnull, "r+") as null:
                self.assertEqual(subprocess.run(command, stdin=null, stdout=null, stderr=null, timeout=30).returncode, 0)
            with open(self.path("pid")) as file:
                return int(file.read())
        pid = start("exit", "4")
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 4)
        # A signal to it is one to the process.
        pid = start("hang")
        self.assertEqual(len(json.loads(self.good("ps", "-f", "json", "c"))), 2)
        os.kill(pid, signal.SIGTERM)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 128 + signal.SIGTERM)
        # So is the one that it cannot see.
        pid = start("hang")
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        for _ in range(300):
            if json.loads(self.good("ps", "-f", "json", "c")) == [1]:
                break
            time.sleep(0.01)
        self.assertEqual(json.loads(self.good("ps", "-f", "json", "c")), [1])
        # When the sandbox ends, so does it.
        pid = start("hang")
        self.good("kill", "c", "KILL")
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 128 + signal.SIGKILL)

    def console_socket(self):
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        server.bind(self.path("console"))
        server.listen()
        return server

    def receive_console(self, server):
        connection, _ = server.accept()
        fds = array.array("i")
        _, ancillary, _, _ = connection.recvmsg(100, socket.CMSG_LEN(4))
        fds.frombytes(ancillary[0][2][:4])
        connection.close()
        return fds[0]

    def test_console_socket(self):
        with self.console_socket() as server:
            self.bundle("tty")
            spec = {"ociVersion": "1.0.2", "root": {"path": "rootfs"},
                    "process": {"args": ["tty"], "cwd": "/", "terminal": True, "consoleSize": {"height": 33, "width": 99}}}
            with open(self.path("bundle/config.json"), "w") as file:
                json.dump(spec, file)
            self.good("create", "-b", self.path("bundle"), "--console-socket", self.path("console"), "c")
            master = self.receive_console(server)
            self.good("start", "c")
            self.assertEqual(os.read(master, 100), b"tty 0 33x99\r\n")
            os.close(master)

    def test_signals_of_the_terminal_reach_the_sentry(self):
        self.bundle("hang", terminal=True)
        with self.console_socket() as server:
            self.good("run", "--detach", "-b", self.path("bundle"), "--console-socket", self.path("console"), "c")
            master = self.receive_console(server)
            text = b""
            os.write(master, b"\x03")
            while b"signal 2" not in text:
                text += os.read(master, 100)
            fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 11, 22, 0, 0))
            while b"signal 28" not in text:
                text += os.read(master, 100)
            os.close(master)

    def test_exec_with_a_terminal(self):
        self.create()
        self.good("start", "c")
        with self.console_socket() as server:
            self.good("exec", "--detach", "--tty", "--console-socket", self.path("console"), "--pid-file",
                      self.path("pid"), "c", "hang")
            master = self.receive_console(server)
            time.sleep(0.1)
            os.write(master, b"\x03")  # Ctrl-C
            text = b""
            while b"foreground" not in text:
                text += os.read(master, 100)
            os.close(master)

    def test_own_terminal(self):
        pid, master = pty.fork()
        if pid == 0:
            command = self.command("run", "-b", self.bundle("say", "through a terminal", terminal=True), "c")
            os.execv(command[0], command)
        text = b""
        while True:
            try:
                more = os.read(master, 1000)
            except OSError:
                break
            if not more:
                break
            text += more
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0, text)
        self.assertIn(b"through a terminal", text)
        os.close(master)

    def test_hooks(self):
        def hook(name):
            return [{"path": "/bin/sh", "args": ["sh", "-c", f"cat > {self.path(name)}"]}]
        names = ["prestart", "createRuntime", "createContainer", "poststart", "poststop"]
        self.create(hooks={name: hook(name) for name in names})

        def seen(name):
            with open(self.path(name)) as file:
                return json.load(file)["status"]
        self.assertEqual([seen(n) for n in names[:3]], ["creating"] * 3)
        self.assertFalse(os.path.exists(self.path("poststart")))
        self.good("start", "c")
        self.assertEqual(seen("poststart"), "running")
        self.good("delete", "--force", "c")
        self.assertEqual(seen("poststop"), "stopped")
        self.bundle("hang", hooks={"createRuntime": [{"path": "/bin/false"}]})
        self.bad("createRuntime hook /bin/false: exit status 1", "create", "-b", self.path("bundle"), "d")
        self.bad("does not exist", "state", "d")

    def test_cgroup(self):
        name = f"runsc-test-{os.getpid()}"
        try:
            self.create(linux={"cgroupsPath": "/" + name, "resources": {"pids": {"limit": 77}}})
        except AssertionError as error:
            if "no cgroup" in str(error):
                self.skipTest(str(error))
            raise
        pid = self.state()["pid"]
        with open(f"/proc/{pid}/cgroup") as file:
            self.assertIn(name, file.read())
        made = [os.path.join(d, name) for d, dirs, _ in os.walk("/sys/fs/cgroup") if name in dirs]
        self.assertTrue(made)
        self.good("delete", "--force", "c")
        self.assertEqual([d for d in made if os.path.exists(d)], [])

    def test_the_sentry_is_walled_in(self):
        self.create()
        pid = self.state()["pid"]
        with open(f"/proc/{pid}/status") as file:
            status = dict(line.split(":\t", 1) for line in file.read().splitlines() if ":\t" in line)
        for name in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"]:
            self.assertEqual(int(status[name], 16), 0, name)
        self.assertEqual(status["NoNewPrivs"], "1")
        self.assertEqual(status["Seccomp"], "2")
        self.assertEqual(status["Uid"].split(), ["65534"] * 4)
        self.assertEqual(os.listdir(f"/proc/{pid}/root"), [])
        for name in ["user", "pid", "mnt", "net", "ipc", "uts"]:
            self.assertNotEqual(os.readlink(f"/proc/{pid}/ns/{name}"), os.readlink(f"/proc/self/ns/{name}"), name)

    def test_signal_while_creating_leaves_nothing(self):
        self.bundle("hang", hooks={"prestart": [{"path": "/bin/sleep", "args": ["sleep", "1"]}]})
        process = subprocess.Popen(self.command("create", "-b", self.path("bundle"), "c"), stderr=subprocess.DEVNULL,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        time.sleep(0.3)
        self.assertEqual(self.state()["status"], "creating")
        process.terminate()
        self.assertEqual(process.wait(timeout=30), 1)
        self.bad("does not exist", "state", "c")

    def test_killed_while_creating_can_be_deleted(self):
        self.bundle("hang", hooks={"prestart": [{"path": "/bin/sleep", "args": ["sleep", "1"]}]})
        process = subprocess.Popen(self.command("create", "-b", self.path("bundle"), "c"), stderr=subprocess.DEVNULL,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        time.sleep(0.3)
        process.kill()
        process.wait()
        self.await_state("stopped")
        self.good("delete", "c")

    def test_spec_makes_a_usable_bundle(self):
        self.good("spec", "--bundle", self.path("bundle"), "--", "say", "spec")
        self.assertEqual(self.good("run", "-b", self.path("bundle"), "c"), "spec\n")
        self.bad("exists already", "spec", "--bundle", self.path("bundle"))

    def test_debug_log_by_process(self):
        self.good("--debug", "--debug-log", self.path("logs.%ID%.%COMMAND%"), "run", "-b", self.bundle("exit", "0"), "c")
        logs = sorted(n for n in os.listdir(self.dir) if n.startswith("logs."))
        self.assertEqual(logs, ["logs.c.boot", "logs.c.gofer", "logs.cli.run"])
        with open(self.path("logs.c.boot")) as file:
            self.assertIn("first instruction", file.read())


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("needs root")
        sys.exit(77)
    unittest.main(verbosity=1)
