"""What `redact` of the access log hides is hidden wherever Pollux shows requests."""

import threading

import pytest

from harness.client import DEADLINE_S, Response, connect, get
from harness.scripted import ScriptedBackend, read_head
from harness.served import Served


class Slow:
    """A backend that answers when the test says so."""

    def __init__(self):
        self.came, self.go_on, self.asked = threading.Event(), threading.Event(), []

    def serve(self, connection):
        if head := read_head(connection):
            self.asked.append(head.split()[1])
            self.came.set()
            assert self.go_on.wait(DEADLINE_S)
            connection.sendall(b"HTTP/1.1 302 x\r\nLocation: /there?code=secret#secret\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")


@pytest.mark.parametrize("to", ["off", "stdout"])
def test_a_query_is_shown_nowhere(pollux_bin, tmp_path, keep, to):
    slow = Slow()
    with ScriptedBackend(slow.serve) as backend:
        config = (
            f'control = "control"\n[access_log]\nto = "{to}"\nredact = ["query"]\nresponse_headers = ["Location"]\n'
            f'[[listener]]\nname = "web"\nbind = "127.0.0.1:0"\n[pool.app]\nbackends = ["{backend.host_port}"]\n'
        )
        proxy = keep(Served(pollux_bin, tmp_path, config, options=("--threads", "1", "--log-format", "text")))
        with connect(proxy.running.address) as connection, connection.makefile("rb") as stream:
            connection.sendall(get("/here?token=secret"))
            assert slow.came.wait(DEADLINE_S)
            shown = [proxy.tell("status"), proxy.tell("status", "--json"), proxy.tell("session", "list"), proxy.tell("session", "list", "--json")]
            assert all("GET /here" in text for text in shown), shown
            slow.go_on.set()
            assert Response(stream).headers["Location"] == "/there?code=secret#secret"
        stories = [proxy.tell("recorder", "--all"), proxy.tell("recorder", "--all", "--json")]
        assert all("GET /here" in text for text in stories), stories
        # The backend has got it all the same.
        assert slow.asked == [b"/here?token=secret"]
        if to == "stdout":
            line = proxy.running.line("access: ").string
            assert "/here" in line and "response.location=/there" in line, line
            shown.append(line)
        assert not any("secret" in text for text in shown + stories), shown + stories
