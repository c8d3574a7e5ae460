"""What released proxies were seen to get wrong between two HTTP/2 peers, by frames of both of them.

A test plays both peers of one Pollux in one thread: each step waits for the frame that shows the one before.
"""

import contextlib
import os
import signal

import pytest

from harness.client import connect, read_to_end
from harness.peers import (
    CANCEL,
    DATA,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    INTERNAL_ERROR,
    MAX_CONCURRENT_STREAMS,
    NO_ERROR,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    ClientPeer,
    Listener,
)

MIB = 1 << 20


@pytest.fixture
def backend():
    with Listener() as listener:
        yield listener


CONFIG = """
[[listener]]
bind = "127.0.0.1:0"
pool = "app"
interim_responses = "all"
[pool.app]
backends = ["{}"]
request_trailers = "pass"
{}
"""


@pytest.fixture
def proxy(tls_pollux, backend):
    return tls_pollux(CONFIG.format(backend.host_port, 'protocol = "h2"'), threads=1).running


@pytest.fixture
def to_http1(tls_pollux, backend):
    return tls_pollux(CONFIG.format(backend.host_port, ""), threads=1).running


def head_of(server, count=1):
    """Waits for so many requests; the numbers of their streams."""
    server.until(lambda _: len([frame for frame in server.seen if frame.kind == HEADERS]) >= count)
    return [frame.stream for frame in server.seen if frame.kind == HEADERS]


def ask_once_more(client, server, stream):
    """Both connections carry another exchange."""
    client.ask(stream)
    known = {frame.stream for frame in server.seen if frame.kind == HEADERS}
    found = server.until(lambda frame: frame.kind == HEADERS and frame.stream not in known).stream
    server.answer(found)
    assert client.fields(stream)[":status"] == "200" and client.body(stream) == (b"", None)


CUTS = {
    "reset": lambda server, stream: server.reset(stream, INTERNAL_ERROR),
    "reset in order": lambda server, stream: server.reset(stream, NO_ERROR),
    "closed": lambda server, stream: server.close(),
    "goaway": lambda server, stream: (server.goaway(stream), server.close()),
    "short": lambda server, stream: server.data(stream, b"", ends=True),
    "long": lambda server, stream: server.data(stream, b"x" * 9, ends=True),
    "short by trailers": lambda server, stream: server.head(stream, [("x", "y")], ends=True),
}


# Without a length only what cuts the stream itself is a cut.
ANSWERS = [(cut, {"content_length": "10"}) for cut in CUTS] + [(cut, {}) for cut in ("reset", "reset in order", "closed", "goaway")]


@pytest.mark.parametrize(("cut", "length"), ANSWERS)
def test_an_answer_that_is_cut_ends_in_a_reset(proxy, backend, cut, length):
    with ClientPeer(proxy.address) as client:
        client.ask(1)
        with backend.accept() as server:
            [stream] = head_of(server)
            server.answer(stream, ends=False, **length)
            server.data(stream, b"12")
            assert client.until(lambda frame: frame.kind == DATA).payload == b"12"
            CUTS[cut](server, stream)
            body, ends = client.body(1)
            assert body.startswith(b"12") and len(body) < 11 and ends == INTERNAL_ERROR
        client.pass_ping()


@pytest.mark.parametrize("length", [{"content_length": "10"}, {}], ids=["length", "no-length"])
def test_an_answer_that_is_cut_is_short_by_http_1(proxy, backend, length):
    with connect(proxy.address) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        with backend.accept() as server:
            [stream] = head_of(server)
            server.answer(stream, ends=False, **length)
            server.data(stream, b"12")
            server.reset(stream, INTERNAL_ERROR)
            said = read_to_end(client)
            assert b"HTTP/1.1 200" in said and b"12" in said and not said.endswith(b"0\r\n\r\n")


UPLOAD_CUTS = {
    "reset": lambda client: client.reset(1),
    "closed": lambda client: client.close(),
    "goaway": lambda client: (client.goaway(0), client.close()),
    "short": lambda client: client.data(1, b"", ends=True),
    "long": lambda client: client.data(1, b"x" * 9, ends=True),
    "short by trailers": lambda client: client.head(1, [("x", "y")], ends=True),
}

UPLOADS = [(cut, {"content_length": "10"}) for cut in UPLOAD_CUTS] + [(cut, {}) for cut in ("reset", "closed", "goaway")]


