"""Pictures that tests make themselves: smooth noise, encoded in every way that matters."""

import cv2
import numpy as np

SUBSAMPLINGS = {
    "4:4:4": 0x111111,
    "4:2:2": 0x211111,
    "4:2:0": 0x221111,
    "4:4:0": 0x121111,
    "4:1:1": 0x411111,
}


def picture(height, width, channels=3, seed=0):
    """Return uint8[height, width, channels], smooth as a photo is."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 8 + 2, width // 8 + 2, channels), dtype=np.uint8)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.ascontiguousarray(smooth.reshape(height, width, channels))


def jpeg(pixels, subsampling="4:2:0", *, progressive=False, restart=0, quality=92):
    """Encode as JPEG; one channel makes a gray file."""
    options = [
        cv2.IMWRITE_JPEG_QUALITY,
        quality,
        cv2.IMWRITE_JPEG_PROGRESSIVE,
        int(progressive),
        cv2.IMWRITE_JPEG_RST_INTERVAL,
        restart,
    ]
    if pixels.shape[2] == 3:
        options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, SUBSAMPLINGS[subsampling]]
    return cv2.imencode(".jpg", pixels, options)[1].tobytes()


def cmyk_jpeg(height, width, seed=0):
    """Encode a four-component JPEG, as image editors write them."""
    import io

    from PIL import Image

    data = io.BytesIO()
    Image.fromarray(picture(height, width, 4, seed), "CMYK").save(data, "JPEG", quality=95)
    return data.getvalue()


def every_jpeg(height=61, width=83):
    """Return a dict of name to JPEG: subsamplings, gray, progressive, restart markers, tiny."""
    files = {
        kind: jpeg(picture(height, width, seed=seed), kind)
        for seed, kind in enumerate(SUBSAMPLINGS)
    }
    files["gray"] = jpeg(picture(height, width, 1, seed=7))
    files["progressive"] = jpeg(picture(height, width, seed=8), progressive=True)
    files["restart markers"] = jpeg(picture(height, width, seed=9), restart=2)
    files["one pixel"] = jpeg(picture(1, 1, seed=10))
    files["one row"] = jpeg(picture(1, 200, seed=11))
    return files


def spoilt(blob):
    """Overwrite the lengths of a JPEG's first Huffman table: every decoder refuses it."""
    at = blob.index(b"\xff\xc4") + 5
    return blob[:at] + b"\xff" * 16 + blob[at + 16 :]
