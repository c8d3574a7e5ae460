"""Reloads of a Pollux that is busy, and the end that a second signal forces."""

import signal
import subprocess
import threading

import pytest
from websockets.sync.client import connect as open_websocket

from harness.client import Response, SteadyClients, connect, get
from harness.scripted import ScriptedBackend, read_head
from harness.served import Served

DEADLINE_S = 20


@pytest.fixture
def reloadable(pollux_bin, tmp_path, keep):
    options = ["--threads", "2", "--access-log", "off"]
    return lambda config: keep(Served(pollux_bin, tmp_path, config, options))


def config(*backends, mode="http", extra=""):
    addresses = ", ".join(f'"{backend.host_port}"' for backend in backends)
    return f'control = "control"\n[[listener]]\nbind = "127.0.0.1:0"\nmode = "{mode}"\n[pool.app]\nbackends = [{addresses}]\n{extra}'


def paths(first, websocket, slow):
    """A listener that sends `/chat` and `/slow` to backends of their own."""
    return (
        'control = "control"\n[[listener]]\nbind = "127.0.0.1:0"\npool = "app"\n'
        '[[listener.route]]\nmatch.path = "/chat"\npool = "chat"\n'
        '[[listener.route]]\nmatch.path = "/slow"\npool = "slow"\n'
        f'[pool.app]\nbackends = [{", ".join(f"{chr(34)}{one.host_port}{chr(34)}" for one in first)}]\n'
        f'[pool.chat]\nbackends = ["{websocket.host_port}"]\n[pool.slow]\nbackends = ["{slow.host_port}"]\n'
    )


class Download:
    """A backend that sends a body piece by piece, as the test says."""

    PIECE = b"x" * 10_000

    def __init__(self, pieces):
        self.go_on = threading.Semaphore(0)
        self.pieces = pieces

    def serve(self, connection):
        if not read_head(connection):
            return
        length = self.pieces * len(self.PIECE)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length)
        for _ in range(self.pieces):
            assert self.go_on.acquire(timeout=DEADLINE_S)
            connection.sendall(self.PIECE)


def test_a_hundred_reloads_disturb_nobody(reloadable, toy):
    reloads, download = 100, Download(100)
    toys = [toy("fixed:100", name=name) for name in "abc"]
    chat = toy("websocket", name="chat")
    with ScriptedBackend(download.serve) as slow:
        proxy = reloadable(paths(toys[:2], chat, slow))
        url, address = proxy.running.url(), proxy.running.address
        with open_websocket(url.replace("http", "ws") + "chat", proxy=None, compression=None) as socket:
            with connect(address) as connection, connection.makefile("rb") as stream:
                connection.sendall(get("/slow"))
                command = ["wrk", "--threads", "1", "--connections", "32", "--duration", "8s", url]
                load = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
                try:
                    for number in range(reloads):
                        # Another set of backends each time, and an end of the download and of the chat that comes and goes.
                        first = [toys[number % 3], toys[(number + 1) % 3]]
                        code, said = proxy.reload(paths(first, chat, slow))
                        assert code == 0, said
                        download.go_on.release()
                        socket.send(f"message {number}")
                        assert socket.recv(timeout=DEADLINE_S) == f"message {number}"
                    said, _ = load.communicate(timeout=DEADLINE_S)
                finally:
                    load.kill()
                    load.wait()
                response = Response(stream)
        assert (response.status, response.body) == (200, download.PIECE * download.pieces)
        assert load.returncode == 0
        # wrk prints these lines only if there is something to tell.
        assert "Socket errors" not in said and "Non-2xx" not in said, said


def test_a_broken_configuration_is_told_and_changes_nothing(reloadable, toy):
    backend = toy("echo", name="a")
    proxy = reloadable(config(backend))
    with SteadyClients(proxy.running.address, 4) as clients:
        clients.wait_for(lambda: clients.answered.get("a", 0) > 50, "warmed up")
        code, said = proxy.reload(config(backend).replace("backends", "backend"))
        assert code == 2
        # As `pollux check` says it: the code, the place, the mend.
        assert "error[P" in said and "proxy.toml:6:1" in said and "did you mean" in said, said
        clients.wait_for_more(100)
        assert proxy.reload(config(backend))[0] == 0
        clients.wait_for_more(100)
        clients.stop()
        assert clients.failures == []
    proxy.running.wait_for_stderr("error[P")


def test_sighup_reloads(reloadable, toy):
    first, second = toy("echo", name="a"), toy("echo", name="b")
    proxy = reloadable(config(first))
    with SteadyClients(proxy.running.address, 2) as clients:
        clients.wait_for(lambda: clients.answered.get("a", 0) > 20, "warmed up")
        proxy.file.write_text(config(second))
        proxy.running.signal(signal.SIGHUP)
        clients.wait_for(lambda: clients.answered.get("b", 0) > 20, "on the new backend")
        clients.stop()
        assert clients.failures == []


def test_what_cannot_change_is_said(reloadable, toy):
    backend = toy("echo")
    proxy = reloadable(config(backend))
    code, said = proxy.reload(config(backend, extra='[limits]\nbuffer = "128KiB"\n'))
    assert code == 0 and "takes effect at the next start: limits.buffer" in said, said


def test_without_a_pollux_reload_says_so(pollux_bin, tmp_path):
    command = [pollux_bin, "reload", "--control", tmp_path / "nothing"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.returncode == 1 and "no answer from a Pollux at" in done.stderr, done


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_a_second_signal_forces_the_end(pollux, second):
    came = threading.Event()

    def never_answer(connection):
        read_head(connection)
        came.set()
        connection.recv(1)

    with ScriptedBackend(never_answer) as backend:
        proxy = pollux(backend)
        with connect(proxy.address) as connection:
            connection.sendall(get())
            assert came.wait(DEADLINE_S)
            proxy.signal(signal.SIGTERM)
            proxy.wait_for_stderr("draining")
            proxy.signal(second)
            proxy.expect_end(code=3)
