"""Which options to set for a measured file, and why: from the numbers of `gpuio bench` alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gpuio.storage.urls import is_url

__all__ = ["advise", "chosen", "kept"]

_ENOUGH = 0.97  # share of the best rate that is as good as the best
_BOUND = 0.8  # share of the bare decoding's rate from which on decoding limits
_GAIN = 1.2  # times the rate, from which on a cache is worth its memory
_MEMORY = 0.5  # share of the free memory that it may take
_FEW_BYTES = 1 << 20  # of a file that comes by a read or two: what those take is no rate
_SHRINKS = 4.0  # pixels of an image per pixel of the output, from which on smaller ones save much
_EIGHTHS = 128.0  # from which on most are decoded at 1/8, which alone is faster than in full


def chosen(rates: Mapping[int, dict[str, float]]) -> int:
    """Return the smallest setting whose rate is as good as the best, by medians.

    Parameters
    ----------
    rates : dict        setting to its quartiles
    """
    best = max(one["median"] for one in rates.values())
    return min(value for value, one in rates.items() if one["median"] >= _ENOUGH * best)


def kept(rates: Mapping[int, dict[str, float]], current: int) -> int:
    """Return the current setting where no other is faster beyond the noise; else one that is.

    Two settings are told apart where their quartiles do not overlap. Of those that are not told
    from the best the smallest is taken.

    Parameters
    ----------
    rates : dict        setting to its quartiles
    current : int       one of them
    """
    best = max(rates.values(), key=lambda one: one["median"])
    group = [value for value, one in rates.items() if one["q3"] >= best["q1"]]
    return current if current in group else min(group)


def advise(found: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return options to set, and sentences that say why.

    Parameters
    ----------
    found : dict        what `gpuio bench` measured: "facts", "storage", "bare_decode", "threads",
                        "prefetch", "cache", "met", "options", and "path"
    """
    options: dict[str, Any] = {}
    lines: list[str] = []
    threads = chosen({int(n): one["images_per_s"] for n, one in found["threads"].items()})
    options["preprocess_threads"] = threads
    rate = found["threads"][str(threads)]["images_per_s"]["median"]
    lines.append(f"preprocess_threads={threads}: {rate:,.0f} images/s")
    options["prefetch_buffer"], line = _on_prefetch(found)
    lines.append(line)
    best = max(one["images_per_s"]["median"] for one in found["threads"].values())
    kept = _on_cache(found)
    if kept is not None:
        options |= kept[0]
        lines.append(kept[1])
    for rule in _RULES:
        said = rule(found, best)
        if said:
            lines.append(said)
    return options, lines


def _on_prefetch(found: dict[str, Any]) -> tuple[int, str]:
    """Return how many batches ahead to set, and why."""
    rates = {int(number): one["images_per_s"] for number, one in found["prefetch"].items()}
    current = found["options"]["prefetch_buffer"]
    ahead = kept(rates, current)
    if ahead == current:
        why = "no other number is faster beyond the noise"
    else:
        times = rates[ahead]["median"] / rates[current]["median"]
        why = f"{times:.2f} times the rate with {current}"
    return ahead, f"prefetch_buffer={ahead}: {why}; raise it if your steps differ in length"


def _on_cache(found: dict[str, Any]) -> tuple[dict[str, Any], str] | None:
    """Return what to set for a cache, and why; None where there is none, or it gains little."""
    cache = found["cache"]
    if cache is None or cache["second_epoch"]["q1"] < _GAIN * cache["off"]["q3"]:
        return None
    times = cache["second_epoch"]["median"] / cache["off"]["median"]
    size, free = found["facts"]["decoded_bytes"], found["facts"]["free_memory_bytes"]
    said = f"from the second epoch on {times:.1f} times the rate; {size / 1e9:,.1f} GB"
    if size <= _MEMORY * free:
        return {"cache": "host"}, f"cache='host': {said} of memory"
    return {}, (
        f"a cache: {said}, more than {_MEMORY:.0%} of the free memory ({free / 1e9:,.1f} GB): "
        "cache='disk' with a cache_dir on a fast disk, or cache='host' for a part of it"
    )


def _on_storage(found: dict[str, Any], best: float) -> str:
    """Say whether the storage gives records as fast as they are used."""
    first = found["storage"]["first_records_per_s"]
    if first >= 1.5 * best or found["facts"]["bytes"] < _FEW_BYTES:
        return ""
    if is_url(found.get("path", "")) and found["storage"]["again_records_per_s"] >= 1.5 * best:
        return (
            f"the network gave {first:,.0f} records/s, and {best:,.0f} images/s are made: an epoch "
            "waits for it until all of the file is in memory, later ones do not"
        )
    return (
        f"storage gave {first:,.0f} records/s out of the page cache, and {best:,.0f} images/s are "
        "made: copy the file to a local disk or to memory, or read in order (shuffle_chunk_size)"
    )


def _on_decoding(found: dict[str, Any], best: float) -> str:
    """Say how far the iterator is from bare decoding."""
    bare = max(one["median"] for one in found["bare_decode"].values())
    if best < _BOUND * bare or not bare:  # 0: no image decodes
        return ""
    return (
        f"decoding limits: the iterator gives {best / bare:.0%} of decoding whole images alone; "
        "more cores, or not decoding again, is all that helps"
    )


def _on_size(found: dict[str, Any], best: float) -> str:
    """Say whether images are much larger than what is made of them."""
    del best
    _, height, width = found["options"]["data_shape"]
    ratio = found["facts"]["mean_pixels"] / (height * width)
    if ratio < _SHRINKS or found["options"].get("decode_scale", "off") != "off":
        return ""
    said = f"images have {ratio:.0f} times the pixels of what is made of them: "
    if ratio < _EIGHTHS:
        return f"{said}repack them smaller (gpuio im2rec --resize; it changes pixels)"
    return (
        f"{said}decode_scale='auto' decodes less (it changes pixels), or repack them smaller "
        "(gpuio im2rec --resize)"
    )


def _on_damage(found: dict[str, Any], best: float) -> str:
    """Say that the file is damaged."""
    del best
    facts, met = found["facts"], found["met"]["faults"]
    if not (facts["unusable_of_these"] or facts["ranges_skipped"] or met):
        return ""
    return (
        "the file has damage: set on_error='skip' (and resync=True without an index), or mend it "
        "(gpuio verify, gpuio repair)"
    )


_RULES: tuple[Callable[[dict[str, Any], float], str], ...] = (
    _on_storage,
    _on_decoding,
    _on_size,
    _on_damage,
)
