"""What stats() tells of time: from raw seconds to stages, rates, and what limits."""

from __future__ import annotations

from typing import Any

import attrs

from gpuio.decode import turbojpeg
from gpuio.pipeline.limits import find_limit
from gpuio.pipeline.stats import Since

__all__ = ["STAGES", "measures"]

# seconds per batch and per image that reading files in memory takes at most, beside so many bytes
# per second
_BATCH_S, _READ_S, _BYTES_PER_S = 300e-6, 30e-6, 1e9

STAGES = (  # in a batch's order; "reading" and "making" are the sums of those behind them
    *("reading", "read", "headers", "plan"),
    *("making", "decode", "kernels", "mixing", "hand_over"),
)


def measures(
    since: Since,
    *,
    threads: int,
    wanted_threads: int,
    prefetch_buffer: int,
    together: int,
    cores: int,
    mixes: bool,
    fetches: bool = False,
    can_cache: bool = False,
    checks: bool = False,
) -> dict[str, Any]:
    """Return what was measured, as JSON types.

    Parameters
    ----------
    since : Since
    threads : int               that make batches
    wanted_threads : int        that were asked for
    prefetch_buffer : int
    together : int              batches that are made as one: 1, but of small ones
    cores : int                 that the process may use
    mixes : bool                a thread of its own mixes
    fetches : bool              threads of their own fetch what the reading thread parses
    can_cache : bool            decoded images could be kept, and are not
    checks : bool               records are checked against checksums

    Returns
    -------
    dict
        elapsed_s               since the first batch was handed out, less the time between epochs
        measured_batches        handed out since then
        waits, consumes, hand_overs, starved
                                shares of it: waiting for a batch; your own code; handing over; a
                                making thread waiting for records
        between_epochs_s        from an epoch's last batch until the next one is asked for
        images_per_s, read_bytes_per_s
        stages                  name to {"seconds": in all, summed over threads; "threads"; "busy":
                                share of elapsed_s and threads; "images_per_s": of all its threads,
                                where nothing holds them up; None where nothing was measured}
        look_ahead              {"read": batches that stood read when one was asked for, "made";
                                "room": for made ones}
        threads, prefetch_buffer, cores, cores_used
        decoders                images by decoder: "own" (gpuio itself), "turbojpeg",
                                "opencv", "engine"
        read_bytes              by storage
        reads_from_memory       files are read as fast as memory gives them
        turbojpeg               whether it can be used
        limit                   {"stage", "sentence", "options"}
    """
    now = _stages(since.since, fetches=fetches)
    consumer, between = since.since["consumer_s"], since.since["between_s"]
    if since.single:  # then that is the consumer's time
        consumer, between = consumer + between, 0.0
    elapsed = since.since["asked_s"] + consumer
    per = 1 / elapsed if elapsed > 0 else 0.0
    passed = since.since["asked_s"] + since.since["consumer_s"] + since.since["between_s"]
    # their number may have changed meanwhile
    mean = since.since["thread_s"] / passed if passed > 0 and since.since["thread_s"] else threads
    count: dict[str, float] = dict.fromkeys(STAGES, 1)
    count |= dict.fromkeys(("making", "decode", "kernels"), mean)
    batches, images, stages = int(since.since["batches"]), since.since["images"], {}
    for name, seconds in _stages(since.totals, fetches=fetches).items():
        if name == "mixing" and not mixes:
            continue
        free = now[name] / count[name]
        now_count = threads if name in ("making", "decode", "kernels") else 1
        stages[name] = {
            "seconds": seconds,
            "threads": now_count,
            "busy": min(1.0, free * per),
            "images_per_s": images / now[name] * now_count if now[name] > 0 < images else None,
        }
    file_s = since.since["fetch_s" if fetches else "file_s"]
    found: dict[str, Any] = {
        "elapsed_s": elapsed,
        "measured_batches": batches,
        "waits": since.since["wait_s"] * per,
        "consumes": consumer * per,
        "hand_overs": now["hand_over"] * per,
        "starved": since.since["starved_s"] * per,
        "between_epochs_s": between,
        "images_per_s": images * per,
        "read_bytes_per_s": since.since["read_bytes"] / file_s if file_s > 0 else 0.0,
        "stages": stages,
        "look_ahead": {
            **{kind: since.since[f"ready_{kind}"] / max(batches, 1) for kind in ("read", "made")},
            "room": together * max(prefetch_buffer // together, 1),
        },
        "threads": threads,
        "prefetch_buffer": prefetch_buffer,
        "cores": cores,
        "cores_used": since.cores_used,
        "decoders": since.decoders,
        "read_bytes": since.read_bytes,
        "reads_from_memory": now["read"]
        <= batches * _BATCH_S + images * _READ_S + since.since["read_bytes"] / _BYTES_PER_S,
        "turbojpeg": turbojpeg.status().usable,
    }
    hints = {"can_cache": can_cache, "wanted_threads": wanted_threads, "together": together}
    hints |= {"checks": checks, "damaged": since.totals["faults"] > 0}
    found["limit"] = attrs.asdict(find_limit({**found, **hints}))
    return found


def _stages(seconds: dict[str, float], *, fetches: bool) -> dict[str, float]:
    """Return the seconds of each stage."""
    reading, making = seconds["read_s"], seconds["make_s"]
    files = seconds["fetched_s" if fetches else "file_s"]
    made = {
        "reading": reading,
        "read": files,
        "headers": reading - files - seconds["plan_s"],
        "plan": seconds["plan_s"],
        "making": making,
        "decode": seconds["decode_s"],
        "kernels": seconds["kernels_s"],
        "mixing": seconds["mix_s"],
        "hand_over": seconds["asked_s"] - seconds["wait_s"],
    }
    return {name: max(0.0, made[name]) for name in STAGES}
