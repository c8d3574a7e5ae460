"""TLS with real programs: openssl and curl to Pollux, and Pollux to openssl; certificates are made here."""

import json
import os
import re
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import time

import pytest

from harness.client import DEADLINE_S
from harness.tls import connect, context, curl, listener, s_client

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


def test_curl_gets_and_posts(tls_pollux, toy, authority, big_body):
    proxy = tls_pollux(listener(toy("echo", name="a"), authority.issue("localhost")))
    told = json.loads(curl(authority, proxy.port, path="/path?query=1"))
    assert (told["backend"], told["target"]) == ("a", "/path?query=1")
    told = json.loads(curl(authority, proxy.port, "--data-binary", "@-", data=big_body[: 3 << 20]))
    assert told["body_bytes"] == 3 << 20


def test_large_responses_come_whole_and_connections_are_kept(tls_pollux, toy, authority):
    proxy = tls_pollux(listener(toy(f"fixed:{10 << 20}"), authority.issue("localhost")))
    url = f"https://localhost:{proxy.port}/"
    out = curl(authority, proxy.port, "--write-out", "%{stderr}%{num_connects} ", url)
    assert len(out) == 2 * (10 << 20)


@pytest.mark.parametrize("flag, version", [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")])
@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_versions_and_key_types(tls_pollux, toy, authority, flag, version, kind):
    proxy = tls_pollux(listener(toy("echo"), authority.issue("localhost", kind=kind)))
    said, code = s_client(proxy.port, flag, "-CAfile", authority.cert, "-verify_return_error")
    assert code == 0 and re.search(rf"New, {version}, Cipher is ", said), said
    assert "Verify return code: 0 (ok)" in said


# What openssl offers, and how the handshake has to end.
REFUSED = [
    ("TLS 1.1", ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]),
    ("TLS 1.0", ["-tls1", "-cipher", "ALL:@SECLEVEL=0"]),
    ("CBC", ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES128-SHA"]),
    ("no forward secrecy", ["-tls1_2", "-cipher", "AES128-GCM-SHA256"]),
    ("finite fields", ["-tls1_2", "-cipher", "DHE-RSA-AES128-GCM-SHA256"]),
    ("3DES", ["-tls1_2", "-cipher", "DES-CBC3-SHA:@SECLEVEL=0"]),
    ("no encryption", ["-tls1_2", "-cipher", "eNULL:@SECLEVEL=0"]),
    ("anonymous", ["-tls1_2", "-cipher", "aNULL:@SECLEVEL=0"]),
    ("SHA-1 signatures", ["-tls1_2", "-sigalgs", "ECDSA+SHA1"]),
    ("HTTP/3 alone", ["-alpn", "h3"]),
]


@pytest.mark.parametrize("name, offers", REFUSED, ids=[name for name, _ in REFUSED])
def test_what_is_weak_is_refused(tls_pollux, toy, authority, name, offers):
    proxy = tls_pollux(listener(toy("echo"), authority.issue("localhost")))
    said, code = s_client(proxy.port, *offers)
    assert code != 0 and re.search(r"alert|no protocols available|no cipher", said), said
    assert json.loads(curl(authority, proxy.port))["method"] == "GET"


def test_a_client_that_does_not_know_the_issuer_says_so(tls_pollux, toy, authority):
    proxy = tls_pollux(listener(toy("echo"), authority.issue("localhost")))
    said, code = s_client(proxy.port, "-verify_return_error")
    assert code != 0, said
    proxy.cause("tls-refused-by-client")


def test_only_the_newest_if_asked(tls_pollux, toy, authority):
    proxy = tls_pollux(listener(toy("echo"), authority.issue("localhost"), extra=', min_version = "1.3"'))
    assert s_client(proxy.port, "-tls1_2")[1] != 0
    assert s_client(proxy.port, "-tls1_3")[1] == 0
    proxy.cause("tls-incompatible")


def test_names_choose_certificates(tls_pollux, toy, authority):
    issued = [
        authority.issue("first", ["first.test"]),
        authority.issue("wild", ["*.example.test"]),
        authority.issue("www", ["www.example.test"]),
    ]
    proxy = tls_pollux(listener(toy("echo"), *issued))
    for name, subject in [
        ("first.test", "first"),
        ("www.example.test", "www"),
        ("other.example.test", "wild"),
        ("a.b.example.test", "first"),
        ("unknown.test", "first"),
        (None, "first"),
    ]:
        asks = ["-servername", name] if name else ["-noservername"]
        said, _ = s_client(proxy.port, *asks)
        assert re.search(rf"subject=CN ?= ?{subject}$", said, re.MULTILINE), (name, said)


@pytest.mark.parametrize("flags", [["-tls1_2"], ["-tls1_3"], ["-tls1_3", "-groups", "P-521:P-256"]])
def test_unknown_names_are_refused_if_asked(tls_pollux, toy, authority, flags):
    proxy = tls_pollux(listener(toy("echo"), authority.issue("localhost"), extra=', unknown_names = "refuse"'))
    assert s_client(proxy.port, *flags, "-servername", "localhost")[1] == 0
    for asks in (["-servername", "other.test"], ["-noservername"]):
        said, code = s_client(proxy.port, *flags, *asks)
        # RFC 6066 §3: unrecognized_name(112), in words and as a number.
        assert code != 0 and re.search("alert unrecognized name|alert number 112", said), said
        proxy.cause("tls-unknown-name")


def test_two_key_types_for_one_name(tls_pollux, toy, authority):
    issued = [authority.issue("rsa", kind="rsa"), authority.issue("ec")]
    proxy = tls_pollux(listener(toy("echo"), *issued))
    for sigalgs, subject in [("RSA-PSS+SHA256", "rsa"), ("ECDSA+SHA256", "ec")]:
        said, _ = s_client(proxy.port, "-servername", "localhost", "-sigalgs", sigalgs)
        assert re.search(rf"subject=CN ?= ?{subject}$", said, re.MULTILINE), said


def test_protocols_are_agreed_on(tls_pollux, toy, authority):
    backend, issued = toy("echo"), authority.issue("localhost")
    proxy = tls_pollux(listener(backend, issued, extra=', alpn = ["http/1.1"]'))
    assert "ALPN protocol: http/1.1" in s_client(proxy.port, "-alpn", "h2,http/1.1")[0]
    proxy = tls_pollux(listener(backend, issued))
    for offered, agreed in (("http/1.1,h2", "h2"), ("http/1.0,http/1.1", "http/1.1"), ("http/1.0", "http/1.0")):
        assert f"ALPN protocol: {agreed}" in s_client(proxy.port, "-alpn", offered)[0]
    assert "No ALPN negotiated" in s_client(proxy.port)[0]


def session(proxy, authority, resumed=None, version=ssl.TLSVersion.TLSv1_3):
    """Asks once over a connection of its own; the session, and whether it was resumed."""
    made = context(authority, maximum_version=version)
    if resumed:
        made = resumed[1]
    raw = socket.create_connection(("127.0.0.1", proxy.port), timeout=DEADLINE_S)
    with made.wrap_socket(raw, server_hostname="localhost", session=resumed and resumed[0]) as tls:
        tls.sendall(GET)
        # What comes before the response are the tickets of TLS 1.3.
        assert tls.recv(65536).startswith(b"HTTP/1.1 200")
        return (tls.session, made), tls.session_reused


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_sessions_are_resumed_also_after_a_reload(tls_pollux, toy, authority, version):
    proxy = tls_pollux(listener(toy("echo"), authority.issue("localhost")))
    first, is_resumed = session(proxy, authority, version=version)
    assert not is_resumed
    # Whichever worker it comes to.
    for _ in range(6):
        first, is_resumed = session(proxy, authority, first, version)
        assert is_resumed
    proxy.running.signal(1)
    proxy.running.wait_for_stderr("reload")
    assert session(proxy, authority, first, version)[1]


def test_the_status_says_how_long_certificates_are_valid(tls_pollux, pollux_bin, toy, authority):
    issued = [authority.issue("localhost", days=5), authority.issue("www", ["www.test"], days=25)]
    proxy = tls_pollux(listener(toy("echo"), *issued))

    def status(*more):
        command = [pollux_bin, "status", "-c", proxy.file, *more]
        return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True, timeout=60).stdout

    told = json.loads(status("--json"))["certificates"]
    assert [(one["names"], one["term"]) for one in told] == [(["localhost"], "expires-soon"), (["www.test"], "valid")]
    assert told[0]["days_left"] in (4, 5) and told[1]["days_left"] in (24, 25)
    lines = [line for line in status().splitlines() if line.startswith("certificate ")]
    assert re.search(r"localhost.pem of \S+ for localhost: EXPIRES SOON, [45] days left$", lines[0])
    assert re.search(r"www.pem of \S+ for www.test: 2[45] days left$", lines[1])


def test_a_handshake_byte_by_byte(tls_pollux, toy, authority):
    proxy = tls_pollux(listener(toy("echo"), authority.issue("localhost")))
    into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context(authority).wrap_bio(into, out, server_hostname="localhost")
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=DEADLINE_S) as raw:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def push():
            for byte in out.read():
                raw.sendall(bytes([byte]))

        def until_done(step):
            while True:
                try:
                    return step()
                except ssl.SSLWantReadError:
                    push()
                    piece = raw.recv(1)
                    assert piece, "closed"
                    into.write(piece)

        until_done(tls.do_handshake)
        tls.write(GET)
        push()
        assert until_done(lambda: tls.read(65536)).startswith(b"HTTP/1.1 200")


