"""curl through Pollux: methods, bodies, versions, connection reuse."""

import hashlib
import json
import random
import re
import subprocess

import pytest

from harness.fnv import fnv1a

MIB = 1 << 20


def curl(*arguments, data=None):
    done = subprocess.run(
        ["curl", "--silent", "--show-error", "--noproxy", "*", "--max-time", "30", *map(str, arguments)],
        input=data,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done


def test_get_is_answered_by_the_backend(pollux, toy):
    proxy = pollux(toy("echo", name="a"))
    done = curl("--include", proxy.url("/path?query=1"))
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert b"x-backend: a" in head.lower()
    told = json.loads(body)
    assert (told["backend"], told["method"], told["target"]) == ("a", "GET", "/path?query=1")


def test_the_backend_sees_the_host_that_the_client_named(pollux, toy):
    proxy = pollux(toy("echo"))
    told = json.loads(curl("--header", "Host: example.test", proxy.url()).stdout)
    assert [value for name, value in told["headers"] if name.lower() == "host"] == ["example.test"]


def test_head_has_the_length_and_no_body_and_keeps_the_connection(pollux, toy):
    proxy = pollux(toy("fixed:1000"))
    done = curl("--head", "--write-out", "%{num_connects} ", proxy.url("/1"), proxy.url("/2"))
    text = done.stdout.decode().lower()
    assert text.count("content-length: 1000") == 2
    assert re.findall(r"^\d ", text, re.MULTILINE) == ["1 ", "0 "]


def test_two_requests_use_one_connection(pollux, toy):
    proxy = pollux(toy("fixed:100"))
    done = curl("--write-out", "\n%{num_connects}\n", proxy.url("/1"), proxy.url("/2"))
    assert re.findall(rb"^\d$", done.stdout, re.MULTILINE) == [b"1", b"0"]


def test_post_of_10_mib_by_length(pollux, toy, tmp_path, big_body, big_body_fnv):
    (tmp_path / "body").write_bytes(big_body)
    proxy = pollux(toy("upload"))
    done = curl("--data-binary", f"@{tmp_path}/body", proxy.url())
    told = json.loads(done.stdout)
    assert (told["bytes"], told["fnv1a"]) == (10 * MIB, big_body_fnv)


def test_post_of_10_mib_in_chunks(pollux, toy, tmp_path, big_body, big_body_fnv):
    (tmp_path / "body").write_bytes(big_body)
    proxy = pollux(toy("upload"))
    done = curl("--data-binary", f"@{tmp_path}/body", "--header", "Transfer-Encoding: chunked", proxy.url())
    told = json.loads(done.stdout)
    assert (told["bytes"], told["fnv1a"]) == (10 * MIB, big_body_fnv)


def test_put_from_a_pipe_whose_length_nobody_knows(pollux, toy):
    body = random.Random(2).randbytes(300_000)
    proxy = pollux(toy("upload"))
    told = json.loads(curl("--upload-file", "-", proxy.url("/put"), data=body).stdout)
    assert (told["bytes"], told["fnv1a"]) == (len(body), fnv1a(body))


def test_100_continue_reaches_a_client_that_waits_for_it(pollux, toy):
    proxy = pollux(toy("upload"))
    # curl would send the body unasked after a while: after longer than it may take in all.
    waiting = ["--expect100-timeout", "60", "--header", "Expect: 100-continue"]
    done = curl("--verbose", *waiting, "--data-binary", "hello", proxy.url())
    assert b"< HTTP/1.1 100" in done.stderr
    assert json.loads(done.stdout)["fnv1a"] == fnv1a(b"hello")


@pytest.mark.parametrize("which, count", [("continue", 0), ("all", 2)])
def test_interim_responses_pass_where_they_are_asked_for(tls_pollux, toy, which, count):
    proxy = tls_pollux(
        f'[[listener]]\nbind = "127.0.0.1:0"\ninterim_responses = "{which}"\n'
        f'[pool.app]\nbackends = ["{toy("interim:2").host_port}"]\n'
    )
    done = curl("--verbose", f"http://127.0.0.1:{proxy.port}/")
    assert done.stderr.count(b"< HTTP/1.1 103") == count
    assert done.stderr.count(b"< HTTP/1.1 200") == 1


def test_http_1_0_is_answered_and_the_connection_ends(pollux, toy):
    proxy = pollux(toy("echo"))
    done = curl("--http1.0", "--write-out", "\n%{num_connects}\n", proxy.url("/1"), proxy.url("/2"))
    assert re.findall(rb"^\d$", done.stdout, re.MULTILINE) == [b"1", b"1"]
    assert b'"/2"' in done.stdout


def test_http_1_0_gets_chunks_taken_apart(pollux, toy):
    backend = toy("chunked:7x1000")
    proxy = pollux(backend)
    done = curl("--http1.0", "--include", proxy.url())
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head.lower()
    assert len(body) == 7000 and body == curl(backend.url()).stdout


def test_chunks_arrive_whole(pollux, toy, tmp_path):
    backend = toy("chunked:50x10000")
    proxy = pollux(backend)
    # Not --include: that would show the trailer behind the body.
    through = curl("--dump-header", tmp_path / "head", proxy.url()).stdout
    assert "transfer-encoding: chunked" in (tmp_path / "head").read_text().lower()
    assert len(through) == 500_000 and through == curl(backend.url()).stdout


def test_a_body_that_only_the_close_ends(pollux, toy):
    backend = toy("close-delimited:200000")
    proxy = pollux(backend)
    assert curl(proxy.url()).stdout == curl(backend.url()).stdout


def test_50_mib_download_is_the_same_as_direct(pollux, toy):
    backend = toy(f"fixed:{50 * MIB}")
    proxy = pollux(backend)
    through, direct = curl(proxy.url()).stdout, curl(backend.url()).stdout
    assert len(through) == 50 * MIB
    assert hashlib.sha256(through).digest() == hashlib.sha256(direct).digest()


def test_all_backends_down_is_a_502_that_says_why(pollux, free_address):
    proxy = pollux(free_address(), free_address())
    done = curl("--include", proxy.url())
    assert done.stdout.startswith(b"HTTP/1.1 502")
    assert b"backend-refused" in done.stdout
