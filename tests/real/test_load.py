"""Load, and what changes under it: a backend that dies and returns, and Pollux's own end."""

import re
import signal
import subprocess
import threading

from harness.client import Response, SteadyClients, connect, get
from harness.scripted import ScriptedBackend, read_head


def test_wrk_sees_no_error(pollux, toy, wrk_seconds):
    proxy = pollux(toy("fixed:100"), options=["--threads", "1", "--access-log", "off"])
    command = ["wrk", "--threads", "1", "--connections", "64", "--duration", f"{wrk_seconds}s", proxy.url()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=wrk_seconds + 30)
    assert done.returncode == 0, done.stderr
    # wrk prints these lines only if there is something to tell.
    assert "Socket errors" not in done.stdout, done.stdout
    assert "Non-2xx" not in done.stdout, done.stdout
    assert int(re.search(r"(\d+) requests in", done.stdout).group(1)) > 0


def test_wrk_over_short_connections(pollux, toy):
    proxy = pollux(toy("fixed:100"), options=["--threads", "1"])
    command = ["wrk", "--threads", "1", "--connections", "16", "--duration", "2s"]
    command += ["--header", "Connection: close", proxy.url()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert "Non-2xx" not in done.stdout, done.stdout
    assert int(re.search(r"(\d+) requests in", done.stdout).group(1)) > 0


def test_no_get_fails_while_a_backend_is_killed_and_returns(pollux, toy):
    first, second = toy("echo", name="a"), toy("echo", name="b")
    proxy = pollux(first, second)
    with SteadyClients(proxy.address, 8) as clients:
        clients.wait_for(lambda: clients.answered.get("a", 0) > 200, "warmed up")
        first.kill()
        clients.wait_for_more(500)
        seen = clients.answered["a"]
        toy("echo", name="a", listen=first.host_port)
        clients.wait_for(lambda: clients.answered["a"] > seen + 100, "back on the backend that returned")
        clients.stop()
        assert clients.failures == []


class Gate:
    """A backend that answers only when the test says so, and counts who waits."""

    def __init__(self):
        self.open = threading.Event()
        self._changed = threading.Condition()
        self._waiting = 0

    def serve(self, connection):
        while read_head(connection):
            with self._changed:
                self._waiting += 1
                self._changed.notify_all()
            assert self.open.wait(30)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")

    def wait_for(self, count):
        with self._changed:
            assert self._changed.wait_for(lambda: self._waiting >= count, 20), f"only {self._waiting} requests came"


def test_sigterm_lets_every_request_under_way_end(pollux):
    gate = Gate()
    with ScriptedBackend(gate.serve) as backend:
        proxy = pollux(backend)
        connections = [connect(proxy.address) for _ in range(20)]
        for connection in connections:
            connection.sendall(get())
        gate.wait_for(20)
        proxy.signal(signal.SIGTERM)
        gate.open.set()
        for connection in connections:
            with connection:
                response = Response(connection.makefile("rb"))
                assert (response.status, response.body) == (200, b"hello")
        proxy.expect_end()


def test_sigterm_ends_idle_connections(pollux, toy):
    proxy = pollux(toy("echo"))
    with connect(proxy.address) as connection:
        connection.sendall(get())
        stream = connection.makefile("rb")
        assert Response(stream).status == 200
        proxy.signal(signal.SIGTERM)
        assert stream.read() == b""
    proxy.expect_end()


def test_sigterm_under_load_cuts_no_response(pollux, toy):
    proxy = pollux(toy("fixed:20000"))
    clients = [DrainClient(proxy.address) for _ in range(8)]
    for client in clients:
        client.thread.start()
    for client in clients:
        assert client.warm.wait(20)
    proxy.signal(signal.SIGTERM)
    proxy.expect_end()
    for client in clients:
        client.thread.join(20)
        assert not client.thread.is_alive()
        assert client.failure is None, client.failure


class DrainClient:
    """GETs on one connection until that ends: between two responses is well, inside one is a failure."""

    REQUESTS_MAX = 1_000_000

    def __init__(self, address):
        self.warm = threading.Event()
        self.failure = None
        self._address = address
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        with connect(self._address) as connection, connection.makefile("rb") as stream:
            for number in range(self.REQUESTS_MAX):
                if number == 50:
                    self.warm.set()
                try:
                    connection.sendall(get())
                    if not stream.peek(1):
                        return
                except ConnectionError:
                    # The proxy closed while the request was on its way; no response had begun.
                    return
                if not self._read(stream):
                    return

    def _read(self, stream):
        """Whether the connection goes on."""
        try:
            response = Response(stream)
            assert response.status == 200 and len(response.body) == 20000, response.status
            return response.headers.get("Connection", "").lower() != "close"
        except (AssertionError, OSError) as error:
            self.failure = repr(error)
            return False


def test_a_get_on_a_connection_that_the_backend_has_closed_is_sent_again(pollux):
    def answer_once_and_close(connection):
        if read_head(connection):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    with ScriptedBackend(answer_once_and_close) as backend:
        proxy = pollux(backend)
        with connect(proxy.address) as connection:
            stream = connection.makefile("rb")
            for _ in range(20):
                connection.sendall(get())
                assert Response(stream).status == 200
