"""PROXY headers as real receivers take them: nginx, HAProxy, Apache, Varnish and Caddy, each with its own bound on their length."""

import contextlib
import itertools
import os
import pathlib
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time

import pytest

from harness.process import Child
from harness.served import Served

DEADLINE_S = 20
MODULES = "/usr/lib/apache2/modules"
STREAM = "/usr/lib/nginx/modules/ngx_stream_module.so"
FIELDS = '["authority", "alpn", "unique-id", "ssl"]'

# A client chooses the name that it asks for: the longest that DNS allows.
LONG_NAME = ".".join(["n" * 63, "n" * 63, "n" * 63, "n" * 61])

NGINX = """\
{user}
daemon off;
pid nginx.pid;
error_log stderr;
{module}
events {{}}
{context}
"""

NGINX_HTTP = """\
http {{
    access_log off;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    {certificate}
    server {{ listen {listen} {options} proxy_protocol; location / {{ return 200 "$proxy_protocol_addr\\n"; }} }}
}}
"""

NGINX_STREAM = """\
stream {{ server {{ listen {listen} proxy_protocol; return "HTTP/1.0 200 OK\\r\\n\\r\\n$proxy_protocol_addr\\n"; }} }}
"""

HAPROXY = """\
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
frontend receiver
    bind {bind} accept-proxy
    http-request return status 200 content-type text/plain lf-string "%[src]\\n"
"""

VARNISH = """\
vcl 4.1;
backend none none;
sub vcl_recv { return (synth(200)); }
sub vcl_synth { set resp.http.X-Seen = client.ip; set resp.body = "seen"; return (deliver); }
"""

CADDY = """\
{{
    admin off
    auto_https off
    persist_config off
    servers {{
        listener_wrappers {{
            proxy_protocol {{
                timeout 5s
                allow 127.0.0.0/8
            }}
        }}
    }}
}}
http://:{port} {{
    bind 127.0.0.1
    respond "{{http.request.remote.host}}"
}}
"""

APACHE = """\
ServerRoot {directory}
ServerName h
PidFile apache.pid
DefaultRuntimeDir {directory}
{user}
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule dir_module {modules}/mod_dir.so
LoadModule remoteip_module {modules}/mod_remoteip.so
LoadModule headers_module {modules}/mod_headers.so
Listen {listen}
ErrorLog {directory}/error.log
DocumentRoot {directory}/root
RemoteIPProxyProtocol On
Header always set X-Seen "expr=%{{REMOTE_ADDR}}"
"""


def program(name):
    # Some are installed beside this Python.
    found = shutil.which(name, path=":".join([os.path.dirname(sys.executable), os.environ["PATH"], "/usr/sbin:/sbin"]))
    assert found, f"{name} is not installed: run tests/setup"
    return found


@pytest.fixture
def certificate(tmp_path):
    """A certificate that has signed itself, for localhost: its file, and that of its key."""
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "20"]
        + ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", cert],
        check=True,
        capture_output=True,
    )
    return cert, key


