"""A DNS server, dnsmasq, whose answers change."""

import os
import shutil
import socket
import subprocess
import threading
import time

READY_S_MAX = 10


def free_port():
    """A port of loopback that is free for datagrams and for connections."""
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams, socket.socket() as stream:
            datagrams.bind(("127.0.0.1", 0))
            try:
                stream.bind(datagrams.getsockname())
            except OSError:
                continue
            return datagrams.getsockname()[1]


class Dnsmasq:
    """`says(records)` has it answer with these, such as `host-record=app.test,127.0.0.1`; `stop()` and `says` end and begin it."""

    def __init__(self, directory):
        self._path = directory / "dnsmasq.conf"
        self._log = directory / "dnsmasq.log"
        self._process = None
        self.port = free_port()
        self.host_port = f"127.0.0.1:{self.port}"

    def says(self, *records):
        """It reads records when it starts, so another one takes its place, at the same port."""
        self.stop()
        settings = ["no-daemon", "log-queries", "no-resolv", "no-hosts", "local=/test/", "listen-address=127.0.0.1", "bind-interfaces"]
        settings += [f"port={self.port}", "pid-file=", f"user={'root' if os.geteuid() == 0 else ''}"]
        self._path.write_text("\n".join([*settings, *records, "txt-record=ready.test,yes"]) + "\n")
        # A daemon lives in sbin, which a plain user's PATH may lack.
        binary = shutil.which("dnsmasq", path=os.environ["PATH"] + ":/usr/sbin:/sbin")
        assert binary, "dnsmasq is missing: tests/setup installs it"
        with open(self._log, "ab") as log:
            command = [binary, f"--conf-file={self._path}"]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + READY_S_MAX
        while not self._answers():
            assert self._process.poll() is None and time.monotonic() < deadline, self._log.read_text()

    def stop(self):
        if self._process:
            self._process.kill()
            self._process.wait()
        self._process = None

    def log(self):
        return self._log.read_text(errors="replace")

    def _answers(self):
        query = b"\0\1\1\0\0\1\0\0\0\0\0\0\5ready\4test\0\0\x10\0\1"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(0.1)
            try:
                client.connect(("127.0.0.1", self.port))
                client.send(query)
                return b"yes" in client.recv(512)
            except OSError:
                return False


class Denying:
    """A server that has one address for every name, and denies the name (NXDOMAIN) where AAAA is asked for."""

    def __init__(self, address):
        self._address = address
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.host_port = "{}:{}".format(*self._socket.getsockname())
        self._asked = threading.Semaphore(0)
        self._serving = threading.Thread(target=self._serve)

    def __enter__(self):
        self._serving.start()
        return self

    def __exit__(self, *_):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ending:
            ending.sendto(b"", self._socket.getsockname())
        self._serving.join()
        self._socket.close()

    def wait_for_questions(self, count):
        for _ in range(count):
            assert self._asked.acquire(timeout=READY_S_MAX), "it is not asked any more"

    def _serve(self):
        while True:
            query, client = self._socket.recvfrom(4096)
            if not query:
                return
            # The question ends with the zero byte of the name, the type and the class.
            end = query.index(b"\0", 12) + 5
            question, kind = query[12:end], query[end - 4 : end - 2]
            is_known = kind == b"\0\1"
            flags = b"\x81\x80" if is_known else b"\x81\x83"
            answer = b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4" + self._address if is_known else b""
            counts = b"\0\1" + (b"\0\1" if is_known else b"\0\0") + b"\0\0\0\0"
            self._socket.sendto(query[:2] + flags + counts + question + answer, client)
            self._asked.release()
