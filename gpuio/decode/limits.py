"""What is refused by its header alone: other formats, too many pixels, too many scans.

A file of a hundred bytes that claims 100 megapixels costs nothing.

Every scan of a progressive JPEG visits all of its coefficients, and a scan of a few bytes is
enough: a file of some kilobytes can keep a decoder busy for minutes. So scans are counted before
anything is decoded, and bounded by themselves and together with the pixels.
"""

from __future__ import annotations

from gpuio.decode.formats import ImageInfo, probe
from gpuio.decode.headers import foreign_name
from gpuio.errors import DecodeError
from gpuio.options.machine import MAX_PIXELS, MAX_SCANS

__all__ = ["check_format", "check_image", "check_scans", "check_size"]

# scans that an image of max_pixels may have; encoders write ten or so
_FULL_SIZE_SCANS = 16

# what libjpeg-turbo decodes to three channels; it converts no colours of lossless images
_DECODED = ("baseline", "extended", "progressive", "arithmetic", "arithmetic progressive")

_Buffer = bytes | bytearray | memoryview


def check_image(
    blob: _Buffer, max_pixels: int | None = None, max_scans: int | None = None
) -> ImageInfo | None:
    """Read the header of an image that is about to be decoded, and refuse what is over a limit.

    Parameters
    ----------
    blob : bytes-like               the encoded image
    max_pixels, max_scans : int, optional       default: those of the record iterators

    Returns
    -------
    ImageInfo, or None              where the bytes are not an image of any format by their start

    Raises
    ------
    DecodeError                     as `check_format`, `check_size` and `check_scans`; the header is
                                    damaged
    """
    info = probe(blob)
    if info.format == "unknown" and blob and not foreign_name(blob):
        return None
    pixels = MAX_PIXELS if max_pixels is None else max_pixels
    check_format(info, blob)
    check_size(info, pixels)
    check_scans(info, MAX_SCANS if max_scans is None else max_scans, pixels)
    return info


def check_format(info: ImageInfo, blob: _Buffer) -> None:
    """Refuse bytes that are not an image of a format this package reads.

    Raises
    ------
    DecodeError             naming the format where it is known, and the first bytes; for a JPEG of
                            12 bits, a lossless or a hierarchical one, naming its kind
    """
    if info.format == "jpeg" and (info.bits != 8 or info.process not in _DECODED):
        raise DecodeError(
            f"{info.process} JPEG of {info.bits} bits: a kind that is not decoded; expected 8 bits "
            f"and {', '.join(_DECODED)}"
        )
    if info.format != "unknown":
        return
    if len(blob) == 0:
        raise DecodeError("image is empty: the record holds a header and no image bytes")
    foreign = foreign_name(blob)
    raise DecodeError(
        f"not a readable image: {len(blob)} bytes starting {bytes(blob[:8]).hex()}"
        + (f", a file of format {foreign}, which is not read" if foreign else "")
        + "; expected JPEG, PNG, WebP, GIF, BMP, TIFF, PNM or JPEG 2000"
    )


def check_size(info: ImageInfo, max_pixels: int) -> None:
    """Refuse an image whose header claims no pixels, or more than `max_pixels`.

    Raises
    ------
    DecodeError             naming the claimed size, the limit and the option that moves it
    """
    if info.height < 1 or info.width < 1:
        raise DecodeError(
            f"{info.format} header says {info.width}x{info.height} pixels: expected at least 1x1"
        )
    if info.height * info.width > max_pixels:
        raise DecodeError(
            f"{info.format} header says {info.width}x{info.height} pixels, more than the limit of "
            f"{max_pixels:,}: raise max_pixels if the image is genuine"
        )


def check_scans(info: ImageInfo, max_scans: int, max_pixels: int) -> None:
    """Refuse a JPEG that would take too long for its number of scans.

    Raises
    ------
    DecodeError             more than `max_scans` scans, or so many for its size that they visit
                            more than 16 times `max_pixels`
    """
    scans = info.scans
    if scans > max_scans:
        raise DecodeError(
            f"JPEG has {scans} scans, more than the limit of {max_scans}: raise max_scans if the "
            "image is genuine"
        )
    pixels = info.height * info.width
    if scans > 1 and scans * pixels > _FULL_SIZE_SCANS * max_pixels:
        raise DecodeError(
            f"JPEG has {scans} scans of {info.width}x{info.height} pixels, more than "
            f"{_FULL_SIZE_SCANS} of max_pixels={max_pixels:,}: raise max_pixels if the image is "
            "genuine"
        )
