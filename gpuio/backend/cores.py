"""How many cores this process may use: fewer than the machine has, in most containers."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["usable_cores"]

_CGROUPS = Path("/sys/fs/cgroup")
_OWN_GROUP = Path("/proc/self/cgroup")


def usable_cores() -> int:
    """Return the cores that the affinity and the quotas of the control groups leave; 1 at least.

    A part of a core counts as one. Source: the kernel's documentation, cgroup-v2, ``cpu.max``, and
    cgroup-v1, ``cpu.cfs_quota_us``.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, min([cores, *(math.ceil(quota) for quota in _quotas())]))


def _quotas() -> Iterator[float]:
    """Yield the limits in cores of this process's control group and of those round it."""
    for folder in _groups():
        try:
            if (folder / "cpu.max").exists():
                quota, period = (folder / "cpu.max").read_text().split()
            else:
                quota = (folder / "cpu.cfs_quota_us").read_text().strip()
                period = (folder / "cpu.cfs_period_us").read_text().strip()
            if quota not in ("max", "-1"):
                yield int(quota) / int(period)
        except (OSError, ValueError, ZeroDivisionError):
            continue  # no limit that we can read


def _groups() -> Iterator[Path]:
    """Yield the folders of this process's control groups, from the root down."""
    try:
        lines = _OWN_GROUP.read_text().splitlines()
    except OSError:
        lines = []
    roots = {"": _CGROUPS, "cpu": _CGROUPS / "cpu", "cpu,cpuacct": _CGROUPS / "cpu,cpuacct"}
    for controllers, root in roots.items():
        yield root
        for line in lines:
            named, _, path = line.partition(":")[2].partition(":")
            if named == controllers:
                folder = root
                for part in path.strip("/").split("/"):
                    if part and part != "..":
                        folder /= part
                        yield folder
