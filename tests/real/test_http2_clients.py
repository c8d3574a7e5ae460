"""HTTP/2 clients of other languages over TLS."""

import json
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
