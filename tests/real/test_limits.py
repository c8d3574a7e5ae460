"""Out of descriptors: Pollux serves whom it can, does not spin, and recovers."""

import subprocess

from harness.client import Response, connect, get

FILES_MAX = 64
CLIENTS = 200
WATCHED_S = 2
RECOVERY_TRIES_MAX = 200


def answer_of(connection):
    """The status, or None if the connection was shed."""
    try:
        return Response(connection.makefile("rb")).status
    except (AssertionError, ConnectionError):
        return None


def close_all(connections):
    for connection in connections:
        connection.close()


def test_more_clients_than_descriptors_are_served_or_shed(pollux, toy):
    proxy = pollux(toy("echo"), options=["--threads", "1"], files_max=FILES_MAX)
    connections = [connect(proxy.address) for _ in range(CLIENTS)]
    for connection in connections:
        try:
            connection.sendall(get("/", "Connection: close"))
        except ConnectionError:
            pass
    answers = [answer_of(connection) for connection in connections]
    close_all(connections)
    assert set(answers) <= {200, 503, None}, set(answers)
    assert answers.count(200) > 0
    assert recovers(proxy)


def test_idle_clients_beyond_the_limit_cost_no_cpu_and_no_service(pollux, toy):
    proxy = pollux(toy("echo"), options=["--threads", "1"], files_max=FILES_MAX)
    connections = [connect(proxy.address) for _ in range(CLIENTS)]
    before = proxy.cpu_s()
    # This waits, and sees on the way whether Pollux is still there.
    try:
        code = proxy.process.wait(WATCHED_S)
        raise AssertionError(f"Pollux ended with {code}")
    except subprocess.TimeoutExpired:
        spent = proxy.cpu_s() - before
    assert spent < WATCHED_S / 2, f"spun: {spent} s of CPU time in {WATCHED_S} s"
    connections[0].sendall(get())
    # A resting client may have made room for a newcomer before its request came.
    assert answer_of(connections[0]) in (200, 503, None)
    close_all(connections)
    assert recovers(proxy)


def test_resting_clients_give_their_descriptors_to_a_newcomer_at_once(pollux, toy):
    proxy = pollux(toy("echo"), options=["--threads", "1"], files_max=FILES_MAX)
    connections = [connect(proxy.address) for _ in range(CLIENTS)]
    assert get_status(proxy) == 200
    close_all(connections)


def recovers(proxy):
    """Whether a newcomer is served; while the ends of the others are still being noticed, it may be shed."""
    return any(get_status(proxy) == 200 for _ in range(RECOVERY_TRIES_MAX))


def get_status(proxy):
    with connect(proxy.address) as connection:
        connection.sendall(get("/", "Connection: close"))
        return answer_of(connection)
