#!/usr/bin/env bash
# A 103 in front of an answer is the answer that `requests` returns, and the real one goes to the next request.
#
# Guess: RFC 9110 §15.2 has clients skip interim responses that they do not know, so `requests` returns the 200 behind a 103.
# Behaviour: CPython's http.client skips 100 alone. `requests` returns status 103 with an empty body. What follows depends on time: an
#   answer that comes with its 103 is lost with the buffer that holds it; one that comes later is returned for the next request on the
#   session. No exception is raised in either case.
# Seen with: requests 2.34.2, urllib3 2.8.0, CPython 3.11.7.
# For a proxy: an interim response other than 100 and 101 must not reach HTTP/1.1 clients that have not asked for it.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check requests==2.34.2 urllib3==2.8.0
cat >"$folder/show.py" <<'PY'
import socket
import threading

import requests
import urllib3


def heads(stream):
    """The target of each request."""
    while line := stream.readline():
        while stream.readline() not in (b"\r\n", b""):
            pass
        yield line.split()[1]


def serve(listener, is_slow):
    """One connection: each request gets a 103 at once, and a 200 that names its target: with it, or when the client asks again."""
    connection = listener.accept()[0]
    owed = b""
    for target in heads(connection.makefile("rb")):
        hints = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(target), target)
        connection.sendall(owed + hints if is_slow else hints + answer)
        owed = answer


print(f"requests {requests.__version__}, urllib3 {urllib3.__version__}")
for is_slow in (False, True):
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=serve, args=(listener, is_slow), daemon=True).start()
    session = requests.Session()
    session.trust_env = False
    for target in ("/first", "/second", "/third"):
        answer = session.get(f"http://127.0.0.1:{listener.getsockname()[1]}{target}", timeout=10)
        print(f"{'slow' if is_slow else 'fast'} GET {target}: {answer.status_code} {answer.text!r}")
PY
seen="$("$folder/venv/bin/python" "$folder/show.py")"
echo "$seen"
expected="requests 2.34.2, urllib3 2.8.0
fast GET /first: 103 ''
fast GET /second: 103 ''
fast GET /third: 103 ''
slow GET /first: 103 ''
slow GET /second: 200 '/first'
slow GET /third: 200 '/second'"
[ "$seen" == "$expected" ] || { echo "this has changed; it was:"; echo "$expected"; exit 1; }
