"""WebSocket to HTTP/2 backends by extended CONNECT (RFC 8441), and heads that a backend takes no more of."""

import base64
import contextlib
import random
import re
import subprocess

import h2.config
import h2.connection
import h2.events
import h2.settings
import pytest
import wsproto
import wsproto.events
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect as connect_socket

from harness.client import DEADLINE_S, connect
from harness.scripted import ScriptedBackend, events_of
from harness.served import Served

CONNECTS = h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL


class SocketBackend(ScriptedBackend):
    """Speaks HTTP/2 without TLS, and echoes WebSocket messages behind an extended CONNECT; by `settings`."""

    def __init__(self, settings, refuses=None):
        self.settings, self.refuses, self.heads = settings, refuses, []
        super().__init__(self.serve)

    def serve(self, connection):
        machine = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8", validate_inbound_headers=False))
        machine.local_settings = h2.settings.Settings(client=False, initial_values=self.settings)
        machine.initiate_connection()
        sockets = {}
        for event in events_of(connection, machine):
            if isinstance(event, h2.events.RequestReceived):
                self.begin(machine, sockets, event)
            elif isinstance(event, h2.events.DataReceived):
                machine.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                if event.stream_id in sockets:
                    self.echo(machine, sockets, event)
            elif isinstance(event, h2.events.StreamReset):
                sockets.pop(event.stream_id, None)

    def begin(self, machine, sockets, event):
        head = dict(event.headers)
        self.heads.append(head)
        if head[":method"] != "CONNECT":
            machine.send_headers(event.stream_id, [(":status", "200"), ("content-length", "2")])
            machine.send_data(event.stream_id, b"hi", end_stream=True)
        elif self.refuses:
            machine.send_headers(event.stream_id, [(":status", self.refuses), ("content-length", "2")])
            machine.send_data(event.stream_id, b"no", end_stream=True)
        else:
            sockets[event.stream_id] = wsproto.connection.Connection(wsproto.connection.ConnectionType.SERVER)
            machine.send_headers(event.stream_id, [(":status", "200"), ("x-backend", "h2")])

    def echo(self, machine, sockets, event):
        socket, out = sockets[event.stream_id], b""
        socket.receive_data(event.data)
        for said in socket.events():
            if isinstance(said, wsproto.events.Message):
                # Pieces of a message are echoed as they come.
                out += socket.send(type(said)(data=said.data, message_finished=said.message_finished))
            elif isinstance(said, wsproto.events.CloseConnection):
                out += socket.send(said.response())
                machine.send_data(event.stream_id, out, end_stream=True)
                sockets.pop(event.stream_id)
                return
        if out:
            machine.send_data(event.stream_id, out)


@pytest.fixture
def before(pollux_bin, tmp_path, keep):
    def start(backend, pool=""):
        file = (
            'control = "control"\n[[listener]]\nbind = "127.0.0.1:0"\npool = "app"\n'
            f'[pool.app]\nprotocol = "h2"\nbackends = ["{backend.host_port}"]\n{pool}\n'
        )
        return keep(Served(pollux_bin, tmp_path, file, options=["--threads", "1", "--access-log", "on"]))

    return start


def open_socket(proxy):
    address = "{}:{}".format(*proxy.running.address)
    return connect_socket(f"ws://{address}/chat?a=1", proxy=None, compression=None, open_timeout=DEADLINE_S, max_size=4 << 20)


def test_a_client_of_http1_gets_its_socket(before):
    with SocketBackend({CONNECTS: 1}) as backend:
        proxy = before(backend)
        for _ in range(2):
            with open_socket(proxy) as socket:
                for message in ("hello", "schön ✓", "x" * 30000):
                    socket.send(message)
                    assert socket.recv(timeout=DEADLINE_S) == message
                assert socket.response.headers["x-backend"] == "h2"
        head = backend.heads[0]
        assert (head[":method"], head[":protocol"], head[":scheme"], head[":path"]) == ("CONNECT", "websocket", "http", "/chat?a=1"), head
        assert head["sec-websocket-version"] == "13" and "sec-websocket-key" not in head and "upgrade" not in head, head
        proxy.end_well()
        log = proxy.running.stderr()
        assert log.count("status=101") == 2 and log.count("reused=false") == 1, log


