"""The contenders of bench/balance: a proxy with a policy each, in front of the same kind of uneven pool."""

import dataclasses
import os

from .contenders.base import ready
from .processes import listening_socket, tool

# Enough for every connection of the load, so that no proxy's own limits decide.
CONNECTIONS_MAX = 2048

POLLUX = """\
threads = 1

[[listener]]
name = "clients"
bind = "127.0.0.1:0"

[pool.uneven]
{policy}
backends = [{backends}]

[limits]
idle_per_backend = 1024
"""

NGINX = """\
{user}
daemon off;
pid {dir}/nginx.pid;
error_log stderr;
worker_processes 1;
events {{ worker_connections {connections}; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    upstream uneven {{
        {policy}
        {backends}
        keepalive 1024;
        keepalive_requests 1000000000;
    }}
    server {{
        listen {listen};
        location / {{
            proxy_pass http://uneven;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }}
    }}
}}
"""

HAPROXY = """\
global
    nbthread 1
    maxconn {connections}
defaults
    mode http
    option http-keep-alive
    http-reuse always
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend clients
    bind fd@{fd}
    default_backend uneven
backend uneven
    {policy}
    {backends}
"""


@dataclasses.dataclass(frozen=True)
class Policy:
    proxy: str
    name: str
    # As the configuration says it; `{slots}` is what a backend can be at work on at once.
    text: str

    @property
    def label(self):
        return f"{self.proxy} {self.name}"


def pollux(name, *more):
    return Policy("pollux", name, "\n".join([f'balance = "{name}"', *more]))


POLICIES = [
    pollux("round-robin"),
    pollux("random"),
    pollux("two-choices"),
    pollux("least-connections"),
    pollux("latency"),
    pollux("hash", 'hash_key = "{{path}}"', "max_load = 1.25"),
    pollux("first", "max_requests = {slots}"),
    Policy("nginx", "round robin", ""),
    Policy("nginx", "random two", "random two least_conn;"),
    Policy("nginx", "least_conn", "least_conn;"),
    Policy("nginx", "hash", "hash $uri consistent;"),
    Policy("haproxy", "roundrobin", "balance roundrobin"),
    Policy("haproxy", "random", "balance random(2)"),
    Policy("haproxy", "leastconn", "balance leastconn"),
    Policy("haproxy", "uri, bounded", "balance uri\n    hash-type consistent\n    hash-balance-factor 125"),
]


def start(policy, setup, backends, slots):
    """Starts the proxy of `policy`; returns (Running, address)."""
    text = policy.text.format(slots=slots)
    return {"pollux": start_pollux, "nginx": start_nginx, "haproxy": start_haproxy}[policy.proxy](
        text, setup, backends
    )


def start_pollux(policy, setup, backends):
    listed = ", ".join(f'"{backend}"' for backend in backends)
    config = setup.write("pollux.toml", POLLUX.format(policy=policy, backends=listed))
    return ready(
        setup.run("pollux", [setup.tools.pollux, "-c", config, "--access-log", "off"], says_address=True)
    )


def start_nginx(policy, setup, backends):
    with listening_socket() as listener:
        address = "127.0.0.1:{1}".format(*listener.getsockname())
        text = NGINX.format(
            # A worker of a master run by root would change to a user who cannot write the temporary directory.
            user="user root;" if os.geteuid() == 0 else "",
            dir=setup.directory,
            connections=CONNECTIONS_MAX,
            policy=policy,
            backends="\n        ".join(f"server {backend};" for backend in backends),
            listen=address,
        )
        command = [tool("nginx"), "-p", str(setup.directory), "-c", setup.write("nginx.conf", text), "-e", "stderr"]
        fd = listener.fileno()
        return setup.run("nginx", command, env={"NGINX": f"{fd};"}, keep_fds=[fd]), address


def start_haproxy(policy, setup, backends):
    with listening_socket() as listener:
        address = "127.0.0.1:{1}".format(*listener.getsockname())
        fd = listener.fileno()
        servers = (f"server b{number} {backend}" for number, backend in enumerate(backends))
        text = HAPROXY.format(
            connections=CONNECTIONS_MAX, fd=fd, policy=policy, backends="\n    ".join(servers)
        )
        command = [tool("haproxy"), "-db", "-q", "-f", setup.write("haproxy.cfg", text)]
        return setup.run("haproxy", command, keep_fds=[fd]), address
