"""HTTP/2 connections of two other implementations, PyPI's h2 and nghttp2, over standard input and output.

It answers each line with one line. Bytes are hexadecimal, `-` stands for none.

    new WHO ROLE WINDOW TABLE        a connection: WHO is h2 or nghttp2, ROLE client or server
    ask LENGTH LONG TRAILERS RESET   a client asks: a body of LENGTH bytes, a field `x-long`, trailers or none; reset
                                     by the server if RESET is 1, by itself half-way if RESET is 2
    turn BYTES                       the connection reads BYTES  ->  what it sends
    state                            ->  how many exchanges are under way, and what was wrong, or `-`

A server sends back what it receives: the body, `x-long`, and trailers if there were any.
"""

import ctypes
import random
import sys

import h2.config
import h2.connection
import h2.events
import h2.settings

LONG, SUM = b"x-long", (b"x-sum", b"1")
REQUEST = [(b":method", b"POST"), (b":scheme", b"http"), (b":authority", b"h")]
CANCEL, INTERNAL = 8, 2


class Lane:
    """One exchange, as this side has it."""

    def __init__(self, body=b"", long=b"", trailers=False, reset="0"):
        self.body, self.long, self.trailers, self.reset = body, long, trailers, reset
        self.waiting, self.came = bytearray(body), bytearray()
        self.is_complete, self.is_sent, self.has_ended, self.has_trailers = True, False, False, False
        self.code, self.status, self.seen = None, None, {}

    def is_over(self):
        return self.code is not None or (self.is_sent and self.has_ended)

    def fault(self):
        """What is wrong with an exchange of a client that is over."""
        if self.code is not None:
            expected = {"1": INTERNAL, "2": CANCEL}.get(self.reset)
            return None if self.code == expected else f"reset with {self.code}"
        if self.status != b"200" or self.seen.get(LONG) != self.long:
            return f"another head: {self.status} {self.seen}"
        if self.came != self.body:
            return f"another body: {len(self.came)} of {len(self.body)}"
        return None if self.has_trailers == self.trailers else "other trailers"


class Peer:
    """What both have in common."""

    def __init__(self, role):
        self.is_client, self.lanes = role == "client", {}

    def head(self, stream, fields):
        names = dict(fields)
        lane = self.lanes.get(stream)
        if lane is None:
            lane = self.lanes[stream] = Lane(long=names.get(LONG, b""))
            lane.is_complete = False
            self.respond(stream, [(b":status", b"200"), (b"x-stream", b"%d" % stream), (LONG, lane.long)])
        elif lane.status is None and self.is_client:
            lane.status, lane.seen = names[b":status"], names
        else:
            lane.has_trailers = fields == [SUM]

    def data(self, stream, data):
        lane = self.lanes[stream]
        lane.came += data
        if not self.is_client:
            lane.waiting += data

    def ended(self, stream):
        lane = self.lanes[stream]
        lane.has_ended = True
        if not self.is_client:
            lane.is_complete, lane.trailers = True, lane.has_trailers

    def closed(self, stream, code):
        if not self.lanes[stream].is_over():
            self.lanes[stream].code = code

    def give_up(self):
        """Exchanges that the client leaves half-way."""
        for stream, lane in self.lanes.items():
            if lane.reset == "2" and not lane.is_over() and len(lane.came) > len(lane.body) // 2:
                lane.code = CANCEL
                self.cancel(stream)

    def state(self):
        under_way = sum(not lane.is_over() for lane in self.lanes.values())
        faults = [lane.fault() for lane in self.lanes.values() if self.is_client and lane.is_over()]
        return f"{under_way} {next((fault.replace(' ', '_') for fault in faults if fault), '-')}"


