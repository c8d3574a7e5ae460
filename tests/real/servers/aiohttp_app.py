"""The application of the battery for aiohttp: `python aiohttp_app.py PORT`."""

import collections
import hashlib
import sys

from aiohttp import web

_seen = collections.Counter()


async def echo(request):
    body = await request.read()
    name = request.headers.get("X-Id", "")
    _seen[name] += 1
    report = {
        "method": request.method,
        "path": request.path,
        "length": len(body),
        "sha256": hashlib.sha256(body).hexdigest(),
        "seen": _seen[name],
    }
    return web.json_response(report)


async def early(_request):
    return web.Response(status=413, text="early\n")


async def stream(request):
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    await response.prepare(request)
    for piece in (b"one\n", b"two\n", b"three\n"):
        await response.write(piece)
    await response.write_eof()
    return response


app = web.Application(client_max_size=64 << 20)
app.router.add_route("*", "/early", early)
app.router.add_route("*", "/stream", stream)
app.router.add_route("*", "/{path:.*}", echo)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), keepalive_timeout=1, print=None, access_log=None)
