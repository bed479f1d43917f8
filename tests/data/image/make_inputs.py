"""Make the images that the tests of gpuio.image read: noise with the look of a photo.

Run once with `python tests/data/image/make_inputs.py`; the files are committed, so that a test
does not depend on which JPEG encoder is installed.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

HERE = Path(__file__).parent


def photo(height: int, width: int, seed: int) -> np.ndarray:
    """Return smooth blobs with grain, uint8[height, width, 3]."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 16 + 2, width // 16 + 2, 3), dtype=np.uint8)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).astype(int)
    return np.clip(smooth + rng.integers(-12, 13, smooth.shape), 0, 255).astype(np.uint8)


def exif(jpeg: bytes, orientation: int, *, keep_jfif: bool) -> bytes:
    """Put an EXIF segment that states an orientation behind, or in place of, the JFIF segment."""
    tiff = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0" + bytes([orientation, 0, 0, 0])
    body = b"Exif\0\0" + tiff + b"\0\0\0\0"
    segment = b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body
    end = 4 + int.from_bytes(jpeg[4:6], "big")
    return jpeg[:2] + (jpeg[2:end] if keep_jfif else b"") + segment + jpeg[end:]


def main() -> None:
    wide = photo(72, 96, 0)
    jpeg = cv2.imencode(".jpg", wide, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()
    gray = cv2.imencode(".jpg", photo(40, 56, 1)[:, :, 0])[1].tobytes()
    tall = cv2.imencode(".jpg", photo(90, 60, 2), [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()
    deep = np.random.default_rng(3).integers(0, 65536, (9, 11, 3)).astype(np.uint16)
    alpha = np.random.default_rng(4).integers(0, 256, (9, 11, 4)).astype(np.uint8)
    files = {
        "wide.jpg": jpeg,
        "tall.jpg": tall,
        "gray.jpg": gray,
        "turned.jpg": exif(jpeg, 6, keep_jfif=False),
        "jfif_turned.jpg": exif(jpeg, 6, keep_jfif=True),
        "small.png": cv2.imencode(".png", photo(24, 20, 5))[1].tobytes(),
        "deep.png": cv2.imencode(".png", deep)[1].tobytes(),
        "alpha.png": cv2.imencode(".png", alpha)[1].tobytes(),
    }
    for name, data in files.items():
        (HERE / name).write_bytes(data)


if __name__ == "__main__":
    main()
