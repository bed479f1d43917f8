"""mx.gluon.data.vision: a set of the images and labels of a record file."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from gpuio import recordio
from gpuio.errors import DecodeError, Where
from gpuio.gluon.data.dataset import RecordFileDataset
from gpuio.hooks import missing
from gpuio.image import imdecode

__all__ = ["ImageRecordDataset"]


class ImageRecordDataset(RecordFileDataset):
    """The images and labels of a record file, in the order of its index.

    A sample is ``(image, label)``: uint8[height, width, channels], R G B, of the size that is
    stored; a float, or float32[n] where the record has several labels.

    Parameters
    ----------
    filename : path             FILE.rec; the index is FILE.idx beside it
    flag : {0, 1}, default 1    0: gray, one channel; 1: colour
    transform : callable, optional      ``transform(image, label)`` is the sample then

    Raises
    ------
    StorageError, FormatError   as `RecordFileDataset`
    DecodeError                 from ``set[i]``, naming file and key: the image is damaged
    """

    def __init__(
        self,
        filename: str | os.PathLike[str],
        flag: int = 1,
        transform: Callable[[Any, Any], Any] | None = None,
    ) -> None:
        super().__init__(filename)
        self._flag, self._transform = flag, transform

    def __getitem__(self, idx: int) -> Any:
        header, encoded = recordio.unpack(super().__getitem__(idx))
        try:
            image = imdecode(encoded, self._flag)
        except DecodeError as error:
            raise error.at(Where(self.filename, self._record.keys[idx])) from None
        if self._transform is not None:
            return self._transform(image, header.label)
        return image, header.label


def __getattr__(name: str) -> None:
    raise missing("gpuio.gluon.data.vision", name)
