"""Make an image file into a framed record, as it is or encoded again.

Invariant: a file becomes the same bytes whichever thread reads it, or a sentence says why not.
"""

from __future__ import annotations

import os
from pathlib import Path

import attrs
import numpy as np

from gpuio.recordio.framing import MAX_PAYLOAD, encode
from gpuio.recordio.header import IRHeader, pack, pack_img
from gpuio.recordio.lists import ListItem

__all__ = ["PackOptions", "frame_image"]


@attrs.frozen
class PackOptions:
    """How an image becomes a record; im2rec's flags of the same names.

    Attributes
    ----------
    pass_through : bool     store the file's bytes as they are
    resize : int            shorter edge, pixels, enlarging too; 0 is off
    center_crop : bool      cut to the centred square first
    quality : int           JPEG quality 1..100, or PNG compression
    color : {-1, 0, 1}      as stored, gray, colour
    encoding : {".jpg", ".png"}
    pack_label : bool       store every label column, not only the first
    """

    pass_through: bool = False
    resize: int = 0
    center_crop: bool = False
    quality: int = 95
    color: int = 1
    encoding: str = ".jpg"
    pack_label: bool = False


def frame_image(item: ListItem, root: str, options: PackOptions) -> tuple[bytes | None, str]:
    """Return an item's framed record, or None and what is wrong with it."""
    path = os.path.join(root, item.path)  # noqa: PTH118 -- paths may hold any bytes
    try:
        try:
            size = Path(path).stat().st_size
            if options.pass_through and size > MAX_PAYLOAD:  # not to be read first
                return None, f"{item.path}: {size:,} bytes, a record holds {MAX_PAYLOAD:,}"
            data = Path(path).read_bytes()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            return None, f"{item.path}: cannot read: {reason}"
        if not data:
            return None, f"{item.path}: the file is empty"
        several = options.pack_label and len(item.labels) > 1
        label = item.labels if several else item.labels[0]
        header = IRHeader(0, label, item.index, 0)
        payload = pack(header, data) if options.pass_through else _encode(header, data, options)
        if payload is None:
            return None, f"{item.path}: not a readable image ({len(data)} bytes)"
        return encode(payload), ""
    except Exception as error:  # noqa: BLE001 -- OpenCV's and struct's errors have no common base
        return None, f"{item.path}: {type(error).__name__}: {error}"


def _encode(header: IRHeader, data: bytes, options: PackOptions) -> bytes | None:
    """Decode, crop, resize and encode an image; None if the bytes are not an image."""
    import cv2

    image = cv2.imdecode(np.frombuffer(data, np.uint8), options.color)
    if image is None:
        return None
    height, width = image.shape[:2]
    if options.center_crop:
        side, margin = min(height, width), abs(height - width) // 2
        image = (
            image[margin : margin + side] if height > width else image[:, margin : margin + side]
        )
        height = width = side
    if options.resize:
        size = options.resize
        new = (size, height * size // width) if height > width else (width * size // height, size)
        image = cv2.resize(image, new)
    return pack_img(header, image, quality=options.quality, img_fmt=options.encoding)
