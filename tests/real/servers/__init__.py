"""Real servers, each with the application of the battery, and how to start them."""

import os
import pathlib
import shutil
import socket
import sys
import time

from harness.process import Child

HERE = pathlib.Path(__file__).parent
# A JVM on a busy machine needs its time.
READY_S_MAX = 40

_PYTHON = [sys.executable, "-u"]


def _wsgi(name):
    return lambda port: [*_PYTHON, HERE / "wsgi_app.py", name, port]


def _script(file):
    return lambda port: [*_PYTHON, HERE / file, port]


def _gunicorn(*more):
    return lambda port: [*_PYTHON, "-m", "gunicorn", "--chdir", HERE, "--bind", f"127.0.0.1:{port}", *more, "wsgi_app:app"]


def _uvicorn(http):
    more = ["--http", http, "--port", None, "--timeout-keep-alive", "1", "--no-access-log"]
    return lambda port: [*_PYTHON, "-m", "uvicorn", "--app-dir", HERE, *(port if one is None else one for one in more), "asgi_app:app"]


# The command of each server for a port. Those with a keep-alive timeout that can be set close idle connections after a second.
COMMANDS = {
    "waitress": _wsgi("waitress"),
    "cheroot": _wsgi("cheroot"),
    "gevent": _wsgi("gevent"),
    "eventlet": _wsgi("eventlet"),
    "werkzeug": _wsgi("werkzeug"),
    "wsgiref": _wsgi("wsgiref"),
    "gunicorn-sync": _gunicorn("--worker-class", "sync"),
    "gunicorn-gthread": _gunicorn("--worker-class", "gthread", "--threads", "8", "--keep-alive", "1"),
    "uvicorn-h11": _uvicorn("h11"),
    "uvicorn-httptools": _uvicorn("httptools"),
    "hypercorn": lambda port: [*_PYTHON, "-m", "hypercorn", "--bind", f"127.0.0.1:{port}", "--keep-alive", "1", "asgi_app:app"],
    "granian": lambda port: [*_PYTHON, "-m", "granian", "--interface", "asgi", "--host", "127.0.0.1", "--port", port, "asgi_app:app"],
    "daphne": lambda port: [*_PYTHON, "-m", "daphne", "-b", "127.0.0.1", "-p", port, "--http-timeout", "30", "asgi_app:app"],
    "aiohttp": _script("aiohttp_app.py"),
    "tornado": _script("tornado_app.py"),
    "sanic": _script("sanic_app.py"),
    "twisted": _script("twisted_app.py"),
    "node": lambda port: ["node", HERE / "node_app.js", port],
    "jdk": lambda port: ["java", HERE / "App.java", port],
    "php": lambda port: ["php", "-q", "-S", f"127.0.0.1:{port}", HERE / "app.php"],
    "webrick": lambda port: ["rackup", "-E", "deployment", "-s", "webrick", "-o", "127.0.0.1", "-p", port, "-q", HERE / "config.ru"],
    "thin": lambda port: ["thin", "-a", "127.0.0.1", "-p", port, "-R", HERE / "config.ru", "-q", "start"],
    "puma": lambda port: ["puma", "-q", "-b", f"tcp://127.0.0.1:{port}", HERE / "config.ru"],
}


class RealServer:
    """A running server; `host_port` is where it listens."""

    def __init__(self, name, directory):
        port = _free_port()
        self.name, self.address, self.host_port = name, ("127.0.0.1", port), f"127.0.0.1:{port}"
        seen = directory / "seen"
        seen.mkdir(parents=True, exist_ok=True)
        command = COMMANDS[name](port)
        assert shutil.which(str(command[0])), f"{command[0]} is not installed: run tests/setup"
        path = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
        env = {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "SEEN": str(seen), "EVENTLET_HUB": "poll"}
        self._child = Child(command, directory, name, env=env)
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise

    def _wait(self):
        deadline = time.monotonic() + READY_S_MAX
        while True:
            try:
                socket.create_connection(self.address, timeout=READY_S_MAX).close()
                return
            except ConnectionRefusedError:
                assert self._child.process.poll() is None, f"{self.name} ended\n{self._child.stderr()}"
                assert time.monotonic() < deadline, f"{self.name} does not listen\n{self._child.stderr()}"
                time.sleep(0.02)

    def stop(self):
        """Ends it. A master process ends its workers on SIGTERM; a killed one would leave them."""
        self._child.process.terminate()
        try:
            self._child.process.wait(5)
        finally:
            self._child.kill()


def _free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]
