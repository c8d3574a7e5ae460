"""The toy backend's HTTP/2 and gRPC, well and badly, without Pollux: by curl, nghttp, PyPI's h2 and grpcio."""

import json
import re
import subprocess

import grpc
import h2.errors
import h2.events
import h2.settings
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from harness.client import DEADLINE_S
from harness.frames import Connection

MIB = 1 << 20


def place(toy):
    host, port = toy.host_port.rsplit(":", 1)
    return host, int(port)


def curl(toy, path="/", *arguments, data=None, code=0):
    host, port = place(toy)
    command = ["curl", "--silent", "--show-error", "--noproxy", "*", "--max-time", "30", "--http2-prior-knowledge", *map(str, arguments)]
    done = subprocess.run([*command, f"http://{host}:{port}{path}"], input=data, capture_output=True)
    assert done.returncode == code, (done.returncode, done.stderr.decode())
    return done.stdout


def test_it_answers_as_with_http_1(toy):
    echo = toy("echo", name="a")
    told = json.loads(curl(echo, "/path?query=1", "--data-binary", "@-", data=b"x" * (3 * MIB)))
    assert (told["backend"], told["method"], told["target"], told["body_bytes"]) == ("a", "POST", "/path?query=1", 3 * MIB)
    assert curl(echo, "/status/404", "--write-out", "%{http_code}", "--output", "/dev/null") == b"404"
    assert curl(echo, "/", "--head").startswith(b"HTTP/2 200")
    assert len(curl(toy(f"fixed:{5 * MIB}"))) == 5 * MIB
    assert len(curl(toy("close-delimited:100000"))) == 100000
    assert curl(toy("early-response"), "/", "--upload-file", "-", "--write-out", "%{http_code}", "--output", "/dev/null", data=b"x" * MIB) == b"413"
    host, port = place(toy("chunked:3x100"))
    said = subprocess.run(["nghttp", "--verbose", "--null-out", f"http://{host}:{port}/"], capture_output=True, text=True, timeout=60, check=True)
    assert re.search("x-checksum: ", said.stdout), said.stdout


@pytest.mark.parametrize("behaviour", ["truncated:100000", "close", "reset", "garbage"])
def test_what_ends_a_connection_of_http_1_ends_a_stream(toy, behaviour):
    with Connection(place(toy(behaviour))) as connection:
        first, second = connection.ask(), connection.ask()
        assert {connection.reset(first), connection.reset(second)} == {h2.errors.ErrorCodes.INTERNAL_ERROR}


def test_goaway_names_the_stream_before(toy):
    with Connection(place(toy("h2-goaway:2"))) as connection:
        first = connection.ask(method="POST", ends=False)
        second = connection.ask()
        away = connection.until(lambda event: isinstance(event, h2.events.ConnectionTerminated))
        assert (away.last_stream_id, away.error_code) == (first, h2.errors.ErrorCodes.NO_ERROR)
        # The first stream is in its middle, and ends well.
        frame = b"\0\0\0\0\1" + first.to_bytes(4, "big")
        connection.socket.sendall(frame)
        got = b""
        while piece := connection.socket.recv(65536):
            got += piece
        assert b'"method":"POST"' in got.replace(b" ", b"")
        assert not connection.of(second, h2.events.ResponseReceived)


def test_the_first_requests_are_refused_across_connections(toy):
    backend = toy("h2-refuse:2")
    for expected in (7, 7, None):
        with Connection(place(backend)) as connection:
            stream = connection.ask()
            if expected is None:
                assert connection.answer(stream)[0] == 200
            else:
                assert connection.reset(stream) == expected


def test_few_streams_are_announced_and_kept(toy):
    with Connection(place(toy("h2-streams:1"))) as connection:
        connection.until(lambda event: isinstance(event, h2.events.RemoteSettingsChanged))
        assert connection.machine.remote_settings.max_concurrent_streams == 1
        connection.ask(method="POST", ends=False)
        connection.machine.remote_settings.max_concurrent_streams = 10
        connection.machine.remote_settings.acknowledge()
        assert connection.reset(connection.ask()) == h2.errors.ErrorCodes.REFUSED_STREAM


def test_a_stuck_window_holds_its_stream_only(toy):
    with Connection(place(toy("h2-stuck"))) as connection:
        stuck = connection.ask(method="POST", ends=False)
        window = connection.machine.local_flow_control_window(stuck)
        while window:
            connection.machine.send_data(stuck, bytes(min(window, 16384)))
            window = connection.machine.local_flow_control_window(stuck)
        connection.flush()
        assert connection.answer(connection.ask())[0] == 200
        assert connection.machine.local_flow_control_window(stuck) == 0


