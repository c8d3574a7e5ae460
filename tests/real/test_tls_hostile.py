"""Clients that mean harm, to a listener with TLS: what is wrong ends their connection alone, and nobody else notices.

Whatever they send, somebody who is already in is served all the while, and Pollux ends well in the end.
"""

import contextlib
import json
import random
import socket
import ssl
import threading

import pytest
from tlslite.api import TLSConnection
from tlslite.constants import KeyUpdateMessageType
from tlslite.errors import TLSError
from tlslite.handshakesettings import HandshakeSettings
from tlslite.messages import ApplicationData

from harness.client import DEADLINE_S
from harness.tls import connect, context, curl, listener

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
ALERT, HANDSHAKE, CHANGE_CIPHER_SPEC, HEARTBEAT = 0x15, 0x16, 0x14, 0x18


class Bystander:
    """A client that is in, and asks over and over on one connection as long as the others do harm."""

    def __init__(self, authority, port):
        self._tls = connect(authority, port)
        self._over = threading.Event()
        self._failure = None
        self.answers = 0
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join(DEADLINE_S)
        self._tls.close()
        assert self._failure is None and self.answers > 0, self._failure

    def _run(self):
        try:
            while not self._over.is_set() or self.answers == 0:
                self._tls.sendall(GET)
                got = self._tls.recv(65536)
                assert got.startswith(b"HTTP/1.1 200"), got
                self.answers += 1
                self._over.wait(0.002)
        except (OSError, AssertionError) as error:
            self._failure = error


@pytest.fixture
def attacked(tls_pollux, toy, authority):
    """A Pollux with a bystander: `with attacked() as proxy`."""

    @contextlib.contextmanager
    def start(more=""):
        proxy = tls_pollux(listener(toy("echo"), authority.issue("localhost")) + more)
        with Bystander(authority, proxy.port):
            yield proxy
        assert json.loads(curl(authority, proxy.port))["method"] == "GET"

    return start


def dial(proxy):
    raw = socket.create_connection(("127.0.0.1", proxy.port), timeout=DEADLINE_S)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return raw


def read_to_end(raw):
    """What still comes; a reset is an end too."""
    got = b""
    with contextlib.suppress(ConnectionError):
        while piece := raw.recv(65536):
            got += piece
    return got


def record(kind, body, version=b"\x03\x03"):
    return bytes([kind]) + version + len(body).to_bytes(2, "big") + body


def send_until_refused(raw, piece, count):
    """Sends the piece so many times, or until the other side has had enough."""
    with contextlib.suppress(ConnectionError):
        for _ in range(count):
            raw.sendall(piece)


@contextlib.contextmanager
def tlslite(proxy, version, record_size=None):
    """A client whose records the test makes."""
    settings = HandshakeSettings()
    settings.minVersion = settings.maxVersion = version
    with dial(proxy) as raw:
        client = TLSConnection(raw)
        if record_size:
            client.recordSize = record_size
        client.handshakeClientCert(serverName="localhost", settings=settings)
        yield client


# How a client notices that its connection has been ended.
ENDED = (OSError, TLSError)


def send(client, message):
    for _ in client._sendMsg(message, randomizeFirstBlock=False):
        pass


TLS12, TLS13 = (3, 3), (3, 4)


@pytest.mark.parametrize("version", [TLS12, TLS13])
def test_records_of_one_byte_are_read(attacked, version):
    with attacked() as proxy, tlslite(proxy, version, record_size=1) as client:
        for _ in range(3):
            client.write(GET)
            assert client.read(min=1, max=65536).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("version", [TLS12, TLS13])
