"""A reader that stops in the middle of 1 GiB: what it does not take stays with whoever sends it, not in Pollux.

All the way from sender to reader there is only what the kernel queues on the two connections and Pollux's buffer of one
lane. A full one stops what is before it, until the sender's own socket takes nothing more.
"""

import pathlib
import queue
import random
import select
import socket
import struct
import threading
import time

import pytest

from harness.client import DEADLINE_S, Response, connect, get
from harness.scripted import ScriptedBackend, read_head

KIB = 1 << 10
MIB = 1 << 20
BODY = 1 << 30
# The body is made of blocks of noise, each with its number in front: one that is lost, doubled or displaced shows.
BLOCK = MIB
NOISE = random.Random(7).randbytes(BLOCK)
NUMBER = struct.Struct(">Q")
# The reader takes so many blocks before it stops.
TASTE = 4
# So long a sender's socket must have taken nothing to count as stopped.
QUIET_S = 0.4
ROUNDS_MAX = 40
OTHERS = 10
# At once, for a client beside the stopped one, is this: a worker that waits for the reader answers never.
AT_ONCE_S = 1.0
# A buffer of Pollux's, and then some.
GROWTH_MAX = 512 * KIB
# The same as `buffer` under [limits] by default.
POLLUX_BUFFER = 64 * KIB

LENGTH = f"Content-Length: {BODY}"
CHUNKED = "Transfer-Encoding: chunked"