@pytest.mark.parametrize(("cut", "length"), UPLOADS)
def test_an_upload_that_is_cut_never_looks_whole_to_an_http2_backend(proxy, backend, cut, length):
    with ClientPeer(proxy.address) as client:
        client.ask(1, "POST", ends=False, **length)
        client.data(1, b"12")
        with backend.accept() as server:
            [stream] = head_of(server)
            server.until(lambda frame: frame.kind == DATA)
            UPLOAD_CUTS[cut](client)
            body, ends = server.body(stream)
            assert len(body) < 10 and ends in (CANCEL, INTERNAL_ERROR, PROTOCOL_ERROR)
            # The connection goes on, and so does that of the client.
            if cut in ("closed", "goaway"):
                with ClientPeer(proxy.address) as other:
                    ask_once_more(other, server, 1)
            else:
                ask_once_more(client, server, 3)


@pytest.mark.parametrize(("cut", "length"), UPLOADS)
def test_an_upload_that_is_cut_never_looks_whole_to_an_http1_backend(to_http1, backend, cut, length):
    with ClientPeer(to_http1.address) as client:
        client.ask(1, "POST", ends=False, **length)
        client.data(1, b"12")
        with backend.accept_plain() as server:
            said = b""
            while b"12" not in said.partition(b"\r\n\r\n")[2]:
                said += server.recv(4096)
            UPLOAD_CUTS[cut](client)
            try:
                said += read_to_end(server)
            except ConnectionResetError:
                pass
            body = said.partition(b"\r\n\r\n")[2]
            assert len(body) < 10 if length else not body.endswith(b"0\r\n\r\n"), body


def test_an_http1_upload_that_is_cut_resets_the_stream(proxy, backend):
    for framing in (b"Content-Length: 10\r\n\r\n12", b"Transfer-Encoding: chunked\r\n\r\n2\r\n12\r\n"):
        with connect(proxy.address) as client:
            client.sendall(b"POST / HTTP/1.1\r\nHost: h\r\n" + framing)
            if framing.startswith(b"C"):
                server = backend.accept()
            stream = head_of(server, 1 + 1 * framing.startswith(b"T"))[-1]
            server.until(lambda frame: (frame.kind, frame.stream) == (DATA, stream))
        body, ends = server.body(stream)
        assert body == b"12" and ends is not None
    server.close()


def test_padding_counts_and_is_no_body(proxy, backend):
    """The paddings alone are more than both windows."""
    with ClientPeer(proxy.address) as client:
        client.ask(1, "POST", ends=False)
        with backend.accept() as server:
            [stream] = head_of(server)
            sent = 0
            for number in range(6000):
                client.data(1, b"x", padding=255)
                sent += 257
                while sent + 257 > 65_535 + min(client.given(0), client.given(1)):
                    client.read()
            client.data(1, b"", ends=True, padding=10)
            server.window(0, MIB)
            assert server.body(stream) == (b"x" * 6000, None)
            assert sent > MIB
            # The same down.
            server.answer(stream, ends=False)
            client.window(1, MIB)
            sent = 0
            for _ in range(6000):
                server.data(stream, b"y", padding=255)
                sent += 257
                while sent + 257 > 65_535 + min(server.given(0), server.given(stream)):
                    server.read()
            server.data(stream, b"", ends=True, padding=0)
            assert client.body(1) == (b"y" * 6000, None)


def test_every_settings_is_acknowledged(proxy, backend):
    with ClientPeer(proxy.address) as client:
        client.ask(1)
        with backend.accept() as server:
            [stream] = head_of(server)
            for peer in (client, server):
                peer.pass_ping()
                acknowledged = peer.acks
                assert acknowledged == 1
                for number in range(20):
                    peer.settings([(INITIAL_WINDOW_SIZE, 1000 * number)] if number % 2 else [])
                peer.pass_ping()
                assert peer.acks == acknowledged + 20
            server.answer(stream)
            assert client.body(1) == (b"", None)


def test_a_post_that_may_have_been_carried_out_is_not_asked_again(proxy, backend):
    def lose(server, stream):
        server.goaway(stream)
        server.close()

    def refuse_late(server, stream):
        server.answer(stream, 103, ends=False)
        server.reset(stream, REFUSED_STREAM)

    for act in (lose, lambda server, stream: server.close(), lambda server, stream: server.reset(stream), refuse_late):
        with ClientPeer(proxy.address) as client:
            client.ask(1, "POST", ends=False)
            client.data(1, b"pay", ends=True)
            with backend.accept() as server:
                [stream] = head_of(server)
                assert server.body(stream) == (b"pay", None)
                act(server, stream)
                _, ends = client.body(1)
                statuses = [dict(frame.payload).get(":status") for frame in client.seen if frame.kind == HEADERS]
                assert ends != REFUSED_STREAM and statuses[-1] == "502", (ends, statuses)
                assert not backend.has_another()


