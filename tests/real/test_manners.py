"""What a service manager, a log rotation and a shell expect of a daemon."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import time

import pytest
from websockets.sync.client import connect as open_websocket

from harness.client import Response, SteadyClients, connect, get
from harness.process import Pollux, start_with_sockets
from harness.threads import statuses_of

DEADLINE_S = 20


def wait_until(condition, what):
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"never {what}"
        time.sleep(0.01)


def ask(proxy, count, path):
    with connect(proxy.address) as connection, connection.makefile("rb") as stream:
        for number in range(count):
            connection.sendall(get(f"{path}/{number}"))
            assert Response(stream).status == 200


def test_the_access_log_is_a_file_that_sigusr1_opens_anew(pollux, toy, tmp_path):
    log, moved = tmp_path / "access.log", tmp_path / "access.log.1"
    proxy = pollux(toy("echo"), options=["--access-log", log, "--log-format", "json"])
    ask(proxy, 100, "/before")
    wait_until(lambda: log.read_text().count("\n") == 100, "100 lines")
    log.rename(moved)
    ask(proxy, 100, "/moved")
    wait_until(lambda: moved.read_text().count("\n") == 200, "100 lines more in the file that was moved")
    proxy.signal(signal.SIGUSR1)
    wait_until(log.exists, "a new file")
    ask(proxy, 100, "/after")
    proxy.end_well()
    lines = [json.loads(line) for line in (moved.read_text() + log.read_text()).splitlines()]
    assert [line["path"] for line in lines] == [f"/{part}/{n}" for part in ("before", "moved", "after") for n in range(100)]
    assert "/after/99" in log.read_text() and "/after" not in moved.read_text()
    # They stand in the file only.
    proxy.wait_for_stderr("opened anew")
    assert "/before/" not in proxy.stderr()


def test_an_access_log_that_cannot_be_opened_is_told_at_the_start(pollux_bin, tmp_path):
    command = [pollux_bin, "--backend", "127.0.0.1:9", "--listen", "127.0.0.1:0", "--access-log", tmp_path / "no" / "log"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.returncode == 1 and "the access log" in done.stderr and str(tmp_path / "no" / "log") in done.stderr, done


class Manager:
    """The socket of a service manager that writes down what it is told."""

    def __init__(self, directory):
        self.path = directory / "notify"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.path))
        self._socket.settimeout(DEADLINE_S)
        self.heard = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()

    def wait_for(self, *names):
        """Waits for a message that sets all of these; what came before is written down."""
        while True:
            message = dict(line.split("=", 1) for line in self._socket.recv(65536).decode().splitlines())
            self.heard.append(message)
            if all(name in message for name in names):
                return message


def test_the_service_manager_hears_of_everything(pollux_bin, toy, tmp_path):
    backend = toy("websocket")
    file = tmp_path / "proxy.toml"
    good = f'control = "control"\n[[listener]]\nbind = "127.0.0.1:0"\n[pool.app]\nbackends = ["{backend.host_port}"]\n'
    file.write_text(good)
    with Manager(tmp_path) as manager:
        env = {"NOTIFY_SOCKET": str(manager.path), "WATCHDOG_USEC": "100000"}
        proxy = Pollux(pollux_bin, ["-c", file, "--threads", "2"], tmp_path, env=env)
        try:
            assert proxy.host_port in manager.wait_for("READY")["STATUS"]
            for _ in range(3):
                assert manager.wait_for("WATCHDOG")["WATCHDOG"] == "1"
            proxy.signal(signal.SIGHUP)
            assert int(manager.wait_for("RELOADING", "MONOTONIC_USEC")["MONOTONIC_USEC"]) > 0
            assert "failed" not in manager.wait_for("READY")["STATUS"]
            file.write_text("nonsense")
            proxy.signal(signal.SIGHUP)
            manager.wait_for("RELOADING")
            assert "the last reload failed" in manager.wait_for("READY")["STATUS"]
            with open_websocket(proxy.url().replace("http", "ws"), proxy=None, compression=None):
                proxy.signal(signal.SIGTERM)
                assert "SIGTERM" in manager.wait_for("STOPPING")["STATUS"]
                # What holds the drain is told once a second, and the watchdog goes on.
                status = manager.wait_for("STATUS")["STATUS"]
                assert "1 tunnel" in status, status
                manager.wait_for("WATCHDOG")
            proxy.expect_end()
        finally:
            proxy.kill()


def test_an_upgrade_tells_the_manager_whom_to_watch(pollux_bin, toy, tmp_path):
    file = tmp_path / "proxy.toml"
    file.write_text(f'control = "control"\n[[listener]]\nbind = "127.0.0.1:0"\n[pool.app]\nbackends = ["{toy("echo").host_port}"]\n')
    with Manager(tmp_path) as manager:
        proxy = Pollux(pollux_bin, ["-c", file], tmp_path, env={"NOTIFY_SOCKET": str(manager.path)})
        successor = None
        try:
            manager.wait_for("READY")
            proxy.signal(signal.SIGUSR2)
            successor = int(manager.wait_for("MAINPID")["MAINPID"])
            assert successor != proxy.process.pid
            proxy.expect_end()
            # The old one is silent from then on: only the main process speaks for the service.
            ask(proxy, 1, "/")
            os.kill(successor, signal.SIGTERM)
            assert "SIGTERM" in manager.wait_for("STOPPING")["STATUS"]
            assert all("STOPPING" not in message for message in manager.heard[:-1])
        finally:
            proxy.kill()
            if successor is not None:
                wait_until(lambda: not runs(successor), "ended")


def test_sockets_that_a_manager_passes_are_served_by_all_workers(pollux_bin, toy, tmp_path):
    backend = toy("echo")
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_server(("127.0.0.1", 0)) as useless:
        address = listener.getsockname()
        file = tmp_path / "proxy.toml"
        file.write_text(
            f'[[listener]]\nbind = "127.0.0.1:{address[1]}"\n[pool.app]\nbackends = ["{backend.host_port}"]\n'
        )
        proxy = start_with_sockets(pollux_bin, tmp_path, [listener, useless], "-c", file, "--threads", "3")
        try:
            assert proxy.address == address
            with SteadyClients(address, 8) as clients:
                clients.wait_for_more(200)
                clients.stop()
                assert clients.failures == []
            proxy.wait_for_stderr("no listener is bound to")
            assert str(useless.getsockname()[1]) in proxy.stderr()
            proxy.end_well()
        finally:
            proxy.kill()


def identity(pid):
    return identity_in(pathlib.Path(f"/proc/{pid}/status").read_text())


def identity_in(status):
    told = ("Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapAmb")
    return {line.split()[0]: line.split()[1:] for line in status.splitlines() if line.startswith(told)}


def runs(pid):
    """Whether it does, and has not only to be waited for: then nothing of its memory is left."""
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes() != b""
    except (FileNotFoundError, ProcessLookupError):
        return False


def may_be_looked_into(pid):
    """Whether its own user may attach to it: the kernel gives its files to root if not."""
    if os.geteuid() == 0:
        owner = os.stat(f"/proc/{pid}/environ").st_uid
        return owner == int(identity(pid)["Uid:"][0])
    return os.access(f"/proc/{pid}/environ", os.R_OK)


def test_the_memory_of_the_process_is_its_own(pollux, toy):
    backend = toy("echo")
    user = ["--user", "65534", "--group", "65533"] if os.geteuid() == 0 else []
    assert not may_be_looked_into(pollux(backend, options=user).process.pid)
    assert may_be_looked_into(pollux(backend, options=[*user, "--debuggable"]).process.pid)


def test_root_that_stays_root_gives_up_its_further_groups(pollux_bin, toy, tmp_path, keep):
    if os.geteuid() != 0:
        command = [pollux_bin, "--listen", "127.0.0.1:0", "--backend", "127.0.0.1:1", "--group", "0"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S)
        assert done.returncode == 1 and "only root" in done.stderr, done
        return
    options = ["--listen", "127.0.0.1:0", "--backend", toy("echo").host_port, "--group", "0"]
    proxy = keep(Pollux("setpriv", ["--groups", "65533,65532", pollux_bin, *options], tmp_path))
    assert identity(proxy.process.pid)["Groups:"] == ["0"]


def test_root_becomes_somebody_else_after_binding(pollux, toy, pollux_bin):
    backend = toy("echo")
    options = ["--user", "65534", "--group", "65533", "--threads", "2"]
    if os.geteuid() == 0:
        proxy = pollux(backend, options=options)
        for _, status in statuses_of(proxy.process.pid):
            found = identity_in(status)
            assert found["Uid:"] == ["65534"] * 4 and found["Gid:"] == ["65533"] * 4, found
            # Whatever groups the user is in, root's are not among them.
            assert "0" not in found["Groups:"], found
            assert {found[f"Cap{name}:"][0] for name in ["Inh", "Prm", "Eff", "Amb"]} == {"0" * 16}, found
        ask(proxy, 3, "/")
        unprivileged = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    else:
        unprivileged = []
    command = [*unprivileged, pollux_bin, "--listen", "127.0.0.1:0", "--backend", backend.host_port, "--user", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.returncode == 1 and "only root can become another user" in done.stderr, done
    nobody = [pollux_bin, "--backend", backend.host_port, "--listen", "127.0.0.1:0", "--user", "no-such-user"]
    done = subprocess.run(nobody, capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.returncode == 2 and "there is no user `no-such-user`" in done.stderr, done


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "elvish", "powershell"])
def test_shells_get_completions(pollux_bin, shell):
    done = subprocess.run([pollux_bin, "completions", shell], capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.returncode == 0 and "upgrade" in done.stdout and "access-log" in done.stdout
    if shell == "bash":
        # What bash itself makes of it.
        script = f'{done.stdout}\nCOMP_WORDS=(pollux rel); COMP_CWORD=1; _pollux pollux rel pollux; echo "${{COMPREPLY[@]}}"'
        completed = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=DEADLINE_S)
        assert completed.stdout.split() == ["reload"], completed


def test_there_is_a_manual_page_for_each_command(pollux_bin, tmp_path):
    done = subprocess.run([pollux_bin, "man"], capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.returncode == 0 and done.stdout.count(".SH") >= 4 and "\\-\\-control" in done.stdout, done
    subprocess.run([pollux_bin, "man", "--dir", tmp_path / "man1"], check=True, timeout=DEADLINE_S)
    pages = {page.name for page in (tmp_path / "man1").iterdir()}
    assert {"pollux.1", "pollux-status.1", "pollux-upgrade.1", "pollux-check.1"} <= pages
    done = subprocess.run([pollux_bin, "man", "--dir", "/proc/none"], capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.returncode == 1 and "/proc/none" in done.stderr


@pytest.mark.parametrize("upgrades", [0, 1])
def test_a_socket_of_the_manager_outlives_a_restart_and_so_do_those_who_wait(pollux_bin, toy, tmp_path, upgrades):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        file = tmp_path / "proxy.toml"
        pool = f'[pool.app]\nbackends = ["{toy("echo").host_port}"]\n'
        file.write_text(f'control = "control"\n[[listener]]\nbind = "127.0.0.1:{address[1]}"\n{pool}')
        first = start_with_sockets(pollux_bin, tmp_path, [listener], "-c", file)
        try:
            ask(first, 1, "/")
            if upgrades:
                command = [pollux_bin, "upgrade", "-c", file]
                subprocess.run(command, check=True, capture_output=True, timeout=DEADLINE_S)
                first.expect_end()
                command = [pollux_bin, "status", "--json", "-c", file]
                said = subprocess.run(command, check=True, capture_output=True, timeout=DEADLINE_S).stdout
                pid = json.loads(said)["pid"]
                os.kill(pid, signal.SIGTERM)
                wait_until(lambda: not runs(pid), "ended")
            else:
                first.end_well()
        finally:
            first.kill()
        # Nobody serves, but the manager listens: who comes now waits.
        with connect(address) as connection, connection.makefile("rb") as stream:
            connection.sendall(get())
            second = start_with_sockets(pollux_bin, tmp_path, [listener], "-c", file)
            try:
                assert Response(stream).status == 200
                # A reload that has no use for it gives it back as it is.
                file.write_text(f'control = "control"\n[[listener]]\nbind = "127.0.0.1:0"\n{pool}')
                command = [pollux_bin, "reload", "-c", file]
                subprocess.run(command, check=True, capture_output=True, timeout=DEADLINE_S)
                connect(address).close()
                second.end_well()
            finally:
                second.kill()
        connect(address).close()
