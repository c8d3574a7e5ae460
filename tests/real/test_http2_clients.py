"""An HTTP/2 client of Python over TLS, and h2load while the configuration is read again."""

import subprocess

import httpx

from harness.served import Served
from harness.tls import context, listener

def test_httpx_asks_by_many_streams(tls_pollux, toy, authority):
    proxy = tls_pollux(listener(toy("echo"), authority.issue("localhost")))
    with httpx.Client(http2=True, verify=context(authority), trust_env=False) as client:
        for number in range(20):
            answer = client.post(f"https://localhost:{proxy.port}/{number}", content=b"x" * 10_000 * number)
            assert (answer.http_version, answer.status_code) == ("HTTP/2", 200)
            told = answer.json()
            assert (told["target"], told["body_bytes"]) == (f"/{number}", 10_000 * number)


def test_reloads_disturb_no_stream(pollux_bin, tmp_path, keep, toy):
    backend = toy("fixed:1000")
    text = f'control = "control"\n[[listener]]\nbind = "127.0.0.1:0"\n[pool.app]\nbackends = ["{backend.host_port}"]\n'
    served = keep(Served(pollux_bin, tmp_path, text, ["--threads", "2", "--access-log", "off"]))
    command = ["h2load", "--requests", "20000", "--clients", "4", "--max-concurrent-streams", "20", served.running.url()]
    load = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    for _ in range(10):
        served.reload()
    said, _ = load.communicate(timeout=120)
    assert "20000 succeeded, 0 failed, 0 errored, 0 timeout" in said, said
