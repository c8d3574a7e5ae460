"""What a service manager, a log rotation and a shell expect of a daemon."""

import json
import signal
import subprocess
import time

from harness.client import Response, connect, get

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
    assert "/before/" not in proxy.stderr() and "opened anew" in proxy.stderr()


def test_an_access_log_that_cannot_be_opened_is_told_at_the_start(pollux_bin, tmp_path):
    command = [pollux_bin, "--backend", "127.0.0.1:9", "--listen", "127.0.0.1:0", "--access-log", tmp_path / "no" / "log"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.returncode == 1 and "the access log" in done.stderr and str(tmp_path / "no" / "log") in done.stderr, done
