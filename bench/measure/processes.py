"""Start programs, wait until they are ready, count their CPU time and memory, end them.

Everything started here is ended here, by pid: `Running` is a context manager.
"""

import ctypes
import os
import resource
import selectors
import shutil
import signal
import socket
import subprocess
import time

READY_S_MAX = 15
RETRY_S = 0.001
STOP_S_MAX = 5
LIBC = ctypes.CDLL(None, use_errno=True)
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


def free_address():
    """An address for a proxy that can neither inherit a listener nor say which port it got.

    Between this and the proxy's bind somebody else may take the port: then the proxy ends, which is told.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return "127.0.0.1:{1}".format(*listener.getsockname())


def more_descriptors(wanted):
    """Raises the limit on open files, for this process and for all that it starts; returns what it is now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limit in ((max(wanted, soft), max(wanted, hard)), (hard, hard)):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, limit)
            break
        except (ValueError, OSError):
            # Only root may raise the hard limit.
            continue
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


class Running:
    """A child process on chosen cores. `says_address` keeps its stdout apart, for `ready_address`."""

    def __init__(self, name, command, *, cores, log, env=None, keep_fds=(), says_address=False):
        self.name = name
        self.log_path = log
        self._log = open(log, "wb")
        pinned = [tool("taskset"), "-c", ",".join(map(str, cores)), *command]
        self.started_ns = time.monotonic_ns()
        self.process = subprocess.Popen(
            pinned,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if says_address else self._log,
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

    def await_answer(self, address):
        """Asks until a request is answered with 200; returns the moment, in ns of the monotonic clock."""
        deadline = time.monotonic() + READY_S_MAX
        while time.monotonic() < deadline:
            self.check_alive()
            # A proxy that listens may have no backend, or no route, for a moment more.
            if answers(address, deadline - time.monotonic()):
                return time.monotonic_ns()
            time.sleep(RETRY_S)
        raise BenchError(f"{self.name} does not answer at {address}\n{self.log_tail()}")

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

    def cpu_ns(self):
        """CPU time so far, over all processes and their threads, those that have ended included."""
        return sum(cpu_clock_ns(pid) for pid in self.pids())

    def cpu_s(self):
        """(user, system) CPU seconds so far, in steps of a clock tick: good for the shares of the two."""
        spent = [cpu_ticks(pid) for pid in self.pids()]
        return tuple(sum(ticks) / TICKS_PER_S for ticks in zip(*spent))

    def resident_bytes(self):
        return sum(resident_bytes(pid) for pid in self.pids())

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
            if self.process.stdout:
                self.process.stdout.close()
            self._log.close()


def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as listing:
            return [int(child) for child in listing.read().split()]
    except FileNotFoundError:
        return []


def answers(address, seconds):
    """Whether a GET to `address` is answered with 200 within that time."""
    host, port = address.split(":")
    try:
        with socket.create_connection((host, int(port)), timeout=seconds) as client:
            client.sendall(f"GET / HTTP/1.1\r\nHost: {address}\r\n\r\n".encode())
            return client.recv(4096).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def cpu_clock_ns(pid):
    """The process's CPU clock: exact, where /proc/PID/stat counts ticks and schedstat lags behind by one."""
    clock = ctypes.c_int()
    error = LIBC.clock_getcpuclockid(pid, ctypes.byref(clock))
    if error:
        raise BenchError(f"process {pid} has no CPU clock: {os.strerror(error)}")
    return time.clock_gettime_ns(clock.value)


def resident_bytes(pid):
    with open(f"/proc/{pid}/smaps_rollup") as rollup:
        for line in rollup:
            if line.startswith("Rss:"):
                return int(line.split()[1]) * 1024
    raise BenchError(f"/proc/{pid}/smaps_rollup does not say how much memory the process has")


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
