"""The main thread waits for nothing that is slow: a service manager hears of it, and signals and callers are heard."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from harness import hanging
from harness.client import DEADLINE_S
from harness.manager import Manager

# Within so many seconds something has to be heard, whatever is slow.
HEARD_S = 1.0
NAMES = 6


class Watched:
    """A Pollux under a manager. Its output goes where it is told, and nobody reads it."""

    def __init__(self, binary, directory, config, *options, wrap=(), output=None):
        self.binary, self.directory = binary, directory
        self.manager = Manager(directory)
        self.file = directory / "proxy.toml"
        self.configure(config)
        self.stderr_path = directory / "pollux.stderr"
        self.log = open(self.stderr_path, "wb")
        environment = {**os.environ, **self.manager.environment}
        output = {"stdout": subprocess.DEVNULL, "stderr": self.log} if output is None else {"stdout": output, "stderr": output}
        command = [*wrap, binary, "-c", self.file, *options]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, env=environment, **output)

    def configure(self, config):
        self.file.write_text(f'control = "{self.directory}/control"\n{config}')

    def ready(self):
        """When it was ready; its address stands in what it says then."""
        at, said = self.manager.wait_for("READY=1")
        address = said.partition("serves ")[2].split(",")[0].strip()
        self.port = int(address.rpartition(":")[2]) if address else None
        return at

    def call(self, *arguments):
        command = [self.binary, *arguments, "--control", self.directory / "control"]
        return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S)

    def calling(self, *arguments):
        """The same in the background; the list gets what came of it."""
        done = []
        thread = threading.Thread(target=lambda: done.append(self.call(*arguments)), daemon=True)
        thread.start()
        return thread, done

    def is_heard(self):
        """A caller at the control socket is answered."""
        began = time.monotonic()
        done = self.call("status", "--json")
        took = time.monotonic() - began
        assert done.returncode == 0 and json.loads(done.stdout)["pid"] == self.process.pid, done
        assert took < HEARD_S, f"status took {took:.2f} s"

    def stops(self):
        """SIGTERM is heard; returns the exit code."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        at, _ = self.manager.wait_for("STOPPING=1", after=began)
        assert at - began < HEARD_S, f"SIGTERM was heard after {at - began:.2f} s"
        self.manager.is_content()
        return self.process.wait(DEADLINE_S)

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.log.close()


@pytest.fixture
def watched(pollux_bin, tmp_path):
    with contextlib.ExitStack() as stack:

        def start(config, *options, **more):
            started = Watched(pollux_bin, tmp_path, config, *options, **more)
            stack.callback(started.kill)
            return started

        yield start


