"""Backends that are killed, hang and return, under real load; and what `pollux status` says of them."""

import contextlib
import http.server
import re
import signal
import socket
import subprocess
import threading
import time

import pytest

from harness.served import Served

DEADLINE_S = 30


class Checked(Served):
    """Its backends are called b1, b2, and so on."""

    def __init__(self, binary, directory, addresses, settings):
        backends = ", ".join(f'{{ name = "b{at + 1}", address = "{one}" }}' for at, one in enumerate(addresses))
        listener = 'control = "control"\naccess_log = "off"\n[[listener]]\nname = "web"\nbind = "127.0.0.1:0"\n'
        super().__init__(binary, directory, f"{listener}[pool.app]\nbackends = [{backends}]\n{settings}")


@pytest.fixture
def checked(pollux_bin, tmp_path, keep):
    return lambda *addresses, settings="": keep(Checked(pollux_bin, tmp_path, addresses, settings))


def wrk(url, seconds):
    command = ["wrk", "--threads", "1", "--connections", "64", "--duration", f"{seconds}s", url]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_no_get_fails_when_one_of_four_is_killed(checked, toy, wrk_seconds):
    backends = [toy("fixed:100", name=f"b{at}") for at in range(1, 5)]
    fast = '[pool.app.health]\neject = "200ms"\neject_max = "400ms"\n'
    proxy = checked(*(backend.host_port for backend in backends), settings=fast)
    load = wrk(proxy.running.url(), max(wrk_seconds, 4))
    proxy.wait_for_backend("b2", lambda backend: backend["in_flight"] > 0)
    backends[1].kill()
    down = proxy.wait_for_backend("b2", lambda backend: backend["standing"] == "ejected")
    assert {seen["by"] for seen in down["history"] if not seen["is_well"]} <= {"request", "check"}
    told, _ = load.communicate(timeout=DEADLINE_S)
    assert "Socket errors" not in told and "Non-2xx" not in told, told
    assert int(re.search(r"(\d+) requests in", told).group(1)) > 0
    # It returns, and is found by a probe: nobody has to ask.
    toy("fixed:100", name="b2", listen=backends[1].host_port)
    proxy.wait_for_backend("b2", lambda backend: backend["standing"] == "up")


def test_a_backend_that_hangs_is_found_by_its_checks(checked, toy):
    well, hangs = toy("fixed:3", name="b1"), toy("silent", name="b2")
    check = '[pool.app.check]\ntype = "http"\ninterval = "50ms"\ntimeout = "50ms"\nfall = 2\nstart = "check-first"\n'
    proxy = checked(well.host_port, hangs.host_port, settings=check)
    proxy.wait_for_backend("b1", lambda backend: backend["standing"] == "up")
    proxy.wait_for_backend("b2", lambda backend: backend["standing"] == "down")
    assert all(proxy.fetch().status == 200 for _ in range(20))
    told = proxy.tell("status", "app/b2")
    assert re.search(r"^down for .*weight 1", told, re.M), told
    assert re.search(r"ago +check +ill +response +backend-response-timeout$", told, re.M), told
    whole = proxy.tell("status")
    assert re.search(r"^pool app$", whole, re.M) and re.search(r"^  b2  down for", whole, re.M), whole


def test_no_get_fails_while_a_backend_hangs_and_comes_back(checked, toy, wrk_seconds):
    """A process that is stopped: its kernel takes connections, and nobody answers. No check asks it for anything."""
    well, hangs = toy("fixed:100", name="b1"), toy("fixed:100", name="b2")
    settings = (
        'retry_on = ["connect", "reset", "timeout"]\nretry_budget_min = 64\n'
        '[pool.app.health]\neject = "200ms"\neject_max = "200ms"\n[timeouts]\nbackend_response = "300ms"\n'
    )
    proxy = checked(well.host_port, hangs.host_port, settings=settings)
    load = wrk(proxy.running.url(), max(wrk_seconds, 6))
    proxy.wait_for_backend("b2", lambda backend: backend["in_flight"] > 0)
    hangs.signal(signal.SIGSTOP)
    try:
        out = proxy.wait_for_backend("b2", lambda backend: backend["standing"] == "ejected")
    finally:
        hangs.signal(signal.SIGCONT)
    assert "backend-response-timeout" in {seen["found"] for seen in out["history"]}, out
    proxy.wait_for_backend("b2", is_well_again)
    told, _ = load.communicate(timeout=DEADLINE_S)
    assert "Socket errors" not in told and "Non-2xx" not in told, told


def is_well_again(backend):
    """Whether it is up, and has served a request since it was out."""
    last = backend["history"][-1]
    return backend["standing"] == "up" and last["by"] == "request" and last["is_well"]