def test_a_request_that_meets_the_close_of_a_backend_goes_to_a_new_connection(proxy, backend):
    """Both wait for one poll: the request is read first, and then the end of the connection that it was to take."""
    with connect(proxy.address) as cut:
        cut.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        server = backend.accept()
        [stream] = head_of(server)
        server.answer(stream, ends=False)
        server.reset(stream, INTERNAL_ERROR)
        assert b"HTTP/1.1 200" in read_to_end(cut)
        server.pass_ping()
        os.kill(proxy.process.pid, signal.SIGSTOP)
        try:
            other = connect(proxy.address)
            other.sendall(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            server.close()
        finally:
            os.kill(proxy.process.pid, signal.SIGCONT)
        with other, backend.accept() as server:
            [stream] = head_of(server)
            server.answer(stream, content_length="0")
            assert read_to_end(other).startswith(b"HTTP/1.1 200")


def test_a_stuck_upload_stops_no_stream_and_no_ping(proxy, backend):
    with ClientPeer(proxy.address) as client:
        client.ask(1, "POST", ends=False)
        with backend.accept([(INITIAL_WINDOW_SIZE, 10)]) as server:
            [stuck] = head_of(server)
            # As much as Pollux takes for a stream that does not move on.
            for _ in range(4):
                client.data(1, b"x" * 16_000)
            for number in range(3, 43, 2):
                ask_once_more(client, server, number)
            client.pass_ping()
            server.pass_ping()
            assert sum(len(frame.payload) for frame in server.seen if frame.kind == DATA) <= 65_535
            server.window(stuck, MIB)
            server.answer(stuck)
            assert client.fields(1)[":status"] == "200"


def test_a_client_that_does_not_read_stops_no_other(proxy, backend):
    """Both clients have their streams on one connection to the backend."""
    with ClientPeer(proxy.address, [(INITIAL_WINDOW_SIZE, 0)]) as idle, ClientPeer(proxy.address) as other:
        idle.ask(1)
        with backend.accept() as server:
            [held] = head_of(server)
            server.answer(held, ends=False)
            # As much as the stream may send, and then there is no more window for it.
            room = 65_535
            while room:
                server.data(held, b"x" * min(room, 16_000))
                room -= min(room, 16_000)
            for number in range(1, 41, 2):
                other.ask(number)
                stream = head_of(server, 2 + number // 2)[-1]
                server.answer(stream, ends=False)
                server.data(stream, b"y" * 16_000, ends=True)
                other.window(0, 16_000)
                assert other.body(number) == (b"y" * 16_000, None)
            assert not backend.has_another()
            idle.window(1, MIB)
            server.data(held, b"", ends=True)
            idle.window(0, MIB)
            assert idle.body(1) == (b"x" * 65_535, None)


def test_the_bound_of_streams_holds_from_its_acknowledgement(tls_pollux, backend):
    # There is no second connection to go to.
    proxy = tls_pollux(CONFIG.format(backend.host_port, 'protocol = "h2"\nmax_connections = 1'), threads=1).running
    with ClientPeer(proxy.address) as client:
        for number in (1, 3):
            client.ask(number)
        with backend.accept() as server:
            first, second = head_of(server, 2)
            server.settings([(MAX_CONCURRENT_STREAMS, 1)])
            server.until(lambda _: server.acks == 2)
            for number in (5, 7):
                client.ask(number)
            client.pass_ping()
            server.pass_ping()
            server.answer(first)
            assert client.body(1) == (b"", None)
            server.pass_ping()
            # Two are open, then one, and the bound is one.
            assert head_of(server) == [first, second]
            server.answer(second)
            third = head_of(server, 3)[-1]
            server.pass_ping()
            assert head_of(server) == [first, second, third]
            server.answer(third)
            server.answer(head_of(server, 4)[-1])
            for number in (3, 5, 7):
                assert client.body(number) == (b"", None)
            assert not backend.has_another()


@pytest.mark.parametrize("authority", ["h/evil", "h?q", "h#f", "u@h", "h h", "h\\evil", "/", "h:80/x"])
def test_an_authority_never_becomes_part_of_a_path(proxy, backend, authority):
    with ClientPeer(proxy.address) as client:
        client.ask(1, authority=authority)
        _, ends = client.body(1)
        assert ends == PROTOCOL_ERROR
        assert not backend.has_another()
        client.ask(3, path="/path?a=b", authority="h.test:81")
        with backend.accept() as server:
            [stream] = head_of(server)
            fields = server.fields(stream)
            assert (fields[":path"], fields[":authority"]) == ("/path?a=b", "h.test:81")
            server.answer(stream)
            assert client.body(3) == (b"", None)


def test_a_101_that_was_not_asked_for_is_a_502(proxy, to_http1, backend):
    with ClientPeer(proxy.address) as client:
        client.ask(1)
        with backend.accept() as server:
            [stream] = head_of(server)
            server.answer(stream, 101, ends=False)
            assert client.fields(1)[":status"] == "502"
            assert client.body(1)[1] is None
            ask_once_more(client, server, 3)
    with ClientPeer(to_http1.address) as client:
        client.ask(1)
        with backend.accept_plain() as server:
            server.recv(4096)
            server.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
            assert client.fields(1)[":status"] == "502"
            assert client.body(1)[1] is None
        client.pass_ping()


def test_interim_answers_and_trailers_end_no_connection(proxy, backend):
    with ClientPeer(proxy.address) as client:
        for number in (1, 3, 5):
            client.ask(number, "POST", ends=False, te="trailers")
            client.data(number, b"body")
            client.head(number, [("x-last", "up")], ends=True)
            if number == 1:
                server = backend.accept()
            stream = head_of(server, number)[-1]
            body, ends = server.body(stream)
            assert (body, ends) == (b"body", None) and server.fields(stream, 1) == {"x-last": "up"}
            for _ in range(3):
                server.head(stream, [(":status", "103"), ("link", "</a>")])
            server.answer(stream, ends=False)
            server.data(stream, b"there")
            server.head(stream, [("x-last", "down")], ends=True)
            assert client.body(number) == (b"there", None)
            heads = [dict(frame.payload) for frame in client.seen if (frame.kind, frame.stream) == (HEADERS, number)]
            assert [head.get(":status") for head in heads] == ["103", "103", "103", "200", None]
            assert heads[-1] == {"x-last": "down"}
        assert not backend.has_another()
        server.close()


def test_request_trailers_pass_to_an_http1_backend(to_http1, backend):
    with ClientPeer(to_http1.address) as client:
        with contextlib.ExitStack() as stack:
            for number in (1, 3):
                client.ask(number, "POST", ends=False)
                client.data(number, b"body")
                client.head(number, [("x-last", "up")], ends=True)
                if number == 1:
                    server = stack.enter_context(backend.accept_plain())
                said = b""
                while not said.endswith(b"0\r\nx-last: up\r\n\r\n"):
                    said += server.recv(4096)
                server.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                assert client.body(number) == (b"ok", None)


REQUEST = [(":method", "GET"), (":scheme", "http"), (":authority", "h")]


@pytest.mark.parametrize(
    "fields",
    [
        [*REQUEST, ("x", "y"), (":path", "/")],
        [*REQUEST, (":path", "/"), ("x", "y"), (":path", "/evil")],
        [*REQUEST, (":path", "/"), ("x", "y"), (":status", "200")],
        [*REQUEST, (":path", "/"), ("x", "y"), (":authority", "evil")],
    ],
)
def test_a_pseudo_field_behind_a_field_is_no_request(proxy, backend, fields):
    with ClientPeer(proxy.address) as client:
        client.head(1, fields, ends=True)
        assert client.body(1) == (b"", PROTOCOL_ERROR)
        assert not backend.has_another()
        client.pass_ping()


@pytest.mark.parametrize("fields", [[("x", "y"), (":status", "200")], [(":status", "200"), ("x", "y"), (":status", "204")], [(":status", "200"), (":path", "/")]])
def test_a_pseudo_field_behind_a_field_is_no_answer(proxy, backend, fields):
    with ClientPeer(proxy.address) as client:
        client.ask(1)
        with backend.accept() as server:
            [stream] = head_of(server)
            server.head(stream, fields, ends=True)
            assert client.fields(1)[":status"] == "502" and client.body(1)[1] is None
            ask_once_more(client, server, 3)


def test_a_pseudo_field_is_no_trailer(proxy, backend):
    with ClientPeer(proxy.address) as client:
        client.ask(1)
        with backend.accept() as server:
            [stream] = head_of(server)
            server.answer(stream, ends=False)
            server.data(stream, b"12")
            server.head(stream, [("x", "y"), (":status", "200")], ends=True)
            assert client.body(1) == (b"12", INTERNAL_ERROR)
            ask_once_more(client, server, 3)
