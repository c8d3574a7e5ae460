"""Reloads and upgrades while HTTP/2 clients and gRPC calls are under way: not one stream fails."""

import functools
import subprocess
import threading
import time

import grpc
import pytest

from harness.client import DEADLINE_S, UntilStopped
from harness.served import Served

RELOADS, UPGRADES = 100, 10

CONFIG = """
[[listener]]
name = "web"
bind = "127.0.0.1:0"
pool = "page"
route = [{{ match = {{ path = "/a.B/*" }}, pool = "calls" }}]
[pool.page]
backends = ["{page}"]
[pool.calls]
protocol = "h2"
backends = ["{calls}"]
"""


# Connections that ask for one thing after another.
LASTING = ["--requests=2000", "--clients=4", "--max-concurrent-streams=20"]
# Connections that come one by one and ask for all at once: h2load sends no request behind a GOAWAY, and opens no
# other connection for what it could not send.
PASSING = ["--requests=200", "--clients=20", "--rate=5", "--rate-period=100ms", "--max-concurrent-streams=10"]


class Load(UntilStopped):
    """h2load, run after run until the end of the block."""

    def __init__(self, url, options):
        self._command = ["h2load", *options, url]
        self._count = int(options[0].removeprefix("--requests="))
        self.said = []
        super().__init__(self._run)

    def __exit__(self, kind, *_):
        self.stop()
        if kind is None:
            assert self.said, "h2load has not run"
            good = f"{self._count} succeeded, 0 failed, 0 errored, 0 timeout\nstatus codes: {self._count} 2xx"
            bad = [said for said in self.said if good not in said]
            assert not bad, bad[0]

    def _run(self):
        while not self.stopping.is_set():
            done = subprocess.run(self._command, capture_output=True, text=True, timeout=DEADLINE_S)
            self.said.append(done.stdout + done.stderr)


class Calls(UntilStopped):
    """Calls on one channel until the end of the block: `streams` that stay open all the while, and short ones beside them."""

    def __init__(self, host_port, streams=4, callers=2):
        self._channel = grpc.insecure_channel(host_port, options=[("grpc.enable_http_proxy", 0)])
        self.answered, self.failures = 0, []
        self._heard = [0] * streams
        super().__init__(*(functools.partial(self._converse, number) for number in range(streams)), *[self._call] * callers)

    def stop(self):
        try:
            super().stop()
        finally:
            self._channel.close()

    def _converse(self, number):
        """One call, whose next message waits for the answer to the last one."""
        answered = threading.Semaphore(1)

        def speak():
            while not self.stopping.is_set():
                assert answered.acquire(timeout=DEADLINE_S)
                yield b"%d" % self._heard[number]

        try:
            for message in self._channel.stream_stream("/a.B/Both")(speak(), timeout=80):
                assert message == b"%d" % self._heard[number]
                self._heard[number] += 1
                answered.release()
        except (grpc.RpcError, AssertionError) as error:
            self.failures.append(repr(error))

    def _call(self):
        while not self.stopping.is_set():
            try:
                assert self._channel.unary_unary("/a.B/Unary")(b"x" * 20_000, timeout=DEADLINE_S) == b"x" * 20_000
                self.answered += 1
            except (grpc.RpcError, AssertionError) as error:
                self.failures.append(repr(error))

    def wait_for_more(self, count):
        """Waits for so many answers more, of short calls and of each stream."""
        goals = [heard + count for heard in self._heard]
        goal, deadline = self.answered + count, time.monotonic() + DEADLINE_S
        while self.answered < goal or any(heard < goal for heard, goal in zip(self._heard, goals, strict=True)):
            assert not self.failures and time.monotonic() < deadline, (self.failures[:3], self.answered, self._heard)
            time.sleep(0.001)


@pytest.fixture
def config(toy):
    # The answers of the one take so long that some are under way at each turn.
    return CONFIG.format(page=toy("slow-first-byte:50ms", name="page").host_port, calls=toy("echo", name="calls").host_port)


def test_a_hundred_reloads_fail_no_stream(pollux_bin, tmp_path, keep, config):
    served = keep(Served(pollux_bin, tmp_path, f'control = "control"\n{config}', ["--threads", "2", "--access-log", "off"]))
    with Load(served.running.url(), LASTING), Calls(served.running.host_port) as calls:
        for number in range(RELOADS):
            # Every other time something has changed.
            changed = f"{served.file.read_text()}\n" if number % 2 else f'control = "control"\n{config}max_reuse = {100 + number}\n'
            code, said = served.reload(changed)
            assert code == 0, said
            calls.wait_for_more(1)
    assert calls.failures == []


def test_ten_upgrades_fail_no_stream(upgradable, config):
    proxy = upgradable(config, options=["--threads", "2"])
    with Load(proxy.running.url(), PASSING), Calls(proxy.running.host_port) as calls:
        for _ in range(UPGRADES):
            proxy.install()
            assert "has taken over" in proxy.upgrade()
            calls.wait_for_more(10)
    assert calls.failures == []
