"""Runs the workloads: starts the contenders, takes turns, collects the runs.

A cell is a workload with a contender: {"runs": […], "system_calls": {…}, "left_out": why or None, "failed": why or
None, "untraced": why or None}. Whatever goes wrong in a cell is told in it and ends it; the others go on.
"""

import contextlib
import dataclasses
import pathlib
import shutil
import statistics
import sys
import time

from . import figures, progress
from .build import ROOT
from .contenders.base import Setup, Tools
from .held import held
from .load import measured, paced, system_calls, wrk
from .processes import BenchError, Running

WARM_UP_S = 1
# How long a proxy may take to give back what its clients no longer need.
SETTLE_S = 2
FIRST_CLIENTS = 100
RATE_STEP = 100


@dataclasses.dataclass
class Bench:
    """What every measurement needs to know."""

    contenders: dict
    tools: Tools
    lean_backend: str
    paced_load: str
    proxy_cores: list
    load_core: int
    rounds: int
    seconds: int
    # How long to trace system calls; 0 for not at all.
    trace_s: int
    # Which workloads to trace; None for all.
    traced: tuple | None
    directory: pathlib.Path

    def backend(self):
        return Running(
            "lean-backend",
            [self.lean_backend],
            cores=[self.load_core],
            log=self.directory / "lean-backend.log",
            says_address=True,
        )

    def start(self, name, backend, mode):
        directory = self.directory / name
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        setup = Setup(directory, backend, self.proxy_cores, self.tools, mode=mode)
        return self.contenders[name].start(setup)


def turns(names, rounds, run):
    """Calls run(name) for each in turn. Each round begins with another, so that none is always first or last."""
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            run(number, name)


def run_all(bench, workloads):
    """Returns {workload: {contender: cell}}."""
    results = {}
    for workload in workloads:
        progress.say(f"{workload.name}: {workload.title}")
        cells = prepare(bench, workload)
        results[workload.name] = cells
        with contextlib.ExitStack() as stack:
            backend = stack.enter_context(bench.backend()).ready_address()
            if workload.kind in ("memory", "start"):
                run_fresh(bench, workload, cells, backend)
            else:
                run_kept(bench, workload, cells, backend, stack, results)
    return results


def prepare(bench, workload):
    """An empty cell for each contender that the workload is meant for."""
    cells = {}
    for name, contender in bench.contenders.items():
        if workload.takes(contender):
            reason = contender.absent(bench.tools, workload.mode)
            cells[name] = {"runs": [], "system_calls": {}, "left_out": reason}
            cells[name] |= {"failed": None, "untraced": None}
    return cells


def live(cells):
    return [name for name, cell in cells.items() if cell["left_out"] is None and cell["failed"] is None]


@contextlib.contextmanager
def told_in(cell, name):
    """What goes wrong inside is this cell's failure, and nobody else's."""
    try:
        yield
    except (BenchError, OSError) as error:
        # Where the sources lie is nobody's business who reads the results.
        cell["failed"] = str(error).replace(f"{ROOT}/", "")
        print(f"  {name} failed: {error}", file=sys.stderr)


def run_fresh(bench, workload, cells, backend):
    """Every figure needs a process that has done nothing yet."""
    one = start_up if workload.kind == "start" else idle_memory

    def run(number, name):
        if cells[name]["failed"] is None:
            with told_in(cells[name], name):
                cells[name]["runs"].append(one(bench, workload, name, backend))
                progress(bench, number, name, workload, cells[name])

    if names := live(cells):
        turns(names, bench.rounds, run)


def start_up(bench, workload, name, backend):
    running, address = bench.start(name, backend, workload.mode)
    with running:
        return {"start_ms": (running.await_answer(address) - running.started_ns) / 1e6}


