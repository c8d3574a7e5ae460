"""An ASGI application for uvicorn: one line per request, as node_server.js writes it."""

import asyncio
import os

LOG = os.open(os.environ["REQUEST_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    # Whatever the server takes for a next request shall be there before this one is answered.
    await asyncio.sleep(0.02)
    end, length = await read(receive)
    via = dict(scope["headers"]).get(b"x-forwarded-for", b"-").decode("latin-1")
    query = scope["query_string"].decode("latin-1")
    target = scope["raw_path"].decode("latin-1") + ("?" + query if query else "")
    words = [scope["client"][0], via, scope["method"], target, end, str(length)]
    os.write(LOG, ("\t".join(words) + "\n").encode("latin-1"))
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


async def read(receive):
    length = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return "cut", length
        length += len(message.get("body", b""))
        if not message.get("more_body"):
            return "whole", length
