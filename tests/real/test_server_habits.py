"""What real servers and clients do that a proxy has to cope with."""

import contextlib
import http.client
import json
import pathlib
import socket
import subprocess
import sys
import time

import pytest
import requests
import urllib3

from harness.client import Response, connect, get
from harness.process import Child

# Each serves an application that gives a body to every method.
APPLICATION = """\
import sys

def app(environ, start_response):
    length = int(environ.get("CONTENT_LENGTH") or 0)
    body = environ["REQUEST_METHOD"].encode() + b" body" + environ["wsgi.input"].read(length)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
"""

SERVERS = {
    "gevent": """\
from gevent.pywsgi import WSGIServer
server = WSGIServer(("127.0.0.1", 0), app, log=None)
server.start()
print(server.server_port, flush=True)
server.serve_forever()
""",
    "waitress": """\
from waitress import create_server
server = create_server(app, host="127.0.0.1", port=0)
print(server.effective_port, flush=True)
server.run()
""",
    "cheroot": """\
from cheroot.wsgi import Server
server = Server(("127.0.0.1", 0), app)
server.prepare()
print(server.bind_addr[1], flush=True)
server.serve()
""",
    "wsgiref": """\
from wsgiref.simple_server import make_server
server = make_server("127.0.0.1", 0, app)
print(server.server_port, flush=True)
server.serve_forever()
""",
}
SENDS_A_BODY_BEHIND_HEAD = ["gevent", "waitress", "cheroot"]


@pytest.fixture
def server(tmp_path):
    """Starts one of these servers; returns its address."""
    started = []

    def start(kind):
        script = tmp_path / f"serve_{kind}.py"
        script.write_text(APPLICATION + SERVERS[kind])
        child = Child([sys.executable, "-u", script], tmp_path, kind)
        started.append(child)
        return f"127.0.0.1:{child.line(r'^([0-9]+)$').group(1)}"

    yield start
    for child in started:
        child.kill()


HEAD = get().replace(b"GET", b"HEAD", 1)


@pytest.mark.parametrize("kind", SENDS_A_BODY_BEHIND_HEAD)
def test_a_body_behind_head_reaches_nobody(pollux, server, kind):
    """Twenty times a HEAD, and at once a GET: alone each server's bytes would be the answer to the next request."""
    proxy = pollux(server(kind), options=["--threads", "1"])
    with connect(proxy.address) as connection:
        stream = connection.makefile("rb")
        for _ in range(20):
            connection.sendall(HEAD)
            response = Response(stream, method="HEAD")
            assert (response.status, response.headers["Content-Length"]) == (200, "9")
            connection.sendall(get())
            response = Response(stream)
            assert (response.status, response.body) == (200, b"GET body")
            connection.sendall(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\nhi")
            response = Response(stream)
            assert (response.status, response.body) == (200, b"POST bodyhi")


@pytest.mark.parametrize("kind", SENDS_A_BODY_BEHIND_HEAD)
def test_the_server_does_send_a_body_behind_head(server, kind):
    """What the test above stands on."""
    host, _, port = server(kind).partition(":")
    with connect((host, int(port))) as connection:
        connection.sendall(HEAD + get().replace(b"HTTP/1.1", b"HTTP/1.1\r\nConnection: close"))
        assert b"HEAD body" in connection.makefile("rb").read()


def plain(toy, more=""):
    return f'[[listener]]\nbind = "127.0.0.1:0"\n{more}\n[pool.app]\nbackends = ["{toy.host_port}"]\n'


def with_requests(url):
    session = requests.Session()
    session.trust_env = False
    return [session.get(f"{url}/{number}").json()["target"] for number in range(5)]


def with_urllib3(url):
    pool = urllib3.PoolManager(retries=False)
    return [pool.request("GET", f"{url}/{number}").json()["target"] for number in range(5)]


def with_http_client(url):
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=20)
    targets = []
    for number in range(5):
        connection.request("GET", f"/{number}")
        targets.append(json.loads(connection.getresponse().read())["target"])
    connection.close()
    return targets