def test_empty_records_are_no_request_and_do_not_stop_the_clock(attacked, version):
    with attacked('[timeouts]\nclient_head = "1s"\nclient_idle = "1s"\nlinger = "100ms"\n') as proxy:
        with tlslite(proxy, version) as client:
            for _ in range(30):
                send(client, ApplicationData().create(bytearray()))
            client.write(GET)
            assert client.read(min=1, max=65536).startswith(b"HTTP/1.1 200")
            # Somebody who says nothing by so many has nothing to say.
            with pytest.raises(ENDED):
                for _ in range(10_000):
                    send(client, ApplicationData().create(bytearray()))
        with tlslite(proxy, version) as client:
            # A head that never ends, and empty records between its bytes.
            with pytest.raises(ENDED):
                for byte in GET[:-2] + b"X" * 100_000:
                    client.write(bytes([byte]))
                    send(client, ApplicationData().create(bytearray()))
            proxy.cause("client-head-timeout")


@pytest.mark.parametrize("kind", [KeyUpdateMessageType.update_not_requested, KeyUpdateMessageType.update_requested])
def test_key_updates_without_end(attacked, kind):
    with attacked() as proxy:
        with tlslite(proxy, TLS13) as client:
            for _ in client.send_keyupdate_request(kind):
                pass
            client.write(GET)
            assert client.read(min=1, max=65536).startswith(b"HTTP/1.1 200")
            # The answers to them are never read.
            with pytest.raises(ENDED):
                for _ in range(20_000):
                    for _ in client.send_keyupdate_request(kind):
                        pass


