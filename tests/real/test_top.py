"""`pollux top` in a terminal: what it shows, its keys, another size, and that the terminal is left as it was."""

import contextlib
import re
import shlex
import shutil
import signal
import subprocess
import time

import pytest

from harness.client import Response, connect, get
from harness.served import Served

DEADLINE_S = 20


class Terminal:
    """A terminal of tmux with a shell in it, on a server of its own."""

    def __init__(self, directory, width=120, height=30, env="LC_ALL=C.UTF-8"):
        assert shutil.which("tmux"), "tmux is not installed: run tests/setup"
        self.socket = directory / "tmux"
        self.do("-f", "/dev/null", "new-session", "-d", "-x", width, "-y", height, f"env {env} PS1='$ ' sh")

    def do(self, *arguments):
        command = ["tmux", "-u", "-S", self.socket, *arguments]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=DEADLINE_S)
        assert done.returncode == 0, done
        return done.stdout

    def screen(self):
        return self.do("capture-pane", "-p")

    def type(self, *keys):
        self.do("send-keys", *keys)

    def run(self, *command):
        self.type(" ".join(shlex.quote(str(word)) for word in command), "Enter")

    def wait_for(self, condition, what):
        deadline = time.monotonic() + DEADLINE_S
        while not condition(screen := self.screen()):
            assert time.monotonic() < deadline, f"never {what}:\n{screen}"
            time.sleep(0.02)
        return screen

    def see(self, text):
        return self.wait_for(lambda screen: text in screen, f"saw {text!r}")

    def is_plain(self):
        """Whether lines are typed into it as into any terminal."""
        # What is typed before it has ended would be taken by it.
        self.wait_for(lambda _: not self.is_taken_over(), "left")
        # In a narrow terminal the typed line wraps anywhere, so that only the answer may hold what is looked for.
        self.type("tput cnorm 2>/dev/null; echo looked''-at $(stty -a | tr -s ' ;' '\\n' | grep -cxE 'icanon|echo')", "Enter")
        screen = self.wait_for(lambda screen: "looked-at " in screen, "a shell")
        return "looked-at 2" in screen and not self.is_taken_over()

    def is_taken_over(self):
        return self.do("display-message", "-p", "#{alternate_on}").strip() == "1"

    def close(self):
        with contextlib.suppress(AssertionError):
            self.do("kill-server")


