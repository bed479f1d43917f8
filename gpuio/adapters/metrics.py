"""What an iterator measured, as numbers by name: for whoever has a monitoring of their own."""

from __future__ import annotations

from typing import Any

from gpuio.errors import OptionError

__all__ = ["COUNTERS", "GAUGES", "metrics"]

# name: (what it counts, the label that what follows a dot is); counters only grow
COUNTERS = {
    "batches": ("batches handed out", ""),
    "images": ("images handed out, without padding", ""),
    "encoded_bytes": ("bytes of encoded images read", ""),
    "bad_records": ("records that could not be used", ""),
    "decoded_with_warnings": ("images that were decoded with a warning", ""),
    "cut_short": ("JPEGs without their end that were accepted", ""),
    "bad_boxes": ("wrong boxes met", ""),
    "wait_seconds": ("seconds in which the consumer waited for a batch", ""),
    "stage_seconds": ("seconds of a stage, summed over its threads", "stage"),
    "read_bytes": ("bytes read from a storage", "storage"),
    "cache_hits": ("records whose pixels a cache had", ""),
    "cache_misses": ("records whose pixels a cache did not have", ""),
    "decoded_images": ("images decoded by a decoder", "decoder"),
}
GAUGES = {
    "cache_bytes": ("bytes that a cache holds", ""),
    "threads": ("threads that make batches", ""),
    "ready_batches": ("batches ready when one is asked for, mean", "kind"),
    "busy_ratio": ("share of the time in which a stage's threads are busy", "stage"),
    "wait_ratio": ("share of the time in which the consumer waits", ""),
    "images_per_second": ("images handed out per second", ""),
}


def metrics(iterator: Any) -> dict[str, float]:
    """Return what an iterator measured.

    Parameters
    ----------
    iterator : ImageRecordIter, or any other that has `stats()`

    Returns
    -------
    dict of str to float
        names of `COUNTERS` and `GAUGES`; where they have a label, its value follows a dot:
        ``stage_seconds.decode``. With stats=False the counts and ``wait_seconds`` alone

    Raises
    ------
    OptionError             the iterator has no `stats()`
    """
    if not hasattr(iterator, "stats"):
        raise OptionError(
            f"{type(iterator).__name__} has no stats(): expected a record iterator, such as "
            "ImageRecordIter; of an iterator around one give the inner one"
        )
    stats = iterator.stats()
    found: dict[str, float] = {
        "batches": stats["batches"],
        "images": stats["images"],
        "encoded_bytes": stats["encoded_bytes"],
        "bad_records": stats["faults"],
        "decoded_with_warnings": stats["decoded_with_warnings"],
        "cut_short": stats["cut_short"],
        "bad_boxes": stats["bad_boxes"],
        "wait_seconds": stats["wait_s"],
    }
    if cache := stats.get("cache"):
        found |= {f"cache_{name}": cache[name] for name in ("hits", "misses", "bytes")}
    if "stages" not in stats:
        return found
    for name, one in stats["stages"].items():
        found[f"stage_seconds.{name}"] = one["seconds"]
        found[f"busy_ratio.{name}"] = one["busy"]
    for storage, count in stats["read_bytes"].items():
        found[f"read_bytes.{storage}"] = count
    for decoder, count in stats["decoders"].items():
        found[f"decoded_images.{decoder}"] = count
    for kind, count in stats["look_ahead"].items():
        found[f"ready_batches.{kind}"] = count
    found["threads"] = stats["threads"]
    found["wait_ratio"] = stats["waits"]
    found["images_per_second"] = stats["images_per_s"]
    return found
