"""The access log before slow readers, syslogs and hostile clients, and what `pollux why` says of its words."""

import contextlib
import json
import os
import pathlib
import re
import socket
import subprocess
import threading
import time
import urllib.request

from harness.client import DEADLINE_S, Response, connect, get
from harness.process import Pollux

CONFIGURATION = """
[access_log]
{log}
[[listener]]
bind = "127.0.0.1:0"
request_id = "both"
[pool.app]
backends = ["{backend}"]
"""


def wait_until(condition, what):
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"never {what}"
        time.sleep(0.01)


def ask(address, count, target="/", *fields):
    """Pipelines requests on one connection, and gives their responses."""
    with connect(address) as connection, connection.makefile("rb") as stream:
        sender = threading.Thread(target=lambda: connection.sendall(get(target, *fields) * count))
        sender.start()
        responses = [Response(stream) for _ in range(count)]
        sender.join()
        return responses


def configured(pollux_bin, tmp_path, log, backend, name="proxy", options=()):
    from harness.process import Pollux

    directory = tmp_path / name
    directory.mkdir()
    file = directory / "proxy.toml"
    file.write_text(CONFIGURATION.format(log=log, backend=backend))
    return Pollux(pollux_bin, ["-c", file, *options], directory)


def dropped(proxy):
    return sum(int(lines) for lines in re.findall(r"were dropped.* lines=(\d+)", proxy.stderr()))


def test_a_reader_who_does_not_read_costs_lines_and_no_traffic(pollux_bin, toy, tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    log = f'to = "{fifo}"\nformat = "json"\nrequest_headers = ["X-Long"]'
    proxy = configured(pollux_bin, tmp_path, log, toy("fixed:1").host_port, options=["--threads", "2"])
    try:
        # What the pipe and both halves of the queue hold is less than 9 MiB; so many lines have more.
        total = 0
        until = time.monotonic() + 5
        while total < 10_000 or time.monotonic() < until:
            assert all(response.status == 200 for response in ask(proxy.address, 200, "/" + "x" * 500, "X-Long: " + "y" * 900))
            total += 200
        proxy.wait_for_stderr("lines of the access log were dropped")
        os.set_blocking(reader, True)
        text = []

        def read():
            while piece := os.read(reader, 1 << 20):
                text.append(piece)

        reading = threading.Thread(target=read)
        reading.start()
        proxy.end_well()
        reading.join(DEADLINE_S)
        lines = b"".join(text).splitlines()
        assert all(json.loads(line)["status"] == 200 for line in lines)
        assert dropped(proxy) > 0 and len(lines) + dropped(proxy) == total, (len(lines), dropped(proxy), total)
    finally:
        proxy.kill()
        os.close(reader)


def test_lines_are_syslog_messages(pollux_bin, toy, tmp_path):
    backend = toy("fixed:1").host_port
    path = tmp_path / "log"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as unix:
        udp.bind(("127.0.0.1", 0))
        unix.bind(os.fspath(path))
        for receiver, to in ((udp, "syslog:udp://{}:{}".format(*udp.getsockname())), (unix, f"syslog:unix:{path}")):
            receiver.settimeout(DEADLINE_S)
            proxy = configured(pollux_bin, tmp_path, f'to = "{to}"\nformat = "json"', backend, name=to[7:11])
            try:
                ask(proxy.address, 3, "/it")
                for _ in range(3):
                    message = receiver.recv(65536).decode()
                    # RFC 5424, section 6.
                    found = re.fullmatch(r"<134>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z \S+ pollux (\d+) access - (.*)", message)
                    assert found and int(found[1]) == proxy.process.pid, message
                    assert json.loads(found[2])["path"] == "/it"
                proxy.end_well()
            finally:
                proxy.kill()


def hostile():
    """What clients should not say, and some of what they may."""
    request = b"GET %s HTTP/1.1\r\nHost: h\r\nUser-Agent: %s\r\nReferer: %s\r\nConnection: close\r\n\r\n"
    pieces = [b"/", b'/"', b"/\\", b"/'{}", b"/\xff\xfe", b"/%0a", b"/\x1b[31m", b"/\x00", b"/\xe2\x80\xa8", b"/?a=\"b\"", b"/<script>", b"/a b"]
    values = [b"x", b'"', b"\\", b"\t", b"\xff", b"\xe2\x80\xa8", b"\xc2\x85", b"\x1b[2J", b"\x7f", b"a\x00b", b"'; DROP", b"\\u0022", b"\r\n\r\n"]
    for target in pieces:
        for value in values:
            yield request % (target, value, value)
    yield b""
    yield b"\x16\x03\x01\x02\x00\x01\x00"
    yield b"\xff" * 100 + b"\r\n\r\n"


def test_whatever_clients_send_makes_one_valid_line(pollux_bin, toy, tmp_path):
    log = tmp_path / "access.log"
    settings = f'to = "{log}"\nformat = "json"\nrequest_headers = ["User-Agent", "Referer"]'
    proxy = configured(pollux_bin, tmp_path, settings, toy("fixed:1").host_port)
    try:
        count = 0
        for request in hostile():
            with connect(proxy.address) as connection:
                connection.sendall(request)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65536):
                    pass
            count += 1
        proxy.end_well()
    finally:
        proxy.kill()
    lines = [json.loads(line) for line in log.read_bytes().split(b"\n")[:-1]]
    assert len(lines) >= count
    assert {line["cause"] for line in lines if "cause" in line} >= {"no-request", "bad-request-line", "bad-field"}
    assert len({line["request_id"] for line in lines}) == len(lines)


