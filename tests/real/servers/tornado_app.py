"""The application of the battery for Tornado: `python tornado_app.py PORT`."""

import asyncio
import collections
import hashlib
import json
import sys

from tornado import httpserver, web

_seen = collections.Counter()


class Answers(web.RequestHandler):
    SUPPORTED_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS")

    def answer(self):
        body = self.request.body
        name = self.request.headers.get("X-Id", "")
        _seen[name] += 1
        report = {
            "method": self.request.method,
            "path": self.request.path,
            "length": len(body),
            "sha256": hashlib.sha256(body).hexdigest(),
            "seen": _seen[name],
        }
        self.set_header("Content-Type", "application/json")
        self.write(json.dumps(report) + "\n")

    get = head = post = put = answer


@web.stream_request_body
class Early(web.RequestHandler):
    def prepare(self):
        self.set_status(413)
        self.finish("early\n")

    def data_received(self, chunk):
        pass


class Stream(web.RequestHandler):
    async def get(self):
        for piece in ("one\n", "two\n", "three\n"):
            self.write(piece)
            await self.flush()


async def main(port):
    app = web.Application([("/early", Early), ("/stream", Stream), (".*", Answers)])
    server = httpserver.HTTPServer(app, max_buffer_size=64 << 20, idle_connection_timeout=1)
    server.listen(port, "127.0.0.1")
    await asyncio.Event().wait()


asyncio.run(main(int(sys.argv[1])))