@pytest.mark.parametrize(("behaviour", "answers"), [("echo", True), ("h2-no-ping", False)])
def test_ping_is_answered_or_not(toy, behaviour, answers):
    with Connection(place(toy(behaviour))) as connection:
        connection.machine.ping(b"12345678")
        connection.flush()
        assert connection.answer(connection.ask())[0] == 200
        assert any(isinstance(event, h2.events.PingAckReceived) for event in connection.events) == answers


def test_a_short_body_ends_whole(toy):
    curl(toy("h2-short:100"), code=92)
    backend = toy("h2-short:100")
    with Connection(place(backend)) as connection:
        stream = connection.ask()
        with pytest.raises(h2.exceptions.InvalidBodyLengthError):
            connection.answer(stream)


def test_what_is_no_request_is_reset(toy):
    backend = toy("echo")
    with Connection(place(backend)) as connection:
        connection.machine.config.validate_outbound_headers = False
        connection.machine.config.normalize_outbound_headers = False
        assert connection.reset(connection.ask(connection="close")) == h2.errors.ErrorCodes.PROTOCOL_ERROR
        short = connection.ask(method="POST", ends=False, content_length="3")
        connection.machine.send_data(short, b"12", end_stream=True)
        connection.flush()
        assert connection.reset(short) == h2.errors.ErrorCodes.PROTOCOL_ERROR


@pytest.fixture
def channel(request):
    def connect(backend):
        host, port = place(backend)
        channel = grpc.insecure_channel(f"{host}:{port}", options=[("grpc.enable_http_proxy", 0)])
        request.addfinalizer(channel.close)
        return channel

    return connect


def test_grpc_echoes_in_four_forms(toy, channel):
    calls = channel(toy("echo"))
    unary = calls.unary_unary("/a.B/Unary")
    assert unary(b"hello", timeout=DEADLINE_S) == b"hello"
    assert unary(b"x" * (2 * MIB), timeout=DEADLINE_S) == b"x" * (2 * MIB)
    assert list(calls.unary_stream("/a.B/Repeat")(b"a", timeout=DEADLINE_S)) == [b"a"] * 10
    assert calls.stream_unary("/a.B/Collect")(iter([b"a", b"b"]), timeout=DEADLINE_S) == b"ab"
    assert list(calls.stream_stream("/a.B/Both")(iter([b"a", b"", b"b"]), timeout=DEADLINE_S)) == [b"a", b"", b"b"]


def test_grpc_fails_by_trailers_only_and_late(toy, channel):
    for number, code in ((14, grpc.StatusCode.UNAVAILABLE), (5, grpc.StatusCode.NOT_FOUND)):
        with pytest.raises(grpc.RpcError) as failed:
            channel(toy(f"grpc-status:{number}")).unary_unary("/a.B/C")(b"", timeout=DEADLINE_S)
        assert failed.value.code() == code
    with pytest.raises(grpc.RpcError) as failed:
        channel(toy("slow-first-byte:1m")).unary_unary("/a.B/C")(b"", timeout=0.2)
    assert failed.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED


def test_health_is_checked_watched_and_switched(toy, channel):
    backend = toy("echo")
    stub = health_pb2_grpc.HealthStub(channel(backend))
    ask = health_pb2.HealthCheckRequest
    status = health_pb2.HealthCheckResponse
    assert stub.Check(ask(), timeout=DEADLINE_S).status == status.SERVING
    with pytest.raises(grpc.RpcError) as failed:
        stub.Check(ask(service="shop"), timeout=DEADLINE_S)
    assert failed.value.code() == grpc.StatusCode.NOT_FOUND
    watch = stub.Watch(ask(service="shop"), timeout=DEADLINE_S)
    assert next(watch).status == status.SERVICE_UNKNOWN
    assert curl(backend, "/toy/health/NOT_SERVING/shop") == b"set\n"
    assert next(watch).status == status.NOT_SERVING
    assert curl(backend, "/toy/health/SERVING/shop") == b"set\n"
    assert next(watch).status == status.SERVING
    assert stub.Check(ask(service="shop"), timeout=DEADLINE_S).status == status.SERVING
    watch.cancel()
    assert curl(backend, "/toy/health/MAYBE", "--write-out", "%{http_code}", "--output", "/dev/null") == b"400"
