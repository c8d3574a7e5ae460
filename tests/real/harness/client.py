"""Raw clients: connections without a library's opinion, a reader of responses, threads of steady GETs."""

import http.client
import socket
import threading

DEADLINE_S = 20


def connect(address):
    connection = socket.create_connection(address, timeout=DEADLINE_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def read_to_end(connection):
    pieces = []
    while piece := connection.recv(65536):
        pieces.append(piece)
    return b"".join(pieces)


def get(target="/", *fields):
    lines = [f"GET {target} HTTP/1.1", "Host: test", *fields]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


class Response:
    """One response read from a buffered stream; whatever follows it stays in the stream."""

    def __init__(self, stream, *, method="GET"):
        status_line = stream.readline()
        assert status_line.startswith(b"HTTP/1."), f"no response but {status_line!r}"
        self.status = int(status_line.split()[1])
        self.headers = http.client.parse_headers(stream)
        self.body = b"" if method == "HEAD" or self.status < 200 or self.status in (204, 304) else self._read_body(stream)

    def _read_body(self, stream):
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            return b"".join(read_chunks(stream))
        length = self.headers.get("Content-Length")
        if length is None:
            return stream.read()
        body = stream.read(int(length))
        assert len(body) == int(length), f"the body ended after {len(body)} of {length} bytes"
        return body


def read_chunks(stream):
    while size := int(stream.readline().split(b";")[0], 16):
        chunk = stream.read(size)
        assert len(chunk) == size and stream.readline() == b"\r\n"
        yield chunk
    while stream.readline() != b"\r\n":
        pass


class UntilStopped:
    """Threads with the given targets, each of which goes on until `stopping` is set: at the end of the block."""

    def __init__(self, *targets):
        self.stopping = threading.Event()
        self._threads = [threading.Thread(target=target, daemon=True) for target in targets]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.stopping.set()
        for thread in self._threads:
            thread.join(DEADLINE_S)
            assert not thread.is_alive(), "a client got no answer"


class SteadyClients(UntilStopped):
    """Threads that GET over and over, each on its own keep-alive connection, until told to stop.

    `answered` counts the good answers by backend, `failures` tells of every other. A connection that the proxy closes
    between two requests is no failure: it announced that, or the client opens another, as any client does.
    """

    def __init__(self, address, count, *, requests_max=1_000_000):
        self._address = address
        self._requests_max = requests_max
        self._changed = threading.Condition()
        self.answered = {}
        self.failures = []
        super().__init__(*[self._run] * count)

    def total(self):
        return sum(self.answered.values())

    def wait_for(self, condition, what):
        with self._changed:
            assert self._changed.wait_for(condition, DEADLINE_S), f"never {what}: {self.answered} {self.failures[:3]}"

    def wait_for_more(self, count):
        goal = self.total() + count
        self.wait_for(lambda: self.total() >= goal, f"{count} more answers")

    def _run(self):
        connection = http.client.HTTPConnection(*self._address, timeout=DEADLINE_S)
        for _ in range(self._requests_max):
            if self.stopping.is_set():
                break
            try:
                connection.request("GET", "/")
                response = connection.getresponse()
                response.read()
                self._note(response)
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                self._fail(repr(error))
        connection.close()

    def _note(self, response):
        if response.status != 200:
            self._fail(f"{response.status} {response.headers.items()}")
            return
        with self._changed:
            backend = response.headers.get("X-Backend")
            self.answered[backend] = self.answered.get(backend, 0) + 1
            self._changed.notify_all()

    def _fail(self, what):
        with self._changed:
            self.failures.append(what)
            self._changed.notify_all()
