"""The admin address and the verbs: what is shown, who may ask, what can be changed, and that a reload leaves it."""

import concurrent.futures
import contextlib
import json
import os
import pwd
import signal
import socket
import stat
import subprocess
import threading
import time
import urllib.request

import pytest

from harness.client import DEADLINE_S, Response, connect, get
from harness.scripted import ScriptedBackend, read_head
from harness.served import Served

TOKEN = "correct-horse-battery-staple"


def served_by(proxy, count):
    """Who answers so many requests."""
    names = []
    for _ in range(count):
        with connect(proxy.running.address) as connection, connection.makefile("rb") as stream:
            connection.sendall(get())
            names.append(Response(stream).headers["X-Backend"])
    return "".join(sorted(names))


def test_what_is_shown(administered, toy):
    proxy = administered(toy("echo"))
    assert proxy.get("/healthz") == "ok\n" and proxy.get("/ready") == "ready\n"
    served_by(proxy, 1)
    status = proxy.get("/status")
    assert status["pid"] == proxy.running.process.pid and status["pools"][0]["backends"][0]["name"] == "b1"
    assert 'bind = "127.0.0.1:0"' in proxy.get("/config") and "[pool.app]" in proxy.get("/config")
    assert proxy.get("/backends/app/b1")["standing"] == "up"
    status, _, body = proxy.ask("GET", "/backends/app/b9")
    assert status == 400 and "app/b1" in body["error"]
    status, headers, body = proxy.ask("HEAD", "/status")
    assert status == 200 and body == "" and int(headers["Content-Length"]) > 100
    status, headers, body = proxy.ask("GET", "/")
    assert status == 200 and "default-src 'none'" in headers["Content-Security-Policy"] and "<script>" in body
    assert headers["X-Frame-Options"] == "DENY" and headers["Cache-Control"] == "no-store"
    assert proxy.ask("GET", "/nothing")[0] == 404


def test_silent_callers_do_not_cost_the_probes_their_answers(administered, toy):
    proxy = administered(toy("echo"))
    with contextlib.ExitStack() as silent:
        # As many as are served at once.
        for _ in range(32):
            silent.enter_context(socket.create_connection(proxy.address, timeout=DEADLINE_S))
        for _ in range(3):
            assert proxy.get("/healthz") == "ok\n" and proxy.get("/ready") == "ready\n"


def test_a_backend_is_changed_over_http_and_the_control_socket(administered, toy):
    proxy = administered(toy("echo", name="a"), toy("echo", name="b"))
    assert served_by(proxy, 4) == "aabb"
    assert proxy.post("/backends/app/b2", {"state": "drain"}) == {"done": "app/b2: state drain (it was ready)"}
    assert served_by(proxy, 4) == "aaaa" and proxy.backend("b2")["state"] == "drain"
    [change] = proxy.get("/status")["changes"]
    assert (change["backend"], change["what"], change["filed"]) == ("app/b2", "state", "ready")
    assert change["by"] == "127.0.0.1 at the admin address"
    said = proxy.run("explain", "--live", "GET /").stdout
    assert "operator-drain" in said, said
    done = proxy.run("backend", "ready", "app/b2")
    assert done.returncode == 0 and "state ready (it was drain)" in done.stdout, done
    assert proxy.run("backend", "weight", "app/b1", "3").returncode == 0
    assert served_by(proxy, 8) == "aaaaaabb"
    assert " at the control socket" in proxy.get("/status")["changes"][0]["by"]
    for arguments in [("weight", "app/b1", "1001"), ("drain", "app/b7"), ("down", "b1")]:
        assert proxy.run("backend", *arguments).returncode == 2, arguments


def test_a_reload_leaves_what_was_changed_unless_the_file_changes_that_very_thing(administered, toy):
    proxy = administered(toy("echo", name="a"), toy("echo", name="b"))
    proxy.post("/backends/app/b1", {"weight": 3})
    proxy.post("/backends/app/b2", {"state": "down"})
    done = proxy.run("reload")
    assert done.returncode == 0 and "still holds, changed while running: app/b1: weight 3" in done.stdout, done
    assert served_by(proxy, 4) == "aaaa"
    proxy.write(states={"b1": ["weight = 2"], "b2": ["weight = 2"]})
    done = proxy.run("reload")
    assert "does not hold any more: app/b1: weight 3" in done.stdout and "b2: state down" in done.stdout, done
    assert [change["backend"] for change in proxy.get("/status")["changes"]] == ["app/b2"]
    assert proxy.backend("b1")["weight"] == 2 and served_by(proxy, 4) == "aaaa"
    proxy.write(states={"b1": ["weight = 2"], "b2": ['state = "drain"']})
    assert "the configuration says drain now" in proxy.run("reload").stdout
    assert proxy.get("/status")["changes"] == [] and served_by(proxy, 4) == "aaaa"


