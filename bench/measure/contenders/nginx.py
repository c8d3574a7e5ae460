"""nginx, as Debian packages it; TCP mode needs its stream module."""

import os
import pathlib
import re
import subprocess

from ..processes import listening_socket, tool
from .base import CLIENTS_MAX, IDLE_PER_BACKEND, IDLE_S, Contender, missing

COMMON = """\
{load_module}
{user}
daemon off;
pid {dir}/nginx.pid;
error_log stderr;
worker_processes {threads};
events {{
    worker_connections {connections};
    accept_mutex off;
}}
"""

HTTP = """\
http {{
    access_log off;
    tcp_nodelay on;
    keepalive_timeout {idle_s}s;
    keepalive_requests 1000000000;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    upstream backend {{
        server {backend};
        keepalive {idle_per_backend};
        keepalive_requests 1000000000;
        keepalive_timeout {idle_s}s;
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

TCP = """\
stream {{
    tcp_nodelay on;
    server {{
        listen {listen};
        proxy_pass {backend};
    }}
}}
"""


def start(setup):
    with listening_socket() as listener:
        address = "127.0.0.1:{1}".format(*listener.getsockname())
        text = (COMMON + (TCP if setup.mode == "tcp" else HTTP)).format(
            load_module=load_stream_module() if setup.mode == "tcp" else "",
            # A worker of a master run by root would change to a user who cannot write the temporary directory.
            user="user root;" if os.geteuid() == 0 else "",
            dir=setup.directory,
            threads=setup.threads,
            backend=setup.backend,
            listen=address,
            connections=2 * CLIENTS_MAX,
            idle_per_backend=IDLE_PER_BACKEND,
            idle_s=IDLE_S,
        )
        config = setup.write("nginx.conf", text)
        # nginx takes over the listeners named in NGINX, as it does when its binary is upgraded.
        command = [tool("nginx"), "-p", str(setup.directory), "-c", config, "-e", "stderr"]
        fd = listener.fileno()
        return setup.run("nginx", command, env={"NGINX": f"{fd};"}, keep_fds=[fd]), address


def absent(_tools, mode):
    if reason := missing("nginx"):
        return reason
    if mode == "tcp" and load_stream_module() is None:
        return "nginx has no stream module here: apt-get install libnginx-mod-stream"
    return None


def load_stream_module():
    """The line that loads the stream module, empty if it is built in, None if there is none."""
    built = subprocess.run([tool("nginx"), "-V"], capture_output=True, text=True, timeout=10).stderr
    if re.search(r"--with-stream(\s|$)", built):
        return ""
    folder = re.search(r"--modules-path=(\S+)", built)
    module = pathlib.Path(folder[1]) / "ngx_stream_module.so" if folder else None
    return f"load_module {module};" if module and module.exists() else None


CONTENDER = Contender("nginx", "debian", start, absent, lambda tools: [tool("nginx"), "-v"])
