"""A headless Chromium, told what to do over the DevTools protocol."""

import base64
import contextlib
import json
import os
import re
import shutil
import subprocess
import time

from websockets.sync.client import connect

DEADLINE_S = 20


def believe(home, issuers, certificates):
    """Makes the database in which a browser of this user looks whom to trust."""
    database = home / ".pki/nssdb"
    database.mkdir(parents=True)

    def certutil(*arguments):
        subprocess.run(["certutil", "-d", f"sql:{database}", *map(str, arguments)], check=True, timeout=DEADLINE_S, capture_output=True)

    certutil("-N", "--empty-password")
    for trust, files in [("C,,", issuers), ("P,,", certificates)]:
        for file in files:
            certutil("-A", "-t", trust, "-n", file.name, "-i", file)


class Chromium:
    """One browser with one page; `complaints` has what its console and its log say of errors, `secured` by URL how it was got.

    It trusts the certificates of issuers, and the very certificates, that it is given; nobody else who is not known to the world.
    """

    def __init__(self, directory, *, issuers=(), certificates=()):
        home = directory / "home"
        believe(home, issuers, certificates)
        program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        assert program, "chromium is not installed: run tests/setup"
        command = [program, "--headless=new", "--remote-debugging-port=0", f"--user-data-dir={directory / 'profile'}"]
        command += ["--no-first-run", "--no-default-browser-check", "--disable-gpu", "--hide-scrollbars", "--disable-dev-shm-usage"]
        command += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
        if os.geteuid() == 0:
            command.append("--no-sandbox")
        self.stderr = directory / "chromium.stderr"
        with open(self.stderr, "wb") as stderr:
            self.process = subprocess.Popen(
                [*command, "about:blank"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                env={**os.environ, "HOME": str(home)},
            )
        self.complaints, self.secured, self._number, self._session = [], {}, 0, None
        self._open = contextlib.ExitStack()
        try:
            self._socket = self._open.enter_context(connect(self._endpoint(), proxy=None, max_size=64 << 20, max_queue=None, ping_interval=None))
            [target] = [one for one in self._do("Target.getTargets")["targetInfos"] if one["type"] == "page"]
            self._session = self._do("Target.attachToTarget", targetId=target["targetId"], flatten=True)["sessionId"]
            for domain in ["Page", "Runtime", "Log", "Network"]:
                self._do(f"{domain}.enable")
        except BaseException:
            self.close()
            raise

    def _endpoint(self):
        deadline = time.monotonic() + DEADLINE_S
        while not (found := re.search(r"DevTools listening on (ws://\S+)", self.stderr.read_text(errors="replace"))):
            assert time.monotonic() < deadline and self.process.poll() is None, self.stderr.read_text(errors="replace")
            time.sleep(0.02)
        return found[1]

    def _do(self, method, **parameters):
        """The result of a command; events that come before it are looked at."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._socket.send(json.dumps(message))
        while True:
            answer = json.loads(self._socket.recv(timeout=DEADLINE_S))
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer)
                return answer["result"]
            self._note(answer)

    def _note(self, event):
        method, told = event.get("method"), event.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.complaints.append(told["exceptionDetails"].get("exception", {}).get("description") or told["exceptionDetails"]["text"])
        elif method == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning", "assert"):
            self.complaints.append(" ".join(str(one.get("value", one.get("description"))) for one in told["args"]))
        elif method == "Log.entryAdded" and told["entry"]["level"] in ("error", "warning"):
            self.complaints.append(f"{told['entry']['text']} {told['entry'].get('url', '')}")
        elif method == "Network.responseReceived":
            self.secured[told["response"]["url"]] = told["response"].get("securityDetails")

    def look_like(self, *, width=1440, height=900, scheme="light", is_phone=False):
        self._do("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=2 if is_phone else 1, mobile=is_phone)
        self._do("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def failure_to_open(self, url):
        """Why the page cannot be opened, in the words of the browser, such as `net::ERR_CERT_DATE_INVALID`."""
        return self._do("Page.navigate", url=url).get("errorText")

    def open(self, url):
        assert self.failure_to_open(url) is None
        self.wait_for("document.readyState === 'complete'")

    def evaluate(self, script):
        result = self._do("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True, userGesture=True)
        assert "exceptionDetails" not in result, (script, result["exceptionDetails"])
        return result["result"].get("value")

    def wait_for(self, script):
        """Waits until the script says yes."""
        deadline = time.monotonic() + DEADLINE_S
        while not self.evaluate(f"Boolean({script})"):
            assert time.monotonic() < deadline, f"never: {script}; complaints: {self.complaints}"
            time.sleep(0.02)

    def click(self, selector):
        """A click of a mouse in the middle of what the selector finds."""
        self.wait_for(f"document.querySelector({json.dumps(selector)})")
        box = self.evaluate(
            f"(() => {{ const it = document.querySelector({json.dumps(selector)}); it.scrollIntoView({{ block: 'center' }});"
            " const box = it.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]; })()"
        )
        for kind in ["mouseMoved", "mousePressed", "mouseReleased"]:
            count = 0 if kind == "mouseMoved" else 1
            self._do("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left" if count else "none", clickCount=count)

    def hover(self, selector):
        box = self.evaluate(
            f"(() => {{ const box = document.querySelector({json.dumps(selector)}).getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]; }})()"
        )
        self._do("Input.dispatchMouseEvent", type="mouseMoved", x=box[0], y=box[1])

    def press(self, key):
        codes = {"Tab": 9, "Enter": 13, "Escape": 27, " ": 32}
        text = {"Enter": "\r", " ": " "}.get(key, key if len(key) == 1 else None)
        for kind in ["keyDown", "keyUp"]:
            more = {"text": text} if text and kind == "keyDown" else {}
            self._do("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=codes.get(key, ord(key[0].upper())), **more)

    def type(self, text):
        self._do("Input.insertText", text=text)

    def screenshot(self, path, *, whole=False):
        more = {}
        if whole:
            size = self._do("Page.getLayoutMetrics")["cssContentSize"]
            more = {"captureBeyondViewport": True, "clip": {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(self._do("Page.captureScreenshot", format="png", **more)["data"]))

    def close(self):
        self._open.close()
        self.process.kill()
        self.process.wait()
