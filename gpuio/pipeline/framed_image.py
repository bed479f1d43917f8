"""Make an image file into a framed record, as it is or encoded again.

Invariant: a file becomes the same bytes whichever thread reads it, or a sentence says why not.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from gpuio.decode.exif import stated_orientation, upright
from gpuio.decode.formats import probe
from gpuio.decode.headers import foreign_name
from gpuio.decode.limits import check_image
from gpuio.errors import DecodeError, GpuioError, StorageError
from gpuio.options.machine import MAX_PIXELS
from gpuio.recordio.foreign import name_kind
from gpuio.recordio.framing import MAX_PAYLOAD, encode
from gpuio.recordio.header import IRHeader, pack, pack_img
from gpuio.recordio.lists import ListItem
from gpuio.storage.files import read_whole

__all__ = ["PackOptions", "frame_image"]

_LOOKED_AT = 1024  # bytes by which a file's kind is told
# what `foreign_name` names that shows no picture, or none of pixels
_NOT_PICTURES = ("PDF", "SVG", "XML or SVG", "HTML page", "gzip", "zip", "NumPy array")
_BMP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)  # bytes, of every version
_FLOATS = "its pixels are floats, of which no record is made: convert it to 8 or 16 bits"


@attrs.frozen
class PackOptions:
    """How an image becomes a record; im2rec's flags of the same names.

    Attributes
    ----------
    pass_through : bool     store the file's bytes as they are
    resize : int            shorter edge, pixels, enlarging too; 0 is off
    center_crop : bool      cut to the centred square first
    quality : int           JPEG quality 1..100, or PNG compression
    color : {-1, 0, 1}      as stored, gray, colour; EXIF orientation is always applied
    encoding : {".jpg", ".png"}
    pack_label : bool       store every label column, not only the first
    max_pixels : int        leave out an image whose header claims more
    """

    pass_through: bool = False
    resize: int = 0
    center_crop: bool = False
    quality: int = 95
    color: int = 1
    encoding: str = ".jpg"
    pack_label: bool = False
    max_pixels: int = MAX_PIXELS


def frame_image(item: ListItem, root: str, options: PackOptions) -> tuple[bytes | None, str]:
    """Return an item's framed record, or None and what is wrong with it."""
    path = os.path.join(root, item.path)  # noqa: PTH118 -- paths may hold any bytes
    try:
        try:
            found = Path(path).stat()
            if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
                return None, f"{item.path}: cannot read: not a file"
            if options.pass_through and found.st_size > MAX_PAYLOAD:  # not to be read first
                return None, f"{item.path}: {found.st_size:,} bytes, a record holds {MAX_PAYLOAD:,}"
            data = read_whole(path)
        except (OSError, ValueError) as error:
            said = error.message if isinstance(error, StorageError) else None
            reason = said or f"cannot read: {getattr(error, 'strerror', None) or error}"
            return None, f"{item.path}: {reason}"
        if not data:
            return None, f"{item.path}: the file is empty"
        several = options.pack_label and len(item.labels) > 1
        label = item.labels if several else item.labels[0]
        header = IRHeader(0, label, item.index, 0)
        if options.pass_through:
            _check_image(data)
            return encode(pack(header, data)), ""
        return encode(_encoded(header, data, options)), ""
    except GpuioError as error:
        return None, f"{item.path}: {error.message}"
    except Exception as error:  # noqa: BLE001 -- OpenCV's and struct's errors have no common base
        return None, f"{item.path}: {type(error).__name__}: {error}"


def _check_image(data: bytes) -> None:
    """Raise DecodeError if bytes are not an image of any format by their first ones."""
    info = probe(data)
    if info.format == "bmp" and int.from_bytes(data[14:18], "little") not in _BMP_HEADERS:
        raise DecodeError(_not_an_image(data))  # any text may begin with BM
    if info.format != "unknown":
        if not (info.height and info.width):
            raise DecodeError(f"not an image: its {info.format.upper()} header states a size of 0")
        return
    name = foreign_name(data)
    if not name or name in _NOT_PICTURES:
        raise DecodeError(_not_an_image(data))


def _not_an_image(data: bytes) -> str:
    """Say what bytes are that OpenCV does not decode."""
    kind = name_kind(data[:_LOOKED_AT]) or foreign_name(data)
    what = f"it is {kind}" if kind else f"it starts with {data[:8].hex()}"
    if kind.endswith("image"):
        what += ", damaged, cut short or of a kind that OpenCV lacks"
    return f"not a readable image ({len(data)} bytes): {what}"


def _decoded(data: bytes, options: PackOptions) -> npt.NDArray[Any]:
    """Decode an image, upright whatever `color` is; of 16 bits a JPEG gets the high byte."""
    import cv2

    if foreign_name(data) == "PFM":
        raise DecodeError(_FLOATS)
    _check_image(data)
    check_image(data, options.max_pixels)
    image: Any = cv2.imdecode(np.frombuffer(data, np.uint8), options.color)
    if image is None:
        raise DecodeError(_not_an_image(data))
    if image.dtype.kind == "f":
        raise DecodeError(_FLOATS)
    if image.dtype == np.uint16 and options.encoding != ".png":
        image = (image >> 8).astype(np.uint8)
    if options.color < 0:  # OpenCV turns the others
        image = upright(image, stated_orientation(data))
    return np.asarray(image)


def _encoded(header: IRHeader, data: bytes, options: PackOptions) -> bytes:
    """Decode, crop, resize and encode an image."""
    import cv2

    image: Any = _decoded(data, options)
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
