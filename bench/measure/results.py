"""bench/RESULTS.md, bench/results.json and the plots: what `--write` leaves behind."""

import datetime
import json
import pathlib
import re
import subprocess

from . import packages, report, sections, targets
from .build import ROOT
from .processes import BenchError
from .table import markdown

BENCH = ROOT / "bench"
# Written by hand: what falls short and why. It is taken over as it is.
REMARKS = BENCH / "remarks.md"
PLOT_S_MAX = 120
INTRODUCTION = """\
Written by `{command}`; [README.md](README.md) says what is measured and how to read it. Every figure is the median over
{rounds} rounds of {seconds} s, with the least and the most in parentheses. All contenders took turns in each round, with
one thread pinned to one core, the load and the backend on another. A difference within the spread is none. The raw
figures are in [results.json](results.json).
"""


def document(settings, machine, versions, results):
    """All that was measured, as it is kept in results.json."""
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "settings": settings,
        "machine": machine,
        "versions": versions,
        "results": results,
    }


def write(measured, workloads):
    text = json.dumps(measured, indent=1, ensure_ascii=False)
    # What holds nothing but figures, such as a run, is one line.
    text = re.sub(r"\{[^{}\[\]]*\}", lambda inner: " ".join(inner[0].split()), text)
    (BENCH / "results.json").write_text(text + "\n")
    plots = draw()
    (BENCH / "RESULTS.md").write_text("\n".join(page(measured, workloads, plots)) + "\n")


def draw():
    """(the plots' files in the order in which they are shown, why there are none if so)"""
    try:
        packages.install("plots")
        command = [str(packages.PYTHON), "-m", "measure.plots", str(BENCH / "results.json"), str(BENCH / "plots")]
        drawn = subprocess.run(command, cwd=BENCH, capture_output=True, text=True, timeout=PLOT_S_MAX)
    except (BenchError, subprocess.TimeoutExpired) as error:
        return [], str(error)
    if drawn.returncode != 0:
        return [], (drawn.stderr.strip().splitlines() or ["it did not say why"])[-1]
    return [pathlib.Path(line).name for line in drawn.stdout.splitlines()], None


def page(measured, workloads, plots):
    yield "# Pollux beside its peers"
    yield ""
    yield INTRODUCTION.format(**measured["settings"])
    yield from facts(measured)
    yield "## Targets"
    yield ""
    yield from markdown(targets.rows(targets.verdicts(measured["results"], workloads)))
    yield ""
    yield "CPU is per request, or per GB where bodies are big. The better is that of nginx and HAProxy, the latter"
    yield f"with or without splice. {targets.NOT_HERE}"
    if REMARKS.exists():
        yield ""
        yield REMARKS.read_text().strip()
    drawn, failure = plots
    yield ""
    yield "## Plots"
    yield ""
    if failure:
        yield f"None: matplotlib could not draw them ({failure})."
    for name in drawn:
        yield f"![{pathlib.Path(name).stem}](plots/{name})"
        yield ""
    for name, cells in measured["results"].items():
        yield ""
        yield f"## {name}: {workloads[name].title}"
        yield ""
        yield from markdown(report.rows(workloads[name], cells))
        remarks = list(report.remarks(cells))
        yield from ["", *(f"- {remark}" for remark in remarks)] if remarks else []
    yield from sections.lines()


def facts(measured):
    machine = measured["machine"]
    yield "|  |  |"
    yield "|---|---|"
    yield f"| date | {measured['date']} |"
    yield f"| processor | {machine['cpu']}, {machine['cores']} cores |"
    yield f"| system | {machine['kernel']}, {machine['system']} |"
    yield f"| load average before | {machine['load_average']} |"
    for name, version in measured["versions"].items():
        yield f"| {name} | {version} |"
    yield ""


def terminal(measured, workloads, align):
    """The same tables for the terminal."""
    settings, machine, found = measured["settings"], measured["machine"], measured["results"]
    yield f"{settings['rounds']} rounds of {settings['seconds']} s, one thread each; median (least–most)"
    yield f"{machine['cpu']}, {machine['cores']} cores; {machine['kernel']}; load average {machine['load_average']}"
    yield "; ".join(f"{name} {version}" for name, version in measured["versions"].items())
    for name, cells in found.items():
        yield f"\n{name}: {workloads[name].title}\n"
        table = report.rows(workloads[name], cells)
        yield from align(table) if len(table) > 1 else ["no figures"]
        yield from report.remarks(cells)
    yield "\ntargets\n"
    yield from align(targets.rows(targets.verdicts(found, workloads)))
    yield targets.NOT_HERE
    yield from (f"error: {problem}" for problem in report.failures(found))
