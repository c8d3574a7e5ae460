"""The command line: what a person sees who mistypes, and who tries it out."""

import subprocess

import pytest


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


def test_an_access_line_per_request_goes_to_stderr(pollux, toy):
    backend = toy("fixed:10", name="a")
    proxy = pollux(backend, options=["--access-log", "on"])
    for number in range(3):
        subprocess.run(["curl", "--silent", "--noproxy", "*", proxy.url(f"/line/{number}")], timeout=30)
    proxy.end_well()
    lines = [line for line in proxy.stderr().splitlines() if "/line/" in line]
    assert len(lines) == 3, proxy.stderr()
