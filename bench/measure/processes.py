"""Start programs, wait until they say that they are ready, count their CPU time, end them.

Everything started here is ended here, by pid: `Running` is a context manager.
"""

import os
import selectors
import shutil
import signal
import socket
import subprocess
import time

READY_S_MAX = 10
STOP_S_MAX = 5
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class BenchError(Exception):
    """The measurement cannot be made; the message says why and what helps."""


def tool(name):
    """The path of an installed program; daemons live in sbin, which a plain user's PATH may lack."""
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if path is None:
        raise BenchError(f"{name} is not installed: run tests/setup, which installs it")
    return path


def listening_socket():
    """A socket that already listens, to be inherited by a proxy that cannot report the port it chose.

    The port is the kernel's choice, nobody can take it in between, and a client can connect at once.
    """
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    listener.set_inheritable(True)
    return listener


class Running:
    """A child process on chosen cores."""

    def __init__(self, name, command, *, cores, log, env=None, keep_fds=()):
        self.name = name
        self.log_path = log
        self._log = open(log, "wb")
        pinned = [tool("taskset"), "-c", ",".join(map(str, cores)), *command]
        self.process = subprocess.Popen(
            pinned,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=None if env is None else {**os.environ, **env},
            pass_fds=keep_fds,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def ready_address(self):
        """Waits for the line `… listening on ADDR …` on stdout and returns ADDR."""
        deadline = time.monotonic() + READY_S_MAX
        said = b""
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while (left := deadline - time.monotonic()) > 0 and selector.select(left):
                piece = os.read(self.process.stdout.fileno(), 4096)
                said += piece
                if b"listening on " in said and b"\n" in said.split(b"listening on ", 1)[1]:
                    return said.split(b"listening on ", 1)[1].split()[0].decode()
                if not piece:
                    break
        raise BenchError(f"{self.name} did not say that it listens\n{self.log_tail()}")

    def log_tail(self):
        with open(self.log_path, "rb") as log:
            return log.read()[-2000:].decode(errors="replace")

    def pids(self):
        """The process and its descendants."""
        found, unseen = [], [self.process.pid]
        while unseen:
            pid = unseen.pop()
            found.append(pid)
            unseen += children(pid)
        return found

    def cpu_s(self):
        """(user, system) CPU seconds so far, over all processes and their threads."""
        spent = [cpu_ticks(pid) for pid in self.pids()]
        return tuple(sum(ticks) / TICKS_PER_S for ticks in zip(*spent))

    def check_alive(self):
        if self.process.poll() is not None:
            raise BenchError(f"{self.name} ended early, with {self.process.returncode}\n{self.log_tail()}")

    def stop(self):
        family = self.pids() if self.process.poll() is None else []
        try:
            self.process.terminate()
            self.process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            for pid in family:
                kill_if_there(pid)
            self.process.wait()
        finally:
            self.process.stdout.close()
            self._log.close()


def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as listing:
            return [int(child) for child in listing.read().split()]
    except FileNotFoundError:
        return []


def cpu_ticks(pid):
    with open(f"/proc/{pid}/stat") as stat:
        # The command's name stands in parentheses and may hold spaces: count from behind it.
        fields = stat.read().rpartition(")")[2].split()
    return int(fields[11]), int(fields[12])


def kill_if_there(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
