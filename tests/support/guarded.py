"""Memory between two pages that nobody may touch: a read beside it ends the process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

__all__ = ["needs_pages", "said"]

needs_pages = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="protects pages as Linux does"
)

_TESTS = Path(__file__).resolve().parents[1]
_PAGES = """
import ctypes, mmap
PAGE = mmap.PAGESIZE
SIZE = {pages} * PAGE
memory = mmap.mmap(-1, SIZE + 2 * PAGE)
first = ctypes.addressof(ctypes.c_char.from_buffer(memory))
protect = ctypes.CDLL(None, use_errno=True).mprotect
for at in (0, PAGE + SIZE):  # no access
    assert protect(ctypes.c_void_p(first + at), ctypes.c_size_t(PAGE), 0) == 0
"""


def said(script, pages, folder):
    """Return what a script prints in a process of its own; what went wrong, where it does not end.

    Parameters
    ----------
    script : str        finds `memory`, `SIZE` bytes from byte `PAGE` on, and its address, `first`
    pages : int         that may be touched
    folder : Path       whose modules it imports, too
    """
    paths = [folder, _TESTS, _TESTS.parent, *filter(None, sys.path)]
    done = subprocess.run(
        [sys.executable, "-c", _PAGES.format(pages=pages) + script],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() if done.returncode == 0 else f"{done.returncode}: {done.stderr}"
