"""The curves of bench/scale: what is made bigger, and what is measured at each size.

A curve, once measured, is {"points": [{"size": …, figure: [one value per round]}], "missing": {size: why}}.
"""

import dataclasses
import os
import pathlib
import re
import subprocess
import sys
import time
from typing import Callable

from . import figures, progress
from .held import held
from .load import measured, wrk
from .processes import BenchError, Running, tool

HOT = 64
RUN_S_MAX = 60
# Long enough that the clock's and the machine's twitches do not matter.
PART_NS = 50_000_000
# A difference of two counts is free of what comes before and after.
COUNTED = 50
# Two descriptors for each session, and some for everything else: so many idle clients fit.
DESCRIPTORS_SPARE = 400
WARM_UP_S = 1

CONFIG = """\
threads = 1

[[listener]]
name = "clients"
bind = "127.0.0.1:0"
pool = "lean"

{routes}

[pool.lean]
backends = [
{backends}
]

[timeouts]
client_idle = "600s"
backend_idle = "600s"

[limits]
sessions = {sessions}
idle_per_backend = 4096
"""
ROUTE = '[[listener.route]]\nmatch = {{ path = "/v1/p{number}/*" }}\npool = "lean"\n'


@dataclasses.dataclass
class Bench:
    """What every measurement needs to know."""

    pollux: str
    lean_backend: str
    parts: str
    proxy_cores: list
    load_core: int
    rounds: int
    seconds: int
    is_quick: bool
    descriptors: int
    directory: pathlib.Path


@dataclasses.dataclass(frozen=True)
class Curve:
    name: str
    title: str
    unit: str
    sizes: tuple
    # figure: (heading, shape)
    figures: dict
    # Gives {figure: value} for (bench, size); called once for each round.
    once: Callable


def measure(bench, curve):
    progress.say(f"{curve.name}: {curve.title}")
    points, missing = [], {}
    for size in curve.sizes[:2] if bench.is_quick else curve.sizes:
        point = {"size": size} | {name: [] for name in curve.figures}
        try:
            for _ in range(bench.rounds):
                for name, value in curve.once(bench, size).items():
                    point[name].append(value)
        except (BenchError, OSError, subprocess.SubprocessError) as error:
            missing[str(size)] = str(error).splitlines()[0]
            print(f"  {size}: {error}", file=sys.stderr)
            continue
        points.append(point)
        shown = (figures.spread(point[name], shape) for name, (_, shape) in curve.figures.items())
        progress.say(f"  {size}: {', '.join(shown)}")
    return {"points": points, "missing": missing}


