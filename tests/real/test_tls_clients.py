"""Client certificates: who is let in, what is told of whom, and which route each gets."""

import json
import re
import socket
import ssl
import subprocess

import pytest

from harness.client import DEADLINE_S
from harness.tls import Authority, context, curl, listener, openssl, pairs

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


def test_client_certificates_are_required(tls_pollux, toy, authority, tmp_path):
    route = """
[[listener.route]]
pool = "app"
request_headers = { set = { X-Subject = "{client_cert_subject}", X-Cert = "{client_cert}", X-Print = "{client_cert_fingerprint}" } }
"""
    extra = f', client_ca = "{authority.cert}"'
    proxy = tls_pollux(listener(toy("echo"), authority.issue("localhost"), extra=extra, more=route))
    cert, key = authority.issue("alice", [], subject="/O=Example/CN=alice")
    told = json.loads(curl(authority, proxy.port, "--cert", cert, "--key", key, "-H", "X-Subject: root"))
    fields = {name.lower(): value for name, value in told["headers"]}
    assert sorted(fields["x-subject"].split(", ")) == ["CN=alice", "O=Example"]
    assert fields["x-cert"] == "yes"
    fingerprint = openssl("x509", "-in", cert, "-noout", "-fingerprint", "-sha256").decode()
    assert fields["x-print"] == fingerprint.split("=")[1].strip().replace(":", "").lower()
    assert [name.lower() for name, _ in told["headers"]].count("x-subject") == 1
    # Nobody without, and nobody with one of somebody else's.
    for flag in ["--tlsv1.3", "--tls-max 1.2"]:
        command = ["curl", "-sS", "--cacert", str(authority.cert), *flag.split(), f"https://localhost:{proxy.port}/"]
        assert subprocess.run(command, capture_output=True).returncode != 0
    proxy.cause("tls-certificate-required")
    other = Authority(tmp_path, "other")
    cert, key = other.issue("mallory", [])
    command = ["curl", "-sS", "--cacert", authority.cert, "--cert", cert, "--key", key, f"https://localhost:{proxy.port}/"]
    assert subprocess.run(list(map(str, command)), capture_output=True).returncode != 0
    proxy.cause("tls-certificate-refused")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_revoked_client_certificates(tls_pollux, toy, authority, version):
    alice, bob = authority.issue("alice", []), authority.issue("bob", [])
    ask = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

    def come_in(pair, session=None):
        """The session, if there was an answer, and whether it was resumed."""
        made = contexts.setdefault(pair, context(authority, maximum_version=version))
        made.load_cert_chain(*pair)
        raw = socket.create_connection(("127.0.0.1", proxy.port), timeout=DEADLINE_S)
        try:
            with made.wrap_socket(raw, server_hostname="localhost", session=session) as tls:
                tls.sendall(ask)
                answer = tls.recv(65536)
                return (tls.session, tls.session_reused) if answer.startswith(b"HTTP/1.1 200") else None
        except (ssl.SSLError, ConnectionError):
            return None

    contexts, crl = {}, authority.revoke()
    extra = f', client_ca = "{authority.cert}", client_crl = "{crl}"'
    proxy = tls_pollux(listener(toy("echo"), authority.issue("localhost"), extra=extra))
    sessions = {pair: come_in(pair)[0] for pair in (alice, bob)}
    assert come_in(alice, sessions[alice])[1]
    # The new list holds from the reload on, for sessions that are resumed too.
    authority.revoke(alice[0])
    assert proxy.reload()[0] == 0
    assert come_in(alice) is None and come_in(alice, sessions[alice]) is None
    proxy.cause("tls-certificate-refused")
    assert come_in(bob, sessions[bob])[1] is False
    # One that is out of date says nothing of anybody. It is a warning.
    authority.revoke(alice[0], days=0)
    code, told = proxy.reload()
    assert code == 0 and "P0039" in told and "a list of revoked certificates is out of date" in told, told
    assert come_in(bob) is None


