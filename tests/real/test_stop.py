"""SIGTERM under load: every request that has begun is answered, and nobody whom the kernel has accepted is reset."""

import signal
import threading
import time

import pytest

from harness.client import Response, connect, get, read_to_end

DEADLINE_S = 20


class Crowd:
    """Clients that go on until they are told that it was the last time, or that nobody listens any more."""

    def __init__(self, address):
        self._address, self._lock = address, threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._threads, self.failures = [], []
        self.answered = self.told_last = self.refused = 0

    def start(self, run, count):
        for _ in range(count):
            self._threads.append(threading.Thread(target=self._watch, args=(run,), daemon=True))
            self._threads[-1].start()

    def join(self):
        for thread in self._threads:
            thread.join(DEADLINE_S)
            assert not thread.is_alive(), "a client got no answer"

    def wait_for(self, count):
        with self._changed:
            assert self._changed.wait_for(lambda: self.answered >= count, DEADLINE_S), (self.answered, self.failures[:3])

    def _watch(self, run):
        try:
            run(self)
        except Exception as error:  # Whatever it is, the test must hear of it.
            self.failures.append(repr(error))

    def _note(self, **counts):
        with self._changed:
            for name, count in counts.items():
                setattr(self, name, getattr(self, name) + count)
            self._changed.notify_all()

    def ask_again_and_again(self):
        """One connection, a request after each response."""
        with connect(self._address) as connection, connection.makefile("rb") as stream:
            while True:
                connection.sendall(get())
                response = Response(stream)
                assert response.status == 200
                self._note(answered=1)
                if response.headers.get("Connection") == "close":
                    assert stream.read() == b""
                    return self._note(told_last=1)

    def come_again_and_again(self):
        """A connection for each request."""
        while True:
            try:
                connection = connect(self._address)
            except ConnectionRefusedError:
                return self._note(refused=1)
            with connection:
                connection.sendall(get("/", "Connection: close"))
                assert read_to_end(connection).startswith(b"HTTP/1.1 200 ")
                self._note(answered=1)


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_whoever_has_begun_is_answered(pollux, toy, threads):
    backend = toy("fixed:100")
    for _ in range(2):
        proxy = pollux(backend, options=["--threads", threads, "--access-log", "off"])
        crowd = Crowd(proxy.address)
        crowd.start(Crowd.ask_again_and_again, 8)
        crowd.start(Crowd.come_again_and_again, 8)
        crowd.wait_for(500)
        proxy.signal(signal.SIGTERM)
        crowd.join()
        proxy.expect_end()
        assert crowd.failures == []
        assert (crowd.told_last, crowd.refused) == (8, 8)


def test_clients_that_wait_before_a_full_pollux_are_answered(pollux, toy):
    proxy = pollux(toy("slow-first-byte:20ms"), options=["--threads", "1", "--access-log", "off"], files_max=64)
    crowd = Crowd(proxy.address)
    # More than there is room for: the others are in the queue of the kernel.
    crowd.start(Crowd.come_again_and_again, 60)
    crowd.wait_for(60)
    proxy.signal(signal.SIGTERM)
    crowd.join()
    proxy.expect_end()
    assert crowd.failures == [] and crowd.refused == 60


def test_readiness_ends_before_the_listeners_do(administered, toy):
    proxy = administered(toy("echo"), admin='writable = true\n[timeouts]\ndrain_delay = "3s"')
    assert proxy.ask("GET", "/ready")[0] == 200
    proxy.running.signal(signal.SIGTERM)
    deadline = time.monotonic() + 10
    while proxy.ask("GET", "/ready")[0] != 503:
        assert time.monotonic() < deadline
    # A new connection is accepted and served, and nothing is reloaded.
    with connect(proxy.running.address) as client, client.makefile("rb") as stream:
        client.sendall(get("/"))
        response = Response(stream)
        assert response.status == 200 and response.headers.get("Connection") != "close", response.headers
    proxy.running.wait_for_stderr("draining; a second signal")
    proxy.running.expect_end()


def test_a_second_signal_ends_the_delay_at_once(administered, toy):
    proxy = administered(toy("echo"), admin='writable = true\n[timeouts]\ndrain_delay = "10m"')
    proxy.running.signal(signal.SIGTERM)
    proxy.running.wait_for_stderr("not ready any more; the drain begins in 600000 ms")
    proxy.running.signal(signal.SIGTERM)
    proxy.running.expect_end(3)
