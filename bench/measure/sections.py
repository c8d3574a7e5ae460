"""Sections of bench/RESULTS.md that other commands than bench/compare write, each when it is run with `--write`.

A section is a file in bench/sections. The page ends with all of them, in the order of their names, behind a marker; so
neither command loses what the other has written.
"""

from .build import ROOT

FOLDER = ROOT / "bench" / "sections"
PAGE = ROOT / "bench" / "RESULTS.md"
MARKER = "<!-- What follows is written by other commands, each with its own run. -->"


def lines():
    yield ""
    yield MARKER
    for file in sorted(FOLDER.glob("*.md")):
        yield ""
        yield file.read_text().strip()


def write(name, text, raw=None):
    """Keeps a section, and its raw figures if there are any, and puts it into the page."""
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.md").write_text(text.strip() + "\n")
    if raw is not None:
        (FOLDER / f"{name}.json").write_text(raw + "\n")
    page = PAGE.read_text().split(MARKER)[0].rstrip()
    PAGE.write_text("\n".join([page, *lines()]) + "\n")
