"""Child processes that say when they are ready, and that are ended by their pid."""

import os
import queue
import re
import signal
import subprocess
import threading
import time

READY_S_MAX = 10
STOP_S_MAX = 20
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Child:
    """A program whose stdout is read line by line and whose stderr goes to a file."""

    def __init__(self, command, directory, name, *, env=None, pass_fds=(), files_max=None):
        self.stderr_path = directory / f"{name}.stderr"
        self.said = []
        self._lines = queue.Queue()
        if files_max is not None:
            # It sets the limit and becomes the command, so the pid is the command's.
            command = ["prlimit", f"--nofile={files_max}:{files_max}", *command]
        with open(self.stderr_path, "wb") as stderr:
            self.process = subprocess.Popen(
                list(map(str, command)),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env={**os.environ, **(env or {})},
                pass_fds=pass_fds,
            )
        # The reader ends when the child closes its stdout; so a chatty child never blocks on a full pipe.
        self._reader = threading.Thread(target=self._read_stdout, daemon=True)
        self._reader.start()

    def _read_stdout(self):
        for line in self.process.stdout:
            self._lines.put(line.decode(errors="replace").rstrip("\n"))
        self._lines.put(None)

    def line(self, pattern):
        """The match of the next line of stdout that matches `pattern`."""
        while True:
            try:
                line = self._lines.get(timeout=READY_S_MAX)
            except queue.Empty:
                raise AssertionError(f"no line like {pattern!r} in time; said: {self.said}\n{self.stderr()}")
            if line is None:
                raise AssertionError(f"ended before a line like {pattern!r}; said: {self.said}\n{self.stderr()}")
            self.said.append(line)
            if match := re.search(pattern, line):
                return match

    def stderr(self):
        return self.stderr_path.read_text(errors="replace")

    def cpu_s(self):
        """CPU seconds spent so far, user and system, over all threads."""
        with open(f"/proc/{self.process.pid}/stat") as stat:
            # The command's name stands in parentheses and may hold spaces: count from behind it.
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_S

    def memory_max(self):
        """The most memory that it has had at once, in bytes."""
        with open(f"/proc/{self.process.pid}/status") as status:
            [peak] = [line.split()[1] for line in status if line.startswith("VmHWM:")]
        return int(peak) * 1024

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self):
        return self.process.wait(STOP_S_MAX)

    def kill(self):
        """Ends it at once, if it still runs."""
        self.process.kill()
        self.process.wait()
        # Whoever has taken its place may still have its standard output.
        self._reader.join(STOP_S_MAX)
        self.process.stdout.close()

    def is_silent(self):
        """Waits until nobody has its standard output any more, whoever may have taken its place included."""
        self._reader.join(STOP_S_MAX)
        return not self._reader.is_alive()

    def terminate(self):
        """SIGTERM; returns the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()


class Pollux(Child):
    """A running Pollux; `addresses` holds what it listens on, in the order of its listeners."""

    def __init__(self, binary, arguments, directory, *, listeners=1, **more):
        super().__init__([binary, *arguments], directory, "pollux", **more)
        self.addresses = []
        self._ended_well = False
        try:
            for _ in range(listeners):
                host, port = self.line(r"listening on (\S+):(\d+)").groups()
                self.addresses.append((host, int(port)))
        except BaseException:
            self.kill()
            raise

    @property
    def address(self):
        return self.addresses[0]

    @property
    def host_port(self):
        return "{}:{}".format(*self.address)

    def url(self, path="/"):
        return f"http://{self.host_port}{path}"

    def crash(self):
        """SIGKILL, as a part of the test: it tidies nothing up."""
        self.kill()
        self._ended_well = True

    def end_well(self):
        """It must still be alive, exit with 0 on SIGTERM, and have panicked nowhere."""
        assert self._ended_well or self.process.poll() is None, f"Pollux died\n{self.stderr()[-4000:]}"
        if not self._ended_well:
            self.signal(signal.SIGTERM)
        self.expect_end()

    def wait_for_stderr(self, text):
        """Waits until it has logged `text`."""
        deadline = time.monotonic() + READY_S_MAX
        while text not in self.stderr():
            assert time.monotonic() < deadline, f"did not log {text!r}\n{self.stderr()[-4000:]}"
            time.sleep(0.01)

    def expect_end(self, code=0):
        """Waits for the end that a SIGTERM asked for, and for that exit code."""
        if self._ended_well:
            return
        try:
            found = self.wait()
        except subprocess.TimeoutExpired:
            raise AssertionError(f"Pollux does not end on SIGTERM\n{self.stderr()[-4000:]}")
        assert found == code, f"Pollux exited with {found}\n{self.stderr()[-4000:]}"
        assert "panicked" not in self.stderr()
        self._ended_well = True


class Toy(Child):
    """A toy backend."""

    def __init__(self, binary, behaviour, directory, *, name="a", listen="127.0.0.1:0"):
        command = [binary, "--listen", listen, "--name", name, "--behaviour", behaviour]
        super().__init__(command, directory, f"toy-{name}")
        try:
            self.host_port = self.line(r"listening on (\S+)").group(1)
        except BaseException:
            self.kill()
            raise

    def url(self, path="/"):
        return f"http://{self.host_port}{path}"


def start_with_sockets(binary, directory, sockets, *arguments, claimed=None, **more):
    """Starts a Pollux as a service manager does: with descriptors from 3 on, and their number, or another one, in the environment."""
    passed = [one.fileno() for one in sockets]
    redirect = " ".join(f"{3 + place}<&{fd}" for place, fd in enumerate(passed))
    # The shell becomes Pollux, whose number it has named.
    script = f'LISTEN_PID=$$ LISTEN_FDS={claimed or len(passed)} LISTEN_FDNAMES=web exec "$0" "$@" {redirect}'
    return Pollux("/bin/bash", ["-c", script, binary, *arguments], directory, pass_fds=passed, **more)
