"""Real HTTP servers as backends: nginx, Python's own, and one behind a Unix socket."""

import hashlib
import random
import subprocess
import sys

import pytest

from harness.client import Response, connect, get
from harness.process import Child
from harness.scripted import UnixBackend

MIB = 1 << 20


@pytest.fixture
def site(tmp_path):
    """A directory with one file of noise, one of text and an empty one."""
    root = tmp_path / "site"
    root.mkdir()
    (root / "noise").write_bytes(random.Random(3).randbytes(5 * MIB))
    (root / "words.txt").write_text("the quick brown fox\n" * 5000)
    (root / "empty").write_bytes(b"")
    return root


def fetch_all(proxy, requests):
    """Sends requests one after the other, on a new connection whenever the last was closed."""
    responses, connection, stream = [], None, None
    for request in requests:
        if connection is None:
            connection = connect(proxy.address)
            stream = connection.makefile("rb")
        connection.sendall(request)
        responses.append(Response(stream, method=request.split()[0].decode()))
        if responses[-1].headers.get("Connection", "").lower() == "close":
            connection.close()
            connection = None
    if connection is not None:
        connection.close()
    return responses


def same(body, path):
    return hashlib.sha256(body).digest() == hashlib.sha256(path.read_bytes()).digest()


@pytest.mark.parametrize("settings", ["keepalive_timeout 60s;", "keepalive_timeout 0;"], ids=["keep-alive", "close"])
def test_nginx_serves_a_file_of_5_mib(pollux, nginx, site, settings):
    proxy = pollux(nginx(site, settings))
    for response in fetch_all(proxy, [get("/noise")] * 3):
        assert response.status == 200 and same(response.body, site / "noise")


def test_nginx_answers_without_a_body_keep_the_connection_in_step(pollux, nginx, site):
    proxy = pollux(nginx(site))
    (first,) = fetch_all(proxy, [get("/words.txt")])
    etag = first.headers["ETag"]
    unchanged = get("/words.txt", f"If-None-Match: {etag}")
    part = get("/words.txt", "Range: bytes=4-8")
    head = get("/words.txt").replace(b"GET", b"HEAD", 1)
    responses = fetch_all(proxy, [unchanged, part, head, get("/empty"), get("/nothing"), get("/words.txt")])
    assert [response.status for response in responses] == [304, 206, 200, 200, 404, 200]
    assert responses[1].body == b"quick"
    assert same(responses[5].body, site / "words.txt")


def test_nginx_compresses_into_chunks(pollux, nginx, site):
    # Pollux says who it is (Via), and nginx by default compresses nothing for a proxy.
    proxy = pollux(nginx(site, "gzip on; gzip_proxied any; gzip_types text/plain;"))
    command = ["curl", "--silent", "--noproxy", "*", "--max-time", "20", "--compressed", "--dump-header", "-"]
    done = subprocess.run([*command, proxy.url("/words.txt")], capture_output=True)
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    assert b"transfer-encoding: chunked" in head.lower() and b"content-encoding: gzip" in head.lower()
    assert same(body, site / "words.txt")


@pytest.mark.parametrize("protocol", ["HTTP/1.0", "HTTP/1.1"])
def test_pythons_http_server(pollux, tmp_path, site, protocol):
    command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1"]
    server = Child([*command, "--directory", site, "--protocol", protocol], tmp_path, "http-server")
    try:
        port = server.line(r"port (\d+)").group(1)
        proxy = pollux(f"127.0.0.1:{port}")
        responses = fetch_all(proxy, [get("/noise"), get("/empty"), get("/nothing"), get("/words.txt")])
        assert [response.status for response in responses] == [200, 200, 404, 200]
        assert same(responses[0].body, site / "noise") and same(responses[3].body, site / "words.txt")
    finally:
        server.kill()


def test_a_backend_behind_a_unix_socket(pollux, tmp_path):
    path = tmp_path / "backend.sock"
    with UnixBackend(path):
        proxy = pollux(f"unix:{path}")
        responses = fetch_all(proxy, [get(f"/{number}") for number in range(5)])
    assert [response.body for response in responses] == [b"/0", b"/1", b"/2", b"/3", b"/4"]