def blocks():
    """The body, block by block; each is valid until the next."""
    block = bytearray(NOISE)
    for number in range(BODY // BLOCK):
        NUMBER.pack_into(block, 0, number)
        yield block


def pieces(framing):
    """The body as it goes over a connection."""
    for block in blocks():
        yield block if framing == LENGTH else b"%x\r\n%b\r\n" % (BLOCK, block)
    if framing == CHUNKED:
        yield b"0\r\n\r\n"


class Sender:
    """A thread that sends a body as fast as the connection takes it."""

    def __init__(self, connection, framing):
        self.sent = 0
        self.is_quiet = threading.Event()
        self._connection = connection
        self._framing = framing
        self._failure = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        try:
            for piece in pieces(self._framing):
                self._send(memoryview(piece))
        except OSError as failure:
            self._failure = failure

    def _send(self, piece):
        while piece:
            if not select.select([], [self._connection], [], QUIET_S)[1]:
                self.is_quiet.set()
                select.select([], [self._connection], [], DEADLINE_S)
            self.is_quiet.clear()
            count = self._connection.send(piece, socket.MSG_DONTWAIT)
            self.sent += count
            piece = piece[count:]

    def wait_until_quiet(self):
        assert self.is_quiet.wait(DEADLINE_S), f"nothing stops the sender: {self.sent} bytes have gone out"

    def expect_end(self):
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive() and self._failure is None, self._failure


class Reader:
    """Reads a body and compares every byte of it with what was sent."""

    def __init__(self, stream, framing):
        self._stream = stream
        self._framing = framing
        self._expected = blocks()
        self._block = bytearray(BLOCK)

    def read(self, count):
        for expected in (next(self._expected) for _ in range(count)):
            if self._framing == CHUNKED:
                assert self._stream.readline() == b"%x\r\n" % BLOCK
            assert self._stream.readinto(self._block) == BLOCK, "the body ended too soon"
            assert self._block == expected, f"not the bytes of block {NUMBER.unpack_from(expected)[0]}"
            if self._framing == CHUNKED:
                assert self._stream.readline() == b"\r\n"

    def expect_end(self):
        assert next(self._expected, None) is None
        if self._framing == CHUNKED:
            assert self._stream.readline() + self._stream.readline() == b"0\r\n\r\n"


class Backend(ScriptedBackend):
    """Answers small requests itself, and hands the connection of a big one to the test."""

    def __init__(self):
        super().__init__(self._serve)
        self._big = queue.Queue()
        self._over = threading.Event()

    def __exit__(self, *how):
        self._over.set()
        super().__exit__(*how)

    def _serve(self, connection):
        while head := read_head(connection):
            if b" /big " in head:
                self._big.put(connection)
                self._over.wait()
                return
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nsmall")

    def big(self):
        return self._big.get(timeout=DEADLINE_S)


class Small:
    """A client with small requests, on a connection of its own."""

    def __init__(self, proxy):
        self._connection = connect(proxy.address)
        self._stream = self._connection.makefile("rb")

    def ask(self, count):
        for _ in range(count):
            begun = time.monotonic()
            self._connection.sendall(get("/small"))
            assert Response(self._stream).body == b"small"
            took = time.monotonic() - begun
            assert took < AT_ONCE_S, f"a small response took {took} s"

    def close(self):
        self._stream.close()
        self._connection.close()


def resident(proxy):
    """Pollux's resident memory in bytes. The kernel walks the pages for this file; statm is a sum of stale counters."""
    for line in pathlib.Path(f"/proc/{proxy.process.pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Rss:"):
            return int(line.split()[1]) * KIB
    raise AssertionError("no Rss in smaps_rollup")


def between_max():
    """The most that can be on its way from a sender to a reader: four socket buffers, as large as the kernel lets them
    grow (tcp(7)), and Pollux's own."""

    def most(name):
        return int(pathlib.Path(f"/proc/sys/net/ipv4/{name}").read_text().split()[2])

    return 2 * (most("tcp_wmem") + most("tcp_rmem")) + POLLUX_BUFFER


def expect_flat(proxy, baseline, when):
    growth = resident(proxy) - baseline
    assert growth <= GROWTH_MAX, f"{when}, Pollux had grown by {growth // KIB} KiB"


def stop_reading_and_go_on(proxy, small, baseline, sender, reader):
    reader.read(TASTE)
    for _ in range(ROUNDS_MAX):
        sender.wait_until_quiet()
        sent = sender.sent
        small.ask(OTHERS)
        if sender.is_quiet.is_set() and sender.sent == sent:
            break
    else:
        raise AssertionError(f"nothing stops the sender: {sender.sent} bytes have gone out")
    expect_flat(proxy, baseline, "while the reader had stopped")
    between = sender.sent - TASTE * BLOCK
    assert between <= between_max(), f"{between // KIB} KiB were on their way to a reader that had stopped"
    total = BODY // BLOCK
    for done in range(TASTE, total, total // 4):
        reader.read(min(total // 4, total - done))
        expect_flat(proxy, baseline, "while the reader went on")
    reader.expect_end()
    sender.expect_end()
    expect_flat(proxy, baseline, "in the end")


@pytest.fixture
def backend():
    with Backend() as running:
        yield running


@pytest.fixture
def proxy(backend, pollux):
    return pollux(backend, options=["--threads", "1", "--access-log", "off", "--debuggable"])


@pytest.fixture
def small(proxy):
    client = Small(proxy)
    # Pages that are touched for the first time are no growth.
    client.ask(100)
    yield client
    client.close()


@pytest.mark.parametrize("framing", [LENGTH, CHUNKED], ids=["length", "chunked"])
def test_a_client_that_stops_reading_1_gib(proxy, backend, small, framing):
    baseline = resident(proxy)
    with connect(proxy.address) as client, client.makefile("rb") as stream:
        client.sendall(get("/big"))
        connection = backend.big()
        connection.sendall(f"HTTP/1.1 200 OK\r\n{framing}\r\n\r\n".encode())
        sender = Sender(connection, framing)
        assert stream.readline() == b"HTTP/1.1 200 OK\r\n"
        while stream.readline() != b"\r\n":
            pass
        stop_reading_and_go_on(proxy, small, baseline, sender, Reader(stream, framing))


@pytest.mark.parametrize("framing", [LENGTH, CHUNKED], ids=["length", "chunked"])
def test_a_backend_that_stops_reading_1_gib(proxy, backend, small, framing):
    baseline = resident(proxy)
    with connect(proxy.address) as client:
        client.sendall(f"POST /big HTTP/1.1\r\nHost: test\r\n{framing}\r\n\r\n".encode())
        with backend.big() as connection, connection.makefile("rb") as stream:
            sender = Sender(client, framing)
            stop_reading_and_go_on(proxy, small, baseline, sender, Reader(stream, framing))
            connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
            assert Response(client.makefile("rb")).status == 204
