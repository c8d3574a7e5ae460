"""A Pollux with an admin address and a control socket."""

import http.client
import json
import time

from harness.client import DEADLINE_S
from harness.served import Served


class Administered(Served):
    """Its backends are called b1, b2, … in the pool `app`."""

    def __init__(self, binary, directory, backends, *, admin="writable = true", pool="", options=("--threads", "2"), env=None):
        self.admin_lines, self.pool_lines, self.backends = admin, pool, list(backends)
        super().__init__(binary, directory, self.config(), options, env=env)
        host, port = self.running.line(r"admin on http://(\S+):(\d+)/").groups()
        self.address = (host, int(port))

    def write(self, *, states):
        """Writes the configuration anew; `states` has more of a backend by its name, such as `weight = 2`."""
        self.file.write_text(self.config(states))

    def config(self, states=None):
        states = states or {}
        listed = ", ".join(
            f'{{ name = "b{n}", address = "{backend.host_port}"{"".join(", " + more for more in states.get(f"b{n}", []))} }}'
            for n, backend in enumerate(self.backends, 1)
        )
        return (
            f'control = "control"\n[admin]\nbind = "127.0.0.1:0"\n{self.admin_lines}\n'
            f'[[listener]]\nname = "web"\nbind = "127.0.0.1:0"\n[pool.app]\n{self.pool_lines}\nbackends = [{listed}]\n'
        )

    def ask(self, method, path, body=None, headers=None):
        """The status, the fields and the body of the answer; JSON is read."""
        connection = http.client.HTTPConnection(*self.address, timeout=DEADLINE_S)
        headers = dict(headers or {})
        if body is not None:
            headers.setdefault("Content-Type", "application/json")
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
        is_json = response.getheader("Content-Type") == "application/json"
        return response.status, response.headers, json.loads(text) if is_json and text else text

    def get(self, path, **headers):
        status, _, body = self.ask("GET", path, headers=headers)
        assert status == 200, (status, body)
        return body

    def post(self, path, body):
        status, _, told = self.ask("POST", path, body)
        assert status == 200, (status, told)
        return told

    def backend(self, name):
        [found] = [one for pool in self.get("/status")["pools"] for one in pool["backends"] if one["name"] == name]
        return found

    def wait_for(self, condition, what):
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < deadline, f"never {what}"
            time.sleep(0.01)
