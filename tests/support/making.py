"""Make small record files for tests, of images that a pixel tells apart."""

from pathlib import Path

import cv2
import numpy as np

from gpuio import io, recordio

SAMPLING = {
    "4:4:4": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    "4:2:2": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422,
    "4:2:0": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
    "4:4:0": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_440,
    "4:1:1": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_411,
}


def photo(height, width, seed=0, channels=3):
    """A smooth random image, uint8 BGR: JPEG keeps it well and no two rows are alike."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (max(height // 8, 2), max(width // 8, 2), channels), np.uint8)
    big = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    return big.reshape(height, width, channels)


def jpeg(image, quality=95):
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def encoded(image, *flags):
    """A JPEG of quality 92; `flags` are those of OpenCV's imencode."""
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 92, *flags])[1].tobytes()


def warned(image):
    """JPEGs that libjpeg warns of and decodes: data lacking before the end, and too many."""
    good = jpeg(image)
    middle = len(good) - (len(good) - good.index(b"\xff\xda")) // 2
    return [good[:middle].rstrip(b"\xff") + good[-2:], good[:-2] + bytes(range(1, 40)) + good[-2:]]


def png(image):
    return cv2.imencode(".png", image)[1].tobytes()


def flat(value, height=8, width=8):
    """A PNG of one gray value."""
    return png(np.full((height, width, 3), value, np.uint8))


def write_rec(folder, blobs, labels=None, name="data", ids=None):
    """Write blobs into folder/name.rec and .idx; labels default to 0, 1, 2, ...

    Returns (path of .rec, path of .idx) as text.
    """
    rec, idx = str(Path(folder) / f"{name}.rec"), str(Path(folder) / f"{name}.idx")
    writer = recordio.MXIndexedRecordIO(idx, rec, "w")
    for number, blob in enumerate(blobs):
        label = float(number) if labels is None else labels[number]
        identity = number if ids is None else ids[number]
        writer.write_idx(number, recordio.pack(recordio.IRHeader(0, label, identity, 0), blob))
    writer.close()
    return rec, idx


def offsets(idx):
    """The byte offsets an index file lists, in its order."""
    return [int(line.split("\t")[1]) for line in Path(idx).read_text().splitlines()]


def reader(paths, *, index=True, **options):
    """Open a record file of `write_rec`: batches of four images of 8 x 8, on the CPU."""
    options = {"data_shape": (3, 8, 8), "batch_size": 4, "verbose": False, "ctx": "cpu", **options}
    if index:
        options["path_imgidx"] = paths[1]
    return io.ImageRecordIter(path_imgrec=paths[0], **options)
