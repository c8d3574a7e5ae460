"""What all contenders have in common, and what they are set up with.

Alike for all: one backend, one thread (or as many as asked for), keep-alive on both sides, room for as many idle
connections as the load can leave behind, TCP_NODELAY, no access log, no compression, no limit that the idle clients
would meet. All else, buffers above all, stays as it comes.
"""

import dataclasses
import pathlib
from typing import Callable

from ..processes import BenchError, Running, tool

# Clients and backend connections at once: 5,000 idle clients, and every one with a backend connection of its own.
CLIENTS_MAX = 7000
IDLE_PER_BACKEND = 1024
# Longer than a measurement takes, so that no idle connection ends within one.
IDLE_S = 600


@dataclasses.dataclass(frozen=True)
class Contender:
    name: str
    # "pollux", "debian" and "package" are proxies, and "crew" is Pollux with several workers; "floor" is no proxy.
    group: str
    # Starts it with a Setup; returns (Running, address).
    start: Callable
    # Says why it cannot run in a mode ("http" or "tcp") with these Tools, or returns None.
    absent: Callable
    # The command that prints its version with these Tools, or None.
    version: Callable = lambda tools: None
    # A variant that only matters where bodies are big.
    bodies_only: bool = False

    @property
    def is_peer(self):
        return self.group in ("debian", "package")


@dataclasses.dataclass(frozen=True)
class Setup:
    """What a contender is started with."""

    directory: pathlib.Path
    backend: str
    cores: list
    tools: "Tools"
    threads: int = 1
    mode: str = "http"
    # For what is not to wait behind the requests to the other one.
    second_backend: str | None = None

    def run(self, name, command, **more):
        return Running(name, command, cores=self.cores, log=self.directory / f"{name}.log", **more)

    def write(self, name, text):
        path = self.directory / name
        path.write_text(text)
        return str(path)


@dataclasses.dataclass(frozen=True)
class Tools:
    """Where the programs are that no package manager puts into the PATH."""

    pollux: str | None = None
    floor: str | None = None
    # From PyPI: name -> path, or name -> the reason why there is none.
    packages: dict = dataclasses.field(default_factory=dict)
    reasons: dict = dataclasses.field(default_factory=dict)


def ready(running):
    """(running, the address that it says it listens at)."""
    try:
        return running, running.ready_address()
    except BaseException:
        running.stop()
        raise


def answering(running, address):
    """(running, address), once it answers."""
    try:
        running.await_answer(address)
        return running, address
    except BaseException:
        running.stop()
        raise


def missing(program):
    try:
        tool(program)
        return None
    except BenchError as error:
        return str(error)


def missing_package(name):
    """The check of a contender from PyPI."""

    def absent(tools, _mode):
        return None if name in tools.packages else tools.reasons.get(name, "it was not installed")

    return absent
