"""Backends with TLS: what checks make of their certificates, how responses end, and what they are shown."""

import json
import os
import socket
import ssl
import struct
import subprocess
import threading

import pytest

from harness.client import DEADLINE_S
from harness.scripted import ScriptedBackend
from harness.tls import Authority, curl, listener, to_backend

HERE = ["127.0.0.1"]
CHECK = '[pool.app.check]\ntype = "http"\npath = "/healthz"\ninterval = "50ms"\nfall = 2\nrise = 1\nstart = "check-first"\n'


def checked(authority, *backends):
    """A listener over backends that are called b1, b2, …, which are checked."""
    listed = ", ".join(f'{{ name = "b{at}", address = "https://127.0.0.1:{one.port}" }}' for at, one in enumerate(backends, 1))
    return f'[[listener]]\nbind = "127.0.0.1:0"\npool = "app"\n[pool.app]\nbackends = [{listed}]\ntls = {{ ca = "{authority.cert}" }}\n{CHECK}'


def test_checks_tell_what_is_wrong_with_a_certificate(tls_pollux, tls_backend, authority, tmp_path):
    backends = [
        (tls_backend(*authority.issue("good", HERE)), None),
        (tls_backend(*authority.issue("elsewhere", ["elsewhere.test"])), "backend-tls-wrong-name"),
        (tls_backend(*authority.issue("old", HERE, days=-1)), "backend-tls-expired"),
        (tls_backend(*Authority(tmp_path, "stranger").issue("unknown", HERE)), "backend-tls-unknown-issuer"),
    ]
    proxy = tls_pollux(checked(authority, *(backend for backend, _ in backends)))
    proxy.wait_for_backend("b1", lambda backend: backend["standing"] == "up")
    for number, (_, cause) in enumerate(backends[1:], 2):
        down = proxy.wait_for_backend(f"b{number}", lambda backend: backend["standing"] == "down")
        assert down["history"][-1]["found"] == cause
        assert cause in proxy.tell("status", f"app/b{number}")
    assert [proxy.fetch().status for _ in range(12)] == [200] * 12
    assert not any(backend.connections for backend, _ in backends[1:]), "nobody whose certificate is wrong is asked for anything"


def test_a_backend_is_up_again_when_its_certificate_is_renewed(tls_pollux, tls_backend, authority):
    backend = tls_backend(*authority.issue("old", HERE, days=-1))
    proxy = tls_pollux(checked(authority, backend))
    proxy.wait_for_backend("b1", lambda backend: backend["standing"] == "down")
    assert b"backend-tls-expired" in proxy.fetch().body
    backend.context.load_cert_chain(*authority.issue("new", HERE))
    proxy.wait_for_backend("b1", lambda backend: backend["standing"] == "up")
    assert proxy.fetch().status == 200


def test_the_issuers_of_a_pool_are_taken_anew_when_their_file_is(tls_pollux, tls_backend, authority, tmp_path):
    stranger = Authority(tmp_path, "stranger")
    backend = tls_backend(*stranger.issue("unknown", HERE))
    believed = tmp_path / "believed.pem"
    believed.write_bytes(authority.cert.read_bytes())
    config = checked(authority, backend).replace(str(authority.cert), str(believed))
    proxy = tls_pollux(config)
    proxy.wait_for_backend("b1", lambda backend: backend["standing"] == "down")
    believed.write_text("no certificate\n")
    proxy.running.wait_for_stderr("the certificates for connections to backends stay as they are")
    believed.write_bytes(stranger.cert.read_bytes())
    proxy.wait_for_backend("b1", lambda backend: backend["standing"] == "up")
    assert proxy.fetch().status == 200


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_curl_gets_what_a_backend_gives_to_those_whom_it_knows(tls_pollux, tls_backend, authority, version):
    """TLS on both sides, and verified on both: nobody gets there without the certificate that Pollux shows."""
    shown = authority.issue("pollux", [], subject="/O=Example/CN=pollux")
    backend = tls_backend(*authority.issue("backend"), client_ca=authority.cert, version=version)
    text = listener(backend, authority.issue("localhost")).replace(backend.host_port, f"https://localhost:{backend.port}")
    tls = 'tls = {{ ca = "{}", {} }}\n'
    proxy = tls_pollux(text + tls.format(authority.cert, 'cert = "{}", key = "{}"'.format(*shown)))
    assert json.loads(curl(authority, proxy.port))["commonName"] == "pollux"
    without = tls_pollux(text + tls.format(authority.cert, ""))
    curl(authority, without.port, "--fail", code=22)
    without.running.wait_for_stderr("who=backend")


def ending(context, how):
    """A backend whose response has no length, and ends with close_notify, with a FIN alone, or with a RST."""

    def serve(raw):
        tls = context.wrap_socket(raw.dup(), server_side=True)
        head = b""
        while b"\r\n\r\n" not in head:
            piece = tls.recv(65536)
            if not piece:
                return
            head += piece
        tls.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nall of it")
        if how == "notify":
            tls.unwrap()
        elif how == "reset":
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # Without its own farewell: the descriptor is closed, and nothing is said by TLS.
        os.close(tls.detach())

    return serve


