"""Pages of docs/ as scripts: their files are written, their commands run in a shell, and what they print is compared.

A ```console block has commands behind `$ `, each followed by what it prints. `…` stands for any text of a line, and alone on a line for
any number of lines; blanks are compared as one. A ```toml block below a paragraph that ends in `NAME.toml`: is written to that file.
The ports of a page are replaced by free ones.
"""

import os
import pathlib
import re
import subprocess
import time

from harness.dns import free_port

READY_S_MAX = 10
BLOCK = re.compile(r"^```(console|toml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"`([\w.-]+\.toml)`:\s*\Z")
STARTED = re.compile(r"[^>]*> (\S+).*&( \w+=\$!)?")
PORT = re.compile(r"(?:127\.0\.0\.1|localhost):(\d{4,5})\b")


def commands(block):
    """The commands of a console block, each with the lines that it prints; a line behind `> ` continues a command."""
    found = []
    for line in block.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif line.startswith("> ") and not found[-1][1]:
            found[-1] = (f"{found[-1][0]}\n{line[2:]}", [])
        else:
            found[-1][1].append(line)
    return found


def expression(lines):
    """What matches these lines as they are printed."""
    made = ""
    for line in lines:
        if line.strip() == "…":
            made += r"(?:.*\n)*"
        else:
            pieces = [r"[ \t]+".join(map(re.escape, re.split(r"[ \t]+", piece))) for piece in line.rstrip().split("…")]
            made += ".*".join(pieces) + r"[ \t]*\n"
    return re.compile(made)


class Shell:
    """A shell in a folder of its own. What it has started ends with it."""

    def __init__(self, folder, programs):
        self.folder = folder
        path = os.pathsep.join([*(str(pathlib.Path(program).parent) for program in programs), os.environ["PATH"]])
        env = {**os.environ, "PATH": path, "NO_COLOR": "1", "LC_ALL": "C.UTF-8"}
        self._process = subprocess.Popen(
            ["bash"], cwd=folder, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def run(self, command):
        """What it prints, and its exit status."""
        started = STARTED.fullmatch(command)
        if started:
            (self.folder / started[1]).unlink(missing_ok=True)
        self._process.stdin.write(f"{command}\nprintf '\\n%s %s\\n' end-of-command $?\n")
        self._process.stdin.flush()
        said = []
        for line in self._process.stdout:
            if match := re.fullmatch(r"end-of-command (\d+)\n", line):
                break
            said.append(line)
        else:
            raise AssertionError(f"the shell ended in {command!r}: {said}")
        text = "".join(said).removesuffix("\n")
        if started:
            self._wait_for(self.folder / started[1], command)
        elif ended := re.fullmatch(r"kill (\$\w+)", command):
            self.run(f"wait {ended[1]} 2> /dev/null")
        return text, int(match[1])

    def run_until(self, command, expected):
        """The same. The access log is written a moment later, so what looks there looks again."""
        deadline = time.monotonic() + READY_S_MAX
        said, status = self.run(command)
        while "access.log" in command and not expected.fullmatch(said) and time.monotonic() < deadline:
            time.sleep(0.01)
            said, status = self.run(command)
        return said, status

    def _wait_for(self, log, command):
        """A reader types slowly: what was started listens by the next command."""
        deadline = time.monotonic() + READY_S_MAX
        while not (log.exists() and "listening on" in log.read_text()):
            assert time.monotonic() < deadline, f"{command!r} does not listen"
            time.sleep(0.01)

    def close(self):
        self._process.stdin.write("kill $(jobs -p) 2> /dev/null; wait\n")
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(READY_S_MAX)


def play(page, shell):
    """Runs all of a page; yields each command with what it printed and what the page says."""
    text = page.read_text()
    ports = {port: str(free_port()) for port in sorted(set(PORT.findall(text)))}
    text = re.sub(r"\b(" + "|".join([*ports, "no port"]) + r")\b", lambda match: ports[match[1]], text)
    for block in BLOCK.finditer(text):
        if block[1] == "toml":
            if name := FILE.search(text[: block.start()]):
                (shell.folder / name[1]).write_text(block[2])
            continue
        for command, lines in commands(block[2]):
            yield command, *shell.run_until(command, expression(lines)), lines, ports
