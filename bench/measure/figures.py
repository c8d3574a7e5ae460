"""From runs to figures: what is derived, what makes a run invalid, medians, spreads, ratios."""

import statistics


def headline(workload):
    """(key, shape) of the figure by which contenders are compared in this workload."""
    if workload.kind == "memory":
        return "idle_bytes", "{:.0f} bytes per connection"
    if workload.kind == "start":
        return "start_ms", "{:.1f} ms"
    if workload.kind == "paced":
        return "p99_us", "p99 {:.0f} µs"
    # CPU time is what depends least on how busy the rest of the machine is.
    if workload.body_bytes:
        return "cpu_s_per_gb", "{:.3f} s of CPU per GB"
    return "cpu_us", "{:.1f} µs of CPU per request"


def with_derived(run, workload):
    if workload.body_bytes:
        # µs per request by bytes per request, as seconds per 10^9 bytes.
        run["cpu_s_per_gb"] = run["cpu_us"] * 1e3 / workload.body_bytes
    return run


def wrong(run, workload):
    """Why a run's figures must not be used; None if they may."""
    if "requests" not in run:
        return None
    found = []
    if run.get("socket_errors"):
        found.append(f"{run['socket_errors']} socket errors")
    if run.get("bad_status"):
        found.append(f"{run['bad_status']} answers that are not 2xx")
    if run["requests"] == 0:
        found.append("no request was answered")
    if run.get("bytes", run["requests"] * workload.response_bytes) < run["requests"] * workload.response_bytes:
        found.append("responses were too short")
    if run.get("due", run["requests"]) > run["requests"]:
        found.append(f"only {run['requests']} of {run['due']} requests were answered")
    return ", ".join(found) or None


def usable(cell):
    return bool(cell) and cell["left_out"] is None and cell["failed"] is None and bool(cell["runs"])


def values(runs, key):
    return [run[key] for run in runs if key in run]


def median(cell, key):
    found = values(cell["runs"], key) if usable(cell) else []
    return statistics.median(found) if found else None


def spread(found, shape):
    """`median (least–most)`"""
    if not found:
        return "–"
    middle, low, high = statistics.median(found), min(found), max(found)
    if len(found) == 1:
        return shape.format(middle)
    return f"{shape.format(middle)} ({shape.format(low)}–{shape.format(high)})"


def ratios(ours, theirs, key):
    """Ours ÷ theirs, round by round, so that a slow minute hits both sides."""
    return [our / their for our, their in zip(values(ours, key), values(theirs, key)) if their]


def lowest(cells, key, names):
    """The name of the usable cell with the lowest median."""
    found = {name: median(cells.get(name), key) for name in names}
    found = {name: value for name, value in found.items() if value is not None}
    return min(found, key=found.get, default=None)


def calls_per_request(cell):
    return sum(cell["system_calls"].values()) if usable(cell) and cell["system_calls"] else None
