"""Clients that go while a backend works, and backends that restart while clients wait."""

import os
import socket
import subprocess
import time

from harness.client import DEADLINE_S, Response, connect, get
from harness.served import Served

CLIENTS = 300


def serve(binary, directory, keep, address, settings="", log="off"):
    config = (
        f'control = "control"\naccess_log = "{log}"\n[[listener]]\nbind = "127.0.0.1:0"\n'
        f'[pool.app]\nbackends = [{{ name = "b1", address = "{address}" }}]\n{settings}'
    )
    return keep(Served(binary, directory, config))


def descriptors(proxy):
    return len(os.listdir(f"/proc/{proxy.running.process.pid}/fd"))


def test_requests_whose_clients_have_left_hold_nothing(pollux_bin, tmp_path, keep, toy):
    proxy = serve(pollux_bin, tmp_path, keep, toy("silent").host_port)
    before = descriptors(proxy)
    clients = [connect(proxy.running.address) for _ in range(CLIENTS)]
    for client in clients:
        client.sendall(get())
    proxy.wait_for_backend("b1", lambda backend: backend["in_flight"] == CLIENTS)
    for client in clients:
        client.close()
    proxy.wait_for_backend("b1", lambda backend: backend["in_flight"] == 0)
    # Long before `timeouts.backend_response`.
    deadline = time.monotonic() + DEADLINE_S
    while descriptors(proxy) > before + 2:
        assert time.monotonic() < deadline, (descriptors(proxy), before)


def test_a_client_that_half_closes_is_answered_under_finish(pollux_bin, tmp_path, keep, toy):
    slow = toy("slow-first-byte:1500ms")
    for settings, is_answered in [('on_client_close = "finish"\n', True), ("", False)]:
        directory = tmp_path / str(is_answered)
        directory.mkdir()
        proxy = serve(pollux_bin, directory, keep, slow.host_port, settings)
        with connect(proxy.running.address) as client, client.makefile("rb") as stream:
            client.sendall(get())
            client.shutdown(socket.SHUT_WR)
            if is_answered:
                assert Response(stream).status == 200
            else:
                try:
                    assert stream.read() == b""
                except ConnectionResetError:
                    pass


def test_an_answer_that_nobody_took_is_not_recorded_as_one(pollux_bin, tmp_path, keep, toy):
    slow = toy("slow-first-byte:500ms")
    for rule in ["finish", "abort"]:
        for is_half in [True, False]:
            directory = tmp_path / f"{rule}-{is_half}"
            directory.mkdir()
            log = directory / "access.log"
            proxy = serve(pollux_bin, directory, keep, slow.host_port, f'on_client_close = "{rule}"\n', log)
            with connect(proxy.running.address) as client, client.makefile("rb") as stream:
                client.sendall(get())
                if is_half:
                    client.shutdown(socket.SHUT_WR)
                    assert Response(stream).status == 200
            # The client's process has closed both directions, or has its answer.
            deadline = time.monotonic() + DEADLINE_S
            while not (log.exists() and log.read_text().endswith("\n")):
                assert time.monotonic() < deadline, "no record"
            (line,) = log.read_text().splitlines()
            assert "status=200" in line, line
            assert ("cause=-" if is_half else "cause=client-aborted") in line.replace('"', ""), line


def test_a_backend_that_restarts_is_waited_for(pollux_bin, tmp_path, keep, toy):
    backend = toy("fixed:3", name="b1")
    proxy = serve(pollux_bin, tmp_path, keep, backend.host_port, 'retries = 0\nreach_wait = "15s"\n[timeouts]\nqueue = "20s"\n')
    assert proxy.fetch().status == 200
    backend.kill()
    with connect(proxy.running.address) as client, client.makefile("rb") as stream:
        client.sendall(get())
        deadline = time.monotonic() + DEADLINE_S
        while "refused" not in str(proxy.status("app/b1")["history"]):
            assert time.monotonic() < deadline
        toy("fixed:3", name="b1", listen=backend.host_port)
        assert Response(stream).status == 200


def test_curl_is_answered_at_once_and_its_abort_is_noticed(pollux_bin, tmp_path, keep, toy):
    proxy = serve(pollux_bin, tmp_path, keep, toy("silent").host_port)
    command = ["curl", "--silent", "--noproxy", "*", "--max-time", "1", proxy.running.url()]
    assert subprocess.run(command, timeout=DEADLINE_S).returncode == 28
    proxy.wait_for_backend("b1", lambda backend: backend["in_flight"] == 0)
