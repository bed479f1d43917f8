"""What a process holds that it should give back."""

from __future__ import annotations

import gc
import threading
import time
from pathlib import Path

__all__ = ["held"]

_SETTLES_S = 0.1  # the system lists a thread that has ended for a moment


def held() -> dict[str, int]:
    """Return how many threads the process has, of Python's making and in all, and open files."""
    gc.collect()
    tasks = Path("/proc/self/task")
    count, begun = len(list(tasks.iterdir())), time.monotonic()
    while time.monotonic() < begun + _SETTLES_S:
        time.sleep(0.01)
        count = min(count, len(list(tasks.iterdir())))
    return {
        "python_threads": threading.active_count(),
        "threads": count,
        "files": len(list(Path("/proc/self/fd").iterdir())),
    }
