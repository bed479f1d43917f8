"""ImageDetRecordIter: images and boxes of a .rec file, augmented together, in batches."""

from __future__ import annotations

import logging
from typing import cast

import attrs

from gpuio.io.record import ImageRecordIter, document
from gpuio.pipeline.opening import open_pipeline
from gpuio.tasks.box_labels import BoxLabels
from gpuio.tasks.detect import Detect

__all__ = ["ImageDetRecordIter"]

_log = logging.getLogger("gpuio")


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

    _task = Detect

    @property
    def label_pad_width(self) -> int:
        """Numbers to which labels are padded."""
        return self._boxes().label_pad_width

    @property
    def max_objects(self) -> int:
        """Objects for which a label has room."""
        return self._boxes().max_objects

    def _boxes(self) -> BoxLabels:
        return cast("BoxLabels", self._machine().labels)

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
        opened = open_pipeline(Detect(options))
        opened.first_pass = first_pass
        with self._turn:
            self.close()
            self._take(attrs.evolve(options, verbose=self.options.verbose), opened)


document(ImageDetRecordIter, Detect.declared, required=("data_shape", "batch_size"))
