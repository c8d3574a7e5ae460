"""TLS with real programs: openssl and curl to Pollux, and Pollux to openssl; certificates are made here."""

import json
import os
import re
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import time

import pytest

from harness.client import DEADLINE_S
from harness.tls import Authority, connect, context, curl, listener, openssl, pairs, s_client, to_backend

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


def test_curl_gets_and_posts(tls_pollux, toy, authority, big_body):
    proxy = tls_pollux(listener(toy("echo", name="a"), authority.issue("localhost")))
    told = json.loads(curl(authority, proxy.port, path="/path?query=1"))
    assert (told["backend"], told["target"]) == ("a", "/path?query=1")
    told = json.loads(curl(authority, proxy.port, "--data-binary", "@-", data=big_body[: 3 << 20]))
    assert told["body_bytes"] == 3 << 20


def test_large_responses_come_whole_and_connections_are_kept(tls_pollux, toy, authority):
    proxy = tls_pollux(listener(toy(f"fixed:{10 << 20}"), authority.issue("localhost")))
    url = f"https://localhost:{proxy.port}/"
    out = curl(authority, proxy.port, "--write-out", "%{stderr}%{num_connects} ", url)
    assert len(out) == 2 * (10 << 20)


@pytest.mark.parametrize("flag, version", [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")])
@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_versions_and_key_types(tls_pollux, toy, authority, flag, version, kind):
    proxy = tls_pollux(listener(toy("echo"), authority.issue("localhost", kind=kind)))
    said, code = s_client(proxy.port, flag, "-CAfile", authority.cert, "-verify_return_error")
    assert code == 0 and re.search(rf"New, {version}, Cipher is ", said), said
    assert "Verify return code: 0 (ok)" in said


# What openssl offers, and how the handshake has to end.
REFUSED = [
    ("TLS 1.1", ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]),
    ("TLS 1.0", ["-tls1", "-cipher", "ALL:@SECLEVEL=0"]),
    ("CBC", ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES128-SHA"]),
    ("no forward secrecy", ["-tls1_2", "-cipher", "AES128-GCM-SHA256"]),
    ("finite fields", ["-tls1_2", "-cipher", "DHE-RSA-AES128-GCM-SHA256"]),
    ("3DES", ["-tls1_2", "-cipher", "DES-CBC3-SHA:@SECLEVEL=0"]),
    ("no encryption", ["-tls1_2", "-cipher", "eNULL:@SECLEVEL=0"]),
    ("anonymous", ["-tls1_2", "-cipher", "aNULL:@SECLEVEL=0"]),
    ("SHA-1 signatures", ["-tls1_2", "-sigalgs", "ECDSA+SHA1"]),
    ("HTTP/2 alone", ["-alpn", "h2"]),
]


@pytest.mark.parametrize("name, offers", REFUSED, ids=[name for name, _ in REFUSED])
def test_what_is_weak_is_refused(tls_pollux, toy, authority, name, offers):
    proxy = tls_pollux(listener(toy("echo"), authority.issue("localhost")))
    said, code = s_client(proxy.port, *offers)
    assert code != 0 and re.search(r"alert|no protocols available|no cipher", said), said
    assert json.loads(curl(authority, proxy.port))["method"] == "GET"


def test_a_client_that_does_not_know_the_issuer_says_so(tls_pollux, toy, authority):
    proxy = tls_pollux(listener(toy("echo"), authority.issue("localhost")))
    said, code = s_client(proxy.port, "-verify_return_error")
    assert code != 0, said
    proxy.cause("tls-refused-by-client")


def test_only_the_newest_if_asked(tls_pollux, toy, authority):
    proxy = tls_pollux(listener(toy("echo"), authority.issue("localhost"), extra=', min_version = "1.3"'))
    assert s_client(proxy.port, "-tls1_2")[1] != 0
    assert s_client(proxy.port, "-tls1_3")[1] == 0
    proxy.cause("tls-incompatible")


def test_names_choose_certificates(tls_pollux, toy, authority):
    issued = [
        authority.issue("first", ["first.test"]),
        authority.issue("wild", ["*.example.test"]),
        authority.issue("www", ["www.example.test"]),
    ]
    proxy = tls_pollux(listener(toy("echo"), *issued))
    for name, subject in [
        ("first.test", "first"),
        ("www.example.test", "www"),
        ("other.example.test", "wild"),
        ("a.b.example.test", "first"),
        ("unknown.test", "first"),
        (None, "first"),
    ]:
        asks = ["-servername", name] if name else ["-noservername"]
        said, _ = s_client(proxy.port, *asks)
        assert re.search(rf"subject=CN ?= ?{subject}$", said, re.MULTILINE), (name, said)


def test_unknown_names_are_refused_if_asked(tls_pollux, toy, authority):
    proxy = tls_pollux(listener(toy("echo"), authority.issue("localhost"), extra=', unknown_names = "refuse"'))
    assert s_client(proxy.port, "-servername", "localhost")[1] == 0
    assert s_client(proxy.port, "-servername", "other.test")[1] != 0
    proxy.cause("tls-unknown-name")
    assert s_client(proxy.port, "-noservername")[1] != 0


def test_two_key_types_for_one_name(tls_pollux, toy, authority):
    issued = [authority.issue("rsa", kind="rsa"), authority.issue("ec")]
    proxy = tls_pollux(listener(toy("echo"), *issued))
    for sigalgs, subject in [("RSA-PSS+SHA256", "rsa"), ("ECDSA+SHA256", "ec")]:
        said, _ = s_client(proxy.port, "-servername", "localhost", "-sigalgs", sigalgs)
        assert re.search(rf"subject=CN ?= ?{subject}$", said, re.MULTILINE), said


def test_protocols_are_agreed_on(tls_pollux, toy, authority):
    proxy = tls_pollux(listener(toy("echo"), authority.issue("localhost")))
    assert "ALPN protocol: http/1.1" in s_client(proxy.port, "-alpn", "h2,http/1.1")[0]
    assert "No ALPN negotiated" in s_client(proxy.port)[0]


def session(proxy, authority, resumed=None, version=ssl.TLSVersion.TLSv1_3):
    """Asks once over a connection of its own; the session, and whether it was resumed."""
    made = context(authority, maximum_version=version)
    if resumed:
        made = resumed[1]
    raw = socket.create_connection(("127.0.0.1", proxy.port), timeout=DEADLINE_S)
    with made.wrap_socket(raw, server_hostname="localhost", session=resumed and resumed[0]) as tls:
        tls.sendall(GET)
        # What comes before the response are the tickets of TLS 1.3.
        assert tls.recv(65536).startswith(b"HTTP/1.1 200")
        return (tls.session, made), tls.session_reused


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_sessions_are_resumed_also_after_a_reload(tls_pollux, toy, authority, version):
    proxy = tls_pollux(listener(toy("echo"), authority.issue("localhost")))
    first, is_resumed = session(proxy, authority, version=version)
    assert not is_resumed
    # Whichever worker it comes to.
    for _ in range(6):
        first, is_resumed = session(proxy, authority, first, version)
        assert is_resumed
    proxy.running.signal(1)
    proxy.running.wait_for_stderr("reload")
    assert session(proxy, authority, first, version)[1]


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
    extra = f', client_ca = "{authority.cert}", client_auth = "request"'
    proxy = tls_pollux(listener(toy("echo"), authority.issue("localhost"), extra=extra, more=route))
    spoofed = "".join(f"{name.replace('_', '-')}: yes\r\n{name}: yes\r\n" for name in SHOWN)
    ask = f"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{spoofed}\r\n".encode()
    good = authority.issue("alice", [])
    for pair, shown, why, subject in [
        (good, "yes", "", "CN=alice"),
        (authority.issue("old", [], days=-1), "failed", "expired", ""),
        (Authority(tmp_path, "other").issue("mallory", []), "failed", "unknown-issuer", ""),
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
        + 'hsts = { max_age = "30days" }\n'
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


def test_the_status_says_how_long_certificates_are_valid(tls_pollux, pollux_bin, toy, authority):
    issued = [authority.issue("localhost", days=5), authority.issue("www", ["www.test"], days=25)]
    proxy = tls_pollux(listener(toy("echo"), *issued))

    def status(*more):
        command = [pollux_bin, "status", "-c", proxy.file, *more]
        return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True, timeout=60).stdout

    told = json.loads(status("--json"))["certificates"]
    assert [(one["names"], one["term"]) for one in told] == [(["localhost"], "expires-soon"), (["www.test"], "valid")]
    assert told[0]["days_left"] in (4, 5) and told[1]["days_left"] in (24, 25)
    lines = [line for line in status().splitlines() if line.startswith("certificate ")]
    assert re.search(r"localhost.pem of \S+ for localhost: EXPIRES SOON, [45] days left$", lines[0])
    assert re.search(r"www.pem of \S+ for www.test: 2[45] days left$", lines[1])


def test_a_handshake_byte_by_byte(tls_pollux, toy, authority):
    proxy = tls_pollux(listener(toy("echo"), authority.issue("localhost")))
    into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context(authority).wrap_bio(into, out, server_hostname="localhost")
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=DEADLINE_S) as raw:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def push():
            for byte in out.read():
                raw.sendall(bytes([byte]))

        def until_done(step):
            while True:
                try:
                    return step()
                except ssl.SSLWantReadError:
                    push()
                    piece = raw.recv(1)
                    assert piece, "closed"
                    into.write(piece)

        until_done(tls.do_handshake)
        tls.write(GET)
        push()
        assert until_done(lambda: tls.read(65536)).startswith(b"HTTP/1.1 200")


def test_the_first_record_of_an_answer_is_a_short_one(tls_pollux, toy, authority):
    proxy = tls_pollux(listener(toy("fixed:100000"), authority.issue("localhost")))
    into, out, records = ssl.MemoryBIO(), ssl.MemoryBIO(), []
    tls = context(authority, maximum_version=ssl.TLSVersion.TLSv1_2).wrap_bio(into, out, server_hostname="localhost")
    with (
        socket.create_connection(("127.0.0.1", proxy.port), timeout=DEADLINE_S) as raw,
        raw.makefile("rb") as stream,
    ):

        def until_done(step):
            while True:
                try:
                    return step()
                except ssl.SSLWantReadError:
                    raw.sendall(out.read())
                    head = stream.read(5)
                    assert len(head) == 5, "closed"
                    length = int.from_bytes(head[3:])
                    # In TLS 1.2 nothing but application data has this type.
                    if head[0] == 23:
                        records.append(length)
                    into.write(head + stream.read(length))

        until_done(tls.do_handshake)
        for _ in range(2):
            records.clear()
            tls.write(GET)
            answer = until_done(lambda: tls.read(65536))
            length = int(re.search(rb"Content-Length: (\d+)", answer)[1])
            while len(answer.partition(b"\r\n\r\n")[2]) < length:
                answer += until_done(lambda: tls.read(65536))
            # With an explicit nonce and a tag.
            assert records[0] == 4096 + 24 and max(records) == 16384 + 24, records


def test_slow_and_vanishing_clients_of_the_handshake(tls_pollux, toy, authority):
    config = listener(toy("echo"), authority.issue("localhost")) + '[timeouts]\nhandshake = "300ms"\n'
    proxy = tls_pollux(config)
    hello = bytes.fromhex("1603010200010001fc0303") + bytes(100)
    slow = socket.create_connection(("127.0.0.1", proxy.port), timeout=DEADLINE_S)
    slow.sendall(hello)
    for linger in [False, True]:
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=DEADLINE_S) as gone:
            gone.sendall(hello)
            if linger:
                gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    proxy.cause("tls-handshake-failed")
    assert slow.recv(100) == b""
    proxy.cause("tls-handshake-timeout")
    socket.create_connection(("127.0.0.1", proxy.port), timeout=DEADLINE_S).close()
    proxy.cause("no-request")
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=DEADLINE_S) as plain:
        plain.sendall(GET)
        assert plain.recv(100)[:1] == b"\x15", "an alert"
    assert json.loads(curl(authority, proxy.port))["method"] == "GET"