def code_of(port, *arguments, scheme="https"):
    """The status that curl sees, `000` if none, and whether it went well."""
    url = f"{scheme}://localhost:{port}/"
    command = ["curl", "-s", "--noproxy", "*", "--max-time", "30", "-o", "/dev/null", "-w", "%{http_code}", *arguments, url]
    done = subprocess.run(list(map(str, command)), capture_output=True)
    return done.stdout.decode(), done.returncode == 0


@pytest.mark.parametrize("word", ["refuse", "accept"])
@pytest.mark.parametrize("comes_by", ["start", "reload"])
def test_an_expired_list_never_opens_the_listener(tls_pollux, toy, authority, word, comes_by):
    alice, eve = authority.issue("alice", []), authority.issue("eve", [])
    crl = authority.revoke(eve[0], days=0 if comes_by == "start" else 30)
    extra = f', client_ca = "{authority.cert}", client_crl = "{crl}", client_crl_expired = "{word}"'
    proxy = tls_pollux(listener(toy("echo"), authority.issue("localhost"), extra=extra))
    if comes_by == "reload":
        authority.revoke(eve[0], days=0)
        code, told = proxy.reload()
        assert code == 0 and "a list of revoked certificates is out of date" in told, told
    shown = {name: ("--cacert", authority.cert, "--cert", pair[0], "--key", pair[1])
             for name, pair in [("alice", alice), ("eve", eve)]}
    assert code_of(proxy.port, scheme="http") != ("200", True), "plain HTTP is answered"
    assert not code_of(proxy.port, "--cacert", authority.cert)[1], "a client without a certificate comes in"
    assert code_of(proxy.port, *shown["eve"]) == ("000", False)
    assert code_of(proxy.port, *shown["alice"]) == (("200", True) if word == "accept" else ("000", False))
    proxy.cause("tls-certificate-refused")


def test_client_certificates_are_requested(tls_pollux, toy, authority):
    route = '[[listener.route]]\npool = "app"\nrequest_headers = { set = { X-Subject = "{client_cert_subject}", X-Cert = "{client_cert}" } }\n'
    extra = f', client_ca = "{authority.cert}", client_auth = "request"'
    proxy = tls_pollux(listener(toy("echo"), authority.issue("localhost"), extra=extra, more=route))
    told = json.loads(curl(authority, proxy.port, "-H", "X-Subject: CN=root"))
    fields = {name.lower(): value for name, value in told["headers"]}
    assert (fields["x-cert"], fields.get("x-subject", "")) == ("no", "")


SHOWN = {
    name: "{" + name + "}"
    for name in ["client_cert", "client_cert_error", "client_cert_subject", "client_cert_fingerprint"]
}


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_certificates_that_cannot_be_verified_are_told_also_of_resumed_sessions(
    tls_pollux, toy, authority, tmp_path, version
):
    fields = ", ".join(f'"{name.replace("_", "-")}" = "{value}"' for name, value in SHOWN.items())
    route = f'[[listener.route]]\npool = "app"\nrequest_headers = {{ set = {{ {fields} }} }}\n'
    eve = authority.issue("eve", [])
    extra = f', client_ca = "{authority.cert}", client_crl = "{authority.revoke(eve[0])}", client_auth = "request"'
    proxy = tls_pollux(listener(toy("echo"), authority.issue("localhost"), extra=extra, more=route))
    spoofed = "".join(f"{name.replace('_', '-')}: yes\r\n{name}: yes\r\n" for name in SHOWN)
    ask = f"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{spoofed}\r\n".encode()
    good = authority.issue("alice", [])
    for pair, shown, why, subject in [
        (good, "yes", "", "CN=alice"),
        (authority.issue("old", [], days=-1), "failed", "expired", ""),
        (Authority(tmp_path, "other").issue("mallory", []), "failed", "unknown-issuer", ""),
        (eve, "failed", "revoked", ""),
        (None, "no", "", ""),
    ]:
        made, kept = context(authority, maximum_version=version), None
        if pair:
            made.load_cert_chain(*pair)
        for is_resumed in [False, True]:
            raw = socket.create_connection(("127.0.0.1", proxy.port), timeout=DEADLINE_S)
            with made.wrap_socket(raw, server_hostname="localhost", session=kept) as tls:
                tls.sendall(ask)
                got = b"".join(iter(lambda: tls.recv(65536), b""))
                assert tls.session_reused == is_resumed
                kept = tls.session
            told = json.loads(got.partition(b"\r\n\r\n")[2])
            heard = [(name.lower(), value) for name, value in told["headers"] if "client" in name.lower()]
            expected = {"client-cert": shown, "client-cert-error": why, "client-cert-subject": subject}
            for name, value in expected.items():
                assert [it for one, it in heard if one == name] in ([value], [value] if value else []), heard
            assert not any("_" in name for name, _ in heard), heard
            has_print = any(name == "client-cert-fingerprint" and value for name, value in heard)
            assert has_print == (shown == "yes"), heard


