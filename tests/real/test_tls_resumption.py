"""Sessions that openssl has saved are resumed, whoever has taken the place of the Pollux that began them."""

import re

import pytest

from harness.tls import listener, s_client

ASK = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


class Openssl:
    """`openssl s_client`, which keeps its session in a file."""

    def __init__(self, directory, flag):
        self.file, self.flag = directory / "session", flag

    def ask(self, address):
        """Asks once; gives whether that was in the session of the time before."""
        resumed = ["-sess_in", self.file] if self.file.exists() else []
        # Until the end of the response it reads, and so gets the tickets that TLS 1.3 sends behind the handshake.
        options = [self.flag, "-servername", "localhost", "-ign_eof", "-sess_out", self.file, *resumed]
        said, code = s_client(address[1], *options, say=ASK)
        assert code == 0 and "HTTP/1.1 200" in said, said
        [how] = re.findall(r"^(New|Reused), TLSv1", said, re.MULTILINE)
        return how == "Reused"


@pytest.fixture(params=["-tls1_2", "-tls1_3"])
def client(tmp_path, request):
    return Openssl(tmp_path, request.param)


def test_by_every_worker_and_after_reloads(tls_pollux, toy, authority, client):
    issued = authority.issue("localhost")
    proxy = tls_pollux(listener(toy("echo"), issued), threads=4)
    assert not client.ask(proxy.running.address)
    assert all(client.ask(proxy.running.address) for _ in range(6))
    for number in range(3):
        # Another certificate does not end them either: it is the same listener.
        issued = authority.issue(f"new-{number}")
        code, said = proxy.reload('control = "control"\n' + listener(toy("echo", name=f"t{number}"), issued))
        assert code == 0, said
        assert client.ask(proxy.running.address)


def test_after_upgrades(upgradable, toy, authority, client):
    proxy = upgradable(listener(toy("echo"), authority.issue("localhost")))
    assert not client.ask(proxy.address)
    for _ in range(3):
        proxy.upgrade()
        assert client.ask(proxy.address)


def test_not_by_another_pollux_nor_by_another_listener(tls_pollux, toy, authority, client):
    backend, issued = toy("echo"), authority.issue("localhost")
    first = tls_pollux(listener(backend, issued) + listener(backend, issued).partition("[pool")[0].replace("]]\n", ']]\nname = "other"\n'), listeners=2)
    assert not client.ask(first.running.addresses[0])
    assert not client.ask(first.running.addresses[1])
    second = tls_pollux(listener(backend, issued))
    assert not client.ask(second.running.address)
    assert client.ask(second.running.address)