@pytest.fixture
def receiver(certificate):
    """Starts a receiver of PROXY headers on an address of its own; gives the address as HOST:PORT."""
    with contextlib.ExitStack() as stack:

        def nginx(directory, listener, host_port, kind):
            cert, key = certificate
            template = NGINX_STREAM if kind == "nginx-stream" else NGINX_HTTP
            module = f"load_module {STREAM};" if kind == "nginx-stream" else ""
            is_tls = kind == "nginx-tls"
            files = f"ssl_certificate {cert}; ssl_certificate_key {key};" if is_tls else ""
            context = template.format(listen=host_port, options="ssl" if is_tls else "", certificate=files)
            user = "user root;" if os.geteuid() == 0 else ""
            config = directory / "nginx.conf"
            config.write_text(NGINX.format(user=user, module=module, context=context))
            command = [program("nginx"), "-p", directory, "-c", config, "-e", "stderr"]
            fd = listener.fileno()
            running = Child(command, directory, "nginx", env={"NGINX": f"{fd};"}, pass_fds=[fd])
            stack.callback(running.kill)
            # A killed master would leave its worker behind.
            stack.callback(running.terminate)

        def haproxy(directory, listener):
            config = directory / "haproxy.cfg"
            config.write_text(HAPROXY.format(bind=f"fd@{listener.fileno()}"))
            running = Child([program("haproxy"), "-f", config], directory, "haproxy", pass_fds=[listener.fileno()])
            stack.callback(running.kill)

        def apache(directory, listener, host_port):
            # Apache insists on a socket of its own. The port stays the kernel's choice.
            listener.close()
            (directory / "root").mkdir()
            (directory / "root" / "index.html").write_text("seen\n")
            user = "User www-data\nGroup www-data" if os.geteuid() == 0 else ""
            config = directory / "apache.conf"
            config.write_text(APACHE.format(directory=directory, user=user, modules=MODULES, listen=host_port))
            command = [program("apache2"), "-d", directory, "-f", config, "-DFOREGROUND"]
            running = Child(command, directory, "apache")
            stack.callback(running.kill)
            stack.callback(running.terminate)

        def varnish(directory, listener, host_port):
            # As Apache does.
            listener.close()
            config = directory / "seen.vcl"
            config.write_text(VARNISH)
            # Its worker gives up root, and lies in a directory of another name.
            command = [program("varnishd"), "-F", "-a", f"{host_port},PROXY", "-f", config, "-n", directory / "work"]
            running = Child([*command, "-s", "default,1m", "-j", "none"], directory, "varnish")
            stack.callback(running.kill)
            stack.callback(running.terminate)
            await_listener(host_port)

        def caddy(directory, listener, host_port):
            listener.close()
            config = directory / "Caddyfile"
            config.write_text(CADDY.format(port=host_port.rpartition(":")[2]))
            command = [program("caddy"), "run", "--adapter", "caddyfile", "--config", config]
            homes = {"HOME": str(directory), "XDG_DATA_HOME": str(directory), "XDG_CONFIG_HOME": str(directory)}
            running = Child(command, directory, "caddy", env=homes)
            stack.callback(running.kill)
            await_listener(host_port)

        def start(kind):
            # Apache's workers run as another user, and read files in it.
            directory = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
            directory.chmod(0o755)
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            host_port = "{}:{}".format(*listener.getsockname())
            if kind.startswith("nginx"):
                nginx(directory, listener, host_port, kind)
            elif kind == "haproxy":
                haproxy(directory, listener)
            elif kind == "varnish":
                varnish(directory, listener, host_port)
            elif kind == "caddy":
                caddy(directory, listener, host_port)
            else:
                apache(directory, listener, host_port)
            return host_port

        yield start


def await_listener(host_port):
    """Waits until a receiver that binds its socket by itself does."""
    host, _, port = host_port.rpartition(":")
    deadline = time.monotonic() + DEADLINE_S
    while True:
        try:
            return socket.create_connection((host, int(port)), DEADLINE_S).close()
        except ConnectionRefusedError:
            assert time.monotonic() < deadline, f"{host_port} does not listen"
            time.sleep(0.05)


class Receiving(Served):
    """A Pollux whose backend reads PROXY headers: by TLS, by a Unix socket and in plain text."""

    def __init__(self, binary, directory, backend, version, certificate, *, is_tls=False, more=""):
        cert, key = certificate
        self.unix = directory / "in.sock"
        tls = f'tls = {{ ca = "{cert}", name = "localhost" }}\n' if is_tls else ""
        fields = f"proxy_protocol_fields = {FIELDS}\n" if version == "v2" else ""
        # An HTTP check that has to go well before anything is sent: `start = "check-first"`.
        config = (
            'control = "control"\n'
            f'[[listener]]\nbind = "127.0.0.1:0"\npool = "app"\ntls = {{ certificates = [{{ cert = "{cert}", key = "{key}" }}] }}\n'
            f'[[listener]]\nbind = "unix:{self.unix}"\npool = "app"\n'
            f'[pool.app]\nbackends = [{{ name = "one", address = "{backend}" }}]\nretries = 0\n{tls}{fields}{more}'
            f'proxy_protocol = "{version}"\n'
            '[pool.app.check]\ntype = "http"\npath = "/"\nstart = "check-first"\nrise = 1\ninterval = "100ms"\n'
        )
        super().__init__(binary, directory, config)

    def is_up(self):
        return self.status("app/one")["standing"] == "up"


