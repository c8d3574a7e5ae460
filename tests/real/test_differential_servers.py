"""The same bytes to a real server, once direct and once through Pollux: it never sees a request that nobody has sent.

A server may see, through Pollux, only requests that a strict reader finds in what was sent, in their order; of a request
that it refuses when it comes direct, it may see what Pollux has made of it only if that is one of those.
"""

import asyncio
import pathlib
import socket
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from differential import loopback, servers  # noqa: E402
from differential.vectors import CUT, VECTORS  # noqa: E402

# Direct clients and those of Pollux have addresses of their own.
DIRECT, THROUGH = 0, 1000
READY_S_MAX = 10


@pytest.mark.parametrize("name", servers.SERVERS)
def test_no_request_that_nobody_sent(name, pollux, tmp_path):
    data = [vector.data for vector in VECTORS]
    with servers.serve(name, tmp_path) as server:
        wait_for(server.address)
        proxy = pollux(server.host_port)
        asyncio.run(loopback.say_all(server.address, data, DIRECT))
        asyncio.run(loopback.say_all(proxy.address, data, THROUGH))
        server.stop()
        seen = server.seen()
    known = {loopback.address_of(first + place) for first in (DIRECT, THROUGH) for place in range(len(VECTORS))}
    faults = [f"a request of nobody: {key} {found}" for key in seen.keys() - known for found in seen[key] if found.whole]
    for place, vector in enumerate(VECTORS):
        direct = seen.get(loopback.address_of(DIRECT + place), [])
        through = seen.get(loopback.address_of(THROUGH + place), [])
        for fault in judge(vector, direct, through):
            faults.append(f"{vector.name}: {fault}\n    {vector.data!r}\n    direct  {direct}\n    through {through}")
    assert not faults, f"{len(faults)} faults\n" + "\n".join(faults)


def wait_for(address):
    """Until somebody listens; only a server that makes its own socket may take a moment."""
    end = time.monotonic() + READY_S_MAX
    while True:
        try:
            socket.create_connection(address, timeout=READY_S_MAX).close()
            return
        except ConnectionRefusedError:
            assert time.monotonic() < end, "the server does not listen"
            time.sleep(0.02)


def judge(vector, direct, through):
    """What is wrong with the requests that a server saw through Pollux."""
    # In any order: Pollux may use several connections, and a server logs a request when it has answered it.
    allowed = list(vector.requests)
    is_direct_good = all(map(is_same, direct, vector.requests)) and len(direct) <= len(vector.requests)
    for found in through:
        request = next((request for request in allowed if is_same(found, request)), None)
        if request in allowed:
            allowed.remove(request)
        if request is None:
            yield f"through Pollux the server sees {found.method} {found.target}, which was not sent"
        elif request[2] is not CUT and not found.whole:
            yield f"the server refuses what Pollux has sent: {found}"
        # A server may end a connection early, but it may not read something else.
        if not is_direct_good and not any(is_like(found, other) for other in direct):
            yield f"direct, the server does not see {found.method} {found.target}"
    if vector.must_pass and len(through) != len(vector.requests):
        yield f"{len(through)} of {len(vector.requests)} requests arrive"


def is_same(found, request):
    method, target, length = request
    is_target = found.target == target or found.target.endswith("://h" + target)
    is_length = length is CUT or not found.whole or found.length in (None, length)
    return found.method == method and is_target and is_length


def is_like(found, other):
    return found.method == other.method and other.target.endswith(found.target)
