"""A network namespace of a test's own."""

import os
import subprocess

from .client import DEADLINE_S


class Namespace:
    """It goes with the process that keeps it. `setup` are shell commands, run in it before it is used."""

    def __init__(self, setup="true"):
        as_root = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        script = f"ip link set lo up && {setup} && echo ready && exec cat"
        self._keeper = subprocess.Popen(["unshare", "--net", *as_root, "sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._keeper.stdout.readline() == b"ready\n", "there is no network namespace to be had"
        enter = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
        self.enter = ["nsenter", *enter, "--net", "--target", str(self._keeper.pid), "--"]

    def run(self, *command):
        done = subprocess.run([*self.enter, *map(str, command)], capture_output=True, text=True, timeout=DEADLINE_S)
        assert done.returncode == 0, done
        return done.stdout

    def close(self):
        self._keeper.stdin.close()
        self._keeper.wait()
