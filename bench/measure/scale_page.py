"""bench/SCALE.md, bench/scale.json and their plots; and the same tables for the terminal."""

import datetime
import json
import pathlib
import re
import subprocess

from . import figures, packages
from .build import ROOT
from .processes import BenchError
from .results import facts
from .scale import CURVES
from .table import align, markdown

BENCH = ROOT / "bench"
PLOT_S_MAX = 120
INTRODUCTION = """\
Written by `{command}`. One worker on one core, the load and the backends on another; 100-byte responses. CPU is all that
Pollux spends on a request, the kernel's part included, in a fresh process for each of {rounds} rounds of {seconds} s; times
and instructions of single functions are without a kernel (`bench/scale_parts.rs`). Figures are medians with the least and
the most in parentheses. The growth of each part, and the reasons, stand in [costs.md](../docs/internals/costs.md).
"""


def document(settings, machine, versions, curves):
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "settings": settings,
        "machine": machine,
        "versions": versions,
        "curves": curves,
    }


def rows(curve, found):
    table = [[curve.unit, *(heading for heading, _ in curve.figures.values())]]
    for point in found["points"]:
        shown = (figures.spread(point[name], shape) for name, (_, shape) in curve.figures.items())
        table.append([f"{point['size']:,}", *shown])
    return table


def remarks(found):
    return [f"{size}: not measured: {why}" for size, why in found["missing"].items()]


def terminal(measured):
    machine = measured["machine"]
    yield f"{machine['cpu']}, {machine['cores']} cores; {machine['kernel']}; load average {machine['load_average']}"
    for name, found in measured["curves"].items():
        yield f"\n{name}: {CURVES[name].title}\n"
        yield from align(rows(CURVES[name], found))
        yield from remarks(found)


def write(measured):
    text = json.dumps(measured, indent=1, ensure_ascii=False)
    # What holds nothing but figures is one line.
    text = re.sub(r"\[[^{}\[\]]*\]", lambda inner: " ".join(inner[0].split()), text)
    (BENCH / "scale.json").write_text(text + "\n")
    drawn, failure = draw()
    (BENCH / "SCALE.md").write_text("\n".join(page(measured, drawn, failure)) + "\n")


def draw():
    try:
        packages.install("plots")
        command = [str(packages.PYTHON), "-m", "measure.scale_plots", str(BENCH / "scale.json"), str(BENCH / "plots")]
        done = subprocess.run(command, cwd=BENCH, capture_output=True, text=True, timeout=PLOT_S_MAX)
    except (BenchError, subprocess.TimeoutExpired) as error:
        return {}, str(error)
    if done.returncode != 0:
        return {}, (done.stderr.strip().splitlines() or ["it did not say why"])[-1]
    files = [pathlib.Path(line).name for line in done.stdout.splitlines()]
    return {file.removeprefix("scale-").removesuffix(".svg"): file for file in files}, None


def page(measured, drawn, failure):
    yield "# How costs grow"
    yield ""
    yield INTRODUCTION.format(**measured["settings"])
    yield from facts(measured)
    if failure:
        yield f"No plots: matplotlib could not draw them ({failure})."
        yield ""
    for name, found in measured["curves"].items():
        yield f"## {name}: {CURVES[name].title}"
        yield ""
        yield from markdown(rows(CURVES[name], found))
        yield ""
        if missing := remarks(found):
            yield from (f"- {remark}" for remark in missing)
            yield ""
        if name in drawn:
            yield f"![{name}](plots/{drawn[name]})"
            yield ""
