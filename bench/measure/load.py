"""One run of wrk, and what it and the kernel say about it."""

import json
import pathlib
import re
import signal
import subprocess

from .processes import READY_S_MAX, BenchError, tool

REPORT = pathlib.Path(__file__).with_name("report.lua")
SPARE_S = 30


def wrk(address, *, connections, seconds, core):
    """Loads `address` and returns wrk's summary, with the rate added."""
    command = [tool("taskset"), "-c", str(core), tool("wrk"), "--threads", "1", "--latency"]
    command += ["--connections", str(connections), "--duration", f"{seconds}s"]
    command += ["--script", str(REPORT), f"http://{address}/"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + SPARE_S)
    for line in done.stdout.splitlines():
        if line.startswith("SUMMARY "):
            summary = json.loads(line.removeprefix("SUMMARY "))
            summary["rate"] = summary["requests"] / (summary["duration_us"] / 1e6)
            return summary
    raise BenchError(f"wrk gave no summary\n{done.stdout}{done.stderr}")


def measured(running, load):
    """Runs `load`; adds what `running` spent on it, in µs of CPU time per request."""
    before = running.cpu_s()
    summary = load()
    running.check_alive()
    user, system = (after - then for after, then in zip(running.cpu_s(), before))
    requests = max(summary["requests"], 1)
    summary["user_us"] = user * 1e6 / requests
    summary["system_us"] = system * 1e6 / requests
    summary["cpu_us"] = summary["user_us"] + summary["system_us"]
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
