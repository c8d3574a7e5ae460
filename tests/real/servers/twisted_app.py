"""The application of the battery for Twisted's web server: `python twisted_app.py PORT`."""

import collections
import hashlib
import json
import sys

from twisted.internet import reactor
from twisted.web import resource, server

_seen = collections.Counter()


class Answers(resource.Resource):
    isLeaf = True

    def render(self, request):
        if request.path == b"/early":
            request.setResponseCode(413)
            return b"early\n"
        if request.path == b"/stream":
            for piece in (b"one\n", b"two\n", b"three\n"):
                request.write(piece)
            request.finish()
            return server.NOT_DONE_YET
        body = request.content.read()
        name = request.getHeader(b"x-id") or b""
        _seen[name] += 1
        report = {
            "method": request.method.decode(),
            "path": request.path.decode(),
            "length": len(body),
            "sha256": hashlib.sha256(body).hexdigest(),
            "seen": _seen[name],
        }
        request.setHeader(b"content-type", b"application/json")
        return (json.dumps(report) + "\n").encode()


reactor.listenTCP(int(sys.argv[1]), server.Site(Answers(), timeout=1), interface="127.0.0.1")
reactor.run()