@pytest.mark.parametrize("fetch", [with_requests, with_urllib3, with_http_client])
def test_clients_that_know_no_103_stay_in_step(tls_pollux, toy, fetch):
    proxy = tls_pollux(plain(toy("interim:1")))
    assert fetch(f"http://127.0.0.1:{proxy.port}") == [f"/{number}" for number in range(5)]


def test_http_client_takes_a_103_for_the_answer(tls_pollux, toy):
    """What the test above stands on."""
    proxy = tls_pollux(plain(toy("interim:1"), 'interim_responses = "all"'))
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=20)
    connection.request("GET", "/")
    assert connection.getresponse().status == 103
    connection.close()


JAVA = pathlib.Path(__file__).parent / "java"


def expecting(port, count, patience_s):
    """The JDK's client, which sends a body only after a 100, however long that takes."""
    command = ["java", JAVA / "Expecting.java", f"http://127.0.0.1:{port}/echo.php", str(count), str(patience_s)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.fixture
def php(tmp_path):
    """`php -S`; returns its address."""
    (tmp_path / "echo.php").write_text("POST body<?php echo file_get_contents('php://input');")
    # It says nothing of the port that it was given, so it is given one that was free a moment ago.
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    child = Child(["php", "-S", f"127.0.0.1:{port}", "-t", tmp_path], tmp_path, "php")
    for _ in range(200):
        with contextlib.suppress(ConnectionRefusedError), connect(("127.0.0.1", port)):
            break
        time.sleep(0.05)
    yield f"127.0.0.1:{port}"
    child.kill()


def to(address, more):
    return f'[[listener]]\nbind = "127.0.0.1:0"\n[pool.app]\n{more}\nbackends = ["{address}"]\n'


def test_javas_client_gets_its_100_before_wsgiref(tls_pollux, server):
    proxy = tls_pollux(to(server("wsgiref"), 'expect = "answer"'))
    done = expecting(proxy.port, 3, 60)
    assert done.stdout.split("\n") == ["200 POST bodybody 0", "200 POST bodybody 1", "200 POST bodybody 2", ""], done


def test_javas_client_gets_its_100_before_php(tls_pollux, php):
    proxy = tls_pollux(to(php, 'expect = "answer"'))
    done = expecting(proxy.port, 3, 60)
    assert done.stdout.split("\n") == ["200 POST bodybody 0", "200 POST bodybody 1", "200 POST bodybody 2", ""], done


def test_javas_client_waits_for_a_100_in_vain(tls_pollux, server):
    """What the tests above stand on."""
    proxy = tls_pollux(to(server("wsgiref"), 'expect = "pass"'))
    done = expecting(proxy.port, 1, 3)
    assert done.returncode != 0 and "HttpTimeoutException" in done.stderr, done


@pytest.mark.parametrize("expects", [False, True])
def test_a_chunked_upload_reaches_wsgiref_whole(tls_pollux, server, expects):
    proxy = tls_pollux(to(server("wsgiref"), 'request_body = "buffer"'))
    with connect(("127.0.0.1", proxy.port)) as connection:
        stream = connection.makefile("rb")
        fields = b"Transfer-Encoding: chunked\r\n" + (b"Expect: 100-continue\r\n" if expects else b"")
        connection.sendall(b"POST / HTTP/1.1\r\nHost: test\r\n" + fields + b"\r\n")
        if expects:
            assert stream.readline() == b"HTTP/1.1 100 Continue\r\n" and stream.readline() == b"\r\n"
        piece = b"%x\r\n%b\r\n" % (5000, b"x" * 5000)
        connection.sendall(piece * 100 + b"0\r\n\r\n")
        response = Response(stream)
        assert (response.status, response.body) == (200, b"POST body" + b"x" * 500_000)
