"""The command line: what a person sees who mistypes, and who tries it out."""

import json
import os
import subprocess
import time
import urllib.request

import pytest

from harness.process import Child


def run(pollux_bin, *arguments):
    return subprocess.run(
        [pollux_bin, *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30
    )


@pytest.mark.parametrize(
    "text",
    ["# a comment\n\nno_such_setting = 1\n", "# a comment\n\nthis is no TOML\n"],
    ids=["unknown-key", "bad-syntax"],
)
def test_a_bad_config_is_refused_by_file_and_line(pollux_bin, tmp_path, text):
    config = tmp_path / "proxy.toml"
    config.write_text(text)
    done = run(pollux_bin, "-c", config)
    assert done.returncode in (1, 2), done.stderr
    assert "proxy.toml:3" in done.stderr
    assert "panicked" not in done.stderr


def test_a_config_that_is_not_there_is_named(pollux_bin, tmp_path):
    done = run(pollux_bin, "-c", tmp_path / "missing.toml")
    assert done.returncode in (1, 2)
    assert "missing.toml" in done.stderr and "panicked" not in done.stderr


def test_a_mistyped_flag_shows_the_usage(pollux_bin):
    done = run(pollux_bin, "--lisen", "127.0.0.1:0")
    assert done.returncode != 0
    assert "usage" in done.stderr.lower()
    assert "--listen" in done.stderr


def test_the_demo_shows_what_to_type_and_ends(pollux_bin):
    done = run(pollux_bin, "demo", "--for", "2s")
    assert done.returncode == 0, done.stderr
    assert "curl" in done.stdout + done.stderr


def test_the_demo_has_a_dashboard_and_clients_of_its_own(pollux_bin, tmp_path):
    demo = Child([pollux_bin, "demo", "--for", "60s"], tmp_path, "demo")
    try:
        address = demo.line(r"http://(\S+)/hello")[1]
        admin = demo.line(r"Dashboard: +http://(\S+)/")[1]
        control = demo.line(r"pollux top --control (\S+)")[1]
        demo.line("Every request of yours")

        def served():
            with urllib.request.urlopen(f"http://{admin}/status", timeout=20) as response:
                pools = json.load(response)["traffic"]["pools"]
            return sum(sum(one["classes"]) for pool in pools.values() for one in pool["backends"].values())

        deadline = time.monotonic() + 20
        while served() < 20:
            assert time.monotonic() < deadline
        assert run(pollux_bin, "backend", "drain", "toys/b", "--control", control).returncode == 0
        subprocess.run(["curl", "--silent", "--noproxy", "*", f"http://{address}/mine"], timeout=30, check=True)
        demo.line("GET /mine -> 200 from backend [ac]")
        # Of the others nothing is shown.
        assert not any("/pages/" in line for line in demo.said)
        assert demo.terminate() == 0 and not os.path.exists(control)
    finally:
        demo.kill()



def test_an_access_line_per_request_goes_to_stderr(pollux, toy):
    backend = toy("fixed:10", name="a")
    proxy = pollux(backend, options=["--access-log", "on"])
    for number in range(3):
        subprocess.run(["curl", "--silent", "--noproxy", "*", proxy.url(f"/line/{number}")], timeout=30)
    proxy.end_well()
    lines = [line for line in proxy.stderr().splitlines() if "/line/" in line]
    assert len(lines) == 3, proxy.stderr()
