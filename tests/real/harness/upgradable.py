"""A Pollux that is upgraded, perhaps again and again."""

import contextlib
import ctypes
import json
import os
import shutil
import signal
import subprocess
import time

from harness.client import DEADLINE_S
from harness.process import Pollux

PR_SET_CHILD_SUBREAPER = 36


@contextlib.contextmanager
def foster_parent():
    """Meanwhile a process whose parent has ended becomes a child of this one, so that it can be waited for."""
    adopt = lambda whether: ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, whether, 0, 0, 0)
    assert adopt(1) == 0
    try:
        yield
    finally:
        adopt(0)


class Upgradable:
    """Needs a `foster_parent`. A Pollux with an executable of its own, and whoever takes its place."""

    def __init__(self, binary, directory, config, *, listeners=1, access_log="off", options=()):
        self.binary, self.directory = directory / "bin" / "pollux", directory
        self.file = directory / "proxy.toml"
        self.binary.parent.mkdir()
        self.source = binary
        self.install()
        self.configure(config)
        self.running = Pollux(self.binary, ["-c", self.file, "--access-log", access_log, *options], directory, listeners=listeners)
        self.pids = [self.running.process.pid]

    @property
    def address(self):
        return self.running.address

    def install(self, source=None):
        """Puts another file in the place of the executable, as an installation does."""
        new = self.binary.with_suffix(".new")
        shutil.copy(source or self.source, new)
        os.replace(new, self.binary)

    def configure(self, config):
        self.file.write_text(f'control = "control"\n{config}')

    def run(self, *arguments):
        command = [self.source, *arguments, "--control", self.directory / "control"]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    def status(self):
        done = self.run("status", "--json")
        assert done.returncode == 0, done
        return json.loads(done.stdout)

    def upgrade(self):
        """Upgrades, and returns what was said; the new process is the one that answers."""
        done = self.run("upgrade")
        assert done.returncode == 0, (done, self.running.stderr()[-3000:])
        pid = self.status()["pid"]
        assert pid not in self.pids
        self.pids.append(pid)
        return done.stdout

    def wait_for_end(self, pid):
        """The exit code of a process; the first one is a child of the harness."""
        if pid == self.running.process.pid:
            return self.running.wait()
        deadline = time.monotonic() + DEADLINE_S
        while (ended := os.waitpid(pid, os.WNOHANG)) == (0, 0):
            assert time.monotonic() < deadline, f"{pid} does not end\n{self.running.stderr()[-3000:]}"
            time.sleep(0.01)
        return os.waitstatus_to_exitcode(ended[1])

    def end_well(self):
        if not self.pids:
            return
        # All but the last have been told to drain.
        assert [self.wait_for_end(pid) for pid in self.pids[:-1]] == [0] * (len(self.pids) - 1)
        os.kill(self.pids[-1], signal.SIGTERM)
        assert self.wait_for_end(self.pids[-1]) == 0, self.running.stderr()[-3000:]
        assert "panicked" not in self.running.stderr()
        self.pids = []

    def kill(self):
        for pid in self.pids:
            try:
                os.kill(pid, signal.SIGKILL)
                if pid != self.running.process.pid:
                    os.waitpid(pid, 0)
            except (ProcessLookupError, ChildProcessError):
                pass
        self.running.kill()
