"""Backends from a real DNS server whose answers change: names and services, its absence and its return."""

import concurrent.futures
import json
import os
import subprocess
import time

import pytest

from harness.client import SteadyClients
from harness.dns import Denying, Dnsmasq
from harness.process import Pollux
from test_discovery import DEADLINE_S, serves_only, start, status

__all__ = ["start"]


@pytest.fixture
def dns(tmp_path):
    server = Dnsmasq(tmp_path)
    yield server
    server.stop()


def port_of(backend):
    return backend.host_port.rpartition(":")[2]


def told(tmp_path, *more):
    """What `pollux status` says."""
    command = [os.environ["POLLUX_BIN"], "status", "--control", tmp_path / "control", *more]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.returncode == 0, done
    return done.stdout


def test_a_name_is_followed_at_a_resolver(start, toy, dns, tmp_path):
    first = toy("echo", name="first")
    port = port_of(first)
    toy("echo", name="second", listen=f"127.0.0.2:{port}")
    # An alias, which is followed.
    dns.says("host-record=app.test,127.0.0.1", "cname=www.test,app.test")
    pool = f'[pool.app]\nresolve = "1s"\nresolver = "{dns.host_port}"\nbackends = ["www.test:{port}"]\n'
    proxy = start(pool)
    with SteadyClients(proxy.address, 4) as clients:
        serves_only(clients, ["first"])
        dns.says("host-record=app.test,127.0.0.1", "host-record=app.test,127.0.0.2", "cname=www.test,app.test")
        serves_only(clients, ["first", "second"])
        dns.says("host-record=app.test,127.0.0.2", "cname=www.test,app.test")
        serves_only(clients, ["second"])
        # The name is gone: the last good answer stays, and the log says why there is no other.
        dns.says()
        proxy.wait_for_stderr("NXDOMAIN")
        serves_only(clients, ["second"])
        # So it does when there is nobody to ask; that is told apart.
        dns.stop()
        proxy.wait_for_stderr(f"{dns.host_port}: ")
        serves_only(clients, ["second"])
        [source] = json.loads(told(tmp_path, "--json"))["sources"]
        assert source["source"] == f"www.test:{port}", source
        assert source["answer"]["backends"] == [f"127.0.0.2:{port}"], source
        assert dns.host_port in source["failure"]["why"], source
        assert f"source www.test:{port}: 127.0.0.2:{port} for " in told(tmp_path)
        dns.says("host-record=app.test,127.0.0.1", "cname=www.test,app.test")
        serves_only(clients, ["first"])
        assert json.loads(told(tmp_path, "--json"))["sources"][0]["failure"] is None
        clients.stop()
        assert clients.failures == []


def test_a_service_has_ports_tiers_and_weights(start, toy, dns, tmp_path):
    a, b, spare = (toy("echo", name=name) for name in ("a", "b", "spare"))

    def records(*services):
        lines = [f"srv-host=_http._tcp.app.test,{name}.test,{port_of(to)},{rest}" for name, to, rest in services]
        return [*lines, *(f"host-record={name}.test,127.0.0.1" for name in ("one", "two", "three"))]

    dns.says(*records(("one", a, "10,3"), ("two", b, "10,1"), ("three", spare, "20,0")))
    pool = '[pool.app]\nresolve = "1s"\nbackends = ["srv:_http._tcp.app.test"]\n'
    proxy = start(pool, resolver=dns.host_port)
    with SteadyClients(proxy.address, 4) as clients:
        serves_only(clients, "ab")
        [shown] = json.loads(told(tmp_path, "--json"))["pools"]
        found = {entry["name"].rpartition(":")[2][:-1]: entry["weight"] for entry in shown["backends"]}
        assert found == {port_of(a): 3, port_of(b): 1, port_of(spare): 1}, shown
        # Those of the lowest priority are gone: whoever is next is tier 1.
        dns.says(*records(("three", spare, "20,0")))
        serves_only(clients, ["spare"])
        dns.stop()
        proxy.wait_for_stderr("the last ones stay")
        serves_only(clients, ["spare"])
        # More records than a datagram holds come over TCP.
        many = [f"srv-host=_http._tcp.app.test,{'x' * 40}{index}.test,{port_of(b)},1,1" for index in range(30)]
        targets = [f"host-record={'x' * 40}{index}.test,127.0.0.1" for index in range(30)]
        dns.says(*many, *targets)
        serves_only(clients, "b")
        clients.stop()
        assert clients.failures == []
    # The root is no target: decidedly, there is no service.
    dns.says("srv-host=_http._tcp.app.test")
    deadline = time.monotonic() + DEADLINE_S
    while status(proxy.address) != 503:
        assert time.monotonic() < deadline, told(tmp_path)
    assert "source srv:_http._tcp.app.test: no backend for " in told(tmp_path)


def test_a_service_of_sixty_targets_has_all_of_them_all_the_time(start, toy, dns, tmp_path):
    """dnsmasq adds the addresses of some targets to its answer, of other ones each time, and does not say so."""
    port = port_of(toy("echo", name="a"))
    targets = [f"target-{number}" for number in range(60)]
    dns.says(
        *(f"srv-host=_http._tcp.app.test,{target}.test,{port},1,1" for target in targets),
        *(f"host-record={target}.test,127.0.1.{number}" for number, target in enumerate(targets, 1)),
    )
    proxy = start('[pool.app]\nresolve = "1s"\nbackends = ["srv:_http._tcp.app.test"]\n', resolver=dns.host_port)
    [pool] = json.loads(told(tmp_path, "--json"))["pools"]
    assert len(pool["backends"]) == 60, pool
    first = json.loads(told(tmp_path, "--json"))["sources"][0]["answer"]
    # Several answers later it is still the same one.
    deadline = time.monotonic() + DEADLINE_S
    while dns.log().count("query[SRV]") < 5:
        assert time.monotonic() < deadline, dns.log()[-2000:]
        time.sleep(0.05)
    [source] = json.loads(told(tmp_path, "--json"))["sources"]
    assert source["answer"]["backends"] == first["backends"] and len(first["backends"]) == 60, source
    assert "added backend" not in proxy.stderr() and "removed" not in proxy.stderr(), proxy.stderr()


