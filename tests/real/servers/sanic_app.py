"""The application of the battery for Sanic: `python sanic_app.py PORT`."""

import collections
import hashlib
import sys

from sanic import Sanic
from sanic.response import json, text

_seen = collections.Counter()
app = Sanic("battery")
app.config.KEEP_ALIVE_TIMEOUT = 1
app.config.REQUEST_MAX_SIZE = 64 << 20


@app.route("/early", methods=["GET", "POST"], stream=True)
async def early(_request):
    return text("early\n", status=413)


@app.get("/stream")
async def stream(request):
    response = await request.respond(content_type="text/plain")
    for piece in ("one\n", "two\n", "three\n"):
        await response.send(piece)
    await response.eof()


@app.route("/<path:path>", methods=["GET", "HEAD", "POST", "PUT"], unquote=False)
async def echo(request, path):
    name = request.headers.get("x-id", "")
    _seen[name] += 1
    body = request.body or b""
    report = {
        "method": request.method,
        "path": f"/{path}",
        "length": len(body),
        "sha256": hashlib.sha256(body).hexdigest(),
        "seen": _seen[name],
    }
    return json(report)


if __name__ == "__main__":
    app.run(host="127.0.0.1", port=int(sys.argv[1]), single_process=True, motd=False, access_log=False)
