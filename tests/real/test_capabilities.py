"""What a process that root has started keeps of root: nothing, or what it is told to."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

from harness.client import DEADLINE_S
from harness.namespace import Namespace
from harness.process import Pollux
from harness.threads import statuses_of

NET_BIND_SERVICE = 1 << 10

OF_NOBODY = ["--user", "65534", "--group", "65534", "--threads", "2"]


def of_thread(status, name):
    """The set `CapName` of a thread, as a number."""
    return int(re.search(rf"^Cap{name}:\s*([0-9a-f]+)$", status, re.MULTILINE).group(1), 16)


def sets_of(pid):
    """The effective and the ambient set of the first thread, and the permitted sets of the workers."""
    tasks = dict(statuses_of(pid))
    assert all(re.search(r"^Uid:\s*65534\s+65534\s+65534\s+65534$", status, re.MULTILINE) for status in tasks.values())
    workers = [status for status in tasks.values() if status.startswith("Name:\tworker-")]
    return of_thread(tasks[pid], "Eff"), of_thread(tasks[pid], "Amb"), [of_thread(status, "Prm") for status in workers]


def wait_for_sets(pid, effective, ambient):
    """A worker names itself and gives up its sets as its first acts, which may lie behind the line of readiness."""
    wanted = (effective, ambient, [0, 0])
    deadline = time.monotonic() + DEADLINE_S
    while (seen := sets_of(pid)) != wanted:
        assert time.monotonic() < deadline, (seen, wanted)
        time.sleep(0.01)


def write(file, ports):
    listeners = (f'[[listener]]\nbind = "127.0.0.1:{port}"\n[[listener.route]]\nmatch = {{}}\nrespond = {{ status = 200, body = "{port}\\n" }}\n' for port in ports)
    file.write_text("".join(listeners))


def open_to_others(folder):
    folder.chmod(0o777)
    for each in list(folder.parents)[:3]:
        each.chmod(each.stat().st_mode | 0o055)


def start(place, pollux_bin, folder, *more):
    folder.mkdir()
    open_to_others(folder)
    file = folder / "proxy.toml"
    write(file, [8080])
    return Pollux(place.enter[0], [*place.enter[1:], pollux_bin, "-c", file, *OF_NOBODY, *more], folder), file


def test_low_ports_can_be_bound_at_a_reload_if_that_is_kept(pollux_bin, tmp_path):
    if os.geteuid() != 0:
        # That --user is refused to others is shown elsewhere.
        return
    place = Namespace()
    try:
        without, file = start(place, pollux_bin, tmp_path / "without")
        try:
            wait_for_sets(without.process.pid, 0, 0)
            write(file, [8080, 80])
            without.signal(signal.SIGHUP)
            without.wait_for_stderr("--keep-capability net_bind_service")
            without.end_well()
        finally:
            without.kill()
        kept, file = start(place, pollux_bin, tmp_path / "kept", "--keep-capability", "net_bind_service")
        try:
            # The workers, which read what clients send, have nothing.
            wait_for_sets(kept.process.pid, NET_BIND_SERVICE, NET_BIND_SERVICE)
            write(file, [8080, 80])
            kept.signal(signal.SIGHUP)
            kept.wait_for_stderr("reloaded")
            assert place.run("curl", "-sS", "--fail", "http://127.0.0.1:80/") == "80\n"
            kept.end_well()
        finally:
            kept.kill()
    finally:
        place.close()


def test_an_upgrade_hands_on_what_is_kept(upgradable, tmp_path):
    if os.geteuid() != 0:
        # That --user is refused to others is shown elsewhere.
        return
    open_to_others(tmp_path)
    config = '[[listener]]\nbind = "127.0.0.1:0"\n[[listener.route]]\nmatch = {}\nrespond = { status = 204 }\n'
    proxy = upgradable(config, options=[*OF_NOBODY, "--keep-capability", "net_bind_service"])
    proxy.upgrade()
    wait_for_sets(proxy.pids[-1], NET_BIND_SERVICE, NET_BIND_SERVICE)


def test_what_is_no_capability_or_of_no_use_is_refused(pollux_bin):
    def refusal(*arguments):
        command = [pollux_bin, "--listen", "127.0.0.1:0", "--backend", "127.0.0.1:1", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S)
        assert done.returncode == 2, done
        return done.stderr

    told = refusal("--user", "nobody", "--keep-capability", "net_bind_service,cap_fly")
    assert "no capability is called `fly`" in told and "net_bind_service" in told and "capabilities(7)" in told, told
    assert "--user" in refusal("--keep-capability", "net_bind_service")
