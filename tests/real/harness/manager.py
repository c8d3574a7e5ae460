"""A service manager as systemd is one for Type=notify: it hears what a process says, and when."""

import socket
import threading
import time

from harness.client import DEADLINE_S


class Manager:
    """`environment` is for the process that it watches. It wants to hear of it every `watchdog_s` seconds."""

    def __init__(self, directory, watchdog_s=2):
        path = str(directory / "notify")
        self.watchdog_s = watchdog_s
        self.environment = {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": str(watchdog_s * 1_000_000)}
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(path)
        self._heard = []
        self._news = threading.Condition()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        while True:
            text = self._socket.recv(4096).decode()
            with self._news:
                self._heard.append((time.monotonic(), text))
                self._news.notify_all()

    def wait_for(self, text, after=0.0):
        """When it was first said after that moment, and the whole of it."""
        deadline = time.monotonic() + DEADLINE_S
        with self._news:
            while True:
                for at, said in self._heard:
                    if at > after and text in said:
                        return at, said
                assert self._news.wait(deadline - time.monotonic()), f"{text!r} was not said: {self._heard}"

    def gap(self):
        """The longest time between two `WATCHDOG=1`, up to now, or to the end that was announced."""
        with self._news:
            heard = list(self._heard)
        beats = [at for at, said in heard if "WATCHDOG=1" in said]
        end = next((at for at, said in heard if "STOPPING=1" in said), time.monotonic())
        assert beats, heard
        return max(later - earlier for earlier, later in zip(beats, [*beats[1:], end]))

    def is_content(self):
        """The manager would have killed a process that it did not hear of for so long."""
        assert self.gap() < self.watchdog_s, self._heard
