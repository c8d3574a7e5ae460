"""TLS in tests: an authority that issues certificates, a Pollux and a backend that show them, and clients."""

import json
import re
import socket
import ssl
import subprocess
import threading
import time

from harness.client import DEADLINE_S
from harness.served import Served


def openssl(*arguments, **more):
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, timeout=60, **more)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


class Authority:
    """Somebody who issues certificates."""

    def __init__(self, directory, name="authority"):
        self.directory, self.name = directory, name
        self.cert, self.key = directory / f"{name}.pem", directory / f"{name}-key.pem"
        openssl(
            *"req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30".split(),
            *("-keyout", self.key, "-out", self.cert, "-subj", f"/CN={name}"),
        )

    def issue(self, name, names=("localhost",), kind="ec", days=30, subject=None, is_issuer=False):
        """A certificate for `names`, as two files: the chain, and its key."""
        cert, key, request = (self.directory / f"{name}{end}" for end in (".pem", "-key.pem", ".csr"))
        new = {"ec": ["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"], "rsa": ["rsa:2048"]}[kind]
        openssl(*("req", "-newkey", *new, "-nodes", "-keyout", key, "-out", request, "-subj", subject or f"/CN={name}"))
        extensions = self.directory / f"{name}.ext"
        is_address = re.compile(r"[0-9.]+$").match
        listed = ",".join(f"IP:{one}" if is_address(one) else f"DNS:{one}" for one in names)
        more = "basicConstraints=CA:TRUE\n" if is_issuer else ""
        extensions.write_text(more + (f"subjectAltName={listed}\n" if names else "keyUsage=digitalSignature\n"))
        common = ("-CA", self.cert, "-CAkey", self.key, "-CAcreateserial", "-extfile", extensions)
        openssl("x509", "-req", "-in", request, "-out", cert, "-days", days, *common)
        return cert, key

    def issue_for(self, name, seconds):
        """A certificate for a client, as two files: it is valid for so many seconds. Gives when it ends, too."""
        cert, key, request, config = (self.directory / f"{name}{end}" for end in (".pem", "-key.pem", ".csr", "-ca.cnf"))
        openssl(*"req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes".split(), "-keyout", key, "-out", request, "-subj", f"/CN={name}")
        database = self.directory / f"{name}-issued.txt"
        database.write_text("")
        config.write_text(
            f"[ca]\ndefault_ca = a\n[a]\ndatabase = {database}\nnew_certs_dir = {self.directory}\nrand_serial = yes\n"
            "default_md = sha256\npolicy = p\nx509_extensions = e\n[p]\ncommonName = supplied\n[e]\nkeyUsage = digitalSignature\n"
        )
        end = time.time() + seconds
        ca = ("ca", "-config", config, "-cert", self.cert, "-keyfile", self.key)
        openssl(*ca, "-batch", "-notext", "-in", request, "-out", cert, "-enddate", stamp(end))
        return cert, key, end

    def revoke(self, *certs, days=30, until=None):
        """Its list of revoked certificates, up to date for so many days, or until that time, as a file."""
        ends = (".txt", ".cnf", "-crl.pem", ".number")
        database, config, revoked, number = (self.directory / f"{self.name}{end}" for end in ends)
        database.write_text("")
        number.write_text("01")
        (self.directory / f"{self.name}.txt.attr").write_text("")
        config.write_text(
            f"[ca]\ndefault_ca = a\n[a]\ndatabase = {database}\ncrlnumber = {number}\ndefault_md = sha256\n"
            "crl_extensions = e\n[e]\nauthorityKeyIdentifier = keyid:always\n"
        )
        ca = ("ca", "-config", config, "-cert", self.cert, "-keyfile", self.key)
        for cert in certs:
            openssl(*ca, "-revoke", cert)
        if until is not None:
            until = ("-crl_nextupdate", stamp(until))
        else:
            until = ("-crldays", days) if days > 0 else ("-crl_lastupdate", "20200101000000Z", "-crl_nextupdate", "20200102000000Z")
        openssl(*ca, "-gencrl", "-out", revoked, *until)
        return revoked


