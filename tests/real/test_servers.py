"""A battery that each of two dozen real servers must pass behind Pollux. docs/backends.md has what was measured of each.

The same application runs in every server: it answers with a report of the request it saw, `/stream` answers in pieces, and
`/early` answers 413 without a look at the body.
"""

import concurrent.futures
import hashlib
import json
import select
import time

import pytest

from harness.client import DEADLINE_S, Response, connect, get
from harness.process import Pollux
from servers import COMMANDS, RealServer

KIB = 1 << 10
MIB = 1 << 20
BODY = bytes(range(256)) * (100 * KIB // 256)
# How long a careful client waits for a 100 (RFC 9110 §10.1.1 leaves the time open; curl waits a second).
EXPECT_S = 1

# Servers that read no chunked request by themselves; `request_body = "buffer"` gives them a length.
NO_CHUNKED_REQUESTS = {"wsgiref", "thin"}


@pytest.fixture(scope="module", params=sorted(COMMANDS))
def server(request, tmp_path_factory):
    running = RealServer(request.param, tmp_path_factory.mktemp(request.param))
    yield running
    running.stop()


@pytest.fixture
def proxy(pollux_bin, tmp_path, keep, server):
    """A Pollux with what docs/backends.md says to set for the server."""
    config = tmp_path / "proxy.toml"
    more = 'request_body = "buffer"' if server.name in NO_CHUNKED_REQUESTS else ""
    config.write_text(f'[[listener]]\nbind = "127.0.0.1:0"\n[pool.app]\nbackends = ["{server.host_port}"]\n{more}\n')
    return keep(Pollux(pollux_bin, ["-c", config], tmp_path))


class Client:
    """One client that keeps its connection, and opens another when the last answer ended it."""

    def __init__(self, proxy):
        self._address, self._stream = proxy.address, None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self._stream:
            self._stream.close()
            self.socket.close()
        self._stream = None

    def send(self, data):
        if self._stream is None:
            self.socket = connect(self._address)
            self._stream = self.socket.makefile("rb")
        self.socket.sendall(data)

    def read(self, method="GET"):
        response = Response(self._stream, method=method)
        if response.headers.get("Connection", "").lower() == "close":
            self.close()
        return response

    def ask(self, data):
        self.send(data)
        return self.read(data.split()[0].decode())


def report(response):
    assert response.status == 200, (response.status, response.headers.items(), response.body)
    return json.loads(response.body)


def post(target, body, *fields):
    lines = [f"POST {target} HTTP/1.1", "Host: test", f"Content-Length: {len(body)}", *fields]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def chunked(target, body, *fields, trailer=""):
    lines = [f"POST {target} HTTP/1.1", "Host: test", "Transfer-Encoding: chunked", *fields]
    head = ("\r\n".join(lines) + "\r\n\r\n").encode()
    pieces = [body[place : place + 10_000] for place in range(0, len(body), 10_000)]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return head + chunks + b"0\r\n" + trailer.encode() + b"\r\n"


def same(seen, body):
    return (seen["length"], seen["sha256"]) == (len(body), hashlib.sha256(body).hexdigest())


def test_gets_on_one_connection(proxy):
    with Client(proxy) as client:
        for number in range(20):
            seen = report(client.ask(get(f"/get/{number}")))
            assert (seen["method"], seen["path"], seen["length"]) == ("GET", f"/get/{number}", 0)


def test_a_head_never_costs_the_next_request(proxy):
    with Client(proxy) as heads, Client(proxy) as gets:
        for number in range(10):
            assert heads.ask(get("/head").replace(b"GET", b"HEAD", 1)).status in (200, 405)
            assert report(gets.ask(get(f"/after/{number}")))["path"] == f"/after/{number}"


def test_a_head_of_a_stream_never_costs_the_next_request(proxy):
    """eventlet, aiohttp and daphne send the body, or a part of it, behind an answer that has none."""
    with Client(proxy) as heads, Client(proxy) as gets:
        for number in range(10):
            assert heads.ask(get("/stream").replace(b"GET", b"HEAD", 1)).status in (200, 405)
            assert report(gets.ask(get(f"/behind/{number}")))["path"] == f"/behind/{number}"


def test_a_body_with_a_length(proxy):
    with Client(proxy) as client:
        for _ in range(3):
            assert same(report(client.ask(post("/up", BODY))), BODY)


def test_a_chunked_body(proxy):
    with Client(proxy) as client:
        for _ in range(3):
            assert same(report(client.ask(chunked("/up", BODY))), BODY)


def test_trailers_of_a_request_harm_nobody(proxy):
    with Client(proxy) as client:
        for number in range(3):
            assert same(report(client.ask(chunked("/up", BODY, trailer="X-Checksum: abc\r\n"))), BODY)
            assert report(client.ask(get(f"/after/{number}")))["path"] == f"/after/{number}"


def test_expect_100_continue(proxy):
    with Client(proxy) as client:
        head, body = post("/up", BODY, "Expect: 100-continue").split(b"\r\n\r\n", 1)
        client.send(head + b"\r\n\r\n")
        interim = 0
        if select.select([client.socket], [], [], EXPECT_S)[0]:
            first = client.read()
            assert first.status == 100 and first.body == b""
            interim += 1
        client.send(body)
        response = client.read()
        while response.status == 100:
            interim += 1
            response = client.read()
        assert same(report(response), BODY)
        assert interim <= 1


def test_an_early_413_arrives(proxy):
    # The body is larger than what buffers on the way hold, and the client is one that reads while it sends.
    size = 4 * MIB
    connection = connect(proxy.address)
    head = f"POST /early HTTP/1.1\r\nHost: test\r\nContent-Length: {size}\r\n\r\n".encode()
    unsent, received = memoryview(head + bytes(size)), b""
    deadline = time.monotonic() + DEADLINE_S
    connection.setblocking(False)
    while b"\r\n\r\n" not in received:
        assert time.monotonic() < deadline, f"no answer, {len(unsent)} bytes unsent"
        readable, writable, _ = select.select([connection], [connection] if unsent else [], [], 1)
        if readable:
            piece = connection.recv(65536)
            assert piece, f"ended without an answer: {received!r}"
            received += piece
        elif writable:
            try:
                unsent = unsent[connection.send(unsent[: 64 * KIB]) :]
            except (BrokenPipeError, ConnectionResetError):
                unsent = unsent[:0]
    connection.close()
    assert received.split()[1] == b"413", received


@pytest.mark.parametrize("fields", [[], ["Connection: keep-alive"]], ids=["plain", "keep-alive"])
def test_clients_of_http_1_0(proxy, fields):
    for target, expected in [("/old", None), ("/stream", b"one\ntwo\nthree\n")]:
        connection = connect(proxy.address)
        connection.sendall(("\r\n".join([f"GET {target} HTTP/1.0", "Host: test", *fields]) + "\r\n\r\n").encode())
        response = Response(connection.makefile("rb"))
        assert response.headers.get("Transfer-Encoding") is None
        assert response.body == expected if expected else report(response)["path"] == "/old"
        connection.close()


def test_a_streamed_answer_is_whole(proxy):
    with Client(proxy) as client:
        for _ in range(3):
            response = client.ask(get("/stream"))
            assert (response.status, response.body) == (200, b"one\ntwo\nthree\n")


# The servers that close idle connections after a second, as they are started here.
CLOSE_AFTER_1_S = sorted({"aiohttp", "cheroot", "gunicorn-gthread", "hypercorn", "node", "sanic", "tornado", "twisted", "uvicorn-h11"})


@pytest.mark.parametrize("server", CLOSE_AFTER_1_S, indirect=True)
def test_idle_closes_raced_by_gets_and_posts(proxy, server):
    # Sixteen clients come back around the moment in which the server closes, each a little later than the one before. A GET never
    # fails. A POST is answered, or its failure is told; it is never carried out twice.
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        seen = [one for found in pool.map(lambda number: race(proxy, number), range(16)) for one in found]
    posts = [one for one in seen if one != "failed"]
    assert set(posts) <= {1} and len(posts) >= 28, seen


def race(proxy, number):
    """How often the server saw each of two POSTs; "failed" for one that was answered with 502."""
    found = []
    pause = 0.93 + 0.01 * number
    with Client(proxy) as client:
        for turn in range(2):
            assert report(client.ask(get(f"/race/{number}")))["path"] == f"/race/{number}"
            time.sleep(pause)
            assert report(client.ask(get(f"/race/{number}")))["path"] == f"/race/{number}"
            time.sleep(pause)
            response = client.ask(post("/race", b"once", f"X-Id: {number}-{turn}"))
            found.append("failed" if response.status == 502 else report(response)["seen"])
    return found