def config(bench, *, backends=("127.0.0.1:1",), routes=0):
    path = bench.directory / "scale.toml"
    sessions = min(16000, bench.descriptors // 2 - DESCRIPTORS_SPARE // 2)
    text = CONFIG.format(
        routes="\n".join(ROUTE.format(number=number) for number in range(routes)),
        backends="\n".join(f'    "{backend}",' for backend in backends),
        sessions=sessions,
    )
    path.write_text(text)
    return str(path)


def following(address, count):
    """That address and those that follow it, as lean-backend takes them."""
    host, port = address.split(":")
    first = int.from_bytes(bytes(map(int, host.split("."))), "big")
    return [".".join(map(str, (first + number).to_bytes(4, "big"))) + f":{port}" for number in range(count)]


def loaded(bench, *, connections=HOT, idle=0, routes=0, backends=1):
    """CPU per request of a Pollux of that size, in a fresh process."""
    command = [bench.lean_backend, "--addresses", str(backends)]
    log = bench.directory / "lean-backend.log"
    with Running("lean-backend", command, cores=[bench.load_core], log=log, says_address=True) as backend:
        file = config(bench, backends=following(backend.ready_address(), backends), routes=routes)
        command = [bench.pollux, "-c", file, "--access-log", "off"]
        log = bench.directory / "pollux.log"
        with Running("pollux", command, cores=bench.proxy_cores, log=log, says_address=True) as pollux:
            address = pollux.ready_address()
            # The last of the routes.
            path = f"/v1/p{max(routes - 1, 0)}/x"

            def load(seconds):
                return wrk(address, connections=connections, seconds=seconds, core=bench.load_core, path=path)

            with held(address, idle):
                load(WARM_UP_S)
                run = measured(pollux, lambda: load(bench.seconds))
    if problem := run["socket_errors"] + run["bad_status"]:
        raise BenchError(f"{problem} requests failed")
    return {"cpu_us": run["cpu_us"]}


def part(bench, name, size):
    """Time of one, in ns, and instructions of one, without a kernel."""
    count, spent = 16, 0
    while spent < PART_NS:
        count *= max(2, min(64, PART_NS // max(spent, 1)))
        spent = int(output([bench.parts, name, str(size), str(count)]))
    return spent / count


def instructions(bench, name, size):
    counts = [instructions_of([bench.parts, name, str(size), str(times * COUNTED)]) for times in (1, 2)]
    return (counts[1] - counts[0]) / COUNTED


def instructions_of(command):
    valgrind = [tool("valgrind"), "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
    done = subprocess.run([*valgrind, *command], capture_output=True, text=True, timeout=RUN_S_MAX)
    found = re.search(r"I\s+refs:\s+([\d,]+)", done.stderr)
    if done.returncode or not found:
        raise BenchError(f"valgrind counted nothing: {done.stderr.strip()[-200:]}")
    return int(found[1].replace(",", ""))


def output(command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_S_MAX)
    if done.returncode != 0:
        raise BenchError(f"{command[0]} failed: {done.stderr.strip()[-200:]}")
    return done.stdout


def hot(bench, size):
    return loaded(bench, connections=size)


def idle(bench, size):
    if 2 * size + DESCRIPTORS_SPARE > bench.descriptors:
        raise BenchError(f"a limit of {bench.descriptors} open files holds no {size} sessions, two for each")
    return loaded(bench, idle=size)


def routes(bench, size):
    return {
        **loaded(bench, routes=size),
        "path_ns": part(bench, "decide-path", size),
        "path_instructions": instructions(bench, "decide-path", size),
        "header_ns": part(bench, "decide-header", size),
    }


def backends(bench, size):
    return {
        **loaded(bench, backends=size),
        "pick_ns": part(bench, "pick", size),
        "pick_instructions": instructions(bench, "pick", size),
    }


def load_file(bench, size):
    """Wall time and CPU time of `pollux check` of a file with so many routes."""
    command = [bench.pollux, "check", "-c", config(bench, routes=size)]
    begun = time.monotonic()
    with open(os.devnull, "wb") as nowhere:
        process = subprocess.Popen(command, stdout=nowhere, stderr=nowhere)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    spent = time.monotonic() - begun
    if process.returncode != 0:
        raise BenchError(f"pollux check failed: {output(command)}")
    return {"ms": spent * 1e3, "cpu_ms": (usage.ru_utime + usage.ru_stime) * 1e3, "mib": usage.ru_maxrss / 1024}


CPU = {"cpu_us": ("CPU µs/request", "{:.1f}")}
CURVES = {
    curve.name: curve
    for curve in (
        Curve("hot", "busy sessions", "connections", (1, 16, 64, 256, 512, 1000, 2000), CPU, hot),
        Curve("idle", "64 busy sessions beside idle ones", "idle connections", (0, 1000, 2500, 5000, 9500), CPU, idle),
        Curve(
            "routes",
            "routes; 64 connections ask for the last one",
            "routes",
            (10, 100, 1000, 10000),
            CPU
            | {
                "path_ns": ("decide, by host and path, ns", "{:.0f}"),
                "path_instructions": ("the same, instructions", "{:.0f}"),
                "header_ns": ("decide, by a header only, ns", "{:.0f}"),
            },
            routes,
        ),
        Curve(
            "backends",
            "backends of one pool; 64 connections",
            "backends",
            (4, 40, 400, 4000),
            CPU | {"pick_ns": ("pick, ns", "{:.0f}"), "pick_instructions": ("the same, instructions", "{:.0f}")},
            backends,
        ),
        Curve(
            "load",
            "`pollux check` of a file with so many routes",
            "routes",
            (10, 100, 1000, 10000),
            {"ms": ("ms", "{:.1f}"), "cpu_ms": ("CPU ms", "{:.1f}"), "mib": ("greatest resident MiB", "{:.1f}")},
            load_file,
        ),
    )
}
