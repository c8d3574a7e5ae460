"""Unix sockets and network devices: who owns the file, who passes the socket, and that nobody is lost when a process takes another's place."""

import functools
import grp
import http.client
import json
import os
import pathlib
import pwd
import signal
import socket
import stat
import subprocess
import tempfile

import pytest

from harness.client import DEADLINE_S, UntilStopped
from harness.process import Pollux, start_with_sockets
from harness.served import Served


class UnixConnection(http.client.HTTPConnection):
    """Python's client by a Unix socket; a path that begins with NUL is a name that only the kernel knows."""

    def __init__(self, path):
        super().__init__("localhost", timeout=DEADLINE_S)
        self._path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(DEADLINE_S)
        self.sock.connect(self._path)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def ask(self):
        self.request("GET", "/")
        response = self.getresponse()
        return response.status, response.read()


def ask(path):
    connection = UnixConnection(path)
    try:
        return connection.ask()
    finally:
        connection.close()


def config(toy, *listeners):
    return 'control = "control"\n' + "".join(f"[[listener]]\n{one}\n" for one in listeners) + f'[pool.app]\nbackends = ["{toy.host_port}"]\n'


@pytest.fixture
def served(pollux_bin, tmp_path, keep):
    """Starts a Pollux that listens at this many ports, and by Unix sockets besides."""
    return lambda text, tcp=0: keep(Served(pollux_bin, tmp_path, text, listeners=tcp))


def owner():
    """Whom a file can be given to: to anybody by root, and by others to themselves alone."""
    if os.geteuid() == 0:
        return "daemon", "nogroup"
    return pwd.getpwuid(os.geteuid()).pw_name, grp.getgrgid(os.getegid()).gr_name


def test_the_file_belongs_to_whom_the_configuration_says(served, toy, tmp_path):
    path, (user, group) = tmp_path / "a.sock", owner()
    bind = f'bind = "unix:{path}"\n'
    backend = toy("fixed:3")
    proxy = served(config(backend, f'{bind}socket = {{ user = "{user}", group = "{group}", mode = "0620" }}'))
    proxy.running.line("listening on unix:")

    def found():
        status = path.stat()
        return status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)

    assert found() == (pwd.getpwnam(user).pw_uid, grp.getgrnam(group).gr_gid, 0o620)
    assert ask(path)[0] == 200
    # By numbers, at a reload: the socket stays, and so does whoever waits in it.
    number = path.stat().st_ino
    waiting = UnixConnection(path)
    waiting.connect()
    code, said = proxy.reload(config(backend, f'{bind}socket = {{ user = "{os.geteuid()}", group = "{os.getegid()}", mode = "0600" }}'))
    assert code == 0, said
    assert found() == (os.geteuid(), os.getegid(), 0o600) and path.stat().st_ino == number
    assert waiting.ask()[0] == 200
    waiting.close()
    if os.geteuid() == 0:
        # Others are kept out by the file.
        command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "curl", "-sS", "--unix-socket", path, "http://h/"]
        done = subprocess.run(list(map(str, command)), capture_output=True, timeout=DEADLINE_S)
        assert done.returncode == 7, done
    code, said = proxy.reload(config(backend, f'{bind}socket = {{ user = "no-such-user" }}'))
    assert code != 0 and "no-such-user" in said, said
    assert ask(path)[0] == 200
    proxy.end_well()
    assert not path.exists()


def test_who_is_no_longer_root_changes_only_what_it_may(pollux_bin, toy):
    if os.geteuid() != 0:
        # That --user is refused to others is shown elsewhere.
        return
    # Where the user that it becomes can read and write.
    with tempfile.TemporaryDirectory() as folder:
        os.chown(folder, 65534, 65534)
        path = pathlib.Path(folder) / "a.sock"
        rule = 'bind = "unix:{}"\nsocket = {{ group = "0", mode = "{}" }}'
        backend = toy("fixed:3")
        proxy = Served(pollux_bin, path.parent, config(backend, rule.format(path, "0660")), ["--user", "65534"], listeners=0)
        try:
            proxy.running.line("listening on unix:")
            code, said = proxy.reload(config(backend, rule.format(path, "0660"), f'bind = "unix:{folder}/b.sock"'))
            assert code == 0, said
            code, said = proxy.reload(config(backend, rule.format(path, "0600")))
            assert code == 1 and "cannot get its owner and its mode" in said, said
            # Nothing of it was done.
            assert stat.S_IMODE(path.stat().st_mode) == 0o660
            assert ask(path)[0] == ask(f"{folder}/b.sock")[0] == 200
            proxy.end_well()
        finally:
            proxy.kill()


