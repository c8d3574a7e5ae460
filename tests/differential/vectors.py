"""Requests that servers and proxies have been known to read in different ways.

Each vector is raw bytes and the requests that a strict reader of RFC 9112 finds in them before the first mistake. A server
may be sent those, in that order and not one more; how many of them it is sent is up to Pollux, which may refuse what is
allowed. `must_pass` are the vectors that it may not refuse.
"""

import dataclasses

HOST = b"Host: h\r\n"
NEXT = b"GET /next HTTP/1.1\r\nHost: h\r\n\r\n"
# What an attacker wants a server to take for a request.
HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: h\r\n\r\n"


@dataclasses.dataclass(frozen=True)
class Vector:
    name: str
    data: bytes
    # Method, target and length of the body of each; the length is CUT where the body is never whole.
    requests: tuple
    must_pass: bool = False


CUT = None
VECTORS = []


def add(name, data, *requests, must_pass=False):
    VECTORS.append(Vector(name, data, requests, must_pass))


def post(fields, body, target=b"/p", version=b"HTTP/1.1"):
    return b"POST %s %s\r\n%s%s\r\n%s" % (target, version, HOST, fields, body)


def head(line, fields=HOST):
    return line + b"\r\n" + fields + b"\r\n"


GET, POST = ("GET", "/g", 0), ("POST", "/p", 5)
NEXT_GET = ("GET", "/next", 0)
CHUNKED = b"Transfer-Encoding: chunked\r\n"
LENGTH = b"Content-Length: 5\r\n"
HELLO = b"5\r\nhello\r\n0\r\n\r\n"


