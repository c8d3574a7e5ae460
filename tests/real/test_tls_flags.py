"""`--backend https://…`: TLS to backends by the command line alone."""

import contextlib
import socket
import ssl
import subprocess

import pytest

from harness.client import DEADLINE_S, Response, connect, get
from harness.process import Child, Pollux
from harness.tls import openssl


def fetch(proxy):
    with connect(proxy.address) as connection, connection.makefile("rb") as stream:
        connection.sendall(get())
        return Response(stream)


def refused(pollux_bin, *options, env=None):
    """What is said of flags that cannot be served with."""
    command = [pollux_bin, "--listen", "127.0.0.1:0", *options]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=DEADLINE_S, env=env)
    assert done.returncode == 2, done
    return done.stderr


@pytest.fixture
def s_server(tmp_path):
    """Starts `openssl s_server -www` with a certificate; gives its port."""
    with contextlib.ExitStack() as stack:

        def start(cert, key):
            with socket.create_server(("127.0.0.1", 0)) as probe:
                port = probe.getsockname()[1]
            command = ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", cert, "-key", key, "-www"]
            running = Child(command, tmp_path, "s_server")
            stack.callback(running.kill)
            running.line("ACCEPT")
            return port

        yield start


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_the_issuer_is_named(pollux, s_server, authority, host):
    port = s_server(*authority.issue("backend", ["localhost", "127.0.0.1"]))
    proxy = pollux(f"https://{host}:{port}", options=["--backend-ca", authority.cert])
    answer = fetch(proxy)
    assert answer.status == 200 and b"s_server -accept" in answer.body and b"TLSv1.3" in answer.body


def test_the_very_certificate_is_named(pollux, s_server, authority):
    # One that has signed itself, as many a backend has it.
    cert, key = authority.directory / "self.pem", authority.directory / "self-key.pem"
    new = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost".split()
    openssl(*new, "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", cert)
    assert fetch(pollux(f"https://localhost:{s_server(cert, key)}", options=["--backend-ca", cert])).status == 200


def test_another_name_and_whom_nobody_knows(pollux, tls_backend, authority):
    backend = tls_backend(*authority.issue("backend", ["app.internal"]))
    address, ca = f"https://127.0.0.1:{backend.port}", ["--backend-ca", authority.cert]
    wrong = fetch(pollux(address, options=ca))
    assert wrong.status == 502 and b"backend-tls-wrong-name" in wrong.body
    assert fetch(pollux(address, options=[*ca, "--backend-tls-name", "app.internal"])).status == 200
    assert backend.names[-1] == "app.internal"
    unverified = pollux(address, options=["--backend-verify", "off"])
    assert fetch(unverified).status == 200
    unverified.wait_for_stderr("warning: the certificates of backends are not verified")


def test_whom_the_system_believes(pollux_bin, tls_backend, authority, tmp_path, keep):
    backend = tls_backend(*authority.issue("backend"))
    arguments = ["--listen", "127.0.0.1:0", "--backend", f"https://localhost:{backend.port}"]
    # Where the libraries of a system look for them.
    env = {"SSL_CERT_FILE": str(authority.cert), "SSL_CERT_DIR": ""}
    known = keep(Pollux(pollux_bin, arguments, tmp_path, env=env))
    assert fetch(known).status == 200
    (tmp_path / "other").mkdir()
    unknown = keep(Pollux(pollux_bin, arguments, tmp_path / "other"))
    answer = fetch(unknown)
    assert answer.status == 502 and b"backend-tls-unknown-issuer" in answer.body
    why = subprocess.run([pollux_bin, "why", "backend-tls-unknown-issuer"], capture_output=True, text=True, timeout=DEADLINE_S)
    assert "--backend-ca FILE" in why.stdout
    (tmp_path / "nobody").write_text("")
    env = {"SSL_CERT_FILE": str(tmp_path / "nobody"), "SSL_CERT_DIR": str(tmp_path / "other")}
    said = refused(pollux_bin, *arguments[2:], env=env)
    assert "whom to believe of the https:// backends cannot be found out" in said and "--backend-ca FILE" in said, said


def test_bytes_go_to_it_in_tcp_mode(pollux, tls_backend, authority):
    backend = tls_backend(*authority.issue("backend"), version=ssl.TLSVersion.TLSv1_2)
    proxy = pollux(f"https://localhost:{backend.port}", options=["--backend-ca", authority.cert, "--mode", "tcp"])
    assert fetch(proxy).status == 200


@pytest.mark.parametrize(
    "options, expected",
    [
        (["--backend", "https://127.0.0.1:1", "--backend", "127.0.0.1:2", "--backend-verify", "off"], "write it before all of them"),
        (["--backend", "127.0.0.1:1", "--backend-verify", "off"], "write --backend https://HOST:PORT"),
        (["--backend", "https://127.0.0.1:1", "--backend-ca", "/nowhere.pem"], "cannot read /nowhere.pem"),
        (["--backend", "https://127.0.0.1:1", "--backend-ca", "/dev/null"], "expected certificates in PEM"),
        (["--backend", "https://127.0.0.1:1", "--backend-ca", "/dev/null", "--backend-verify", "off"], "leave one of the two out"),
        (["--backend", "https://127.0.0.1:1", "--backend-tls-name", "a b"], "no name that a certificate can have"),
        (["--backend", "https://127.0.0.1:1/path"], "write `https://127.0.0.1:1`"),
        (["--backend", "https://:443"], "host"),
        (["--backend-ca", "/dev/null"], "--backend"),
    ],
)
def test_what_cannot_be_meant_is_told(pollux_bin, options, expected):
    said = refused(pollux_bin, *options)
    assert expected in said and "panicked" not in said, said