@pytest.fixture
def silent_dns():
    """A DNS server that takes questions and answers none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        yield "127.0.0.1:{}".format(*server.getsockname()[1:])


LISTENER = '[[listener]]\nbind = "127.0.0.1:0"\npool = "app"\n'


def given(backend):
    return LISTENER + f'[pool.app]\nbackends = ["{backend.host_port}"]\n'


def named(server):
    """Names that nobody answers for, each in a pool of its own."""
    pools = [f'[pool.p{number}]\nresolver = "{server}"\nbackends = ["n{number}.test:80"]\n' for number in range(NAMES)]
    return LISTENER.replace("app", "p0") + "".join(pools)


def test_names_that_nobody_answers_for_hold_up_no_reload_and_no_caller(watched, toy, silent_dns):
    proxy = watched(given(toy("echo")))
    proxy.ready()
    proxy.configure(named(silent_dns))
    began = time.monotonic()
    reload, done = proxy.calling("reload")
    while reload.is_alive():
        proxy.is_heard()
        reload.join(0.1)
    took = time.monotonic() - began
    assert done[0].returncode == 0 and done[0].stderr == "", done
    assert "n5.test" in done[0].stdout, done
    # One bound for all of them: one after the other would be three seconds for each.
    assert took < 8, f"the reload took {took:.1f} s"
    # Signals are heard while the next one is read.
    began = time.monotonic()
    proxy.process.send_signal(signal.SIGHUP)
    at, _ = proxy.manager.wait_for("RELOADING=1", after=began)
    assert at - began < HEARD_S
    assert proxy.stops() == 0




def test_a_start_has_one_bound_for_its_names(watched, silent_dns):
    began = time.monotonic()
    proxy = watched(named(silent_dns))
    assert proxy.ready() - began < 8
    proxy.is_heard()
    assert proxy.stops() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_start_that_waits_for_names_can_be_stopped(watched, silent_dns, number):
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(DEADLINE_S)
        proxy = watched(named("127.0.0.1:{}".format(*server.getsockname()[1:])))
        # It has asked: so it waits.
        server.recv(512)
        began = time.monotonic()
        proxy.process.send_signal(number)
        assert proxy.process.wait(DEADLINE_S) == 0
        assert time.monotonic() - began < HEARD_S


def test_sighup_during_a_start_reloads_afterwards(watched, toy):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(DEADLINE_S)
        proxy = watched(named("127.0.0.1:{}".format(*server.getsockname()[1:])))
        server.recv(512)
        began = time.monotonic()
        proxy.process.send_signal(signal.SIGHUP)
        at, _ = proxy.manager.wait_for("READY=1", after=began)
        proxy.manager.wait_for("RELOADING=1", after=at)
        assert proxy.stops() == 0


def test_a_file_on_a_mount_that_hangs_holds_up_nobody(watched, toy, tmp_path):
    backend, mount = toy("echo"), tmp_path / "mount"
    mount.mkdir()
    (mount / "backends.json").write_text(json.dumps([backend.host_port]))
    config = LISTENER + f'[pool.app]\nbackends = ["file:{mount}/backends.json"]\n'
    # The mount is seen in a namespace alone.
    proxy = watched(config, wrap=["unshare", "--mount", "--propagation", "private", "--"])
    proxy.ready()
    command = ["nsenter", "--mount", f"--target={proxy.process.pid}", sys.executable, hanging.__file__, mount]
    hang = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert hang.stdout.readline() == b"mounted\n"
        reload, done = proxy.calling("reload")
        while reload.is_alive():
            proxy.is_heard()
            reload.join(0.5)
        assert done[0].returncode == 1 and "could not be read within 10 s" in done[0].stderr, done
        again = proxy.call("reload")
        assert again.returncode == 1 and "still waits for a file" in again.stderr, again
        with socket.create_connection(("127.0.0.1", proxy.port), DEADLINE_S) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            assert client.recv(4096).startswith(b"HTTP/1.1 200")
        proxy.is_heard()
        assert proxy.stops() == 0
    finally:
        hang.stdin.close()
        hang.kill()
        hang.wait()
        hang.stdout.close()


def test_the_file_of_a_socket_on_a_mount_that_hangs_holds_up_nobody(watched, toy, tmp_path):
    mount = tmp_path / "mount"
    mount.mkdir()
    config = given(toy("echo")) + f'[[listener]]\nname = "inner"\nbind = "unix:{mount}/app.sock"\npool = "app"\nsocket = {{ user = "{os.geteuid()}" }}\n'
    proxy = watched(config, wrap=["unshare", "--mount", "--propagation", "private", "--"])
    proxy.ready()
    command = ["nsenter", "--mount", f"--target={proxy.process.pid}", sys.executable, hanging.__file__, mount]
    hang = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert hang.stdout.readline() == b"mounted\n"
        reload, done = proxy.calling("reload")
        while reload.is_alive():
            proxy.is_heard()
            reload.join(0.5)
        assert done[0].returncode == 1 and "could not be read within 10 s" in done[0].stderr, done
        # Its end, too: the file is left.
        assert proxy.stops() == 0
    finally:
        hang.stdin.close()
        hang.kill()
        hang.wait()
        hang.stdout.close()


def full_pipe():
    """A pipe in which there is no room, and that nobody reads: both of its ends."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"x")
    os.set_blocking(writer, True)
    return reader, writer


def test_an_output_that_nobody_reads_holds_up_nobody(watched, toy):
    reader, writer = full_pipe()
    try:
        # An unused pool is warned of at the start, so that something is said there too.
        config = given(toy("echo")) + '[pool.unused]\nbackends = ["127.0.0.1:9"]\n'
        proxy = watched(config, output=writer)
        proxy.ready()
        proxy.is_heard()
        assert proxy.call("reload").returncode == 0
        assert proxy.stops() == 0
    finally:
        os.close(reader)
        os.close(writer)


def test_an_access_log_that_nobody_reads_holds_up_nobody(watched, toy, tmp_path):
    fifo = tmp_path / "access.fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        proxy = watched(given(toy("echo")), "--access-log", fifo)
        proxy.ready()
        with socket.create_connection(("127.0.0.1", proxy.port), DEADLINE_S) as client:
            answers = client.makefile("rb")
            for _ in range(1000):
                client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                length = None
                while (line := answers.readline()) != b"\r\n":
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                answers.read(length)
        proxy.is_heard()
    finally:
        os.close(reader)
    # Now there is no reader at all: the old file stays, and the log says why.
    proxy.process.send_signal(signal.SIGUSR1)
    deadline = time.monotonic() + DEADLINE_S
    while b"the new one cannot be opened" not in proxy.stderr_path.read_bytes():
        assert time.monotonic() < deadline, proxy.stderr_path.read_text()
        time.sleep(0.01)
    proxy.is_heard()
    assert proxy.stops() == 0


def test_callers_that_say_nothing_or_read_nothing_hold_up_nobody(watched, toy):
    proxy = watched(given(toy("echo")))
    proxy.ready()
    with contextlib.ExitStack() as stack:
        for number in range(40):
            caller = stack.enter_context(socket.socket(socket.AF_UNIX))
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            caller.connect(str(proxy.directory / "control"))
            if number % 2:
                caller.sendall(b'{"command":"status"}\n')
        proxy.is_heard()
        assert proxy.stops() == 0
