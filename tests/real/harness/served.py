"""A Pollux that serves a file, and the commands that speak with it."""

import json
import subprocess
import time

from harness.client import DEADLINE_S, Response, connect, get
from harness.process import Pollux


class Served:
    """Its configuration can be written anew, and has `control = "control"`: so commands of the same executable find it by its file."""

    def __init__(self, binary, directory, config, options=("--threads", "2"), **more):
        self.binary, self.file = binary, directory / "proxy.toml"
        self.file.write_text(config)
        self.running = Pollux(binary, ["-c", self.file, *options], directory, **more)

    def run(self, *arguments):
        """A command, however it ends."""
        command = [self.binary, *arguments, "-c", self.file]
        return subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=DEADLINE_S)

    def tell(self, *arguments):
        """What a command prints that has to go well."""
        done = self.run(*arguments)
        assert done.returncode == 0, done
        return done.stdout

    def reload(self, config=None):
        """Has it read its file, or this in the place of it; gives the exit code and what was said."""
        if config is not None:
            self.file.write_text(config)
        # A file that cannot be read does not say where the socket is.
        command = [self.binary, "reload", "--control", self.file.parent / "control"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S)
        return done.returncode, done.stdout + done.stderr

    def status(self, *arguments):
        return json.loads(self.tell("status", *arguments, "--json"))

    def wait_for_backend(self, name, condition):
        """Waits until the status of a backend of the pool `app` is as it should be; gives it."""
        deadline = time.monotonic() + DEADLINE_S
        while not condition(backend := self.status(f"app/{name}")):
            assert time.monotonic() < deadline, backend
        return backend

    def fetch(self, target="/"):
        """The response to one request over a connection of its own."""
        with connect(self.running.address) as connection, connection.makefile("rb") as stream:
            connection.sendall(get(target))
            return Response(stream)

    def end_well(self):
        self.running.end_well()

    def kill(self):
        self.running.kill()
