"""A watch of a real etcd, which is silent until a key changes: its silence is not held against the backend."""

import base64
import contextlib
import json
import shutil
import socket
import time
import urllib.request

import pytest

from harness.client import DEADLINE_S
from harness.process import Child
from harness.served import Served

IDLE_S = 0.4
# Silent for so long, the watches of `WATCHES` clients would have been three failures in a row and more.
SILENCE_S = 4 * IDLE_S
WATCHES = 6

READY_S_MAX = 30


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def call(address, path, body):
    request = urllib.request.Request(f"http://{address}{path}", json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=DEADLINE_S) as response:
        return json.load(response)


def text(of):
    return base64.b64encode(of.encode()).decode()


@pytest.fixture
def etcd(tmp_path):
    assert shutil.which("etcd"), "etcd is not installed: run tests/setup"
    clients, peers = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    command = ["etcd", "--name", "one", "--data-dir", tmp_path / "etcd", "--log-level", "error"]
    command += ["--listen-client-urls", f"http://{clients}", "--advertise-client-urls", f"http://{clients}"]
    command += ["--listen-peer-urls", f"http://{peers}", "--initial-advertise-peer-urls", f"http://{peers}"]
    running = Child([*command, "--initial-cluster", f"one=http://{peers}"], tmp_path, "etcd")
    deadline = time.monotonic() + READY_S_MAX
    try:
        while True:
            with contextlib.suppress(OSError):
                call(clients, "/v3/kv/range", {"key": text("ready")})
                break
            assert time.monotonic() < deadline, running.stderr()
            time.sleep(0.1)
        yield clients
    finally:
        running.kill()


class Watch:
    """A watch by the JSON gateway: each of its messages is a line of one response without a length."""

    def __init__(self, address, key):
        body = json.dumps({"create_request": {"key": text(key)}}).encode()
        head = f"POST /v3/watch HTTP/1.1\r\nHost: h\r\nContent-Length: {len(body)}\r\n\r\n"
        self.socket = socket.create_connection(address, DEADLINE_S)
        self.socket.sendall(head.encode() + body)
        self.stream = self.socket.makefile("rb")
        assert self.stream.readline().startswith(b"HTTP/1.1 200 ")
        self.until(b"created")

    def until(self, word):
        """Reads until a line has that; gives it."""
        while word not in (line := self.stream.readline()):
            assert line, "the watch has ended"
        return line

    def close(self):
        self.stream.close()
        self.socket.close()


def config(etcd, more):
    return (
        f'control = "control"\n[timeouts]\nidle = "{int(IDLE_S * 1000)}ms"\n'
        f'[[listener]]\nname = "web"\nbind = "127.0.0.1:0"\n{more}\n'
        f'[pool.app]\nbackends = [{{ name = "one", address = "{etcd}" }}]\n'
        'health = { failures = 3, eject = "1h", max_ejected = 1.0 }\n'
    )


def test_silent_watches_that_end_do_not_eject_their_backend(etcd, pollux_bin, tmp_path, keep):
    proxy = keep(Served(pollux_bin, tmp_path, config(etcd, 'pool = "app"')))
    watches = [Watch(proxy.running.address, "quiet") for _ in range(WATCHES)]
    for watch in watches:
        # `timeouts.idle` holds for them, because nothing says that they are streams.
        assert watch.stream.read() is not None
        watch.close()
    assert proxy.status("app/one")["standing"] == "up"
    assert call("{}:{}".format(*proxy.running.address), "/v3/kv/range", {"key": text("quiet")})["header"]


def test_a_watch_that_its_route_names_a_stream_outlives_its_silence(etcd, pollux_bin, tmp_path, keep):
    route = '[[listener.route]]\nname = "all"\nstreams = ["application/json"]\npool = "app"'
    proxy = keep(Served(pollux_bin, tmp_path, config(etcd, route)))
    watches = [Watch(proxy.running.address, "news") for _ in range(WATCHES)]
    # The time that passes is the subject.
    time.sleep(SILENCE_S)
    call("{}:{}".format(*proxy.running.address), "/v3/kv/put", {"key": text("news"), "value": text("came")})
    for watch in watches:
        assert text("came").encode() in watch.until(b"events")
        watch.close()
    assert proxy.status("app/one")["standing"] == "up"
