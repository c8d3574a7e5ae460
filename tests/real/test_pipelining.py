"""Requests sent before the answers to earlier ones: every answer comes, in order, on one connection."""

import json
import subprocess

from harness.client import Response, connect, get


def targets_answered(connection, count):
    stream = connection.makefile("rb")
    return [json.loads(Response(stream).body)["target"] for _ in range(count)]


def test_a_hundred_requests_in_one_write(pollux, toy):
    proxy = pollux(toy("echo"))
    wanted = [f"/{number}" for number in range(100)]
    with connect(proxy.address) as connection:
        connection.sendall(b"".join(get(target) for target in wanted))
        assert targets_answered(connection, 100) == wanted


def test_requests_cut_anywhere(pollux, toy):
    proxy = pollux(toy("echo"))
    wanted = [f"/{number}" for number in range(10)]
    bytes_in_all = b"".join(get(target) for target in wanted)
    for size in (1, 3, 7, 64):
        with connect(proxy.address) as connection:
            for start in range(0, len(bytes_in_all), size):
                connection.sendall(bytes_in_all[start : start + size])
            assert targets_answered(connection, 10) == wanted


def test_bodies_between_pipelined_heads(pollux, toy):
    proxy = pollux(toy("echo"))
    post = b"POST /a HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello"
    chunked = b"POST /b HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    with connect(proxy.address) as connection:
        connection.sendall(post + chunked + get("/c"))
        stream = connection.makefile("rb")
        told = [json.loads(Response(stream).body) for _ in range(3)]
    assert [(one["target"], one["body"]) for one in told] == [("/a", "hello"), ("/b", "abc"), ("/c", "")]


def test_head_answers_between_others(pollux, toy):
    proxy = pollux(toy("fixed:1000"))
    with connect(proxy.address) as connection:
        connection.sendall(get() + get().replace(b"GET", b"HEAD", 1) + get())
        stream = connection.makefile("rb")
        lengths = [len(Response(stream, method=method).body) for method in ("GET", "HEAD", "GET")]
    assert lengths == [1000, 0, 1000]


def test_nc_half_closes_behind_its_requests(pollux, toy):
    proxy = pollux(toy("echo"))
    host, port = proxy.address
    done = subprocess.run(
        ["nc", "-N", host, str(port)], input=get("/1") + get("/2") + get("/3"), capture_output=True, timeout=30
    )
    assert done.stdout.count(b"HTTP/1.1 200") == 3
    assert [done.stdout.find(target) for target in (b'"/1"', b'"/2"', b'"/3"')] == sorted(
        done.stdout.find(target) for target in (b'"/1"', b'"/2"', b'"/3"')
    )
    assert b'"/3"' in done.stdout
