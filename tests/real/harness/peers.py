"""Peers of both roles that write and read HTTP/2 frame by frame (RFC 9113 §4.1), with PyPI's hpack, right or wrong."""

import collections
import socket
import struct

import hpack

from harness.client import DEADLINE_S

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, ACK, END_HEADERS, PADDED = 1, 1, 4, 8
NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, STREAM_CLOSED, REFUSED_STREAM, CANCEL = 0, 1, 2, 5, 7, 8
MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE = 3, 4

Frame = collections.namedtuple("Frame", "kind flags stream payload")


class Peer:
    """One end of a connection. It opens no windows by itself, and acknowledges SETTINGS and PING as it reads them.

    `seen` has all frames read so far; field blocks in it are decoded to lists.
    """

    def __init__(self, connection, settings=()):
        self.connection = connection
        self.connection.settimeout(DEADLINE_S)
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._stream = connection.makefile("rb")
        self._encoder, self._decoder = hpack.Encoder(), hpack.Decoder()
        self.seen = []
        self.acks = 0
        self._begin(settings)

    def _begin(self, settings):
        self.settings(settings)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self._stream.close()
        self.connection.close()

    def write(self, kind, flags, stream, payload=b""):
        self.connection.sendall(struct.pack("!I", len(payload))[1:] + bytes([kind, flags]) + struct.pack("!I", stream) + payload)

    def settings(self, pairs=()):
        self.write(SETTINGS, 0, 0, b"".join(struct.pack("!HI", *pair) for pair in pairs))

    def window(self, stream, size):
        self.write(WINDOW_UPDATE, 0, stream, struct.pack("!I", size))

    def reset(self, stream, code=CANCEL):
        self.write(RST_STREAM, 0, stream, struct.pack("!I", code))

    def goaway(self, last, code=NO_ERROR):
        self.write(GOAWAY, 0, 0, struct.pack("!II", last, code))

    def head(self, stream, fields, ends=False):
        """Fields go out in the order given, whatever they are."""
        self.write(HEADERS, END_HEADERS | (END_STREAM if ends else 0), stream, self._encoder.encode(fields))

    def data(self, stream, data, ends=False, padding=None):
        flags = END_STREAM if ends else 0
        if padding is None:
            self.write(DATA, flags, stream, data)
        else:
            self.write(DATA, flags | PADDED, stream, bytes([padding]) + data + bytes(padding))

    def read(self):
        """The next frame, None at the end of the connection."""
        try:
            head = self._stream.read(9)
        except ConnectionResetError:
            return None
        if len(head) < 9:
            return None
        length, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
        frame = Frame(kind, flags, int.from_bytes(head[5:], "big"), self._stream.read(length))
        if kind == SETTINGS and flags & ACK:
            self.acks += 1
        elif kind == SETTINGS:
            self.write(SETTINGS, ACK, 0)
        elif kind == PING and not flags & ACK:
            self.write(PING, ACK, 0, frame.payload)
        elif kind == HEADERS:
            assert flags & END_HEADERS
            frame = frame._replace(payload=[(name, value) for name, value in self._decoder.decode(frame.payload)])
        self.seen.append(frame)
        return frame

    def until(self, found):
        """The first frame, of those read before too, that fulfils `found`."""
        for frame in self.seen:
            if found(frame):
                return frame
        while frame := self.read():
            if found(frame):
                return frame
        raise AssertionError(f"the connection ended: {self.seen}")

    def until_end(self):
        while self.read():
            pass

    def fields(self, stream, number=0):
        """The fields of that HEADERS frame of a stream, the first of which is the head."""
        self.until(lambda _: len(self._of(stream, HEADERS)) > number)
        return dict(self._of(stream, HEADERS)[number].payload)

    def _of(self, stream, kind):
        return [frame for frame in self.seen if (frame.stream, frame.kind) == (stream, kind)]

    def body(self, stream):
        """The body of a stream, and how it ends: None in order, or the code of its reset."""

        def ends(frame):
            return frame.stream == stream and (frame.kind == RST_STREAM or frame.kind in (DATA, HEADERS) and frame.flags & END_STREAM)

        last = self.until(ends)
        body = b"".join(frame.payload for frame in self._of(stream, DATA))
        return body, struct.unpack("!I", last.payload)[0] if last.kind == RST_STREAM else None

    def given(self, stream):
        """What the windows of a stream, or of the connection, have been opened by so far."""
        return sum(struct.unpack("!I", frame.payload)[0] for frame in self._of(stream, WINDOW_UPDATE))

    def pass_ping(self):
        """Waits until all that was written so far has been read."""
        pings = [frame for frame in self.seen if frame.kind == PING and frame.flags & ACK]
        self.write(PING, 0, 0, struct.pack("!Q", len(pings)))
        self.until(lambda frame: frame.kind == PING and frame.flags & ACK and frame.payload == struct.pack("!Q", len(pings)))


class ClientPeer(Peer):
    """A client of this address."""

    def __init__(self, address, settings=()):
        super().__init__(socket.create_connection(address, timeout=DEADLINE_S), settings)

    def _begin(self, settings):
        self.connection.sendall(PREFACE)
        super()._begin(settings)

    def ask(self, stream, method="GET", path="/", ends=True, authority="h", **fields):
        head = [(":method", method), (":scheme", "http"), (":path", path), (":authority", authority)]
        self.head(stream, head + [(name.replace("_", "-"), value) for name, value in fields.items()], ends)


class ServerPeer(Peer):
    """A server, on a connection that was accepted."""

    def _begin(self, settings):
        assert self._stream.read(len(PREFACE)) == PREFACE
        super()._begin(settings)

    def answer(self, stream, status=200, ends=True, **fields):
        self.head(stream, [(":status", str(status))] + [(name.replace("_", "-"), value) for name, value in fields.items()], ends)


class Listener:
    """A backend whose connections the test takes one by one."""

    def __init__(self):
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.listening.settimeout(DEADLINE_S)
        self.host_port = "{}:{}".format(*self.listening.getsockname())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listening.close()

    def accept(self, settings=()):
        return ServerPeer(self.listening.accept()[0], settings)

    def accept_plain(self):
        connection = self.listening.accept()[0]
        connection.settimeout(DEADLINE_S)
        return connection

    def has_another(self):
        """Whether a connection waits to be accepted."""
        self.listening.settimeout(0)
        try:
            self.listening.accept()[0].close()
        except BlockingIOError:
            return False
        finally:
            self.listening.settimeout(DEADLINE_S)
        return True
