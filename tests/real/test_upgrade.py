"""A new executable takes over from a running Pollux, and nobody who connects notices."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest
from websockets.sync.client import connect as open_websocket

from harness.client import Response, UntilStopped, connect, get, read_to_end
from harness.process import Pollux
from harness.scripted import ScriptedBackend, read_head
from harness.successor import script
from harness.upgradable import foster_parent

DEADLINE_S = 20


def config(*backends, threads=2, more=""):
    listed = ", ".join(f'"{backend.host_port}"' for backend in backends)
    return f'threads = {threads}\n[[listener]]\nname = "web"\nbind = "127.0.0.1:0"\n[pool.app]\nbackends = [{listed}]\n{more}'


class Newcomers(UntilStopped):
    """Threads that connect, ask once, and read to the end, over and over; `failures` tells of whatever else happens."""

    def __init__(self, address, count):
        self._address = address
        self.answered, self.failures = 0, []
        self._lock = threading.Lock()
        super().__init__(*[self._run] * count)

    def _run(self):
        while not self.stopping.is_set():
            try:
                with connect(self._address) as connection:
                    connection.sendall(get("/", "Connection: close"))
                    answer = read_to_end(connection)
                assert answer.startswith(b"HTTP/1.1 200 "), answer
                with self._lock:
                    self.answered += 1
            except (OSError, AssertionError) as error:
                self.failures.append(repr(error))

    def wait_for_more(self, count):
        goal, deadline = self.answered + count, time.monotonic() + DEADLINE_S
        while self.answered < goal:
            assert time.monotonic() < deadline, f"{self.answered} answers, {self.failures[:3]}"
            time.sleep(0.001)


def test_ten_upgrades_refuse_and_reset_nobody(upgradable, toy):
    backends = [toy("fixed:100", name=name) for name in "ab"]
    chat = toy("websocket", name="chat")
    more = f'[pool.chat]\nbackends = ["{chat.host_port}"]\n'
    route = '[[listener.route]]\nmatch.path = "/chat"\npool = "chat"\n'

    def with_threads(threads):
        return config(*backends, threads=threads, more=more).replace("[pool.app]", f"pool = \"app\"\n{route}[pool.app]")

    proxy = upgradable(with_threads(2))
    url = "http://{}:{}".format(*proxy.address)
    with open_websocket(url.replace("http", "ws") + "/chat", proxy=None, compression=None) as first:
        command = ["wrk", "-t", "1", "-c", "16", "-d", "9s", "-H", "Connection: close", url]
        load = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            with Newcomers(proxy.address, 4) as clients:
                for number in range(10):
                    # More workers, and fewer, so that sockets are shared out anew each time.
                    proxy.configure(with_threads([1, 3, 2, 4][number % 4]))
                    proxy.install()
                    assert "has taken over" in proxy.upgrade()
                    clients.wait_for_more(50)
            said, _ = load.communicate(timeout=DEADLINE_S)
        finally:
            load.kill()
            load.wait()
        assert clients.failures == []
        assert load.returncode == 0 and "Socket errors" not in said and "Non-2xx" not in said, said
        # The first process has drained all the while; what it serves is still served.
        first.send("still there")
        assert first.recv(timeout=DEADLINE_S) == "still there"


def served_by(proxy, count):
    """Who answers so many requests."""
    names = []
    for _ in range(count):
        with connect(proxy.address) as connection, connection.makefile("rb") as stream:
            connection.sendall(get())
            names.append(Response(stream).headers["X-Backend"])
    return "".join(names)


def test_what_an_operator_has_changed_is_still_so(upgradable, toy):
    listed = [{"name": name, "address": toy("fixed:100", name=name).host_port} for name in "ab"]

    def with_weight(weight):
        backends = [f'{{ name = "{one["name"]}", address = "{one["address"]}", weight = {weight} }}' for one in listed]
        return f'[[listener]]\nname = "web"\nbind = "127.0.0.1:0"\n[pool.app]\nbackends = [{", ".join(backends)}]\n'

    proxy = upgradable(with_weight(1))
    assert proxy.run("backend", "drain", "app/a").returncode == 0
    assert proxy.run("backend", "weight", "app/b", "7").returncode == 0

    def changed_and_served():
        changes = [(it["backend"], it["what"], it["value"]) for it in proxy.status()["changes"]]
        return changes, served_by(proxy, 8)

    for _ in range(2):
        proxy.upgrade()
        assert changed_and_served() == ([("app/a", "state", "drain"), ("app/b", "weight", "7")], "bbbbbbbb")
    # The file says something else of one of the two things, and wins there.
    proxy.configure(with_weight(2))
    proxy.upgrade()
    assert changed_and_served() == ([("app/a", "state", "drain")], "bbbbbbbb")
    proxy.running.wait_for_stderr("no longer changed: app/b: weight 7 by ")


def test_an_executable_that_does_not_start_changes_nothing(upgradable, toy, tmp_path):
    backend = toy("echo")
    proxy = upgradable(config(backend))
    pid = proxy.status()["pid"]
    with Newcomers(proxy.address, 2) as clients:
        broken = tmp_path / "broken"
        for script, why in [("#!/bin/sh\nexit 7\n", "exit status: 7"), ("not a program", "cannot start"), ("", "cannot start")]:
            broken.write_text(script)
            broken.chmod(0o755)
            proxy.install(broken)
            proxy.binary.chmod(0o755)
            done = proxy.run("upgrade")
            assert done.returncode == 1 and why in done.stderr and "this process goes on" in done.stderr, done
        # An executable that starts, with a configuration that does not.
        proxy.install()
        proxy.configure(config(backend).replace("backends", "backend"))
        done = proxy.run("upgrade")
        assert done.returncode == 1 and "did you mean `backends`" in done.stderr, done
        assert proxy.status()["pid"] == pid
        clients.wait_for_more(50)
        proxy.configure(config(backend))
        proxy.upgrade()
        clients.wait_for_more(50)
    assert clients.failures == []


@pytest.mark.parametrize("typed", ["./cur/pollux", "pollux"], ids=["by a path", "by PATH"])
def test_a_link_that_was_moved_leads_to_the_new_version(pollux_bin, toy, tmp_path, keep, typed):
    for version in ["v1", "v2"]:
        (tmp_path / version).mkdir()
        shutil.copy(pollux_bin, tmp_path / version / "pollux")
    link = tmp_path / "cur"
    link.symlink_to("v1")
    (tmp_path / "proxy.toml").write_text(f'control = "control"\n{config(toy("echo"))}')
    script = f'cd "{tmp_path}" && PATH="cur:$PATH" exec {typed} -c proxy.toml --access-log off'
    with foster_parent():
        proxy = keep(Pollux("/bin/sh", ["-c", script], tmp_path))
        link.unlink()
        link.symlink_to("v2")
        shutil.rmtree(tmp_path / "v1")

        def run(*arguments):
            command = [pollux_bin, *arguments, "--control", tmp_path / "control"]
            done = subprocess.run(command, capture_output=True, text=True, timeout=60)
            assert done.returncode == 0, (done, proxy.stderr())
            return done.stdout

        said = run("upgrade")
        told = json.loads(run("status", "--json"))
        version = told["version"]
        assert os.readlink(f"/proc/{told['pid']}/exe") == str(tmp_path / "v2" / "pollux")
        assert f"process {told['pid']} (version {version}, {tmp_path}/" in said and f"(version {version}) drains" in said, said
        proxy.expect_end()
        # The next one knows the path that was typed too.
        run("upgrade")
        after = json.loads(run("status", "--json"))
        assert after["pid"] != told["pid"]
        for pid in [told["pid"], after["pid"]]:
            if pid == after["pid"]:
                os.kill(pid, signal.SIGTERM)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.parametrize(
    ("version", "named"), [("99.1.2", "version 99.1.2"), (None, "of a version that it does not say")], ids=["told", "older"]
)
def test_the_answer_names_the_version_that_a_moved_link_leads_to(pollux_bin, toy, tmp_path, keep, version, named):
    for folder in ["v1", "v2"]:
        (tmp_path / folder).mkdir()
    shutil.copy(pollux_bin, tmp_path / "v1" / "pollux")
    word = {"ready": {"left": [], **({"version": version} if version else {})}}
    other = tmp_path / "v2" / "pollux"
    other.write_text(script(word))
    other.chmod(0o755)
    link = tmp_path / "cur"
    link.symlink_to("v1")
    (tmp_path / "proxy.toml").write_text(f'control = "control"\n{config(toy("echo"))}')
    command = f'cd "{tmp_path}" && exec ./cur/pollux -c proxy.toml --access-log off'
    with foster_parent():
        proxy = keep(Pollux("/bin/sh", ["-c", command], tmp_path))
        own = json.loads(subprocess.check_output([pollux_bin, "status", "--json", "--control", tmp_path / "control"], timeout=60))
        link.unlink()
        link.symlink_to("v2")
        upgrade = [pollux_bin, "upgrade", "--control", tmp_path / "control"]
        done = subprocess.run(upgrade, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, (done, proxy.stderr())
        told = re.search(r"process (\d+) \((.+), (.+)\) has taken over; process (\d+) \(version (.+)\) drains", done.stdout)
        assert told, done.stdout
        successor = int(told[1])
        try:
            assert (told[2], int(told[4]), told[5]) == (named, own["pid"], own["version"]), done.stdout
            assert os.path.realpath(told[3]) == str(other), done.stdout
            proxy.expect_end()
            # It is really that one which serves now.
            with connect(proxy.address) as connection:
                connection.sendall(get("/", "Connection: close"))
                assert read_to_end(connection).endswith(json.dumps(word).encode())
        finally:
            os.kill(successor, signal.SIGTERM)
            status = os.waitpid(successor, 0)[1]
        assert os.waitstatus_to_exitcode(status) == 0


def test_sigusr2_upgrades_and_the_old_one_finishes_what_it_has(upgradable):
    go_on, came = threading.Event(), threading.Event()

    def serve(connection):
        while read_head(connection):
            came.set()
            assert go_on.wait(DEADLINE_S)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")

    with ScriptedBackend(serve) as backend:
        proxy = upgradable(config(backend))
        with connect(proxy.address) as connection, connection.makefile("rb") as stream:
            connection.sendall(get())
            assert came.wait(DEADLINE_S)
            os.kill(proxy.pids[0], signal.SIGUSR2)
            proxy.running.wait_for_stderr("has taken over")
            proxy.pids.append(proxy.status()["pid"])
            assert proxy.pids[0] != proxy.pids[1]
            go_on.set()
            response = Response(stream)
            assert response.body == b"done" and response.headers["Connection"] == "close"
        proxy.end_well()


def test_a_listener_that_the_new_one_lacks_is_emptied_by_the_old_one(upgradable, toy):
    backend = toy("echo")
    two = config(backend).replace("[pool.app]", '[[listener]]\nname = "other"\nbind = "127.0.0.1:0"\n[pool.app]')
    proxy = upgradable(two)
    host, port = proxy.running.line(r"listening on (\S+):(\d+)").groups()
    with Newcomers(proxy.address, 2) as clients:
        with connect((host, int(port))) as connection, connection.makefile("rb") as stream:
            connection.sendall(get())
            assert Response(stream).status == 200
            proxy.configure(config(backend))
            proxy.upgrade()
            connection.sendall(get())
            assert Response(stream).headers["Connection"] == "close"
        clients.wait_for_more(20)
    assert clients.failures == []
    proxy.end_well()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)))
