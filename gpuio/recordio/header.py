"""The image record: a header with labels and ids in front of the encoded image.

24 bytes, little-endian: flag uint32, label float32, id uint64, id2 uint64. With flag > 0 that many
float32 labels follow and `label` is 0; then the image.
"""

from __future__ import annotations

import numbers
import struct
from collections import namedtuple
from typing import Any

import numpy as np
import numpy.typing as npt

from gpuio import hooks
from gpuio.errors import DecodeError, OptionError, RecordError
from gpuio.forking import working
from gpuio.recordio.pixels import storable

__all__ = ["FORMAT", "IRHeader", "pack", "pack_img", "parse_image_record", "unpack", "unpack_img"]

IRHeader: Any = namedtuple("HEADER", ["flag", "label", "id", "id2"])  # type: ignore[name-match]  # noqa: PYI024 -- MXNet's name

FORMAT = struct.Struct("<IfQQ")  # flag, label, id, id2


def pack(header: tuple[Any, Any, Any, Any], s: bytes) -> bytes:
    """Put a header in front of a payload.

    Parameters
    ----------
    header : IRHeader or 4-tuple        flag (its value is not used), label, id, id2. A number as
                                        label is stored in the header and flag becomes 0; anything
                                        array-like is stored as float32 labels, flattened, and flag
                                        becomes their number
    s : bytes                           the encoded image, or any payload

    Raises
    ------
    RecordError                         an id is not a whole number from 0 to 2^64 - 1; a label is
                                        None, a word, or beyond float32 (MXNet: struct.error, NaN
                                        for None). It is also a ValueError
    """
    header = IRHeader(*header)
    try:
        if isinstance(header.label, numbers.Number):
            return FORMAT.pack(0, header.label, header.id, header.id2) + s
        label = _labels(header.label)
        return FORMAT.pack(label.size, 0, header.id, header.id2) + label.tobytes() + s
    except (struct.error, OverflowError) as error:
        raise RecordError(
            f"a header of label {header.label!r:.80}, id {header.id!r:.80} and id2 "
            f"{header.id2!r:.80} cannot be stored: expected a label within float32 and ids that "
            f"are whole numbers from 0 to 2^64 - 1 ({error})"
        ) from error


def _labels(label: Any) -> npt.NDArray[np.float32]:
    """Return labels as they are stored; None, which NumPy takes for NaN, is not one."""
    if isinstance(label, np.ndarray) and label.dtype == np.float32:
        return label
    try:
        given = np.asarray(label)
        if given.dtype != object or not any(one is None for one in given.flat):
            with np.errstate(over="ignore"):
                stored = given.astype(np.float32)
            grown = np.isinf(stored)
            if not grown.any() or np.isinf(given.astype(np.float64))[grown].all():
                return stored
    except (ValueError, TypeError):
        pass
    raise RecordError(
        f"a header's label is {label!r:.80}: expected a number within float32, or an array of them"
    )


def unpack(s: bytes) -> tuple[Any, bytes]:
    """Take a header off a payload.

    Returns
    -------
    header : IRHeader       label is a float, or a read-only float32[flag] where flag > 0
    payload : bytes

    Raises
    ------
    RecordError             fewer bytes than the header and its labels need; it is also a ValueError
                            (MXNet raises struct.error or ValueError)
    """
    flag, label, identity, id2, blob = parse_image_record(s)
    return IRHeader(flag, label, identity, id2), bytes(blob)


def parse_image_record(
    payload: bytes | memoryview,
) -> tuple[int, float | npt.NDArray[np.float32], int, int, memoryview]:
    """Split a record's payload without copying it.

    Returns
    -------
    flag : int
    label : float, or float32[flag] over the payload's own memory where flag > 0
    id, id2 : int
    blob : memoryview               the encoded image

    Raises
    ------
    RecordError                     the payload is shorter than the header says
    """
    size = len(payload)
    if size < FORMAT.size:
        raise RecordError(
            f"record of {size} bytes is shorter than an image record's header of {FORMAT.size}: "
            "it is not an image record"
        )
    flag, label, identity, id2 = FORMAT.unpack_from(payload)
    view = memoryview(payload)
    if flag == 0:
        return flag, label, identity, id2, view[FORMAT.size :]
    start = FORMAT.size + 4 * flag
    if start > size:
        raise RecordError(
            f"record header says {flag:,} labels ({4 * flag:,} bytes), the record holds "
            f"{size - FORMAT.size:,} bytes after the header"
        )
    labels = np.frombuffer(payload, np.float32, flag, FORMAT.size)
    labels.flags.writeable = False
    return flag, labels, identity, id2, view[start:]


