"""`pollux metrics` and `pollux recorder`: what other people's parsers and a load generator say of them."""

import json
import re
import shutil
import subprocess
import time

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

from harness.client import Response, connect, get
from harness.scripted import ScriptedBackend, read_head
from harness.served import Served

DEADLINE_S = 20
CONNECTIONS = 16


class Counted(Served):
    """Its backends are called b0, b1, … in the pool `app`, unless they have names."""

    def __init__(self, binary, directory, backends, names=None):
        options = ["--threads", "2", "--access-log", "off"]
        super().__init__(binary, directory, self.config(backends, names), options)

    def config(self, backends, names=None):
        names = names or [f"b{number}" for number in range(len(backends))]
        listed = [
            f"{{ name = {json.dumps(name)}, address = {json.dumps(backend.host_port)} }}"
            for name, backend in zip(names, backends)
        ]
        return (
            'control = "control"\n[[listener]]\nname = "web"\nbind = "127.0.0.1:0"\n'
            f'[pool.app]\nbackends = [{", ".join(listed)}]\n'
        )

    def page(self):
        return self.tell("metrics")

    def samples(self, page=None):
        """By name and labels: the value. No series is there twice."""
        found = {}
        for family in parse(page or self.page()):
            for sample in family.samples:
                key = (sample.name, *sorted(sample.labels.items()))
                assert key not in found, key
                found[key] = sample.value
        return found


@pytest.fixture
def counted(pollux_bin, tmp_path, keep):
    return lambda *backends, names=None: keep(Counted(pollux_bin, tmp_path, backends, names))


def promtool(page):
    """What Prometheus' own checker says; nothing if it is content."""
    program = shutil.which("promtool")
    assert program, "promtool is not installed: run tests/setup"
    done = subprocess.run([program, "check", "metrics"], input=page, capture_output=True, text=True, timeout=DEADLINE_S)
    return done.returncode, done.stdout + done.stderr


def total(samples, name, **labels):
    wanted = set(labels.items())
    return sum(value for (other, *held), value in samples.items() if other == name and wanted <= set(held))


def is_counter(name):
    return re.search(r"_(total|count|bucket)$", name)


def test_the_page_under_load_is_good_and_agrees_with_wrk(counted, toy):
    proxy = counted(toy("fixed:100", name="a"), toy("fixed:100", name="b"))
    command = ["wrk", "--threads", "1", "--connections", str(CONNECTIONS), "--duration", "4s", proxy.running.url()]
    before, pages = {}, 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as load:
        while load.poll() is None:
            page = proxy.page()
            assert promtool(page) == (0, "")
            now = proxy.samples(page)
            back = [key for key, value in before.items() if is_counter(key[0]) and now.get(key, 0) < value]
            assert not back, back
            before, pages = now, pages + 1
        said = load.stdout.read()
    assert load.returncode == 0 and pages > 1
    requests = int(re.search(r"(\d+) requests in", said).group(1))
    # At its end wrk leaves with as many requests under way as it has connections: those may have ended, in one way or another.
    deadline = time.monotonic() + DEADLINE_S
    while total(samples := proxy.samples(), "pollux_sessions") > 0:
        assert time.monotonic() < deadline, "the clients of wrk never leave"
    answered = total(samples, "pollux_requests_total", code="2xx")
    assert requests <= answered <= requests + CONNECTIONS, (requests, answered)
    ended = total(samples, "pollux_requests_total")
    assert ended == total(samples, "pollux_request_seconds_count") == total(samples, "pollux_backend_requests_total")
    for name in ("pollux_request_head", "pollux_backend_response", "pollux_backend_opening", "pollux_response_body"):
        count = total(samples, f"{name}_seconds_count")
        assert answered <= count <= ended, (name, count)
        assert count == total(samples, f"{name}_seconds_bucket", le="+Inf")
    handed_out = total(samples, "pollux_backend_connections_opened_total")
    handed_out += total(samples, "pollux_backend_connections_reused_total")
    assert answered <= handed_out <= ended, handed_out
    assert total(samples, "pollux_backend_up") == 2
    assert samples[("process_open_fds",)] < samples[("process_max_fds",)]
    # wrk says when its connections were answered, from outside; the same within a factor of the buckets.
    whole = total(samples, "pollux_request_seconds_sum") / ended
    mean = wrk_latency(said)
    assert whole < 2 * mean, (whole, mean)


def wrk_latency(said):
    """The mean latency of wrk, in seconds."""
    number, unit = re.search(r"Latency\s+([\d.]+)(us|ms|s)", said).groups()
    return float(number) * {"us": 1e-6, "ms": 1e-3, "s": 1}[unit]


def test_hostile_names_are_escaped(counted, toy):
    # Control characters are refused when the configuration is read.
    name = 'a"} 1\\n\\ # evil {x="é'
    proxy = counted(toy("fixed:1"), names=[name])
    with connect(proxy.running.address) as connection:
        connection.sendall(get())
        assert Response(connection.makefile("rb")).status == 200
    page = proxy.page()
    assert promtool(page) == (0, "")
    assert total(proxy.samples(page), "pollux_backend_requests_total", backend=name, code="2xx") == 1


def test_a_reload_takes_nothing_back(counted, toy):
    first, second = toy("fixed:1", name="a"), toy("fixed:1", name="b")
    proxy = counted(first, second)

    def ask(count):
        with connect(proxy.running.address) as connection:
            stream = connection.makefile("rb")
            for _ in range(count):
                connection.sendall(get())
                assert Response(stream).status == 200

    ask(10)
    before = proxy.samples()
    code, said = proxy.reload(proxy.config([second, first], names=["b1", "b0"]))
    assert code == 0, said
    after = proxy.samples()
    back = [key for key, value in before.items() if is_counter(key[0]) and after.get(key, 0) < value]
    assert not back, back
    assert after[("pollux_config_reloads_total",)] == 1


def test_when_it_began_stays_the_same(counted, toy):
    """It was reckoned anew for each scrape, from two clocks that are not read at once and of which one can be set."""
    proxy = counted(toy("echo"))
    moments = ("process_start_time_seconds", "pollux_config_loaded_timestamp_seconds")
    seen = {tuple(re.search(rf"^{name} (\S+)$", proxy.page(), re.MULTILINE)[1] for name in moments) for _ in range(10)}
    assert len(seen) == 1, seen
    assert abs(time.time() - float(next(iter(seen))[0])) < 600


def test_the_recorder_knows_a_request_by_the_name_that_its_backend_got(counted):
    names = []

    def serve(connection):
        names.append(re.search(rb"(?i)x-request-id: (\S+)", read_head(connection)).group(1).decode())

    with ScriptedBackend(serve) as backend:
        proxy = counted(backend)
        with connect(proxy.running.address) as connection:
            connection.sendall(get("/cart"))
            assert Response(connection.makefile("rb")).status == 502
        told = proxy.tell("recorder", "show", names[-1])
        listed = proxy.tell("recorder")
    assert "GET /cart" in told and "502 backend-closed" in told, told
    for step in ("accepted", "head complete", "picked b0 (turn)", "b0: connected", "b0: request sent", "failed, backend-closed"):
        assert step in told, told
    assert names[-1] in listed and listed.count("\n") == 1, listed
    steps = json.loads(proxy.tell("recorder", "show", names[-1], "--json"))["steps"]
    assert [step["at_us"] for step in steps] == sorted(step["at_us"] for step in steps)
