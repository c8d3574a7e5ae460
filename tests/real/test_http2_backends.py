"""HTTP/2 to backends: nginx and the toy backend behind it, HTTP/1.1 and HTTP/2 clients before it."""

import itertools
import json
import re
import subprocess
import threading

import h2.config
import h2.connection
import h2.events
import pytest

from harness.client import DEADLINE_S
from harness.scripted import ScriptedBackend, events_of, read_head
from harness.served import Served

MIB = 1 << 20

# The variable says by which version nginx was asked.
TELLING = 'default_type text/plain; add_header X-Version "$server_protocol";'


def curl(*arguments, data=None, code=0):
    command = ["curl", "--silent", "--show-error", "--noproxy", "*", "--max-time", str(DEADLINE_S), *map(str, arguments)]
    done = subprocess.run(command, input=data, capture_output=True)
    assert done.returncode == code, (done.returncode, done.stderr.decode())
    return done.stdout


@pytest.fixture
def before(pollux_bin, tmp_path, keep):
    """Starts a Pollux that speaks HTTP/2 to a backend: `before(address, "max_reuse = 2")`."""

    def start(backend, pool="", options=("--threads", "1"), protocol="h2"):
        address = getattr(backend, "host_port", backend)
        file = (
            'control = "control"\n[[listener]]\nbind = "127.0.0.1:0"\npool = "app"\n'
            f'[pool.app]\nprotocol = "{protocol}"\nbackends = [{{ name = "b1", address = "{address}" }}]\n{pool}\n'
        )
        return keep(Served(pollux_bin, tmp_path, file, options=["--access-log", "on", *options]))

    return start


def url(proxy, path="/"):
    return proxy.running.url(path)


def log_of(proxy):
    """All lines: the last ones are written at the end."""
    proxy.running.end_well()
    return proxy.running.stderr()


def nginx_h2c(nginx, root, settings=""):
    """nginx that takes HTTP/2 by prior knowledge, and nothing else, at the port that it returns."""
    return nginx(root, settings, protocol="http2")


