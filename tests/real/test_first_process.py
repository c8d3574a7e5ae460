"""As the first process of a container: in a PID namespace of its own."""

import os
import pathlib
import signal
import subprocess
import time

import pytest

from harness.client import DEADLINE_S, connect, get
from harness.process import Pollux


def children(pid):
    """The processes whose parent it is, those that have ended and were not taken in included."""
    return pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


@pytest.fixture
def first(pollux_bin, toy, tmp_path):
    """A Pollux that is process 1 of its namespace, its number outside, and a way to run something beside it."""
    file = tmp_path / "proxy.toml"
    file.write_text(
        'control = "control"\n[[listener]]\nbind = "127.0.0.1:0"\npool = "app"\n'
        f'[pool.app]\nbackends = ["{toy("echo").host_port}"]\n'
    )
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    options = [*user, "--pid", "--fork", "--kill-child", "--mount-proc", "--", pollux_bin, "-c", file]
    proxy = Pollux("unshare", options, tmp_path)
    [pid] = children(proxy.process.pid)

    def beside(*command):
        enter = ["nsenter", f"--target={pid}", *(["--user"] if user else []), "--pid", "--mount", "--", *command]
        return subprocess.run(list(map(str, enter)), capture_output=True, text=True, timeout=DEADLINE_S)

    yield proxy, int(pid), beside
    proxy.kill()


# It waits until it has lost its parent, says so, and ends.
ORPHAN = 'while [ "$(cut -d" " -f4 /proc/$$/stat)" != 1 ]; do :; done; echo orphan'


def test_orphans_are_taken_in(first):
    proxy, pid, beside = first
    for _ in range(5):
        done = beside("sh", "-c", f"for i in 1 2 3; do sh -c '{ORPHAN}' & done")
        assert done.stdout.split() == ["orphan"] * 3, done
    deadline = time.monotonic() + DEADLINE_S
    while left := children(pid):
        assert time.monotonic() < deadline, f"{left} have ended and are still there"
        time.sleep(0.01)
    with connect(proxy.address) as client:
        client.sendall(get("/"))
        assert client.recv(4096).startswith(b"HTTP/1.1 200")


def test_an_upgrade_says_what_it_would_come_to_and_sigterm_ends_it(first, pollux_bin, tmp_path):
    proxy, pid, beside = first
    done = beside(pollux_bin, "upgrade", "--control", tmp_path / "control")
    assert done.returncode == 1 and "this is process 1, and its container ends with it" in done.stderr, done
    os.kill(pid, signal.SIGUSR2)
    proxy.wait_for_stderr("start a new container")
    os.kill(pid, signal.SIGTERM)
    assert proxy.wait() == 0
