"""The application of the battery for ASGI servers."""

import collections
import hashlib
import json

_seen = collections.Counter()


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await _live(receive, send)
    elif scope["path"] == "/early":
        await _answer(send, 413, b"text/plain", b"early\n")
    elif scope["path"] == "/stream":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        for piece in (b"one\n", b"two\n", b"three\n"):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    else:
        await _answer(send, 200, b"application/json", await _report(scope, receive))


async def _live(receive, send):
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return


async def _report(scope, receive):
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    name = dict(scope["headers"]).get(b"x-id", b"")
    _seen[name] += 1
    report = {
        "method": scope["method"],
        "path": scope["path"],
        "length": len(body),
        "sha256": hashlib.sha256(body).hexdigest(),
        "seen": _seen[name],
    }
    return (json.dumps(report) + "\n").encode()


async def _answer(send, status, kind, body):
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
