"""Three readers of the same bytes: a strict one written here, h11, and llhttp (by way of httptools).

Each gives the requests that it finds one behind the other, and stops at what it refuses.
"""

import dataclasses
import re

import h11
import httptools

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
REQUEST_LINE = re.compile(rb"(%s) ([\x21-\x7e]+) HTTP/1\.1" % TOKEN)
FIELD = re.compile(rb"(%s):[ \t]*((?:[^\x00-\x08\x0a-\x1f\x7f]*[^\x00-\x20\x7f])?)[ \t]*" % TOKEN)
# llhttp refuses every other method, though any token is one (RFC 9110 §9.1).
LLHTTP_METHODS = frozenset(
    b"""ACL BIND CHECKOUT CONNECT COPY DELETE GET HEAD LINK LOCK M-SEARCH MERGE MKACTIVITY MKCALENDAR MKCOL MOVE NOTIFY
    OPTIONS PATCH POST PROPFIND PROPPATCH PURGE PUT QUERY REBIND REPORT SEARCH SOURCE SUBSCRIBE TRACE UNBIND UNLINK UNLOCK
    UNSUBSCRIBE""".split()
)
SIZE = re.compile(rb"(?:0|[1-9a-f][0-9a-f]{0,15})")


@dataclasses.dataclass
class Request:
    """A request: `body` is what was there of it, `whole` whether that was all."""

    method: bytes
    target: bytes
    body: bytes = b""
    whole: bool = False
    fields: tuple = ()

    def field(self, name):
        return [value for other, value in self.fields if other.lower() == name]

    def says(self):
        """What must not depend on who reads it."""
        return (self.method, self.target, self.body, self.whole)


class Refused(Exception):
    """The bytes are no request in the one form that Pollux may send."""


def head_length(data):
    end = data.find(b"\r\n\r\n")
    return None if end < 0 else end + 4


def strict(data):
    """The requests in what Pollux sent to a backend: canonical, or the reader refuses."""
    requests = []
    while (length := head_length(data)) is not None:
        request, coding = strict_head(data[:length])
        data = data[length:]
        requests.append(request)
        used = strict_body(request, coding, data)
        if used is None:
            return requests
        data = data[used:]
    if data:
        raise Refused(f"more than requests: {data!r}")
    return requests


def strict_head(head):
    first, *lines = head[:-4].split(b"\r\n")
    line = REQUEST_LINE.fullmatch(first)
    if not line:
        raise Refused(f"the request line {first!r}")
    fields = []
    for text in lines:
        field = FIELD.fullmatch(text)
        if not field:
            raise Refused(f"the field {text!r}")
        fields.append(field.groups())
    request = Request(*line.groups(), fields=tuple(fields))
    if len(request.field(b"host")) != 1:
        raise Refused("not exactly one Host")
    lengths, codings = request.field(b"content-length"), request.field(b"transfer-encoding")
    if len(lengths) + len(codings) > 1:
        raise Refused("more than one length")
    if lengths and not re.fullmatch(rb"0|[1-9][0-9]{0,18}", lengths[0]):
        raise Refused(f"the length {lengths[0]!r}")
    if codings and codings != [b"chunked"]:
        raise Refused(f"the coding {codings[0]!r}")
    return request, (b"chunked" if codings else int(lengths[0]) if lengths else 0)


def strict_body(request, coding, data):
    """Reads the body into `request`; gives how many bytes it took, or None if it is not whole."""
    if coding != b"chunked":
        request.body = data[:coding]
        request.whole = len(request.body) == coding
        return coding if request.whole else None
    used = 0
    while (end := data.find(b"\r\n", used)) >= 0:
        if not SIZE.fullmatch(data, used, end):
            raise Refused(f"the chunk size {data[used:end]!r}")
        size, used = int(data[used:end], 16), end + 2
        if size == 0:
            return strict_trailers(request, data, used)
        request.body += data[used : used + size]
        used += size
        if used + 2 > len(data):
            return None
        if data[used : used + 2] != b"\r\n":
            raise Refused("no CRLF behind a chunk")
        used += 2
    return None


def strict_trailers(request, data, used):
    while (end := data.find(b"\r\n", used)) >= 0:
        if end == used:
            request.whole = True
            return end + 2
        if not FIELD.fullmatch(data, used, end):
            raise Refused(f"the trailer {data[used:end]!r}")
        used = end + 2
    return None


class Reading(list):
    """The requests that a parser has found; `stopped` if it would not read what follows."""

    stopped = False


def read_h11(data):
    connection, requests = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20), Reading()
    connection.receive_data(data)
    connection.receive_data(b"")
    try:
        # Each event takes at least a byte, but for the ends.
        for _ in range(2 * len(data) + 10):
            event = connection.next_event()
            if isinstance(event, h11.Request):
                requests.append(Request(event.method, event.target, fields=tuple(event.headers.raw_items())))
            elif isinstance(event, h11.Data):
                requests[-1].body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                requests[-1].whole = True
                # Not a 200, which would switch protocols after a CONNECT.
                connection.send(h11.Response(status_code=404, headers=[("Content-Length", "0")]))
                connection.send(h11.EndOfMessage())
                # h11 knows no persistent connections of HTTP/1.0.
                requests.stopped = connection.their_http_version == b"1.0"
                if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
                    break
                connection.start_next_cycle()
            else:
                break
    except h11.RemoteProtocolError:
        requests.stopped = True
    return requests


class LlhttpCallbacks:
    def __init__(self):
        self.requests, self.target, self.fields = Reading(), b"", []
        self.parser = None

    def on_message_begin(self):
        self.target, self.fields = b"", []

    def on_url(self, url):
        self.target += url

    def on_header(self, name, value):
        self.fields.append((name, value))

    def on_headers_complete(self):
        self.requests.append(Request(self.parser.get_method(), self.target, fields=tuple(self.fields)))

    def on_body(self, body):
        self.requests[-1].body += body

    def on_message_complete(self):
        self.requests[-1].whole = True


def read_llhttp(data):
    # So a method that it does not know is read as one that it does, and put back: everything else is what matters here.
    method = re.match(TOKEN, data)
    if method and b" " == data[method.end() : method.end() + 1] and method.group() not in LLHTTP_METHODS:
        requests = read_llhttp(b"POST" + data[method.end() :])
        if requests:
            requests[0].method = method.group()
        return requests
    callbacks = LlhttpCallbacks()
    callbacks.parser = httptools.HttpRequestParser(callbacks)
    try:
        callbacks.parser.feed_data(data)
    except httptools.HttpParserUpgrade:
        # It takes the client's word for it, and leaves everything behind the head to the other protocol.
        callbacks.requests.stopped = True
    except httptools.HttpParserError:
        callbacks.requests.stopped = True
    return callbacks.requests


PARSERS = {"h11": read_h11, "llhttp": read_llhttp}
