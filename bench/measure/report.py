"""The tables of bench/compare: one for each workload, a row per contender."""

from . import figures
from .contenders import CONTENDERS

LINE_MAX = 300
LOADED = [
    ("requests/s", "rate", "{:.0f}"),
    ("p50 µs", "p50_us", "{:.0f}"),
    ("p99 µs", "p99_us", "{:.0f}"),
]
CPU = [
    ("CPU µs/request", "cpu_us", "{:.1f}"),
    ("user", "user_us", "{:.1f}"),
    ("system", "system_us", "{:.1f}"),
]
COLUMNS = {
    "memory": [("bytes/connection", "idle_bytes", "{:.0f}")],
    "start": [("ms", "start_ms", "{:.1f}")],
    "paced": [LOADED[0], LOADED[1], LOADED[2], ("p99.9 µs", "p999_us", "{:.0f}"), CPU[0]],
}


def columns(workload):
    if workload.kind in COLUMNS:
        return COLUMNS[workload.kind]
    return [*LOADED, ("CPU s/GB", "cpu_s_per_gb", "{:.3f}")] if workload.body_bytes else [*LOADED, *CPU]


def rows(workload, cells):
    """The table, heading first. Contenders without figures have none of these: see `remarks`."""
    counted = any(figures.calls_per_request(cell) for cell in cells.values())
    heading = ["", *(title for title, _, _ in columns(workload))]
    heading += ["calls/request"] if counted else []
    key, _ = figures.headline(workload)
    compared = references(cells, key)
    heading += [f"{columns_name(workload, key)} ÷ {name}" for name in compared]
    table = [heading]
    for name, cell in cells.items():
        if not figures.usable(cell):
            continue
        row = [name]
        row += [figures.spread(figures.values(cell["runs"], key), shape) for _, key, shape in columns(workload)]
        if counted:
            calls = figures.calls_per_request(cell)
            row.append("–" if calls is None else f"{calls:.2f}")
        row += [ratio(cells, name, reference, key) for reference in compared.values()]
        table.append(row)
    return table


def columns_name(workload, key):
    title = next(title for title, column, _ in columns(workload) if column == key)
    return {"CPU µs/request": "CPU", "CPU s/GB": "CPU", "p99 µs": "p99"}.get(title, title)


def references(cells, key):
    """{heading: contender} of what all are compared with: the best peer, the lower floor."""
    peers = [name for name in cells if CONTENDERS[name].is_peer]
    floors = [name for name in cells if CONTENDERS[name].group == "floor"]
    found = {"best peer": figures.lowest(cells, key, peers), "floor": figures.lowest(cells, key, floors)}
    return {heading: name for heading, name in found.items() if name}


def ratio(cells, name, reference, key):
    if name == reference:
        return "1"
    return figures.spread(figures.ratios(cells[name]["runs"], cells[reference]["runs"], key), "{:.2f}")


def short(text):
    """One line of it: what goes wrong may bring the end of a log along."""
    line = " ".join(text.split())
    return line if len(line) <= LINE_MAX else line[:LINE_MAX] + " …"


def remarks(cells):
    """What keeps a contender, or its calls, out of the table."""
    for name, cell in cells.items():
        if cell["left_out"]:
            yield f"{name}: not run: {cell['left_out']}"
        elif cell["failed"]:
            yield f"{name}: INVALID: {short(cell['failed'])}"
        elif cell["untraced"]:
            yield f"{name}: system calls not counted: {short(cell['untraced'])}"


def failures(results):
    return [
        f"{workload}: {name}: {short(cell['failed'])}"
        for workload, cells in results.items()
        for name, cell in cells.items()
        if cell["failed"]
    ]
