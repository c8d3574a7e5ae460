"""A WSGI application for gunicorn: one line per request, as node_server.js writes it."""

import os

LOG = os.open(os.environ["REQUEST_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def app(environ, start_response):
    end, length = "whole", 0
    try:
        while piece := environ["wsgi.input"].read(65536):
            length += len(piece)
    except Exception:  # gunicorn has several for a body that is cut short or malformed.
        end = "cut"
    via = environ.get("HTTP_X_FORWARDED_FOR", "-")
    words = [environ["REMOTE_ADDR"], via, environ["REQUEST_METHOD"], environ["RAW_URI"], end, str(length)]
    # One write, because other threads write too.
    os.write(LOG, ("\t".join(words) + "\n").encode("latin-1"))
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