def test_a_flood_of_handshakes_leaves_room_for_those_who_are_in(tls_pollux, toy, authority):
    config = listener(toy("echo"), authority.issue("localhost")) + "[limits]\nhandshakes = 4\n"
    proxy = tls_pollux(config)
    with connect(authority, proxy.port) as early:
        flood = [socket.create_connection(("127.0.0.1", proxy.port), timeout=DEADLINE_S) for _ in range(50)]
        for _ in range(20):
            early.sendall(GET)
            assert early.recv(65536).startswith(b"HTTP/1.1 200")
        for one in flood:
            one.close()
    assert json.loads(curl(authority, proxy.port))["method"] == "GET"


def test_those_who_connect_and_say_nothing_keep_nobody_out(tls_pollux, toy, authority):
    bounds = '[timeouts]\nhandshake = "10m"\n[limits]\nhandshakes = 4\n'
    proxy = tls_pollux(listener(toy("echo"), authority.issue("localhost")) + bounds)
    silent = [socket.create_connection(("127.0.0.1", proxy.port), timeout=DEADLINE_S) for _ in range(12)]
    assert json.loads(curl(authority, proxy.port))["method"] == "GET"
    proxy.cause("tls-handshake-timeout")
    for one in silent:
        one.close()


def test_a_certificate_replaced_under_load(tls_pollux, toy, authority, tmp_path):
    cert, key = (tmp_path / "live.pem", tmp_path / "live-key.pem")

    def install(issued):
        # As certbot does: whole files, one after the other.
        for source, target in zip(issued, (cert, key)):
            new = target.with_suffix(".new")
            shutil.copy(source, new)
            os.replace(new, target)

    install(authority.issue("old"))
    proxy = tls_pollux(listener(toy("fixed:2000"), (cert, key)))
    failures, counts, stop = [], [0], threading.Event()

    def ask():
        while not stop.is_set():
            try:
                with connect(authority, proxy.port) as tls:
                    for _ in range(5):
                        tls.sendall(GET)
                        got = b""
                        while len(got.partition(b"\r\n\r\n")[2]) < 2000:
                            piece = tls.recv(65536)
                            assert piece, got
                            got += piece
                        assert got.startswith(b"HTTP/1.1 200")
                        counts[0] += 1
            except Exception as error:
                failures.append(error)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        with connect(authority, proxy.port) as steady:
            for name in ["new-1", "new-2"]:
                install(authority.issue(name))
                deadline = time.monotonic() + DEADLINE_S
                while not re.search(rf"subject=CN ?= ?{name}$", s_client(proxy.port)[0], re.MULTILINE):
                    assert time.monotonic() < deadline, proxy.running.stderr()[-2000:]
            steady.sendall(GET)
            assert steady.recv(65536).startswith(b"HTTP/1.1 200")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not failures and counts[0] > 20, (failures[:3], counts)