class H2(Peer):
    def __init__(self, role, window, table):
        super().__init__(role)
        config = h2.config.H2Configuration(client_side=self.is_client, header_encoding=None)
        self.connection = h2.connection.H2Connection(config)
        self.connection.initiate_connection()
        # They hold from their acknowledgement; until then the peer may use the windows of RFC 9113 §6.9.2.
        codes = h2.settings.SettingCodes
        self.connection.update_settings(
            {codes.INITIAL_WINDOW_SIZE: window, codes.HEADER_TABLE_SIZE: table, codes.MAX_CONCURRENT_STREAMS: 100}
        )

    def ask(self, fields, lane):
        stream = self.connection.get_next_available_stream_id()
        self.lanes[stream] = lane
        self.connection.send_headers(stream, fields)

    def respond(self, stream, fields):
        self.connection.send_headers(stream, fields)

    def cancel(self, stream):
        self.connection.reset_stream(stream, CANCEL)

    def turn(self, data):
        events = h2.events
        for event in self.connection.receive_data(data):
            match event:
                case events.RequestReceived() | events.ResponseReceived() | events.TrailersReceived():
                    self.head(event.stream_id, [(bytes(name), bytes(value)) for name, value in event.headers])
                case events.DataReceived():
                    self.data(event.stream_id, event.data)
                    if self.lanes[event.stream_id].code is None:
                        self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                case events.StreamEnded():
                    self.ended(event.stream_id)
                case events.StreamReset():
                    self.closed(event.stream_id, int(event.error_code))
                case events.ConnectionTerminated():
                    raise AssertionError(f"GOAWAY {event.error_code}")
        self.give_up()
        for stream, lane in self.lanes.items():
            self.pump(stream, lane)
        return self.connection.data_to_send()

    def pump(self, stream, lane):
        while lane.code is None and not lane.is_sent:
            room = min(self.connection.local_flow_control_window(stream), self.connection.max_outbound_frame_size)
            piece = bytes(lane.waiting[:room])
            if piece:
                self.connection.send_data(stream, piece, pad_length=None)
                del lane.waiting[: len(piece)]
            elif lane.waiting or not lane.is_complete:
                return
            else:
                lane.is_sent = True
                if lane.trailers:
                    self.connection.send_headers(stream, [SUM], end_stream=True)
                else:
                    self.connection.end_stream(stream)


lib = ctypes.CDLL("libnghttp2.so.14")
DEFERRED, EOF, NO_END_STREAM, END_STREAM = -508, 1, 2, 1
PTR, INT, SIZE, SSIZE = ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t, ctypes.c_ssize_t
READ = ctypes.CFUNCTYPE(SSIZE, PTR, ctypes.c_int32, PTR, SIZE, ctypes.POINTER(ctypes.c_uint32), PTR, PTR)
ON_FRAME = ctypes.CFUNCTYPE(INT, PTR, PTR, PTR)
ON_DATA = ctypes.CFUNCTYPE(INT, PTR, ctypes.c_uint8, ctypes.c_int32, PTR, SIZE, PTR)
ON_CLOSE = ctypes.CFUNCTYPE(INT, PTR, ctypes.c_int32, ctypes.c_uint32, PTR)
ON_HEADER = ctypes.CFUNCTYPE(INT, PTR, PTR, PTR, SIZE, PTR, SIZE, ctypes.c_uint8, PTR)
for name in ("nghttp2_session_mem_recv", "nghttp2_session_mem_send"):
    getattr(lib, name).restype = SSIZE


class FrameHead(ctypes.Structure):
    """nghttp2_frame_hd; RST_STREAM and GOAWAY have their codes behind it."""

    _fields_ = [("length", SIZE), ("stream", ctypes.c_int32), ("kind", ctypes.c_uint8), ("flags", ctypes.c_uint8), ("reserved", ctypes.c_uint8)]


class Pair(ctypes.Structure):
    """nghttp2_nv."""

    _fields_ = [("name", ctypes.c_char_p), ("value", ctypes.c_char_p), ("name_length", SIZE), ("value_length", SIZE), ("flags", ctypes.c_uint8)]


class Provider(ctypes.Structure):
    """nghttp2_data_provider."""

    _fields_ = [("source", PTR), ("read", READ)]


class Setting(ctypes.Structure):
    """nghttp2_settings_entry."""

    _fields_ = [("number", ctypes.c_int32), ("value", ctypes.c_uint32)]


def pairs(fields):
    return (Pair * len(fields))(*(Pair(name, value, len(name), len(value), 0) for name, value in fields))


