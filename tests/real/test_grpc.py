"""gRPC through Pollux, with grpcio: failures of Pollux's own are answered in the way of gRPC."""

import socket
import subprocess

import grpc
import h2.events
import pytest

from harness.client import DEADLINE_S
from harness.frames import Connection
from harness.scripted import ScriptedBackend, read_head

CONFIG = """
[[listener]]
bind = "127.0.0.1:0"

[[listener.route]]
name = "limited"
match = {{ path = "/a.B/Limited" }}
respond = {{ status = 429 }}

[[listener.route]]
name = "calls"
match = {{ path = "/a.B/*" }}
pool = "app"
timeouts = {{ backend_response = "200ms" }}

[pool.app]
backends = ["{backend}"]
"""


@pytest.fixture
def call(request):
    """Calls a method with an empty message: `call(host_port, "/a.B/C")`."""

    def place(host_port, method):
        channel = grpc.insecure_channel(host_port, options=[("grpc.enable_http_proxy", 0)])
        request.addfinalizer(channel.close)
        return channel.unary_unary(method)(b"", timeout=DEADLINE_S)

    return place


def failure(call, host_port, method):
    with pytest.raises(grpc.RpcError) as failed:
        call(host_port, method)
    return failed.value.code(), failed.value.details()


@pytest.mark.parametrize(
    ("behaviour", "method", "code", "details"),
    [
        ("close", "/a.B/C", grpc.StatusCode.UNAVAILABLE, "backend-closed"),
        ("garbage", "/a.B/C", grpc.StatusCode.INTERNAL, "backend-bad-response"),
        ("silent", "/a.B/C", grpc.StatusCode.DEADLINE_EXCEEDED, "backend-response-timeout"),
        ("echo", "/other", grpc.StatusCode.UNIMPLEMENTED, "no-route"),
        ("echo", "/a.B/Limited", grpc.StatusCode.RESOURCE_EXHAUSTED, "Too Many Requests"),
    ],
)
def test_own_failures_have_a_status_of_grpc(tls_pollux, toy, call, behaviour, method, code, details):
    proxy = tls_pollux(CONFIG.format(backend=toy(behaviour).host_port)).running
    assert failure(call, proxy.host_port, method) == (code, details)
    proxy.wait_for_stderr(f"status=200 grpc_status={code.value[0]}")


def test_a_backend_that_is_not_there_is_unavailable(tls_pollux, free_address, call):
    proxy = tls_pollux(CONFIG.format(backend=free_address())).running
    assert failure(call, proxy.host_port, "/a.B/C") == (grpc.StatusCode.UNAVAILABLE, "backend-refused")


def test_a_call_has_the_time_that_its_caller_gives_it(pollux, toy):
    proxy = pollux(toy("silent"))
    with Connection(proxy.address) as connection:
        stream = connection.ask("/a.B/C", method="POST", content_type="application/grpc", grpc_timeout="100m")
        connection.answer(stream)
        [head] = connection.of(stream, h2.events.ResponseReceived)
        fields = dict(head.headers)
        assert (fields[":status"], fields["grpc-status"], fields["grpc-message"]) == ("200", "4", "backend-response-timeout")


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\n"
# An empty message, in a chunk.
MESSAGE = b"5\r\n\0\0\0\0\0\r\n0\r\n"


def one_call(answer):
    """The script of a backend that answers one call by HTTP/1.1."""

    def serve(connection):
        head = read_head(connection)
        assert head.startswith(b"POST /a.B/C HTTP/1.1\r\n"), head
        body = b""
        while not body.endswith(b"0\r\n\r\n"):
            piece = connection.recv(4096)
            assert piece
            body += piece
        connection.sendall(answer)

    return serve


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + MESSAGE + b"grpc-status: 0\r\n\r\n", 0),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + MESSAGE + b"Grpc-Status: 5\r\ngrpc-message: none\r\n\r\n", 5),
        (HEAD + b"Content-Length: 0\r\nGrpc-Status: 16\r\n\r\n", 16),
    ],
)
def test_the_status_of_an_answer_is_counted_and_logged(administered, call, answer, status):
    with ScriptedBackend(one_call(answer)) as backend:
        proxy = administered(backend)
        if status == 0:
            assert call(proxy.running.host_port, "/a.B/C") == b""
        else:
            assert failure(call, proxy.running.host_port, "/a.B/C")[0].value[0] == status
        proxy.running.wait_for_stderr(f"status=200 grpc_status={status}")
        assert f'pollux_grpc_calls_total{{pool="app",status="{status}"}} 1\n' in proxy.get("/metrics")


@pytest.mark.parametrize(("number", "standing"), [(14, "ejected"), (12, "up")])
def test_health_takes_a_failed_call_for_its_status_of_http(administered, call, number, standing):
    script = one_call(HEAD + b"Content-Length: 0\r\nGrpc-Status: %d\r\n\r\n" % number)
    with ScriptedBackend(script) as asked, ScriptedBackend(script) as spare:
        pool = 'balance = "first"\nhealth = { failures = 1, errors = ["503"], eject = "1h" }'
        proxy = administered(asked, spare, pool=pool)
        assert failure(call, proxy.running.host_port, "/a.B/C")[0].value[0] == number
        assert [proxy.backend(name)["standing"] for name in ("b1", "b2")] == [standing, "up"]


@pytest.mark.parametrize("arguments", [["--http2-prior-knowledge", "application/grpc-web"], ["--http1.1", "application/grpc"]])
def test_what_is_not_a_call_gets_the_status_of_http(tls_pollux, toy, arguments):
    version, kind = arguments
    proxy = tls_pollux(CONFIG.format(backend=toy("close").host_port)).running
    command = ["curl", "--silent", "--noproxy", "*", version, "--header", f"content-type: {kind}", "--data-binary", "x"]
    done = subprocess.run([*command, "--write-out", " %{http_code}", proxy.url("/a.B/C")], capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.stdout == "502 Bad Gateway: backend-closed\n 502"


# A message, and the trailers, which gRPC-Web has in the body.
WEB_CALL = b"\0\0\0\0\2hi"
WEB_ANSWER = b"\0\0\0\0\3yes\x80\0\0\0\x0fgrpc-status:0\r\n"


@pytest.mark.parametrize("version", ["--http1.1", "--http2-prior-knowledge"])
@pytest.mark.parametrize("kind", ["application/grpc-web", "application/grpc-web+proto", "application/grpc-web-text"])
def test_grpc_web_passes_as_it_is(pollux, version, kind):
    def serve(connection):
        head = read_head(connection)
        assert f"\r\ncontent-type: {kind}\r\n" in head.decode().lower(), head
        assert connection.recv(len(WEB_CALL), socket.MSG_WAITALL) == WEB_CALL
        told = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(WEB_ANSWER)}\r\n\r\n"
        connection.sendall(told.encode() + WEB_ANSWER)

    with ScriptedBackend(serve) as backend:
        proxy = pollux(backend)
        command = ["curl", "--silent", "--noproxy", "*", version, "--header", f"content-type: {kind}", "--header", "x-grpc-web: 1"]
        command += ["--data-binary", "@-", "--write-out", "%{content_type}", proxy.url("/a.B/C")]
        done = subprocess.run(command, input=WEB_CALL, capture_output=True, timeout=DEADLINE_S)
        assert done.stdout == WEB_ANSWER + kind.encode()
