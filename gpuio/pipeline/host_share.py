"""host_share="auto": the share at which a device's engines and the host's cores end together.

Batches are made on trial, by the way that all batches are made, and each call's work and seconds
are noted. What a side delivers then is the work that its threads would do if all of them were busy
all of the time; the next trial divides by it. A side that was not busy is taken for faster than it
is, which the next trial, where it is busier, sets right.

Invariant: nothing here reads a clock or makes a batch, so what is found is a function of samples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from gpuio.backend import Sample

__all__ = ["Rate", "find_share", "rate"]

_FIRST = 0.5  # share of the first trial
_WARM = 2  # batches of each trial that do not count: engines and memory are new to their size
_TRIALS = (4, 8, 12)  # batches
_STRAYS = 2.5  # times the median of seconds per work: calls slower than that do not count
_LEAST, _MOST = 0.01, 0.99  # 0 and 1 mean more than their share: one decoder


class Rate(NamedTuple):
    """What a side delivers per second: work, and images of the samples' mean work."""

    work: float
    images: float


def find_share(
    measure: Callable[[float, int], Sequence[Sample]], threads: int, engines: int
) -> tuple[float, str]:
    """Return the share of the host's cores, and why.

    Parameters
    ----------
    measure : callable      makes so many batches with a share, and returns a sample of each call
    threads : int           that decode on the host at once, >= 1
    engines : int           calls of engines at once, >= 1

    Returns
    -------
    float                   0.01 to 0.99, in steps of 0.001; 1 where no image is for an engine
    str                     what was found, to be logged
    """
    share, why = _FIRST, ""
    for batches in _TRIALS:
        measure(share, _WARM)
        samples = measure(share, batches)
        engine, host = rate(samples, "engine", engines), rate(samples, "host", threads)
        if engine is None:
            return 1.0, "no image of the first batches is one for the engine"
        if host is None:  # batches of very few images
            return _LEAST, "the batches have too few images to be divided"
        share = float(host.work / (host.work + engine.work))
        share = round(min(max(share, _LEAST), _MOST), 3)
        why = (
            f"the engine decodes {engine.images:,.0f} images/s, the host's cores {host.images:,.0f}"
        )
    return share, f"{why}, measured over {sum(_TRIALS)} batches"


def rate(samples: Sequence[Sample], side: str, calls: int) -> Rate | None:
    """Return what a side delivers if `calls` calls are at work all of the time.

    Calls far slower than the median do not count: they were interrupted, or found memory to be
    made.

    Returns
    -------
    Rate or None            None: there is no sample of that side
    """
    ours = [one for one in samples if one.side == side and one.work > 0 and one.seconds > 0]
    ours.sort(key=lambda one: one.seconds / one.work)
    if not ours:
        return None
    done = np.cumsum([one.work for one in ours])
    middle = ours[int(np.searchsorted(done, done[-1] / 2))]
    most = _STRAYS * middle.seconds / middle.work
    usual = [one for one in ours if one.seconds <= most * one.work]
    speed = calls / sum(one.seconds for one in usual)
    return Rate(speed * sum(one.work for one in usual), speed * sum(one.images for one in usual))
