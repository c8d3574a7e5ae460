"""Draws bench/plots/*.svg from results.json: `python -m measure.plots RESULTS FOLDER`, with matplotlib at hand."""

import json
import pathlib
import sys

import matplotlib

matplotlib.use("svg")

from matplotlib import pyplot  # noqa: E402

from . import figures  # noqa: E402
from .contenders import CONTENDERS  # noqa: E402
from .workloads import WORKLOADS  # noqa: E402

# Text stays text, and the same figures give the same file.
matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "pollux", "font.size": 9})
COLOURS = {"pollux": "#c2410c", "debian": "#1d4ed8", "package": "#64748b", "floor": "#a3a3a3"}

PLOTS = {
    "cpu-small": (
        "CPU per request, µs (less is better)",
        "cpu_us",
        ("small-1", "small-64", "small-512", "close", "tcp-64", "idle-5000"),
    ),
    "cpu-bulk": ("CPU per GB, s (less is better)", "cpu_s_per_gb", ("down-64k", "down-1m", "up-1m")),
    "latency-p50": ("p50 at a fixed rate, µs (less is better)", "p50_us", ("paced", "paced-all")),
    "latency-p99": ("p99 at a fixed rate, µs (less is better)", "p99_us", ("paced", "paced-all")),
    "memory": ("bytes per idle connection (less is better)", "idle_bytes", ("memory",)),
    "start": ("ms from exec to the first answer (less is better)", "start_ms", ("start",)),
}


def draw(name, results, folder):
    """One panel per workload, one bar per contender; the line on a bar is from the least to the most."""
    title, key, wanted = PLOTS[name]
    panels = [(workload, bars(results[workload], key)) for workload in wanted if workload in results]
    panels = [(workload, found) for workload, found in panels if found]
    if not panels:
        return None
    columns = min(len(panels), 3)
    lines = -(-len(panels) // columns)
    height = 0.7 + 0.26 * max(len(found) for _, found in panels)
    figure, axes = pyplot.subplots(lines, columns, figsize=(4.2 * columns, height * lines), squeeze=False)
    places = [place for line in axes for place in line]
    for place, (workload, found) in zip(places, panels):
        panel(place, workload, found)
    for place in places[len(panels) :]:
        place.set_visible(False)
    figure.suptitle(title)
    figure.tight_layout()
    path = folder / f"{name}.svg"
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
    return path


def bars(cells, key):
    """[(contender, median, least, most)] of those that have the figure, the lowest first."""
    found = []
    for name, cell in cells.items():
        if figures.usable(cell) and (middle := figures.median(cell, key)) is not None:
            runs = figures.values(cell["runs"], key)
            found.append((name, middle, min(runs), max(runs)))
    return sorted(found, key=lambda bar: bar[1])


def panel(place, workload, found):
    names = [name for name, *_ in found]
    middles = [middle for _, middle, _, _ in found]
    reach = [[middle - low for _, middle, low, _ in found], [high - middle for _, middle, _, high in found]]
    colours = [COLOURS[CONTENDERS[name].group] for name in names]
    place.barh(names, middles, xerr=reach, color=colours, ecolor="#171717", capsize=2)
    for row, (_, middle, _, most) in enumerate(found):
        place.annotate(f" {middle:.3g}" if middle < 1000 else f" {middle:.0f}", (max(most, middle), row), va="center")
    place.invert_yaxis()
    place.margins(x=0.18)
    place.set_xlim(left=0)
    place.set_title(WORKLOADS[workload].title, fontsize=9)
    place.spines[["top", "right"]].set_visible(False)


def main():
    results = json.loads(pathlib.Path(sys.argv[1]).read_text())["results"]
    folder = pathlib.Path(sys.argv[2])
    folder.mkdir(exist_ok=True)
    for name in PLOTS:
        if path := draw(name, results, folder):
            print(path)


if __name__ == "__main__":
    main()