@contextlib.contextmanager
def black_hole():
    """A listening socket whose queue is full, so that no SYN is answered; and those who stand in the queue."""
    with socket.socket() as hole, contextlib.ExitStack() as queue:
        hole.bind(("127.0.0.1", 0))
        hole.listen(0)
        while True:
            client = queue.enter_context(socket.socket())
            client.settimeout(0.2)
            try:
                client.connect(hole.getsockname())
            except TimeoutError:
                break
        yield hole, queue


def test_a_black_hole_costs_no_request_and_comes_back(checked, toy):
    well = toy("fixed:3", name="b1")
    settings = '[pool.app.health]\neject = "200ms"\neject_max = "200ms"\n[timeouts]\nconnect = "100ms"\n'
    with black_hole() as (hole, queue):
        proxy = checked(well.host_port, "%s:%d" % hole.getsockname(), settings=settings)
        deadline = time.monotonic() + DEADLINE_S
        while proxy.status("app/b2")["standing"] != "ejected":
            assert proxy.fetch().status == 200 and time.monotonic() < deadline
        assert proxy.status("app/b2")["history"][-1]["found"] == "backend-connect-timeout"
        assert all(proxy.fetch().status == 200 for _ in range(20))
        queue.close()
        hole.listen(128)

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    client = hole.accept()[0]
                    # Of those who stood in the queue nobody asks for anything.
                    if client.recv(4096):
                        client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                    client.close()

        server = threading.Thread(target=serve, daemon=True)
        server.start()
        deadline = time.monotonic() + DEADLINE_S
        while not is_well_again(proxy.status("app/b2")):
            assert proxy.fetch().status == 200 and time.monotonic() < deadline
        proxy.end_well()
        hole.shutdown(socket.SHUT_RDWR)
        server.join(DEADLINE_S)


def test_a_black_hole_is_found_by_its_checks(checked, toy):
    well = toy("fixed:3", name="b1")
    with black_hole() as (hole, _):
        check = '[pool.app.check]\ntype = "tcp"\ninterval = "50ms"\ntimeout = "100ms"\nstart = "check-first"\n'
        proxy = checked(well.host_port, "127.0.0.1:%d" % hole.getsockname()[1], settings=check)
        down = proxy.wait_for_backend("b2", lambda backend: backend["standing"] == "down")
        assert down["history"][-1]["found"] == "backend-connect-timeout"
        proxy.wait_for_backend("b1", lambda backend: backend["standing"] == "up")
        assert all(proxy.fetch().status == 200 for _ in range(20))


def test_a_backend_that_is_unknown_is_named(checked, toy):
    proxy = checked(toy("fixed:3").host_port)
    done = proxy.run("status", "app/b9")
    assert done.returncode == 2 and "no backend is called app/b9; there are app/b1" in done.stderr, done


class OneThread(http.server.SimpleHTTPRequestHandler):
    """As `python -m http.server --protocol HTTP/1.1` without threads: while it keeps one connection, it looks at no other one."""

    protocol_version = "HTTP/1.1"
    # It gives a silent connection up, so that a test that fails ends.
    timeout = 10

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"one")

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def one_thread():
    server = http.server.HTTPServer(("127.0.0.1", 0), OneThread)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield "{}:{}".format(*server.server_address)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_server_of_one_thread_that_keeps_connections_is_checked_as_the_docs_say(checked):
    """docs/balancing.md: Pollux's own idle connection keeps such a server from the check; `max_reuse = 1` leaves none."""
    check = '[pool.app.check]\ntype = "http"\ninterval = "100ms"\nfast_interval = "100ms"\ntimeout = "400ms"\nfall = 2\nrise = 1\n'
    with one_thread() as address:
        # What goes wrong: the check waits behind the idle connection. When that is closed, the backend comes back.
        kept = checked(address, settings=check + '[timeouts]\nbackend_idle = "2s"\n')
        assert kept.fetch().status == 200
        backend = kept.wait_for_backend("b1", lambda backend: backend["standing"] == "down")
        assert backend["history"][-1]["found"] == "backend-response-timeout", backend
        kept.wait_for_backend("b1", lambda backend: backend["standing"] == "up")
        kept.running.end_well()
        one = checked(address, settings="max_reuse = 1\n" + check)
        for _ in range(20):
            assert one.fetch().status == 200
        backend = one.wait_for_backend("b1", lambda backend: sum(found["by"] == "check" for found in backend["history"]) >= 8)
        checks = [found["is_well"] for found in backend["history"] if found["by"] == "check"]
        assert all(checks), checks
        one.running.end_well()