def stamp(seconds):
    """A time as openssl takes it."""
    return time.strftime("%Y%m%d%H%M%SZ", time.gmtime(seconds))


class TlsPollux(Served):
    """A Pollux with a control socket; what it listens on is at this machine."""

    def __init__(self, binary, directory, config, threads=2, listeners=1):
        directory.mkdir(exist_ok=True)
        super().__init__(binary, directory, CONTROL + config, ["--threads", threads], listeners=listeners)
        self.port = self.running.address[1]

    def cause(self, cause):
        """Waits until an exchange has ended for `cause`."""
        self.running.wait_for_stderr(f'cause="{cause}"')


CONTROL = 'control = "control"\n'


def pairs(*issued):
    return ", ".join(f'{{ cert = "{cert}", key = "{key}" }}' for cert, key in issued)


def listener(backend, *issued, extra="", more=""):
    return f"""
[[listener]]
bind = "127.0.0.1:0"
pool = "app"
tls = {{ certificates = [{pairs(*issued)}]{extra} }}
{more}
[pool.app]
backends = ["{backend.host_port}"]
"""


def curl(authority, port, *arguments, data=None, code=0, host="localhost", path="/"):
    command = ["curl", "--silent", "--show-error", "--noproxy", "*", "--max-time", "30", "--cacert", authority.cert]
    command += ["--resolve", f"{host}:{port}:127.0.0.1", *arguments, f"https://{host}:{port}{path}"]
    done = subprocess.run(list(map(str, command)), input=data, capture_output=True)
    assert done.returncode == code, done.stderr.decode()
    return done.stdout


def s_client(port, *arguments, say=b"Q\n"):
    """What `openssl s_client` prints, and its exit code."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", *map(str, arguments)]
    done = subprocess.run(command, input=say, capture_output=True, timeout=60)
    return (done.stdout + done.stderr).decode(errors="replace"), done.returncode


def context(authority, **more):
    made = ssl.create_default_context(cafile=authority.cert)
    for key, value in more.items():
        setattr(made, key, value)
    return made


def connect(authority, port, name="localhost", **more):
    raw = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S)
    return context(authority, **more).wrap_socket(raw, server_hostname=name)


class TlsBackend:
    """A backend that speaks TLS, by Python's ssl."""

    def __init__(self, cert, key, client_ca=None, version=None):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(cert, key)
        if version:
            self.context.maximum_version = version
        if client_ca:
            self.context.verify_mode = ssl.CERT_REQUIRED
            self.context.load_verify_locations(client_ca)
        self.names = []
        self.context.sni_callback = lambda conn, name, context: self.names.append(name)
        self.server = socket.create_server(("127.0.0.1", 0))
        self.host_port = "{}:{}".format(*self.server.getsockname())
        self.port = self.server.getsockname()[1]
        self.resumed, self.connections = 0, 0
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                conn, _ = self.server.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(conn,), daemon=True).start()

    def serve(self, raw):
        try:
            with self.context.wrap_socket(raw, server_side=True) as tls:
                self.connections += 1
                self.resumed += bool(tls.session_reused)
                subject = dict(pair[0] for pair in (tls.getpeercert() or {}).get("subject", ()))
                body = json.dumps(subject).encode()
                rest = b""
                while piece := tls.recv(65536):
                    rest += piece
                    while b"\r\n\r\n" in rest:
                        head, _, rest = rest.partition(b"\r\n\r\n")
                        close = b"/close" in head
                        tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%s\r\n" % (len(body), b"Connection: close\r\n" if close else b"") + body)
                        if close:
                            return
        except (ssl.SSLError, OSError):
            pass

    def close(self):
        self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()


def to_backend(address, tls):
    tls = f"tls = {{ {tls} }}\n" if tls else ""
    return f'[[listener]]\nbind = "127.0.0.1:0"\npool = "app"\n[pool.app]\nbackends = ["{address}"]\n{tls}'
