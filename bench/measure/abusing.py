"""Four ways of holding what a proxy has without being served, played on the loopback by a process of their own; the backends.

Counts are shares of the clients that each proxy is set up for. Every loop ends when the parent says so, or after LIFE_S.
"""

import asyncio
import dataclasses
import multiprocessing
import selectors
import signal
import socket
import time

from .processes import BenchError

LIFE_S = 60
BACKLOG = 4096
STEP_S = 1
BODY = 1024 * 1024
TAKEN = 1024
PIECE = b"x" * 65536
# What newcomers ask for.
QUICK = "/quick"


@dataclasses.dataclass(frozen=True)
class Behaviour:
    name: str
    about: str
    # How many of the clients that the proxy is set up for.
    share: float
    first: bytes
    # What each sends, and how many bytes it takes, in every step.
    drip: bytes = b""
    takes: int = 0
    # It leaves at the end of its first step.
    leaves: bool = False


def get(path):
    return f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode()


BEHAVIOURS = [
    Behaviour("resting", "connect and say nothing", 1.0, b""),
    Behaviour("heads", "send a head, a byte a second", 0.7, b"GET / HTTP/1.1\r\nHost: bench\r\nX-Slow: ", drip=b"x"),
    Behaviour("readers", "take 1 KiB/s of 1 MiB", 0.8, get(f"/size/{BODY}"), takes=TAKEN),
    Behaviour("abandoned", "ask what is never answered, and leave", 0.3, get("/hang"), leaves=True),
]


def play(address, behaviour, count, pipe):
    """The process of the clients: opens them, says so, and goes on until it is told to end."""
    # The parent's way of ending is not this process's.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    host, port = address.split(":")
    clients = []
    until = time.monotonic() + LIFE_S
    for _ in range(count):
        client = socket.socket()
        if behaviour.takes:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(0.5)
        try:
            client.connect((host, int(port)))
            client.sendall(behaviour.first)
        except OSError:
            # The proxy takes no more.
            client.close()
            continue
        client.setblocking(False)
        clients.append(client)
        if time.monotonic() > until:
            break
    pipe.send(len(clients))
    while not pipe.poll(STEP_S) and time.monotonic() < until:
        clients = [client for client in clients if goes_on(client, behaviour)]
    for client in clients:
        client.close()


def goes_on(client, behaviour):
    try:
        if behaviour.drip:
            client.send(behaviour.drip)
        if behaviour.takes and client.recv(behaviour.takes) == b"":
            raise ConnectionError
        if not behaviour.leaves:
            return True
    except BlockingIOError:
        return True
    except OSError:
        pass
    client.close()
    return False


class Played:
    """A behaviour that is being played; `opened` says how many clients came in."""

    def __init__(self, address, behaviour, count):
        self.pipe, other = multiprocessing.Pipe()
        self.process = multiprocessing.Process(target=play, args=(address, behaviour, count, other), daemon=True)
        self.process.start()
        if not self.pipe.poll(LIFE_S):
            self.stop()
            raise BenchError(f"the clients of {behaviour.name} do not come in within {LIFE_S} s")
        self.opened = self.pipe.recv()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        try:
            self.pipe.send("end")
        except OSError:
            pass
        self.process.join(2 * STEP_S)
        if self.process.is_alive():
            self.process.terminate()
            self.process.join()


def newcomers(addresses, count, pause_s, patience_s):
    """Clients that come one after the other, to each address in turn, with a request each.

    `count` is for each address. Returns for each the seconds that every answer with 200 took.
    """
    took, begun, count = [[] for _ in addresses], 0, count * len(addresses)
    start = time.monotonic()
    end = start + count * pause_s + patience_s
    with selectors.DefaultSelector() as selector:
        while time.monotonic() < end and (begun < count or selector.get_map()):
            now = time.monotonic()
            if begun < count and now >= start + begun * pause_s:
                begin(selector, addresses, begun % len(addresses), now)
                begun += 1
            due = start + begun * pause_s if begun < count else end
            for key, _ in selector.select(max(0, min(due, end) - time.monotonic())):
                if key.events == selectors.EVENT_WRITE:
                    ask(selector, key)
                    continue
                to, since = key.data
                if hears(key.fileobj):
                    took[to].append(time.monotonic() - since)
                leave(selector, key.fileobj)
            for key in [key for key in selector.get_map().values() if time.monotonic() > key.data[1] + patience_s]:
                leave(selector, key.fileobj)
        for key in list(selector.get_map().values()):
            leave(selector, key.fileobj)
    return took


def begin(selector, addresses, to, now):
    host, port = addresses[to].split(":")
    client = socket.socket()
    client.setblocking(False)
    client.connect_ex((host, int(port)))
    selector.register(client, selectors.EVENT_WRITE, (to, now))


def ask(selector, key):
    try:
        key.fileobj.send(get(QUICK))
        selector.modify(key.fileobj, selectors.EVENT_READ, key.data)
    except OSError:
        leave(selector, key.fileobj)


def hears(client):
    try:
        return client.recv(4096).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def leave(selector, client):
    selector.unregister(client)
    client.close()


async def serve_one(reader, writer):
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            path = head.split(b" ", 2)[1]
            if path == b"/hang":
                await asyncio.sleep(10 * LIFE_S)
            size = int(path.removeprefix(b"/size/")) if path.startswith(b"/size/") else 100
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
            # In pieces: what a transport has left over it moves at each write, and the backend is not to be what is slow.
            for begun in range(0, size, len(PIECE)):
                writer.write(PIECE[: size - begun])
                await writer.drain()
    except (OSError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


def backend(pipe):
    """The process of the backend: tells its address."""

    async def serve():
        server = await asyncio.start_server(serve_one, "127.0.0.1", 0, backlog=BACKLOG)
        pipe.send("127.0.0.1:{1}".format(*server.sockets[0].getsockname()))
        await server.serve_forever()

    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    asyncio.run(serve())


class Backend:
    """A process that answers all paths. Newcomers ask one of their own: what they wait for is the proxy, not a backend that
    still fills the buffers of others."""

    def __enter__(self):
        self.pipe, other = multiprocessing.Pipe()
        self.process = multiprocessing.Process(target=backend, args=(other,), daemon=True)
        self.process.start()
        if not self.pipe.poll(LIFE_S):
            raise BenchError("the backend does not start")
        return self.pipe.recv()

    def __exit__(self, *_):
        self.process.terminate()
        self.process.join()
