"""Certificates and keys as people have them: each is read whole, or the file is refused with what it is and what helps."""

import json
import os
import subprocess
import time

import pytest

from harness.client import DEADLINE_S
from harness.served import Served
from harness.tls import Authority, listener, openssl, s_client


def check(pollux_bin, tmp_path, cert, key, extra=""):
    """What `pollux check --strict` says of the pair, and its exit code."""
    config = tmp_path / "proxy.toml"
    config.write_text(
        f'[[listener]]\nbind = "127.0.0.1:0"\ntls = {{ certificates = [{{ cert = "{cert}", key = "{key}" }}]{extra} }}\n'
        '[pool.app]\nbackends = ["127.0.0.1:9"]\n'
    )
    done = subprocess.run([pollux_bin, "check", "--strict", config], capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr, done.returncode


def secrets_of(key):
    """The lines of a key, of which none may be told."""
    return [line for line in key.read_text().splitlines() if line and not line.startswith("-----")]


KINDS = {
    "rsa-1024": (["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"], "the key is RSA of 1024 bits", "rsa_keygen_bits:3072"),
    "rsa-pss": (["-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048"], "the key is an RSA-PSS key", "-algorithm RSA "),
    "secp256k1": (["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:secp256k1"], "on the curve secp256k1", "P-256"),
    "brainpool": (["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:brainpoolP256r1"], "on the curve brainpoolP256r1", "P-256"),
    "x25519": (["-algorithm", "X25519"], "the key is X25519, which agrees on keys", "P-256"),
    "ed448": (["-algorithm", "ED448"], "the key is Ed448", "P-256"),
    "explicit": (
        ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-pkeyopt", "ec_param_enc:explicit"],
        "writes out the parameters of its curve",
        "-ec_param_enc named_curve",
    ),
}


# The forms of before PKCS #8 are there for RSA and for curves alone.
FORMS = [(kind, "pkcs8") for kind in KINDS] + [(kind, "traditional") for kind in ("rsa-1024", "secp256k1", "brainpool", "explicit")]


@pytest.mark.parametrize(("kind", "form"), FORMS)
def test_each_key_that_is_not_taken_has_its_own_sentence(pollux_bin, tmp_path, kind, form):
    options, says, helps = KINDS[kind]
    made, key, cert = tmp_path / "made.pem", tmp_path / "key.pem", tmp_path / "cert.pem"
    openssl("genpkey", *options, "-out", made)
    openssl("pkey", "-in", made, "-out", key, *(["-traditional"] if form == "traditional" else []))
    good = Authority(tmp_path)
    cert = good.issue("good")[0]
    told, code = check(pollux_bin, tmp_path, cert, key)
    assert code != 0 and says in told and helps in told and "passphrase" not in told, told
    assert not any(line in told for line in secrets_of(key)), told


def test_a_certificate_of_version_1_is_blamed_itself(pollux_bin, tmp_path):
    key, request, cert = tmp_path / "key.pem", tmp_path / "request.pem", tmp_path / "cert.pem"
    openssl(*"req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost".split(), "-keyout", key, "-out", request)
    openssl("x509", "-req", "-in", request, "-signkey", key, "-out", cert, "-days", 30)
    assert "Version: 1 " in openssl("x509", "-in", cert, "-noout", "-text").decode()
    told, code = check(pollux_bin, tmp_path, cert, key)
    assert code != 0 and "X.509 certificate of version 1" in told and "passphrase" not in told, told
    told, code = check(pollux_bin, tmp_path, request, key)
    assert code != 0 and "a certificate request" in told, told


def test_a_passphrase_is_named_where_there_is_one(pollux_bin, tmp_path):
    cert, key = Authority(tmp_path).issue("good")
    for form in ([], ["-traditional"]):
        locked = tmp_path / "locked.pem"
        openssl("pkey", "-in", key, "-out", locked, "-aes256", "-passout", "pass:secret-phrase", *form)
        told, code = check(pollux_bin, tmp_path, cert, locked)
        assert code != 0 and "a private key with a passphrase" in told and "openssl pkey -in FILE" in told, told


def test_no_byte_of_a_key_is_told(tls_pollux, pollux_bin, toy, tmp_path):
    authority = Authority(tmp_path)
    cert, key = authority.issue("good")
    proxy = tls_pollux(listener(toy("echo"), (cert, key)))
    lines = secrets_of(key)
    whole = key.read_text()
    for damaged in [
        whole.replace("\n", "\\n"),
        whole.replace("\n", ""),
        whole.replace("PRIVATE", "PRIV"),
        whole.replace("-----END", "----END"),
        whole.replace(lines[0], lines[0][:-3] + "*=="),
        whole.replace("-----BEGIN PRIVATE KEY-----\n", "-----BEGIN PRIVATE KEY-----"),
        whole + whole,
        lines[0],
    ]:
        key.write_text(damaged)
        told, code = check(pollux_bin, tmp_path, cert, key)
        # Without its newlines a key can be read: nothing of it is lost.
        reload_code, reloaded = proxy.reload()
        assert (code == 0) == (reload_code == 0), told
        for text in (told, reloaded, proxy.running.stderr()):
            assert not any(line[at : at + 8] in text for line in lines for at in range(0, len(line) - 8)), text
    # What the watch says of it as well.
    proxy.running.wait_for_stderr("the certificates stay as they are")
    assert not any(line[at : at + 8] in proxy.running.stderr() for line in lines for at in range(0, len(line) - 8))
    # The text of a key in the place of its path, written there or from the environment.
    for written in (f"'''{whole}'''", '"${KEY}"'):
        config = tmp_path / "inline.toml"
        config.write_text(
            f'[[listener]]\nbind = "127.0.0.1:0"\n[listener.tls]\n[[listener.tls.certificates]]\ncert = "{cert}"\nkey = {written}\n'
            '[pool.app]\nbackends = ["127.0.0.1:9"]\n'
        )
        done = subprocess.run([pollux_bin, "check", config], capture_output=True, text=True, env={"KEY": whole})
        said = done.stdout + done.stderr
        assert done.returncode != 0 and "not its path" in said, said
        assert not any(line[at : at + 8] in said for line in lines for at in range(0, len(line) - 8)), said


def test_blocks_that_were_joined_are_all_read(tls_pollux, pollux_bin, toy, tmp_path):
    root = Authority(tmp_path, "root")
    middle_cert, middle_key = root.issue("middle", is_issuer=True)
    middle = Authority.__new__(Authority)
    middle.directory, middle.name, middle.cert, middle.key = tmp_path, "middle", middle_cert, middle_key
    cert, key = middle.issue("leaf")
    joined = cert.read_text().strip() + middle_cert.read_text()
    cert.write_text(joined)
    told, code = check(pollux_bin, tmp_path, cert, key)
    assert code == 0, told
    proxy = tls_pollux(listener(toy("echo"), (cert, key)))
    for _ in range(2):
        said, code = s_client(proxy.port, "-servername", "localhost", "-CAfile", root.cert, "-verify_return_error")
        assert code == 0 and "Verify return code: 0" in said, said
        # A renewed file is read in the same way.
        fresh, _ = middle.issue("leaf")
        fresh.write_text(fresh.read_text().strip() + middle_cert.read_text())
        proxy.running.wait_for_stderr("the certificates were replaced")
    # One of two that is damaged is not passed over, in no file.
    joined = cert.read_text()
    for damage in [("-----END CERTIFICATE----------BEGIN", "-----END CERTIFICATE-----\n----BEGIN"), ("-----BEGIN", "-----BEGIM")]:
        text = cert.read_text()
        at = text.rindex(damage[0])
        cert.write_text(text[:at] + damage[1] + text[at + len(damage[0]) :])
        told, code = check(pollux_bin, tmp_path, cert, key)
        assert code != 0 and "on line" in told, told
        broken = tmp_path / "broken.pem"
        broken.write_text(cert.read_text())
        cert.write_text(joined)
        told, code = check(pollux_bin, tmp_path, cert, key, f', client_ca = "{broken}"')
        assert code != 0 and "on line" in told, told


def status(proxy, *options):
    """What `pollux status` prints. The socket is named: the configuration may be one that cannot be read now."""
    [control] = [line.split('"')[1] for line in proxy.file.read_text().splitlines() if line.startswith("control = ")]
    command = [proxy.binary, "status", "--control", proxy.file.parent / control, *options]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.returncode == 0, done
    return done.stdout


def wait_for_certificate(proxy, condition):
    """Waits until the status of the first certificate is as it should be; gives it."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition(certificate := json.loads(status(proxy, "--json"))["certificates"][0]):
        assert time.monotonic() < deadline, certificate
    return certificate


def test_a_renewal_that_cannot_be_taken_is_told_and_tried_again(tls_pollux, toy, tmp_path):
    authority = Authority(tmp_path)
    cert, key = authority.issue("good", days=3)
    proxy = tls_pollux(listener(toy("echo"), (cert, key)))
    wait_for_certificate(proxy, lambda one: one["stale_s"] is None)
    away = tmp_path / "away"
    key.rename(away)
    stale = wait_for_certificate(proxy, lambda one: one["stale_s"] is not None)
    assert "good-key.pem" in stale["stale_why"]
    proxy.running.wait_for_stderr("the certificates stay as they are")
    # An alert: it ends in three days.
    proxy.running.wait_for_stderr("a certificate expires soon, and a new one cannot be taken")
    assert "CANNOT BE TAKEN" in status(proxy)
    # A certificate that does not fit is tried again as well, when its key comes.
    other = authority.issue("other", days=60)
    os.replace(other[0], cert)
    wait_for_certificate(proxy, lambda one: one["stale_s"] is not None)
    os.replace(other[1], key)
    fresh = wait_for_certificate(proxy, lambda one: one["stale_s"] is None)
    assert fresh["days_left"] > 50


def test_a_user_who_cannot_read_its_keys_again_says_so_at_the_start(pollux_bin, toy, tmp_path, keep):
    if os.geteuid() != 0:
        # That --user is refused to others is shown elsewhere.
        return
    tmp_path.chmod(0o755)
    for folder in list(tmp_path.parents)[:2]:
        folder.chmod(folder.stat().st_mode | 0o055)
    authority = Authority(tmp_path)
    cert, key = authority.issue("good")
    key.chmod(0o600)
    (tmp_path / "run").mkdir()
    (tmp_path / "run").chmod(0o777)
    config = f'control = "{tmp_path}/run/control"\n' + listener(toy("echo"), (cert, key))
    proxy = keep(Served(pollux_bin, tmp_path, config, ["--user", "65534", "--group", "65534", "--threads", "1"]))
    proxy.running.wait_for_stderr(f"user 65534 cannot read what was read at the start: {key}: Permission denied")
    proxy.running.wait_for_stderr("chgrp GROUP FILE")
    assert wait_for_certificate(proxy, lambda one: one["stale_s"] is not None)["days_left"] > 20
    # The same file with other rights.
    key.chmod(0o644)
    wait_for_certificate(proxy, lambda one: one["stale_s"] is None)


def test_keys_of_root_are_renewed_under_another_user_that_may_read_them(pollux_bin, toy, tmp_path, keep):
    if os.geteuid() != 0:
        # That --user is refused to others is shown elsewhere.
        return
    tmp_path.chmod(0o755)
    for folder in list(tmp_path.parents)[:2]:
        folder.chmod(folder.stat().st_mode | 0o055)
    authority = Authority(tmp_path)
    cert, key = authority.issue("good", days=20)
    key.chmod(0o600)
    (tmp_path / "run").mkdir()
    (tmp_path / "run").chmod(0o777)
    config = f'control = "{tmp_path}/run/control"\n' + listener(toy("echo"), (cert, key))
    user = ["--user", "65534", "--group", "65534", "--keep-capability", "dac_read_search", "--threads", "1"]
    proxy = keep(Served(pollux_bin, tmp_path, config, user))
    assert wait_for_certificate(proxy, lambda one: one["stale_s"] is None)["days_left"] < 30
    fresh = authority.issue("fresh", days=80)
    fresh[1].chmod(0o600)
    for new, old in zip(fresh, (cert, key)):
        os.replace(new, old)
    wait_for_certificate(proxy, lambda one: one["days_left"] > 50)
    assert "cannot read" not in proxy.running.stderr()


def test_a_user_who_cannot_read_bodies_and_tokens_again_says_so_at_the_start(pollux_bin, toy, tmp_path, keep):
    if os.geteuid() != 0:
        # That --user is refused to others is shown elsewhere.
        return
    body, token, run = tmp_path / "body.html", tmp_path / "token", tmp_path / "run"
    body.write_text("closed\n")
    token.write_text("correct-horse-battery-staple\n")
    run.mkdir()
    run.chmod(0o777)
    for file in (body, token):
        file.chmod(0o600)
    tmp_path.chmod(0o755)
    for folder in list(tmp_path.parents)[:2]:
        folder.chmod(folder.stat().st_mode | 0o055)
    config = (
        f'control = "{run}/control"\n[admin]\nbind = "127.0.0.1:0"\ntoken_file = "{token}"\n'
        '[[listener]]\nbind = "127.0.0.1:0"\npool = "app"\n'
        f'[[listener.route]]\nname = "closed"\nmatch.path = "/closed"\nrespond = {{ status = 503, body_file = "{body}" }}\n'
        f'[pool.app]\nbackends = ["{toy("echo").host_port}"]\n'
    )
    proxy = keep(Served(pollux_bin, tmp_path, config, ["--user", "65534", "--group", "65534", "--threads", "1"]))
    for file in (body, token):
        proxy.running.wait_for_stderr(f"file={file}")
    proxy.running.wait_for_stderr("a reload will fail")


def test_keys_that_others_may_read_are_warned_of(pollux_bin, tmp_path):
    cert, key = Authority(tmp_path).issue("good", days=60)
    key.chmod(0o640)
    assert check(pollux_bin, tmp_path, cert, key)[1] == 0
    key.chmod(0o644)
    told, code = check(pollux_bin, tmp_path, cert, key)
    assert code != 0 and "every user of this machine may read the file with this key" in told and "chmod o-rwx" in told, told
