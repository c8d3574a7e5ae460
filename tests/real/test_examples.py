"""The configurations in examples/: each is good, its tests pass, and what an operator changes can be put into its files by patch(1)."""

import json
import pathlib
import re
import shutil
import subprocess

import pytest

from harness.client import DEADLINE_S
from harness.process import Pollux

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples"
FILES = sorted(str(path.relative_to(EXAMPLES)) for path in [*EXAMPLES.glob("*.toml"), *EXAMPLES.glob("*/proxy.toml")])


@pytest.fixture
def folder(tmp_path):
    """A copy of the examples, with certificates such as README.md has made."""
    copy = tmp_path / "a copy"
    shutil.copytree(EXAMPLES, copy)
    readme = (EXAMPLES / "README.md").read_text()
    commands = "\n".join(re.findall(r"^    (.*)$", readme, re.MULTILINE))
    subprocess.run(["sh", "-ec", commands], cwd=copy, check=True, capture_output=True, timeout=DEADLINE_S)
    return copy


def run(*command, code=0, **more):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=DEADLINE_S, **more)
    assert done.returncode == code, done
    return done.stdout


def test_there_are_a_dozen_and_each_is_in_the_list():
    readme = (EXAMPLES / "README.md").read_text()
    assert len(FILES) >= 12 and all(f"({name})" in readme for name in FILES)


@pytest.mark.parametrize("name", FILES)
def test_an_example_is_good_and_has_tests_that_pass(pollux_bin, folder, name):
    assert run(pollux_bin, "check", "--strict", "-c", folder / name)
    told = run(pollux_bin, "test", "-c", folder / name)
    passed, failed = map(int, re.search(r"(\d+) passed, (\d+) failed", told).groups())
    assert passed >= 1 and failed == 0, told


def ports_of_the_kernel(folder):
    """Nobody else's ports are taken: each listener and the admin address get some port."""
    for path in folder.rglob("*.toml"):
        bind = re.compile(r'^bind = "127\.0\.0\.1:\d+"', re.MULTILINE)
        path.write_text(bind.sub('bind = "127.0.0.1:0"', path.read_text()))


def backends(pollux_bin, control):
    status = json.loads(run(pollux_bin, "status", "--json", "--control", control))
    return {f"{pool['name']}/{one['name']}": (one["state"], one["weight"]) for pool in status["pools"] for one in pool["backends"]}


@pytest.mark.parametrize("name", FILES)
def test_what_was_changed_is_put_into_its_files_by_patch(pollux_bin, folder, tmp_path, keep, name):
    """Every backend is drained and gets another weight; the files say so then, and a new start has it so."""
    ports_of_the_kernel(folder)
    control = tmp_path / "control"
    start = lambda: keep(Pollux(pollux_bin, ["-c", folder / name, "--threads", "1", "--control", control, "--access-log", "off"], tmp_path))
    running = start()
    there = backends(pollux_bin, control)
    assert there
    for number, backend in enumerate(there, 2):
        run(pollux_bin, "backend", "drain", backend, "--control", control)
        run(pollux_bin, "backend", "weight", backend, number, "--control", control)
    wanted = backends(pollux_bin, control)
    assert all(state == "drain" for state, _ in wanted.values())
    diff = run(pollux_bin, "changes", "--control", control)
    assert "no file says anything" not in diff, diff
    patched = run("patch", "-p1", "-d", "/", input=diff)
    assert "fuzz" not in patched and "offset" not in patched, patched
    assert not list(folder.rglob("*.rej")) and not list(folder.rglob("*.orig"))
    running.end_well()
    start()
    assert backends(pollux_bin, control) == wanted


def test_links_blanks_and_leftovers(pollux_bin, tmp_path, keep):
    """The file behind a link is changed, by a name without dots; one that is not read is left alone; nor does a blank at the end matter."""
    real = tmp_path / "real files"
    (real / "conf.d").mkdir(parents=True)
    (tmp_path / "etc").mkdir()
    main = 'include = ["../real files/conf.d/*.toml"]\n[[listener]]\nbind = "127.0.0.1:0"\n'
    (real / "proxy.toml").write_text(main)
    (tmp_path / "etc" / "proxy.toml").symlink_to(real / "proxy.toml")
    app = '[pool.app]\nbackends = ["127.0.0.1:${PORT}"]\n\n\n'
    (real / "conf.d" / "app.toml").write_text(app)
    (real / "conf.d" / ".app.toml").write_text(app)
    control = tmp_path / "control"
    env = {"PORT": "9001"}
    keep(Pollux(pollux_bin, ["-c", tmp_path / "etc" / "proxy.toml", "--threads", "1", "--control", control], tmp_path, env=env))
    run(pollux_bin, "backend", "drain", "app/127.0.0.1:9001", "--control", control)
    diff = run(pollux_bin, "changes", "--control", control, env={"PATH": "/usr/bin:/bin", **env})
    run("patch", "-p1", "-d", "/", input=diff)
    expected = app.replace('"127.0.0.1:${PORT}"', '{ address = "127.0.0.1:${PORT}", state = "drain" }')
    assert (real / "conf.d" / "app.toml").read_text() == expected
    assert (real / "conf.d" / ".app.toml").read_text() == app and (real / "proxy.toml").read_text() == main
