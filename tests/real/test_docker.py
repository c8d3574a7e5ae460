"""The docker command through Pollux: `docker exec` switches protocols by a POST that has a body."""

import json
import os
import re
import shutil
import struct
import subprocess
import threading

import pytest

from harness.client import DEADLINE_S
from harness.scripted import ScriptedBackend, read_head


class Daemon:
    """Answers as dockerd does to an exec of something that doubles each line; says what it was asked."""

    def __init__(self):
        self.asked = []
        self.told = threading.Lock()

    def serve(self, connection):
        if head := read_head(connection):
            method, target = head.split()[:2]
            length = int((re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE) or [0, 0])[1])
            body = b""
            while len(body) < length:
                body += connection.recv(length - len(body))
            with self.told:
                self.asked.append((method.decode(), re.sub(r"^/v[\d.]+", "", target.decode()), head, body))
            if target.endswith(b"/start"):
                return self._run(connection, head)
            connection.sendall(self._answer(method, target))

    def _answer(self, method, target):
        answers = [
            (rb"/_ping$", 200, b"OK"),
            (rb"/containers/it/json$", 200, {"Id": "it", "State": {"Running": True, "Status": "running"}, "Config": {"Tty": False}}),
            (rb"/containers/it/exec$", 201, {"Id": "e1"}),
            (rb"/exec/e1/json$", 200, {"ID": "e1", "Running": False, "ExitCode": 7, "ContainerID": "it"}),
        ]
        status, said = next(((status, said) for pattern, status, said in answers if re.search(pattern, target)), (404, {"message": "no such page"}))
        text = said if isinstance(said, bytes) else json.dumps(said).encode()
        fields = f"Api-Version: 1.41\r\nOstype: linux\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {len(text)}\r\n"
        return f"HTTP/1.1 {status} x\r\n{fields}\r\n".encode() + (b"" if method == b"HEAD" else text)

    def _run(self, connection, head):
        if b"\r\nupgrade: tcp\r\n" not in head.lower():
            connection.sendall(b"HTTP/1.1 400 x\r\nContent-Length: 0\r\n\r\n")
            return
        connection.sendall(b"HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
        with connection.makefile("rb") as lines:
            for line in lines:
                said = line.strip() * 2 + b"\n"
                connection.sendall(struct.pack(">BxxxI", 1, len(said)) + said)


@pytest.fixture
def docker(tmp_path):
    """Runs `docker …` against that address."""
    program = shutil.which("docker")
    assert program, "docker is not installed: run tests/setup"
    home = tmp_path / "docker-home"
    home.mkdir()

    def run(host_port, *arguments, said=""):
        env = {"PATH": os.environ["PATH"], "HOME": str(home), "DOCKER_HOST": f"tcp://{host_port}", "DOCKER_CONFIG": str(home)}
        return subprocess.run([program, *arguments], input=said, capture_output=True, text=True, env=env, timeout=DEADLINE_S)

    return run


def test_docker_exec(pollux, docker):
    daemon = Daemon()
    with ScriptedBackend(daemon.serve) as backend:
        proxy = pollux(backend)
        done = docker(proxy.host_port, "exec", "--interactive", "it", "double", said="one\ntwo\n")
        assert (done.stdout, done.returncode) == ("oneone\ntwotwo\n", 7), (done, daemon.asked)
    [(method, _, head, body)] = [asked for asked in daemon.asked if asked[1] == "/exec/e1/start"]
    assert method == "POST" and json.loads(body)["Detach"] is False
    assert re.search(rb"\r\nContent-Length: [1-9]", head) and b"\r\nConnection: Upgrade\r\n" in head