def idle_memory(bench, workload, name, backend):
    running, address = bench.start(name, backend, workload.mode)
    with running:
        running.await_answer(address)
        # The first clients bring what is there once, such as code and pools, into memory.
        with held(address, FIRST_CLIENTS):
            pass
        time.sleep(SETTLE_S)
        before = running.resident_bytes()
        with held(address, workload.idle):
            time.sleep(SETTLE_S)
            grown = running.resident_bytes() - before
        running.check_alive()
    return {"idle_bytes": grown / workload.idle, "resident_bytes": before}


def run_kept(bench, workload, cells, backend, stack, results):
    """The contenders keep running, each idle while it is another's turn."""
    started = {}
    for name in live(cells):
        with told_in(cells[name], name):
            started[name] = bench.start(name, backend, workload.mode)
            stack.enter_context(started[name][0])
            started[name][0].await_answer(started[name][1])
    rate = agreed_rate(bench, workload, cells, started, results) if workload.kind == "paced" else None

    def once(name, seconds):
        running, address = started[name]
        with held(address, workload.idle):
            if rate:
                return measured(running, lambda: paced_run(bench, workload, address, rate, seconds))
            return measured(running, lambda: wrk_run(bench, workload, address, seconds))

    def run(number, name):
        if cells[name]["failed"] is not None:
            return
        with told_in(cells[name], name):
            cells[name]["runs"].append(figures.with_derived(once(name, bench.seconds), workload))
            progress(bench, number, name, workload, cells[name])
            cells[name]["failed"] = figures.wrong(cells[name]["runs"][-1], workload)

    for name in live(cells):
        with told_in(cells[name], name):
            wrk_run(bench, workload, started[name][1], WARM_UP_S)
    if names := live(cells):
        turns(names, bench.rounds, run)
    if workload.kind == "wrk" and bench.trace_s and (bench.traced is None or workload.name in bench.traced):
        trace(bench, workload, cells, started)


def trace(bench, workload, cells, started):
    """One more run under strace. When it fails, the figures of the runs before it still stand."""

    def traced(address):
        summary = wrk_run(bench, workload, address, bench.trace_s)
        if problem := figures.wrong(summary, workload):
            raise BenchError(problem)
        return summary

    for name in live(cells):
        running, address = started[name]
        try:
            with held(address, workload.idle):
                calls = system_calls(running, lambda: traced(address), bench.directory)
            cells[name]["system_calls"] = calls
        except (BenchError, OSError) as error:
            cells[name]["untraced"] = str(error)
            print(f"  {name} could not be traced: {error}", file=sys.stderr)


def wrk_run(bench, workload, address, seconds):
    return wrk(
        address,
        connections=workload.connections,
        seconds=seconds,
        core=bench.load_core,
        path=workload.path,
        closing=workload.closing,
        upload_bytes=workload.upload_bytes,
    )


def paced_run(bench, workload, address, rate, seconds):
    summary = paced(
        bench.paced_load,
        address,
        connections=workload.connections,
        rate=rate,
        seconds=seconds,
        core=bench.load_core,
    )
    return {**summary, "rate": rate}


def agreed_rate(bench, workload, cells, started, results):
    """Half of what the slowest can do, in whole hundreds per second; measured here where it is not known yet."""
    known = results.get("small-64", {})
    capacities = []
    for name in live(cells):
        # The floor sets no pace: it is there to compare with.
        if bench.contenders[name].group == "floor":
            continue
        runs = known.get(name, {}).get("runs")
        with told_in(cells[name], name):
            runs = runs or [wrk_run(bench, workload, started[name][1], bench.seconds)]
            capacities.append(statistics.median(run["rate"] for run in runs))
    if not capacities:
        capacities = [run["rate"] for cell in known.values() for run in cell["runs"]] or [2 * RATE_STEP]
    return max(round(min(capacities) / 2 / RATE_STEP), 1) * RATE_STEP


def progress(bench, number, name, workload, cell):
    key, shape = figures.headline(workload)
    progress.say(f"  round {number + 1}/{bench.rounds}: {name} {shape.format(cell['runs'][-1][key])}")
