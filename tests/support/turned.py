"""PNG and WebP images that state an EXIF orientation."""

import struct

import cv2
import numpy as np

from support.coding import chunk
from support.making import png


def _tiff(orientation):
    return b"MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1" + struct.pack(">HHI", orientation, 0, 0)


def turned_png(image, orientation):
    """A PNG with an eXIf chunk behind its header."""
    made = png(image)
    return made[:33] + chunk(b"eXIf", _tiff(orientation)) + made[33:]


def turned_webp(image, orientation, prefix=b""):
    """A lossless WebP with an EXIF chunk at its end."""
    made = cv2.imencode(".webp", image, [cv2.IMWRITE_WEBP_QUALITY, 101])[1].tobytes()
    height, width = np.array(image.shape[:2]) - 1
    size = int(width).to_bytes(3, "little") + int(height).to_bytes(3, "little")
    body = prefix + _tiff(orientation)
    parts = b"VP8X" + struct.pack("<I", 10) + b"\x08\0\0\0" + size + made[12:]
    parts += b"EXIF" + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)
    return b"RIFF" + struct.pack("<I", 4 + len(parts)) + b"WEBP" + parts
