"""Backends that come and go: a file that another program writes, and a host name whose addresses change."""

import json
import os
import shutil
import subprocess
import threading
import time

import pytest

from harness.client import Response, SteadyClients, connect, get
from harness.process import Pollux
from harness.scripted import ScriptedBackend, read_head

DEADLINE_S = 20

LISTENER = '[[listener]]\nbind = "127.0.0.1:0"\n'


@pytest.fixture
def start(pollux_bin, tmp_path, keep):
    """Starts a Pollux with a configuration: `start(text, wrapper)`; with a DNS server of the file, and the listener's pool."""
    def start(text, wrapper=(), *, resolver=None, pool=None):
        above = f'resolver = "{resolver}"\n' if resolver else ""
        inside = f'pool = "{pool}"\n' if pool else ""
        (tmp_path / "proxy.toml").write_text(above + LISTENER + inside + text)
        arguments = ["-c", tmp_path / "proxy.toml", "--control", tmp_path / "control", "--access-log", "off"]
        command = [*wrapper, pollux_bin, *arguments, "--threads", "2"]
        return keep(Pollux(command[0], command[1:], tmp_path))

    return start


def write_list(path, *backends):
    """As a careful program would: the file is never half written."""
    new = path.with_suffix(".new")
    new.write_text(json.dumps(backends))
    new.rename(path)


def status(address):
    with connect(address) as connection, connection.makefile("rb") as stream:
        connection.sendall(get())
        return Response(stream).status


def serves_only(clients, names):
    """Waits until a hundred answers in a row came from `names`, from each of them, and from nobody else."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        before = dict(clients.answered)
        clients.wait_for_more(100)
        served = {name for name, count in dict(clients.answered).items() if count > before.get(name, 0)}
        if served == set(names):
            return
        assert time.monotonic() < deadline, f"served by {served}, not by {names}"


def test_a_file_of_backends_is_followed(start, toy, tmp_path):
    a, b, c = (toy("echo", name=name) for name in "abc")
    backends = tmp_path / "backends.json"
    write_list(backends, a.host_port)
    proxy = start('[pool.app]\nbackends = ["file:backends.json"]\n')
    with SteadyClients(proxy.address, 4) as clients:
        serves_only(clients, "a")
        write_list(backends, a.host_port, {"address": b.host_port, "name": "second", "weight": 2})
        serves_only(clients, "ab")
        # What cannot be read changes nothing, and is told.
        backends.write_text('["127.0.0.1:')
        proxy.wait_for_stderr("the last ones stay")
        serves_only(clients, "ab")
        write_list(backends, c.host_port)
        serves_only(clients, "c")
        clients.stop()
        assert clients.failures == []
    assert "added backend app/second" in proxy.stderr() and "removed backend app/second" in proxy.stderr()


def test_an_exchange_outlives_its_backend_in_the_file(start, toy, tmp_path):
    other = toy("echo", name="other")
    backends = tmp_path / "backends.json"
    came, go_on = threading.Event(), threading.Event()

    def serve(connection):
        if read_head(connection):
            came.set()
            assert go_on.wait(DEADLINE_S)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")

    with ScriptedBackend(serve) as slow:
        write_list(backends, slow.host_port)
        proxy = start('[pool.app]\nbackends = ["file:backends.json"]\n')
        with connect(proxy.address) as connection, connection.makefile("rb") as stream:
            connection.sendall(get())
            assert came.wait(DEADLINE_S)
            write_list(backends, other.host_port)
            proxy.wait_for_stderr("removed backend app/" + slow.host_port)
            assert status(proxy.address) == 200
            go_on.set()
            assert Response(stream).body == b"done"
        # Nobody is left: that is an answer, too.
        write_list(backends)
        proxy.wait_for_stderr("removed backend app/" + other.host_port)
        assert status(proxy.address) == 503
        write_list(backends, {"address": other.host_port, "name": "again"})
        proxy.wait_for_stderr("added backend app/again")
        assert status(proxy.address) == 200


def test_a_file_that_is_not_there_is_an_error(pollux_bin, tmp_path):
    (tmp_path / "proxy.toml").write_text(LISTENER + '[pool.app]\nbackends = ["file:backends.json"]\n')
    done = subprocess.run([pollux_bin, "check", tmp_path / "proxy.toml"], capture_output=True, text=True)
    assert done.returncode == 1 and "cannot take backends from" in done.stderr + done.stdout, done


@pytest.fixture
def hosts(tmp_path):
    """A file that is /etc/hosts for whom `wrapper` starts: in a mount namespace of its own (mount_namespaces(7))."""

    class Hosts:
        path = tmp_path / "hosts"

        def __init__(self):
            self.path.write_text("127.0.0.1 localhost\n")
            as_root = [] if os.geteuid() == 0 else ["--map-root-user"]
            bind = f'mount --bind {self.path} /etc/hosts && exec "$@"'
            self.wrapper = [shutil.which("unshare"), *as_root, "--mount", "sh", "-c", bind, "sh"]
            subprocess.run([*self.wrapper, "true"], check=True)

        def write(self, *addresses):
            # In its place: a file that is mounted cannot be renamed over.
            lines = ["127.0.0.1 localhost", *(f"{address} app.pollux.test" for address in addresses)]
            self.path.write_text("".join(f"{line}\n" for line in lines))

    return Hosts()


def test_a_name_is_followed_and_its_last_addresses_stay(start, toy, hosts):
    # One port on two addresses: the second is taken where the first has it.
    first = toy("echo", name="first")
    port = first.host_port.rpartition(":")[2]
    toy("echo", name="second", listen=f"127.0.0.2:{port}")
    # Nobody knows the name yet: Pollux starts all the same.
    proxy = start(f'[pool.app]\nresolve = "1s"\nbackends = ["app.pollux.test:{port}"]\n', hosts.wrapper)
    proxy.wait_for_stderr("P0035")
    assert status(proxy.address) == 503
    hosts.write("127.0.0.1")
    proxy.wait_for_stderr(f"added backend app/app.pollux.test:{port} (127.0.0.1:{port})")
    with SteadyClients(proxy.address, 4) as clients:
        serves_only(clients, ["first"])
        hosts.write("127.0.0.1", "127.0.0.2")
        serves_only(clients, ["first", "second"])
        hosts.write("127.0.0.2")
        serves_only(clients, ["second"])
        hosts.write()
        proxy.wait_for_stderr("the last ones stay")
        serves_only(clients, ["second"])
        # A reload keeps them, too.
        command = [os.environ["POLLUX_BIN"], "reload", "--control", hosts.path.parent / "control"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S)
        assert done.returncode == 0, done
        serves_only(clients, ["second"])
        hosts.write("127.0.0.1")
        serves_only(clients, ["first"])
        clients.stop()
        assert clients.failures == []
