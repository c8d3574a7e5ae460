"""Backends that a test scripts in Python, where it matters what happens before what."""

import http.server
import socket
import socketserver
import threading

from .client import DEADLINE_S


class ScriptedBackend:
    """Listens on a free port and runs `serve(connection)` in a thread for each connection.

    A script that raises fails the test that owns it, at the end of its `with` block.
    """

    def __init__(self, serve):
        self._serve = serve
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.host_port = "{}:{}".format(*self._listener.getsockname())
        self._threads = []
        self._errors = []
        self._acceptor = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self):
        self._acceptor.start()
        return self

    def __exit__(self, kind, *_):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._acceptor.join()
        self._listener.close()
        for thread in self._threads:
            thread.join(DEADLINE_S)
        if kind is None:
            assert not self._errors, self._errors
            assert not any(thread.is_alive() for thread in self._threads), "a backend script did not end"

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._run, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _run(self, connection):
        with connection:
            connection.settimeout(DEADLINE_S)
            try:
                self._serve(connection)
            except Exception as error:  # Whatever it is, the test must hear of it.
                self._errors.append(error)


def events_of(connection, machine):
    """The events of an HTTP/2 peer until it closes. `machine` is PyPI's h2; its words go out before each read."""
    while True:
        connection.sendall(machine.data_to_send())
        data = connection.recv(65536)
        if not data:
            return
        yield from machine.receive_data(data)


def read_head(connection):
    """Reads one request head byte-exactly, so that a body behind it stays in the socket; None at the end."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        try:
            byte = connection.recv(1)
        except ConnectionResetError:
            # A proxy may drop an idle connection in this way too.
            byte = b""
        if not byte:
            assert head == b"", f"the request ended inside its head: {head!r}"
            return None
        head += byte
    return head


class UnixBackend(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Python's own HTTP server behind a Unix socket; answers with the request's target."""

    daemon_threads = True

    def __init__(self, path):
        super().__init__(str(path), _TargetHandler)

    def __enter__(self):
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


class _TargetHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = self.path.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass
