"""gRPC call by call: grpcio clients, Pollux, and grpcio servers that are asked by HTTP/2."""

import threading
from concurrent import futures

import grpc
import pytest

from harness.client import DEADLINE_S

CONFIG = """
[[listener]]
bind = "127.0.0.1:0"
pool = "app"

[pool.app]
protocol = "h2"
backends = [{backends}]
"""



class Server:
    """A grpcio server that answers with its name and what it got."""

    def __init__(self, name):
        self.name, self.cancelled, self.held = name, threading.Event(), threading.Event()
        self._server = grpc.server(futures.ThreadPoolExecutor(max_workers=32))
        handlers = {
            "Unary": grpc.unary_unary_rpc_method_handler(self.unary),
            "Collect": grpc.stream_unary_rpc_method_handler(self.collect),
            "Repeat": grpc.unary_stream_rpc_method_handler(self.repeat),
            "Chat": grpc.stream_stream_rpc_method_handler(self.chat),
            "Hold": grpc.unary_stream_rpc_method_handler(self.hold),
            "Fail": grpc.unary_unary_rpc_method_handler(self.fail),
        }
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", handlers),))
        port = self._server.add_insecure_port("127.0.0.1:0")
        self.host_port = f"127.0.0.1:{port}"
        self._server.start()

    def unary(self, message, context):
        context.set_trailing_metadata((("x-server", self.name),))
        return self.name.encode() + b":" + message

    def collect(self, messages, context):
        return b",".join(messages)

    def repeat(self, message, context):
        for number in range(int(message)):
            yield str(number).encode()

    def chat(self, messages, context):
        for message in messages:
            yield message.upper()

    def hold(self, message, context):
        context.add_callback(self.cancelled.set)
        yield b"begun"
        self.held.wait(DEADLINE_S)

    def fail(self, message, context):
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not so: ä")

    def cut(self):
        """Ends the call that it holds, and takes no more."""
        stopped = self._server.stop(0)
        assert self.cancelled.wait(DEADLINE_S)
        self.held.set()
        assert stopped.wait(DEADLINE_S)

    def stop(self):
        self.held.set()
        assert self._server.stop(0).wait(DEADLINE_S)


@pytest.fixture
def server(request):
    def start(name="a"):
        started = Server(name)
        request.addfinalizer(started.stop)
        return started

    return start


@pytest.fixture
def channel(request):
    def connect(proxy):
        opened = grpc.insecure_channel(proxy.running.host_port, options=[("grpc.enable_http_proxy", 0)])
        request.addfinalizer(opened.close)
        return opened

    return connect


def before(tls_pollux, *servers):
    return tls_pollux(CONFIG.format(backends=", ".join(f'"{server.host_port}"' for server in servers)))


def test_all_four_kinds_of_calls_pass(tls_pollux, server, channel):
    backend = server()
    proxy = before(tls_pollux, backend)
    calls = channel(proxy)
    for size in (0, 1, 100_000, 3_000_000):
        reply, call = calls.unary_unary("/test.Echo/Unary").with_call(b"x" * size, timeout=DEADLINE_S)
        assert reply == b"a:" + b"x" * size
        assert ("x-server", "a") in call.trailing_metadata() and call.code() == grpc.StatusCode.OK
    assert calls.stream_unary("/test.Echo/Collect")(iter([b"1", b"2", b"3"]), timeout=DEADLINE_S) == b"1,2,3"
    repeated = calls.unary_stream("/test.Echo/Repeat")(b"500", timeout=DEADLINE_S)
    assert [int(number) for number in repeated] == list(range(500))
    proxy.running.wait_for_stderr("status=200 grpc_status=0")


