"""Link-local addresses by the names of their devices, in a network namespace of the test's own."""

import os
import re
import subprocess

from harness.client import DEADLINE_S
from harness.namespace import Namespace
from harness.process import Pollux


def test_listeners_and_backends_have_link_local_addresses(pollux_bin, tmp_path, keep):
    link = Namespace("ip -6 addr add fe80::1/64 dev lo nodad")
    try:
        serve(link, pollux_bin, tmp_path)
    finally:
        link.close()


def serve(link, pollux_bin, tmp_path):
    file = tmp_path / "proxy.toml"
    file.write_text(
        '[[listener]]\nname = "inner"\nbind = "[fe80::1%lo]:8081"\n'
        '[[listener.route]]\nmatch = {}\nrespond = { status = 200, body = "inner\\n" }\n'
        '[[listener]]\nname = "outer"\nbind = "127.0.0.1:8080"\npool = "app"\n'
        '[pool.app]\nbackends = ["[fe80::1%lo]:8081"]\n'
    )
    command = [*link.enter[1:], pollux_bin, "-c", file, "--threads", "1"]
    running = Pollux(link.enter[0], command, tmp_path, listeners=2)
    try:
        assert link.run("curl", "-sS", "--fail", "http://127.0.0.1:8080/") == "inner\n"
        assert link.run("curl", "-sS", "--fail", "http://[fe80::1%25lo]:8081/") == "inner\n"
        printed = link.run(pollux_bin, "check", "--print", "-c", file)
        assert re.search(r'bind = "\[fe80::1%\d+\]:8081"', printed), printed
        running.end_well()
    finally:
        running.kill()
    done = subprocess.run([*link.enter, pollux_bin, "--listen", "[fe80::1%none]:80", "--backend", "127.0.0.1:1"], capture_output=True, text=True)
    assert done.returncode == 2 and "there is no network device `none`" in done.stderr, done


def test_the_streams_can_be_named_by_their_files_under_another_user(pollux_bin, toy, tmp_path):
    """They belong to root, and a process that has become somebody else cannot open them."""
    if os.geteuid() != 0:
        return run_as_it_is(pollux_bin, toy, tmp_path, [])
    return run_as_it_is(pollux_bin, toy, tmp_path, ["--user", "nobody"])


def run_as_it_is(pollux_bin, toy, tmp_path, identity):
    options = ["--listen", "127.0.0.1:0", "--threads", "1", "--backend", toy("echo").host_port, *identity]
    for number, path in enumerate(["/dev/stdout", "/proc/self/fd/1"]):
        folder = tmp_path / str(number)
        folder.mkdir()
        running = Pollux(pollux_bin, [*options, "--access-log", path], folder)
        try:
            host, port = running.address
            subprocess.run(["curl", "-sS", f"http://{host}:{port}/"], check=True, capture_output=True, timeout=DEADLINE_S)
            running.line(r"access: .* status=200")
            running.end_well()
        finally:
            running.kill()