@pytest.mark.parametrize("how", ["notify", "fin", "reset"])
def test_a_response_that_is_cut_off_is_not_taken_for_a_whole_one(tls_pollux, authority, how):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("localhost"))
    with ScriptedBackend(ending(context, how)) as backend:
        port = backend.host_port.rpartition(":")[2]
        proxy = tls_pollux(to_backend(f"https://localhost:{port}", f'ca = "{authority.cert}"'))
        # Its length is told by chunks, so that an end that is missing can be seen.
        url = f"http://127.0.0.1:{proxy.port}/"
        done = subprocess.run(["curl", "-sS", "--fail", "--max-time", "20", "--noproxy", "*", url], capture_output=True)
        if how == "notify":
            assert (done.returncode, done.stdout) == (0, b"all of it"), done
        else:
            # A reset may take with it what came before, and then there is no response at all.
            assert done.returncode in ((18, 56) if how == "fin" else (18, 56, 22)), done
            proxy.running.wait_for_stderr("who=backend")


def get(proxy, path="/"):
    with socket.create_connection(proxy.running.address, timeout=DEADLINE_S) as conn:
        conn.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        got = b""
        while piece := conn.recv(65536):
            got += piece
    return int(got.split()[1]), got.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_backends_are_verified_and_their_connections_kept(tls_pollux, tls_backend, authority, version):
    backend = tls_backend(*authority.issue("localhost"), version=version)
    proxy = tls_pollux(to_backend(f"https://localhost:{backend.port}", f'ca = "{authority.cert}"'), threads=1)
    for _ in range(10):
        assert get(proxy)[0] == 200
    assert backend.connections <= 2, "connections are used again"
    assert set(backend.names) == {"localhost"}
    for _ in range(4):
        assert get(proxy, "/close")[0] == 200
    assert backend.resumed >= 2, (backend.resumed, backend.connections)


class Stranger:
    """Somebody who accepts and speaks another protocol, or says nothing at all."""

    def __init__(self, says):
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        self.thread = threading.Thread(target=self.serve, args=(says,), daemon=True)
        self.thread.start()

    def serve(self, says):
        held = []
        while True:
            try:
                held.append(self.server.accept()[0])
            except OSError:
                return [conn.close() for conn in held]
            if says:
                held[-1].sendall(says)

    def close(self):
        self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()
        self.thread.join()


def test_what_is_wrong_with_a_backend_has_its_cause(tls_pollux, tls_backend, authority, tmp_path):
    other = Authority(tmp_path, "stranger")
    good = authority.issue("localhost")
    cases = [
        (tls_backend(*authority.issue("old", days=-1)), "localhost", "backend-tls-expired"),
        (tls_backend(*authority.issue("elsewhere", ["elsewhere.test"])), "localhost", "backend-tls-wrong-name"),
        (tls_backend(*other.issue("unknown")), "localhost", "backend-tls-unknown-issuer"),
        (tls_backend(*good, client_ca=authority.cert, version=ssl.TLSVersion.TLSv1_2), "localhost", "backend-tls-refused"),
    ]
    strangers = [Stranger(b"220 mail ready\r\n"), Stranger(b"")]
    cases += [
        (tls_backend(*authority.issue("issuer", is_issuer=True)), "localhost", "backend-tls-bad-certificate"),
        (strangers[0], "localhost", "backend-tls-failed"),
        (strangers[1], "localhost", "backend-tls-timeout"),
    ]
    text = '[timeouts]\nconnect = "500ms"\n'
    for number, (backend, host, cause) in enumerate(cases):
        text += f'[[listener]]\nname = "l{number}"\nbind = "127.0.0.1:0"\npool = "p{number}"\n[pool.p{number}]\nretries = 0\n'
        text += f'backends = ["https://{host}:{backend.port}"]\ntls = {{ ca = "{authority.cert}" }}\n'
    proxy = tls_pollux(text, listeners=len(cases))
    for (host, port), (_, _, cause) in zip(proxy.running.addresses, cases):
        with socket.create_connection((host, port), timeout=DEADLINE_S) as conn:
            conn.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            got = b""
            while piece := conn.recv(65536):
                got += piece
        assert got.startswith(b"HTTP/1.1 50") and cause.encode() in got, (cause, got)
        proxy.cause(cause)
    for stranger in strangers:
        stranger.close()


def test_verify_off_believes_anybody_and_client_certificates_are_shown(tls_pollux, tls_backend, authority, tmp_path):
    other = Authority(tmp_path, "stranger")
    cert, key = authority.issue("pollux", [])
    backend = tls_backend(*other.issue("unknown", ["unknown.test"]), client_ca=authority.cert)
    proxy = tls_pollux(to_backend(f"https://127.0.0.1:{backend.port}", f'verify = "off", cert = "{cert}", key = "{key}"'))
    assert get(proxy) == (200, b'{"commonName": "pollux"}')
    proxy.running.wait_for_stderr("not verified")


def test_curl_through_two_of_them(tls_pollux, toy, authority, big_body):
    """Pollux before Pollux, TLS on both legs, long bodies both ways."""
    issued = authority.issue("localhost")
    inner = tls_pollux(listener(toy("upload"), issued))
    text = listener(toy("echo"), issued).replace("backends", "#")
    text += f'backends = ["https://localhost:{inner.port}"]\ntls = {{ ca = "{authority.cert}" }}\n'
    outer = tls_pollux(text)
    told = json.loads(curl(authority, outer.port, "--data-binary", "@-", data=big_body))
    assert told["bytes"] == len(big_body)