def test_only_what_is_asked_for_has_a_line(pollux_bin, toy, free_address, tmp_path):
    log = tmp_path / "access.log"
    proxy = configured(pollux_bin, tmp_path, f'to = "{log}"\nformat = "{{status}} {{cause}} {{path}}"\nstatus = ["5xx"]', free_address())
    try:
        ask(proxy.address, 1, "/refused")
        with connect(proxy.address) as connection:
            connection.sendall(b"nonsense\r\n\r\n")
            assert connection.recv(65536).startswith(b"HTTP/1.1 400 ")
        proxy.end_well()
    finally:
        proxy.kill()
    assert log.read_text() == "502 backend-refused /refused\n"


def test_a_sample_keeps_every_failure(pollux_bin, toy, tmp_path):
    log = tmp_path / "access.log"
    settings = f'to = "{log}"\nformat = "{{status}} {{cause}}"\nsample = 0.1'
    proxy = configured(pollux_bin, tmp_path, settings, toy("fixed:1").host_port)
    try:
        ask(proxy.address, 1000)
        for _ in range(20):
            with connect(proxy.address) as connection:
                connection.sendall(b"nonsense\r\n\r\n")
                connection.recv(65536)
        proxy.end_well()
    finally:
        proxy.kill()
    lines = log.read_text().splitlines()
    assert lines.count("400 bad-request-line") == 20
    # With a tenth of 1000 anything else is less likely than a thousandth of a millionth.
    assert 40 < lines.count("200 -") < 180, len(lines)


def test_a_request_has_one_name_everywhere_and_no_other_has_it(pollux_bin, toy, tmp_path):
    backend = toy("fixed:1").host_port
    names = []
    for start in range(2):
        log = tmp_path / f"access.log.{start}"
        settings = f'to = "{log}"\nformat = "{{request_id}}"'
        proxy = configured(pollux_bin, tmp_path, settings, backend, name=f"start-{start}", options=["--threads", "2"])
        try:
            told = [response.headers["X-Request-ID"] for _ in range(20) for response in ask(proxy.address, 20)]
            proxy.end_well()
        finally:
            proxy.kill()
        assert sorted(told) == sorted(log.read_text().split())
        names += told
    assert len(set(names)) == len(names) == 800 and all(re.fullmatch("[0-9a-f]{32}", name) for name in names)


