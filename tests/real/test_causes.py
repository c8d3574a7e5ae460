"""A failure has one cause, and it is the same word wherever somebody looks: in the answer, its header, the access line, the metrics, the
recorder, `pollux why` and the documentation."""

import contextlib
import json
import pathlib
import re
import socket
import subprocess

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

from harness.client import DEADLINE_S, Response, connect, get
from harness.scripted import ScriptedBackend, read_head
from harness.served import Served

CAUSES = pathlib.Path(__file__).resolve().parents[2] / "docs" / "causes.md"


def post(body, *fields):
    lines = ["POST / HTTP/1.1", "Host: test", *fields]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def says(answer):
    """A backend that reads a head, says that, and closes."""

    def serve(connection):
        read_head(connection)
        connection.sendall(answer)

    return serve


def never_answers(connection):
    read_head(connection)
    with contextlib.suppress(ConnectionResetError):
        connection.recv(1)


# What a client sends, what its backend does, and what comes of it.
REFUSED = [
    ("bad-request-line", b"GET  / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    ("bad-field", b"GET / HTTP/1.1\r\nHost : h\r\n\r\n", 400),
    ("bad-host", b"GET / HTTP/1.1\r\n\r\n", 400),
    ("bad-framing", post(b"", "Content-Length: 1", "Transfer-Encoding: chunked"), 400),
    ("bad-chunk", post(b"xyz\r\n", "Transfer-Encoding: chunked"), 400),
    ("bad-version", b"GET / HTTP/3.0\r\nHost: h\r\n\r\n", 505),
    ("method-refused", b"TRACE / HTTP/1.1\r\nHost: h\r\n\r\n", 501),
    ("unknown-expectation", get("/", "Expect: the-best"), 417),
    ("body-too-long", post(b"", "Content-Length: 2000000000"), 413),
    ("head-too-long", get("/", *[f"X-{number}: {'x' * 4000}" for number in range(20)]), 431),
    ("client-head-timeout", b"GET / HTTP/1.1\r\nHost", 408),
]
FAILED = [
    ("backend-closed", says(b""), 502),
    ("backend-bad-response", says(b"HTTP/1.1 two hundred\r\n\r\n"), 502),
    ("backend-head-too-long", says(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n"), 502),
    ("backend-response-timeout", never_answers, 504),
]


class Told(Served):
    """A Pollux that is asked what it has made of one request."""

    def __init__(self, binary, directory, backend, client_head="200ms", sessions=100):
        self.log = directory / "access.log"
        config = (
            f'control = "control"\naccess_log = "{self.log}"\n[[listener]]\nname = "web"\nbind = "127.0.0.1:0"\n'
            f'[pool.app]\nbackends = [{{ name = "b", address = "{backend}" }}]\n'
            f'[timeouts]\nclient_head = "{client_head}"\nbackend_response = "200ms"\n'
            f'[limits]\nbody = "1MiB"\nsessions = {sessions}\n'
        )
        super().__init__(binary, directory, config, ["--threads", "1", "--log-format", "json"])

    def answer_to(self, request, newcomers=0):
        with connect(self.running.address) as connection, connection.makefile("rb") as stream:
            connection.sendall(request)
            with contextlib.ExitStack() as others:
                for _ in range(newcomers):
                    others.enter_context(connect(self.running.address))
                return Response(stream)

    def failures(self):
        samples = [sample for family in parse(self.tell("metrics")) for sample in family.samples]
        return {
            (sample.labels["cause"], sample.labels["who"]): sample.value
            for sample in samples
            if sample.name == "pollux_failures_total" and sample.value and sample.labels["cause"] != "no-request"
        }

    def last_line(self):
        """The access line. It is written once Pollux has ended, at the latest."""
        self.end_well()
        lines = [json.loads(line) for line in self.log.read_text().splitlines()]
        # Newcomers that say nothing have lines too.
        lines = [line for line in lines if line["cause"] != "no-request"]
        assert len(lines) == 1, lines
        return lines[0]


@pytest.fixture
def told(pollux_bin, tmp_path):
    started = []

    def start(backend, **settings):
        started.append(Told(pollux_bin, tmp_path, backend, **settings))
        return started[-1]

    yield start
    for one in started:
        one.kill()


def check(told, request, cause, status, newcomers=0):
    answer = told.answer_to(request, newcomers)
    assert answer.status == status, (answer.status, answer.body)
    assert cause.encode() in answer.body, answer.body
    assert re.search(rf'details="?{cause}"?', answer.headers["Proxy-Status"]), answer.headers["Proxy-Status"]
    # Workers answer this between two turns: by then they have counted what they have sent an answer to.
    remembered = told.tell("recorder")
    failures = told.failures()
    line = told.last_line()
    assert (line["status"], line["cause"]) == (status, cause), line
    assert failures == {(cause, line["who"]): 1}, failures
    why = subprocess.run([told.binary, "why", cause], capture_output=True, text=True, timeout=DEADLINE_S).stdout
    assert cause in why and line["who"] in why, why
    assert f"\n## {cause}\n" in CAUSES.read_text()
    return line, remembered


@pytest.mark.parametrize(("cause", "request_bytes", "status"), REFUSED, ids=[cause for cause, _, _ in REFUSED])
def test_what_a_client_does_wrong(told, toy, cause, request_bytes, status):
    line, _ = check(told(toy("fixed:100").host_port), request_bytes, cause, status)
    assert line["who"] == "client"


def test_a_client_that_makes_room(told, toy):
    crowded = told(toy("fixed:100").host_port, client_head="60s", sessions=1)
    line, _ = check(crowded, b"GET / HTTP/1.1\r\nHost", "made-room", 408, newcomers=1)
    assert line["who"] == "client"


@pytest.mark.parametrize(("cause", "serve", "status"), FAILED, ids=[cause for cause, _, _ in FAILED])
def test_what_a_backend_does_wrong(told, cause, serve, status):
    with ScriptedBackend(serve) as backend:
        line, remembered = check(told(backend.host_port), get("/cart"), cause, status)
    assert line["who"] == "backend" and line["backend"] == "b"
    assert f"{status} {cause}" in remembered and "GET /cart" in remembered, remembered


def test_nobody_listens(told):
    with socket.create_server(("127.0.0.1", 0)) as once:
        host_port = "{}:{}".format(*once.getsockname())
    line, remembered = check(told(host_port), get("/cart"), "backend-refused", 502)
    assert line["who"] == "backend" and "502 backend-refused" in remembered
