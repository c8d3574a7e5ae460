"""Medians, spreads and ratios as text."""

import statistics

MEASURES = [
    ("requests/s", "rate", "{:.0f}"),
    ("p50 µs", "p50_us", "{:.0f}"),
    ("p90 µs", "p90_us", "{:.0f}"),
    ("p99 µs", "p99_us", "{:.0f}"),
    ("CPU µs/req", "cpu_us", "{:.2f}"),
    ("  user", "user_us", "{:.2f}"),
    ("  system", "system_us", "{:.2f}"),
    ("socket errors", "socket_errors", "{:.0f}"),
    ("non-2xx", "bad_status", "{:.0f}"),
]
RATIOS = [("requests/s", "rate"), ("p99", "p99_us"), ("CPU/req", "cpu_us")]
COUNTED = {"socket_errors", "bad_status"}


def values(rounds, key):
    return [run[key] for run in rounds if key in run]


def cell(rounds, key, shape):
    """`median (min–max)`, or the sum for what must be zero."""
    found = values(rounds, key)
    if not found:
        return "–"
    if key in COUNTED:
        return shape.format(sum(found))
    middle, low, high = statistics.median(found), min(found), max(found)
    return f"{shape.format(middle)} ({shape.format(low)}–{shape.format(high)})"


def results(runs):
    """A column per target; `runs` maps a target to its rounds."""
    rows = [["", *runs]]
    for title, key, shape in MEASURES:
        rows.append([title, *(cell(rounds, key, shape) for rounds in runs.values())])
    return align(rows)


def ratios(runs):
    """Pollux ÷ each other proxy, taken round by round so that a slow minute hits both sides."""
    others = [target for target in runs if target not in ("pollux", "direct")]
    if "pollux" not in runs or not others:
        return []
    rows = [["", *(f"pollux ÷ {other}" for other in others)]]
    for title, key in RATIOS:
        rows.append([title, *(ratio(runs["pollux"], runs[other], key) for other in others)])
    return align(rows)


def ratio(ours, theirs, key):
    found = [our / their for our, their in zip(values(ours, key), values(theirs, key)) if their]
    if not found:
        return "–"
    return f"{statistics.median(found):.2f} ({min(found):.2f}–{max(found):.2f})"


def calls(name, per_request):
    """System calls per request, the frequent first; what happens once in a hundred requests is left out."""
    often = sorted(((count, call) for call, count in per_request.items() if count >= 0.01), reverse=True)
    listed = "  ".join(f"{call} {count:.2f}" for count, call in often)
    return f"{name}: {sum(per_request.values()):.2f} in all: {listed}"


def align(rows):
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip() for row in rows]
