"""A process that takes over from a running Pollux as another version does: it speaks the protocol of the hand-over, and no more.

See `src/control/handover.rs`: standard input is a Unix socket that keeps messages apart. Listening sockets come by it, up to an empty
list; one word goes back."""

import json
import pathlib
import selectors
import signal
import socket
import sys

MESSAGE_MAX, SOCKETS_MAX = 128 * 1024, 64


def script(word):
    """The text of an executable that says `word` once it has the sockets, and answers each client with it until SIGTERM."""
    folder = pathlib.Path(__file__).resolve().parents[1]
    return (
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(folder)!r})\n"
        f"from harness.successor import take_over\ntake_over({json.dumps(word)!r})\n"
    )


def take_over(word):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    listeners = []
    with socket.socket(fileno=0) as channel:
        while True:
            text, descriptors, flags, _ = socket.recv_fds(channel, MESSAGE_MAX, SOCKETS_MAX)
            assert text and not flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC), (text, flags)
            listeners += [socket.socket(fileno=descriptor) for descriptor in descriptors]
            if text == b"[]":
                break
        assert listeners
        channel.sendall(word.encode())
    # One socket per worker, or one for all: a client may be in the queue of any.
    ready = selectors.DefaultSelector()
    for listener in listeners:
        listener.setblocking(False)
        ready.register(listener, selectors.EVENT_READ)
    while True:
        for key, _ in ready.select():
            try:
                client, _ = key.fileobj.accept()
            except BlockingIOError:
                continue
            with client:
                client.settimeout(20)
                client.recv(4096)
                head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(word)}\r\nConnection: close\r\n\r\n"
                client.sendall(head.encode() + word.encode())
