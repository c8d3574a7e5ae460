"""Fixtures: a Pollux, toy backends, nginx; each ended by its pid, and each Pollux asked whether it ended well."""

import contextlib
import itertools
import os
import pathlib
import random
import shutil
import socket

import pytest

from harness.admin import Administered
from harness.fnv import fnv1a
from harness.process import Child, Pollux, Toy
from harness.tls import Authority, TlsBackend, TlsPollux
from harness.upgradable import Upgradable, foster_parent

MIB = 1 << 20


def binary(variable):
    path = os.environ.get(variable)
    if not path:
        pytest.exit(f"{variable} is not set: run these tests with `tests/all real`", returncode=2)
    # Tests run their children in directories of their own.
    return str(pathlib.Path(path).resolve())


@pytest.fixture(scope="session")
def pollux_bin():
    return binary("POLLUX_BIN")


@contextlib.contextmanager
def all_end_well():
    """Takes in whoever was started, and gives it back: `proxy = keep(Pollux(…))`. In the end each must end well."""
    kept = []

    def keep(started):
        kept.append(started)
        return started

    yield keep
    with contextlib.ExitStack() as stack:
        for one in kept:
            stack.callback(one.kill)
        for one in kept:
            one.end_well()


@pytest.fixture
def keep():
    with all_end_well() as keep:
        yield keep


@pytest.fixture
def pollux(pollux_bin, tmp_path, keep):
    """Starts Pollux: `pollux(backend, …, mode=…, options=[…])`."""
    numbers = itertools.count()

    def start(*backends, options=(), files_max=None):
        arguments = ["--listen", "127.0.0.1:0", *options]
        for backend in backends:
            arguments += ["--backend", getattr(backend, "host_port", backend)]
        directory = tmp_path / f"pollux-{next(numbers)}"
        directory.mkdir()
        return keep(Pollux(pollux_bin, arguments, directory, files_max=files_max))

    return start


@pytest.fixture
def administered(pollux_bin, tmp_path, keep):
    """Starts a Pollux with an admin address: `administered(backend, …)`."""
    return lambda *backends, **more: keep(Administered(pollux_bin, tmp_path, backends, **more))


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


@pytest.fixture
def tls_pollux(pollux_bin, tmp_path, keep):
    """Starts a Pollux with a configuration: `tls_pollux(listener(backend, authority.issue("localhost")))`."""
    numbers = itertools.count()
    return lambda config, **more: keep(TlsPollux(pollux_bin, tmp_path / f"tls-{next(numbers)}", config, **more))


@pytest.fixture
def tls_backend():
    """Starts a backend with a certificate and its key: `tls_backend(*authority.issue("localhost"))`."""
    with contextlib.ExitStack() as stack:

        def start(*arguments, **more):
            started = TlsBackend(*arguments, **more)
            stack.callback(started.close)
            return started

        yield start


@pytest.fixture
def upgradable(pollux_bin, tmp_path):
    """Starts a Pollux that can be upgraded, with a configuration: `upgradable(config)`."""
    with foster_parent(), all_end_well() as keep:
        yield lambda config, **more: keep(Upgradable(pollux_bin, tmp_path, config, **more))


@pytest.fixture
def toy(tmp_path):
    """Starts a toy backend: `toy("echo", name="b")`."""
    with contextlib.ExitStack() as stack:

        def start(behaviour, **more):
            running = Toy(binary("TOY_BIN"), behaviour, tmp_path, **more)
            stack.callback(running.kill)
            return running

        yield start


NGINX = """\
{user}
daemon off;
pid nginx.pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    types {{ text/plain txt; }}
    {settings}
    server {{
        listen {listen} {protocol};
        root {root};
    }}
}}
"""


@pytest.fixture
def nginx(tmp_path):
    """Starts nginx over a directory: `nginx(root, "gzip on;")`; returns its address as HOST:PORT."""
    program = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    assert program, "nginx is not installed: run tests/setup"
    with contextlib.ExitStack() as stack:

        def start(root, settings="", protocol=""):
            # nginx inherits a socket that already listens: the port is the kernel's choice, and no
            # client can come too early.
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            host_port = "{}:{}".format(*listener.getsockname())
            config = tmp_path / "nginx.conf"
            user = "user root;" if os.geteuid() == 0 else ""
            config.write_text(NGINX.format(user=user, settings=settings, listen=host_port, protocol=protocol, root=root))
            command = [program, "-p", tmp_path, "-c", config, "-e", "stderr"]
            fd = listener.fileno()
            running = Child(command, tmp_path, "nginx", env={"NGINX": f"{fd};"}, pass_fds=[fd])
            stack.callback(running.kill)
            # A killed master would leave its worker behind.
            stack.callback(running.terminate)
            return host_port

        yield start


@pytest.fixture(scope="session")
def big_body():
    """10 MiB of noise, always the same."""
    return random.Random(1).randbytes(10 * MIB)


@pytest.fixture(scope="session")
def big_body_fnv(big_body):
    return fnv1a(big_body)


@pytest.fixture(scope="session")
def wrk_seconds():
    return int(os.environ.get("WRK_SECONDS", "10"))


@pytest.fixture
def free_address():
    """An address where nothing listens: taken from the kernel, given back at once."""

    def find():
        with socket.create_server(("127.0.0.1", 0)) as listener:
            return "{}:{}".format(*listener.getsockname())

    return find
