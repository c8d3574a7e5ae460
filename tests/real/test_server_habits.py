"""What real servers and clients do that a proxy has to cope with."""

import http.client
import json
import sys

import pytest
import requests
import urllib3

from harness.client import Response, connect, get
from harness.process import Child

# Each serves an application that gives a body to every method.
APPLICATION = """\
import sys

def app(environ, start_response):
    body = environ["REQUEST_METHOD"].encode() + b" body"
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
}


@pytest.fixture
def server(tmp_path):
    """Starts one of these servers; returns its address."""
    started = []

    def start(kind):
        script = tmp_path / f"{kind}.py"
        script.write_text(APPLICATION + SERVERS[kind])
        child = Child([sys.executable, "-u", script], tmp_path, kind)
        started.append(child)
        return f"127.0.0.1:{child.line(r'^([0-9]+)$').group(1)}"

    yield start
    for child in started:
        child.kill()


HEAD = get().replace(b"GET", b"HEAD", 1)


@pytest.mark.parametrize("kind", SERVERS)
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
            assert (response.status, response.body) == (200, b"POST body")


@pytest.mark.parametrize("kind", SERVERS)
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