def test_the_first_record_of_an_answer_is_a_short_one(tls_pollux, toy, authority):
    proxy = tls_pollux(listener(toy("fixed:100000"), authority.issue("localhost")))
    into, out, records = ssl.MemoryBIO(), ssl.MemoryBIO(), []
    tls = context(authority, maximum_version=ssl.TLSVersion.TLSv1_2).wrap_bio(into, out, server_hostname="localhost")
    with (
        socket.create_connection(("127.0.0.1", proxy.port), timeout=DEADLINE_S) as raw,
        raw.makefile("rb") as stream,
    ):

        def until_done(step):
            while True:
                try:
                    return step()
                except ssl.SSLWantReadError:
                    raw.sendall(out.read())
                    head = stream.read(5)
                    assert len(head) == 5, "closed"
                    length = int.from_bytes(head[3:])
                    # In TLS 1.2 nothing but application data has this type.
                    if head[0] == 23:
                        records.append(length)
                    into.write(head + stream.read(length))

        until_done(tls.do_handshake)
        for _ in range(2):
            records.clear()
            tls.write(GET)
            answer = until_done(lambda: tls.read(65536))
            length = int(re.search(rb"Content-Length: (\d+)", answer)[1])
            while len(answer.partition(b"\r\n\r\n")[2]) < length:
                answer += until_done(lambda: tls.read(65536))
            # With an explicit nonce and a tag.
            assert records[0] == 4096 + 24 and max(records) == 16384 + 24, records


