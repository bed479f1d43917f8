"""Write golden.json: the order in which MXNet 1.9.1 delivers records, for many options.

Run `GPUIO_MXNET_PYTHON=/path/to/python python tests/data/order/make_golden.py`. Labels are record
numbers. Of each case the labels of every batch of some epochs are kept, and the pads of the first
epoch only: later ones are stale in MXNet. "labels": null is a case that MXNet refuses because a
batch needs more than one further pass.
"""

import json
import os
import random
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

from parity.oracle import Oracle, OracleError  # noqa: E402
from support.tables import SHORTEST, write_table  # noqa: E402

MIB = 1 << 20


def layouts():
    """Return the lengths in bytes of the records of each set of files."""
    draw = random.Random(1)

    def lengths(count, longest):
        return [4 * draw.randrange(SHORTEST // 4, longest // 4) for _ in range(count)]

    return {
        "ten": [[SHORTEST] * 10],
        "one": [[SHORTEST]],
        "small": [lengths(37, 900)],
        "two": [lengths(17, 900), lengths(23, 600_000)],
        "chunks": [lengths(50, 900_000)],
        "long": [
            [400, 9 * MIB, 17 * MIB, 500, 8 * MIB - 8, 8 * MIB, 8 * MIB - 4, 16 * MIB + 4, 900]
        ],
    }


def cases():
    """Return the options of each case, with the name of its files and whether they are indexed."""
    found = []

    def add(files, indexed, **options):
        found.append({"files": files, "indexed": indexed, "options": options})

    for indexed in (False, True):
        for shuffle in (False, True):
            for batch in (4, 15, 20, 21):
                add("ten", indexed, batch_size=batch, shuffle=shuffle, seed=0)
            add("ten", indexed, batch_size=4, shuffle=shuffle, seed=5)
            add("one", indexed, batch_size=2, shuffle=shuffle)
            add("small", indexed, batch_size=7, shuffle=shuffle, seed=-3)
            for part in range(3):
                options = {"num_parts": 3, "part_index": part, "shuffle": shuffle, "seed": 9}
                add("small", indexed, batch_size=5, **options)
                add("two", indexed, batch_size=6, **options)
            add("chunks", indexed, batch_size=8, shuffle=shuffle, seed=2)
    for shuffle in (False, True):
        for size, seed, parts in ((4, 0, 1), (1, 3, 1), (2, 1, 2), (5, 8, 2)):
            options = {"shuffle_chunk_size": size, "shuffle_chunk_seed": seed, "num_parts": parts}
            add("chunks", False, batch_size=6, shuffle=shuffle, part_index=parts - 1, **options)
        add("long", False, batch_size=3, shuffle=shuffle, seed=1)
        add("long", False, batch_size=2, shuffle=shuffle, seed=1, num_parts=2, part_index=1)
    return found


def answer(oracle, paths, case):
    """Return the case with what MXNet delivers."""
    path_imgrec, path_imgidx = paths[case["files"]]
    options = {
        "path_imgrec": path_imgrec,
        "data_shape": [3, 1, 1],
        "preprocess_threads": 1,
        "verbose": False,
        **case["options"],
    }
    if case["indexed"]:
        options["path_imgidx"] = path_imgidx
    try:
        made = oracle.iterate(epochs=3, **options)
    except OracleError as error:
        if "must be bigger than the batch size" not in str(error):
            raise
        return {**case, "labels": None, "pads": None}
    labels = made.label.astype(int).tolist()
    ends = made.counts.cumsum()
    each = [labels[end - count : end] for end, count in zip(ends, made.counts, strict=True)]
    return {**case, "labels": each, "pads": made.pad[: made.counts[0]].tolist()}


def main():
    with (
        tempfile.TemporaryDirectory() as folder,
        Oracle(os.environ["GPUIO_MXNET_PYTHON"]) as oracle,
    ):
        files = layouts()
        paths = {name: write_table(Path(folder), name, *files[name]) for name in files}
        # MXNet takes one index file only
        asked = [case for case in cases() if not (case["indexed"] and case["files"] == "two")]
        answers = [answer(oracle, paths, case) for case in asked]
        lines = ",\n".join(json.dumps(each) for each in answers)
        head = json.dumps({"versions": oracle.versions, "files": files})[:-1]
        (HERE / "golden.json").write_text(f'{head},\n"cases": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
