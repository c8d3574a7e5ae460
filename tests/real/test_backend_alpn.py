"""`protocol = "auto"`: the version that each connection to a backend agrees on by ALPN."""

import itertools
import json
import re
import socket
import ssl
import subprocess
import threading

import h2.config
import h2.connection
import h2.events
import h2.settings
import pytest

from harness.client import DEADLINE_S, connect
from harness.scripted import ScriptedBackend, events_of, read_head
from harness.served import Served

TELLING = 'default_type text/plain; add_header X-Version "$server_protocol";'


def curl(*arguments, data=None):
    command = ["curl", "--silent", "--show-error", "--noproxy", "*", "--max-time", str(DEADLINE_S), *map(str, arguments)]
    done = subprocess.run(command, input=data, capture_output=True)
    assert done.returncode == 0, (done.returncode, done.stderr.decode())
    return done.stdout.decode()


def burst(url, count):
    """How many of so many requests at once, over connections of their own, were answered well."""
    command = ["h2load", "--h1", f"--requests={count}", f"--clients={count}", "--threads=1", url]
    said = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S).stdout
    assert f"{count} 2xx, 0 3xx, 0 4xx, 0 5xx" in said, said


@pytest.fixture
def before(pollux_bin, tmp_path, keep, authority):
    """Starts a Pollux before a backend that speaks TLS for `localhost`: `before(address, "max_reuse = 2")`."""

    def start(address, pool="", protocol="auto", threads=1):
        file = (
            'control = "control"\n[[listener]]\nbind = "127.0.0.1:0"\npool = "app"\n'
            f'[pool.app]\nprotocol = "{protocol}"\nbackends = [{{ name = "b1", address = "{address}" }}]\n'
            f'tls = {{ ca = "{authority.cert}", name = "localhost" }}\n{pool}\n'
        )
        return keep(Served(pollux_bin, tmp_path, file, options=["--access-log", "on", "--threads", str(threads)]))

    return start


@pytest.fixture
def nginx_tls(nginx, authority, tmp_path):
    """Starts nginx with TLS over a directory with files: `nginx_tls("ssl http2")`."""
    root = tmp_path / "root"
    root.mkdir()
    (root / "a.txt").write_text("a")
    (root / "up.txt").write_text("up")
    cert, key = authority.issue("localhost")
    tls = f"{TELLING} ssl_certificate {cert}; ssl_certificate_key {key};"
    return lambda protocol, more="": nginx(root, f"{tls} {more}", protocol=protocol)


def version(proxy, path="/a.txt"):
    head = curl("--include", proxy.running.url(path))
    assert " 200 " in head.splitlines()[0], head
    return re.search(r"(?i)^x-version: (\S+)\r?$", head, re.MULTILINE)[1]


OFFER_OF_BOTH = b"\x02h2\x08http/1.1"

# A fatal alert (RFC 7301 §3.2).
NO_APPLICATION_PROTOCOL = bytes([21, 3, 3, 0, 2, 2, 120])


