"""Logins that hold for a connection: NTLM, as curl and a server on Node speak it."""

import base64
import contextlib
import pathlib
import struct
import subprocess
import time

import pytest

from harness.client import DEADLINE_S, Response, connect, get
from harness.process import Child
from harness.served import Served

NPM = pathlib.Path(__file__).parent / "npm"
CURL = ["curl", "--silent", "--show-error", "--noproxy", "*", "--max-time", str(DEADLINE_S)]


@pytest.fixture
def server(tmp_path):
    """The address of a server that takes NTLM for logins of connections."""
    assert (NPM / "node_modules/express-ntlm").is_dir(), "express-ntlm is not installed: run tests/setup"
    running = Child(["node", NPM / "ntlm_server.js"], tmp_path, "ntlm")
    yield "127.0.0.1:" + running.line(r"port (\d+)").group(1)
    running.kill()


@pytest.fixture
def proxy(pollux_bin, tmp_path, keep, server):
    """Starts a Pollux before it; one worker, so that everybody's connections lie in one idle set."""

    def start(more=""):
        config = f'control = "control"\n[[listener]]\nname = "web"\nbind = "127.0.0.1:0"\n[pool.app]\nbackends = ["{server}"]\n{more}'
        return keep(Served(pollux_bin, tmp_path, config, options=("--threads", "1", "--access-log", "off")))

    return start


def first_message():
    """What a client begins with: NTLM type 1."""
    return base64.b64encode(b"NTLMSSP\0" + struct.pack("<II", 1, 0x00088207) + bytes(16)).decode()


def last_message(user):
    """NTLM type 3, for a server that takes any password."""
    name = user.encode("utf-16-le")
    fields = [b"", b"", "TEST".encode("utf-16-le"), name, name, b""]
    start, offset, table, blob = 64, 64, b"", b""
    for field in fields:
        table += struct.pack("<HHI", len(field), len(field), offset)
        blob += field
        offset += len(field)
    message = b"NTLMSSP\0" + struct.pack("<I", 3) + table + struct.pack("<I", 0x00088201)
    assert len(message) == start
    return base64.b64encode(message + blob).decode()


@contextlib.contextmanager
def client(proxy):
    """`ask(target, *fields)` over one connection."""
    with connect(proxy.running.address) as connection, connection.makefile("rb") as stream:

        def ask(target="/", *fields):
            connection.sendall(get(target, *fields))
            return Response(stream)

        yield ask


def log_in(ask, user):
    challenge = ask("/", f"Authorization: NTLM {first_message()}")
    assert challenge.status == 401 and challenge.headers["WWW-Authenticate"].startswith("NTLM TlRMTVNTUAAC")
    assert ask("/", f"Authorization: NTLM {last_message(user)}").body == user.encode()


def own(proxy):
    return sum(worker["backends_own"] for worker in proxy.status()["workers"])


def wait_for_own(proxy, count):
    deadline = time.monotonic() + DEADLINE_S
    while own(proxy) != count:
        assert time.monotonic() < deadline, own(proxy)


def test_curl_logs_in_by_ntlm(proxy):
    started = proxy()
    urls = [started.running.url(path) for path in ["/a", "/b", "/c"]]
    done = subprocess.run([*CURL, "--ntlm", "--user", "alice:secret", *urls], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "alice" * 3), done
    posted = subprocess.run([*CURL, "--ntlm", "--user", "alice:secret", "--data", "x" * 100000, urls[0]], capture_output=True, text=True)
    assert (posted.returncode, posted.stdout) == (0, "alice"), posted
    anybody = subprocess.run([*CURL, "--write-out", "%{http_code}", urls[0]], capture_output=True, text=True)
    assert anybody.stdout == "401"


def test_a_login_is_for_the_clients_connection_alone(proxy):
    started = proxy()
    with client(started) as alice, client(started) as bob:
        log_in(alice, "alice")
        assert [bob().status, bob("/open").body] == [401, b"open, nobody"]
        assert [alice().body, alice("/open").body] == [b"alice", b"open, alice"]
        log_in(bob, "bob")
        assert [alice().body, bob().body] == [b"alice", b"bob"]
        assert own(started) == 2
        assert "own" in started.tell("status")
    # With the clients their connections to the backend have gone.
    wait_for_own(started, 0)
    with client(started) as carol:
        assert [carol("/open").body, carol().status] == [b"open, nobody", 401]


@pytest.mark.parametrize(
    "rules",
    ["max_connections = 2\n", "max_reuse = 1\n", "limits = { idle = 0 }\n"],
    ids=["few-connections", "used-once", "none-idle"],
)
def test_a_login_comes_to_its_end_whatever_bounds_connections(proxy, rules):
    rules = "[limits]\nidle = 0\n" if "idle" in rules else rules
    started = proxy(rules)
    # More clients than connections: the one that has rested longest gives way to who waits.
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(client(started)) for _ in range(4)]
        for number, ask in enumerate(clients):
            log_in(ask, f"user{number}")
            assert ask("/open").body == f"open, user{number}".encode()
        for number, ask in enumerate(clients):
            assert ask("/open").body in (b"open, nobody", f"open, user{number}".encode())