def test_slow_and_vanishing_clients_of_the_handshake(tls_pollux, toy, authority):
    config = listener(toy("echo"), authority.issue("localhost")) + '[timeouts]\nhandshake = "300ms"\n'
    proxy = tls_pollux(config)
    hello = bytes.fromhex("1603010200010001fc0303") + bytes(100)
    slow = socket.create_connection(("127.0.0.1", proxy.port), timeout=DEADLINE_S)
    slow.sendall(hello)
    for linger in [False, True]:
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=DEADLINE_S) as gone:
            gone.sendall(hello)
            if linger:
                gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    proxy.cause("tls-handshake-failed")
    assert slow.recv(100) == b""
    proxy.cause("tls-handshake-timeout")
    socket.create_connection(("127.0.0.1", proxy.port), timeout=DEADLINE_S).close()
    proxy.cause("no-request")
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=DEADLINE_S) as plain:
        plain.sendall(GET)
        assert plain.recv(100)[:1] == b"\x15", "an alert"
    assert json.loads(curl(authority, proxy.port))["method"] == "GET"


def test_a_flood_of_handshakes_leaves_room_for_those_who_are_in(tls_pollux, toy, authority):
    config = listener(toy("echo"), authority.issue("localhost")) + "[limits]\nhandshakes = 4\n"
    proxy = tls_pollux(config)
    with connect(authority, proxy.port) as early:
        flood = [socket.create_connection(("127.0.0.1", proxy.port), timeout=DEADLINE_S) for _ in range(50)]
        for _ in range(20):
            early.sendall(GET)
            assert early.recv(65536).startswith(b"HTTP/1.1 200")
        for one in flood:
            one.close()
    assert json.loads(curl(authority, proxy.port))["method"] == "GET"