def hello(name="localhost", alpn=("http/1.1",)):
    """A ClientHello of openssl, as one record."""
    made = ssl.create_default_context()
    made.set_alpn_protocols(list(alpn))
    out = ssl.MemoryBIO()
    client = made.wrap_bio(ssl.MemoryBIO(), out, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return out.read()


def with_extension(record_bytes, kind, body):
    """The same ClientHello with another body of an extension, at its end; none if `body` is None."""
    assert record_bytes[0] == HANDSHAKE
    message = record_bytes[9:]
    at = 2 + 32
    at += 1 + message[at]
    at += 2 + int.from_bytes(message[at : at + 2], "big")
    at += 1 + message[at]
    fixed, rest = message[:at], message[at + 2 :]
    kept = b""
    while rest:
        length = 4 + int.from_bytes(rest[2:4], "big")
        if int.from_bytes(rest[:2], "big") != kind:
            kept += rest[:length]
        rest = rest[length:]
    if body is not None:
        kept += kind.to_bytes(2, "big") + len(body).to_bytes(2, "big") + body
    message = fixed + len(kept).to_bytes(2, "big") + kept
    return b"\x01" + len(message).to_bytes(3, "big") + message


def in_records(handshake, size=16384):
    return b"".join(record(HANDSHAKE, handshake[at : at + size], b"\x03\x01") for at in range(0, len(handshake), size))


def sni(*names, kind=0):
    listed = b"".join(bytes([kind]) + len(name).to_bytes(2, "big") + name for name in names)
    return len(listed).to_bytes(2, "big") + listed


def protocols(*names):
    listed = b"".join(bytes([len(name)]) + name for name in names)
    return len(listed).to_bytes(2, "big") + listed


SERVER_NAME, ALPN, PADDING = 0, 16, 21

# TLS 1.3 has its ServerHello sent before it comes to the protocols; the alert behind it is encrypted.
REFUSED_LATER = "refused later"

# What stands in the extension, and what the first byte of the answer is: an alert, or a handshake that goes on.
ODD_EXTENSIONS = {
    "a name of nothing": (SERVER_NAME, sni(b""), ALERT),
    "no name": (SERVER_NAME, sni(), ALERT),
    "a NUL in a name": (SERVER_NAME, sni(b"local\0host"), ALERT),
    "a line end in a name": (SERVER_NAME, sni(b"localhost\r\nX: y"), ALERT),
    "a quote in a name": (SERVER_NAME, sni(b'local"host'), ALERT),
    "a name of 60,000 bytes": (SERVER_NAME, sni(b"a" * 60_000), ALERT),
    "two names": (SERVER_NAME, sni(b"localhost", b"other.test"), ALERT),
    "a name that is cut off": (SERVER_NAME, sni(b"localhost")[:-3], ALERT),
    "more behind a name": (SERVER_NAME, sni(b"localhost") + b"x", ALERT),
    "an address for a name": (SERVER_NAME, sni(b"127.0.0.1"), HANDSHAKE),
    "a name of another kind": (SERVER_NAME, sni(b"localhost", kind=9), ALERT),
    "a protocol of nothing": (ALPN, protocols(b""), ALERT),
    "no protocol": (ALPN, protocols(), ALERT),
    "protocols that are cut off": (ALPN, protocols(b"http/1.1")[:-2], ALERT),
    "noise for a protocol": (ALPN, protocols(bytes(range(255))), REFUSED_LATER),
    "nine thousand protocols": (ALPN, protocols(*[b"x%d" % number for number in range(9000)]), REFUSED_LATER),
    "the one protocol among many": (ALPN, protocols(*[b"x%d" % number for number in range(5000)], b"http/1.1"), HANDSHAKE),
    "60,000 bytes of nothing": (PADDING, bytes(60_000), HANDSHAKE),
}


@pytest.mark.parametrize("name", ODD_EXTENSIONS)
def test_odd_hellos(attacked, name):
    kind, body, answer = ODD_EXTENSIONS[name]
    with attacked() as proxy, dial(proxy) as raw:
        raw.sendall(in_records(with_extension(hello(), kind, body)))
        assert raw.recv(1)[0] == (ALERT if answer == ALERT else HANDSHAKE)
        if answer != HANDSHAKE:
            read_to_end(raw)
            proxy.running.wait_for_stderr('cause="tls-')
    for line in proxy.running.stderr().splitlines():
        assert line.isprintable(), line


# What ends the connection, whatever comes behind it.
REFUSED = {
    "a hello of 16 MiB": record(HANDSHAKE, b"\x01\xff\xff\xff\x03\x03" + bytes(16000)) + record(HANDSHAKE, bytes(16384)) * 5,
    "a heartbeat": record(HEARTBEAT, b"\x01\x40\x00"),
    "a record of an unknown kind": record(0x63, b"abc"),
    "a record that is too long": b"\x16\x03\x01\xff\xff" + bytes(70_000),
    "an empty handshake": record(HANDSHAKE, b""),
    "data before the handshake": record(0x17, b"GET / HTTP/1.1\r\n\r\n"),
    "SSL 2": bytes.fromhex("802e0100020015000000100100800200800300800400800500800600400700c0") + bytes(16),
    "HTTP": GET,
    "a Finished before all else": record(HANDSHAKE, b"\x14\x00\x00\x0c" + bytes(12)),
    "a fatal alert": record(ALERT, b"\x02\x28"),
    "an alert of one byte": record(ALERT, b"\x02"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_hello_is_ends_the_connection(attacked, name):
    with attacked() as proxy, dial(proxy) as raw:
        with contextlib.suppress(ConnectionError):
            raw.sendall(REFUSED[name])
        said = read_to_end(raw)
        assert said[:1] in (b"", bytes([ALERT])), said[:20]


@pytest.mark.parametrize(
    "piece", [record(ALERT, b"\x01\x5a"), record(CHANGE_CIPHER_SPEC, b"\x01"), record(HANDSHAKE, b"")], ids=["warnings", "cipher changes", "nothing"]
)
@pytest.mark.parametrize("first", [b"", hello()], ids=["at once", "behind a hello"])
def test_what_comes_without_end_is_cut_off(attacked, piece, first):
    with attacked() as proxy, dial(proxy) as raw:
        raw.sendall(first)
        send_until_refused(raw, piece * 100, 10_000)
        read_to_end(raw)
        proxy.running.wait_for_stderr('cause="tls-')


def test_noise_in_hellos(attacked):
    rng = random.Random(7)
    with attacked('[limits]\nhandshakes = 8\n[timeouts]\nhandshake = "2s"\n') as proxy:
        good = hello()
        for _ in range(400):
            bad = bytearray(good)
            for _ in range(rng.choice([1, 1, 2, 8, 40])):
                bad[rng.randrange(len(bad))] = rng.randrange(256)
            with dial(proxy) as raw, contextlib.suppress(ConnectionError):
                raw.sendall(bytes(bad[: rng.choice([len(bad), rng.randrange(len(bad))])]))
                if rng.random() < 0.5:
                    raw.shutdown(socket.SHUT_WR)
                    assert read_to_end(raw)[:1] in (b"", bytes([ALERT]), bytes([HANDSHAKE]))


def test_a_flood_of_handshakes(attacked, authority):
    """Whole ones, half ones, and those that go away in the middle, as fast as eight threads can."""
    first, failures = hello(), []

    def flood(proxy, seed):
        rng = random.Random(seed)
        made = context(authority)
        for _ in range(60):
            try:
                raw = dial(proxy)
                if rng.random() < 0.4:
                    with made.wrap_socket(raw, server_hostname="localhost") as tls:
                        tls.sendall(GET)
                        assert tls.recv(65536).startswith(b"HTTP/1.1 200")
                else:
                    with raw:
                        raw.sendall(first[: rng.choice([5, 100, len(first)])])
            except Exception as error:
                failures.append(error)

    with attacked("[limits]\nhandshakes = 16\n") as proxy:
        threads = [threading.Thread(target=flood, args=(proxy, seed)) for seed in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not failures, failures[:3]


def test_a_hello_by_drops_does_not_stop_the_clock(attacked):
    with attacked('[timeouts]\nhandshake = "500ms"\n') as proxy, dial(proxy) as raw:
        # A handshake message that is never complete, as slowly as it is not quite silence.
        pause, drops = threading.Event(), iter(record(HANDSHAKE, b"\x01\x00\x40\x00" + bytes(16_000)))
        with pytest.raises(ConnectionError):
            for byte in drops:
                raw.sendall(bytes([byte]))
                pause.wait(0.005)
        proxy.cause("tls-handshake-timeout")


def test_half_hellos_of_the_greatest_size_are_not_kept(attacked):
    """What handshakes hold is bounded by how many there may be, and goes when they do."""
    half = in_records(b"\x01\x00\xff\xf0\x03\x03" + bytes(60_000))
    with attacked('[limits]\nhandshakes = 20\n[timeouts]\nhandshake = "1s"\n') as proxy:
        with contextlib.ExitStack() as stack:
            crowd = [stack.enter_context(dial(proxy)) for _ in range(100)]
            for raw in crowd:
                raw.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    raw.send(half)
            for raw in crowd:
                raw.settimeout(DEADLINE_S)
                read_to_end(raw)
        assert proxy.running.memory_max() < 64 << 20


def test_clients_that_do_not_read_hold_little(tls_pollux, toy, authority):
    proxy = tls_pollux(listener(toy(f"fixed:{64 << 20}"), authority.issue("localhost")))
    with contextlib.ExitStack() as stack:
        for _ in range(40):
            tls = stack.enter_context(connect(authority, proxy.port))
            tls.sendall(GET)
            assert tls.recv(1) == b"H"
        # Meanwhile another gets it whole.
        assert len(curl(authority, proxy.port)) == 64 << 20
        assert proxy.running.memory_max() < 64 << 20


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("cut", ["in a record", "between records", "by a reset of TLS"])
def test_a_request_that_is_cut_off_is_none(attacked, authority, version, cut):
    """Nobody gets to say by cutting a connection where a body ends."""
    with attacked() as proxy, connect(authority, proxy.port, maximum_version=version) as tls:
        tls.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n" + b"x" * 10)
        raw = socket.socket(fileno=tls.detach())
        with raw:
            raw.settimeout(DEADLINE_S)
            if cut == "in a record":
                raw.sendall(b"\x17\x03\x03\x02\x00" + bytes(100))
            elif cut == "by a reset of TLS":
                raw.sendall(record(ALERT, b"\x02\x50"))
            raw.shutdown(socket.SHUT_WR)
            read_to_end(raw)
        proxy.running.wait_for_stderr("who=client")
    assert "status=200" not in "".join(line for line in proxy.running.stderr().splitlines() if "POST" in line)
