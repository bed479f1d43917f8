"""Sets of many small parts, of images that cost nothing to make."""

import json
from pathlib import Path

from gpuio import recordio
from gpuio.recordio.described import describe_part
from gpuio.recordio.framing import encode
from gpuio.recordio.manifest import write_manifest
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


def manifest_of(recs):
    """Write the manifest of some parts into their folder; return its path."""
    path = recs[0].with_name("manifest.json")
    described = [describe_part(str(rec), rec.name) for rec in recs]
    write_manifest(path, [part for part, _ in described], described[0][1])
    return path


def change(manifest, **fields):
    """Change fields of a manifest's head, or `part=(number, column, value)`; nothing is checked."""
    stated = json.loads(Path(manifest).read_text())
    number, column, value = fields.pop("part", (0, 0, stated["parts"][0][0]))
    stated["parts"][number][column] = value
    Path(manifest).write_text(json.dumps({**stated, **fields}))
