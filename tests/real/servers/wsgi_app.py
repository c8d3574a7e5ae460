"""The application of the battery for WSGI servers; `python wsgi_app.py SERVER PORT` runs it in one of them."""

import collections
import hashlib
import json
import socketserver
import sys

_seen = collections.Counter()


def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/early":
        start_response("413 Content Too Large", [("Content-Type", "text/plain"), ("Content-Length", "6")])
        return [b"early\n"]
    if path == "/stream":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return iter([b"one\n", b"two\n", b"three\n"])
    body = _read(environ)
    name = environ.get("HTTP_X_ID", "")
    _seen[name] += 1
    report = {
        "method": environ["REQUEST_METHOD"],
        "path": path,
        "length": len(body),
        "sha256": hashlib.sha256(body).hexdigest(),
        "seen": _seen[name],
    }
    answer = (json.dumps(report) + "\n").encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(answer)))])
    return [answer]


def _read(environ):
    stream = environ["wsgi.input"]
    if length := environ.get("CONTENT_LENGTH"):
        return stream.read(int(length))
    if "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower() and "wsgiref" not in environ.get("SERVER_SOFTWARE", "").lower():
        return stream.read()
    return b""


def run_waitress(port):
    import waitress

    waitress.serve(app, host="127.0.0.1", port=port, threads=8)


def run_cheroot(port):
    from cheroot import wsgi

    wsgi.Server(("127.0.0.1", port), app, timeout=1).start()


def run_gevent(port):
    from gevent import pywsgi

    pywsgi.WSGIServer(("127.0.0.1", port), app, log=None).serve_forever()


def run_eventlet(port):
    import eventlet
    from eventlet import wsgi

    wsgi.server(eventlet.listen(("127.0.0.1", port)), app, log_output=False)


def run_werkzeug(port):
    from werkzeug.serving import run_simple

    run_simple("127.0.0.1", port, app, threaded=True)


def run_wsgiref(port):
    from wsgiref import simple_server

    class Server(socketserver.ThreadingMixIn, simple_server.WSGIServer):
        daemon_threads = True

    class Handler(simple_server.WSGIRequestHandler):
        def log_message(self, *_):
            pass

    simple_server.make_server("127.0.0.1", port, app, Server, Handler).serve_forever()


if __name__ == "__main__":
    globals()[f"run_{sys.argv[1]}"](int(sys.argv[2]))