def test_what_cannot_be_used_does_not_replace_what_can(tls_pollux, toy, authority, tmp_path):
    cert, key = authority.issue("localhost")
    proxy = tls_pollux(listener(toy("echo"), (cert, key)))
    whole = cert.read_text()
    cert.write_text(whole[: len(whole) // 2])
    proxy.running.wait_for_stderr("the certificates stay as they are")
    assert json.loads(curl(authority, proxy.port))["method"] == "GET"


def test_a_certificate_that_expires_soon_is_in_the_log_and_the_metrics(tls_pollux, toy, authority):
    proxy = tls_pollux(listener(toy("echo"), authority.issue("localhost", days=5)))
    proxy.running.wait_for_stderr("a certificate expires soon")


class Ending:
    """A backend whose responses end with its connection: with a FIN, or with a RST if the path says so."""

    BODY = b"all of it"

    def __init__(self):
        self.server = socket.create_server(("127.0.0.1", 0))
        self.host_port = "{}:{}".format(*self.server.getsockname())
        self.go_on = threading.Event()
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while True:
            try:
                conn, _ = self.server.accept()
            except OSError:
                return
            with conn:
                head = conn.recv(65536)
                if head:
                    conn.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + self.BODY)
                if b"/cut" in head:
                    self.go_on.wait(DEADLINE_S)
                    conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def close(self):
        self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()
        self.thread.join()


def test_only_a_whole_response_ends_with_close_notify(tls_pollux, authority):
    backend = Ending()
    try:
        proxy = tls_pollux(listener(backend, authority.issue("localhost")))
        for path in ["whole", "cut"]:
            raw = socket.create_connection(("127.0.0.1", proxy.port), timeout=DEADLINE_S)
            # Without this a connection that is cut would look to Python like one that has ended.
            made = context(authority)
            with made.wrap_socket(raw, server_hostname="localhost", suppress_ragged_eofs=False) as tls:
                tls.sendall(f"GET /{path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
                got = b""
                while not got.endswith(Ending.BODY):
                    got += tls.recv(65536)
                if path == "whole":
                    assert tls.recv(100) == b""
                else:
                    backend.go_on.set()
                    with pytest.raises((ssl.SSLError, ConnectionError)):
                        tls.recv(100)
        proxy.cause("backend-truncated")
    finally:
        backend.close()


def test_renegotiation_is_refused(tls_pollux, toy, authority):
    proxy = tls_pollux(listener(toy("echo"), authority.issue("localhost")))
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{proxy.port}", "-tls1_2"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as client:
        # Its end would be the end of the program; this has to be that of the connection.
        client.stdin.write(b"R\n")
        client.stdin.flush()
        said = client.stdout.read().decode(errors="replace")
    assert "RENEGOTIATING" in said and "no renegotiation" in said, said


def test_a_broken_record_ends_the_connection(tls_pollux, toy, authority):
    proxy = tls_pollux(listener(toy("echo"), authority.issue("localhost")))
    with connect(authority, proxy.port) as tls:
        tls.sendall(GET)
        assert tls.recv(65536).startswith(b"HTTP/1.1 200")
        raw = socket.socket(fileno=os.dup(tls.fileno()))
        with raw:
            raw.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))
            with pytest.raises((ssl.SSLError, ConnectionError)):
                tls.recv(100)
    assert json.loads(curl(authority, proxy.port))["method"] == "GET"


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