def asked(connection):
    """The answer to a request over `connection`: its status, and whom the receiver has taken for the client."""
    connection.sendall(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    answer = b""
    while piece := connection.recv(65536):
        answer += piece
    head, _, body = answer.decode().partition("\r\n\r\n")
    seen = [line.partition(": ")[2] for line in head.split("\r\n") if line.lower().startswith("x-seen: ")]
    return int(head.split(" ")[1]), (seen or [body.strip()])[0]


def over_tls(address, name, source):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    with socket.create_connection(address, DEADLINE_S, source_address=(source, 0)) as plain:
        with context.wrap_socket(plain, server_hostname=name) as connection:
            return asked(connection)


def over_unix(path):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(DEADLINE_S)
        connection.connect(str(path))
        return asked(connection)


def wait_until_up(proxy):
    proxy.wait_for_backend("one", lambda backend: backend["standing"] == "up")


RECEIVERS = ["nginx", "nginx-tls", "nginx-stream", "haproxy", "apache", "varnish", "caddy"]


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("kind", RECEIVERS)
def test_every_receiver_takes_every_header(receiver, certificate, pollux_bin, tmp_path, keep, kind, version):
    is_tls = kind == "nginx-tls"
    proxy = keep(Receiving(pollux_bin, tmp_path, receiver(kind), version, certificate, is_tls=is_tls))
    # A check is the first that the receiver reads: of version 1 with the addresses of its connection, else LOCAL.
    wait_until_up(proxy)
    for number, name in enumerate(["localhost", "n" * 48, LONG_NAME] * 4):
        client = f"127.0.0.{number + 2}"
        assert over_tls(proxy.running.address, name, client) == (200, client), name
    for _ in range(4):
        status, seen = over_unix(proxy.unix)
        # nginx has no address for LOCAL in this variable, and the others go on with that of the connection.
        assert status == 200 and seen in ("127.0.0.1", ""), seen
    assert proxy.is_up()


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_receiver_at_a_unix_socket_takes_every_header(certificate, pollux_bin, tmp_path, keep, version):
    """Neither a check nor a client by a Unix socket has an address that version 1 could tell there: it says `UNKNOWN`."""
    path, config = tmp_path / "haproxy.sock", tmp_path / "haproxy.cfg"
    config.write_text(HAPROXY.format(bind=f"unix@{path}"))
    running = Child([program("haproxy"), "-f", config], tmp_path, "haproxy")
    try:
        deadline = time.monotonic() + DEADLINE_S
        while not path.exists():
            assert time.monotonic() < deadline, running.stderr()
            time.sleep(0.05)
        proxy = keep(Receiving(pollux_bin, tmp_path, f"unix:{path}", version, certificate))
        wait_until_up(proxy)
        for number in range(4):
            client = f"127.0.0.{number + 2}"
            assert over_tls(proxy.running.address, "localhost", client) == (200, client)
            assert over_unix(proxy.unix)[0] == 200
        assert proxy.is_up()
    finally:
        running.kill()


def test_a_name_that_a_client_chose_ejects_no_backend(receiver, certificate, pollux_bin, tmp_path, keep):
    """Beyond the default a receiver may close for a long name: that is held against the request, not the backend."""
    health = 'proxy_protocol_max = 1024\nhealth = { failures = 3, eject = "1h", max_ejected = 1.0 }\n'
    backend = receiver("nginx-stream")
    proxy = keep(Receiving(pollux_bin, tmp_path, backend, "v2", certificate, more=health))
    wait_until_up(proxy)
    for _ in itertools.repeat(None, 8):
        assert over_tls(proxy.running.address, LONG_NAME, "127.0.0.2")[0] == 502
    assert over_tls(proxy.running.address, "localhost", "127.0.0.2") == (200, "127.0.0.2")
    assert proxy.is_up()
