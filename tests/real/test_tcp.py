"""TCP mode: bytes and ends pass as they are."""

import hashlib
import random
import socket
import struct
import subprocess
import threading

import pytest

from harness.client import connect, read_to_end
from harness.scripted import ScriptedBackend

MIB = 1 << 20


@pytest.fixture
def tcp(pollux):
    return lambda backend: pollux(backend, options=["--mode", "tcp"])


def test_nc_gets_its_bytes_back(tcp, toy):
    host, port = tcp(toy("tcp-echo")).address
    sent = random.Random(5).randbytes(200_000)
    done = subprocess.run(["nc", "-N", host, str(port)], input=sent, capture_output=True, timeout=30)
    assert done.stdout == sent


def test_the_client_ends_its_side_and_still_gets_everything(tcp):
    def count_then_answer(connection):
        received = read_to_end(connection)
        connection.sendall(f"{len(received)} bytes, and more to say".encode())

    with ScriptedBackend(count_then_answer) as backend, connect(tcp(backend).address) as connection:
        connection.sendall(b"x" * 100_000)
        connection.shutdown(socket.SHUT_WR)
        assert read_to_end(connection) == b"100000 bytes, and more to say"


def test_the_backend_ends_its_side_and_still_gets_everything(tcp):
    got = []

    def say_then_listen(connection):
        connection.sendall(b"that is all from me")
        connection.shutdown(socket.SHUT_WR)
        got.append(read_to_end(connection))

    with ScriptedBackend(say_then_listen) as backend:
        with connect(tcp(backend).address) as connection:
            assert read_to_end(connection) == b"that is all from me"
            connection.sendall(b"y" * 100_000)
            connection.shutdown(socket.SHUT_WR)
            # The end comes back only after the backend has read everything.
            assert connection.recv(1) == b""
    assert got == [b"y" * 100_000]


def test_a_backend_that_speaks_first(tcp, toy):
    with connect(tcp(toy("speaks-first:220 ready")).address) as connection:
        assert connection.makefile("rb").readline() == b"220 ready\r\n"


def test_20_mib_each_way_at_once(tcp):
    up, down = random.Random(6).randbytes(20 * MIB), random.Random(7).randbytes(20 * MIB)
    got = []

    def swap(connection):
        got.append(send_and_receive(connection, down))

    with ScriptedBackend(swap) as backend, connect(tcp(backend).address) as connection:
        received = send_and_receive(connection, up)
    assert hashlib.sha256(received).digest() == hashlib.sha256(down).digest()
    assert hashlib.sha256(got[0]).digest() == hashlib.sha256(up).digest()


def send_and_receive(connection, data):
    """Sends and ends in one thread while another receives to the end."""

    def send():
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)

    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    received = read_to_end(connection)
    sender.join()
    return received


def test_a_client_that_resets_ends_the_backend_side(tcp):
    ended = threading.Event()

    def wait_for_end(connection):
        connection.sendall(b"hello")
        try:
            assert connection.recv(1) == b""
        except ConnectionResetError:
            pass
        ended.set()

    with ScriptedBackend(wait_for_end) as backend:
        connection = connect(tcp(backend).address)
        assert connection.recv(5) == b"hello"
        # Lingering for no time makes close a reset.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
        assert ended.wait(20)
