"""The compiled search for a JPEG's luminance table finds what the one in Python finds."""

import numpy as np
import pytest

from gpuio.decode.formats import probe
from gpuio.errors import DecodeError
from gpuio.kernels.jpeg_tables import HEAD
from gpuio.tools.quality import jpeg_qualities, jpeg_quality
from support.pictures import jpeg, picture

WHOLE = jpeg(picture(16, 24, seed=2), quality=80)


def table(number, values, *, wide=False):
    data = np.asarray(values, ">u2" if wide else np.uint8).tobytes()
    return bytes([16 * wide + number]) + data


def tables(*some):
    inside = b"".join(some)
    return b"\xff\xdb" + (2 + len(inside)).to_bytes(2, "big") + inside


def without_tables(front):
    """The image with other segments in front of the ones it has left."""
    at, kept = 2, b""
    while WHOLE[at + 1] != 0xDA:
        length = 2 + int.from_bytes(WHOLE[at + 2 : at + 4], "big")
        kept += WHOLE[at : at + length] if WHOLE[at + 1] != 0xDB else b""
        at += length
    return WHOLE[:2] + front + kept + WHOLE[at:]


LOW, HIGH = np.full(64, 16), np.full(64, 99)
FILL = b"\xff\xfe\xff\xfd" + bytes(0xFFFB)  # a comment of nearly 64 KiB
IMAGES = {
    "as it is": WHOLE,
    "none": without_tables(b""),
    "chroma in front": without_tables(tables(table(1, HIGH), table(0, LOW))),
    "16 bits": without_tables(tables(table(0, 300 + LOW, wide=True))),
    "the first counts": without_tables(tables(table(0, HIGH)) + tables(table(0, LOW))),
    "cut": without_tables(tables(table(0, LOW)[:40]) + tables(table(0, HIGH))),
    "chroma alone": without_tables(tables(table(1, HIGH))),
    "fill bytes": without_tables(b"\xff\xff\xff\xd0" + tables(table(0, LOW))),
    "odd bytes": without_tables(b"ab\xff\0" + tables(table(0, LOW))),
    "far behind": without_tables(FILL + tables(table(0, LOW))),
    "at the end of what is looked at": without_tables(FILL[:-75] + tables(table(0, LOW))),
    "all zeros": without_tables(tables(table(0, np.zeros(64)))),
}


def compiled(blobs):
    held = [np.frombuffer(blob, np.uint8) for blob in blobs]
    at = np.array([one.ctypes.data for one in held], np.int64)
    return jpeg_qualities(at, np.array([one.size for one in held], np.int64)).tolist()


def expected(blob):
    found = jpeg_quality(blob)
    return 0 if found is None else found[0]


def test_every_place_of_a_table():
    blobs = list(IMAGES.values())
    found = compiled(blobs)
    assert found == [expected(blob) for blob in blobs]
    assert len(set(found)) > 4
    assert found[0] == 80
    assert len(FILL) < HEAD < len(IMAGES["far behind"])


@pytest.mark.parametrize("seed", range(4))
def test_images_with_changed_bytes(seed):
    """Those that the header's walk takes: of others nothing is asked."""
    rng, blobs = np.random.default_rng(seed), []
    for _ in range(150):
        data = np.frombuffer(WHOLE, np.uint8)[: rng.integers(60, len(WHOLE))].copy()
        data[rng.integers(2, 200, 3) % len(data)] = rng.choice([0, 1, 0xFF, 0xDB, 0xD9, 67], 3)
        try:
            if probe(data.tobytes()).format == "jpeg":
                blobs.append(data.tobytes())
        except DecodeError:
            continue
    assert len(blobs) > 20
    assert compiled(blobs) == [expected(blob) for blob in blobs]
