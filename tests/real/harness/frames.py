"""One HTTP/2 connection to a server, by PyPI's h2: a state machine that knows neither Pollux nor the toy backends."""

import socket

import h2.config
import h2.connection
import h2.events
import h2.settings

from harness.client import DEADLINE_S


class Connection:
    """A client whose events are read until a condition holds."""

    def __init__(self, address):
        self.machine = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
        self.socket = socket.create_connection(address, timeout=DEADLINE_S)
        self.machine.initiate_connection()
        self.events = []
        self.has_ended = False
        self.flush()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def flush(self):
        self.socket.sendall(self.machine.data_to_send())

    def ask(self, path="/", method="GET", ends=True, **fields):
        """Opens a stream; its number."""
        stream = self.machine.get_next_available_stream_id()
        head = [(":method", method), (":scheme", "http"), (":authority", "a"), (":path", path)]
        head += [(name.replace("_", "-"), value) for name, value in fields.items()]
        self.machine.send_headers(stream, head, end_stream=ends)
        self.flush()
        return stream

    def until(self, found):
        """Reads until an event fulfils `found`; that event."""
        seen = 0
        while True:
            for event in self.events[seen:]:
                if found(event):
                    return event
            seen = len(self.events)
            self.read()

    def read(self):
        assert not self.has_ended, self.events
        data = self.socket.recv(65536)
        self.has_ended = not data
        came = self.machine.receive_data(data) if data else []
        for event in came:
            if isinstance(event, h2.events.DataReceived) and event.flow_controlled_length:
                self.machine.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        self.events += came
        self.flush()

    def until_end(self):
        while not self.has_ended:
            self.read()

    def of(self, stream, kind):
        return [event for event in self.events if isinstance(event, kind) and event.stream_id == stream]

    def answer(self, stream):
        """Status and body of a stream that ends whole."""
        self.until(lambda event: isinstance(event, h2.events.StreamEnded) and event.stream_id == stream)
        [head] = self.of(stream, h2.events.ResponseReceived)
        body = b"".join(event.data for event in self.of(stream, h2.events.DataReceived))
        return int(dict(head.headers)[":status"]), body

    def reset(self, stream):
        """The code with which the server resets a stream."""
        return self.until(lambda event: isinstance(event, h2.events.StreamReset) and event.stream_id == stream).error_code