CERTIFIED = '''
[[listener.route]]
name = "pinned"
match.client_cert = {{ state = ["verified", "failed"], fingerprint = "{fingerprint}" }}
pool = "app"
response_headers = {{ set = {{ X-Route = "pinned" }} }}
[[listener.route]]
name = "failed"
match.client_cert = "failed"
respond = {{ status = 403, headers = {{ X-Route = "failed", X-Why = "{{client_cert_error}}" }} }}
hsts = false
[[listener.route]]
name = "ops"
match.client_cert = {{ common_name = "*.ops" }}
pool = "app"
response_headers = {{ set = {{ X-Route = "ops" }} }}
hsts = {{ max_age = "1h" }}
[[listener.route]]
name = "example"
match.client_cert = {{ subject = "O=Example, CN=*" }}
pool = "app"
response_headers = {{ set = {{ X-Route = "example" }} }}
[[listener.route]]
name = "rest"
pool = "app"
response_headers = {{ set = {{ X-Route = "rest" }} }}
'''


def test_routes_and_the_log_know_client_certificates(tls_pollux, pollux_bin, toy, authority, tmp_path):
    other = Authority(tmp_path, "other")
    pinned = other.issue("pinned", [])
    fingerprint = openssl("x509", "-in", pinned[0], "-noout", "-fingerprint", "-sha256").decode().split("=")[1].strip()
    log = tmp_path / "access.log"
    server = authority.issue("localhost")
    tls = f'{{ certificates = [{pairs(server)}], client_ca = "{authority.cert}", client_auth = "request" }}'
    proxy = tls_pollux(
        f'[access_log]\nto = "{log}"\nformat = "json"\n[[listener]]\nname = "web"\nbind = "127.0.0.1:0"\ntls = {tls}\n'
        + 'hsts = { max_age = "30d" }\n'
        + CERTIFIED.format(fingerprint=fingerprint)
        + f'[pool.app]\nbackends = ["{toy("echo").host_port}"]\n'
    )
    expected = []
    for pair, route, state, subject, hsts in [
        (pinned, "pinned", "unknown-issuer", "CN=pinned", "max-age=2592000"),
        (other.issue("mallory", [], subject="/CN=a.ops"), "failed", "unknown-issuer", "CN=a.ops", None),
        (authority.issue("old", [], days=-1, subject="/CN=b.ops"), "failed", "expired", "CN=b.ops", None),
        (authority.issue("ops", [], subject="/CN=a.ops"), "ops", "verified", "CN=a.ops", "max-age=3600"),
        (authority.issue("alice", [], subject="/O=Example/CN=alice"), "example", "verified", "O=Example, CN=alice", "max-age=2592000"),
        (
            authority.issue("sly", [], subject="/CN=x, O=Example/CN=alice"),
            "rest",
            "verified",
            r"CN=x\, O=Example, CN=alice",
            "max-age=2592000",
        ),
        (None, "rest", "none", None, "max-age=2592000"),
    ]:
        flags = ["--cert", pair[0], "--key", pair[1]] if pair else []
        for version in ["--tlsv1.3", "--tls-max 1.2"]:
            head = curl(authority, proxy.port, "--head", *version.split(), *flags).decode().lower()
            assert f"\r\nx-route: {route}\r\n" in head, (route, head)
            found = re.findall(r"\r\nstrict-transport-security: (.*)\r\n", head)
            assert found == ([hsts] if hsts else []), (route, head)
            if route == "failed":
                assert f"\r\nx-why: {state}\r\n" in head
            expected.append((route, state, subject, "TLSv1.2" if "max" in version else "TLSv1.3"))
        # What is explained is what has happened.
        asks = ["--client-cert", state] + (["--client-cert-subject", subject] if subject else [])
        if pair:
            shown = openssl("x509", "-in", pair[0], "-noout", "-fingerprint", "-sha256").decode().split("=")[1].strip()
            asks += ["--client-cert-fingerprint", shown]
        command = [pollux_bin, "explain", "GET https://localhost/", "--json", "-c", proxy.file, *asks]
        told = json.loads(subprocess.run(list(map(str, command)), capture_output=True, check=True, timeout=60).stdout)
        assert [one["name"] for one in told["routes"] if one["missed"] is None] == [route]
    proxy.running.end_well()
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert len(lines) == len(expected)
    for line, (route, state, subject, version) in zip(lines, expected):
        assert (line["route"], line["tls_version"], line["tls_name"]) == (route, version, "localhost")
        assert line["tls_resumed"] is False and line["tls_cipher"].startswith("TLS")
        answer = {"none": None, "verified": "yes"}.get(state, "failed")
        assert (line.get("client_cert"), line.get("client_cert_subject")) == (answer, subject)
        assert line.get("client_cert_error") == (state if answer == "failed" else None)
        assert len(line.get("client_cert_fingerprint", "")) == (64 if answer else 0)
    # The same clients go the same way under the same configuration, and others under one that asks for others.
    new = tmp_path / "new.toml"
    whole = proxy.file.read_text()
    new.write_text(whole.replace('common_name = "*.ops"', 'common_name = "a"'))
    for file, moved in [(proxy.file, 0), (new, 2)]:
        plan = [pollux_bin, "plan", file, "--config", proxy.file, "--replay", log, "--json"]
        told = json.loads(subprocess.run(list(map(str, plan)), capture_output=True, timeout=60).stdout)["replay"]
        assert (told["requests"], told["skipped"], told["moved"]) == (len(expected), 0, moved), told