def test_what_was_changed_can_be_put_into_the_file(administered, toy, tmp_path):
    proxy = administered(toy("echo", name="a"), toy("echo", name="b"))
    assert proxy.run("changes").stdout == "# nothing was changed while running\n"
    proxy.post("/backends/app/b1", {"weight": 3})
    proxy.post("/backends/app/b2", {"state": "down"})
    done = proxy.run("changes")
    assert done.returncode == 0 and "# app/b2: state down, by 127.0.0.1 at the admin address" in done.stdout, done
    patched = subprocess.run(["patch", "-p1", "-d", "/"], input=done.stdout, capture_output=True, text=True)
    assert patched.returncode == 0, (patched, done.stdout)
    assert 'state = "down"' in proxy.file.read_text() and "weight = 3" in proxy.file.read_text()
    # Now the file says so itself.
    proxy.run("reload")
    assert proxy.get("/status")["changes"] == [] and served_by(proxy, 3) == "aaa"
    assert proxy.backend("b1")["weight"] == 3 and proxy.backend("b2")["state"] == "down"


def test_requests_of_other_sites_are_refused(administered, toy):
    proxy = administered(toy("echo"))
    host = "{}:{}".format(*proxy.address)
    for headers, expected in [
        ({"Origin": f"http://{host}"}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Host": "evil.example"}, 403),
        ({"Content-Type": "text/plain"}, 415),
    ]:
        status, answered, _ = proxy.ask("POST", "/backends/app/b1", {"weight": 1}, headers)
        assert status == expected, headers
        assert "Access-Control-Allow-Origin" not in answered
    assert proxy.ask("OPTIONS", "/backends/app/b1", headers={"Origin": "http://evil.example"})[0] == 403
    assert proxy.get("/status")["changes"] == []


def test_with_a_token_only_who_has_it_may_ask(administered, toy):
    proxy = administered(toy("echo"), admin='token_env = "THE_TOKEN"', env={"THE_TOKEN": TOKEN})
    assert proxy.get("/healthz") == "ok\n" and "<script>" in proxy.get("/")
    for path in ["/status", "/config", "/sessions", "/backends/app/b1", "/metrics"]:
        status, headers, _ = proxy.ask("GET", path)
        assert status == 401 and headers["WWW-Authenticate"] == "Bearer"
        assert proxy.ask("GET", path, headers={"Authorization": "Bearer wrong"})[0] == 401
    assert proxy.ask("POST", "/backends/app/b1", {"state": "down"})[0] == 401
    assert proxy.get("/status", Authorization=f"Bearer {TOKEN}", Host="lb.example")["pid"]
    assert TOKEN not in proxy.get("/config", Authorization=f"Bearer {TOKEN}")
    assert TOKEN not in proxy.running.stderr()


def test_no_address_but_a_loopback_without_a_token(pollux_bin, tmp_path, toy):
    backend = toy("echo")
    command = [pollux_bin, "--listen", "127.0.0.1:0", "--backend", backend.host_port, "--admin", "0.0.0.0:0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, cwd=tmp_path)
    assert done.returncode == 2 and "open to everybody" in done.stderr, done


class Hung:
    """A backend that answers nobody."""

    def serve(self, connection):
        read_head(connection)
        with contextlib.suppress(ConnectionResetError):
            connection.recv(1)


def test_a_session_is_ended_and_told_so(administered):
    with ScriptedBackend(Hung().serve) as backend:
        proxy = administered(backend)
        with connect(proxy.running.address) as client:
            client.sendall(get("/slow"))
            proxy.wait_for(lambda: proxy.get("/sessions?state=exchange"), "an exchange")
            [session] = proxy.get("/sessions?order=biggest&count=5")
            assert session["request"] == "GET /slow" and session["kind"] == "exchange"
            listed = proxy.run("session", "list", "--state", "exchange").stdout
            assert session["id"] in listed and "GET /slow" in listed
            assert proxy.post(f"/sessions/{session['id']}/kill", {})["done"].endswith("has ended")
            with pytest.raises(ConnectionResetError):
                client.recv(1)
        proxy.running.wait_for_stderr('cause="operator-killed"')
        assert proxy.ask("POST", f"/sessions/{session['id']}/kill", {})[0] == 409
        assert proxy.run("session", "kill", "nonsense").returncode == 2
        assert proxy.run("session", "kill", session["id"]).returncode == 1


def test_what_is_logged_can_be_changed(administered, toy):
    proxy = administered(toy("echo"))
    served_by(proxy, 1)
    proxy.running.wait_for_stderr("path=/")
    assert proxy.run("log-level", "access=off").returncode == 0
    before = proxy.running.stderr().count("path=/")
    served_by(proxy, 3)
    told = proxy.post("/log-level", {"level": "info"})["done"]
    assert told == "info"
    served_by(proxy, 1)
    proxy.wait_for(lambda: proxy.running.stderr().count("path=/") > before, "logged")
    assert proxy.running.stderr().count("path=/") == before + 1
    assert proxy.ask("POST", "/log-level", {"level": "loud"})[0] == 400
    assert proxy.run("log-level", "warn").stdout.startswith("warn (changed while running; it was info")


def test_not_ready_while_draining(administered):
    with ScriptedBackend(Hung().serve) as backend:
        proxy = administered(backend)
        with connect(proxy.running.address) as client:
            client.sendall(get("/slow"))
            proxy.wait_for(lambda: proxy.get("/sessions?state=exchange"), "an exchange")
            proxy.running.signal(signal.SIGTERM)
            proxy.wait_for(lambda: proxy.ask("GET", "/ready")[0] == 503, "not ready")
            assert proxy.get("/healthz") == "ok\n" and proxy.get("/status")["drain"]
            assert proxy.ask("POST", "/backends/app/b1", {"state": "drain"})[0] == 409
            [session] = proxy.get("/sessions")
            proxy.post(f"/sessions/{session['id']}/kill", {})
        proxy.running.expect_end()


def test_a_slow_caller_holds_up_nobody(administered, toy):
    proxy = administered(toy("echo"))
    with socket.create_connection(proxy.address) as slow:
        slow.sendall(b"GET /status HT")
        assert proxy.get("/healthz") == "ok\n"


def test_without_a_token_nothing_is_changed_unless_that_is_said(administered, toy):
    proxy = administered(toy("echo"), admin="")
    for path, body in [
        ("/backends/app/b1", {"state": "down"}),
        ("/sessions/0.0.0/kill", {}),
        ("/log-level", {"level": "warn"}),
    ]:
        status, _, told = proxy.ask("POST", path, body)
        assert status == 403 and "writable = true" in told["error"], (path, status, told)
    assert proxy.get("/status")["changes"] == [] and served_by(proxy, 1) == "a"
    assert "<body data-readonly>" in proxy.get("/")
    assert proxy.run("backend", "down", "app/b1").returncode == 0
    assert proxy.backend("b1")["state"] == "down"


def test_the_configuration_shows_variables_and_no_credentials(pollux_bin, toy, tmp_path, keep):
    backend = toy("echo").host_port
    host, port = backend.split(":")
    file = f"""control = "control"
[admin]
bind = "127.0.0.1:0"
[[listener]]
bind = "127.0.0.1:0"
[[listener.route]]
match = {{ header = {{ X-Api-Key = "literal-api-key" }} }}
pool = "app"
request_headers = {{ set = {{ Authorization = "Bearer ${{UPSTREAM_TOKEN}}", X-Zone = "a-${{ZONE}}-b" }}, add = {{ Cookie = "login=literal-cookie" }} }}
[[listener.route]]
match = {{}}
respond = {{ status = 200, body = "${{GREETING:-hello there}}" }}
[pool.app]
sticky = {{ cookie = "srv", secret = "a literal secret of a file" }}
backends = ["{host}:${{APP_PORT}}"]
"""
    env = {"UPSTREAM_TOKEN": "s3cr3t-of-upstream", "ZONE": "eu-north-7", "APP_PORT": port}
    proxy = keep(Served(pollux_bin, tmp_path, file, env=env))
    address = proxy.running.line(r"admin on (http://\S+)")[1]
    with urllib.request.urlopen(f"{address}config", timeout=DEADLINE_S) as answer:
        shown = answer.read().decode()
    for text in ["Bearer ${UPSTREAM_TOKEN}", "a-${ZONE}-b", "${GREETING:-hello there}", "(not shown)"]:
        assert text in shown, (text, shown)
    for secret in ["s3cr3t", "eu-north-7", "literal-api-key", "literal-cookie", "a literal secret"]:
        assert secret not in shown, (secret, shown)
    # Nor does `check --print` put what it gets from the environment into a log; what it prints is a configuration.
    printed = subprocess.run([pollux_bin, "check", "--print", "-c", proxy.file], capture_output=True, text=True, env={**os.environ, **env}, timeout=DEADLINE_S)
    assert printed.returncode == 0 and "s3cr3t" not in printed.stdout and "Bearer ${UPSTREAM_TOKEN}" in printed.stdout, printed
    again = tmp_path / "again.toml"
    again.write_text(printed.stdout)
    done = subprocess.run([pollux_bin, "check", "-c", again], capture_output=True, text=True, env={**os.environ, **env}, timeout=DEADLINE_S)
    assert done.returncode == 0, done


def ask_at(path, method, target, body=None):
    """The status and the JSON of an answer at a Unix socket, by curl."""
    command = ["curl", "-sS", "--max-time", "20", "--unix-socket", path, "-X", method, "-w", "\n%{http_code}", f"http://localhost{target}"]
    if body is not None:
        command += ["-H", "Content-Type: application/json", "-d", json.dumps(body)]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
    text, status = done.stdout.rsplit("\n", 1)
    return int(status), json.loads(text)


def test_it_can_be_a_unix_socket_that_goes_over_too(pollux_bin, toy, tmp_path, keep):
    path = tmp_path / "admin"
    backend = f'[[listener]]\nbind = "127.0.0.1:0"\n[pool.app]\nbackends = ["{toy("echo").host_port}"]\n'
    file = f'control = "control"\n[admin]\nbind = "unix:{path}"\nwritable = true\n' + backend
    proxy = keep(Served(pollux_bin, tmp_path, file))
    assert proxy.running.line(r"admin on (unix:\S+)")[1] == f"unix:{path}"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert ask_at(path, "POST", "/backends/app/127.0.0.1:{}".format(backend.split('"')[3].split(":")[1]), {"weight": 2})[0] == 200
    user = pwd.getpwuid(os.getuid()).pw_name
    assert ask_at(path, "GET", "/status")[1]["changes"][0]["by"] == f"{user} at the admin address"
    old, inode = proxy.status()["pid"], path.stat().st_ino
    proxy.tell("upgrade")
    proxy.running.expect_end()
    status, told = ask_at(path, "GET", "/status")
    assert status == 200 and told["pid"] != old and path.stat().st_ino == inode
    # A new process that has it elsewhere leaves nothing behind.
    file = file.replace(f"unix:{path}", f"unix:{tmp_path}/other")
    proxy.file.write_text(file)
    proxy.tell("upgrade")
    os_pid = told["pid"]
    wait_until(lambda: not os.path.exists(f"/proc/{os_pid}"), "the end of the process before")
    assert not path.exists()
    new = ask_at(tmp_path / "other", "GET", "/status")[1]["pid"]
    os.kill(new, signal.SIGTERM)
    wait_until(lambda: not os.path.exists(f"/proc/{new}"), "the end of the new process")
    assert not (tmp_path / "other").exists()


def wait_until(condition, what):
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"never {what}"
        time.sleep(0.01)


def test_the_address_is_never_given_up_at_an_upgrade(administered, toy):
    """Somebody who asks all the time is always answered, by the old process or by the new one, on the port that the kernel chose."""
    proxy = administered(toy("echo"))
    seen, is_over = [], threading.Event()

    def ask():
        while not is_over.is_set():
            seen.append(proxy.get("/status")["pid"])

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        callers = [pool.submit(ask) for _ in range(2)]
        try:
            assert proxy.run("upgrade").returncode == 0
            proxy.running.expect_end()
        finally:
            is_over.set()
        for caller in callers:
            caller.result()
    pid = proxy.get("/status")["pid"]
    assert pid != seen[0] and proxy.get("/ready") == "ready\n"
    os.kill(pid, signal.SIGTERM)
    proxy.wait_for(lambda: not os.path.exists(f"/proc/{pid}"), "the end of the new process")


def test_a_new_process_that_does_not_take_over_leaves_the_address_alone(administered, toy):
    proxy = administered(toy("echo"))
    good = proxy.file.read_text()
    proxy.file.write_text(good.replace('name = "web"', 'name = "web"\nno_such_key = 1'))
    command = [proxy.binary, "upgrade", "--control", proxy.file.parent / "control"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.returncode == 1 and "no_such_key" in done.stderr + done.stdout, done
    assert proxy.get("/ready") == "ready\n" and proxy.get("/status")["pid"] == proxy.running.process.pid
    assert proxy.running.process.poll() is None
