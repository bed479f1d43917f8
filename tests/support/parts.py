"""Sets of many small parts, of images that cost nothing to make."""

from pathlib import Path

from gpuio import recordio
from gpuio.recordio.framing import encode
from support.tables import PIXEL


def write_parts(folder, counts, payload=lambda number: PIXEL, first_key=0, labels=None):
    """Write a part of each number of records, ids and labels counting through them."""
    number, made = first_key, []
    for part, count in enumerate(counts):
        framed, lines, at = [], [], 0
        for _ in range(count):
            lines.append(f"{number}\t{at}\n")
            label = float(number) if labels is None else labels(number)
            record = recordio.pack(recordio.IRHeader(0, label, number, 0), payload(number))
            framed.append(encode(record))
            at += len(framed[-1])
            number += 1
        made.append(Path(folder) / f"{part:05d}.rec")
        made[-1].write_bytes(b"".join(framed))
        made[-1].with_suffix(".idx").write_text("".join(lines))
    return made
