"""One run of a load, and what it and the kernel say about it."""

import json
import pathlib
import re
import signal
import subprocess

from .processes import READY_S_MAX, BenchError, tool

REPORT = pathlib.Path(__file__).with_name("report.lua")
SPARE_S = 30


def wrk(address, *, connections, seconds, core, path="/", closing=False, upload_bytes=0):
    """Loads `address` and returns wrk's summary, with the rate added.

    `closing` asks for the end of the connection with each request, `upload_bytes` posts as many.
    """
    command = [tool("taskset"), "-c", str(core), tool("wrk"), "--threads", "1", "--latency"]
    command += ["--connections", str(connections), "--duration", f"{seconds}s"]
    command += ["--header", "Connection: close"] if closing else []
    command += ["--script", str(REPORT), f"http://{address}{path}"]
    command += ["--", str(upload_bytes)] if upload_bytes else []
    done = run(command, seconds)
    for line in done.stdout.splitlines():
        if line.startswith("SUMMARY "):
            summary = json.loads(line.removeprefix("SUMMARY "))
            summary["rate"] = summary["requests"] / (summary["duration_us"] / 1e6)
            return summary
    raise BenchError(f"wrk gave no summary\n{done.stdout}{done.stderr}")


def paced(program, address, *, connections, rate, seconds, core, paths=1):
    """Loads `address` at a fixed rate, by so many paths; latencies count from when each request was due."""
    command = [tool("taskset"), "-c", str(core), program, address, "--rate", str(rate)]
    command += ["--seconds", str(seconds), "--connections", str(connections), "--paths", str(paths)]
    done = run(command, seconds)
    if done.returncode != 0:
        raise BenchError(f"paced-load failed\n{done.stderr}")
    return json.loads(done.stdout)


def run(command, seconds):
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=seconds + SPARE_S)
    except subprocess.TimeoutExpired:
        raise BenchError(f"the load took more than {SPARE_S} s longer than it should") from None


def measured(running, load):
    """Runs `load`; adds what `running` spent on it, in µs of CPU time per request."""
    ticks_before, before_ns = running.cpu_s(), running.cpu_ns()
    summary = load()
    running.check_alive()
    spent_us = (running.cpu_ns() - before_ns) / 1e3
    user, system = (after - then for after, then in zip(running.cpu_s(), ticks_before))
    # The sum is exact; only its two parts are known in ticks.
    user_share = user / (user + system) if user + system else 0
    summary["cpu_us"] = spent_us / max(summary["requests"], 1)
    summary["user_us"] = summary["cpu_us"] * user_share
    summary["system_us"] = summary["cpu_us"] - summary["user_us"]
    return summary


def system_calls(running, load, directory):
    """Runs `load` with strace attached; returns {call: times per request}."""
    counts = directory / f"{running.name}.strace"
    command = [tool("strace"), "-c", "-f", "-o", str(counts)]
    for pid in running.pids():
        command += ["-p", str(pid)]
    tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        said = tracer.stderr.readline()
        if "attached" not in said:
            raise BenchError(f"strace could not attach to {running.name}: {said.strip()}")
        summary = load()
    finally:
        # On SIGINT strace detaches, writes its table and leaves the traced process running.
        tracer.send_signal(signal.SIGINT)
        tracer.communicate(timeout=READY_S_MAX)
    requests = max(summary["requests"], 1)
    return {call: count / requests for call, count in parse_strace(counts.read_text()).items()}


def parse_strace(table):
    """Rows are `%time seconds usecs/call calls [errors] name`; the last is the total."""
    rows = re.findall(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$", table, re.MULTILINE)
    return {name: int(calls) for calls, name in rows if name != "total"}