@pytest.fixture
def terminal(tmp_path):
    opened = Terminal(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def terminals(tmp_path):
    """Terminals of any size and environment."""
    opened = []

    def open_one(**more):
        folder = tmp_path / f"terminal-{len(opened)}"
        folder.mkdir()
        opened.append(Terminal(folder, **more))
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()


def row(screen, name):
    # The last line may speak of it too, and begins with it.
    [line] = [line for line in screen.splitlines() if f" app/{name} " in line]
    return line


def ask(proxy, count):
    for _ in range(count):
        with connect(proxy.running.address) as connection, connection.makefile("rb") as stream:
            connection.sendall(get())
            Response(stream)


def test_backends_are_shown_drained_and_taken_in_again(administered, toy, terminal, pollux_bin):
    proxy = administered(toy("echo", name="a"), toy("echo", name="b"), toy("close", name="c"), pool="retries = 0\nhealth = { failures = 1000 }")
    terminal.run(pollux_bin, "top", "-c", proxy.file)
    screen = terminal.see("app/b3")
    assert "serving" in screen and f"process {proxy.running.process.pid}" in screen
    assert "● up" in row(screen, "b1") and proxy.backends[0].host_port in row(screen, "b1")
    ask(proxy, 9)
    screen = terminal.see("failed because")
    assert "backend-closed" in screen and "█" in row(screen, "b3")
    # The second backend is chosen, and nothing happens before it is confirmed.
    terminal.type("Down", "d")
    terminal.see("app/b2: drain it? y/n")
    terminal.type("n")
    terminal.see("app/b2 stays as it is")
    assert proxy.backend("b2")["state"] == "ready"
    terminal.type("d", "y")
    screen = terminal.wait_for(lambda screen: "↓ draining" in row(screen, "b2"), "draining")
    assert "app/b2: state drain (it was ready)" in screen and proxy.backend("b2")["state"] == "drain"
    [change] = proxy.get("/status")["changes"]
    assert change["by"].endswith("at the control socket")
    terminal.type("r", "Enter")
    terminal.wait_for(lambda screen: "● up" in row(screen, "b2"), "up again")
    # What was last observed of the one that fails.
    terminal.type("End", "Enter")
    screen = terminal.see("last observations")
    assert "backend app/b3 at" in screen and "backend-closed" in screen
    terminal.type("x")
    terminal.wait_for(lambda screen: "last observations" not in screen, "closed")
    terminal.type("q")
    assert terminal.is_plain()


def test_rows_are_sorted_and_the_choice_stays(administered, toy, terminal, pollux_bin):
    proxy = administered(toy("echo"), toy("echo"), toy("echo"))
    proxy.post("/backends/app/b3", {"state": "down"})
    terminal.run(pollux_bin, "top", "-c", proxy.file)
    terminal.see("■ taken out")

    def order(screen):
        return [line.split("app/")[1].split()[0] for line in screen.splitlines() if "app/" in line]

    assert order(terminal.screen()) == ["b1", "b2", "b3"]
    terminal.type("s")
    terminal.wait_for(lambda screen: order(screen) == ["b3", "b1", "b2"], "sorted by state")
    terminal.see("STATE*")
    terminal.type("S")
    terminal.wait_for(lambda screen: order(screen)[-1] == "b3", "the other way round")
    # b1 was chosen at the beginning, and still is.
    terminal.type("d")
    terminal.see("app/b1: drain it?")
    terminal.type("n", "?")
    terminal.see("sort by the next column")
    terminal.type("x", "q")
    assert terminal.is_plain()


def test_the_last_one_is_named_as_such(administered, toy, terminal, pollux_bin):
    proxy = administered(toy("echo"))
    terminal.run(pollux_bin, "top", "-c", proxy.file)
    terminal.see("app/b1")
    terminal.type("d")
    terminal.see("No other backend of its pool takes new requests.")
    terminal.type("C-c")
    assert terminal.is_plain()
    assert proxy.backend("b1")["state"] == "ready"


def test_it_fits_into_any_terminal(administered, toy, terminal, pollux_bin):
    proxy = administered(*[toy("echo", name=f"t{number}") for number in range(12)])
    terminal.run(pollux_bin, "top", "-c", proxy.file)
    terminal.see("ADDRESS")
    terminal.do("resize-window", "-x", 50, "-y", 12)
    screen = terminal.wait_for(lambda screen: "ADDRESS" not in screen and "app/b1 " in screen, "narrow")
    assert len(screen.rstrip("\n").splitlines()) <= 12
    terminal.type("End")
    terminal.see("app/b12 ")
    for width, height in [(20, 4), (1, 1), (200, 60)]:
        terminal.do("resize-window", "-x", width, "-y", height)
    terminal.wait_for(lambda screen: "ADDRESS" in screen and "app/b12 " in screen, "wide again")
    terminal.type("q")
    assert terminal.is_plain()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_a_signal_leaves_the_terminal_as_it_was(administered, toy, terminal, pollux_bin, tmp_path, number):
    proxy = administered(toy("echo"))
    pid_file = tmp_path / "pid"
    terminal.type(f"sh -c 'echo $$ >{pid_file}; exec {pollux_bin} top -c {proxy.file}'", "Enter")
    terminal.see("app/b1")
    subprocess.run(["kill", f"-{int(number)}", pid_file.read_text().strip()], check=True)
    terminal.wait_for(lambda screen: "app/b1" not in screen, "gone")
    assert terminal.is_plain()


def test_it_says_when_nobody_answers_and_goes_on(administered, toy, terminal, pollux_bin):
    proxy = administered(toy("echo"))
    terminal.run(pollux_bin, "top", "-c", proxy.file)
    terminal.see("app/b1")
    proxy.running.end_well()
    terminal.see("no answer for")
    terminal.type("q")
    assert terminal.is_plain()


def test_without_a_terminal_it_says_what_to_use(administered, toy):
    proxy = administered(toy("echo"))
    done = proxy.run("top")
    assert done.returncode == 2 and "pollux status" in done.stderr


LONG = "the-pool-of-a-shop-with-a-long-name"


def narrow(pollux_bin, tmp_path, keep, toy):
    """Three backends whose names differ at their ends alone."""
    names = [f"machine-of-the-first-room-{number}" for number in (1, 2, 13)]
    listed = ", ".join(f'{{ name = "{name}", address = "{toy("echo").host_port}" }}' for name in names)
    file = f'control = "control"\n[[listener]]\nname = "web"\nbind = "127.0.0.1:0"\n[pool.{LONG}]\nbackends = [{listed}]\n'
    return keep(Served(pollux_bin, tmp_path, file))


def cells(line):
    return line.split()


@pytest.mark.parametrize("width", [80, 40])
def test_in_a_narrow_terminal_backends_can_be_told_apart_and_numbers_are_whole(pollux_bin, tmp_path, keep, toy, terminals, width):
    proxy = narrow(pollux_bin, tmp_path, keep, toy)
    terminal = terminals(width=width, height=24)
    terminal.run(pollux_bin, "top", "--control", tmp_path / "control")
    terminal.see("● up")
    asked = 0

    def is_counted(screen):
        nonlocal asked
        for _ in range(5):
            proxy.fetch()
            asked += 1
        return " ms" in screen and " µs" not in screen.split("STATE")[0] or " µs" in screen

    screen = terminal.wait_for(is_counted, "with latencies")
    assert all(len(line) <= width for line in screen.splitlines())
    rows = [line for line in screen.splitlines() if "● up" in line]
    ends = [cells(line)[2] for line in rows]
    assert len(set(ends)) == 3 and [end.split("-")[-1] for end in ends] == ["1", "2", "13"], screen
    header = cells(next(line for line in screen.splitlines() if "STATE" in line))
    assert "REQ/S" in header and "P99" in header, screen
    # Every number of the sums is there, with its unit.
    for pattern in [r"[\d.]+k? req/s", r"p50 [\d.]+ (µs|ms|s)", r"p99 [\d.]+ (µs|ms|s)", r"failed [\d.]+ %", r"in flight \d+", r"clients \d+", r"backends 3/3"]:
        assert re.search(pattern + r"(?!\S)", screen), (pattern, screen)
    for line in rows:
        assert re.search(r" ([\d.]+k?) .*?(-|[\d.]+ (µs|ms|s))", line), line
    # A question is shown to its end.
    terminal.type("d")
    terminal.wait_for(lambda screen: "y/n" in screen, "the whole question")
    terminal.type("n", "q")
    assert terminal.is_plain()


def test_a_locale_without_utf_8_gets_ascii(pollux_bin, tmp_path, keep, toy, terminals):
    narrow(pollux_bin, tmp_path, keep, toy)
    terminal = terminals(env="-u LANG -u LC_CTYPE LC_ALL=C")
    terminal.run(pollux_bin, "top", "--control", tmp_path / "control")
    screen = terminal.see("+ up")
    terminal.type("Enter")
    more = terminal.see("any key closes this")
    assert (screen + more).isascii(), screen + more
    terminal.type("x", "q")
    assert terminal.is_plain()


def test_no_color_leaves_colours_out(pollux_bin, tmp_path, keep, toy, terminals):
    narrow(pollux_bin, tmp_path, keep, toy)
    for number, (env, has_colours) in enumerate([("LC_ALL=C.UTF-8", True), ("LC_ALL=C.UTF-8 NO_COLOR=1", False)]):
        terminal = terminals(env=f"-u NO_COLOR {env}")
        terminal.run(pollux_bin, "top", "--control", tmp_path / "control")
        terminal.see("● up")
        painted = terminal.do("capture-pane", "-p", "-e")
        assert bool(re.search(r"\x1b\[(\d+;)*(3[1-7]|38)", painted)) == has_colours, painted
        terminal.type("q")


def test_a_dumb_terminal_gets_lines(pollux_bin, tmp_path, keep, toy, terminals):
    narrow(pollux_bin, tmp_path, keep, toy)
    terminal = terminals(env="LC_ALL=C.UTF-8 TERM=dumb", height=60)
    log = tmp_path / "typed"
    terminal.do("pipe-pane", "-o", f"cat >{shlex.quote(str(log))}")
    terminal.run(pollux_bin, "top", "--control", tmp_path / "control")
    # One picture behind the other.
    terminal.wait_for(lambda screen: screen.count("STATE") >= 2, "two pictures")
    terminal.type("C-c")
    terminal.wait_for(lambda screen: screen.rstrip().endswith("$"), "the end")
    assert b"\x1b" not in log.read_bytes()
