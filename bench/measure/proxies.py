"""The proxies under test, each set up alike: one backend, keep-alive on both sides, no access log, N threads."""

import os
import pathlib

from .processes import Running, listening_socket, tool

NGINX = """\
{user}
daemon off;
pid {dir}/nginx.pid;
error_log stderr;
worker_processes {threads};
events {{
    worker_connections 4096;
    accept_mutex off;
}}
http {{
    access_log off;
    tcp_nodelay on;
    keepalive_timeout 300s;
    keepalive_requests 1000000;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    upstream backend {{
        server {backend};
        keepalive 256;
        keepalive_requests 1000000;
    }}
    server {{
        listen {listen};
        location / {{
            proxy_pass http://backend;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }}
    }}
}}
"""

# HAProxy sets TCP_NODELAY on every connection by itself.
HAPROXY = """\
global
    nbthread {threads}
    maxconn 4096
defaults
    mode http
    option http-keep-alive
    http-reuse always
    timeout connect 5s
    timeout client 300s
    timeout server 300s
frontend clients
    bind fd@{fd}
    default_backend backends
backend backends
    server lean {backend}
"""


class Setup:
    """What every proxy is started with."""

    def __init__(self, *, directory, backend, cores, threads, pollux):
        self.directory = pathlib.Path(directory)
        self.backend = backend
        self.cores = cores
        self.threads = threads
        self.pollux = pollux

    def run(self, name, command, **more):
        return Running(name, command, cores=self.cores, log=self.directory / f"{name}.log", **more)

    def write(self, name, text):
        path = self.directory / name
        path.write_text(text)
        return str(path)


def start_pollux(setup):
    command = [setup.pollux, "--listen", "127.0.0.1:0", "--backend", setup.backend]
    command += ["--threads", str(setup.threads), "--access-log", "off"]
    running = setup.run("pollux", command)
    try:
        return running, running.ready_address()
    except BaseException:
        running.stop()
        raise


def start_nginx(setup):
    with listening_socket() as listener:
        address = "127.0.0.1:{1}".format(*listener.getsockname())
        # A worker of a master run by root would change to a user who cannot write the temporary directory.
        user = "user root;" if os.geteuid() == 0 else ""
        text = NGINX.format(
            user=user, dir=setup.directory, threads=setup.threads, backend=setup.backend, listen=address
        )
        config = setup.write("nginx.conf", text)
        # nginx takes over the listeners named in NGINX, as it does when its binary is upgraded.
        command = [tool("nginx"), "-p", str(setup.directory), "-c", config, "-e", "stderr"]
        fd = listener.fileno()
        return setup.run("nginx", command, env={"NGINX": f"{fd};"}, keep_fds=[fd]), address


def start_haproxy(setup):
    with listening_socket() as listener:
        address = "127.0.0.1:{1}".format(*listener.getsockname())
        fd = listener.fileno()
        text = HAPROXY.format(threads=setup.threads, backend=setup.backend, fd=fd)
        config = setup.write("haproxy.cfg", text)
        return setup.run("haproxy", [tool("haproxy"), "-db", "-q", "-f", config], keep_fds=[fd]), address


STARTERS = {"pollux": start_pollux, "nginx": start_nginx, "haproxy": start_haproxy}
