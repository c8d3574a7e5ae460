#!/usr/bin/env bash
# Four WSGI servers send the application's body behind the head of an answer to HEAD, where the next answer belongs.
#
# Guess: a server drops the body of an answer to HEAD; RFC 9110 §9.3.2 forbids to send it, and an application cannot be trusted to know.
# Behaviour: gevent's pywsgi, waitress, cheroot and eventlet send it, on a connection that they keep. The client's next answer then begins
#   with the body's bytes. Their documentation leaves the care to a framework.
# Seen with: gevent 26.9.0, waitress 3.0.2, cheroot 11.1.2, eventlet 0.41.3, CPython 3.11.7.
# For a proxy: a backend connection is not clean right behind an answer to HEAD; bytes may still come that nobody has asked for.
set -euo pipefail
folder="$(mktemp -d)"
trap 'kill ${pid:-} 2>/dev/null || true; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check gevent==26.9.0 waitress==3.0.2 cheroot==11.1.2 eventlet==0.41.3
cat >"$folder/serve.py" <<'PY'
import sys

name, port = sys.argv[1], int(sys.argv[2])


def app(_environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "6")])
    return [b"hello\n"]


if name == "gevent":
    from gevent import pywsgi

    pywsgi.WSGIServer(("127.0.0.1", port), app, log=None).serve_forever()
elif name == "waitress":
    import waitress

    waitress.serve(app, host="127.0.0.1", port=port)
elif name == "cheroot":
    from cheroot import wsgi

    wsgi.Server(("127.0.0.1", port), app).start()
else:
    import eventlet
    from eventlet import wsgi

    wsgi.server(eventlet.listen(("127.0.0.1", port)), app, log_output=False)
PY
cat >"$folder/ask.py" <<'PY'
import socket
import sys
import time

deadline = time.monotonic() + 20
while True:
    try:
        connection = socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=10)
        break
    except ConnectionRefusedError:
        assert time.monotonic() < deadline
        time.sleep(0.05)
connection.sendall(b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n")
seen = b""
while b"\r\n\r\n" not in seen:
    seen += connection.recv(65536)
# The answer to a second request shows what came before it.
connection.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
while seen.count(b"\r\n\r\n") < 2 or not seen.endswith(b"hello\n"):
    piece = connection.recv(65536)
    assert piece, seen
    seen += piece
behind = seen.partition(b"\r\n\r\n")[2]
print("behind the answer to HEAD:", behind[: behind.index(b"HTTP/1.1")])
PY
seen=""
for name in gevent waitress cheroot eventlet; do
    port="$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')"
    "$folder/venv/bin/python" "$folder/serve.py" "$name" "$port" >/dev/null 2>&1 &
    pid=$!
    line="$name $("$folder/venv/bin/pip" show "$name" 2>/dev/null | sed -n 's/^Version: //p'), $(python3 "$folder/ask.py" "$port")"
    kill "$pid" && wait "$pid" 2>/dev/null || true
    echo "$line"
    seen+="$line"$'\n'
done
pid=
expected="gevent 26.9.0, behind the answer to HEAD: b'hello\\n'
waitress 3.0.2, behind the answer to HEAD: b'hello\\n'
cheroot 11.1.2, behind the answer to HEAD: b'hello\\n'
eventlet 0.41.3, behind the answer to HEAD: b'hello\\n'
"
[ "$seen" == "$expected" ] || { echo "this has changed; it was:"; echo "$expected"; exit 1; }
