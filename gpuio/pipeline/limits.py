"""Why a consumer waits: one sentence that names what limits, and the option to try.

Shares are those of the time since the first batch was handed out, without what lay between epochs.
"""

from __future__ import annotations

from typing import Any

import attrs

__all__ = ["Limit", "find_limit"]

_FEWEST = 4  # batches after the first that a sentence can rest on
_WAITS = 0.05  # share of the time from which on waiting is worth a word
_BUSY = 0.75  # share of the time from which on a stage may be what limits
_BUSY_AT_ALL = 0.5  # and where nothing else explains the waiting
_HAND_OVER = 0.3
_PAUSES, _SLACK = 0.1, 0.15  # shares of the time: a consumer that lets threads idle, and measuring
_BORED = 0.5  # threads that are busy less than this could be fewer


@attrs.frozen
class Limit:
    """What limits.

    Attributes
    ----------
    stage : str         "storage", "reading", "headers", "plan", "decoding", "kernels", "mixing",
                        "hand-over", "look-ahead", "contention", "consumer" or "unknown"
    sentence : str
    options : dict      name to value of what to try, where the value is known
    """

    stage: str
    sentence: str
    options: dict[str, Any] = attrs.field(factory=dict)


def find_limit(found: dict[str, Any]) -> Limit:
    """Return what limits.

    Parameters
    ----------
    found : dict        of `gpuio.pipeline.measures`, with "can_cache", "wanted_threads", "together"
                        and "checks", which it is given, and "damaged": bad records were met
    """
    elapsed, batches = found["elapsed_s"], found["measured_batches"]
    if batches < _FEWEST or elapsed <= 0:
        return Limit(
            "unknown",
            f"too few batches to tell what limits: {batches} after the first one, of {_FEWEST}",
        )
    stages = found["stages"]
    if found["waits"] < _WAITS:
        if found["hand_overs"] > max(_HAND_OVER, found["consumes"]):
            return _hand_over(found)
        return _consumer(found)
    busy = {
        name: stages[name]["busy"] for name in ("reading", "making", "mixing") if name in stages
    }
    most = max(busy, key=lambda name: busy[name])
    if busy[most] < _BUSY:
        if found["hand_overs"] > _HAND_OVER:
            return _hand_over(found)
        if found["starved"] > found["waits"] / 2:
            return _reading(found)
        if _in_bursts(found):
            return _look_ahead(found)
        if busy[most] < _BUSY_AT_ALL:
            return _contention(found)
    if most == "reading":
        return _reading(found)
    return _making(found) if most == "making" else _mixing(found)


def _percent(share: float) -> str:
    return f"{100 * min(share, 1):.0f} %"


def _threads(count: int, were: bool = False) -> str:
    said = "1 thread" if count == 1 else f"{count} threads"
    return f"{said} {'was' if count == 1 else 'were'}" if were else said


def _consumer(found: dict[str, Any]) -> Limit:
    said = (
        f"your own code limits: gpuio waited for it {_percent(found['consumes'])} of the time, "
        f"with {found['look_ahead']['made']:.1f} of {found['look_ahead']['room']} batches ready "
        "when it asked"
    )
    busy = found["stages"]["making"]["busy"]
    if busy < _BORED and found["threads"] > 1:
        enough = max(1, min(found["threads"] - 1, round(busy * found["threads"] / _BUSY + 0.5)))
        said += f"; preprocess_threads={enough} would do"
        return Limit("consumer", said, {"preprocess_threads": enough})
    return Limit("consumer", said + "; no option makes it faster")


def _hand_over(found: dict[str, Any]) -> Limit:
    return Limit(
        "hand-over",
        f"handing over limits: {_percent(found['hand_overs'])} of the time, on your own thread: "
        "waiting for the device, replacing bad records, labels; look at the damage in report()",
    )


def _reading(found: dict[str, Any]) -> Limit:
    stages, busy = found["stages"], found["stages"]["reading"]["busy"]
    part = max(("read", "headers", "plan"), key=lambda name: stages[name]["seconds"])
    if part == "read" and found["reads_from_memory"]:
        return Limit(
            "reading",
            f"reading limits: its one thread is busy {_percent(busy)}, though the files are in "
            "memory; try a larger batch_size, or several iterators over parts (num_parts)",
        )
    if part == "read":
        rate = found["read_bytes_per_s"] / 1e6
        where = " and ".join(sorted(found["read_bytes"])) or "local"
        return Limit(
            "storage",
            f"storage limits: the reading thread is busy {_percent(busy)}, at {rate:.3g} MB/s from "
            f"{where} files; try a faster disk, or files copied to local disk or memory"
            f"{_cache(found)}",
        )
    if part == "headers":
        tries = ["checksum off"] if found["checks"] else []
        if found["damaged"] or (found["turbojpeg"] and found["decoders"].get("opencv", 0)):
            tries.append("a file without damaged or rare records")
        tries += ["a larger batch_size", "several iterators over parts (num_parts)"]
        return Limit(
            "headers",
            f"reading headers limits: its one thread is busy {_percent(busy)}; try "
            f"{', '.join(tries[:-1])}, or {tries[-1]}",
        )
    return Limit(
        "plan",
        f"drawing random numbers limits: its one thread is busy {_percent(busy)}; try fewer random "
        "options, or several iterators over parts (num_parts)",
    )


