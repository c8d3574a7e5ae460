#!/usr/bin/env bash
# PyPI's h2 takes the acknowledgement of one SETTINGS frame for that of the next one too.
#
# Guess: each ACK puts its own frame into force, in the order in which they were sent (RFC 9113 §6.5.3), so a client that has acknowledged the
#   first frame may use the windows of that one until it has read the second.
# Behaviour: `initiate_connection` sends one frame and `update_settings` another. The ACK of the first puts the values of the second into force.
#   A client that has not got the second yet, and sends 2,000 bytes of the 65,535 that it was promised, ends the connection with
#   FlowControlError where the second frame says 1,000.
# Seen with: h2 4.4.1, CPython 3.11.7.
# For a proxy: a client of such a server waits with its first request for all settings that are under way, or keeps to small first pieces. A
#   server that is written with h2 puts its values into the first frame, or does not lower a window by a second one.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check h2==4.4.1
cat >"$folder/ack.py" <<'PY'
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.exceptions import FlowControlError
from h2.settings import SettingCodes

HEAD = [(":method", "POST"), (":scheme", "http"), (":path", "/"), (":authority", "h")]


def server_and_client(window):
    """A server that has sent two SETTINGS frames, and a client that has got and acknowledged the first."""
    server, client = H2Connection(H2Configuration(client_side=False)), H2Connection(H2Configuration())
    server.initiate_connection()
    first = server.data_to_send()
    server.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: window})
    client.initiate_connection()
    client.receive_data(first)
    server.receive_data(client.data_to_send())
    return server, client


server, client = server_and_client(1000)
print("in force after the ACK of the first frame:", server.local_settings.initial_window_size)
client.send_headers(1, HEAD)
server.receive_data(client.data_to_send())
print("the client may send", client.local_flow_control_window(1), "and the server takes", server.remote_flow_control_window(1))
client.send_data(1, b"x" * 2000)
try:
    server.receive_data(client.data_to_send())
    print("2000 bytes: taken")
except FlowControlError as error:
    print("2000 bytes:", type(error).__name__)
PY
"$folder/venv/bin/python" "$folder/ack.py" | tee "$folder/out"
diff "$folder/out" - <<'OUT'
in force after the ACK of the first frame: 1000
the client may send 65535 and the server takes 1000
2000 bytes: FlowControlError
OUT