def test_bytes_pass_both_ways_in_tcp_mode(tls_pollux, authority):
    server = socket.create_server(("127.0.0.1", 0))

    class Backend:
        host_port = "{}:{}".format(*server.getsockname())

    text = listener(Backend, authority.issue("localhost")).replace("[[listener]]", '[[listener]]\nmode = "tcp"')
    proxy = tls_pollux(text)
    with connect(authority, proxy.port) as tls, server:
        conn, _ = server.accept()
        with conn:
            conn.settimeout(DEADLINE_S)
            # Who is spoken to first is the client.
            conn.sendall(b"hello")
            assert tls.recv(100) == b"hello"
            tls.sendall(b"x" * 100_000)
            got = b""
            while len(got) < 100_000:
                got += conn.recv(65536)
            conn.shutdown(socket.SHUT_WR)
            assert tls.recv(100) == b"", "close_notify, and not a cut"


def test_a_proxy_announces_its_client_before_the_handshake(tls_pollux, toy, authority):
    more = 'trusted_proxies = ["127.0.0.1"]\nproxy_protocol = "required"\n'
    proxy = tls_pollux(listener(toy("echo"), authority.issue("localhost"), more=more))
    for header in [b"PROXY TCP4 192.0.2.7 192.0.2.8 4000 443\r\n", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes([192, 0, 2, 7, 192, 0, 2, 8, 16, 0, 1, 187])]:
        raw = socket.create_connection(("127.0.0.1", proxy.port), timeout=DEADLINE_S)
        raw.sendall(header[:9])
        raw.sendall(header[9:])
        with context(authority).wrap_socket(raw, server_hostname="localhost") as tls:
            tls.sendall(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            got = b""
            while piece := tls.recv(65536):
                got += piece
        told = json.loads(got.partition(b"\r\n\r\n")[2])
        fields = {name.lower(): value for name, value in told["headers"]}
        assert (fields["x-forwarded-for"], fields["x-forwarded-proto"]) == ("192.0.2.7", "https")
    assert s_client(proxy.port)[1] != 0
    proxy.cause("proxy-header-missing")
