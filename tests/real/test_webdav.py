"""WebDAV through Pollux: Apache's mod_dav behind a TLS listener, which compares Destination with its own scheme and port."""

import http.client
import os
import pathlib
import shutil
import socket
import time

import pytest

from harness.client import connect
from harness.process import Child
from harness.tls import context, pairs

MODULES = pathlib.Path("/usr/lib/apache2/modules")

APACHE = """\
ServerRoot {directory}
ServerName localhost
PidFile apache.pid
DefaultRuntimeDir {directory}
{user}
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule dav_module {modules}/mod_dav.so
LoadModule dav_fs_module {modules}/mod_dav_fs.so
Listen 127.0.0.1:{port}
ErrorLog {directory}/error.log
DocumentRoot {directory}/root
DavLockDB {directory}/lock/db
<Directory "{directory}/root">
    Dav On
    Require all granted
</Directory>
"""


@pytest.fixture
def mod_dav(tmp_path):
    """An Apache with mod_dav; returns its address."""
    directory = tmp_path / "apache"
    for part in ["root", "lock"]:
        (directory / part).mkdir(parents=True)
        (directory / part).chmod(0o777)
    for parent in [directory, *directory.parents]:
        if parent.stat().st_uid == os.geteuid() and parent != pathlib.Path("/"):
            parent.chmod(parent.stat().st_mode | 0o011)
    # Apache insists on a socket of its own, so it is given a port that was free a moment ago.
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    user = "User www-data\nGroup www-data" if os.geteuid() == 0 else ""
    config = directory / "apache.conf"
    config.write_text(APACHE.format(directory=directory, user=user, modules=MODULES, port=port))
    program = shutil.which("apache2") or "/usr/sbin/apache2"
    child = Child([program, "-d", directory, "-f", config, "-DFOREGROUND"], directory, "apache")
    for _ in range(200):
        try:
            connect(("127.0.0.1", port)).close()
            break
        except ConnectionRefusedError:
            assert child.process.poll() is None, child.stderr()
            time.sleep(0.05)
    yield f"127.0.0.1:{port}"
    child.terminate()


class Client:
    """A WebDAV client that comes by TLS."""

    def __init__(self, port, authority):
        self._connection = http.client.HTTPSConnection("localhost", port, timeout=20, context=context(authority))
        self.base = f"https://localhost:{port}"

    def ask(self, method, path, body=None, **fields):
        self._connection.request(method, path, body, fields)
        response = self._connection.getresponse()
        return response.status, response.read()


def dav(address, pair, more=""):
    return f"""
[[listener]]
bind = "127.0.0.1:0"
tls = {{ certificates = [{pairs(pair)}] }}
[[listener.route]]
pool = "app"
{more}
[pool.app]
backends = ["{address}"]
"""


def test_move_and_copy_reach_mod_dav_behind_tls(tls_pollux, authority, mod_dav):
    proxy = tls_pollux(dav(mod_dav, authority.issue("localhost")))
    client = Client(proxy.port, authority)
    assert client.ask("PUT", "/a", b"text")[0] == 201
    assert client.ask("MOVE", "/a", Destination=f"{client.base}/b%20c")[0] == 201
    assert client.ask("COPY", "/b%20c", Destination=f"{client.base}/d")[0] == 201
    assert client.ask("GET", "/d") == (200, b"text")
    assert client.ask("GET", "/a")[0] == 404
    assert client.ask("MOVE", "/d", Destination="https://elsewhere.test/d")[0] == 502
    assert client.ask("DELETE", "/d", If=f"<{client.base}/d> (Not <DAV:no-lock>)")[0] == 204


def test_a_prefix_is_taken_off_the_destination_too(tls_pollux, authority, mod_dav):
    proxy = tls_pollux(dav(mod_dav, authority.issue("localhost"), 'match.path = "/files/*"\nstrip_prefix = "/files"'))
    client = Client(proxy.port, authority)
    assert client.ask("PUT", "/files/a", b"text")[0] == 201
    assert client.ask("MOVE", "/files/a", Destination=f"{client.base}/files/b")[0] == 201
    assert client.ask("GET", "/files/b") == (200, b"text")


def test_mod_dav_refuses_the_public_uri(tls_pollux, authority, mod_dav):
    """What the tests above stand on."""
    proxy = tls_pollux(dav(mod_dav, authority.issue("localhost"), 'destination = "pass"'))
    client = Client(proxy.port, authority)
    assert client.ask("PUT", "/a", b"text")[0] == 201
    assert client.ask("MOVE", "/a", Destination=f"{client.base}/b")[0] == 502