def test_a_family_that_is_denied_costs_no_address(start, toy):
    """A name server that says NXDOMAIN for AAAA, as some balancers do."""
    backend = toy("echo", name="first")
    port = port_of(backend)
    with Denying(b"\x7f\0\0\1") as server:
        proxy = start(f'[pool.app]\nresolve = "1s"\nresolver = "{server.host_port}"\nbackends = ["app.test:{port}"]\n')
        assert status(proxy.address) == 200
        server.wait_for_questions(6)
        assert status(proxy.address) == 200
        assert "no backends from there" not in proxy.stderr(), proxy.stderr()


def test_one_family_is_asked_for_alone_where_that_is_wanted(start, toy, dns):
    port = port_of(toy("echo", name="first"))
    dns.says("host-record=app.test,127.0.0.1")
    asked = f'[pool.app]\nresolve_family = "ipv4"\nresolver = "{dns.host_port}"\nbackends = ["app.test:{port}"]\n'
    assert status(start(asked).address) == 200
    assert "query[A] app.test" in dns.log() and "query[AAAA] app.test" not in dns.log(), dns.log()


def test_a_name_of_which_every_address_refuses_is_asked_for_at_once(start, toy, dns):
    """A container that has come back with another address is served long before `resolve` is over."""
    first = toy("echo", name="first")
    port = port_of(first)
    dns.says("local-ttl=3600", "host-record=app.test,127.0.0.1")
    proxy = start(f'[pool.app]\nresolve = "1h"\nresolver = "{dns.host_port}"\nbackends = ["app.test:{port}"]\n')
    assert status(proxy.address) == 200
    # The second answer says that it holds for an hour.
    deadline = time.monotonic() + DEADLINE_S
    while dns.log().count("query[A] app.test") < 2:
        assert time.monotonic() < deadline, dns.log()
        time.sleep(0.05)
    first.kill()
    toy("echo", name="second", listen=f"127.0.0.2:{port}")
    dns.says("local-ttl=3600", "host-record=app.test,127.0.0.2")
    deadline = time.monotonic() + DEADLINE_S
    while status(proxy.address) != 200:
        assert time.monotonic() < deadline, proxy.stderr()
        time.sleep(0.02)


def test_a_name_of_which_every_address_refuses_is_asked_for_once_a_second(start, toy, dns):
    """However many requests fail meanwhile."""
    gone = toy("echo")
    port = port_of(gone)
    gone.kill()
    dns.says("local-ttl=3600", "host-record=app.test,127.0.0.1")
    proxy = start(f'[pool.app]\nresolve = "1h"\nresolver = "{dns.host_port}"\nbackends = ["app.test:{port}"]\n')
    begun, failed = time.monotonic(), 0
    # At the start it is asked for, and its time to live is looked at.
    first, enough = 2, 3
    with concurrent.futures.ThreadPoolExecutor(16) as clients:
        while (asked := dns.log().count("query[A] app.test")) < first + enough:
            assert time.monotonic() < begun + 2 * DEADLINE_S, (asked, failed)
            # Each waits for a moment until the backend can be reached.
            assert set(clients.map(status, [proxy.address] * 16)) <= {502, 503}
            failed += 16
    elapsed = time.monotonic() - begun
    assert dns.log().count("query[A] app.test") <= first + elapsed + 1, (elapsed, failed)


def test_one_warning_for_a_name_that_nobody_knows(start, dns):
    dns.says()
    two = "".join(f'[pool.{pool}]\nbackends = ["app.test:80"]\nresolve = "1s"\n' for pool in ("app", "other"))
    proxy = start(two + '[pool.known]\nresolve = "1s"\nbackends = ["late.test:80"]\n', resolver=dns.host_port, pool="app")
    # The other name comes to be known after several questions for each.
    dns.says("host-record=late.test,127.0.0.1")
    proxy.wait_for_stderr("added backend known/late.test:80")
    assert proxy.stderr().count("app.test:80") == 2, proxy.stderr()  # in the warning, and in the line that it shows


def test_a_name_on_the_command_line_is_followed(pollux_bin, toy, tmp_path):
    a, b = toy("echo", name="a"), toy("echo", name="b")
    (tmp_path / "list.json").write_text(json.dumps([a.host_port]))
    flags = ["--listen", "127.0.0.1:0", "--control", tmp_path / "control", "--access-log", "off"]
    flags += ["--backend", f"file:{tmp_path}/list.json", "--backend", f"nobody.invalid:{port_of(b)}"]
    proxy = Pollux(pollux_bin, flags, tmp_path)
    try:
        proxy.wait_for_stderr("cannot resolve --backend nobody.invalid")
        with SteadyClients(proxy.address, 2) as clients:
            serves_only(clients, "a")
            (tmp_path / "new").write_text(json.dumps([b.host_port]))
            (tmp_path / "new").rename(tmp_path / "list.json")
            serves_only(clients, "b")
            clients.stop()
            assert clients.failures == []
        sources = {it["source"]: it for it in json.loads(told(tmp_path, "--json"))["sources"]}
        unknown = sources[f"nobody.invalid:{port_of(b)}"]
        assert unknown["answer"] is None and unknown["failure"], unknown
        proxy.end_well()
    finally:
        proxy.kill()