def _making(found: dict[str, Any]) -> Limit:
    stages, threads, cores = found["stages"], found["threads"], found["cores"]
    decodes = stages["decode"]["seconds"] >= stages["kernels"]["seconds"]
    what, stage = ("decoding limits", "decoding") if decodes else ("kernels limit", "kernels")
    said = f"{what}: {_threads(threads)} busy {_percent(stages['making']['busy'])}"
    if threads < min(found["wanted_threads"], cores):
        ahead = found["together"] * found["wanted_threads"]
        said += (
            f": batches are so small that {found['together']} are made as one; raise "
            f"prefetch_buffer to {ahead}, or batch_size"
        )
        return Limit(stage, said, {"prefetch_buffer": ahead})
    if threads < cores:
        said += f", and there are {cores} cores; raise preprocess_threads to {cores}"
        return Limit(stage, said + _cache(found, decodes), {"preprocess_threads": cores})
    said += f" on {cores} core{'s' if cores > 1 else ''}"
    used = found["cores_used"]
    if used is not None and used < 0.7 * cores:
        said += f", of which this process got {used:.1f}: others use the machine"
    if not decodes:
        return Limit(stage, said + "; try dtype='uint8' or fewer colour and geometry options")
    by = found["decoders"]
    slow = by.get("opencv", 0) > by.get("turbojpeg", 0) + by.get("own", 0)
    if slow and not found["turbojpeg"]:
        return Limit(stage, f"{said}; try pip install 'gpuio[turbo]'{_cache(found)}")
    return Limit(
        stage,
        f"{said}; try smaller images in the file, decode_scale='auto' for photos of many "
        f"megapixels{_cache(found)}",
    )


def _mixing(found: dict[str, Any]) -> Limit:
    busy = found["stages"]["mixing"]["busy"]
    return Limit(
        "mixing",
        f"mixing limits: its one thread is busy {_percent(busy)}; try mixup and cutmix on the "
        "device, or several iterators over parts (num_parts)",
    )


def _in_bursts(found: dict[str, Any]) -> bool:
    """Say whether the threads' idle time is that in which the consumer took nothing."""
    idle = 1 - found["stages"]["making"]["busy"]
    pauses: float = found["consumes"]
    return pauses >= _PAUSES and idle <= pauses + _SLACK


def _contention(found: dict[str, Any]) -> Limit:
    used, cores = found["cores_used"], found["cores"]
    got = "" if used is None else f"; this process got {used:.1f} of {cores} cores"
    small, options = _small(found)
    return Limit(
        "contention",
        f"gpuio's threads are kept from running: you waited {_percent(found['waits'])} of the time "
        f"while {_threads(found['threads'], True)} busy "
        f"{_percent(found['stages']['making']['busy'])}. {small or 'Other'} threads hold Python's "
        f"lock, or other processes the cores{got}",
        options,
    )


def _small(found: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Say that batches are small where several are made as one, and what to set; else nothing."""
    if found["together"] == 1:
        return "", {}
    ahead = found["together"] * found["wanted_threads"]
    if found["threads"] < min(found["wanted_threads"], found["cores"]):
        said, options = (
            f"raise prefetch_buffer to {ahead}, or batch_size",
            {"prefetch_buffer": ahead},
        )
    else:
        said, options = "raise batch_size", {}
    return f"Batches are small, and each is handed on by itself: {said}. Or other", options


def _look_ahead(found: dict[str, Any]) -> Limit:
    depth = found["prefetch_buffer"]
    idle = 1 - found["stages"]["making"]["busy"]
    wanted = max(4, 2 * depth)
    return Limit(
        "look-ahead",
        f"the look-ahead is too short: you waited {_percent(found['waits'])} of the time while "
        f"{_threads(found['threads'], True)} idle {_percent(idle)}, so batches are asked for in "
        f"bursts; raise prefetch_buffer from {depth} to {wanted}",
        {"prefetch_buffer": wanted},
    )


def _cache(found: dict[str, Any], wanted: bool = True) -> str:
    """Return the advice to cache, where that is an option, is off, and helps."""
    return ", or cache" if wanted and found["can_cache"] else ""
