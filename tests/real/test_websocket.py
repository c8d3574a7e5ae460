"""A WebSocket client from the Python package index, through Pollux to the toy that echoes messages."""

import random

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

DEADLINE_S = 20


def open_socket(proxy):
    # Without `compression` frames are as long as their messages, so a MiB is a MiB on the wire.
    return connect(
        f"ws://{proxy.host_port}/chat", proxy=None, compression=None, open_timeout=DEADLINE_S, max_size=4 << 20
    )


def test_text_and_binary_are_echoed(pollux, toy):
    proxy = pollux(toy("websocket"))
    noise = random.Random(4).randbytes(1 << 20)
    with open_socket(proxy) as socket:
        for message in ("hello", "", "schön ✓", noise):
            socket.send(message)
            assert socket.recv(timeout=DEADLINE_S) == message


def test_a_ping_is_answered(pollux, toy):
    proxy = pollux(toy("websocket"))
    with open_socket(proxy) as socket:
        assert socket.ping(b"are you there").wait(DEADLINE_S)


def test_the_close_code_is_echoed(pollux, toy):
    proxy = pollux(toy("websocket"))
    with open_socket(proxy) as socket:
        socket.send("last")
        assert socket.recv(timeout=DEADLINE_S) == "last"
        socket.close(code=4001, reason="enough")
        with pytest.raises(ConnectionClosed) as ended:
            socket.recv(timeout=DEADLINE_S)
    assert ended.value.sent.code == 4001
    assert ended.value.rcvd.code == 4001


def test_many_messages_both_ways_at_once(pollux, toy):
    proxy = pollux(toy("websocket"))
    messages = [f"message {number}" for number in range(500)]
    with open_socket(proxy) as socket:
        for message in messages:
            socket.send(message)
        assert [socket.recv(timeout=DEADLINE_S) for _ in messages] == messages


def test_a_refused_upgrade_is_an_ordinary_response(pollux, toy):
    proxy = pollux(toy("fixed:10"))
    with pytest.raises(InvalidStatus) as refused:
        open_socket(proxy)
    assert refused.value.response.status_code == 200


def test_a_client_stays_with_its_backend(tls_pollux, toy):
    backends = ", ".join(f'"{toy("websocket", name=name).host_port}"' for name in "ab")
    proxy = tls_pollux(f'[[listener]]\nname = "web"\nbind = "127.0.0.1:0"\n[pool.app]\nsticky = {{ cookie = "srv" }}\nbackends = [{backends}]\n')
    url = f"ws://{proxy.running.host_port}/chat"
    with connect(url, proxy=None, open_timeout=DEADLINE_S) as first:
        bound = first.response.headers["Set-Cookie"].split(";")[0]
    assert bound.startswith("srv=")
    for _ in range(4):
        with connect(url, proxy=None, open_timeout=DEADLINE_S, additional_headers={"Cookie": bound}) as again:
            # Who comes back to the backend that it is bound to is not told again.
            assert "Set-Cookie" not in again.response.headers
            again.send("hello")
            assert again.recv(timeout=DEADLINE_S) == "hello"
    with connect(url, proxy=None, open_timeout=DEADLINE_S) as other:
        assert other.response.headers["Set-Cookie"].split(";")[0] != bound
