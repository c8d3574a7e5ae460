"""The machine and the programs of a measurement, and how its cores are shared out."""

import os
import platform
import re
import subprocess
import sys

from .build import ROOT


def share_cores(threads):
    """Cores for the proxy and for the load with the backend: apart while there are enough."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) <= threads:
        print("note: too few cores to keep the proxy and the load apart", file=sys.stderr)
    return cores[:threads], cores[min(threads, len(cores) - 1)]


def describe():
    return {
        "cpu": cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "system": system_name(),
        "load_average": f"{os.getloadavg()[0]:.2f}",
    }


def cpu_model():
    with open("/proc/cpuinfo") as cpuinfo:
        text = cpuinfo.read()
    model = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    virtual = " (in a virtual machine)" if re.search(r"^flags\s*:.*\bhypervisor\b", text, re.MULTILINE) else ""
    return (model[1] if model else platform.processor() or "unknown") + virtual


def system_name():
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "unknown")
    except OSError:
        return "unknown"


def versions(contenders, tools):
    """{program: version}"""
    commands = {name: contender.version(tools) for name, contender in contenders.items()}
    # A variant is the same program with other options.
    commands = {name: command for name, command in commands.items() if command}
    distinct = {tuple(command): name for name, command in reversed(commands.items())}
    found = {name: first_version(commands[name]) for name in commands if name in distinct.values()}
    found |= {"wrk": first_version(["wrk", "-v"]), "rustc": first_version(["rustc", "--version"])}
    found |= {"cc": first_version(["cc", "--version"]), "Python": platform.python_version()}
    return found


def first_version(command):
    """The first version in what the command says of itself."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    # Its own path may hold a version too.
    said = (done.stdout + done.stderr).replace(command[0], "")
    word = re.search(r"\d+\.\d+[^\s(),/]*", said)
    return word[0] if word else "unknown"


def git_revision():
    """Which sources these are, and whether they differ from what is committed."""
    try:
        command = ["git", "--no-optional-locks", "describe", "--always", "--dirty", "--abbrev=12"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
