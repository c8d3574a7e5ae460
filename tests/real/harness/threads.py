"""The threads of a process, as /proc shows them (proc(5))."""

import contextlib
from pathlib import Path


def statuses_of(pid):
    """The number and the status of each thread. One may end while this looks, such as one that reads files at the start."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            yield int(task.name), (task / "status").read_text()
