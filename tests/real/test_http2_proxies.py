"""HAProxy and Envoy around Pollux, by HTTP/2: as backends behind it, and as clients before it."""

import contextlib
import itertools
import json
import re
import subprocess
import time

import pytest

from harness import proxies
from harness.client import DEADLINE_S
from harness.served import Served

MIB = 1 << 20

POOL = {"behind": 'protocol = "h2"\n', "before": ""}


class Chain:
    """A client asks `url`; Pollux and another proxy are on the way to the toy backend."""

    def __init__(self, proxy, url):
        self.proxy, self.url = proxy, url

    def curl(self, *arguments, data=None, codes=(0,)):
        command = ["curl", "--silent", "--show-error", "--noproxy", "*", "--max-time", str(DEADLINE_S), *map(str, arguments), self.url]
        done = subprocess.run(command, input=data, capture_output=True)
        assert done.returncode in codes, (done.returncode, done.stderr.decode())
        return done.stdout


@pytest.fixture(params=itertools.product(["haproxy", "envoy"], ["behind", "before"]), ids="-".join)
def chain(request, pollux_bin, tmp_path, keep):
    """Puts the other proxy on its side of Pollux: `chain(toy("echo"))`."""
    kind, side = request.param
    with contextlib.ExitStack() as stack:

        def middle(to):
            running, address = getattr(proxies, kind)(tmp_path, to)
            stack.callback(running.kill)
            return address

        def start(backend):
            to = middle(backend.host_port) if side == "behind" else backend.host_port
            config = f'control = "control"\n[[listener]]\nbind = "127.0.0.1:0"\npool = "app"\n[pool.app]\n{POOL[side]}backends = ["{to}"]\n'
            proxy = keep(Served(pollux_bin, tmp_path, config, ["--threads", "1"]))
            first = middle(proxy.running.host_port) if side == "before" else proxy.running.host_port
            return Chain(proxy, f"http://{first}")

        yield start


def test_requests_and_bodies_pass_whole(chain, toy, big_body, big_body_fnv):
    asked = chain(toy("upload"))
    assert json.loads(asked.curl("--http2-prior-knowledge"))["bytes"] == 0
    for version in ("--http1.1", "--http2-prior-knowledge"):
        for length in ([], ["--header", "Content-Length:"]):
            told = json.loads(asked.curl(version, *length, "--header", "Expect:", "--upload-file", "-", data=big_body))
            assert (told["bytes"], told["fnv1a"]) == (len(big_body), big_body_fnv)
    # The other proxy spoke HTTP/2 with Pollux.
    if asked.proxy.running.host_port not in asked.url:
        asked.proxy.running.wait_for_stderr('protocol="HTTP/2.0" status=200')


def test_answers_pass_whole(chain, toy):
    asked = chain(toy(f"fixed:{5 * MIB}"))
    for version in ("--http1.1", "--http2-prior-knowledge"):
        assert len(asked.curl(version)) == 5 * MIB
        assert re.search(rb"(?i)^content-length: 5242880\r$", asked.curl(version, "--head"), re.MULTILINE)


def test_trailers_pass(chain, toy):
    asked = chain(toy("chunked:3x100"))
    done = subprocess.run(["nghttp", "--verbose", "--null-out", asked.url], capture_output=True, text=True, timeout=DEADLINE_S, check=True)
    assert re.search(r"x-checksum: ", done.stdout), done.stdout


def test_an_early_answer_ends_the_upload_alone(chain, toy, tmp_path, big_body):
    asked = chain(toy("early-response"))
    (tmp_path / "big").write_bytes(big_body)
    for _ in range(5):
        told = asked.curl("--http1.1", "--output", "/dev/null", "--write-out", "%{http_code}", "--upload-file", tmp_path / "big")
        assert told == b"413"
        # By HTTP/2 curl drops answers that HAProxy and Envoy have cut an upload with.
        command = ["nghttp", "--verbose", "--null-out", f"--data={tmp_path / 'big'}", asked.url]
        assert ":status: 413" in subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=True).stdout


def test_a_cut_answer_never_looks_whole(chain, toy):
    asked = chain(toy("truncated:100000"))
    asked.curl("--http1.1", "--output", "/dev/null", codes=[18])
    asked.curl("--http2-prior-knowledge", "--output", "/dev/null", codes=[92])


def test_a_client_that_leaves_costs_its_stream_alone(chain, toy):
    asked = chain(toy("slow-drip:1000000/1ms"))
    command = ["curl", "--silent", "--no-buffer", "--noproxy", "*", "--http2-prior-knowledge", asked.url]
    kept = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert kept.stdout.read(10)
        for _ in range(3):
            with subprocess.Popen(command, stdout=subprocess.PIPE) as gone:
                assert gone.stdout.read(10)
                gone.kill()
        deadline = time.monotonic() + DEADLINE_S
        while asked.proxy.running.stderr().count('cause="client-aborted"') < 3:
            assert time.monotonic() < deadline, asked.proxy.running.stderr()[-2000:]
            time.sleep(0.01)
        # Those that have left took nothing from this one.
        assert kept.stdout.read(100) and kept.poll() is None
    finally:
        kept.kill()
        kept.stdout.close()
        kept.wait(DEADLINE_S)


LOAD = ["h2load", "--requests=3000", "--clients=8", "--max-concurrent-streams=32"]


def test_many_streams_through_reloads(chain, toy):
    asked = chain(toy("fixed:1000"))
    load = subprocess.Popen([*LOAD, asked.url], stdout=subprocess.PIPE, text=True)
    try:
        while load.poll() is None:
            code, said = asked.proxy.reload()
            assert code == 0, said
        said, _ = load.communicate(timeout=DEADLINE_S)
    finally:
        load.kill()
    assert "3000 succeeded, 0 failed, 0 errored, 0 timeout\nstatus codes: 3000 2xx" in said, said
