"""HTTP/2 clients: curl, nghttp and h2load, over cleartext and over TLS, in front of HTTP/1.1 backends."""

import base64
import contextlib
import hashlib
import json
import re
import signal
import socket
import struct
import subprocess
import threading

import pytest

from harness.client import DEADLINE_S
from harness.scripted import ScriptedBackend
from harness.tls import context, listener

MIB = 1 << 20
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
# SETTINGS without entries, and its acknowledgement.
SETTINGS, SETTINGS_ACK = b"\0\0\0\4\0\0\0\0\0", b"\0\0\0\4\1\0\0\0\0"


def curl(*arguments, data=None, code=0):
    """What curl prints for HTTP/2 by prior knowledge; it has to end with `code`."""
    done = subprocess.run(
        ["curl", "--silent", "--show-error", "--noproxy", "*", "--max-time", "30", "--http2-prior-knowledge", *map(str, arguments)],
        input=data,
        capture_output=True,
    )
    assert done.returncode == code, (done.returncode, done.stderr.decode())
    return done.stdout


def tool(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_curl_gets_and_posts(pollux, toy):
    proxy = pollux(toy("echo", name="a"))
    told = json.loads(curl("--header", "X-A: b", proxy.url("/path?query=1")))
    assert (told["backend"], told["method"], told["target"], told["version"]) == ("a", "GET", "/path?query=1", "HTTP/1.1")
    assert ["x-a", "b"] in told["headers"] and ["X-Forwarded-Proto", "http"] in told["headers"]
    for body in (b"", b"short", b"x" * (3 * MIB)):
        told = json.loads(curl("--data-binary", "@-", proxy.url(), data=body))
        assert (told["method"], told["body_bytes"]) == ("POST", len(body))
    proxy.wait_for_stderr('protocol="HTTP/2.0" status=200')


def test_a_body_without_a_length_is_chunked_for_the_backend(pollux, toy, big_body, big_body_fnv):
    proxy = pollux(toy("upload"))
    told = json.loads(curl("--header", "Content-Length:", "--upload-file", "-", proxy.url(), data=big_body))
    assert (told["bytes"], told["fnv1a"]) == (len(big_body), big_body_fnv)


@pytest.mark.parametrize("behaviour", [f"fixed:{5 * MIB}", "chunked:700x9000", f"close-delimited:{2 * MIB}", "fixed:0"])
def test_responses_come_whole(pollux, toy, behaviour):
    proxy = pollux(toy(behaviour))
    size = {"fixed": 5 * MIB, "chunked": 700 * 9000, "close-delimited": 2 * MIB}[behaviour.split(":")[0]]
    size = 0 if behaviour == "fixed:0" else size
    assert len(curl(proxy.url())) == size
    head = curl("--head", proxy.url()).decode()
    assert head.startswith("HTTP/2 200") and not re.search(r"(?i)^(connection|keep-alive|transfer-encoding):", head, re.MULTILINE)


def test_trailers_pass(pollux, toy):
    proxy = pollux(toy("chunked:3x100"))
    said = tool("nghttp", "--verbose", "--no-push", "--null-out", proxy.url())
    assert re.search(r"(?i)x-checksum: ", said), said


def test_a_response_that_is_cut_never_looks_whole(pollux, toy):
    proxy = pollux(toy("truncated:100000"))
    # The stream was not closed in order.
    curl("--output", "/dev/null", proxy.url(), code=92)
    proxy.wait_for_stderr('cause="backend-truncated"')


def test_an_early_answer_ends_an_upload(pollux, toy, big_body):
    proxy = pollux(toy("early-response"))
    told = curl("--output", "/dev/null", "--write-out", "%{http_code}", "--upload-file", "-", proxy.url(), data=big_body)
    assert told == b"413"


def test_many_streams_of_one_connection_are_served_at_once(pollux, toy):
    proxy = pollux(toy("fixed:20000"))
    said = tool("h2load", "--requests", "600", "--clients", "3", "--max-concurrent-streams", "40", proxy.url())
    assert "600 succeeded, 0 failed, 0 errored" in said and "600 2xx" in said, said


def test_own_answers_and_statuses(pollux, toy, free_address):
    proxy = pollux(toy("echo"))
    for status in (204, 304, 404, 503):
        assert curl("--output", "/dev/null", "--write-out", "%{http_code}", proxy.url(f"/status/{status}")).decode() == str(status)
    broken = pollux(free_address())
    assert b"backend-refused" in curl("--include", broken.url())


class Frames:
    """A client that writes and reads frames (RFC 9113 §4.1)."""

    def __init__(self, address, settings=b""):
        self.connection = socket.create_connection(address, timeout=DEADLINE_S)
        self.stream = self.connection.makefile("rb")
        self.connection.sendall(PREFACE)
        self.write(4, 0, 0, settings)
        # The acknowledgement of Pollux's settings, and room on the connection.
        self.write(4, 1, 0)
        self.write(8, 0, 0, struct.pack("!I", MIB))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stream.close()
        self.connection.close()

    def write(self, kind, flags, stream, payload=b""):
        self.connection.sendall(struct.pack("!I", len(payload))[1:] + bytes([kind, flags]) + struct.pack("!I", stream) + payload)

    def read(self):
        """Type, flags, stream and payload of the next frame."""
        head = self.stream.read(9)
        assert len(head) == 9, "the connection was closed"
        length, kind, flags, stream = int.from_bytes(head[:3], "big"), head[3], head[4], int.from_bytes(head[5:], "big")
        return kind, flags, stream, self.stream.read(length)

    def read_past_ping(self):
        """Waits until all that was written so far has been read."""
        self.write(6, 0, 0, b"payload8")
        while self.read()[::3] != (6, b"payload8"):
            pass

    def read_bodies(self, received, until):
        """Adds the lengths of DATA to `received`, by stream, until that stream has ended."""
        while True:
            kind, flags, stream, payload = self.read()
            if kind == 0:
                received[stream] += len(payload)
                if stream == until and flags & 1:
                    return

    def get(self, stream):
        """GET of http://h/ by the static table, whose end is the end of the stream."""
        self.write(1, 5, stream, b"\x82\x86\x84\x41\x01h")


def test_a_stuck_stream_stops_no_other(pollux, toy):
    """A client whose windows are shut gets every answer whose window it opens, and only these."""
    proxy = pollux(toy("fixed:50000"))
    # SETTINGS_INITIAL_WINDOW_SIZE = 0
    with Frames(proxy.address, b"\0\4\0\0\0\0") as client:
        for stream in (1, 3, 5):
            client.get(stream)
        client.write(8, 0, 3, struct.pack("!I", MIB))
        received = {1: 0, 3: 0, 5: 0}
        client.read_bodies(received, until=3)
        assert received == {1: 0, 3: 50000, 5: 0}
        client.read_past_ping()
        client.write(8, 0, 1, struct.pack("!I", MIB))
        client.read_bodies(received, until=1)
        assert received == {1: 50000, 3: 50000, 5: 0}


def test_a_stream_that_the_client_resets_is_given_up(pollux, toy):
    proxy = pollux(toy("slow-first-byte:30s"))
    with Frames(proxy.address) as client:
        client.get(1)
        # The answer to a PING behind it says that the request was read.
        client.read_past_ping()
        client.write(3, 0, 1, struct.pack("!I", 8))
        proxy.wait_for_stderr('cause="client-aborted"')


def test_what_breaks_the_rules_of_the_connection_ends_it(pollux, toy):
    proxy = pollux(toy("echo"))
    with Frames(proxy.address) as client:
        # DATA on a stream that was never opened.
        client.write(0, 0, 1, b"x")
        while (frame := client.read())[0] != 7:
            pass
        assert struct.unpack("!II", frame[3][:8]) == (0, 1), "GOAWAY(PROTOCOL_ERROR)"
        assert client.stream.read() == b""


def test_a_request_that_cannot_be_one_costs_its_stream_alone(pollux, toy):
    proxy = pollux(toy("echo"))
    with Frames(proxy.address) as client:
        # Connection has no place on a stream.
        client.write(1, 5, 1, b"\x82\x86\x84\x41\x01h\x00\x0aconnection\x05close")
        client.get(3)
        frames = {}
        while 3 not in frames or not frames[3][1] & 1:
            kind, flags, stream, payload = client.read()
            if stream:
                frames.setdefault(stream, (kind, flags, payload))
                frames[stream] = (kind, flags, payload)
        assert frames[1][0] == 3 and frames[1][2] == struct.pack("!I", 1), "RST_STREAM(PROTOCOL_ERROR)"
    proxy.wait_for_stderr('cause="bad-field"')


def test_the_preface_may_come_byte_by_byte(pollux, toy):
    proxy = pollux(toy("echo"))
    with socket.create_connection(proxy.address, timeout=DEADLINE_S) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in PREFACE + SETTINGS:
            client.sendall(bytes([byte]))
        client.sendall(SETTINGS_ACK)
        heads = b""
        while SETTINGS_ACK not in heads:
            heads += client.recv(4096)


def literal(name, value):
    """A field that no table has (RFC 7541 §6.2.2)."""
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


class Socket(Frames):
    """A WebSocket by an extended CONNECT (RFC 8441)."""

    def open(self, stream=1, version=b"13"):
        fields = [(b":method", b"CONNECT"), (b":protocol", b"websocket"), (b":scheme", b"http"), (b":path", b"/chat")]
        fields += [(b":authority", b"h"), (b"sec-websocket-version", version)]
        self.write(1, 4, stream, b"".join(literal(*field) for field in fields))

    def say(self, kind, text, flags=0, stream=1):
        """A frame of RFC 6455 §5.2, whose mask changes nothing."""
        self.write(0, flags, stream, bytes([0x80 | kind, 0x80 | len(text), 0, 0, 0, 0]) + text)

    def status(self):
        """The status line of the next head, as its bytes: 0x88 is 200 of the static table."""
        while (frame := self.read())[0] != 1:
            assert frame[0] != 3, f"RST_STREAM {frame}"
        return frame[3].lstrip(b" ")

    def hear(self, count):
        """So many bytes of the tunnel, and whether it has ended behind them."""
        heard = b""
        while len(heard) < count:
            kind, flags, _, payload = self.read()
            assert kind != 3, "RST_STREAM"
            heard += payload if kind == 0 else b""
        return heard, bool(flags & 1)


def test_a_websocket_is_a_stream(pollux, toy):
    proxy = pollux(toy("websocket"))
    with Socket(proxy.address) as client:
        kind, _, _, settings = client.read()
        assert kind == 4 and b"\0\x08\0\0\0\x01" in settings, "SETTINGS_ENABLE_CONNECT_PROTOCOL"
        client.open()
        # The client may speak before it knows.
        client.say(1, b"hello")
        assert client.status()[0] == 0x88
        assert client.hear(7) == (b"\x81\x05hello", False)
        client.say(2, b"x" * 100)
        assert client.hear(102)[0] == b"\x82\x64" + b"x" * 100
        # Another stream goes on beside it, and a WebSocket of its own.
        client.open(stream=3)
        assert client.status()[0] == 0x88
        client.write(3, 0, 3, struct.pack("!I", 8))
        # A Close frame, and the end of the direction: the backend answers, and closes.
        client.say(8, b"\x03\xe8", flags=1)
        heard, has_ended = client.hear(4)
        assert heard == b"\x88\x02\x03\xe8"
        while not has_ended:
            kind, flags, stream, _ = client.read()
            has_ended = (kind, stream) == (0, 1) and bool(flags & 1)
    proxy.wait_for_stderr('protocol="HTTP/2.0" status=101')


def test_a_websocket_that_is_refused_gets_the_answer(pollux, toy):
    for backend, status in ((toy("websocket"), b"426"), (toy("fixed:10"), b"502")):
        proxy = pollux(backend)
        with Socket(proxy.address) as client:
            client.open(version=b"12")
            head = client.status()
            assert status in head, head
            received = {1: 0}
            client.read_bodies(received, until=1)
        proxy.wait_for_stderr(f"status={status.decode()} ")


def accept(connection):
    """Reads a WebSocket handshake as a backend, and gives the field that accepts it."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += connection.recv(4096)
    [key] = re.findall(rb"(?i)\r\nsec-websocket-key: (\S+)\r\n", head)
    digest = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    return b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n"


SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"


@pytest.mark.parametrize("proof", [b"", b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n", "twice"])
def test_a_backend_that_has_not_read_the_key_has_not_switched(pollux, proof):
    def serve(connection):
        line = accept(connection)
        connection.sendall(SWITCH + (2 * line if proof == "twice" else proof) + b"\r\n")
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(1) == b""

    with ScriptedBackend(serve) as backend:
        proxy = pollux(backend)
        with Socket(proxy.address) as client:
            client.open()
            assert b"502" in client.status()
        proxy.wait_for_stderr('cause="backend-bad-response"')


def test_the_directions_of_a_tunnel_end_one_by_one(pollux):
    def serve(connection):
        connection.sendall(SWITCH + accept(connection) + b"\r\nfirst")
        heard = b""
        while more := connection.recv(4096):
            heard += more
        connection.sendall(b"heard " + heard)

    with ScriptedBackend(serve) as backend:
        proxy = pollux(backend)
        with Socket(proxy.address) as client:
            client.open()
            assert client.status()[0] == 0x88
            assert client.hear(5) == (b"first", False)
            client.write(0, 0, 1, b"all ")
            client.write(0, 1, 1, b"of it")
            heard, has_ended = client.hear(len("heard all of it"))
            assert heard == b"heard all of it"
            while not has_ended:
                kind, flags, _, payload = client.read()
                assert (kind, payload) == (0, b"")
                has_ended = bool(flags & 1)


def test_a_reset_passes_a_tunnel_both_ways(pollux):
    gone = threading.Event()

    def serve(connection):
        connection.sendall(SWITCH + accept(connection) + b"\r\n")
        if connection.recv(1) == b"r":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
        gone.set()

    with ScriptedBackend(serve) as backend:
        proxy = pollux(backend)
        with Socket(proxy.address) as client:
            client.open(stream=1)
            assert client.status()[0] == 0x88
            client.write(0, 0, 1, b"r")
            while (frame := client.read())[0] != 3:
                pass
            assert frame[2:] == (1, struct.pack("!I", 8)), "RST_STREAM(CANCEL)"
            client.open(stream=3)
            assert client.status()[0] == 0x88
            client.write(0, 0, 3, b"x")
            client.write(3, 0, 3, struct.pack("!I", 8))
            assert gone.wait(DEADLINE_S)


def test_tls_agrees_on_http2_if_that_is_configured(tls_pollux, toy, authority):
    proxy = tls_pollux(listener(toy("echo"), authority.issue("localhost"), extra=', alpn = ["h2", "http/1.1"]'))
    command = ["curl", "--silent", "--show-error", "--noproxy", "*", "--max-time", "30", "--cacert", authority.cert]
    command += ["--resolve", f"localhost:{proxy.port}:127.0.0.1", "--write-out", "%{stderr}%{http_version}"]
    url = f"https://localhost:{proxy.port}/"
    for flags, version in ([], "2"), (["--http1.1"], "1.1"):
        done = subprocess.run([*command, *flags, url], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, version)
        assert ["X-Forwarded-Proto", "https"] in json.loads(done.stdout)["headers"]


def test_a_request_for_a_host_of_another_certificate_is_misdirected(tls_pollux, toy, authority):
    """A name, a wildcard and the default certificate; the host of the request is Host, the name asked for that of the URL."""
    first = authority.issue("first", names=["a.test", "shared.test"])
    proxy = tls_pollux(listener(toy("echo"), first, authority.issue("second", names=["*.b.test"]), extra=', alpn = ["h2", "http/1.1"]'))
    command = ["curl", "--silent", "--show-error", "--noproxy", "*", "--max-time", "30", "--insecure", "--output", "/dev/null"]
    command += ["--write-out", "%{http_version} %{http_code}", "--connect-to", f"::127.0.0.1:{proxy.port}"]
    for asked, host, status in (
        ("a.test", "a.test", 200),
        ("a.test", "SHARED.test:8443", 200),
        ("a.test", "x.b.test", 421),
        ("x.b.test", "y.b.test", 200),
        ("x.b.test", "b.test", 421),
        # The default certificate, which the client has taken although it is for others.
        ("c.test", "c.test", 200),
        ("c.test", "a.test", 200),
        ("c.test", "d.test", 421),
        # A client that asks for no name gets no other certificate by asking again.
        ("127.0.0.1", "d.test", 200),
    ):
        for flags, version in ([], "2"), (["--http1.1"], "1.1"):
            # HTTP/1.1 clients share a connection between no hosts.
            wanted = f"{version} {status if version == '2' else 200}"
            done = subprocess.run([*command, *flags, "--header", f"Host: {host}", f"https://{asked}/"], capture_output=True, text=True)
            assert (done.returncode, done.stdout) == (0, wanted), (asked, host, done.stderr)
    proxy.cause("misdirected-request")


def test_the_hosts_of_a_trusted_proxy_may_share_a_connection(tls_pollux, toy, authority):
    issued = authority.issue("a", names=["a.test"])
    proxy = tls_pollux(listener(toy("echo"), issued, extra=', alpn = ["h2"]', more='trusted_proxies = ["127.0.0.1"]'))
    done = subprocess.run(
        ["curl", "--silent", "--noproxy", "*", "--max-time", "30", "--insecure", "--write-out", "%{stderr}%{http_version} %{http_code}"]
        + ["--connect-to", f"::127.0.0.1:{proxy.port}", "--header", "Host: d.test", "https://a.test/"],
        capture_output=True,
        text=True,
    )
    assert done.stderr == "2 200"


def test_a_head_that_is_too_long_gets_its_answer(pollux, toy):
    proxy = pollux(toy("echo"))
    with Frames(proxy.address) as client:
        # A field of 60,000 bytes, in HEADERS and three CONTINUATION frames.
        block = b"\x82\x86\x84\x41\x01h\x00\x01x\x7f\xe1\xd3\x03" + b"y" * 60000
        client.write(1, 1, 1, block[:16384])
        for start in (16384, 32768, 49152):
            client.write(9, 4 if start == 49152 else 0, 1, block[start : start + 16384])
        received = {1: 0}
        client.read_bodies(received, until=1)
        assert received[1] > 0
        client.get(3)
        client.read_past_ping()
    proxy.wait_for_stderr('status=431 route="-" pool="-" backend="-"')
    proxy.wait_for_stderr('cause="head-too-long"')


def test_a_tcp_listener_that_agrees_on_http2_passes_bytes(tls_pollux, toy, authority):
    extra = ', alpn = ["h2"]'
    proxy = tls_pollux(listener(toy("tcp-echo"), authority.issue("localhost"), extra=extra).replace('pool = "app"\n', 'pool = "app"\nmode = "tcp"\n', 1))
    made = context(authority)
    made.set_alpn_protocols(["h2"])
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=DEADLINE_S) as raw:
        with made.wrap_socket(raw, server_hostname="localhost") as client:
            assert client.selected_alpn_protocol() == "h2"
            client.sendall(PREFACE)
            said = b""
            while len(said) < len(PREFACE):
                said += client.recv(64)
            assert said == PREFACE


def test_a_stop_lets_streams_end_well(pollux, toy):
    proxy = pollux(toy("slow-first-byte:1s"))
    with Frames(proxy.address) as client:
        client.get(1)
        client.read_past_ping()
        proxy.process.send_signal(signal.SIGTERM)
        leaving, status, is_whole = [], None, False
        while not is_whole:
            kind, flags, stream, payload = client.read()
            if kind == 7:
                leaving.append(struct.unpack("!II", payload[:8]))
            elif stream == 1:
                # The first block of a connection begins with a size update of the table.
                status = payload.lstrip(b" ")[0] if kind == 1 else status
                is_whole = bool(flags & 1)
        # 0x88 is `:status: 200` of the static table. The first GOAWAY admits all streams, the second names the last.
        assert status == 0x88 and leaving == [(2**31 - 1, 0), (1, 0)]
        assert client.stream.read() == b""
    proxy.expect_end()
