"""Long work shows on a terminal how far it is, and writes nothing of it where standard error is a pipe."""

import os
import pathlib
import pty
import socket
import subprocess
import sys

import pytest

from harness.client import DEADLINE_S

BENCH = pathlib.Path(__file__).resolve().parents[2] / "bench"
CONFIG = '[[listener]]\nname = "web"\nbind = "127.0.0.1:8080"\n[pool.app]\nbackends = ["127.0.0.1:9001"]\n'
LINE = ' client=127.0.0.1:5 listener="web" method=GET path=/ host=a\n'
CLEARED = "\r\x1b[K"


class Terminal:
    """A command whose standard error is a terminal."""

    def __init__(self, command, folder):
        self._leader, follower = pty.openpty()
        env = {**os.environ, "TERM": "xterm"}
        self.process = subprocess.Popen(command, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=follower, text=True)
        os.close(follower)
        self.said = ""

    def _read(self):
        try:
            part = os.read(self._leader, 4096).decode()
        except OSError:  # EIO: no process has the other end any more
            part = ""
        self.said += part
        return part

    def wait_for(self, text):
        while text not in self.said:
            assert self._read(), f"ended before {text!r}: {self.said!r}"

    def end(self):
        """Its exit status, with what it has written to standard output."""
        while self._read():
            pass
        out, _ = self.process.communicate(timeout=DEADLINE_S)
        os.close(self._leader)
        return self.process.returncode, out


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "proxy.toml").write_text(CONFIG)
    for name in ["shown.log", "piped.log"]:
        os.mkfifo(tmp_path / name)
    return tmp_path


def test_a_replay_shows_how_far_it_is_on_a_terminal_alone(pollux_bin, folder):
    """Both read logs that do not end before the terminal has shown something, so both are long."""
    command = lambda log: [pollux_bin, "plan", "proxy.toml", "--replay", log]
    piped = subprocess.Popen(command("piped.log"), cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with open(folder / "piped.log", "w") as to_piped:
        shown = Terminal(command("shown.log"), folder)
        with open(folder / "shown.log", "w") as to_shown:
            shown.wait_for("reading shown.log: 1 s")
            to_shown.write(LINE)
        to_piped.write(LINE)
    status, out = shown.end()
    assert status == 0 and "0 of 1 logged requests" in out, out
    assert shown.said.endswith(CLEARED), shown.said
    piped_out, piped_err = piped.communicate(timeout=DEADLINE_S)
    assert (piped.returncode, piped_out, piped_err) == (0, out, "")


def test_a_check_that_takes_long_shows_it(pollux_bin, folder):
    """It asks a name server that does not answer."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        silent = f'resolver = ["127.0.0.1:{server.getsockname()[1]}"]\n'
        (folder / "proxy.toml").write_text(silent + CONFIG.replace("127.0.0.1:9001", "app.test:80"))
        check = Terminal([pollux_bin, "check"], folder)
        check.wait_for("checking proxy.toml: 1 s")
        status, out = check.end()
    assert status == 0 and "good" in out, (out, check.said)
    # The line is gone before the warning is written.
    assert CLEARED in check.said and check.said.rpartition(CLEARED)[2].lstrip("\x1b[0123456789m").startswith("warning"), check.said


def test_a_measurement_shows_its_rounds_on_a_terminal_alone():
    command = [sys.executable, "-c", "from measure import progress; progress.say('round 1/3')"]
    shown = Terminal(command, BENCH)
    assert shown.end() == (0, "") and shown.said == "round 1/3\r\n"
    piped = subprocess.run(command, cwd=BENCH, capture_output=True, text=True, timeout=DEADLINE_S)
    assert (piped.returncode, piped.stdout, piped.stderr) == (0, "", "")
