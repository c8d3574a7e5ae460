"""One-shot clients, each with a loopback address of its own, and a backend that keeps what it was sent.

Pollux says the client's address in X-Forwarded-For, so whatever arrives can be told to whom it belongs, however many
clients there are at once.
"""

import asyncio
import socket

from . import readers

PARALLEL = 32
PATIENCE_S = 10
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n%s\r\nok"


def address_of(number):
    """A loopback address for every number up to 2^22."""
    return f"127.{64 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"


async def say(address, number, data):
    """Sends `data` from the address of `number`, half-closes, and returns all that comes back."""
    reader, writer = await asyncio.open_connection(*address, local_addr=(address_of(number), 0))
    try:
        # A server that has answered a bad head may be gone before it was sent the rest.
        try:
            writer.write(data)
            await writer.drain()
            writer.write_eof()
        except OSError:
            pass
        pieces = []
        try:
            while piece := await reader.read(65536):
                pieces.append(piece)
        except ConnectionError:
            pass
        return b"".join(pieces)
    finally:
        writer.close()


async def say_all(address, cases, first=0):
    """Says each of `cases` on a connection of its own; the answers in their order."""
    gate = asyncio.Semaphore(PARALLEL)

    async def one(number, data):
        async with gate:
            try:
                return await asyncio.wait_for(say(address, number, data), PATIENCE_S)
            except TimeoutError:
                raise AssertionError(f"no end of the answer to {data!r}") from None

    return await asyncio.gather(*(one(first + place, data) for place, data in enumerate(cases)))


class Recorder:
    """A backend that answers every whole request, closes, and keeps every byte of every connection."""

    def __init__(self):
        self.connections = []
        self._server = None

    async def __aenter__(self):
        listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.host_port = "{}:{}".format(*listener.getsockname())
        self._server = await asyncio.start_server(self._serve, sock=listener)
        return self

    async def __aexit__(self, *_):
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader, writer):
        received = bytearray()
        self.connections.append(received)
        try:
            while piece := await reader.read(65536):
                received += piece
                if _is_whole(bytes(received)):
                    writer.write(ANSWER % b"Connection: close\r\n")
                    await writer.drain()
                    writer.write_eof()
        except OSError:
            pass
        finally:
            writer.close()


def _is_whole(received):
    try:
        requests = readers.strict(received)
    except readers.Refused:
        # It is judged later; an answer lets the client go on.
        return True
    return bool(requests) and requests[-1].whole
