#!/usr/bin/env bash
# Servers of the Python world answer 400 because a request has a trailer section, each at another moment.
#
# Guess: a server that does not use trailers ignores them, as RFC 9112 §7.1.2 allows ("MAY ... discard").
# Behaviour: Tornado and Sanic answer 400 to the request that carries the trailer. cheroot answers that request with 200, and then sends a
#   400 that nobody asked for. All three end the connection.
# Seen with: tornado 6.6.1, sanic 25.12.1, cheroot 11.1.2, CPython 3.11.7.
# For a proxy: request trailers are dropped towards HTTP/1.1 backends unless the operator knows that the backend reads them.
set -euo pipefail
folder="$(mktemp -d)"
trap 'kill ${pid:-} 2>/dev/null || true; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check tornado==6.6.1 sanic==25.12.1 cheroot==11.1.2
cat >"$folder/app_tornado.py" <<'PY'
import asyncio
import sys

from tornado import web


class Ok(web.RequestHandler):
    def post(self):
        self.write(f"{len(self.request.body)} bytes")


async def main():
    web.Application([(".*", Ok)]).listen(int(sys.argv[1]), "127.0.0.1")
    await asyncio.Event().wait()


asyncio.run(main())
PY
cat >"$folder/app_sanic.py" <<'PY'
import sys

from sanic import Sanic
from sanic.response import text

app = Sanic("ok")


@app.post("/")
async def ok(request):
    return text(f"{len(request.body)} bytes")


if __name__ == "__main__":
    app.run(host="127.0.0.1", port=int(sys.argv[1]), single_process=True, motd=False)
PY
cat >"$folder/app_cheroot.py" <<'PY'
import sys

from cheroot import wsgi


def ok(environ, start_response):
    body = b"%d bytes" % len(environ["wsgi.input"].read())
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


wsgi.Server(("127.0.0.1", int(sys.argv[1])), ok).start()
PY
cat >"$folder/ask.py" <<'PY'
import socket
import sys
import time

port = int(sys.argv[1])
deadline = time.monotonic() + 20
while True:
    try:
        connection = socket.create_connection(("127.0.0.1", port), timeout=10)
        break
    except ConnectionRefusedError:
        assert time.monotonic() < deadline
        time.sleep(0.05)


received = b""


def receive():
    global received
    piece = connection.recv(65536)
    received += piece
    return piece


def ask(trailer):
    """The status of a chunked POST."""
    global received
    head = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    connection.sendall(head + b"5\r\nhello\r\n0\r\n" + trailer + b"\r\n")
    while b"\r\n\r\n" not in received and receive():
        pass
    head, _, received = received.partition(b"\r\n\r\n")
    lengths = [int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    while lengths and len(received) < lengths[0] and receive():
        pass
    received = received[lengths[0] if lengths else 0 :]
    return head.split()[1].decode()


print("plain", ask(b""), "- with a trailer", ask(b"X-Checksum: abc\r\n"), end=" - ")
while receive():
    pass
print("then, unasked,", received.split()[1].decode() if received else "nothing", "and the end")
PY
seen=""
for name in tornado sanic cheroot; do
    port="$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')"
    "$folder/venv/bin/python" "$folder/app_$name.py" "$port" >/dev/null 2>&1 &
    pid=$!
    line="$name $("$folder/venv/bin/pip" show "$name" 2>/dev/null | sed -n 's/^Version: //p'): $(python3 "$folder/ask.py" "$port")"
    kill "$pid" && wait "$pid" 2>/dev/null || true
    echo "$line"
    seen+="$line"$'\n'
done
pid=
expected="tornado 6.6.1: plain 200 - with a trailer 400 - then, unasked, nothing and the end
sanic 25.12.1: plain 200 - with a trailer 400 - then, unasked, nothing and the end
cheroot 11.1.2: plain 200 - with a trailer 200 - then, unasked, 400 and the end
"
[ "$seen" == "$expected" ] || { echo "this has changed; it was:"; echo "$expected"; exit 1; }
