"""Thousands of requests, good and bad, always the same: the seeds of the fuzzer, bodies behind heads, and mutations."""

import pathlib
import random

CORPUS = pathlib.Path(__file__).parents[2] / "fuzz" / "corpus"

LINES = [
    b"GET / HTTP/1.1", b"POST /p?q=1 HTTP/1.1", b"PUT /a%20b HTTP/1.1", b"OPTIONS * HTTP/1.1", b"HEAD /h HTTP/1.1",
    b"DELETE http://h/x HTTP/1.1", b"GET / HTTP/1.0", b"POST / HTTP/1.0", b"M-SEARCH / HTTP/1.1", b"GET //a HTTP/1.1",
    b"GET /\\a HTTP/1.1", b"GET /a\xe9 HTTP/1.1", b"get / HTTP/1.1", b"GET  / HTTP/1.1", b"GET / HTTP/1.1 ",
    b"GET / HTTP/1.2", b"GET / HTTP/1.10", b"GET / HTTP/01.1", b"GET /#f HTTP/1.1", b"GET /{a}|^ HTTP/1.1",
]  # fmt: skip

FIELDS = [
    b"Content-Length: 5", b"Content-Length: 0", b"content-length:5", b"Content-Length: 05", b"Content-Length: +5",
    b"Content-Length: 5, 5", b"Content-Length: 5 ", b"Content-Length:\t5", b"Content-Length : 5", b"Content-Length: 0x5",
    b"Content-Length: 5\x0b", b"Content-Length: ", b"Content-Length: 4_0", b"Content-Length: 5;", b"Content_Length: 5",
    b"Transfer-Encoding: chunked", b"transfer-encoding:CHUNKED", b"Transfer-Encoding: chunked ", b"Transfer-Encoding : chunked",
    b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: chunked, identity", b"Transfer-Encoding: identity",
    b"Transfer-Encoding: \"chunked\"", b"Transfer-Encoding: chunked;q=1", b"Transfer-Encoding: x", b"Transfer-Encoding:",
    b"Transfer-Encoding:\x0bchunked", b"Transfer-Encoding: chun\xebked", b"Transfer-Encoding\x00: chunked", b"TE: chunked",
    b"X: a\r\n b", b"X: a\nContent-Length: 5", b"X: a\rContent-Length: 5", b"X:\x00", b"X: \x7f", b"X: \xe9", b"X", b": x",
    b"X Y: z", b"X(Y): z", b"Host: g", b"host : h", b"Connection: close", b"Connection: content-length",
    b"Connection: host, transfer-encoding", b"Connection: keep-alive", b"Connection: Upgrade", b"Upgrade: websocket",
    b"Upgrade: h2c", b"Expect: 100-continue", b"Expect: x", b"Trailer: Content-Length", b"Keep-Alive: 5",
    b"Proxy-Connection: close", b"X-Forwarded-For: 6.6.6.6", b"Cookie: a=b; c", b"Accept:", b"!#$%&'*+-.^_`|~: x",
]  # fmt: skip

BODIES = [
    b"", b"hello", b"hell", b"0\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n", b"05;x=\"y\"\r\nhello\r\n00\r\n\r\n", b"5\nhello\n0\n\n",
    b"5 \r\nhello\r\n0\r\n\r\n", b"5\r\nhello\r\n0\r\nX: y\r\n\r\n", b"5\r\nhello\r\n0\r\nContent-Length: 9\r\n\r\n",
    b"0x5\r\nhello\r\n0\r\n\r\n", b"5\r\nhelloo\r\n0\r\n\r\n", b"5;\nhello\r\n0\r\n\r\n", b"fffffffffffffffff\r\nhello",
    b"5\r\nhello\r\n0\r\n\r\nGET /next HTTP/1.1\r\nHost: h\r\n\r\n", b"helloGET /next HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET /next HTTP/1.1\r\nHost: h\r\n\r\n", b"\r\nGET /next HTTP/1.1\r\nHost: h\r\n\r\n", b"5\r\nhello\r\n0\r\nX: y\n\r\n",
    b"-1\r\nhello\r\n0\r\n\r\n", b"5\r\nhello\r\n0\r\n z\r\n\r\n", b"5\rX\nhello\r\n0\r\n\r\n",
]  # fmt: skip

PIECES = [
    b"\r\n", b"\n", b"\r", b"\x00", b" ", b"\t", b"\x0b", b"\x85", b"\xa0", b":", b",", b";", b"0", b"1", b"chunked",
    b"\r\n\r\n", b"\r\n ", b"HTTP/1.1", b"Content-Length: 1\r\n", b"Transfer-Encoding: chunked\r\n", b"GET / HTTP/1.1\r\n",
]  # fmt: skip


def seeds():
    heads = [path.read_bytes() for path in sorted((CORPUS / "head").iterdir())]
    chunked = b"POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    bodies = [chunked + path.read_bytes() for path in sorted((CORPUS / "chunked").iterdir())]
    return heads + [head + b"hello" for head in heads] + bodies


def built(rng):
    lines = [rng.choice(LINES[:9] if rng.random() < 0.7 else LINES)]
    if rng.random() < 0.95:
        lines.append(rng.choice([b"Host: h", b"host:h", b"Host: h:80"]))
    lines += rng.choices(FIELDS, k=rng.choice([0, 1, 1, 1, 2, 2, 3]))
    return b"\r\n".join(lines) + b"\r\n\r\n" + rng.choice(BODIES)


def mutated(rng, data):
    data = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 3])):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(4):
            case 0:
                data[at:at] = rng.choice(PIECES)
            case 1:
                del data[at : at + rng.choice([1, 1, 2, 4])]
            case 2:
                data[at : at + 1] = bytes([rng.randrange(256)])
            case 3:
                data[at : at + 1] = rng.choice(PIECES)
    return bytes(data)


def cases(count, seed=1):
    """`count` requests or more: all seeds, then built and mutated ones."""
    rng, all_seeds = random.Random(seed), seeds()
    found = dict.fromkeys(all_seeds)
    while len(found) < count:
        base = built(rng) if rng.random() < 0.7 else rng.choice(all_seeds)
        found[base if rng.random() < 0.4 else mutated(rng, base)] = None
    # What is nothing at all has no answer to wait for.
    return [data for data in found if data]