class Choosing(ScriptedBackend):
    """A backend that speaks TLS and one version per connection: `choose(number)` gives its ALPN, from 1 on.

    HTTP/1.1 requests are answered with the number of the connection, and a switch of protocols is followed. A
    strict one takes no connection that does not agree.
    """

    def __init__(self, authority, choose, is_strict=False, connects=0):
        self.connects = connects
        self.cert, self.choose, self.is_strict = authority.issue("localhost"), choose, is_strict
        self.numbers, self.lock, self.offers = itertools.count(1), threading.Lock(), []
        super().__init__(self.serve)

    def serve(self, raw):
        with self.lock:
            number = next(self.numbers)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.cert)
        context.set_alpn_protocols([self.choose(number)])
        if self.is_strict and self.choose(number) == "h2" and OFFER_OF_BOTH not in raw.recv(16384, socket.MSG_PEEK):
            self.offers.append("none")
            raw.sendall(NO_APPLICATION_PROTOCOL)
            return
        with context.wrap_socket(raw.dup(), server_side=True) as connection:
            agreed = connection.selected_alpn_protocol()
            self.offers.append(agreed)
            (self.h2 if agreed == "h2" else self.h1)(connection, str(number).encode())

    def h1(self, connection, body):
        while head := read_head(connection):
            if b"pgrade: websocket" in head:
                key = re.search(rb"(?i)sec-websocket-key: (\S+)", head)[1]
                connection.sendall(b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-Key: %s\r\n\r\nhi" % key)
                assert connection.recv(100) == b"ho"
                return
            connection.sendall(b"HTTP/1.1 200 OK\r\nX-Version: HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    def h2(self, connection, body):
        machine = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        values = {h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL: self.connects}
        machine.local_settings = h2.settings.Settings(client=False, initial_values=values)
        tunnels = set()
        machine.initiate_connection()
        for event in events_of(connection, machine):
            if isinstance(event, h2.events.RequestReceived) and dict(event.headers)[b":method"] == b"CONNECT":
                machine.send_headers(event.stream_id, [(":status", "200")])
                machine.send_data(event.stream_id, b"hi")
                tunnels.add(event.stream_id)
            elif isinstance(event, h2.events.StreamEnded) and event.stream_id in tunnels:
                machine.end_stream(event.stream_id)
            elif isinstance(event, h2.events.RequestReceived):
                machine.send_headers(event.stream_id, [(":status", "200"), ("x-version", "HTTP/2.0")])
                machine.send_data(event.stream_id, body, end_stream=True)


def test_a_backend_that_takes_http2_is_spoken_to_by_it(before, nginx_tls):
    proxy = before(nginx_tls("ssl http2"))
    assert [version(proxy) for _ in range(5)] == ["HTTP/2.0"] * 5
    proxy.running.end_well()
    assert proxy.running.stderr().count("reused=false") == 1


def test_a_backend_without_http2_is_spoken_to_by_http1(before, nginx_tls):
    proxy = before(nginx_tls("ssl"))
    assert [version(proxy) for _ in range(5)] == ["HTTP/1.1"] * 5
    proxy.running.end_well()
    # The connection that offered both serves on.
    assert proxy.running.stderr().count("reused=false") == 1


@pytest.mark.parametrize("protocol", ["ssl", "ssl http2"])
def test_a_burst_joins_the_connect_and_parts_if_it_is_http1(before, nginx_tls, protocol):
    proxy = before(nginx_tls(protocol))
    burst(proxy.running.url("/a.txt"), 40)
    burst(proxy.running.url("/a.txt"), 40)
    proxy.running.end_well()
    log = proxy.running.stderr()
    assert log.count("attempts=1") == log.count("status=200") == 80, log
    if protocol == "ssl http2":
        assert len(set(re.findall(r"connect_ms=([\d.]+)", log)) - {"0"}) <= 3, log


def test_a_burst_keeps_to_the_bound_of_connections(before, nginx_tls):
    proxy = before(nginx_tls("ssl"), "max_connections = 3")
    burst(proxy.running.url("/a.txt"), 40)
    proxy.running.end_well()
    log = proxy.running.stderr()
    assert 1 <= log.count("reused=false") <= 3, log
    assert log.count("attempts=1") == 40, log


def test_a_backend_that_goes_from_http1_to_http2_is_asked_again(before, authority):
    # From its second connection on it takes HTTP/2 alone, and says so by an alert.
    with Choosing(authority, lambda number: "http/1.1" if number == 1 else "h2", is_strict=True) as backend:
        proxy = before(backend.host_port, "max_reuse = 2")
        assert [version(proxy) for _ in range(6)] == ["HTTP/1.1"] * 2 + ["HTTP/2.0"] * 4
        proxy.running.end_well()
        assert backend.offers == ["http/1.1", "none", "h2", "h2"]


def test_a_backend_that_goes_from_http2_to_http1(before, authority):
    with Choosing(authority, lambda number: "h2" if number == 1 else "http/1.1") as backend:
        proxy = before(backend.host_port, "max_reuse = 2")
        assert [version(proxy) for _ in range(6)] == ["HTTP/2.0"] * 2 + ["HTTP/1.1"] * 4
        proxy.running.end_well()
        assert backend.offers == ["h2", "http/1.1", "http/1.1"]


def switch(proxy):
    """Switches to WebSocket, and reads the first bytes of the backend."""
    with connect(proxy.running.address) as connection:
        connection.sendall(
            b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        stream = connection.makefile("rb")
        assert b" 101 " in stream.readline()
        while stream.readline() != b"\r\n":
            pass
        assert stream.read(2) == b"hi"
        connection.sendall(b"ho")


def test_a_switch_of_protocols_takes_http2_where_it_is_known_to_be_followed(before, authority):
    with Choosing(authority, lambda number: "h2", connects=1) as backend:
        proxy = before(backend.host_port)
        assert version(proxy) == "HTTP/2.0"
        switch(proxy)
        proxy.running.end_well()
        assert backend.offers == ["h2"]


def test_a_switch_of_protocols_has_a_connection_with_http1(before, authority):
    def choose(number):
        return "h2" if number != 2 else "http/1.1"

    with Choosing(authority, choose) as backend:
        proxy = before(backend.host_port)
        assert version(proxy) == "HTTP/2.0"
        switch(proxy)
        assert version(proxy) == "HTTP/2.0"
        proxy.running.end_well()
        assert backend.offers == ["h2", "http/1.1"]


@pytest.mark.parametrize("protocol", ["ssl", "ssl http2"])
def test_checks_speak_what_is_agreed_on(before, nginx_tls, protocol):
    check = '[pool.app.check]\ntype = "http"\npath = "/up.txt"\ntext = "up"\nstart = "check-first"\ninterval = "50ms"\n'
    proxy = before(nginx_tls(protocol), check)
    proxy.wait_for_backend("b1", lambda backend: backend["standing"] == "up")
    assert version(proxy) == ("HTTP/2.0" if protocol == "ssl http2" else "HTTP/1.1")


def test_without_tls_it_changes_nothing_and_pollux_says_so(pollux_bin, toy, tmp_path, keep):
    backend = toy("echo")
    file = (
        'control = "control"\n[[listener]]\nbind = "127.0.0.1:0"\npool = "app"\n'
        f'[pool.app]\nprotocol = "auto"\nbackends = ["{backend.host_port}"]\n'
    )
    proxy = keep(Served(pollux_bin, tmp_path, file))
    assert "warning[P0046]" in proxy.run("check").stderr
    assert json.loads(curl(proxy.running.url("/")))["method"] == "GET"
