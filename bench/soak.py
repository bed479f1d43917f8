"""Does memory grow over many epochs and iterators, and is everything given back at the end?

Fifty epochs in one process, resident memory after each; a thousand iterators made, asked for a
batch and closed, resident memory after every twentieth. Then the threads and files that are left
after close(), after dropping the iterator, after a damaged record's error, and after the thousand.
"""  # noqa: D400 -- a question ends as one

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from held import held
from report import save
from workload import main_job, packed, parser

NAME = "soak"
_SETTLED = 5  # epochs until caches and pools have their size


def resident_mib() -> float:
    """Return the process's resident memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 2)


def run_epochs(options: dict[str, Any], epochs: int) -> list[float]:
    """Iterate; return the resident memory after each epoch."""
    import gpuio as mx

    grown = []
    with mx.io.ImageRecordIter(**options) as it:
        for _ in range(epochs):
            for batch in it:
                assert batch.data[0].shape[0] == options["batch_size"]
            it.reset()
            grown.append(resident_mib())
    return grown


def run_cycles(options: dict[str, Any], cycles: int) -> list[float]:
    """Make iterators one after the other; return the resident memory after every twentieth."""
    import gpuio as mx

    grown = []
    for number in range(cycles):
        with mx.io.ImageRecordIter(**options) as it:
            it.next()
        if number % 20 == 19:
            grown.append(resident_mib())
    return grown


def slope(grown: list[float]) -> float:
    """Return MiB a step over a row of measurements, the first ones left out if there are many."""
    settled = grown[_SETTLED:] if len(grown) > 2 * _SETTLED else grown
    return float(np.polyfit(range(len(settled)), settled, 1)[0]) if len(settled) > 1 else 0.0


def drop(options: dict[str, Any]) -> None:
    """Take one batch of an iterator and let go of it without close()."""
    import gpuio as mx

    it = mx.io.ImageRecordIter(**options)
    it.next()
    del it


def fail(options: dict[str, Any], folder: str) -> None:
    """Iterate over records one of which is not an image, until the error; close nothing."""
    import gpuio as mx

    rec = str(Path(folder) / "damaged.rec")
    with mx.recordio.MXRecordIO(rec, "w") as writer:
        for number in range(8):
            writer.write(mx.recordio.pack((0, 0.0, number, 0), b"this is not an image"))
    damaged = {name: value for name, value in options.items() if name != "path_imgidx"}
    it = mx.io.ImageRecordIter(**damaged | {"path_imgrec": rec, "batch_size": 4})
    try:
        it.next()
    except mx.DecodeError:
        return
    raise AssertionError("a record that is not an image gave no error")


def main() -> None:
    """Measure and write."""
    args = parser(__doc__).parse_args()
    epochs, cycles, count, batch = (3, 40, 24, 8) if args.toy else (50, 1000, 200, 50)
    with packed(args.images, count) as data, tempfile.TemporaryDirectory() as folder:
        options = main_job(args.threads, batch)
        told = {**options, "epochs": epochs, "cycles": cycles, "data": data.about}
        options |= {"path_imgrec": data.rec, "path_imgidx": data.idx, "ctx": "cpu"}
        run_epochs(options, 1)  # libraries are loaded, their pools of threads made
        left = {"before": held()}
        grown = run_epochs(options, epochs)
        left["after close()"] = held()
        drop(options)
        left["after dropping it"] = held()
        fail(options, folder)
        left["after an error"] = held()
        cycled = run_cycles(options | {"batch_size": min(batch, 8)}, cycles)
        left["after the cycles"] = held()
    results = {
        "resident_mib": grown,
        "mib_an_epoch_once_settled": round(slope(grown), 4),
        "resident_mib_of_cycles": cycled,
        "mib_a_cycle_once_settled": round(slope(cycled) / 20, 4),
        "left": left,
        "leaks": [when for when, found in left.items() if found != left["before"]],
    }
    save(args.out, NAME, __doc__, told, results, page_cache="warm")


if __name__ == "__main__":
    main()