def pack_img(
    header: tuple[Any, Any, Any, Any], img: Any, quality: int = 95, img_fmt: str = ".jpg"
) -> bytes:
    """Encode an image with OpenCV and pack it.

    Parameters
    ----------
    header : as `pack`
    img : array[height, width] or [height, width, 3 or 4]   gray, B G R, or B G R A: uint8; uint16,
                            of which a format of 8 bits keeps the high byte; other integers, 0 to
                            255; floats, 0 to 255 or, if none is above 1, 0 to 1
    quality : int           JPEG quality 1..100, or PNG compression level 0..9; no effect on others
    img_fmt : str           file extension with its dot

    Raises
    ------
    OptionError             the extension is unknown to OpenCV, or `quality` is not a whole number
                            from 0 to 100
    RecordError             OpenCV cannot encode such an array, or the pixels' values have no clear
                            meaning as uint8

    Notes
    -----
    MXNet saturates other dtypes: of a JPEG of 16 bits all becomes white, of floats from 0 to 1 all
    black.
    """
    with working:
        import cv2

    suffix = str(img_fmt).lower()
    if not (isinstance(quality, numbers.Integral) and 0 <= int(quality) <= 100):
        raise OptionError(f"quality={quality!r}: expected a whole number from 0 to 100")
    flags: list[int] = []
    if suffix in (".jpg", ".jpeg"):
        flags = [cv2.IMWRITE_JPEG_QUALITY, quality]
    elif suffix == ".png":
        flags = [cv2.IMWRITE_PNG_COMPRESSION, min(quality, 9)]
    if hasattr(img, "getbands"):  # PIL's, R G B: as an array it would be taken for B G R
        raise RecordError(
            "expected an array in B, G, R order, got a PIL image: "
            "numpy.asarray(image.convert('RGB'))[:, :, ::-1]"
        )
    image = storable(np.asarray(img), suffix)
    try:
        done, encoded = cv2.imencode(img_fmt, image, flags)
    except cv2.error as error:
        if "." not in suffix or not cv2.haveImageWriter(f"x{img_fmt}"):
            raise OptionError(
                f"img_fmt={img_fmt!r}: expected an extension that OpenCV writes, such as '.jpg' or "
                "'.png'"
            ) from error
        done, reason = False, f": {error}"
    else:
        reason = ""
    if not done:
        raise RecordError(
            f"failed to encode an image of {image.dtype}{list(image.shape)} as {img_fmt}{reason}"
        )
    return pack(header, encoded.tobytes())


def unpack_img(
    s: bytes, iscolor: int = -1, *, max_pixels: int | None = None, max_scans: int | None = None
) -> tuple[Any, Any]:
    """Take a header off a payload and decode the image with OpenCV.

    Parameters
    ----------
    s : bytes
    iscolor : int       cv2.imread flag: -1 as stored (no EXIF), 0 gray, 1 colour
    max_pixels, max_scans : int, optional
        Ours: refuse an image that claims more; default as in `ImageRecordIter`.

    Returns
    -------
    header : IRHeader
    img : uint8[height, width(, channels)], B G R (A), or None if the bytes are not an image

    Raises
    ------
    RecordError         as `unpack`
    DecodeError         the payload is empty; the image is over a limit, of a format that is not
                        read, or its header is damaged
    """
    with working:
        import cv2

    header, blob = unpack(s)
    if not blob:
        raise DecodeError("the record holds no image: its payload is empty")
    with working:
        claims = hooks.call("check_image", blob, max_pixels, max_scans)
    if claims is None:
        return header, None
    return header, cv2.imdecode(np.frombuffer(blob, dtype=np.uint8), iscolor)