def test_a_conversation_goes_both_ways_at_once(tls_pollux, server, channel):
    calls = channel(before(tls_pollux, server()))
    said = threading.Semaphore(0)
    words = [f"word-{number}".encode() for number in range(200)]

    def speak():
        for word in words:
            yield word
            # The next word waits for the answer to this one.
            assert said.acquire(timeout=DEADLINE_S)

    for word, heard in zip(words, calls.stream_stream("/test.Echo/Chat")(speak(), timeout=DEADLINE_S), strict=True):
        assert heard == word.upper()
        said.release()


def test_the_status_and_message_of_a_failed_call_pass(tls_pollux, server, channel):
    proxy = before(tls_pollux, server())
    with pytest.raises(grpc.RpcError) as failed:
        channel(proxy).unary_unary("/test.Echo/Fail")(b"", timeout=DEADLINE_S)
    assert (failed.value.code(), failed.value.details()) == (grpc.StatusCode.FAILED_PRECONDITION, "not so: ä")
    with pytest.raises(grpc.RpcError) as failed:
        channel(proxy).unary_unary("/test.Echo/None")(b"", timeout=DEADLINE_S)
    assert failed.value.code() == grpc.StatusCode.UNIMPLEMENTED
    proxy.running.wait_for_stderr("grpc_status=9")


def test_a_cancelled_call_is_cancelled_at_the_server(tls_pollux, server, channel):
    backend = server()
    call = channel(before(tls_pollux, backend)).unary_stream("/test.Echo/Hold")(b"", timeout=DEADLINE_S)
    assert next(call) == b"begun"
    call.cancel()
    assert backend.cancelled.wait(DEADLINE_S)


def test_a_deadline_ends_the_call_at_both_ends(tls_pollux, server, channel):
    backend = server()
    call = channel(before(tls_pollux, backend)).unary_stream("/test.Echo/Hold")(b"", timeout=1)
    assert next(call) == b"begun"
    with pytest.raises(grpc.RpcError) as failed:
        next(call)
    assert failed.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert backend.cancelled.wait(DEADLINE_S)


def test_each_call_is_balanced_though_the_client_has_one_connection(tls_pollux, server, channel):
    servers = [server(name) for name in "abc"]
    calls = channel(before(tls_pollux, *servers))
    names = [calls.unary_unary("/test.Echo/Unary")(b"", timeout=DEADLINE_S).decode()[0] for _ in range(30)]
    assert sorted(set(names)) == ["a", "b", "c"] and all(names.count(name) == 10 for name in "abc"), names


def test_a_call_in_a_server_that_stops_ends_and_others_go_on(tls_pollux, server, channel):
    first, second = server("a"), server("b")
    proxy = before(tls_pollux, first, second)
    calls = channel(proxy)
    held = [calls.unary_stream("/test.Echo/Hold")(b"", timeout=DEADLINE_S) for _ in range(2)]
    assert [next(call) for call in held] == [b"begun", b"begun"]
    first.cut()
    # One of the two was there.
    codes = set()
    second.held.set()
    for call in held:
        try:
            list(call)
            codes.add(grpc.StatusCode.OK)
        except grpc.RpcError as error:
            codes.add(error.code())
    assert grpc.StatusCode.OK in codes and len(codes) == 2, codes
    for _ in range(20):
        assert calls.unary_unary("/test.Echo/Unary")(b"", timeout=DEADLINE_S) == b"b:"


def test_calls_go_on_through_reloads(tls_pollux, server, channel):
    proxy = before(tls_pollux, server("a"), server("b"))
    calls = channel(proxy)
    chat = calls.stream_stream("/test.Echo/Chat")
    said = threading.Semaphore(0)

    def speak():
        for number in range(20):
            yield f"w{number}".encode()
            assert said.acquire(timeout=DEADLINE_S)

    for number, heard in enumerate(chat(speak(), timeout=DEADLINE_S)):
        assert heard == f"W{number}".encode()
        if number % 2 == 0:
            code, told = proxy.reload()
            assert code == 0, told
            assert calls.unary_unary("/test.Echo/Unary")(b"x", timeout=DEADLINE_S)[1:] == b":x"
        said.release()
