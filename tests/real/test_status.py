"""`pollux status`: what a Pollux is at, and who holds its drain."""

import json
import signal
import threading
import time

import pytest
from websockets.sync.client import connect as open_websocket

from harness.client import Response, connect, get
from harness.scripted import ScriptedBackend, read_head
from harness.served import Served

DEADLINE_S = 20


class Watched(Served):
    """Its configuration names a control socket."""

    def __init__(self, binary, directory, backends, options):
        listed = ", ".join(f'"{backend.host_port}"' for backend in backends)
        config = f'control = "control"\n[[listener]]\nname = "web"\nbind = "127.0.0.1:0"\n[pool.app]\nbackends = [{listed}]\n'
        super().__init__(binary, directory, config, options)

    def wait_for(self, condition, what):
        deadline = time.monotonic() + DEADLINE_S
        while not condition(status := self.status()):
            assert time.monotonic() < deadline, f"never {what}: {status}"
        return status


@pytest.fixture
def watched(pollux_bin, tmp_path, keep):
    return lambda *backends, options=("--threads", "2"): keep(Watched(pollux_bin, tmp_path, backends, options))


def groups(status):
    return {group["kind"]: group["count"] for group in status["crowd"]["groups"]}


class Hung:
    """A backend that sends the beginning of a body, and the rest when the test says so."""

    def __init__(self):
        self.go_on = threading.Event()

    def serve(self, connection):
        if not read_head(connection):
            return
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n" + b"x" * 1_000_000)
        assert self.go_on.wait(DEADLINE_S)
        connection.sendall(b"x" * 1_000_000)


def test_clients_are_counted_by_what_they_are_at(watched, toy):
    proxy = watched(toy("echo"), options=["--threads", "2", "--access-log", "off"])
    with connect(proxy.running.address) as idle, connect(proxy.running.address), idle.makefile("rb") as stream:
        idle.sendall(get())
        assert Response(stream).status == 200
        status = proxy.wait_for(lambda status: groups(status) == {"head": 1, "idle": 1}, "a new one and an idle one")
    assert sum(worker["backends_idle"] for worker in status["workers"]) == 1
    assert [worker["number"] for worker in status["workers"]] == [0, 1]
    assert status["listeners"] == [{"name": "web", "address": proxy.running.host_port, "mode": "http"}]
    assert status["pid"] == proxy.running.process.pid and status["drain"] is None
    assert status["configuration"]["file"] == str(proxy.file) and status["configuration"]["reloads"] == 0
    assert proxy.run("reload").returncode == 0
    assert proxy.status()["configuration"]["reloads"] == 1
    assert "clients     count" in proxy.run("status").stdout or "no client" in proxy.run("status").stdout


def test_the_drain_names_the_download_that_holds_it(watched):
    hung = Hung()
    with ScriptedBackend(hung.serve) as backend:
        proxy = watched(backend, options=["--threads", "2", "--access-log", "off"])
        with connect(proxy.running.address) as connection, connection.makefile("rb") as stream:
            connection.sendall(get("/big.iso"))
            proxy.wait_for(lambda status: status["crowd"]["holders"][:1] and status["crowd"]["holders"][0]["bytes_down"] > 0, "begun")
            proxy.running.signal(signal.SIGTERM)
            status = proxy.wait_for(lambda status: status["drain"], "draining")
            [holder] = status["crowd"]["holders"]
            assert holder["kind"] == "exchange" and holder["request"] == "GET /big.iso"
            assert holder["client"] == "{}:{}".format(*connection.getsockname())
            assert holder["backend"] == f"app/{backend.host_port}" and holder["listener"] == "web"
            assert 0 < holder["bytes_left"] < 2_000_000
            assert 0 < status["drain"]["left_ms"] <= 30_000
            said = proxy.run("status").stdout
            assert "whoever is served then is cut off: 1 client is served" in said and "GET /big.iso" in said, said
            # Once a second the log says it too.
            proxy.running.wait_for_stderr("1 exchange (oldest")
            assert proxy.run("reload").returncode == 1
            hung.go_on.set()
            assert len(Response(stream).body) == 2_000_000
        proxy.running.expect_end()


def test_the_drain_names_the_websocket_that_holds_it(watched, toy):
    proxy = watched(toy("websocket"))
    url = proxy.running.url("/chat").replace("http", "ws")
    with open_websocket(url, proxy=None, compression=None) as socket:
        proxy.running.signal(signal.SIGTERM)
        status = proxy.wait_for(lambda status: status["drain"], "draining")
        assert groups(status) == {"tunnel": 1}
        [holder] = status["crowd"]["holders"]
        assert (holder["kind"], holder["request"]) == ("tunnel", "GET /chat")
        # It goes on as long as the drain lasts.
        socket.send("still there")
        assert socket.recv(timeout=DEADLINE_S) == "still there"
    proxy.running.expect_end()


def test_explain_live_knows_the_round_and_the_idle_connections(watched, toy):
    a, b = toy("echo", name="a"), toy("echo", name="b")
    proxy = watched(a, b, options=["--threads", "1"])

    def explain():
        done = proxy.run("explain", "--live", "--json", "GET /x")
        assert done.returncode == 0, done
        end = json.loads(done.stdout)["end"]["forwarded"]
        return end["workers"][0]["picked"], end["workers"][0]["idle"]

    before, idle = explain()
    assert idle == [0, 0] and before == explain()[0]
    with connect(proxy.running.address) as connection, connection.makefile("rb") as stream:
        connection.sendall(get())
        first = Response(stream).headers["X-Backend"]
    assert before == {"a": a, "b": b}[first].host_port
    # The other one's turn has come, and the connection to the first waits to be used again.
    after, idle = explain()
    assert after == {"a": b, "b": a}[first].host_port
    assert idle == ([1, 0] if first == "a" else [0, 1])
    said = proxy.run("explain", "--live", "GET /x").stdout
    assert f"configuration {proxy.file}, loaded" in said and f"worker 0 picks {after} now" in said and "proxy.toml:2" in said, said
    assert proxy.run("explain", "--live", "GET nowhere").returncode == 2