def test_nginx_serves_requests_of_both_versions(before, nginx, tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    (root / "big.txt").write_bytes(b"0123456789abcdef" * (MIB // 16))
    (root / "empty.txt").write_bytes(b"")
    proxy = before(nginx_h2c(nginx, root, TELLING))
    for version in ("--http1.1", "--http2-prior-knowledge"):
        assert curl(version, url(proxy, "/big.txt")) == (root / "big.txt").read_bytes()
        head = curl(version, "--include", url(proxy, "/empty.txt")).decode()
        assert re.search(r"(?i)^x-version: HTTP/2.0\r$", head, re.MULTILINE), head
        assert " 404" in curl(version, "--include", url(proxy, "/none")).decode().splitlines()[0]
        assert re.search(r"(?i)^content-length: 1048576\r$", curl(version, "--head", url(proxy, "/big.txt")).decode(), re.MULTILINE)
        part = curl(version, "--range", "16-31", "--include", url(proxy, "/big.txt")).decode()
        assert " 206" in part.splitlines()[0] and part.endswith("0123456789abcdef")
    # One connection has carried all of them.
    assert log_of(proxy).count("reused=false") == 1


def test_a_flag_says_that_a_backend_takes_http2(pollux, nginx, tmp_path):
    (tmp_path / "a.txt").write_text("a")
    proxy = pollux(f"h2c://{nginx_h2c(nginx, tmp_path)}")
    assert curl(proxy.url("/a.txt")) == b"a"


def test_a_backend_at_a_unix_socket(before, toy, tmp_path):
    # Such a connect is done at once.
    place = f"unix:{tmp_path}/toy.sock"
    toy("echo", listen=place)
    proxy = before(place)
    for _ in range(3):
        assert json.loads(curl(url(proxy)))["method"] == "GET"
    assert log_of(proxy).count("reused=false") == 1


def test_over_tls_the_version_is_agreed_on(tls_pollux, nginx, authority, tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    (root / "a.txt").write_bytes(b"a" * MIB)
    cert, key = authority.issue("localhost")
    tls = f"ssl_certificate {cert}; ssl_certificate_key {key};"
    pool = '[[listener]]\nbind = "127.0.0.1:0"\npool = "app"\n[pool.app]\nprotocol = "h2"\nbackends = ["{}"]\ntls = {{ ca = "{}", name = "localhost" }}\n'
    agreed = tls_pollux(pool.format(nginx(root, f"{TELLING} {tls}", protocol="ssl http2"), authority.cert))
    for _ in range(3):
        head, body = curl("--include", agreed.running.url("/a.txt")).split(b"\r\n\r\n", 1)
        assert b"HTTP/2.0" in head and body == b"a" * MIB


def test_a_tls_backend_without_http2_is_a_502(tls_pollux, nginx, authority, tmp_path):
    cert, key = authority.issue("localhost")
    tls = f"ssl_certificate {cert}; ssl_certificate_key {key};"
    pool = '[[listener]]\nbind = "127.0.0.1:0"\npool = "app"\n[pool.app]\nprotocol = "h2"\nbackends = ["{}"]\ntls = {{ ca = "{}", name = "localhost" }}\n'
    proxy = tls_pollux(pool.format(nginx(tmp_path, tls, protocol="ssl"), authority.cert))
    assert " 502 " in curl("--include", proxy.running.url("/")).decode().splitlines()[0]


def test_bodies_go_up_whole(before, toy, big_body, big_body_fnv):
    proxy = before(toy("upload"))
    for arguments in (["--http1.1"], ["--http1.1", "--header", "Content-Length:"], ["--http2-prior-knowledge"]):
        told = json.loads(curl(*arguments, "--header", "Expect:", "--upload-file", "-", url(proxy), data=big_body))
        assert (told["bytes"], told["fnv1a"]) == (len(big_body), big_body_fnv)


def test_a_burst_shares_few_connections(before, toy):
    proxy = before(toy("echo"))
    done = subprocess.run(
        ["h2load", "--requests=2000", "--clients=8", "--max-concurrent-streams=32", url(proxy)], capture_output=True, text=True, timeout=DEADLINE_S
    )
    assert "2000 succeeded, 0 failed" in done.stdout, done.stdout
    # The backend allows 100 requests at once on a connection, and 256 come. Those of the first burst join a connect.
    connects = set(re.findall(r"connect_ms=([\d.]+)", log_of(proxy))) - {"0"}
    assert 1 <= len(connects) < 20, connects


def test_the_backends_bound_of_streams_holds(before, toy):
    proxy = before(toy("h2-streams:2"))
    done = subprocess.run(
        ["h2load", "--requests=300", "--clients=1", "--max-concurrent-streams=20", url(proxy)], capture_output=True, text=True, timeout=DEADLINE_S
    )
    assert "300 succeeded, 0 failed" in done.stdout and "300 2xx" in done.stdout, done.stdout


def test_what_goaway_refuses_is_asked_again_whatever_its_method(before, toy):
    proxy = before(toy("h2-goaway:2"))
    for _ in range(4):
        assert json.loads(curl("--data", "hi", url(proxy)))["method"] == "POST"
    proxy.running.wait_for_stderr("retried=refused")


def test_a_refused_stream_is_asked_again_within_bounds(before, toy):
    proxy = before(toy("h2-refuse:1"))
    assert json.loads(curl("--data", "hi", url(proxy)))["body"] == "hi"
    proxy.running.wait_for_stderr("attempts=2 retried=refused")


def test_one_that_refuses_for_ever_is_a_502(before, toy):
    proxy = before(toy("h2-refuse:1000000"))
    assert " 502 " in curl("--include", "--data", "hi", url(proxy)).decode().splitlines()[0]
    proxy.running.wait_for_stderr('cause="backend-reset"')


@pytest.mark.parametrize("behaviour", ["h2-short:100000", "truncated:100000"])
def test_a_body_that_is_cut_never_looks_whole(before, toy, behaviour):
    proxy = before(toy(behaviour))
    # HTTP/1.1: fewer bytes than the length says. HTTP/2: the stream is reset.
    curl("--http1.1", "--output", "/dev/null", url(proxy), code=18)
    curl("--http2-prior-knowledge", "--output", "/dev/null", url(proxy), code=92)


def test_an_early_answer_ends_the_upload_alone(before, toy):
    proxy = before(toy("early-response"))
    for _ in range(3):
        said = curl("--include", "--header", "Expect:", "--data-binary", "@-", url(proxy), data=b"x" * (4 * MIB)).decode()
        assert " 413" in said.splitlines()[0]


def test_a_stuck_upload_stops_nobody_else(before, toy):
    proxy = before(toy("h2-stuck"))
    stuck = subprocess.Popen(
        ["curl", "--silent", "--noproxy", "*", "--data-binary", "@-", "--header", "Expect:", url(proxy)], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    try:
        stuck.stdin.write(b"x" * MIB)
        stuck.stdin.flush()
        for _ in range(20):
            assert json.loads(curl(url(proxy)))["method"] == "GET"
    finally:
        stuck.kill()
        stuck.stdin.close()
        stuck.wait(DEADLINE_S)


def test_a_backend_that_is_not_there_is_a_502_of_its_own(before, free_address):
    proxy = before(free_address())
    assert " 502 " in curl("--include", url(proxy)).decode().splitlines()[0]
    proxy.running.wait_for_stderr('cause="backend-refused"')


def test_a_connection_serves_so_many_requests(before, toy):
    proxy = before(toy("echo"), "max_reuse = 2")
    for _ in range(6):
        curl(url(proxy))
    assert log_of(proxy).count("reused=false") == 3


def test_an_old_connection_takes_no_request_and_ends_after_its_streams(before):
    left, numbers = threading.Event(), itertools.count(1)

    def serve(connection):
        """The first connection answers its second request once Pollux has said that it leaves."""
        number, waiting = next(numbers), None
        machine = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        machine.initiate_connection()
        answer = [(":status", "200"), ("content-length", "0"), ("x-connection", str(number))]
        for event in events_of(connection, machine):
            if isinstance(event, h2.events.RequestReceived) and number == 1:
                waiting = event.stream_id
            elif isinstance(event, h2.events.RequestReceived):
                machine.send_headers(event.stream_id, answer, end_stream=True)
            elif isinstance(event, h2.events.ConnectionTerminated) and waiting:
                # The library sends nothing more by itself.
                machine.state_machine.state = h2.connection.ConnectionState.CLIENT_OPEN
                machine.send_headers(waiting, answer, end_stream=True)
                left.set()

    with ScriptedBackend(serve) as backend:
        proxy = before(backend, 'max_age = "300ms"')
        said = [curl("--include", url(proxy)).decode() for _ in range(2)]
        assert left.is_set() and "x-connection: 1" in said[0] and "x-connection: 2" in said[1], said
        proxy.running.end_well()


def test_an_old_connection_with_http1_is_closed(before):
    closed = threading.Event()

    def serve(connection):
        while read_head(connection):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        closed.set()

    with ScriptedBackend(serve) as backend:
        # Without the key it would wait for `timeouts.backend_idle`, a minute.
        proxy = before(backend, 'max_age = "300ms"', protocol="h1")
        assert " 200 " in curl("--include", url(proxy)).decode().splitlines()[0]
        assert closed.wait(DEADLINE_S)
        proxy.running.end_well()


def test_a_reload_ends_connections_in_order(before, toy):
    first, second = toy("echo", name="first"), toy("echo", name="second")
    proxy = before(first)
    assert json.loads(curl(url(proxy)))["backend"] == "first"
    code, said = proxy.reload(proxy.file.read_text().replace(first.host_port, second.host_port))
    assert code == 0, said
    assert json.loads(curl(url(proxy)))["backend"] == "second"


def test_a_connection_that_is_dead_is_given_up(pollux_bin, tmp_path, keep):
    connections, pings = itertools.count(1), threading.Event()

    def serve(connection):
        """The first connection dies behind its first answer: what comes is read, and nothing is said any more."""
        number, answered = next(connections), 0
        machine = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        machine.initiate_connection()
        while True:
            if number > 1 or answered == 0:
                connection.sendall(machine.data_to_send())
            data = connection.recv(65536)
            if not data:
                return
            for event in machine.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    machine.send_headers(event.stream_id, [(":status", "200"), ("content-length", "0")], end_stream=True)
                    if number == 1 and answered == 0:
                        connection.sendall(machine.data_to_send())
                    answered += 1
                elif isinstance(event, h2.events.PingReceived) and number == 1:
                    pings.set()

    with ScriptedBackend(serve) as backend:
        file = (
            'control = "control"\ntimeouts = { backend_response = "1s" }\n[[listener]]\nbind = "127.0.0.1:0"\npool = "app"\n'
            f'[pool.app]\nprotocol = "h2"\nbackends = ["{backend.host_port}"]\n'
        )
        proxy = keep(Served(pollux_bin, tmp_path, file, options=["--threads", "1"]))
        assert " 200 " in curl("--include", url(proxy)).decode().splitlines()[0]
        assert " 504 " in curl("--include", "--data", "hi", url(proxy)).decode().splitlines()[0]
        assert pings.is_set()
        # It is asked on the old connection, and again on a new one.
        assert " 200 " in curl("--include", url(proxy)).decode().splitlines()[0]
        proxy.end_well()


def test_checks_go_by_http2(before, nginx, tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    (root / "up.txt").write_text("all is well\n" * 1000)
    check = '[pool.app.check]\ntype = "http"\npath = "/up.txt"\ntext = "well"\nstart = "check-first"\ninterval = "50ms"\nfast_interval = "50ms"\n'
    # It takes HTTP/2 alone, so that a check by HTTP/1.1 would take it down.
    proxy = before(nginx_h2c(nginx, root), check)
    proxy.wait_for_backend("b1", lambda backend: backend["standing"] == "up")
    assert curl(url(proxy, "/up.txt")).startswith(b"all is well")
    (root / "up.txt").unlink()
    proxy.wait_for_backend("b1", lambda backend: backend["standing"] == "down")
    (root / "up.txt").write_text("well again")
    proxy.wait_for_backend("b1", lambda backend: backend["standing"] == "up")


def test_checks_over_tls_agree_on_http2(tls_pollux, nginx, authority, tmp_path):
    (tmp_path / "up.txt").write_text("up")
    cert, key = authority.issue("localhost")
    tls = f"ssl_certificate {cert}; ssl_certificate_key {key};"
    proxy = tls_pollux(
        '[[listener]]\nbind = "127.0.0.1:0"\npool = "app"\n[pool.app]\nprotocol = "h2"\n'
        f'backends = [{{ name = "b1", address = "{nginx(tmp_path, tls, protocol="ssl http2")}" }}]\n'
        f'tls = {{ ca = "{authority.cert}", name = "localhost" }}\n'
        '[pool.app.check]\ntype = "http"\npath = "/up.txt"\nstart = "check-first"\ninterval = "50ms"\n'
    )
    proxy.wait_for_backend("b1", lambda backend: backend["standing"] == "up")
