"""Draws the pictures of README.md anew: `POLLUX_BIN=… tests/.venv/bin/python tests/real/draw_pictures.py`.

The dashboard is that of `pollux demo` after a minute. The diagnostic is what `pollux check` prints on a terminal.
"""

import html
import os
import pathlib
import pty
import re
import subprocess
import tempfile
import time

from harness.chromium import Chromium

IMAGES = pathlib.Path(__file__).resolve().parents[2] / "docs/images"
MINUTE_S = 70
BROKEN = """\
[[listener]]
bind = "127.0.0.1:8080"
pool = "ap"

[[listener.route]]
match.path = "/api/*"
pool = "app"
timeouts = { backend_respons = "5s" }

[pool.app]
backends = ["127.0.0.1:9001", "127.0.0.1:9oo2"]
"""
COLOURS = {"91": "#ff7b72", "94": "#79c0ff"}
CELL = (7.8, 18)
PLAIN = "#e6edf3"


def on_a_terminal(command, folder):
    """What a command prints on a terminal."""
    leader, follower = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color"}
    environment.pop("NO_COLOR", None)
    child = subprocess.Popen(command, cwd=folder, stdin=follower, stdout=follower, stderr=follower, env=environment)
    os.close(follower)
    said = b""
    try:
        while part := os.read(leader, 65536):
            said += part
    except OSError:
        pass
    child.wait()
    os.close(leader)
    return said.decode().replace("\r", "")


def picture(text):
    """Text with colours (ECMA-48 SGR) as an SVG."""
    lines = text.rstrip("\n").split("\n")
    width = max(len(re.sub(r"\x1b\[\d*m", "", line)) for line in lines)
    drawn = []
    colour, is_bold = PLAIN, False
    for row, line in enumerate(lines):
        spans = ""
        for piece in re.split(r"(\x1b\[\d*m)", line):
            if code := re.fullmatch(r"\x1b\[(\d*)m", piece):
                if code[1] in ("", "0"):
                    colour, is_bold = PLAIN, False
                elif code[1] == "1":
                    is_bold = True
                else:
                    colour = COLOURS.get(code[1], PLAIN)
            elif piece:
                weight = ' font-weight="bold"' if is_bold else ""
                spans += f'<tspan fill="{colour}"{weight}>{html.escape(piece)}</tspan>'
        drawn.append(f'<text x="16" y="{28 + row * CELL[1]}" xml:space="preserve">{spans}</text>')
    size = (round(width * CELL[0]) + 32, len(lines) * CELL[1] + 32)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{size[0]}" height="{size[1]}" viewBox="0 0 {size[0]} {size[1]}"'
        ' font-family="ui-monospace, Menlo, Consolas, monospace" font-size="13">\n'
        f'<rect width="100%" height="100%" rx="8" fill="#0d1117"/>\n' + "\n".join(drawn) + "\n</svg>\n"
    )


def draw_diagnostic(pollux, folder):
    (folder / "proxy.toml").write_text(BROKEN)
    said = on_a_terminal([pollux, "check"], folder)
    # `$ pollux check` in front of it, as a reader would type it.
    (IMAGES / "diagnostic.svg").write_text(picture(f"$ pollux check\n{said}"))


def draw_dashboard(pollux, folder):
    demo = subprocess.Popen([pollux, "demo"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        url = next(found[1] for line in demo.stdout if (found := re.search(r"Dashboard:\s+(\S+)", line)))
        browser = Chromium(folder)
        try:
            browser.look_like(width=1120, height=720)
            browser.open(url)
            time.sleep(MINUTE_S)
            browser.screenshot(IMAGES / "dashboard.png", whole=True)
        finally:
            browser.close()
    finally:
        demo.terminate()
        demo.stdout.close()
        demo.wait()


def main():
    pollux = pathlib.Path(os.environ["POLLUX_BIN"]).resolve()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        draw_diagnostic(pollux, folder)
        draw_dashboard(pollux, folder)


if __name__ == "__main__":
    main()