def test_explain_knows_what_a_client_hello_says(pollux_bin, tmp_path):
    file = tmp_path / "proxy.toml"
    file.write_text(
        '[[listener]]\nname = "passed"\nbind = "127.0.0.1:9443"\nmode = "tcp"\n'
        '[[listener.route]]\nname = "h2"\nmatch = { sni = "*.example.com", alpn = "h2" }\npool = "app"\n'
        '[[listener.route]]\nname = "rest"\nmatch.sni = "www.example.com"\npool = "app"\n'
        '[pool.app]\nbackends = ["127.0.0.1:9001"]\n'
        '[[test]]\nsni = "www.example.com"\nexpect = { route = "rest" }\n'
    )

    def run(*arguments):
        return subprocess.run([pollux_bin, *arguments, "-c", file], capture_output=True, text=True, timeout=60)

    for asks, route in [
        (["--sni", "www.example.com", "--alpn", "http/1.1", "--alpn", "h2"], "h2"),
        (["--sni", "www.example.com", "--alpn", "http/1.1"], "rest"),
        (["--sni", "example.com"], None),
    ]:
        done = run("explain", *asks)
        assert done.returncode == 0, done.stderr
        assert re.findall(r"taken +\S+ +(\S+)", done.stdout) == ([route] if route else []), done.stdout
        assert ("ended: no-route" in done.stdout) == (route is None)
    assert "missed" in run("explain", "--listener", "passed").stdout
    assert run("explain").returncode == 2
    assert run("test").returncode == 0