def test_sockets_and_requests_share_a_connection(before):
    with SocketBackend({CONNECTS: 1}) as backend:
        proxy = before(backend)
        with contextlib.ExitStack() as stack:
            sockets = [stack.enter_context(open_socket(proxy)) for _ in range(5)]
            assert proxy.fetch().status == 200
            for number, socket in enumerate(sockets):
                socket.send(f"message {number}")
            for number, socket in enumerate(sockets):
                assert socket.recv(timeout=DEADLINE_S) == f"message {number}"
        proxy.end_well()
        assert proxy.running.stderr().count("reused=false") == 1


def test_a_client_of_http2_gets_its_socket(before):
    with SocketBackend({CONNECTS: 1}) as backend:
        proxy = before(backend)
        machine = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        machine.initiate_connection()
        socket, got = wsproto.connection.Connection(wsproto.connection.ConnectionType.CLIENT), []
        head = [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":path", "/chat"), (":authority", "a"), ("sec-websocket-version", "13")]
        with connect(proxy.running.address) as connection:
            connection.sendall(machine.data_to_send())
            status, has_asked, noise = None, False, random.Random(1).randbytes(9000)
            while b"".join(got) != noise:
                for event in machine.receive_data(connection.recv(65536)):
                    if isinstance(event, h2.events.RemoteSettingsChanged) and not has_asked:
                        has_asked = True
                        machine.send_headers(1, head)
                    elif isinstance(event, h2.events.ResponseReceived):
                        status = dict(event.headers)[":status"]
                        assert "sec-websocket-accept" not in dict(event.headers), event
                        machine.send_data(1, socket.send(wsproto.events.BytesMessage(data=noise)))
                    elif isinstance(event, h2.events.DataReceived):
                        socket.receive_data(event.data)
                        got += [bytes(said.data) for said in socket.events()]
                connection.sendall(machine.data_to_send())
            assert status == "200"
            machine.reset_stream(1)
            connection.sendall(machine.data_to_send())
        assert proxy.fetch().status == 200
        proxy.end_well()


def test_a_refusal_passes(before):
    with SocketBackend({CONNECTS: 1}, refuses="403") as backend:
        proxy = before(backend)
        with pytest.raises(InvalidStatus) as refused:
            open_socket(proxy)
        assert refused.value.response.status_code == 403
        assert proxy.fetch().status == 200
        proxy.end_well()


def test_a_backend_without_extended_connect_is_a_cause_of_its_own(before):
    with SocketBackend({}) as backend:
        proxy = before(backend)
        with pytest.raises(InvalidStatus) as refused:
            open_socket(proxy)
        assert refused.value.response.status_code == 501
        proxy.running.wait_for_stderr('cause="backend-no-websocket"')
        # An Upgrade to something else is not followed, as a server may do.
        with connect(proxy.running.address) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, close\r\nUpgrade: other\r\n\r\n")
            assert b" 200 " in connection.makefile("rb").readline()
        proxy.end_well()


def test_a_head_that_the_backend_takes_no_more_of_is_a_431(before):
    with SocketBackend({h2.settings.SettingCodes.MAX_HEADER_LIST_SIZE: 2000}) as backend:
        proxy = before(backend)
        # Its settings have come once it has answered.
        assert proxy.fetch().status == 200
        long = base64.b64encode(random.Random(2).randbytes(2000)).decode()
        url = "http://{}:{}/".format(*proxy.running.address)
        for arguments in ([], ["--data", "hello"], ["--http2-prior-knowledge"]):
            said = subprocess.run(
                ["curl", "--silent", "--include", "--noproxy", "*", "--max-time", str(DEADLINE_S), *arguments, "--header", f"X-Long: {long}", url],
                capture_output=True,
                text=True,
            ).stdout
            assert re.match(r"HTTP/\S+ 431", said), said
        assert proxy.fetch().status == 200
        proxy.running.wait_for_stderr('cause="head-too-long-for-backend"')
        proxy.end_well()
