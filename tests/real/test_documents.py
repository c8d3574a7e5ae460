"""The tutorial and the task pages of docs/: every command is run as it stands there, and prints what stands there."""

import os
import pathlib

import pytest

from harness.document import Shell, expression, play

DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs"
PAGES = [DOCS / "tutorial.md", *sorted((DOCS / "tasks").glob("*.md"))]


def test_there_are_a_tutorial_and_seven_tasks():
    assert len(PAGES) >= 8 and PAGES[0].exists()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_prints_what_it_says(page, pollux_bin, tmp_path):
    shell = Shell(tmp_path, [pollux_bin, os.environ["TOY_BIN"]])
    try:
        played = 0
        for command, said, status, lines, _ in play(page, shell):
            played += 1
            assert expression(lines).fullmatch(said), f"$ {command}\n{said}"
            assert lines or status == 0, f"$ {command}\nexit status {status}"
        assert played >= 2, "no commands in it"
    finally:
        shell.close()
