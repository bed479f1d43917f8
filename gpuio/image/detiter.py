"""ImageDetIter: ImageIter for detection, whose labels are boxes that move with the pixels."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from gpuio.errors import OptionError, RecordError, Where
from gpuio.image.chain import DetChain, fill_row, returned
from gpuio.image.detaugment import det_in_two_steps
from gpuio.image.detlabel import WrongBoxCount, check_valid_label, parse_label
from gpuio.image.detrecipes import CreateDetAugmenter
from gpuio.image.drawing import BoxStyle, draw_boxes, show
from gpuio.image.iter import ImageIter, check_keywords
from gpuio.image.source import Sample
from gpuio.io.base import DataBatch
from gpuio.kernels.plan.box_label import LEAST_OBJECT
from gpuio.nd import host_array

__all__ = ["ImageDetIter"]

_log = logging.getLogger(__name__)
_BAD_BOXES = ("accept", "drop", "raise")


class ImageDetIter(ImageIter):
    """Iterate over images with boxes.

    A stored label is ``[A, B, (A - 2 further numbers), objects...]``: A numbers of header, then
    objects of B numbers each: id, xmin, ymin, xmax, ymax (fractions of the image) and extras. The
    header alone is the label of an image without objects, background. A batch's label is
    float32[batch, objects, B]; rows without an object are -1.

    Parameters
    ----------
    batch_size, data_shape, path_imgrec, path_imglist, path_root, path_imgidx, shuffle :
        as in `ImageIter`, as are the next two lines
    part_index, num_parts, imglist, data_name, last_batch_handle, rng :
    preprocess_threads, prefetch_buffer, max_pixels, max_scans :
    aug_list : list of DetAugmenter, optional
                                            default: ``CreateDetAugmenter(data_shape, **kwargs)``
    label_name : str, default "label"
    bad_boxes : {"accept", "drop", "raise"}, default "accept"
        What becomes of wrong boxes (NaN, right not above left, in pixels, outside of the image, an
        id that is not a class): as MXNet does, which drops those without an area and hands out the
        others; left out; or a RecordError at construction, which names the record. With the first
        two, construction logs one warning.
    **kwargs                                for `CreateDetAugmenter`

    Raises
    ------
    RecordError         a label at construction is malformed, has boxes but no valid one, or objects
                        of another width than the others

    Notes
    -----
    Construction reads every label once to find `label_shape`, (most objects of an image, at least
    1, B). Samples that augmentation leaves without a valid box are skipped, with a line in the
    debug log; those that had none from the start are not. MXNet takes no image without a box.
    An option that cannot work is an error; MXNet would skip every sample. With `shuffle`,
    construction shuffles three times, as MXNet does.
    """

    _hooks = (
        "check_valid_image",
        "augmentation_transform",
        "postprocess_data",
        "_parse_label",
        "_check_valid_label",
    )

    def __init__(
        self,
        batch_size: int,
        data_shape: tuple[int, ...],
        path_imgrec: Any = None,
        path_imglist: Any = None,
        path_root: Any = None,
        path_imgidx: Any = None,
        shuffle: bool = False,
        part_index: int = 0,
        num_parts: int = 1,
        aug_list: Sequence[Any] | None = None,
        imglist: Sequence[Any] | None = None,
        data_name: str = "data",
        label_name: str = "label",
        last_batch_handle: str = "pad",
        **kwargs: Any,
    ) -> None:
        own = {
            name: kwargs.pop(name)
            for name in (
                *("rng", "preprocess_threads", "prefetch_buffer"),
                *("max_pixels", "max_scans"),
            )
            if name in kwargs
        }
        self.bad_boxes: str = kwargs.pop("bad_boxes", "accept")
        if self.bad_boxes not in _BAD_BOXES:
            raise OptionError(f"bad_boxes: expected one of {_BAD_BOXES}, got {self.bad_boxes!r}")
        check_keywords(type(self), CreateDetAugmenter, kwargs)
        super().__init__(
            batch_size=batch_size,
            data_shape=data_shape,
            path_imgrec=path_imgrec,
            path_imglist=path_imglist,
            path_root=path_root,
            path_imgidx=path_imgidx,
            shuffle=shuffle,
            part_index=part_index,
            num_parts=num_parts,
            aug_list=[],
            imglist=imglist,
            data_name=data_name,
            label_name=label_name,
            last_batch_handle=last_batch_handle,
            **own,
        )
        if aug_list is None:
            aug_list = CreateDetAugmenter(self.data_shape, **kwargs)  # type: ignore[arg-type]
        self.auglist = list(aug_list)
        try:
            self.label_shape: tuple[int, int] = self._estimate_label_shape()
        except BaseException:
            self.close()
            raise
        self.provide_label = [(label_name, (batch_size, *self.label_shape))]
        self._restore(0, 0, None)

    def _estimate_label_shape(self) -> tuple[int, int]:
        """Read all labels and return (most objects per image, numbers per object)."""
        most, width = 0, None
        wrong = WrongBoxCount()
        knows_form = self._is_own("_parse_label")
        self.reset()
        while True:
            try:
                label, _ = self.next_sample()
            except StopIteration:
                break
            place = self._current.place if self._current else Where()
            try:
                boxes = self._parse_label(label)
            except RecordError as error:
                raise error.at(place) from error
            if knows_form:
                wrong.add(label, place)
            if len(boxes) == 0:
                continue
            if width is not None and boxes.shape[1] != width:
                raise RecordError(
                    f"objects of {boxes.shape[1]} numbers, those before had {width}"
                ).at(place)
            most, width = max(most, boxes.shape[0]), boxes.shape[1]
        wrong.finish()
        if wrong.boxes:
            _log.warning(
                "%d wrong boxes in %d images, bad_boxes=%r: %s",
                wrong.boxes,
                wrong.images,
                self.bad_boxes,
                wrong.first,
            )
        self.reset()
        return max(most, 1), width or LEAST_OBJECT

    def _parse_label(self, label: Any) -> npt.NDArray[np.float32]:
        """Return the valid objects of a stored label, float32[objects, B]; a hook to override.

        Raises
        ------
        RecordError         a RuntimeError, as in MXNet: the label is malformed or no box is valid
        """
        return parse_label(label, self.bad_boxes)

    def _check_valid_label(self, label: npt.NDArray[Any]) -> None:
        """Raise RecordError unless an augmented label holds a valid object; a hook to override."""
        check_valid_label(label)

    def _make_chain(self, epoch: int) -> DetChain:
        return DetChain(
            self.auglist,
            self._draws,
            self._seed,
            epoch,
            partial(parse_label, bad_boxes=self.bad_boxes),
            check_valid_label,
        )

    def _hooked(self, sample: Sample) -> Any:
        try:
            self.check_valid_image(sample.pixels)
            boxes = self._parse_label(sample.label)
            sample.background = len(boxes) == 0
            pixels, sample.boxes = self.augmentation_transform(sample.pixels, boxes)
            if not sample.background:
                self._check_valid_label(sample.boxes)
        except OptionError:
            raise
        except RuntimeError as error:
            sample.skip = error
            return None
        return self.postprocess_data(pixels)

    def augmentation_transform(  # type: ignore[override]
        self, data: Any, label: npt.NDArray[Any]
    ) -> tuple[Any, npt.NDArray[Any]]:
        """Apply the augmenters to one image and its label; a hook to override."""
        draws = self._sample_draws()
        for aug in self.auglist:
            if det_in_two_steps(aug):
                plan, _, label = aug.draw(tuple(data.shape), label, aug.draws or draws)
                data = aug.apply(data, plan)
            else:
                data, label = returned(aug, aug(data, label))
        return data, label

    def _batch(self, rows: list[Sample], pad: int) -> DataBatch:
        """Lay finished samples out as a batch."""
        data = self._pool.array((self.batch_size, *self.data_shape), np.float32)
        label = np.full((self.batch_size, *self.label_shape), -1, np.float32)
        for number, sample in enumerate(rows):
            fill_row(data[number], sample.row)
            boxes = sample.boxes
            if len(boxes) == 0:
                continue
            if boxes.shape[0] > self.label_shape[0] or boxes.shape[1] != self.label_shape[1]:
                raise RecordError(
                    f"a label of {boxes.shape[0]} objects of {boxes.shape[1]} numbers, label_shape "
                    f"is {self.label_shape}: reshape the iterator"
                ).at(sample.place)
            label[number, : boxes.shape[0]] = boxes
        return DataBatch([data], [host_array(label)], pad=pad)

    def reshape(
        self,
        data_shape: tuple[int, ...] | None = None,
        label_shape: tuple[int, int] | None = None,
    ) -> None:
        """Change the shapes of the batches to come.

        Parameters
        ----------
        data_shape : (3, height, width), optional   the augmenters do not change, so they must give
                                                    this size already
        label_shape : (objects, width), optional    not fewer objects than now, the same width

        Raises
        ------
        ValueError              an impossible shape
        """
        if data_shape is not None:
            self.check_data_shape(data_shape)
            self.provide_data = [(self.provide_data[0][0], (self.batch_size, *data_shape))]
            self.data_shape = tuple(data_shape)
            self._seek(self.cur)  # what was made ahead has the old shape
        if label_shape is not None:
            self.check_label_shape(label_shape)
            self.provide_label = [(self.provide_label[0][0], (self.batch_size, *label_shape))]
            self.label_shape = (label_shape[0], label_shape[1])

    def check_label_shape(self, label_shape: tuple[int, int]) -> None:
        """Raise ValueError unless `label_shape` can replace the present one; a hook."""
        if not len(label_shape) == 2:
            raise OptionError("label_shape should have length 2")
        if label_shape[0] < self.label_shape[0]:
            raise OptionError(
                f"Attempts to reduce label count from {self.label_shape[0]} to {label_shape[0]}, "
                "not allowed."
            )
        if label_shape[1] != self.provide_label[0][1][2]:
            raise OptionError(
                f"label_shape object width inconsistent: {self.provide_label[0][1][2]} vs "
                f"{label_shape[1]}."
            )

    def sync_label_shape(self, it: ImageDetIter, verbose: bool = False) -> ImageDetIter:
        """Give this iterator and `it` the larger label shape of the two; return `it`.

        Parameters
        ----------
        it : ImageDetIter
        verbose : bool          log the new shape

        Raises
        ------
        AssertionError          `it` is another kind of iterator, or has objects of another width
        """
        assert isinstance(it, ImageDetIter), "Synchronize with invalid iterator."
        assert self.label_shape[1] == it.label_shape[1], (
            f"objects of {self.label_shape[1]} and of {it.label_shape[1]} numbers"
        )
        shape = (max(self.label_shape[0], it.label_shape[0]), self.label_shape[1])
        if shape[0] > self.label_shape[0]:
            self.reshape(None, shape)
        if shape[0] > it.label_shape[0]:
            it.reshape(None, shape)
        if verbose:
            _log.info("Resized label_shape to %s.", shape)
        return it

    def draw_next(
        self,
        color: Any = None,
        thickness: int = 2,
        mean: Any = None,
        std: Any = None,
        clip: bool = True,
        waitKey: int | None = None,
        window_name: str = "draw_next",
        id2labels: Any = None,
    ) -> Iterator[npt.NDArray[np.uint8]]:
        """Yield the next samples as pictures with their boxes, from the iterator's own position.

        Parameters
        ----------
        color : (r, g, b), optional     of the boxes, 0 to 255; random for each box if None
        thickness : int, default 2      of the lines, pixels
        mean, std : True, array[3] or None      of a normalisation to undo; True is ImageNet's
        clip : bool, default True       to [0, 255] before the cast to uint8
        waitKey : int, optional         show each picture in a window for that many milliseconds;
                                        needs an OpenCV with windows
        window_name : str
        id2labels : dict, optional      class names by id, written beside the boxes

        Returns
        -------
        iterator of uint8[H, W, 3], B G R
        """
        style = BoxStyle(color, thickness, mean, std, clip, id2labels, self._draws)
        while True:
            rows: list[Sample] = []
            with self._turn:
                self._settle()
                if not self._make(1, rows):
                    return
            for made in rows:
                picture = draw_boxes(made.row, made.boxes, style)
                if waitKey is not None:
                    show(picture, window_name, waitKey)
                yield picture