def add_good():
    good = lambda name, data, *requests: add("good " + name, data, *requests, must_pass=True)  # noqa: E731
    good("get", head(b"GET /g HTTP/1.1"), GET)
    good("two gets", head(b"GET /g HTTP/1.1") + NEXT, GET, NEXT_GET)
    good("length", post(LENGTH, b"hello") + NEXT, POST, NEXT_GET)
    good("length 0", post(b"Content-Length: 0\r\n", b"") + NEXT, ("POST", "/p", 0), NEXT_GET)
    good("no length", post(b"", b"") + NEXT, ("POST", "/p", 0), NEXT_GET)
    good("chunked", post(CHUNKED, HELLO) + NEXT, POST, NEXT_GET)
    good("chunked upper case", post(b"TRANSFER-ENCODING: CHUNKED\r\n", HELLO) + NEXT, POST, NEXT_GET)
    good("two chunks", post(CHUNKED, b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n") + NEXT, POST, NEXT_GET)
    good("extension", post(CHUNKED, b'5;a=b;c="d"\r\nhello\r\n0;e\r\n\r\n') + NEXT, POST, NEXT_GET)
    good("leading zeros", post(CHUNKED, b"0005\r\nhello\r\n000\r\n\r\n") + NEXT, POST, NEXT_GET)
    good("trailer", post(CHUNKED, b"5\r\nhello\r\n0\r\nX-T: y\r\n\r\n") + NEXT, POST, NEXT_GET)
    good("empty line before", b"\r\n" + head(b"GET /g HTTP/1.1"), GET)
    good("empty line between", post(LENGTH, b"hello") + b"\r\n" + NEXT, POST, NEXT_GET)
    good("body like a request", post(b"Content-Length: %d\r\n" % len(HIDDEN), HIDDEN) + NEXT, ("POST", "/p", len(HIDDEN)), NEXT_GET)
    good("chunk like a request", post(CHUNKED, b"%x\r\n%s\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN)) + NEXT, ("POST", "/p", len(HIDDEN)), NEXT_GET)
    good("close", head(b"GET /g HTTP/1.1", HOST + b"Connection: close\r\n") + HIDDEN, GET)
    good("old", head(b"GET /g HTTP/1.0") + HIDDEN, GET)
    good("old keep-alive", head(b"GET /g HTTP/1.0", HOST + b"Connection: keep-alive\r\n"), GET)
    good("old length", post(LENGTH, b"hello", version=b"HTTP/1.0"), POST)
    good("absolute", head(b"GET http://h/g HTTP/1.1"), GET)
    good("absolute other host", head(b"GET http://a/g HTTP/1.1", b"Host: b\r\n"), GET)
    good("query", head(b"GET /g?a=b&c=/../d HTTP/1.1"), ("GET", "/g?a=b&c=/../d", 0))
    good("percent", head(b"GET /g%20%2e HTTP/1.1"), ("GET", "/g%20%2e", 0))
    good("get with body", b"GET /g HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello" + NEXT, ("GET", "/g", 5), NEXT_GET)
    good("h2c settings", head(b"GET /g HTTP/1.1", HOST + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"), GET)
    good("h2c then bytes", head(b"GET /g HTTP/1.1", HOST + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n") + NEXT, GET, NEXT_GET)
    good("nominated length", post(LENGTH + b"Connection: content-length\r\n", b"hello") + NEXT, POST, NEXT_GET)
    good("nominated coding", post(CHUNKED + b"Connection: transfer-encoding\r\n", HELLO) + NEXT, POST, NEXT_GET)
    good("nominated host", head(b"GET /g HTTP/1.1", HOST + b"Connection: host\r\n"), GET)
    good("te", head(b"GET /g HTTP/1.1", HOST + b"TE: chunked, trailers\r\nConnection: TE\r\n") + NEXT, GET, NEXT_GET)
    good("upgrade with a body", post(b"Content-Length: %d\r\nConnection: Upgrade\r\nUpgrade: x\r\n" % len(HIDDEN), HIDDEN) + NEXT, ("POST", "/p", len(HIDDEN)), NEXT_GET)
    good("upgrade with chunks", post(CHUNKED + b"Connection: Upgrade\r\nUpgrade: x\r\n", HELLO) + NEXT, POST, NEXT_GET)
    good("expect", post(LENGTH + b"Expect: 100-continue\r\n", b"hello") + NEXT, POST, NEXT_GET)
    good("forwarded spoofed", head(b"GET /g HTTP/1.1", HOST + b"X-Forwarded-For: 127.99.99.99\r\n"), GET)
    good("underscore length", post(b"Content_Length: 5\r\n", b"") + NEXT, ("POST", "/p", 0), NEXT_GET)
    good("underscore coding", post(b"Transfer_Encoding: chunked\r\n", b"") + NEXT, ("POST", "/p", 0), NEXT_GET)
    good("length in trailer", post(CHUNKED, b"5\r\nhello\r\n0\r\nContent-Length: 40\r\n\r\n") + NEXT, POST, NEXT_GET)
    good("coding in trailer", post(CHUNKED, b"5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n") + NEXT, POST, NEXT_GET)
    good("host in trailer", post(CHUNKED, b"5\r\nhello\r\n0\r\nHost: evil\r\n\r\n") + NEXT, POST, NEXT_GET)


def add_lengths():
    for value in (
        b"+5", b"-5", b"0x5", b"5.0", b"5 5", b"5, 5", b"5,6", b"5;", b"5\x0b", b"5\x0c", b"\x0b5", b"5\x00", b"5_0", b"five", b"",
        b"\xc2\xa05", b"5\xa0", b"18446744073709551621", b"4294967301000000000000", b"99999999999999999999999999999999999", b"'5'",
        b'"5"', b"5e0", b"\xd9\xa5", b"5\r",
    ):  # fmt: skip
        add(f"length {value!r}", post(b"Content-Length: %s\r\n" % value, b"hello" + HIDDEN))
    add("length twice", post(LENGTH + LENGTH, b"hello" + HIDDEN))
    add("lengths differ", post(LENGTH + b"Content-Length: 0\r\n", b"hello" + HIDDEN))
    add("lengths differ, last larger", post(b"Content-Length: 0\r\n" + LENGTH, b"hello" + HIDDEN))
    add("length with a blank", post(b"Content-Length : 5\r\n", b"hello" + HIDDEN))
    add("length with a tab", post(b"Content-Length\t: 5\r\n", b"hello" + HIDDEN))
    add("length folded", post(b"Content-Length:\r\n 5\r\n", b"hello" + HIDDEN))
    add("length after LF", post(b"X: y\nContent-Length: 5\r\n", b"hello" + HIDDEN))
    add("length after CR", post(b"X: y\rContent-Length: 5\r\n", b"hello" + HIDDEN))
    add("length after NUL", post(b"X: y\x00\r\nContent-Length: 5\r\n", b"hello" + HIDDEN))
    add("length too short", post(LENGTH, b"hel"), ("POST", "/p", CUT))


def add_both():
    for name, fields in {
        "cl.te": LENGTH + CHUNKED, "te.cl": CHUNKED + LENGTH, "cl 0": b"Content-Length: 0\r\n" + CHUNKED,
        "cl.te old": LENGTH + CHUNKED + b"Connection: keep-alive\r\n", "cl bad": b"Content-Length: x\r\n" + CHUNKED,
    }.items():  # fmt: skip
        for body in (HELLO + HIDDEN, b"0\r\n\r\n" + HIDDEN, b"hello" + HIDDEN):
            add(f"{name} {body[:5]!r}", post(fields, body))
    add("chunked in 1.0", post(CHUNKED + b"Connection: keep-alive\r\n", HELLO + HIDDEN, version=b"HTTP/1.0"))


def add_codings():
    for value in (
        b"xchunked", b"chunkedx", b"chunked, identity", b"identity, chunked", b"identity", b"gzip, chunked", b"chunked, chunked",
        b"chunked,", b",chunked", b"chunked;", b"chunked;q=1", b'"chunked"', b"'chunked'", b"\x0bchunked", b"\x0cchunked",
        b"chunked\x0b", b"chunked\x00", b"\x00chunked", b"chun ked", b"ch\x75nked\xa0", b"\xa0chunked", b"cow", b"", b"chunked\rx",
        b"chunked\nX: y", b"\r\n chunked", b"chunked\r\n ", b"[chunked]", b"chunk\xc5\xbfed", b"\xef\xbb\xbfchunked",
    ):  # fmt: skip
        add(f"coding {value!r}", post(b"Transfer-Encoding: %s\r\n" % value, HELLO + HIDDEN))
    for name, fields in {
        "blank": b"Transfer-Encoding : chunked\r\n", "tab": b"Transfer-Encoding\t: chunked\r\n", "NUL": b"Transfer-Encoding\x00: chunked\r\n",
        "twice": CHUNKED + CHUNKED, "second": CHUNKED + b"Transfer-Encoding: identity\r\n", "first": b"Transfer-Encoding: x\r\n" + CHUNKED,
        "no colon": b"Transfer-Encoding chunked\r\n", "LF": b"X: y\nTransfer-Encoding: chunked\r\n", "CR": b"X: y\rTransfer-Encoding: chunked\r\n",
        "leading blank": b" Transfer-Encoding: chunked\r\n", "leading tab": b"\tTransfer-Encoding: chunked\r\n", "VT": b"\x0bTransfer-Encoding: chunked\r\n",
        "LF before": b"\nTransfer-Encoding: chunked\r\n", "in quotes": b'"Transfer-Encoding": chunked\r\n',
    }.items():  # fmt: skip
        add(f"coding field {name}", post(fields, HELLO + HIDDEN))


def add_chunks():
    for name, body in {
        "plus": b"+5\r\nhello\r\n0\r\n\r\n", "minus": b"-1\r\nhello\r\n0\r\n\r\n", "hex prefix": b"0x5\r\nhello\r\n0\r\n\r\n",
        "underscore": b"0_5\r\nhello\r\n0\r\n\r\n", "blank before": b" 5\r\nhello\r\n0\r\n\r\n", "blank behind": b"5 \r\nhello\r\n0\r\n\r\n",
        "tab behind": b"5\t\r\nhello\r\n0\r\n\r\n", "overflow 64": b"10000000000000005\r\nhello\r\n0\r\n\r\n",
        "overflow 32": b"100000005\r\nhello\r\n0\r\n\r\n", "sign bit": b"8000000000000005\r\nhello\r\n0\r\n\r\n",
        "largest": b"ffffffffffffffff\r\nhello\r\n0\r\n\r\n", "empty": b"\r\nhello\r\n0\r\n\r\n", "comma": b"5,5\r\nhello\r\n0\r\n\r\n",
        "LF": b"5\nhello\n0\n\n", "LF behind size": b"5\nhello\r\n0\r\n\r\n", "LF behind data": b"5\r\nhello\n0\r\n\r\n",
        "CR behind size": b"5\rhello\r\n0\r\n\r\n", "CR CR LF": b"5\r\r\nhello\r\n0\r\n\r\n", "LF CR": b"5\n\rhello\r\n0\r\n\r\n",
        "no CRLF behind data": b"5\r\nhello0\r\n\r\n", "XX behind data": b"5\r\nhelloXX0\r\n\r\n", "one more byte": b"5\r\nhello!\r\n0\r\n\r\n",
        "extension LF": b"5;a\nbc\r\nhello\r\n0\r\n\r\n", "extension CR": b"5;a\rbc\r\nhello\r\n0\r\n\r\n", "extension NUL": b"5;a\x00\r\nhello\r\n0\r\n\r\n",
        "extension hides": b"2;\nxx\r\n" + b"%x" % len(HIDDEN) + b"\r\n0\r\n\r\n" + HIDDEN, "last not hex": b"5\r\nhello\r\n0x\r\n\r\n",
        "last LF": b"5\r\nhello\r\n0\n\n", "last CR": b"5\r\nhello\r\n0\r\r", "trailer folded": b"5\r\nhello\r\n0\r\nX: y\r\n z\r\n\r\n",
        "trailer LF": b"5\r\nhello\r\n0\r\nX: y\n\r\n", "trailer no colon": b"5\r\nhello\r\n0\r\nX\r\n\r\n",
        "trailer request": b"5\r\nhello\r\n0\r\nGET /hidden HTTP/1.1\r\nHost: h\r\n\r\n", "trailer blank": b"5\r\nhello\r\n0\r\nX : y\r\n\r\n",
    }.items():  # fmt: skip
        # What stands before the mistake may have been passed on, but never as a whole request.
        add(f"chunk {name}", post(CHUNKED, body + HIDDEN), ("POST", "/p", CUT))


def add_heads():
    for line in (
        b"GET /g", b"GET /g HTTP/0.9", b"GET /g HTTP/1.2", b"GET /g HTTP/2.0", b"GET /g HTTP/1", b"GET /g HTTP/1.", b"GET /g HTTP/1.01",
        b"GET /g HTTP/01.1", b"GET /g http/1.1", b"GET /g HTTP/1,1", b"GET /g XTTP/1.1", b"GET  /g HTTP/1.1", b"GET /g  HTTP/1.1",
        b"GET /g HTTP/1.1 ", b" GET /g HTTP/1.1", b"GET\t/g\tHTTP/1.1", b"GET\x0b/g HTTP/1.1", b"GET /g HTTP/1.1\x00", b"GET /g\x00 HTTP/1.1",
        b"GET /g\r HTTP/1.1", b"GET /g#f HTTP/1.1", b"GET /g h HTTP/1.1", b"GET g HTTP/1.1", b"GET \\g HTTP/1.1", b"GET * HTTP/1.1",
        b"GET http:///g HTTP/1.1", b"GET http://u@h/g HTTP/1.1", b"GET /\xe9 HTTP/1.1", b"GET /\x7f HTTP/1.1", b"G\x00T /g HTTP/1.1",
        b"G(T /g HTTP/1.1", b"CONNECT h:80 HTTP/1.1", b"TRACE /g HTTP/1.1", b"PRI * HTTP/2.0", b"/g HTTP/1.1", b"HTTP/1.1 200 OK",
    ):  # fmt: skip
        add(f"line {line!r}", head(line) + HIDDEN)
    for name, fields in {
        "no host": b"X: y\r\n", "two hosts": HOST + b"Host: g\r\n", "same host twice": HOST + HOST, "host empty": b"Host:\r\n",
        "host list": b"Host: h, g\r\n", "host path": b"Host: h/x\r\n", "host user": b"Host: u@h\r\n", "host blank": b"Host: h g\r\n",
        "host port": b"Host: h:99999\r\n", "host NUL": b"Host: h\x00\r\n", "host folded": b"Host: h\r\n x\r\n", "host blank colon": b"Host : h\r\n",
        "fold first": b" X: y\r\n" + HOST, "fold": HOST + b"X: y\r\n z\r\n", "fold empty": HOST + b"X: y\r\n \r\n", "bare LF": b"Host: h\nX: y\r\n",
        "bare CR": b"Host: h\r\nX: y\rz\r\n", "CR at the end": b"Host: h\r\nX: y\r\r\n", "NUL": HOST + b"X: \x00\r\n", "DEL": HOST + b"X: \x7f\r\n",
        "no colon": HOST + b"X\r\n", "no name": HOST + b": x\r\n", "name blank": HOST + b"X Y: z\r\n", "name NUL": HOST + b"X\x00Y: z\r\n",
        "name obs-text": HOST + b"X\xe9: z\r\n", "LF LF": b"Host: h\n\n", "LF CRLF": HOST + b"X: y\n", "request in value": HOST + b"X: y\n\nGET /hidden HTTP/1.1\r\n",
        "expect other": HOST + b"Expect: 200-ok\r\n",
    }.items():  # fmt: skip
        add(f"head {name}", head(b"GET /g HTTP/1.1", fields) + HIDDEN)
    add("only LF", b"GET /g HTTP/1.1\nHost: h\n\n" + HIDDEN)
    add("LF before", b"\n" + head(b"GET /g HTTP/1.1"))
    add("preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00" + HIDDEN)
    add("bad after good", head(b"GET /g HTTP/1.1") + head(b"GET /x HTTP/1.1", b"Host : h\r\n") + HIDDEN, GET, must_pass=True)
    add("bad after a body", post(LENGTH, b"hello") + b"X" * 10 + b"\r\n\r\n" + HIDDEN, POST, must_pass=True)
    add("connect after good", head(b"GET /g HTTP/1.1") + head(b"CONNECT h:80 HTTP/1.1") + HIDDEN, GET, must_pass=True)


for _add in (add_good, add_lengths, add_both, add_codings, add_chunks, add_heads):
    _add()