@pytest.mark.parametrize(
    "make, expected",
    [
        (lambda path: path.write_text("precious"), "unix:"),
        (lambda path: path.mkdir(), "unix:"),
        (lambda path: path.symlink_to("/nowhere/else"), "unix:"),
    ],
    ids=["a file", "a folder", "a link to nowhere"],
)
def test_what_is_no_socket_is_left_alone(pollux_bin, toy, tmp_path, make, expected):
    path = tmp_path / "a.sock"
    make(path)
    before = os.lstat(path)
    (tmp_path / "proxy.toml").write_text(config(toy("fixed:1"), f'bind = "unix:{path}"'))
    done = subprocess.run([pollux_bin, "-c", tmp_path / "proxy.toml"], capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.returncode == 1 and expected in done.stderr and "panicked" not in done.stderr, done
    assert (os.lstat(path).st_ino, os.lstat(path).st_mode) == (before.st_ino, before.st_mode)


@pytest.mark.parametrize("bind", ["unix:{}/none/a.sock", "unix:{}/" + "a" * 120])
def test_a_path_that_cannot_be_is_named(pollux_bin, toy, tmp_path, bind):
    (tmp_path / "proxy.toml").write_text(config(toy("fixed:1"), f'bind = "{bind.format(tmp_path)}"'))
    done = subprocess.run([pollux_bin, "-c", tmp_path / "proxy.toml"], capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.returncode in (1, 2) and "unix:" in done.stderr and "panicked" not in done.stderr, done


def listening(path):
    """A Unix socket that listens, as a service manager makes it."""
    made = socket.socket(socket.AF_UNIX)
    made.bind(str(path))
    made.listen(64)
    return made


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_a_manager_passes_a_unix_socket_which_stays_its_own(pollux_bin, toy, tmp_path, kind):
    path = tmp_path / "a.sock" if kind == "path" else f"\0pollux-{os.getpid()}-passed"
    bind = f"unix:{path}" if kind == "path" else f"unix:@{path[1:]}"
    file = tmp_path / "proxy.toml"
    file.write_text(config(toy("fixed:3"), f'bind = "{bind}"'))
    with listening(path) as passed:
        # Whoever comes before Pollux does is served by it.
        early = UnixConnection(path)
        early.connect()
        for run in range(2):
            directory = tmp_path / f"run-{run}"
            directory.mkdir()
            proxy = start_with_sockets(pollux_bin, directory, [passed], "-c", file, "--threads", "3", listeners=0)
            try:
                proxy.line("listening on unix:")
                if run == 0:
                    assert early.ask()[0] == 200
                    early.close()
                assert all(ask(path)[0] == 200 for _ in range(8))
                proxy.end_well()
            finally:
                proxy.kill()
            assert kind == "abstract" or stat.S_ISSOCK(path.stat().st_mode)


def test_a_passed_socket_stays_the_managers_after_an_upgrade(pollux_bin, toy, tmp_path):
    path, file = tmp_path / "a.sock", tmp_path / "proxy.toml"
    file.write_text(config(toy("fixed:3"), f'bind = "unix:{path}"'))
    with listening(path) as passed:
        proxy = start_with_sockets(pollux_bin, tmp_path, [passed], "-c", file, listeners=0)
        try:
            proxy.line("listening on unix:")
            done = subprocess.run([pollux_bin, "upgrade", "-c", file], capture_output=True, text=True, timeout=60)
            assert done.returncode == 0, done
            proxy.expect_end()
            assert ask(path)[0] == 200
            told = subprocess.run([pollux_bin, "status", "--json", "-c", file], capture_output=True, timeout=DEADLINE_S)
            os.kill(json.loads(told.stdout)["pid"], signal.SIGTERM)
            assert proxy.is_silent(), "the successor has gone too"
            assert stat.S_ISSOCK(path.stat().st_mode)
        finally:
            proxy.kill()


def test_more_sockets_are_promised_than_were_passed(pollux_bin, toy, tmp_path):
    file, listed = tmp_path / "proxy.toml", tmp_path / "backends.json"
    backend = toy("fixed:3")
    listed.write_text(json.dumps([backend.host_port]))
    file.write_text(f'control = "control"\n[[listener]]\nbind = "unix:{tmp_path}/a.sock"\n[pool.app]\nbackends = ["file:{listed}"]\n')
    with listening(tmp_path / "a.sock") as passed:
        # What it opens itself has the next numbers.
        proxy = start_with_sockets(pollux_bin, tmp_path, [passed], "-c", file, claimed=60, listeners=0)
        try:
            proxy.line("listening on unix:")
            assert ask(tmp_path / "a.sock")[0] == 200
            for command in ["status", "reload", "upgrade"]:
                done = subprocess.run([pollux_bin, command, "-c", file], capture_output=True, text=True, timeout=60)
                assert done.returncode == 0, done
            proxy.expect_end()
            assert ask(tmp_path / "a.sock")[0] == 200
            told = subprocess.run([pollux_bin, "status", "--json", "-c", file], capture_output=True, timeout=DEADLINE_S)
            os.kill(json.loads(told.stdout)["pid"], signal.SIGTERM)
            assert proxy.is_silent(), "the successor has gone too"
        finally:
            proxy.kill()


def test_a_passed_socket_that_no_listener_takes_is_named(pollux_bin, toy, tmp_path):
    file = tmp_path / "proxy.toml"
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as passed:
        port = passed.getsockname()[1]
        file.write_text(config(toy("fixed:3"), f'bind = "0.0.0.0:{port}"'))
        with pytest.raises(AssertionError) as ended:
            start_with_sockets(pollux_bin, tmp_path, [passed], "-c", file)
        said = str(ended.value)
        assert f"the service manager has passed a socket on [::]:{port}, which no listener takes" in said, said
        assert f'write `bind = "[::]:{port}"`, or `ListenStream=0.0.0.0:{port}` in its socket unit' in said, said
        # As it says; and a reload that goes back says it too.
        file.write_text(config(toy("fixed:3"), f'bind = "[::]:{port}"'))
        proxy = start_with_sockets(pollux_bin, tmp_path, [passed], "-c", file, listeners=0)
        try:
            proxy.line("listening on")
            file.write_text(config(toy("fixed:3"), f'bind = "0.0.0.0:{port}"'))
            done = subprocess.run([pollux_bin, "reload", "-c", file], capture_output=True, text=True, timeout=DEADLINE_S)
            assert done.returncode == 1 and f"has passed a socket on [::]:{port}" in done.stderr, done
            proxy.end_well()
        finally:
            proxy.kill()


def test_systemd_starts_it_for_the_first_client(pollux_bin, toy, tmp_path):
    path, file = tmp_path / "a.sock", tmp_path / "proxy.toml"
    file.write_text(config(toy("fixed:3"), f'bind = "unix:{path}"'))
    proxy = Pollux("systemd-socket-activate", ["-l", path, pollux_bin, "-c", file], tmp_path, listeners=0)
    try:
        proxy.wait_for_stderr("Listening on")
        assert ask(path)[0] == 200
        proxy.line("listening on unix:")
        proxy.end_well()
    finally:
        proxy.kill()
    assert path.exists()


class Askers(UntilStopped):
    """Threads that connect by a Unix socket and ask once, over and over, until they are told to stop."""

    def __init__(self, *paths):
        self.failures, self.counts = [], [0] * len(paths)
        super().__init__(*(functools.partial(self._run, number, path) for number, path in enumerate(paths)))

    def _run(self, number, path):
        while not self.stopping.is_set():
            try:
                assert ask(path)[0] == 200
                self.counts[number] += 1
            except Exception as error:
                self.failures.append((str(path), repr(error)))

    def wait_for_more(self, count):
        goals = [have + count for have in self.counts]
        while not self.failures and any(have < goal for have, goal in zip(self.counts, goals)):
            assert not self.stopping.wait(0.005)


def test_nobody_by_a_unix_socket_notices_upgrades_and_reloads(upgradable, toy, tmp_path):
    path, name = tmp_path / "a.sock", f"pollux-{os.getpid()}-upgraded"
    backend = toy("fixed:3")
    listeners = ['bind = "127.0.0.1:0"', f'bind = "unix:{path}"\nsocket = {{ mode = "0600" }}', f'bind = "unix:@{name}"']
    proxy = upgradable(config(backend, *listeners).partition("\n")[2])
    with Askers(path, path, f"\0{name}", f"\0{name}") as askers:
        number = path.stat().st_ino
        for _ in range(3):
            askers.wait_for_more(50)
            proxy.upgrade()
            askers.wait_for_more(50)
            done = proxy.run("reload")
            assert done.returncode == 0, done
        askers.wait_for_more(50)
    assert not askers.failures, askers.failures[:3]
    assert path.stat().st_ino == number and stat.S_IMODE(path.stat().st_mode) == 0o600
    proxy.end_well()
    assert not path.exists()


def test_a_listener_that_goes_takes_its_file_along(served, toy, tmp_path):
    first, second = tmp_path / "a.sock", tmp_path / "b.sock"
    backend = toy("fixed:3")
    proxy = served(config(backend, f'bind = "unix:{first}"', f'bind = "unix:{second}"'))
    for path in [first, second]:
        proxy.running.line("listening on unix:")
        assert ask(path)[0] == 200
    code, said = proxy.reload(config(backend, f'bind = "unix:{second}"'))
    assert code == 0, said
    assert not first.exists() and ask(second)[0] == 200
    code, said = proxy.reload(config(backend, f'bind = "unix:{second}"', f'bind = "unix:{first}"'))
    assert code == 0, said
    assert ask(first)[0] == ask(second)[0] == 200


def reached(host, port):
    try:
        with socket.create_connection((host, port), DEADLINE_S) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            return client.recv(65536).startswith(b"HTTP/1.1 200")
    except ConnectionRefusedError:
        return False


def test_only_who_comes_by_the_device_is_let_in(served, toy):
    others = [name for _, name in socket.if_nameindex() if name != "lo"]
    backend = toy("fixed:3")
    devices = ["lo", *others[:2]]
    proxy = served(config(backend, *(f'bind = "0.0.0.0:0"\ninterface = "{name}"' for name in devices)), tcp=len(devices))
    # Whatever comes from this machine comes by its loopback.
    assert [reached("127.0.0.1", port) for _, port in proxy.running.addresses] == [True] + [False] * (len(devices) - 1)
    port = proxy.running.addresses[0][1]
    code, said = proxy.reload(config(backend, f'bind = "127.0.0.1:{port}"\ninterface = "nosuch0"'))
    assert code != 0 and "nosuch0" in said, said
    assert reached("127.0.0.1", port)
    assert proxy.reload(config(backend, 'bind = "0.0.0.0:0"\ninterface = "lo"'))[0] == 0


def test_what_has_come_in_the_place_of_the_file_is_left_alone(served, toy, tmp_path):
    path, precious = tmp_path / "a.sock", tmp_path / "precious"
    precious.write_text("text")
    precious.chmod(0o600)
    backend = toy("fixed:3")
    text = config(backend, f'bind = "unix:{path}"\nsocket = {{ mode = "0666" }}')
    proxy = served(text)
    proxy.running.line("listening on unix:")
    with UnixConnection(path) as connection:
        assert connection.ask()[0] == 200
        for put in [path.symlink_to, path.hardlink_to]:
            path.unlink()
            put(precious)
            code, said = proxy.reload(text)
            assert code == 1 and "not a socket" in said, said
            assert stat.S_IMODE(precious.stat().st_mode) == 0o600
        # The other one goes on, and takes away only what is its own.
        assert connection.ask()[0] == 200
    proxy.end_well()
    assert path.read_text() == precious.read_text() == "text"


def test_a_listener_whose_file_has_gone_is_bound_anew_by_a_reload(served, toy, tmp_path):
    path = tmp_path / "a.sock"
    text = config(toy("fixed:3"), f'bind = "unix:{path}"\nsocket = {{ mode = "0660" }}')
    proxy = served(text)
    proxy.running.line("listening on unix:")
    with UnixConnection(path) as connection:
        assert connection.ask()[0] == 200
        path.unlink()
        code, said = proxy.reload(text)
        assert code == 0 and f"opened listener listener-1 on unix:{path}" in said, said
        assert ask(path)[0] == 200 and stat.S_IMODE(path.stat().st_mode) == 0o660
        # Who came by the old one is served.
        assert connection.ask()[0] == 200
    number = path.stat().st_ino
    assert proxy.reload(text)[0] == 0 and path.stat().st_ino == number
    proxy.end_well()
    assert not path.exists()


def test_a_listener_whose_file_has_gone_is_bound_anew_by_an_upgrade(upgradable, toy, tmp_path):
    path = tmp_path / "a.sock"
    proxy = upgradable(config(toy("fixed:3"), f'bind = "unix:{path}"').partition("\n")[2], listeners=0)
    proxy.running.line("listening on unix:")
    path.unlink()
    proxy.upgrade()
    assert ask(path)[0] == 200
    number = path.stat().st_ino
    assert ask(path)[0] == 200 and path.stat().st_ino == number
    proxy.upgrade()
    assert ask(path)[0] == 200 and path.stat().st_ino == number


def test_a_failed_start_reload_or_upgrade_leaves_no_file(pollux_bin, upgradable, toy, tmp_path):
    path, backend = tmp_path / "a.sock", toy("fixed:3")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        file = tmp_path / "failing.toml"
        binds = [f'bind = "unix:{path}"', f'bind = "127.0.0.1:{port}"']
        file.write_text(config(backend, *binds))
        done = subprocess.run([pollux_bin, "-c", file], capture_output=True, text=True, timeout=DEADLINE_S)
        assert done.returncode == 1 and "cannot bind" in done.stderr and not path.exists(), done
        # When everything is bound, and then something else cannot be had.
        file.write_text(config(backend, binds[0]))
        command = [pollux_bin, "-c", file, "--access-log", tmp_path / "no" / "folder"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S)
        assert done.returncode == 1 and "access log" in done.stderr and not path.exists(), done
        start = 'bind = "127.0.0.1:0"'
        proxy = upgradable(config(backend, start).partition("\n")[2])
        for fails in ["reload", "upgrade"]:
            proxy.configure(config(backend, start, *binds).partition("\n")[2])
            done = proxy.run(fails)
            assert done.returncode == 1 and not path.exists(), done
