"""HTTP/2 clients of other languages."""

import json
import pathlib
import subprocess

import httpx

from harness.tls import context, listener

NODE = """
const http2 = require('node:http2'), fs = require('node:fs');
const [url, ca] = process.argv.slice(1);
const session = http2.connect(url, { ca: fs.readFileSync(ca) });
const ask = (fields, body) => new Promise((done, failed) => {
    const stream = session.request(fields);
    let text = '', status;
    stream.on('response', (head) => { status = head[':status'] });
    stream.on('data', (data) => { text += data });
    stream.on('end', () => done({ status, ...JSON.parse(text) }));
    stream.on('error', failed);
    stream.end(body);
});
const all = Array.from({ length: 90 }, (_, number) => ask({ ':path': `/${number}`, ':method': 'POST' }, 'x'.repeat(1000 * number)));
Promise.all(all).then((told) => { console.log(JSON.stringify(told)); session.close() });
"""


def test_httpx_asks_by_many_streams(tls_pollux, toy, authority):
    proxy = tls_pollux(listener(toy("echo"), authority.issue("localhost")))
    with httpx.Client(http2=True, verify=context(authority), trust_env=False) as client:
        for number in range(20):
            answer = client.post(f"https://localhost:{proxy.port}/{number}", content=b"x" * 10_000 * number)
            assert (answer.http_version, answer.status_code) == ("HTTP/2", 200)
            told = answer.json()
            assert (told["target"], told["body_bytes"]) == (f"/{number}", 10_000 * number)


def test_node_asks_by_many_streams_at_once(tls_pollux, toy, authority):
    proxy = tls_pollux(listener(toy("echo"), authority.issue("localhost")))
    command = ["node", "-e", NODE, f"https://localhost:{proxy.port}", str(authority.cert)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert [(one["status"], one["target"], one["body_bytes"]) for one in told] == [(200, f"/{n}", 1000 * n) for n in range(90)]


def java(*arguments):
    """Version, status and JSON of each answer to Java's HttpClient."""
    command = ["java", pathlib.Path(__file__).parent / "java" / "Streams.java", *arguments]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=80)
    assert done.returncode == 0, done.stderr
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    return [(version, status, json.loads(body)) for version, status, body in lines]


def expect_all(told, version):
    assert len(told) == 60
    for number, (spoken, status, body) in enumerate(told):
        assert (spoken, status, body["target"]) == (version, "200", f"/{number}"), body
        assert body["body_bytes"] == (20_000 * number if number % 2 else 0)


def test_java_asks_by_many_streams_at_once(tls_pollux, toy, authority):
    proxy = tls_pollux(listener(toy("echo"), authority.issue("localhost")))
    expect_all(java(f"https://localhost:{proxy.port}", 60, authority.cert), "HTTP_2")


def test_java_that_offers_h2c_is_served_by_http_1(pollux, toy):
    proxy = pollux(toy("echo"))
    told = java(proxy.url("").rstrip("/"), 60)
    expect_all(told, "HTTP_1_1")
    for _, _, body in told:
        fields = {name.lower(): value for name, value in body["headers"]}
        assert not fields.keys() & {"upgrade", "http2-settings"} and "HTTP2" not in fields.get("connection", ""), fields
