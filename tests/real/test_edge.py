"""Where clients come in: the PROXY protocol, Unix sockets, both versions of IP, and TLS that is passed on."""

import contextlib
import json
import os
import signal
import socket
import ssl
import stat
import subprocess

import pytest

from harness.process import Child, Pollux

DEADLINE_S = 20


class Edge(Pollux):
    """A Pollux with a file of its own, which may listen on Unix sockets alone."""

    def __init__(self, binary, config, directory, *, tcp=1, unix=0):
        directory.mkdir(exist_ok=True)
        file = directory / "proxy.toml"
        file.write_text(config)
        self.binary, self.control = binary, directory / "control"
        super().__init__(binary, ["-c", file, "--control", self.control, "--threads", "2"], directory, listeners=tcp)
        for _ in range(unix):
            self.line(r"listening on unix:")

    def call(self, command):
        done = subprocess.run(
            [self.binary, command, "--control", self.control], capture_output=True, text=True, timeout=DEADLINE_S
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def edge(pollux_bin, tmp_path):
    with contextlib.ExitStack() as stack:
        started = []

        def start(config, **more):
            started.append(Edge(pollux_bin, config, tmp_path / f"edge-{len(started)}", **more))
            stack.callback(started[-1].kill)
            return started[-1]

        yield start
        for one in started:
            if one.process.poll() is None:
                one.end_well()


def curl(*arguments):
    done = subprocess.run(
        ["curl", "--silent", "--show-error", "--noproxy", "*", "--max-time", "30", *map(str, arguments)],
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def forwarded_for(answer):
    """What the toy has been told of the client."""
    return [value for name, value in json.loads(answer)["headers"] if name.lower() == "x-forwarded-for"]


def pool(toy, more=""):
    return f'[pool.app]\nbackends = ["{toy.host_port}"]\n{more}\n'


def accepting(mode="required", trusted="127.0.0.0/8", more=""):
    return (
        f'[[listener]]\nbind = "127.0.0.1:0"\npool = "app"\nproxy_protocol = "{mode}"\n'
        f'trusted_proxies = ["{trusted}"]\n{more}\n'
    )


def exchange(address, *parts):
    """Sends the parts; gives all that comes back until the end, or None after a reset."""
    with socket.create_connection(address, DEADLINE_S) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for part in parts:
                client.sendall(part)
            said = b""
            while piece := client.recv(65536):
                said += piece
            return said
        except ConnectionError:
            return None


GET = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
LINE = b"PROXY TCP4 203.0.113.9 198.51.100.1 4242 80\r\n"
BINARY = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes([203, 0, 113, 9, 198, 51, 100, 1, 0x10, 0x92, 0, 80])


def body(answer):
    return answer.partition(b"\r\n\r\n")[2]


def test_curl_announces_its_client(edge, toy):
    proxy = edge(accepting() + pool(toy("echo")))
    answer = curl("--haproxy-protocol", "--interface", "127.0.0.2", proxy.url())
    assert forwarded_for(answer) == ["127.0.0.2"]


@pytest.mark.parametrize("header", [LINE, BINARY], ids=["v1", "v2"])
def test_a_header_in_pieces_names_the_client(edge, toy, header):
    proxy = edge(accepting() + pool(toy("echo")))
    for parts in [[header + GET], [header, GET], [bytes([byte]) for byte in header + GET]]:
        assert forwarded_for(body(exchange(proxy.address, *parts))) == ["203.0.113.9"]
    proxy.wait_for_stderr("client=203.0.113.9:4242")
    assert "proxy=127.0.0.1:" in proxy.stderr()


@pytest.mark.parametrize(
    "options, said, cause",
    [
        ({"trusted": "10.0.0.0/8"}, LINE + GET, "proxy-header-refused"),
        ({}, GET, "proxy-header-missing"),
        ({}, b"PROXY TCP4 203.0.113.9 4242\r\n" + GET, "proxy-header-malformed"),
        ({"more": '[timeouts]\npreface = "200ms"'}, LINE[:20], "proxy-header-timeout"),
    ],
)
def test_a_wrong_header_closes_the_connection(edge, toy, options, said, cause):
    proxy = edge(pool(toy("echo")) + accepting(**options))
    assert not exchange(proxy.address, said)
    proxy.wait_for_stderr(cause)


HAPROXY = """\
defaults
    mode tcp
    timeout connect 5s
    timeout client 30s
    timeout server 30s
listen front
    bind fd@{fd}
    server pollux {to} {options}
"""


@pytest.mark.parametrize("options", ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c,unique-id"])
def test_haproxy_announces_its_clients(edge, toy, tmp_path, options):
    proxy = edge(accepting() + pool(toy("echo")))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        file = tmp_path / "haproxy.cfg"
        unique = "    unique-id-format %[uuid()]\n" if "unique-id" in options else ""
        file.write_text(HAPROXY.format(fd=listener.fileno(), to=proxy.host_port, options=options) + unique)
        running = Child(["haproxy", "-f", file], tmp_path, "haproxy", pass_fds=[listener.fileno()])
        try:
            url = "http://{}:{}/".format(*listener.getsockname())
            assert forwarded_for(curl("--interface", "127.0.0.3", url)) == ["127.0.0.3"]
        finally:
            running.kill()


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_nginx_is_told_of_the_client(edge, nginx, tmp_path, version):
    path = tmp_path / "nginx.sock"
    answer = 'return 200 "$proxy_protocol_addr to $proxy_protocol_server_addr\\n";'
    nginx(tmp_path, f"server {{ listen unix:{path} proxy_protocol; location / {{ {answer} }} }}")
    check = '[pool.app.check]\ntype = "http"\npath = "/"\nstart = "check-first"\ninterval = "100ms"'
    proxy = edge(
        '[[listener]]\nbind = "127.0.0.1:0"\n'
        f'[pool.app]\nbackends = ["unix:{path}"]\nproxy_protocol = "{version}"\n{check}\n'
    )
    for client in ["127.0.0.2", "127.0.0.3"]:
        assert curl("--interface", client, proxy.url(), proxy.url()) == f"{client} to 127.0.0.1\n".encode() * 2


def test_unix_sockets_at_both_sides(edge, toy, tmp_path):
    path, name = tmp_path / "in.sock", f"pollux-{os.getpid()}-edge"
    proxy = edge(
        pool(toy("echo"))
        + f'[pool.inner]\nbackends = ["unix:{path}", "unix:@{name}"]\n'
        + '[[listener]]\nbind = "127.0.0.1:0"\npool = "inner"\n'
        + f'[[listener]]\nbind = "unix:{path}"\npool = "app"\nsocket = {{ mode = "0620" }}\n'
        + f'[[listener]]\nbind = "unix:@{name}"\npool = "app"\n',
        unix=2,
    )
    assert stat.S_IMODE(path.stat().st_mode) == 0o620
    assert forwarded_for(curl("--unix-socket", path, "http://h/")) == ["unknown"]
    assert forwarded_for(curl("--abstract-unix-socket", name, "http://h/")) == ["unknown"]
    for _ in range(4):
        curl(proxy.url())
    proxy.wait_for_stderr("client=unix")
    proxy.end_well()
    assert not path.exists()


def test_a_socket_that_was_left_behind_is_replaced_and_a_living_one_is_not(edge, toy, pollux_bin, tmp_path):
    path = tmp_path / "a.sock"
    config = f'[[listener]]\nbind = "unix:{path}"\n' + pool(toy("fixed:1"))
    edge(config, tcp=0, unix=1).kill()
    assert path.exists()
    edge(config, tcp=0, unix=1)
    curl("--unix-socket", path, "http://h/")
    (tmp_path / "again.toml").write_text(config)
    again = subprocess.run(
        [pollux_bin, "-c", tmp_path / "again.toml"], capture_output=True, text=True, timeout=DEADLINE_S
    )
    assert again.returncode != 0 and "somebody listens there" in again.stderr
    curl("--unix-socket", path, "http://h/")


def test_a_unix_socket_outlives_a_reload_and_an_upgrade(edge, toy, tmp_path):
    path = tmp_path / "a.sock"
    config = f'[[listener]]\nbind = "unix:{path}"\n' + pool(toy("fixed:1"))
    proxy = edge(config, tcp=0, unix=1)
    number = path.stat().st_ino
    file = proxy.control.parent / "proxy.toml"
    file.write_text(config.replace(".sock\"\n", '.sock"\nsocket = { mode = "0600" }\n'))
    proxy.call("reload")
    assert (path.stat().st_ino, stat.S_IMODE(path.stat().st_mode)) == (number, 0o600)
    proxy.call("upgrade")
    proxy.expect_end()
    assert path.stat().st_ino == number
    curl("--unix-socket", path, "http://h/")
    told = subprocess.run(
        [proxy.binary, "status", "--json", "--control", proxy.control], capture_output=True, timeout=DEADLINE_S
    )
    successor = json.loads(told.stdout)["pid"]
    os.kill(successor, signal.SIGTERM)
    # The reader of its standard output sees the end when the successor has gone too.
    proxy._reader.join(DEADLINE_S)
    assert not path.exists()


def test_one_socket_takes_both_versions_of_ip(edge, toy):
    proxy = edge('[[listener]]\nbind = "[::]:0"\nv6only = false\n' + pool(toy("echo")))
    port = proxy.address[1]
    assert forwarded_for(curl(f"http://127.0.0.1:{port}/")) == ["127.0.0.1"]
    assert forwarded_for(curl("--globoff", f"http://[::1]:{port}/")) == ["::1"]


@pytest.fixture
def tls_server(tmp_path):
    """Starts `openssl s_server` with a certificate for a name; gives its address."""
    with contextlib.ExitStack() as stack:

        def start(name):
            key, certificate = tmp_path / f"{name}.key", tmp_path / f"{name}.pem"
            subprocess.run(
                ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"]
                + ["-subj", f"/CN={name}", "-keyout", key, "-out", certificate],
                check=True,
                capture_output=True,
            )
            with socket.create_server(("127.0.0.1", 0)) as probe:
                address = "{}:{}".format(*probe.getsockname())
            command = ["openssl", "s_server", "-accept", address, "-key", key, "-cert", certificate, "-alpn", "h2,http/1.1"]
            running = Child([*command, "-www"], tmp_path, name)
            stack.callback(running.kill)
            running.line("ACCEPT")
            return address

        yield start


def subject(address, *options):
    done = subprocess.run(
        ["openssl", "s_client", "-connect", "{}:{}".format(*address), *options],
        input=b"",
        capture_output=True,
        timeout=DEADLINE_S,
    )
    found = [line for line in done.stdout.decode().splitlines() if line.startswith("subject=")]
    return found[0].replace(" ", "").rpartition("CN=")[2] if found else None


def test_tls_is_passed_on_by_its_name(edge, tls_server):
    a, b, rest = tls_server("a.example"), tls_server("b.example"), tls_server("rest.example")
    proxy = edge(
        '[[listener]]\nbind = "127.0.0.1:0"\nmode = "tcp"\n'
        '[[listener.route]]\nmatch = { sni = "a.example" }\npool = "a"\n'
        '[[listener.route]]\nmatch = { sni = "*.b.example", alpn = "h2" }\npool = "b"\n'
        '[[listener.route]]\npool = "rest"\n'
        + "".join(f'[pool.{name}]\nbackends = ["{at}"]\n' for name, at in [("a", a), ("b", b), ("rest", rest)])
    )
    assert subject(proxy.address, "-servername", "a.example") == "a.example"
    assert subject(proxy.address, "-servername", "A.Example") == "a.example"
    assert subject(proxy.address, "-servername", "x.b.example", "-alpn", "h2") == "b.example"
    assert subject(proxy.address, "-servername", "x.b.example") == "rest.example"
    assert subject(proxy.address, "-noservername") == "rest.example"
    proxy.wait_for_stderr("x.b.example")


def test_a_hello_in_crumbs_is_passed_on(edge, tls_server):
    proxy = edge(
        '[[listener]]\nbind = "127.0.0.1:0"\nmode = "tcp"\n'
        '[[listener.route]]\nmatch = { sni = "a.example" }\npool = "a"\n'
        f'[pool.a]\nbackends = ["{tls_server("a.example")}"]\n'
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname="a.example")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    with socket.create_connection(proxy.address, DEADLINE_S) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in outgoing.read():
            connection.sendall(bytes([byte]))
        while True:
            try:
                client.do_handshake()
                break
            except ssl.SSLWantReadError:
                connection.sendall(outgoing.read())
                incoming.write(connection.recv(65536))
    assert client.cipher()
    assert not exchange(proxy.address, GET)
    proxy.wait_for_stderr("client-hello-missing")