def test_a_fifo_without_a_reader_is_told_at_the_start(pollux_bin, tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    command = [pollux_bin, "--backend", "127.0.0.1:9", "--listen", "127.0.0.1:0", "--access-log", fifo]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.returncode == 1 and "the access log" in done.stderr and str(fifo) in done.stderr, done


def why(pollux_bin, *arguments):
    return subprocess.run([pollux_bin, "why", *arguments], capture_output=True, text=True, timeout=DEADLINE_S)


def test_every_cause_is_explained(pollux_bin):
    causes = json.loads(why(pollux_bin, "--json").stdout)
    assert len(causes) > 30
    for cause in causes:
        one = why(pollux_bin, cause["cause"])
        assert one.returncode == 0 and one.stdout.startswith(cause["cause"] + " "), one
        assert cause["meaning"] in one.stdout and cause["remedy"] in one.stdout
    mistyped = why(pollux_bin, "backend-refuse")
    assert mistyped.returncode == 2 and "did you mean `backend-refused`?" in mistyped.stderr, mistyped


class SmallDisk:
    """A file system of so many bytes in a mount namespace of its own, which goes with the process that keeps it."""

    def __init__(self, folder, size):
        folder.mkdir()
        self.folder = folder
        as_root = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        script = 'mount -t tmpfs -o size=$1 tmpfs "$2" && echo mounted && exec cat'
        command = ["unshare", "--mount", *as_root, "sh", "-c", script, "sh", str(size), str(folder)]
        self._keeper = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._keeper.stdout.readline() == b"mounted\n", "there is no mount namespace to be had"
        enter = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
        self.enter = ["nsenter", *enter, "--mount", "--target", str(self._keeper.pid), "--"]
        self.seen_from_here = pathlib.Path(f"/proc/{self._keeper.pid}/root{folder}")

    def close(self):
        self._keeper.stdin.close()
        self._keeper.wait()


def test_a_full_disk_fuses_no_two_lines(pollux_bin, toy, tmp_path, keep):
    """While it is full lines are lost, and counted, and that is told once; what goes out before and after is whole."""
    with contextlib.closing(SmallDisk(tmp_path / "disk", 48 * 1024)) as disk:
        fill_and_free(disk, pollux_bin, toy, tmp_path, keep)


def fill_and_free(disk, pollux_bin, toy, tmp_path, keep):
    ballast = disk.seen_from_here / "ballast"
    ballast.write_bytes(bytes(32 * 1024))
    arguments = ["--listen", "127.0.0.1:0", "--threads", "1", "--backend", toy("echo").host_port]
    arguments += ["--admin", "127.0.0.1:0", "--access-log", str(disk.folder / "access.log")]
    proxy = keep(Pollux(disk.enter[0], [*disk.enter[1:], pollux_bin, *arguments], tmp_path))
    admin = proxy.line(r"admin on (http://\S+)")[1]

    def lines(what):
        with urllib.request.urlopen(f"{admin}metrics", timeout=20) as answer:
            return int(re.search(rf'^pollux_access_lines_total\{{fate="{what}"\}} (\d+)', answer.read().decode(), re.MULTILINE)[1])

    sent = 0

    def ask():
        nonlocal sent
        with connect(proxy.address) as connection, connection.makefile("rb") as stream:
            connection.sendall(get(f"/{'x' * 600}/{sent}"))
            assert Response(stream).status == 200
        sent += 1

    begun = time.monotonic()
    while lines("dropped") == 0:
        ask()
        assert sent < 1000, "the disk is never full"
    for _ in range(30):
        before = lines("dropped")
        ask()
        while lines("dropped") == before:
            pass
    while_full = (disk.seen_from_here / "access.log").read_text()
    took_s = time.monotonic() - begun
    ballast.unlink()
    for _ in range(5):
        ask()
    proxy.end_well()
    text = (disk.seen_from_here / "access.log").read_text()
    assert text.startswith(while_full) and while_full.endswith("\n")
    written = text.splitlines()
    whole = re.compile(r"\S+Z .* method=GET path=/x{600}/\d+ .* status=200 .*cause=\"-\".*")
    assert all(whole.fullmatch(line) and line.count("path=") == 1 for line in written), written
    numbers = [int(re.search(r"/(\d+) ", line)[1]) for line in written]
    assert numbers[-5:] == list(range(sent - 5, sent)) and numbers == sorted(set(numbers))
    told = [int(lines) for lines in re.findall(r"lines of the access log could not be written lines=(\d+)", proxy.stderr())]
    assert sum(told) == sent - len(written), told
    assert 1 <= len(told) <= 3 + took_s / 10, told
