"""Pollux, and variants of it by flag."""

import subprocess

from .base import CLIENTS_MAX, IDLE_PER_BACKEND, IDLE_S, Contender, ready

CONFIG = """\
threads = {threads}

[[listener]]
name = "clients"
bind = "127.0.0.1:0"
mode = "{mode}"

[pool.lean]
backends = ["{backend}"]

[timeouts]
client_idle = "{idle_s}s"
backend_idle = "{idle_s}s"
tunnel = "{idle_s}s"

[limits]
sessions = {clients_max}
idle_per_backend = {idle_per_backend}
"""


def variant(name, *flags, group="pollux"):
    """Pollux with more flags; it takes part only if the first of them is known."""

    def start(setup):
        text = CONFIG.format(
            threads=setup.threads,
            mode=setup.mode,
            backend=setup.backend,
            idle_s=IDLE_S,
            clients_max=CLIENTS_MAX,
            idle_per_backend=IDLE_PER_BACKEND,
        )
        config = setup.write(f"{name}.toml", text)
        command = [setup.tools.pollux, "-c", config, "--access-log", "off", *flags]
        return ready(setup.run(name, command, says_address=True))

    def absent(tools, _mode):
        if tools.pollux is None:
            return "there is no binary"
        if flags and flags[0] not in help_of(tools.pollux):
            return f"this pollux has no {flags[0]}"
        return None

    return Contender(name, group, start, absent, lambda tools: [tools.pollux, "--version"])


def help_of(binary):
    return subprocess.run([binary, "--help"], capture_output=True, text=True, timeout=10).stdout


CONTENDER = variant("pollux")
