"""Threads and files that are left: what was there before, and what others close, does not count."""

import collections
import contextlib
import gc
import os
import threading
import time

from gpuio.finalizing import finish

PATIENCE_S = 60.0  # a collection waits for threads a second; then they end by themselves


def open_files():
    """Return how often each file, pipe or socket of this process is open, by its name."""
    found = collections.Counter()
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the listing's own
            found[os.readlink(f"/proc/self/fd/{fd}")] += 1
    return found


def threads(prefix=""):
    """Return the living threads whose name begins so."""
    return {thread for thread in threading.enumerate() if thread.name.startswith(prefix)}


def left(before=frozenset(), prefix=""):
    """Collect; return the names of threads that were not there before, and do not end."""
    gc.collect()
    finish()
    ends = time.monotonic() + PATIENCE_S
    while (new := threads(prefix) - before) and time.monotonic() < ends:
        time.sleep(0.001)
    return sorted(thread.name for thread in new)


__all__ = ["left", "open_files", "threads"]
