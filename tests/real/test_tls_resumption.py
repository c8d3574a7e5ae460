"""Sessions that openssl has saved are resumed, whoever has taken the place of the Pollux that began them."""

import re
import time

import pytest

from harness.tls import listener, s_client

ASK = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


class Openssl:
    """`openssl s_client`, which keeps its session in a file."""

    def __init__(self, directory, flag):
        self.file, self.flag, self.shown = directory / "session", flag, []

    def ask(self, address):
        """Asks once; gives whether that was in the session of the time before."""
        said, code = self.say(address)
        assert code == 0 and "HTTP/1.1 200" in said, said
        [how] = re.findall(r"^(New|Reused), TLSv1", said, re.MULTILINE)
        return how == "Reused"


    def say(self, address):
        """What openssl prints when it asks, and its exit code."""
        resumed = ["-sess_in", self.file] if self.file.exists() else []
        # Until the end of the response it reads, and so gets the tickets that TLS 1.3 sends behind the handshake.
        options = [self.flag, "-servername", "localhost", "-ign_eof", "-sess_out", self.file, *resumed, *self.shown]
        return s_client(address[1], *options, say=ASK)


def wait_until(end):
    """Waits for the second behind that time: the time that passes is the subject."""
    time.sleep(max(0, int(end) + 1.5 - time.time()))


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


# Long enough for the handshakes before the end on a busy machine.
VALID_S = 8


def test_not_beyond_the_end_of_the_certificate_of_its_client(tls_pollux, toy, authority, client):
    more = f', client_ca = "{authority.cert}", client_auth = "require"'
    proxy = tls_pollux(listener(toy("echo"), authority.issue("localhost"), extra=more))
    cert, key, end = authority.issue_for("alice", VALID_S)
    client.shown = ["-cert", cert, "-key", key]
    assert not client.ask(proxy.running.address)
    assert client.ask(proxy.running.address)
    wait_until(end)
    said, _ = client.say(proxy.running.address)
    assert "HTTP/1.1 200" not in said, said
    # A certificate that is valid is served again, in a session of its own.
    client.shown = [f for flag, file in zip(("-cert", "-key"), authority.issue("bob", [])) for f in (flag, file)]
    client.file.unlink(missing_ok=True)
    assert not client.ask(proxy.running.address)


def test_not_beyond_the_next_update_of_a_list(tls_pollux, toy, authority, client):
    shown = authority.issue("alice", [])
    end = time.time() + VALID_S
    revoked = authority.revoke(until=end)
    more = f', client_ca = "{authority.cert}", client_auth = "require", client_crl = "{revoked}"'
    proxy = tls_pollux(listener(toy("echo"), authority.issue("localhost"), extra=more))
    client.shown = ["-cert", shown[0], "-key", shown[1]]
    assert not client.ask(proxy.running.address)
    assert client.ask(proxy.running.address)
    wait_until(end)
    # The list cannot vouch for anybody any more: neither the session nor a new handshake is taken.
    for _ in range(2):
        said, _ = client.say(proxy.running.address)
        assert "HTTP/1.1 200" not in said, said
        client.file.unlink(missing_ok=True)
