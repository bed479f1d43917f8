"""ImageDetRecordIter: images and boxes of a .rec file, augmented together, in batches."""

from __future__ import annotations

import logging
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from gpuio.io.base import DataDesc
from gpuio.io.record import ImageRecordIter, document
from gpuio.options.image_det_record import ImageDetRecordOptions
from gpuio.pipeline.det_reader import DetRecordReader
from gpuio.pipeline.opening import open_pipeline
from gpuio.pipeline.pipeline import FinishedBatch

__all__ = ["ImageDetRecordIter"]

_log = logging.getLogger("gpuio")
_HEAD = 4  # numbers before the label in its row


class ImageDetRecordIter(ImageRecordIter):
    """Iterate over the images of RecordIO files and the boxes in them, in batches.

    A batch holds ``data[0]``, as that of `ImageRecordIter`, and ``label[0]``, float32 (batch_size,
    4 + label_pad_width): channels, height and width of the image after its augmentation, n, and the
    n numbers of its label; label_pad_value behind them. A label is a header of A numbers, A and B
    first, and objects of B numbers: id, left, top, right, bottom, as shares of the image's width
    and height, and what else an object has. Objects without an area are dropped; a crop takes
    those with it that belong to it. With label_format='boxes' the objects come alone, as
    ``label[0]``, and their number as ``label[1]``.

    A row without a record (padding, a skipped one) has n = 0, and no object.

    Raises
    ------
    OptionError                     at construction: unknown, malformed or conflicting options
    StorageError, FormatError       at construction: missing, unreadable or damaged files
    RecordError, DecodeError        from `next()`, at the batch that holds the bad record; calling
                                    `next()` again tries that batch again

    Notes
    -----
    MXNet 1.9.1 draws the augmentation from a generator a thread: batches equal its own with
    preprocess_threads=1 there, and aug_stream='mxnet' here.

    A crop of less than one pixel, over which MXNet fails, is drawn again. ``index`` holds the
    whole ids (MXNet: their lower 32 bits).
    """

    _declared = ImageDetRecordOptions

    @property
    def label_pad_width(self) -> int:
        """Numbers to which labels are padded."""
        return self._reader().label_pad_width

    @property
    def max_objects(self) -> int:
        """Objects for which a label has room."""
        return (self.label_pad_width - 2) // self._reader().object_width

    def _reader(self) -> DetRecordReader:
        reader = self._machine().pipeline.reader
        assert isinstance(reader, DetRecordReader)
        return reader

    def _label_descs(self) -> list[DataDesc]:
        options, rows = self.options, self.options.batch_size
        if options.label_format == "mxnet":
            shape: tuple[int, ...] = (rows, _HEAD + self.label_pad_width)
            return [DataDesc(options.label_name, shape, np.float32, "NCHW")]
        shape = (rows, self.max_objects, self._reader().object_width)
        return [
            DataDesc(options.label_name, shape, np.float32, "NCHW"),
            DataDesc(f"{options.label_name}_count", (rows,), np.int32, "NCHW"),
        ]

    def _labels(self, made: FinishedBatch) -> tuple[list[npt.NDArray[Any]], None]:
        if self.options.label_format == "mxnet":
            return [made.label], None
        shape = self.max_objects, self._reader().object_width
        boxes = np.full((len(made.label), *shape), self.options.label_pad_value, np.float32)
        count = np.zeros(len(made.label), np.int32)
        for row, label in enumerate(made.label):
            size, head, width = (int(label[at]) for at in (3, _HEAD, _HEAD + 1))
            if size > 0:
                objects = label[_HEAD + head : _HEAD + size].reshape(-1, width)
                count[row] = len(objects)
                boxes[row, : len(objects), :width] = objects
        return [boxes, count], None

    def sync_label_shape(self, it: ImageDetRecordIter, verbose: bool = False) -> ImageDetRecordIter:
        """Pad the labels of this iterator and of `it` to the same width, the larger one.

        For a training and a validation set that one network reads. Both go on where they stand.

        Parameters
        ----------
        it : ImageDetRecordIter
        verbose : bool              log the width

        Returns
        -------
        ImageDetRecordIter          `it`
        """
        width = max(self.label_pad_width, it.label_pad_width)
        for one in (self, it):
            one._widen(width)  # noqa: SLF001 -- of the same class
        if verbose:
            _log.info("labels are padded to %d numbers", width)
        return it

    def _widen(self, width: int) -> None:
        """Open everything anew with another label_pad_width; the place stays."""
        if width == self.label_pad_width:
            return
        first_pass = self._machine().first_pass
        options = attrs.evolve(self.options, label_pad_width=width, verbose=False)
        opened = open_pipeline(options)
        opened.first_pass = first_pass
        self.close()
        self._take(attrs.evolve(options, verbose=self.options.verbose), opened)


document(ImageDetRecordIter, ImageDetRecordOptions, required=("data_shape", "batch_size"))
