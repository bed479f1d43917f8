"""Small batches for the GPU backend, and what OpenCV and the CPU kernels make of the same files."""

import numpy as np

from gpuio.backend.protocol import Encoded, Output
from gpuio.decode.formats import probe
from gpuio.decode.jpeg import Completed
from gpuio.decode.opencv import decode
from gpuio.errors import DecodeError
from gpuio.kernels.cpu import augment
from support.pictures import jpeg, picture
from support.plans import plain

SIDE = 24
MEAN, STD = np.array([123, 117, 104], np.float32), np.array([58, 57, 57], np.float32)
OUTPUT = Output(3, SIDE, SIDE, "float32", "NCHW", MEAN, STD, 1.0)


def blobs_of(count, seed=0):
    return [jpeg(picture(30 + k % 7, 40 + k % 5, seed=seed + k)) for k in range(count)]


def rows_of(blobs):
    """Plans: a resize to 32 x 32, a crop that differs from row to row, every other row flipped."""
    rows = []
    for k, blob in enumerate(blobs):
        info = probe(blob) if blob else None
        row = plain(info.height if info else 1, info.width if info else 1)
        row["resize_h"], row["resize_w"], row["resize_inter"] = 32, 32, 1
        row["crop_h"], row["crop_w"] = SIDE, SIDE
        row["crop_y"], row["crop_x"], row["mirror"] = k % 8, (3 * k) % 8, k % 2
        rows.append(row)
    return np.concatenate(rows)


def expected(blobs, rows, output=OUTPUT):
    """Make the batch with OpenCV and the CPU kernels."""
    out = np.zeros(output.shape(len(rows)), output.dtype)
    how = augment.Normalisation(
        output.dtype, output.mean, output.std, output.scale, output.layout, output.mean_image
    )
    scratch = augment.Scratch()
    for k, blob in enumerate(blobs):
        if blob is not None:
            pixels = decode(blob, output.channels)
            augment.augment(pixels, rows[k : k + 1], how, out[k], scratch)
    return out


def encoded(blobs):
    """Return blobs as a reader hands them on; damaged ones, which it would refuse, go without."""
    made = Encoded.empty(len(blobs))
    for row, blob in enumerate(blobs):
        if blob is not None:
            made.put(row, blob)
        try:
            info = probe(blob or b"")
        except DecodeError:
            continue
        made.headers[row] = info._replace(ended=0) if isinstance(blob, Completed) else info
    return made


def batch(backend, blobs, rows, output=OUTPUT, team=None):
    out = backend.allocate(output.shape(len(rows)), output.dtype)
    return out, backend.make(encoded(blobs), rows, output, out, team)
