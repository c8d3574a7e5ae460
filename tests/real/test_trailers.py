"""Trailers of requests in front of servers that refuse them: Tornado and Sanic answer 400, each by itself."""

import contextlib
import os
import signal
import subprocess
import sys

import pytest

from harness.client import DEADLINE_S, Response, connect
from harness.served import Served

TORNADO = """
import asyncio, tornado.httpserver, tornado.netutil, tornado.web

class Sum(tornado.web.RequestHandler):
    def post(self):
        self.write(str(len(self.request.body)))

async def main():
    sockets = tornado.netutil.bind_sockets(0, "127.0.0.1")
    server = tornado.httpserver.HTTPServer(tornado.web.Application([("/.*", Sum)]))
    server.add_sockets(sockets)
    print(sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""

SANIC = """
import socket, sanic
from sanic.response import text

app = sanic.Sanic("sums")

@app.post("/")
async def total(request):
    return text(str(len(request.body)))

sock = socket.socket()
sock.bind(("127.0.0.1", 0))
print(sock.getsockname()[1], flush=True)
app.run(sock=sock, single_process=True, access_log=False, motd=False)
"""

REQUEST = (
    b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
    b"4\r\nbody\r\n0\r\nX-Sum: 1\r\nX-Real-IP: 6.6.6.6\r\n\r\n"
)


@contextlib.contextmanager
def server(program, directory):
    """A server that says its port first; ended by its pid."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-c", program]
    process = subprocess.Popen(command, cwd=directory, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        yield int(process.stdout.readline())
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(DEADLINE_S)
        process.stdout.close()


def post(address):
    """The answer to the request with trailers, over a connection of its own; tried until the server has begun to listen."""
    with connect(address) as connection, connection.makefile("rb") as stream:
        connection.sendall(REQUEST)
        return Response(stream)


@pytest.mark.parametrize("program", [TORNADO, SANIC], ids=["tornado", "sanic"])
@pytest.mark.parametrize("trailers, status", [("drop", 200), ("pass", 400)])
def test_a_server_that_refuses_trailers(pollux_bin, tmp_path, keep, program, trailers, status):
    with server(program, tmp_path) as port:
        config = (
            'control = "control"\naccess_log = "off"\n[[listener]]\nbind = "127.0.0.1:0"\n[pool.app]\n'
            f'request_trailers = "{trailers}"\nreach_wait = "9s"\nbackends = [{{ name = "b1", address = "127.0.0.1:{port}" }}]\n'
        )
        proxy = keep(Served(pollux_bin, tmp_path, config))
        # More than it takes to eject a backend.
        for _ in range(12):
            answer = post(proxy.running.address)
            assert answer.status == status, answer
            if status == 200:
                assert answer.body == b"4"
        assert proxy.status("app/b1")["standing"] == "up"
