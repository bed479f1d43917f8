"""``gpuio bench``: what a record file gives on this machine, what limits, and which options to set.

The file is opened as a training would: shuffled, photos as random resized crops of 224 pixels,
small images of one size as they are, boxes with their images; ``--set`` changes that.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import time
from os.path import expanduser
from typing import Any

from gpuio.errors import OptionError
from gpuio.storage.atomic import check_target
from gpuio.tools.advice import advise, chosen
from gpuio.tools.arguments import at_least
from gpuio.tools.measuring import Run, Subject
from gpuio.tools.progress import add_progress, progress

__all__ = ["add_arguments", "measure", "run"]

EXAMPLES = (
    "gpuio bench train.rec",
    "gpuio bench train.rec --set resize=256 --plot rates.png",
)
EXITS = {1: "no record that was looked at is an image"}

_SECONDS = 40  # of measuring
_ROUNDS = 5  # of each way
_AHEAD = (1, 2, 4, 8)
# shares of the time
_STORAGE, _DECODE, _THREADS, _PREFETCH, _CACHE = 0.1, 0.15, 0.35, 0.25, 0.15


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("record", metavar="FILE", type=expanduser, help="the .rec file")
    parser.add_argument("--idx", type=expanduser, help="its .idx file; default: the one beside it")
    parser.add_argument(
        "--set",
        action="append",
        metavar="NAME=VALUE",
        dest="options",
        help="an option of the iterator (gpuio options); may be given several times",
    )
    parser.add_argument("--batch-size", type=at_least(1), help="default: 64, or all records")
    parser.add_argument(
        "--threads", help="numbers of threads, with commas; default: 1, 2, 4, ... to all cores"
    )
    parser.add_argument(
        "--seconds",
        type=at_least(1),
        default=_SECONDS,
        help="to measure for, about; a file of "
        "large images takes longer, as each way is measured once at least",
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.add_argument("--plot", type=expanduser, metavar="PATH", help="draw a chart; .png, .svg")
    add_progress(parser)


def run(args: argparse.Namespace) -> int:
    """Measure and print.

    Returns
    -------
    int         0 done, 1 no record is an image, 2 an option or a number is wrong, 3 a file could
                not be read or written
    """
    if args.plot:
        from gpuio.tools.bench_plot import check_plot

        check_target(args.plot, [args.record, *([args.idx] if args.idx else [])])
        check_plot(args.plot)
    options = _options(args.options or [])
    with progress("bench", args.progress) as advance:
        subject = Subject(args.record, args.idx, options, args.batch_size)
        try:
            found = measure(subject, _threads(args.threads, subject.cores), args.seconds, advance)
        finally:
            subject.close()
    print(json.dumps(found, indent=1) if args.json else _text(found))
    if args.plot:
        from gpuio.tools.bench_plot import draw

        draw(found, args.plot)
    return 0


def _options(given: list[str]) -> dict[str, Any]:
    """Return options by name; their values stay texts, which the iterator understands."""
    found = {}
    for one in given:
        name, mark, value = one.partition("=")
        if not mark:
            raise OptionError(f"--set {one}: expected NAME=VALUE")
        found[name.strip()] = value
    if "preprocess_threads" in found:
        raise OptionError(
            "--set preprocess_threads: several numbers of threads are measured, those that "
            "--threads names; default: up to all cores"
        )
    return found


def _threads(given: str | None, cores: int) -> list[int]:
    """Return the numbers of threads to measure, ascending."""
    if given is None:
        return sorted({cores, *(1 << power for power in range(cores.bit_length()))} - {0})
    try:
        found = sorted({int(one) for one in given.split(",")})
    except ValueError:
        found = [0]
    if found[0] < 1:
        raise OptionError(f"--threads {given}: expected whole numbers of at least 1")
    return found


def measure(
    subject: Subject, threads: list[int], seconds: float, advance: Any = lambda *_: None
) -> dict[str, Any]:
    """Measure a file in about so many seconds.

    Parameters
    ----------
    subject : Subject
    threads : list of int       that the iterator is measured with
    seconds : float
    advance : callable(done, total)

    Returns
    -------
    dict of JSON types
        facts                   what the file holds
        options                 the iterator's
        storage                 MB/s and records/s of reading
        bare_decode             by threads: images/s of decoding whole images from memory
        threads, prefetch       by number: images_per_s, quartiles, and the stats() of the last run
        cache                   images/s without one and from its second epoch on; None where there
                                is none
        advice                  options to set
        why                     sentences
        seconds                 that it took
    """
    begun = time.perf_counter()
    whole = math.ceil(seconds)  # the bar's length

    shown = -1

    def passed() -> None:
        nonlocal shown
        now = min(whole - 1, int(time.perf_counter() - begun))
        if now > shown:  # a second has passed: what is measured is left alone between two
            advance(now, whole)
            shown = now

    subject.tick = passed

    def left(share: float) -> float:
        """Return the seconds to the end of what has this and the earlier shares of the time."""
        return max(0.0, begun + share * seconds - time.perf_counter())

    shares = itertools.accumulate((_STORAGE, _DECODE, _THREADS, _PREFETCH, _CACHE))
    storage = subject.storage(left(next(shares)))
    passed()
    bare, ends = {}, next(shares)
    for place, count in enumerate(threads):
        bare[str(count)] = subject.bare_decode(count, left(ends) / (len(threads) - place))
        passed()
    ahead = subject.it.options.prefetch_buffer
    wanted = [Run(count, ahead) for count in threads]
    by_threads = _runs(subject, wanted, left(next(shares)), passed)
    best = chosen({one["run"]["threads"]: one["images_per_s"] for one in by_threads.values()})
    wanted = [Run(best, number) for number in sorted({ahead, *_AHEAD})]
    by_prefetch = _runs(subject, wanted, left(next(shares)), passed)
    cached = None
    if subject.can_cache:
        cached = subject.cached(Run(best, ahead), left(next(shares)))
        passed()
    found: dict[str, Any] = {
        "path": subject.options["path_imgrec"],
        "facts": subject.facts,
        "options": {k: v for k, v in subject.options.items() if not k.startswith("path_")},
        "storage": storage,
        "bare_decode": bare,
        "threads": {str(one["run"]["threads"]): one for one in by_threads.values()},
        "prefetch": {str(one["run"]["prefetch"]): one for one in by_prefetch.values()},
        "cache": cached,
        "met": subject.faults(),
    }
    found["options"]["data_shape"] = list(subject.it.options.data_shape)
    found["options"]["prefetch_buffer"] = ahead
    found["advice"], found["why"] = advise(found)
    found["seconds"] = round(time.perf_counter() - begun, 1)
    advance(whole, whole)
    return found


def _runs(subject: Subject, wanted: list[Run], seconds: float, passed: Any) -> dict[str, Any]:
    """Run the iterator in several ways for so many seconds together."""
    each = seconds / (_ROUNDS * len(wanted))
    return subject.runs(wanted, _ROUNDS, each, passed, time.perf_counter() + seconds)


def _text(found: dict[str, Any]) -> str:
    """Return what was measured as text."""
    facts, storage = found["facts"], found["storage"]
    width, height = facts["median_size"]
    shape = "x".join(map(str, found["options"]["data_shape"]))
    lines = [
        (
            f"{facts['records']:,} records ({facts['kind']}), {facts['bytes'] / 1e6:,.1f} MB; "
            f"median "
            f"image {width}x{height}; decoded {facts['decoded_bytes'] / 1e9:,.2f} GB"
        ),
        (
            f"measured as {shape}, batches of {found['options']['batch_size']}, {facts['cores']} "
            f"cores, "
            f"{found['seconds']:.0f} s"
        ),
        "",
        (
            f"storage: {storage['first_mb_per_s']:,.0f} MB/s first, "
            f"{storage['again_mb_per_s']:,.0f} "
            f"MB/s again ({storage['first_records_per_s']:,.0f} and "
            f"{storage['again_records_per_s']:,.0f} records/s)"
        ),
        "",
        (
            f"{'threads':>7} {'bare decoding':>16} {'iterator, images/s':>26} {'of it':>6}  "
            "share of its threads' time"
        ),
    ]
    lines += [_row(found, count) for count in found["threads"]]
    lines += ["", f"{'prefetch_buffer':>15} {'iterator, images/s':>26}"]
    lines += [
        f"{count:>15} {_quartiles(one['images_per_s']):>26}"
        for count, one in found["prefetch"].items()
    ]
    if found["cache"]:
        off, on = (_quartiles(found["cache"][name]) for name in ("off", "second_epoch"))
        lines += ["", f"cache='host', from the second epoch on: {on} images/s; without: {off}"]
    bad = found["met"]["faults"]
    if facts["unusable_of_these"] or facts["ranges_skipped"] or bad:
        lines += [
            "",
            (
                f"damage: {facts['unusable_of_these']} of {facts['looked_at']} records looked at "
                f"are no "
                f"image, {facts['ranges_skipped']} ranges skipped, {bad} bad records met"
            ),
        ]
    last = found["threads"][str(found["advice"]["preprocess_threads"])]["stats"]
    lines += ["", *found["why"]]
    if "limit" in last:
        lines.append(last["limit"]["sentence"])
    options = ", ".join(f"{name}={value!r}" for name, value in found["advice"].items())
    return "\n".join([*lines, "", f"set: {options}"])


def _row(found: dict[str, Any], count: str) -> str:
    """Return a line of the table of threads."""
    one, bare = found["threads"][count], found["bare_decode"][count]["median"]
    rate, shares = one["images_per_s"], ""
    stages = one["stats"].get("stages")
    if stages:
        shares = ", ".join(
            f"{name} {stages[name]['busy']:.0%}"
            for name in ("reading", "decode", "kernels", "hand_over")
        )
    share = rate["median"] / bare if bare else 0.0
    return f"{count:>7} {bare:>16,.0f} {_quartiles(rate):>26} {share:>6.0%}  {shares}"


def _quartiles(rate: dict[str, float]) -> str:
    return f"{rate['median']:,.0f} ({rate['q1']:,.0f} to {rate['q3']:,.0f})"
