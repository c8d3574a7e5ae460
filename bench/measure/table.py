"""The tables of bench/wrk: a column per target, a row per measure."""

from . import figures
from .figures import values

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


def cell(rounds, key, shape):
    """`median (min–max)`, or the sum for what must be zero."""
    found = values(rounds, key)
    if not found:
        return "–"
    if key in COUNTED:
        return shape.format(sum(found))
    return figures.spread(found, shape)


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
    return figures.spread(figures.ratios(ours, theirs, key), "{:.2f}")


def calls(name, per_request):
    """System calls per request, the frequent first; what happens once in a hundred requests is left out."""
    often = sorted(((count, call) for call, count in per_request.items() if count >= 0.01), reverse=True)
    listed = "  ".join(f"{call} {count:.2f}" for count, call in often)
    return f"{name}: {sum(per_request.values()):.2f} in all: {listed}"


def align(rows):
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip() for row in rows]


def markdown(rows):
    heading, *rest = rows
    rules = ["---", *("---:" for _ in heading[1:])]
    return ["| " + " | ".join(row) + " |" for row in (heading, rules, *rest)]
