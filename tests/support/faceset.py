"""Make small record files in InsightFace's layout, and records of SageMaker's formats."""

import struct
from pathlib import Path

import numpy as np

from gpuio import recordio
from gpuio.recordio.index import write_index
from support.making import flat


def write_payloads(folder, payloads, name="data", keys=None):
    """Write payloads as they are into folder/name.rec and .idx; return both paths as text."""
    rec, idx = str(Path(folder) / f"{name}.rec"), str(Path(folder) / f"{name}.idx")
    writer = recordio.MXIndexedRecordIO(idx, rec, "w")
    for number, payload in enumerate(payloads):
        writer.write_idx(number if keys is None else keys[number], payload)
    writer.close()
    return rec, idx


def record(label, blob=b"", identity=0):
    """One image record."""
    return recordio.pack(recordio.IRHeader(0, label, identity, 0), blob)


def face_payloads(
    counts=(4, 5, 3), *, plain_count=False, array=False, shift=lambda key: key, ids=False
):
    """The payloads, by key, of a set whose identity k has counts[k] images of value 10 k + place.

    plain_count: the header states the number of identities, not the key behind the last.
    array: images have an array of two labels. shift: what float32 makes of a key. ids: identity
    records have their keys for ids, too, as InsightFace's builders write them.
    """
    images, ranges, key = [], [], 1
    for person, count in enumerate(counts):
        for place in range(count):
            label = [float(person), 7.0] if array else float(person)
            images.append(record(label, flat((10 * person + place) % 256), key + place))
        own = 1 + sum(counts) + person if ids else 0
        ranges.append(record([shift(key), shift(key + count)], identity=own))
        key += count
    second = len(counts) if plain_count else shift(key) + len(counts)
    return [record([shift(key), second]), *images, *ranges]


def physical(counts, order):
    """The keys in the order in which builders write them.

    first: header, images, identities. between (face2rec2.py): images, header, identities. last
    (RecBuilder): images, identities, header. mixed: each identity behind its images, then header.
    """
    images = sum(counts)
    pictures = list(range(1, images + 1))
    people = list(range(images + 1, images + 1 + len(counts)))
    if order == "mixed":
        keys, done = [], 0
        for person, count in enumerate(counts):
            keys += [*pictures[done : done + count], people[person]]
            done += count
        return [*keys, 0]
    return {
        "first": [0, *pictures, *people],
        "between": [*pictures, 0, *people],
        "last": [*pictures, *people, 0],
    }[order]


def write_faces(folder, counts=(4, 5, 3), *, name="train", order="first", **how):
    """Write such a set; return the paths of its .rec and .idx."""
    payloads, keys = face_payloads(counts, **how), physical(counts, order)
    return write_payloads(folder, [payloads[key] for key in keys], name, keys)


def keep_lines(idx, keep):
    """Keep only some lines of an index, given by number."""
    lines = Path(idx).read_text().splitlines()
    write_index(idx, *zip(*(lines[number].split("\t") for number in keep), strict=True))


def sagemaker(values, label):
    """One record of SageMaker's RecordIO-protobuf: a tensor named values, and a label."""

    def field(number, inside):
        assert len(inside) < 1 << 14
        size = len(inside)
        length = bytes([size]) if size < 128 else bytes([size & 127 | 128, size >> 7])
        return bytes([number << 3 | 2]) + length + inside

    def entry(floats):
        tensor = field(1, struct.pack(f"<{len(floats)}f", *floats))  # packed float32
        return field(1, b"values") + field(2, field(2, tensor))

    return field(1, entry(np.asarray(values, np.float32))) + field(2, entry([label]))
