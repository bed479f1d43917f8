"""How large a cache may be: bytes, a text with a unit, or a share of what is free."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["allowed_bytes", "free_memory", "free_on_disk"]

_MEMINFO = Path("/proc/meminfo")
_CGROUPS = Path("/sys/fs/cgroup")
_OWN_GROUP = Path("/proc/self/cgroup")
_UNLIMITED = 1 << 60  # version 1 says about 2^63 where there is no limit


def allowed_bytes(size: float, free: int) -> int:
    """Return the bytes that an option `cache_size` means.

    Parameters
    ----------
    size : int or float     bytes; or a share of what is free, above 0 to 1
    free : int              bytes
    """
    return int(size * free) if isinstance(size, float) else size


def free_memory() -> int:
    """Return the bytes of memory that this process may still take without swapping.

    What the system has available, or what the process's control groups leave, if that is less.
    """
    free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        for line in _MEMINFO.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                free = int(line.split()[1]) << 10
    except (OSError, ValueError, IndexError):
        pass
    return max(0, min([free, *_left_by_groups()]))


def free_on_disk(folder: str) -> int:
    """Return the bytes that may be written below a folder; OSError if it is not there."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def _left_by_groups() -> Iterator[int]:
    """Yield the bytes that control groups leave: limit, less what is used and not page cache."""
    for limit, used, inactive in _group_files():
        try:
            most = limit.read_text().strip()
            if most == "max" or int(most) > _UNLIMITED:
                continue
            yield int(most) - int(used.read_text()) + _inactive(inactive)
        except (OSError, ValueError):
            continue  # no limit that we can read


def _inactive(stat: Path) -> int:
    """Return the bytes of page cache that a group gives back when it is asked for memory."""
    for line in stat.read_text().splitlines():
        name, _, value = line.partition(" ")
        if name in ("inactive_file", "total_inactive_file"):
            return int(value)
    return 0


def _group_files() -> Iterator[tuple[Path, Path, Path]]:
    """Yield (limit, usage, statistics) of this process's groups and of those round them."""
    try:
        lines = _OWN_GROUP.read_text().splitlines()
    except OSError:
        lines = []
    paths = {"": "", "memory": ""}
    for line in lines:
        controllers, _, path = line.partition(":")[2].partition(":")
        if controllers in paths:
            paths[controllers] = path
    for controllers, path in paths.items():
        root = _CGROUPS / controllers if controllers else _CGROUPS
        limit, used = "memory.max", "memory.current"
        if controllers:
            limit, used = "memory.limit_in_bytes", "memory.usage_in_bytes"
        parts = [part for part in path.strip("/").split("/") if part and part != ".."]
        for depth in range(len(parts) + 1):
            folder = root.joinpath(*parts[:depth])
            yield folder / limit, folder / used, folder / "memory.stat"
