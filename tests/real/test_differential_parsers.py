"""Whatever Pollux forwards is read in one way by everybody; whatever two parsers read in two ways it does not forward.

Thousands of requests go through a running Pollux to a backend that keeps every byte. What arrived there is read by h11 and
by llhttp, and so is what was sent.
"""

import asyncio
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from differential import loopback, readers, requests  # noqa: E402

PREFACE = b"PRI * HTTP/2.0\r\n\r\n"
CASES = int(os.environ.get("DIFFERENTIAL_CASES", "4000"))


def test_parsers_agree_on_what_is_forwarded(pollux):
    cases = requests.cases(CASES)
    answers, connections = asyncio.run(through(pollux, cases))
    belongs = {loopback.address_of(number).encode(): number for number in range(len(cases))}
    forwarded = {}
    for received in connections:
        for request in judge_sent(bytes(received)):
            (client,) = request.field(b"x-forwarded-for")
            forwarded.setdefault(belongs[client], []).append(request)
    faults = [fault for number, data in enumerate(cases) for fault in judge_case(data, forwarded.get(number, []))]
    assert not faults, f"{len(faults)} faults:\n" + "\n".join(faults[:20])
    # The test would show nothing if everything were refused, or nothing.
    assert len(cases) // 10 < len(forwarded) < len(cases) * 9 // 10
    for data, answer in zip(cases, answers):
        # The preface begins another protocol, whose first frame is SETTINGS (RFC 9113 §3.4).
        is_settings = data.startswith(PREFACE) and answer[3:4] == b"\4"
        assert not answer or is_settings or answer.startswith(b"HTTP/1.1 "), (data, answer)


async def through(pollux, cases):
    async with loopback.Recorder() as backend:
        running = pollux(backend.host_port)
        answers = await loopback.say_all(running.address, cases)
    return answers, backend.connections


def judge_sent(received):
    """The requests that a backend was sent, on which all readers must agree."""
    requests = readers.strict(received)
    for name, read in readers.PARSERS.items():
        found = read(received)
        assert [one.says() for one in found] == [one.says() for one in requests], f"{name} reads {found} in {received!r}"
    return requests


def judge_case(data, forwarded):
    """A parser that reads the client's bytes itself must find the requests that were forwarded, or refuse."""
    for name, read in readers.PARSERS.items():
        found = read(data)
        for place, request in enumerate(forwarded):
            if place >= len(found):
                if not found.stopped:
                    yield f"{data!r}: {request.says()} was forwarded, but {name} finds only {len(found)} requests"
                break
            is_cut = found.stopped and (not found[place].whole or bool(found[place].field(b"upgrade")))
            if not is_same(found[place], request, is_cut):
                yield f"{data!r}: {request.says()} was forwarded, but {name} reads {found[place].says()}"
                break


def is_same(read, forwarded, is_cut):
    """Whether a request was forwarded as it was read; `is_cut` if its body was not read to the end."""
    target = read.target
    if b"://" in target:
        rest = target.partition(b"://")[2]
        at = min((at for at in (rest.find(b"/"), rest.find(b"?")) if at >= 0), default=len(rest))
        target = rest[at:]
        target = target if target.startswith(b"/") else b"/" + target
        if target == b"/" and forwarded.target == b"*":
            target = b"*"
    if is_cut:
        is_body = forwarded.body.startswith(read.body) or read.body.startswith(forwarded.body)
    elif forwarded.whole:
        is_body = read.body == forwarded.body
    else:
        is_body = read.body.startswith(forwarded.body)
    return (read.method, target) == (forwarded.method, forwarded.target) and is_body
