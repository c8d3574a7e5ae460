"""What is built before a measurement, and where it lies."""

import os
import pathlib
import shutil
import subprocess

from .processes import BenchError, tool

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
FLOOR = ROOT / "bench" / "floor.c"


def build(*packages):
    command = [tool("cargo"), "build", "--release", "--quiet"]
    for package in packages:
        command += ["-p", package]
    if subprocess.run(command, cwd=ROOT).returncode != 0:
        raise BenchError("the release build failed")


def target_directory():
    return ROOT / os.environ.get("CARGO_TARGET_DIR", "target")


def built(name):
    path = target_directory() / "release" / name
    if not path.exists():
        raise BenchError(f"{path} is not there: leave out --no-build")
    return str(path)


def build_floor():
    """Compiles the blind relay; returns its path, or None without a compiler."""
    if shutil.which("cc") is None:
        return None
    path = target_directory() / "bench" / "floor"
    path.parent.mkdir(parents=True, exist_ok=True)
    command = ["cc", "-O2", "-Wall", "-o", str(path), str(FLOOR)]
    if subprocess.run(command).returncode != 0:
        raise BenchError("cc could not compile bench/floor.c")
    return str(path)
