"""A browser and TLS: it loads pages where it trusts the certificate, and says what is wrong where it does not."""

import contextlib
import json
import pathlib
import ssl

import httpx
import pytest

from harness.chromium import Chromium
from harness.process import Child
from harness.tls import listener


@pytest.fixture
def browser(tmp_path):
    """Starts a browser that trusts these: `browser(issuers=[…])`."""
    with contextlib.ExitStack() as stack:

        def start(**trusted):
            opened = Chromium(tmp_path, **trusted)
            stack.callback(opened.close)
            return opened

        yield start


def told(browser):
    """What the toy backend has said, as the page shows it."""
    return json.loads(browser.evaluate("document.body.innerText"))


def test_the_demo_in_a_browser(pollux_bin, tmp_path, browser):
    demo = Child([pollux_bin, "demo", "--tls", "--for", "60s"], tmp_path, "demo")
    try:
        certificate, port = demo.line(r"--cacert (\S+) https://localhost:(\d+)/hello").groups()
        url = f"https://localhost:{port}/hello"
        chromium = browser(certificates=[pathlib.Path(certificate)])
        backends = set()
        for number in range(6):
            chromium.open(f"{url}?{number}")
            assert chromium.evaluate("location.protocol") == "https:" and chromium.evaluate("isSecureContext")
            answer = told(chromium)
            assert answer["target"] == f"/hello?{number}"
            assert dict(map(tuple, answer["headers"]))["X-Forwarded-Proto"] == "https"
            backends.add(answer["backend"])
        assert backends == {"a", "b", "c"}
        assert chromium.evaluate("performance.getEntriesByType('navigation')[0].nextHopProtocol") == "h2"
        assert chromium.secured[f"{url}?5"]["protocol"] == "TLS 1.3"
        # What the page asks for by itself goes the same way.
        fetched = chromium.evaluate("fetch('/again', { method: 'POST', body: 'x'.repeat(100000) }).then(it => it.json())")
        assert (fetched["method"], fetched["body_bytes"]) == ("POST", 100_000)
        # A client that speaks nothing but HTTP/2, while the browser has its connection.
        trusting = ssl.create_default_context(cafile=certificate)
        with httpx.Client(http1=False, http2=True, verify=trusting, trust_env=False) as client:
            answers = [client.post(url, content=b"x" * 100_000) for _ in range(6)]
        assert {answer.http_version for answer in answers} == {"HTTP/2"}
        assert {answer.json()["backend"] for answer in answers} == backends
        chromium.open(url)
        assert told(chromium)["target"] == "/hello"
        assert demo.terminate() == 0
    finally:
        demo.kill()
    assert not pathlib.Path(certificate).exists()


def test_a_websocket_of_a_browser_is_a_stream(tls_pollux, toy, authority, browser):
    pools = listener(toy("websocket"), authority.issue("localhost"), extra=', alpn = ["h2", "http/1.1"]')
    pools = pools.replace("[pool.app]", f'[[listener.route]]\nmatch = {{ path = "/page" }}\npool = "page"\n[pool.page]\nbackends = ["{toy("echo").host_port}"]\n[pool.app]')
    proxy = tls_pollux(pools)
    chromium = browser(issuers=[authority.cert])
    chromium.open(f"https://localhost:{proxy.port}/page")
    assert chromium.evaluate("performance.getEntriesByType('navigation')[0].nextHopProtocol") == "h2"
    chromium.evaluate(
        "new Promise((done, failed) => { window.socket = new WebSocket(`wss://${location.host}/chat`); window.heard = [];"
        " socket.onmessage = (event) => heard.push(event.data); socket.onclose = (event) => { window.code = event.code };"
        " socket.onopen = done; socket.onerror = failed; })"
    )
    chromium.evaluate("['hello', 'x'.repeat(200000), 'last'].forEach((text) => socket.send(text))")
    chromium.wait_for("heard.length === 3")
    assert chromium.evaluate("heard.map((text) => text.length)") == [5, 200_000, 4]
    chromium.evaluate("socket.close(4001)")
    chromium.wait_for("window.code === 4001")
    proxy.running.wait_for_stderr(f'path=/chat host=localhost:{proxy.port} protocol="HTTP/2.0" status=101')


@pytest.mark.parametrize(
    "names, days, is_trusted, failure",
    [
        (["localhost"], 30, True, None),
        (["localhost"], 30, False, "net::ERR_CERT_AUTHORITY_INVALID"),
        (["elsewhere.test"], 30, True, "net::ERR_CERT_COMMON_NAME_INVALID"),
        (["localhost"], -1, True, "net::ERR_CERT_DATE_INVALID"),
    ],
)
def test_a_browser_believes_whom_it_should(tls_pollux, toy, authority, browser, names, days, is_trusted, failure):
    proxy = tls_pollux(listener(toy("echo"), authority.issue("served", names, days=days)))
    chromium = browser(issuers=[authority.cert] if is_trusted else [])
    url = f"https://localhost:{proxy.port}/"
    assert chromium.failure_to_open(url) == failure
    if failure:
        proxy.cause("tls-refused-by-client")
    else:
        chromium.wait_for("document.readyState === 'complete'")
        assert told(chromium)["target"] == "/" and chromium.secured[url]["issuer"] == "authority"