def test_those_who_connect_and_say_nothing_keep_nobody_out(tls_pollux, toy, authority):
    bounds = '[timeouts]\nhandshake = "10m"\n[limits]\nhandshakes = 4\n'
    proxy = tls_pollux(listener(toy("echo"), authority.issue("localhost")) + bounds)
    silent = [socket.create_connection(("127.0.0.1", proxy.port), timeout=DEADLINE_S) for _ in range(12)]
    assert json.loads(curl(authority, proxy.port))["method"] == "GET"
    proxy.cause("tls-handshake-timeout")
    for one in silent:
        one.close()


def test_a_certificate_replaced_under_load(tls_pollux, toy, authority, tmp_path):
    cert, key = (tmp_path / "live.pem", tmp_path / "live-key.pem")

    def install(issued):
        # As certbot does: whole files, one after the other.
        for source, target in zip(issued, (cert, key)):
            new = target.with_suffix(".new")
            shutil.copy(source, new)
            os.replace(new, target)

    install(authority.issue("old"))
    proxy = tls_pollux(listener(toy("fixed:2000"), (cert, key)))
    failures, counts, stop = [], [0], threading.Event()

    def ask():
        while not stop.is_set():
            try:
                with connect(authority, proxy.port) as tls:
                    for _ in range(5):
                        tls.sendall(GET)
                        got = b""
                        while len(got.partition(b"\r\n\r\n")[2]) < 2000:
                            piece = tls.recv(65536)
                            assert piece, got
                            got += piece
                        assert got.startswith(b"HTTP/1.1 200")
                        counts[0] += 1
            except Exception as error:
                failures.append(error)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        with connect(authority, proxy.port) as steady:
            for name in ["new-1", "new-2"]:
                install(authority.issue(name))
                deadline = time.monotonic() + DEADLINE_S
                while not re.search(rf"subject=CN ?= ?{name}$", s_client(proxy.port)[0], re.MULTILINE):
                    assert time.monotonic() < deadline, proxy.running.stderr()[-2000:]
            steady.sendall(GET)
            assert steady.recv(65536).startswith(b"HTTP/1.1 200")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not failures and counts[0] > 20, (failures[:3], counts)


