"""Idle keep-alive connections: opened, used once, and then only held."""

import contextlib
import select
import socket

from .processes import BenchError

ANSWER_S_MAX = 10


@contextlib.contextmanager
def held(address, count):
    """Holds `count` connections, each of which has had one request answered; fails if one ends meanwhile."""
    host, port = address.split(":")
    request = f"GET / HTTP/1.1\r\nHost: {address}\r\n\r\n".encode()
    with contextlib.ExitStack() as stack:
        clients = []
        for _ in range(count):
            try:
                client = socket.create_connection((host, int(port)), timeout=ANSWER_S_MAX)
                clients.append(stack.enter_context(client))
                client.sendall(request)
                read_answer(client)
            except OSError as error:
                raise BenchError(f"idle connection {len(clients)} of {count}: {error}") from error
        yield
        if ended := count_ended(clients):
            raise BenchError(f"{ended} of {count} idle connections have ended")


def read_answer(client):
    answer = b""
    while not is_whole(answer):
        piece = client.recv(4096)
        if not piece:
            raise BenchError("a connection ended within its first answer")
        answer += piece
    if not answer.startswith(b"HTTP/1.1 200"):
        raise BenchError("the first answer of an idle connection was " + answer.split(b"\r\n")[0].decode())


def is_whole(answer):
    head, blank, body = answer.partition(b"\r\n\r\n")
    if not blank:
        return False
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return len(body) >= int(value)
    raise BenchError("the first answer of an idle connection has no Content-Length")


def count_ended(clients):
    """An idle connection is readable only when it has ended."""
    poller = select.poll()
    for client in clients:
        poller.register(client, select.POLLIN)
    return len(poller.poll(0))
