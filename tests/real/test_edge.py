"""Where clients come in: the PROXY protocol, Unix sockets, both versions of IP, and TLS that is passed on."""

import contextlib
import itertools
import json
import os
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
        super().__init__(binary, ["-c", file, "--threads", "2"], directory, listeners=tcp)
        for _ in range(unix):
            self.line(r"listening on unix:")


@pytest.fixture
def edge(pollux_bin, tmp_path, keep):
    numbers = itertools.count()
    return lambda config, **more: keep(Edge(pollux_bin, config, tmp_path / f"edge-{next(numbers)}", **more))


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
    try:
        # A client that is refused at once may hear of it before its connect is over.
        with socket.create_connection(address, DEADLINE_S) as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
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
        ({"more": '[timeouts]\nprelude = "200ms"'}, LINE[:20], "proxy-header-timeout"),
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
    # By the first answer all of its sockets are there.
    curl("http://{}/".format(nginx(tmp_path, f"server {{ listen unix:{path} proxy_protocol; location / {{ {answer} }} }}")))
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
    edge(config, tcp=0, unix=1).crash()
    assert path.exists()
    edge(config, tcp=0, unix=1)
    curl("--unix-socket", path, "http://h/")
    (tmp_path / "again.toml").write_text(config)
    again = subprocess.run(
        [pollux_bin, "-c", tmp_path / "again.toml"], capture_output=True, text=True, timeout=DEADLINE_S
    )
    assert again.returncode != 0 and "somebody listens there" in again.stderr
    curl("--unix-socket", path, "http://h/")


def test_one_socket_takes_both_versions_of_ip(edge, toy):
    proxy = edge('[[listener]]\nbind = "[::]:0"\nv6only = false\n' + pool(toy("echo")))
    port = proxy.address[1]
    assert forwarded_for(curl(f"http://127.0.0.1:{port}/")) == ["127.0.0.1"]
    assert forwarded_for(curl("--globoff", f"http://[::1]:{port}/")) == ["::1"]


def test_an_ipv4_client_of_a_dual_stack_socket_has_one_form_everywhere(edge, toy, tmp_path):
    log = tmp_path / "access.log"
    proxy = edge(
        f'access_log = "{log}"\n[admin]\nbind = "127.0.0.1:0"\n[[listener]]\nbind = "[::]:0"\nv6only = false\n'
        '[[listener.route]]\nname = "four"\nmatch.client = "::ffff:127.0.0.0/104"\npool = "app"\n'
        '[[listener]]\nbind = "[::]:0"\nv6only = false\nmode = "tcp"\n'
        '[[listener.route]]\nname = "four"\nmatch.client = "127.0.0.0/8"\npool = "app"\n' + pool(toy("echo")),
        tcp=2,
    )
    host, port = proxy.line(r"admin on http://(\S+):(\d+)/").groups()
    admin = f"http://{host}:{port}"
    kept = GET.replace(b"close", b"keep-alive")
    for _, listening in proxy.addresses:
        with socket.create_connection(("127.0.0.1", listening), DEADLINE_S) as client:
            client.sendall(kept)
            assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
            mine = "{}:{}".format(*client.getsockname())
            for path in ("/sessions", "/status"):
                told = curl(admin + path).decode()
                assert "::ffff:" not in told, (path, told)
                assert path == "/status" or mine in told, told
    told = curl(f"{admin}/recorder?all").decode()
    assert "::ffff:" not in told and "127.0.0.1:" in told, told
    proxy.end_well()
    lines = log.read_text().splitlines()
    assert len(lines) == 2 and all("client=127.0.0.1:" in line and 'route="four"' in line for line in lines), lines


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


@pytest.fixture
def certificate(tmp_path):
    """A certificate that has signed itself, for localhost: its file, and that of its key."""
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "20"]
        + ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", cert],
        check=True,
        capture_output=True,
    )
    return cert, key


