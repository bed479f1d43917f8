"""Whether a JPEG has its end, and an end for one that was cut short.

With an end marker behind it a JPEG that was cut in its scan data decodes: what is there keeps its
pixels, what is missing is gray, or, in a progressive image, as coarse as the scans that are there.
"""

from __future__ import annotations

__all__ = ["Completed", "completed", "has_end"]

_END_OF_IMAGE = b"\xff\xd9"
_JPEG = b"\xff\xd8"
_START_OF_SCAN = b"\xff\xda"
_TAIL = 1024  # bytes: what may lie behind the end marker

_Buffer = bytes | memoryview


class Completed(bytes):
    """A JPEG that was cut short and was given an end marker."""

    __slots__ = ()


def has_end(blob: _Buffer) -> bool:
    """Say whether an end marker stands in the last KiB of a JPEG, behind its scan's start."""
    tail = bytes(blob[-_TAIL:])
    end = tail.rfind(_END_OF_IMAGE)
    return end > tail.rfind(_START_OF_SCAN)  # else it is that of a preview in the headers


def completed(blob: _Buffer) -> _Buffer:
    """Return a JPEG without its end with one; any other bytes as they are."""
    if bytes(blob[:2]) != _JPEG or has_end(blob):
        return blob
    return Completed(bytes(blob) + _END_OF_IMAGE)
