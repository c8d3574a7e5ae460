"""What Pollux is to reach beside its peers, and whether it has. All from the measured figures of one run."""

import dataclasses
import statistics

from . import figures

FLOORS = ("floor-poll", "floor-epoll")
BETTER = ("nginx", "haproxy", "haproxy-splice")
BUSY = "small-64"


@dataclasses.dataclass(frozen=True)
class Target:
    workload: str
    what: str
    limit: float
    # Compared with the lowest of these; none: the limit stands by itself.
    references: tuple = ()
    key: str | None = None
    # The reference's figure is from another workload.
    elsewhere: str | None = None
    # Whose figure it is.
    who: str = "pollux"


@dataclasses.dataclass(frozen=True)
class Verdict:
    target: Target
    # "met", "not met" or "not measured"
    word: str
    measured: str


TARGETS = [
    Target("small-64", "CPU, of nginx's", 0.85, ("nginx",)),
    Target("small-64", "CPU, of HAProxy's", 0.75, ("haproxy",)),
    Target("small-64", "CPU, of the floor's", 1.10, FLOORS),
    Target("small-512", "CPU, of the better's", 0.80, BETTER),
    Target("close", "CPU, of the better's", 0.90, BETTER),
    Target("down-64k", "CPU, of the better's", 0.85, BETTER),
    Target("down-1m", "CPU, of the better's", 0.90, BETTER),
    Target("up-1m", "CPU, of the better's", 0.90, BETTER),
    Target("idle-5000", "CPU, of the better's", 0.75, BETTER),
    Target("idle-5000", "CPU, of its own with none idle", 1.10, ("pollux",), elsewhere=BUSY),
    Target("tcp-64", "CPU, of the floor's", 1.05, FLOORS),
    # Two carry 1.8 times as much as one if each request costs them a ninth more.
    Target("two-workers", "CPU with two workers, of that with one", 1.11, ("pollux",), who="pollux-two"),
    Target("small-1", "p50, of the better's", 1.00, BETTER, key="p50_us"),
    Target("paced", "p99, of nginx's", 1.00, ("nginx",), key="p99_us"),
    Target(BUSY, "system calls per request", 4.2, key="system calls"),
    Target("memory", "bytes per idle connection", 1024, key="idle_bytes"),
]
NOT_HERE = "Not measured by this command: TLS, and allocations per request, of which tests/allocations.rs allows none."


def verdicts(results, workloads):
    return [judge(target, results, workloads[target.workload]) for target in TARGETS]


def judge(target, results, workload):
    cells = results.get(target.workload, {})
    own = cells.get(target.who)
    if not figures.usable(own):
        return Verdict(target, "not measured", "–")
    key = target.key or figures.headline(workload)[0]
    if not target.references:
        value = figures.calls_per_request(own) if key == "system calls" else figures.median(own, key)
        return decided(target, [] if value is None else [value], "{:.2f}" if key == "system calls" else "{:.0f}")
    others = results.get(target.elsewhere or target.workload, {})
    reference = figures.lowest(others, key, target.references)
    if reference is None:
        return Verdict(target, "not measured", "–")
    ratios = figures.ratios(own["runs"], others[reference]["runs"], key)
    return decided(target, ratios, "{:.2f}", f" × {reference}")


def decided(target, found, shape, behind=""):
    if not found:
        return Verdict(target, "not measured", "–")
    middle = statistics.median(found)
    return Verdict(target, "met" if middle <= target.limit else "not met", figures.spread(found, shape) + behind)


def rows(found):
    table = [["workload", "figure", "at most", "measured", ""]]
    for verdict in found:
        target = verdict.target
        limit = f"{target.limit:.2f}" if target.references else f"{target.limit:g}"
        table.append([target.workload, target.what, limit, verdict.measured, verdict.word])
    return table
