"""Record tables without files, record files with given lengths, and the epochs of an order."""

from types import SimpleNamespace

import cv2
import numpy as np

from gpuio import recordio
from gpuio.options.image_record import ImageRecordOptions

FRAMING = 8 + 24  # magic and length, then the image record's header
PIXEL = cv2.imencode(".png", np.zeros((1, 1, 3), np.uint8))[1].tobytes()
SHORTEST = FRAMING + len(PIXEL) + -len(PIXEL) % 4  # bytes of the shortest record that holds PIXEL


def table(*files, indexed=True):
    """Return a record table of files of records of the given lengths in bytes."""
    lengths = [np.array(file, np.int64) for file in files]
    return SimpleNamespace(
        sizes=np.array([file.sum() for file in lengths], np.int64),
        file=np.repeat(np.arange(len(files), dtype=np.int32), [len(file) for file in lengths]),
        offset=np.concatenate([np.cumsum(file) - file for file in lengths]),
        length=np.concatenate(lengths),
        indexed=indexed,
    )


def write_table(folder, name, *files):
    """Write such files, labels counting through them; return path_imgrec, path_imgidx (texts)."""
    number, recs, idxs = 0, [], []
    for which, lengths in enumerate(files):
        recs.append(str(folder / f"{name}{which}.rec"))
        idxs.append(str(folder / f"{name}{which}.idx"))
        with recordio.MXIndexedRecordIO(idxs[-1], recs[-1], "w") as writer:
            for length in lengths:
                body = PIXEL.ljust(length - FRAMING, b"\x01")
                header = recordio.IRHeader(0, float(number), number, 0)
                writer.write_idx(number, recordio.pack(header, body))
                number += 1
    return ";".join(recs), ";".join(idxs)


def options(**given):
    """Return options, those that are required included."""
    required = {"path_imgrec": "a.rec", "data_shape": (3, 8, 8), "batch_size": 4}
    return ImageRecordOptions(**{**required, **given})


def epochs(order, count):
    """Return per epoch the list of its batches, nothing reset early."""
    made, start = [], 0
    for pass_index in range(count):
        shape = order.epoch(pass_index, start)
        made.append([order.batch(pass_index, start, k) for k in range(shape.batches)])
        start = shape.next_start
    return made
