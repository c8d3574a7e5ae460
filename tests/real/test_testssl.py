"""What testssl.sh, who has tried what is known against TLS servers, finds at a listener: an opinion from outside, in one run."""

import json
import subprocess

import pytest

from harness.tls import curl, listener

# What was looked at, and how what is said of it begins. Whatever is not here is told of the certificates, or is no fault.
EXPECTED = {
    # Versions.
    "SSLv2": "not offered",
    "SSLv3": "not offered",
    "TLS1": "not offered",
    "TLS1_1": "not offered",
    "TLS1_2": "offered",
    "TLS1_3": "offered with final",
    "NPN": "not offered",
    "ALPN": "http/1.1",
    # Ciphers, by how much they are worth.
    "cipherlist_NULL": "not offered",
    "cipherlist_aNULL": "not offered",
    "cipherlist_EXPORT": "not offered",
    "cipherlist_LOW": "not offered",
    "cipherlist_3DES_IDEA": "not offered",
    "cipherlist_AVERAGE": "not offered",
    "cipherlist_STRONG": "offered",
    "PFS": "offered",
    "protocol_negotiated": "Default protocol TLS1.3",
    # What is known to have been attacked.
    "heartbleed": "not vulnerable",
    "CCS": "not vulnerable",
    "ticketbleed": "not vulnerable",
    "ROBOT": "not vulnerable",
    "secure_renego": "supported",
    "secure_client_renego": "not vulnerable",
    "CRIME_TLS": "not vulnerable",
    "BREACH": "not vulnerable",
    "POODLE_SSL": "not vulnerable",
    "fallback_SCSV": "no protocol below TLS 1.2 offered",
    "SWEET32": "not vulnerable",
    "FREAK": "not vulnerable",
    "DROWN": "not vulnerable",
    "LOGJAM": "not vulnerable",
    "LOGJAM-common_primes": "no DH key",
    "BEAST": "not vulnerable",
    "LUCKY13": "not vulnerable",
    "RC4": "not vulnerable",
    # The certificate, and what is said besides.
    "cert_trust": "Ok via SAN",
    "cert_chain_of_trust": "passed",
    "certs_list_ordering_problem": "no",
    "TLS_timestamp": "random",
}

# What it finds fault with, and why that is right as it is.
KNOWN = {
    # All cipher suites are good; the client knows which one is fast where it runs (Mozilla's recommendation too).
    "cipher_order",
    # A certificate of the test's own: it ends soon, and nobody can revoke it.
    "cert_expirationStatus",
    "cert_notAfter",
    "cert_revocation",
}


# It opens some hundred connections, and starts openssl for many of them.
@pytest.mark.timeout(400)
def test_nothing_is_found_that_should_not_be(tls_pollux, toy, authority, tmp_path):
    proxy = tls_pollux(listener(toy("fixed:100"), authority.issue("localhost")))
    found_file = tmp_path / "found.json"
    command = ["testssl", "--quiet", "--color", "0", "--warnings", "off", "--nodns", "none", "--ip", "127.0.0.1"]
    # Protocols, classes of ciphers, forward secrecy, what is chosen, what the server shows, and everything that was attacked.
    command += ["--add-ca", authority.cert, "--jsonfile", found_file, "-p", "-s", "-f", "-P", "-S", "-U", f"localhost:{proxy.port}"]
    done = subprocess.run(list(map(str, command)), stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=tmp_path, timeout=380)
    found = {one["id"].partition(" ")[0]: one for one in json.loads(found_file.read_text())}
    wrong = {
        name: found.get(name, {}).get("finding", "nothing is said of it")
        for name, expected in EXPECTED.items()
        if not found.get(name, {}).get("finding", "").startswith(expected)
    }
    assert not wrong, (wrong, done.stdout)
    bad = {name: one["finding"] for name, one in found.items() if one["severity"] in ("LOW", "MEDIUM", "HIGH", "CRITICAL")}
    assert bad.keys() <= KNOWN, (bad, done.stdout)
    assert len(curl(authority, proxy.port)) == 100, "it serves as before"