def test_what_cannot_be_used_does_not_replace_what_can(tls_pollux, toy, authority, tmp_path):
    cert, key = authority.issue("localhost")
    proxy = tls_pollux(listener(toy("echo"), (cert, key)))
    whole = cert.read_text()
    cert.write_text(whole[: len(whole) // 2])
    proxy.running.wait_for_stderr("the certificates stay as they are")
    assert json.loads(curl(authority, proxy.port))["method"] == "GET"


def test_a_certificate_that_expires_soon_is_in_the_log_and_the_metrics(tls_pollux, toy, authority):
    proxy = tls_pollux(listener(toy("echo"), authority.issue("localhost", days=5)))
    proxy.running.wait_for_stderr("a certificate expires soon")


class Ending:
    """A backend whose responses end with its connection: with a FIN, or with a RST if the path says so."""

    BODY = b"all of it"

    def __init__(self):
        self.server = socket.create_server(("127.0.0.1", 0))
        self.host_port = "{}:{}".format(*self.server.getsockname())
        self.go_on = threading.Event()
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while True:
            try:
                conn, _ = self.server.accept()
            except OSError:
                return
            with conn:
                head = conn.recv(65536)
                if head:
                    conn.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + self.BODY)
                if b"/cut" in head:
                    self.go_on.wait(DEADLINE_S)
                    conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def close(self):
        self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()
        self.thread.join()


def test_only_a_whole_response_ends_with_close_notify(tls_pollux, authority):
    backend = Ending()
    try:
        proxy = tls_pollux(listener(backend, authority.issue("localhost")))
        for path in ["whole", "cut"]:
            raw = socket.create_connection(("127.0.0.1", proxy.port), timeout=DEADLINE_S)
            # Without this a connection that is cut would look to Python like one that has ended.
            made = context(authority)
            with made.wrap_socket(raw, server_hostname="localhost", suppress_ragged_eofs=False) as tls:
                tls.sendall(f"GET /{path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
                got = b""
                while not got.endswith(Ending.BODY):
                    got += tls.recv(65536)
                if path == "whole":
                    assert tls.recv(100) == b""
                else:
                    backend.go_on.set()
                    with pytest.raises((ssl.SSLError, ConnectionError)):
                        tls.recv(100)
        proxy.cause("backend-truncated")
    finally:
        backend.close()


def test_renegotiation_is_refused(tls_pollux, toy, authority):
    proxy = tls_pollux(listener(toy("echo"), authority.issue("localhost")))
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{proxy.port}", "-tls1_2"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as client:
        # Its end would be the end of the program; this has to be that of the connection.
        client.stdin.write(b"R\n")
        client.stdin.flush()
        said = client.stdout.read().decode(errors="replace")
    assert "RENEGOTIATING" in said and "no renegotiation" in said, said


def test_a_broken_record_ends_the_connection(tls_pollux, toy, authority):
    proxy = tls_pollux(listener(toy("echo"), authority.issue("localhost")))
    with connect(authority, proxy.port) as tls:
        tls.sendall(GET)
        assert tls.recv(65536).startswith(b"HTTP/1.1 200")
        raw = socket.socket(fileno=os.dup(tls.fileno()))
        with raw:
            raw.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))
            with pytest.raises((ssl.SSLError, ConnectionError)):
                tls.recv(100)
    assert json.loads(curl(authority, proxy.port))["method"] == "GET"


def test_bytes_pass_both_ways_in_tcp_mode(tls_pollux, authority):
    server = socket.create_server(("127.0.0.1", 0))

    class Backend:
        host_port = "{}:{}".format(*server.getsockname())

    text = listener(Backend, authority.issue("localhost")).replace("[[listener]]", '[[listener]]\nmode = "tcp"')
    proxy = tls_pollux(text)
    with connect(authority, proxy.port) as tls, server:
        conn, _ = server.accept()
        with conn:
            conn.settimeout(DEADLINE_S)
            # Who is spoken to first is the client.
            conn.sendall(b"hello")
            assert tls.recv(100) == b"hello"
            tls.sendall(b"x" * 100_000)
            got = b""
            while len(got) < 100_000:
                got += conn.recv(65536)
            conn.shutdown(socket.SHUT_WR)
            assert tls.recv(100) == b"", "close_notify, and not a cut"


def test_a_proxy_announces_its_client_before_the_handshake(tls_pollux, toy, authority):
    more = 'trusted_proxies = ["127.0.0.1"]\nproxy_protocol = "required"\n'
    proxy = tls_pollux(listener(toy("echo"), authority.issue("localhost"), more=more))
    for header in [b"PROXY TCP4 192.0.2.7 192.0.2.8 4000 443\r\n", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes([192, 0, 2, 7, 192, 0, 2, 8, 16, 0, 1, 187])]:
        raw = socket.create_connection(("127.0.0.1", proxy.port), timeout=DEADLINE_S)
        raw.sendall(header[:9])
        raw.sendall(header[9:])
        with context(authority).wrap_socket(raw, server_hostname="localhost") as tls:
            tls.sendall(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            got = b""
            while piece := tls.recv(65536):
                got += piece
        told = json.loads(got.partition(b"\r\n\r\n")[2])
        fields = {name.lower(): value for name, value in told["headers"]}
        assert (fields["x-forwarded-for"], fields["x-forwarded-proto"]) == ("192.0.2.7", "https")
    assert s_client(proxy.port)[1] != 0
    proxy.cause("proxy-header-missing")