class Nghttp2(Peer):
    def __init__(self, role, window, table):
        super().__init__(role)
        self.fields = {}
        callbacks, self.session = PTR(), PTR()
        assert lib.nghttp2_session_callbacks_new(ctypes.byref(callbacks)) == 0
        # Kept, or they would be collected while the library holds them.
        self.kept = [ON_FRAME(self.on_frame), ON_DATA(self.on_data), ON_CLOSE(self.on_close), ON_HEADER(self.on_header)]
        for which, function in zip(("frame_recv", "data_chunk_recv", "stream_close", "header"), self.kept):
            getattr(lib, f"nghttp2_session_callbacks_set_on_{which}_callback")(callbacks, function)
        self.provider = Provider(None, READ(self.read))
        assert getattr(lib, f"nghttp2_session_{role}_new")(ctypes.byref(self.session), callbacks, None) == 0
        entries = (Setting * 3)(Setting(1, table), Setting(3, 100), Setting(4, window))
        assert lib.nghttp2_submit_settings(self.session, 0, entries, SIZE(3)) == 0

    def ask(self, fields, lane):
        stream = lib.nghttp2_submit_request(self.session, None, pairs(fields), SIZE(len(fields)), ctypes.byref(self.provider), None)
        assert stream > 0, stream
        self.lanes[stream] = lane

    def respond(self, stream, fields):
        assert lib.nghttp2_submit_response(self.session, stream, pairs(fields), SIZE(len(fields)), ctypes.byref(self.provider)) == 0

    def cancel(self, stream):
        assert lib.nghttp2_submit_rst_stream(self.session, 0, stream, CANCEL) == 0

    def on_header(self, _, frame, name, name_length, value, value_length, __, ___):
        stream = FrameHead.from_address(frame).stream
        self.fields.setdefault(stream, []).append((ctypes.string_at(name, name_length), ctypes.string_at(value, value_length)))
        return 0

    def on_frame(self, _, frame, __):
        head = FrameHead.from_address(frame)
        if head.kind == 1:
            self.head(head.stream, self.fields.pop(head.stream))
        if head.kind in (0, 1) and head.flags & END_STREAM:
            self.ended(head.stream)
        assert head.kind != 7, "GOAWAY"
        return 0

    def on_data(self, _, __, stream, data, length, ___):
        self.data(stream, ctypes.string_at(data, length))
        return 0

    def on_close(self, _, stream, code, __):
        self.closed(stream, code)
        return 0

    def read(self, _, stream, buffer, length, flags, __, ___):
        lane = self.lanes[stream]
        piece = bytes(lane.waiting[:length])
        del lane.waiting[: len(piece)]
        ctypes.memmove(buffer, piece, len(piece))
        if lane.is_complete and not lane.waiting:
            lane.is_sent, flags[0] = True, EOF
            if lane.trailers:
                flags[0] = EOF | NO_END_STREAM
                assert lib.nghttp2_submit_trailer(self.session, stream, pairs([SUM]), SIZE(1)) == 0
            return len(piece)
        return len(piece) or DEFERRED

    def turn(self, data):
        read = lib.nghttp2_session_mem_recv(self.session, data, SIZE(len(data)))
        assert read == len(data), read
        self.give_up()
        for stream, lane in self.lanes.items():
            if not lane.is_over() and not lane.is_sent:
                lib.nghttp2_session_resume_data(self.session, stream)
        out, piece = bytearray(), PTR()
        while (size := lib.nghttp2_session_mem_send(self.session, ctypes.byref(piece))) > 0:
            out += ctypes.string_at(piece, size)
        assert size == 0, size
        return bytes(out)


def answer(peer, what, words):
    match what:
        case "ask":
            length, long, trailers, reset = words
            body = random.Random(int(length)).randbytes(int(length))
            path = b"/reset" if reset == "1" else b"/"
            fields = [*REQUEST, (b":path", path), (LONG, long.encode()), (b"cookie", b"a=" + long[:9].encode()), (b"user-agent", b"oracle")]
            peer.ask(fields, Lane(body, long.encode(), trailers == "1", reset))
            return "asked"
        case "turn":
            return peer.turn(b"" if words[0] == "-" else bytes.fromhex(words[0])).hex() or "-"
        case "state":
            return peer.state()
    raise AssertionError(what)


def main():
    peer = None
    for line in sys.stdin:
        what, *words = line.split()
        if what == "new":
            who, role, window, table = words
            peer = {"h2": H2, "nghttp2": Nghttp2}[who](role, int(window), int(table))
            print("new", flush=True)
        else:
            print(answer(peer, what, words), flush=True)


if __name__ == "__main__":
    main()
