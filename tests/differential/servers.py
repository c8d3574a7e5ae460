"""Real servers that log each request: who sent it, through whom, method, target, and the length of the body if they tell."""

import contextlib
import dataclasses
import os
import pathlib
import shutil
import socket
import subprocess
import sys

from harness.process import Child

HERE = pathlib.Path(__file__).parent
MODULES = pathlib.Path("/usr/lib/apache2/modules")

NGINX = """\
{user}
daemon off;
pid nginx.pid;
error_log stderr;
events {{}}
http {{
    log_format seen '$remote_addr\t$http_x_forwarded_for\t$request_method\t$request_uri\t$status\t-';
    access_log {log} seen;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    server {{
        listen {listen};
        location / {{ return 200 ok; }}
    }}
}}
"""

# The request line as it came: every other word for the target is a decoded one.
APACHE = """\
ServerRoot {directory}
ServerName h
PidFile apache.pid
DefaultRuntimeDir {directory}
{user}
LoadModule mpm_event_module {modules}/mod_mpm_event.so
Listen {listen}
ErrorLog {directory}/error.log
DocumentRoot {directory}/root
KeepAlive On
LogFormat "%a\\t%{{X-Forwarded-For}}i\\t%r\\t%>s" seen
CustomLog {log} seen
"""


# How the log says that a server has not read a request to its end.
UNREAD = ("cut", "400", "408", "413", "414", "431", "501", "505")


@dataclasses.dataclass
class Seen:
    """A request as a server has logged it."""

    method: str
    target: str
    whole: bool
    length: int | None


class Server:
    def __init__(self, child, address, log):
        self._child, self._log = child, log
        self.address = address
        self.host_port = "{}:{}".format(*address)

    def stop(self):
        """Ends it, so that everything is in its log."""
        self._child.terminate()

    def seen(self):
        """The requests by whoever sent them: a client's own address, or what Pollux said of it."""
        found = {}
        for line in self._log.read_text("latin-1").splitlines():
            client, via, *words = line.split("\t")
            if len(words) == 2:
                request, end = words
                method, _, target = request.partition(" ")
                words = [method, target.rpartition(" ")[0], end, "-"]
            method, target, end, length = words
            key = via if client == "127.0.0.1" else client
            whole = end not in UNREAD
            found.setdefault(key, []).append(Seen(method, target, whole, None if length == "-" else int(length)))
        return found


def _program(name):
    program = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    assert program, f"{name} is not installed: run tests/setup"
    return program


def _nginx(directory, listener, log):
    config = directory / "nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""
    config.write_text(NGINX.format(user=user, log=log, listen="{}:{}".format(*listener.getsockname())))
    # nginx takes a socket that already listens from its environment.
    environment = {"NGINX": f"{listener.fileno()};"}
    command = [_program("nginx"), "-p", directory, "-c", config, "-e", "stderr"]
    return Child(command, directory, "nginx", env=environment, pass_fds=[listener.fileno()])


def _apache(directory, listener, log):
    host_port = "{}:{}".format(*listener.getsockname())
    # Apache insists on a socket of its own. The port stays the kernel's choice.
    listener.close()
    (directory / "root").mkdir()
    config = directory / "apache.conf"
    user = "User www-data\nGroup www-data" if os.geteuid() == 0 else ""
    config.write_text(APACHE.format(directory=directory, user=user, modules=MODULES, listen=host_port, log=log))
    return Child([_program("apache2"), "-d", directory, "-f", config, "-DFOREGROUND"], directory, "apache")


def _gunicorn(directory, listener, log):
    fd = listener.fileno()
    options = ["--worker-class", "gthread", "--threads", "8", "--keep-alive", "2", "--bind", f"fd://{fd}", "--chdir", HERE]
    command = [sys.executable, "-m", "gunicorn", "--no-control-socket", *options, "wsgi_app:app"]
    return Child(command, directory, "gunicorn", env={"REQUEST_LOG": str(log)}, pass_fds=[fd])


def _node(directory, listener, log):
    listener.close()
    return Child([_program("node"), HERE / "node_server.js", log], directory, "node")


def _uvicorn(directory, listener, log):
    fd = listener.fileno()
    # With llhttp, which leaves what follows an Upgrade to its user.
    options = ["--http", "httptools", "--no-access-log", "--no-proxy-headers", "--app-dir", HERE]
    command = [sys.executable, "-m", "uvicorn", *options, "--fd", fd, "asgi_app:app"]
    return Child(command, directory, "uvicorn", env={"REQUEST_LOG": str(log)}, pass_fds=[fd])


SERVERS = {"nginx": _nginx, "apache": _apache, "gunicorn": _gunicorn, "uvicorn": _uvicorn, "node": _node}


@contextlib.contextmanager
def serve(name, directory):
    """Starts a server; its log is complete once it was stopped."""
    log = directory / "seen.log"
    log.touch()
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        address = listener.getsockname()
        child = SERVERS[name](directory, listener, log)
    try:
        if name == "node":
            host, port = child.line(r"listening on (\S+):(\d+)").groups()
            address = (host, int(port))
        yield Server(child, address, log)
    finally:
        # A killed master would leave its workers behind.
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.terminate()
        child.kill()
