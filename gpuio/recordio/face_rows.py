"""Rows of a file in InsightFace's layout: which are images, and which identity records."""

from __future__ import annotations

import attrs
import numpy as np
import numpy.typing as npt

from gpuio.recordio.sniff import Sniffed, spread

__all__ = ["BARE", "EXACT", "JUNK", "MOST", "FaceRows", "is_range", "rounding", "sample"]

_Int64 = npt.NDArray[np.int64]

BARE = 64  # bytes; no longer are the records without an image, and hardly an image's is as short
JUNK = 32  # bytes that may stand behind the last record
EXACT = 1 << 24  # from here on float32 rounds whole numbers: 2**24 + 1 becomes 2**24
MOST = 1 << 40  # a larger number is not a count
_SAMPLED = 6  # records of the images, and of the identities, that are looked at


@attrs.frozen(eq=False)
class FaceRows:
    """Which rows of a file are images, and which are identities.

    Attributes
    ----------
    offset, length : int64[N]           of every record of the file, in their order
    key : int64[N]                      the layout's: 0 the header, 1 to n the images
    image : slice or int64[n]           rows of the images, ascending
    identity : int64[m]                 rows of the identity records, by key
    renumbered : bool                   the keys are not those that were given: these number the
                                        records by their places or their ids
    count : int                         images that the header states; 0 if that is not known
    first : int or None                 key of identity 0's record, where some of them are missing;
                                        None: they are numbered in their order
    doubt : str                         why the keys of identities cannot be told; "" if they can
    """

    offset: _Int64
    length: _Int64
    key: _Int64
    image: slice | _Int64
    identity: _Int64
    renumbered: bool = False
    count: int = 0
    first: int | None = None
    doubt: str = ""

    @property
    def images(self) -> int:
        """Number of images."""
        return len(self.offset[self.image])

    @property
    def identities(self) -> int:
        """Number of identity records."""
        return len(self.identity)

    def images_by_key(self) -> _Int64:
        """Return the rows of the images, by key."""
        rows = np.arange(len(self.key))[self.image]
        keys = self.key[rows]
        return rows if (keys[1:] > keys[:-1]).all() else rows[np.argsort(keys)]


def is_range(record: Sniffed) -> bool:
    """Whether a record has no image, and two whole numbers for labels."""
    return (
        record.kind == "empty"
        and record.flag >= 2
        and all(0 <= label < MOST and label == int(label) for label in record.labels)
    )


def rounding(number: int) -> int:
    """Return how far float32 may have moved a number that reads as this one."""
    return 0 if number < EXACT else int(np.spacing(np.float32(number)))


def sample(rows: _Int64) -> list[int]:
    """Return some of the rows, the first and the last among them."""
    return [int(rows[place]) for place in np.unique(spread(0, len(rows), _SAMPLED))]
