"""Certificates and keys as people have them: each is read whole, or the file is refused with what it is and what helps."""

import subprocess

import pytest

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