def over_tls(address, before, said, *, cut=None):
    """Sends `before` in plain bytes, does a handshake, says `said` and gives the answer; the first `cut` bytes go one by one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with socket.create_connection(address, DEADLINE_S) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def go_on(act):
            while True:
                try:
                    return act()
                except ssl.SSLWantReadError:
                    connection.sendall(outgoing.read())
                    if piece := connection.recv(65536):
                        incoming.write(piece)
                    else:
                        incoming.write_eof()

        with pytest.raises(ssl.SSLWantReadError):
            client.do_handshake()
        first = before + outgoing.read()
        for byte in first[:cut]:
            connection.sendall(bytes([byte]))
        connection.sendall(first[cut or 0 :] if cut else b"")
        go_on(client.do_handshake)
        client.write(said)
        answer = b""
        while piece := go_on(lambda: client.read(65536)):
            answer += piece
        return answer


def secured(certificate, mode="required", trusted="127.0.0.0/8", more=""):
    cert, key = certificate
    tls = f'tls = {{ certificates = [{{ cert = "{cert}", key = "{key}" }}] }}'
    return accepting(mode, trusted, f"{tls}\n{more}")


def header(answer, name):
    return [value for known, value in json.loads(answer)["headers"] if known.lower() == name]


@pytest.mark.parametrize("said", [LINE, BINARY], ids=["v1", "v2"])
@pytest.mark.parametrize("mode", ["required", "optional"])
def test_a_header_comes_before_tls(edge, toy, certificate, said, mode):
    proxy = edge(pool(toy("echo")) + secured(certificate, mode))
    for cut in [None, len(said), len(said) + 40]:
        answer = body(over_tls(proxy.address, said, GET, cut=cut))
        assert forwarded_for(answer) == ["203.0.113.9"]
        assert header(answer, "x-forwarded-proto") == ["https"]
    proxy.wait_for_stderr("client=203.0.113.9:4242")
    assert "proxy=127.0.0.1:" in proxy.stderr()
    answer = curl("--insecure", "--haproxy-protocol", "--interface", "127.0.0.2", f"https://{proxy.host_port}/")
    assert forwarded_for(answer) == ["127.0.0.2"]
    if mode == "optional":
        assert forwarded_for(body(over_tls(proxy.address, b"", GET))) == ["127.0.0.1"]


@pytest.mark.parametrize(
    "options, said, cause",
    [
        ({"trusted": "10.0.0.0/8"}, LINE, "proxy-header-refused"),
        ({}, b"\x16\x03\x01\x02\0\x01\0", "proxy-header-missing"),
        ({}, b"PROXY TCP4 203.0.113.9 4242\r\n", "proxy-header-malformed"),
        ({"more": '[timeouts]\nprelude = "200ms"'}, LINE[:20], "proxy-header-timeout"),
        ({"more": '[timeouts]\nprelude = "200ms"'}, b"", "proxy-header-timeout"),
        ({"more": '[timeouts]\nhandshake = "200ms"'}, LINE, "tls-handshake-timeout"),
        ({"mode": "optional", "more": '[timeouts]\nhandshake = "200ms"'}, b"", "tls-handshake-timeout"),
    ],
)
def test_a_wrong_header_before_tls_closes_the_connection(edge, toy, certificate, options, said, cause):
    proxy = edge(pool(toy("echo")) + secured(certificate, **options))
    assert not exchange(proxy.address, said)
    proxy.wait_for_stderr(f'cause="{cause}"')


def test_a_tls_backend_is_told_of_the_client_before_the_handshake(edge, nginx, tmp_path, certificate):
    cert, key = certificate
    path = tmp_path / "nginx.sock"
    ready = nginx(
        tmp_path,
        f"server {{ listen unix:{path} ssl proxy_protocol; ssl_certificate {cert}; ssl_certificate_key {key}; "
        'location / { return 200 "$proxy_protocol_addr\\n"; } }',
    )
    # By the first answer all of its sockets are there.
    curl(f"http://{ready}/")
    check = '[pool.app.check]\ntype = "http"\npath = "/"\nstart = "check-first"\ninterval = "100ms"'
    for version in ["v1", "v2"]:
        proxy = edge(
            f'[[listener]]\nbind = "127.0.0.1:0"\ntls = {{ certificates = [{{ cert = "{cert}", key = "{key}" }}] }}\n'
            f'[pool.app]\nbackends = ["unix:{path}"]\nproxy_protocol = "{version}"\n'
            f'tls = {{ ca = "{cert}", name = "localhost" }}\n{check}\n'
        )
        proxy.wait_for_stderr("the standing of a backend has changed")
        url = f"https://localhost:{proxy.address[1]}/"
        for client in ["127.0.0.2", "127.0.0.3"]:
            name = ("--resolve", f"localhost:{proxy.address[1]}:127.0.0.1")
            assert curl("--cacert", cert, "--interface", client, *name, url, url) == f"{client}\n".encode() * 2


SECURE_BINARY = BINARY[:14] + b"\0\x14" + BINARY[16:] + b"\x20\0\x05\x01\0\0\0\0"


@pytest.mark.parametrize(
    "is_tls, header_, trusted, said, proto, is_strict",
    [
        (False, b"", "10.0.0.0/8", None, "http", False),
        (False, b"", "10.0.0.0/8", "https", "http", False),
        (False, b"", "127.0.0.0/8", None, "http", False),
        (False, b"", "127.0.0.0/8", "https", "https", False),
        (True, b"", "10.0.0.0/8", None, "https", True),
        (True, b"", "10.0.0.0/8", "http", "https", True),
        (True, b"", "127.0.0.0/8", "http", "http", True),
        (False, BINARY, "127.0.0.0/8", "https", "http", False),
        (False, SECURE_BINARY, "127.0.0.0/8", None, "https", True),
        (False, SECURE_BINARY, "127.0.0.0/8", "http", "https", True),
        (True, BINARY, "127.0.0.0/8", None, "https", True),
    ],
)
def test_the_scheme_of_the_client(edge, toy, certificate, is_tls, header_, trusted, said, proto, is_strict):
    cert, key = certificate
    lines = [f'tls = {{ certificates = [{{ cert = "{cert}", key = "{key}" }}] }}'] if is_tls else []
    lines += ['proxy_protocol = "required"'] if header_ else []
    lines += ['hsts = { max_age = "30d", include_subdomains = true }'] if lines else []
    proxy = edge(
        pool(toy("echo"))
        + f'[[listener]]\nbind = "127.0.0.1:0"\npool = "app"\ntrusted_proxies = ["{trusted}"]\n'
        + "\n".join(lines)
    )
    request = GET if said is None else GET.replace(b"\r\nConn", b"\r\nX-Forwarded-Proto: %s\r\nConn" % said.encode())
    if is_tls:
        answer = over_tls(proxy.address, header_, request)
    else:
        answer = exchange(proxy.address, header_ + request)
    assert header(body(answer), "x-forwarded-proto") == [proto]
    head = answer.partition(b"\r\n\r\n")[0].lower()
    assert (b"\r\nstrict-transport-security: max-age=2592000; includesubdomains\r\n" in head) == is_strict
    assert head.count(b"strict-") == is_strict


def test_an_address_that_comes_later_is_bound_by_freebind(pollux_bin, toy, tmp_path):
    """In a network namespace of its own, where the address is added when Pollux runs."""
    backend = toy("echo")
    file = tmp_path / "proxy.toml"

    def configure(more=""):
        listeners = [f'[[listener]]\nbind = "{bind}"\npool = "app"\n{more}' for bind in ["192.0.2.7:8080", "[2001:db8::7]:8080"]]
        file.write_text("".join(listeners) + f'[pool.app]\nbackends = ["{backend.host_port}"]\n')

    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    alone = ["unshare", *user, "--net", "--"]
    configure()
    done = subprocess.run([*alone, pollux_bin, "-c", file], capture_output=True, text=True, timeout=20)
    assert done.returncode == 1 and "write `freebind = true` if it gets it later" in done.stderr, done
    configure("freebind = true\n")
    proxy = Pollux("/usr/bin/env", [*alone, pollux_bin, "-c", file], tmp_path, listeners=2)
    try:
        enter = ["nsenter", f"--target={proxy.process.pid}", *(["--user"] if user else []), "--net", "--"]
        script = "ip link set lo up; ip address add 192.0.2.7/32 dev lo; ip -6 address add 2001:db8::7/128 dev lo nodad; "
        # The backend is outside: it is the connection that is shown.
        for host in ["192.0.2.7", "[2001:db8::7]"]:
            curl = f"curl --silent --output /dev/null --write-out '%{{http_code}}' http://{host}:8080/"
            done = subprocess.run([*enter, "sh", "-c", script + curl], capture_output=True, text=True, timeout=20)
            assert done.stdout == "502", done
        proxy.end_well()
    finally:
        proxy.kill()
