"""ImageIter: batches from .rec files or lists of images, with augmenters in Python."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gpuio.errors import OptionError, RecordError, Where
from gpuio.image.augment import in_two_steps
from gpuio.image.chain import decode, fill_row, returned
from gpuio.image.draws import GLOBAL, Rng, as_draws
from gpuio.image.recipes import CreateAugmenter
from gpuio.image.sampleiter import SampleIter
from gpuio.image.source import Sample, SampleSource
from gpuio.io.base import DataBatch
from gpuio.nd import host_array
from gpuio.options.machine import MAX_PIXELS, MAX_SCANS
from gpuio.options.unknown import parameters, refuse_unknown

__all__ = ["ImageIter", "check_keywords"]

LAST_BATCH = ("pad", "discard", "roll_over")
LABEL_DTYPES = ("int32", "float32", "int64", "float64")


class ImageIter(SampleIter):
    """Iterate over images of a .rec file or a list, decoded and augmented.

    Parameters
    ----------
    batch_size : int                        >= 1
    data_shape : (3, height, width)         a tuple
    label_width : int, default 1            numbers per label; a single one is repeated
    path_imgrec : path, optional            record file; without `path_imgidx` read from its start
    path_imglist : path, optional           .lst file; with `path_imgrec` its labels replace the
                                            records' own
    path_root : path, optional              folder that listed paths are relative to
    path_imgidx : path, optional            index of `path_imgrec`
    shuffle : bool, default False           shuffle at construction and at every `reset`; needs keys
    part_index, num_parts : int             this reader's part of the keys; the remainder of the
                                            division is left out, as in MXNet
    aug_list : list of callables, optional  default: ``CreateAugmenter(data_shape, **kwargs)``
    imglist : list, optional                rows ``[label, path]``, ``[labels, path]`` or
                                            ``[label, label, ..., path]``
    data_name, label_name : str
    dtype : {"float32", "int32", "int64", "float64"}    of the labels; data is always float32
    last_batch_handle : {"pad", "discard", "roll_over"}
        Fill a short last batch from the start of the same order, drop it, or keep its samples for
        the next epoch.
    rng : optional                          see Notes
    preprocess_threads : int, default 4     worker threads; 0 does everything inside `next()`
    prefetch_buffer : int, default 2        batches made ahead, >= 1; 8 images per thread where
                                            augmentation has to wait for its random numbers
    max_pixels, max_scans : int             an image that claims more pixels, or a JPEG of more
                                            scans, is an error before it is decoded
    **kwargs                                for `CreateAugmenter`; without effect beside `aug_list`

    Raises
    ------
    AssertionError      no source, or an impossible dtype, part or shuffle, as in MXNet
    OptionError         data_shape (a ValueError, as in MXNet), batch size, last_batch_handle, or a
                        keyword that neither this class nor `CreateAugmenter` knows
    GpuioError          a file cannot be opened or read

    Notes
    -----
    `rng=None` draws from Python's and NumPy's global generators inside `next()` and `reset()`, in
    MXNet's order, so seeding them repeats MXNet's batches. An int makes every epoch a function of
    that seed only, for any number of threads, and lets everything run ahead. A `random.Random` or
    `numpy.random.Generator` replaces the global ones.

    Unlike MXNet: an epoch that has ended stays ended until `reset()`; labels have `dtype`; a
    padded batch larger than two epochs repeats the samples instead of leaving memory uninitialised;
    a shorter roll-over is kept until it fills a batch; `path_root=None` takes paths as they are.
    The first batch after a roll-over counts its *new* rows as `pad`, as in MXNet.

    Iterators can be pickled, with the attributes that a subclass added: the copy opens the files
    again and continues where the original stands, which stays open.
    """

    def __init__(
        self,
        batch_size: int,
        data_shape: tuple[int, ...],
        label_width: int = 1,
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
        label_name: str = "softmax_label",
        dtype: str = "float32",
        last_batch_handle: str = "pad",
        *,
        rng: Rng = None,
        preprocess_threads: int = 4,
        prefetch_buffer: int = 2,
        max_pixels: int = MAX_PIXELS,
        max_scans: int = MAX_SCANS,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        check_keywords(type(self), CreateAugmenter, kwargs)
        assert path_imgrec or path_imglist or isinstance(imglist, list), (
            "no source: give path_imgrec, path_imglist or imglist (a list)"
        )
        self.dtype = np.dtype(dtype)
        assert self.dtype.name in LABEL_DTYPES, f"{dtype} label not supported: {LABEL_DTYPES}"
        _check_counts(batch_size, label_width, preprocess_threads, prefetch_buffer)
        if last_batch_handle not in LAST_BATCH:
            raise OptionError(f"last_batch_handle={last_batch_handle!r}: expected {LAST_BATCH}")
        self.check_data_shape(data_shape)
        self.batch_size, self.data_shape = batch_size, tuple(data_shape)
        self.label_width, self.shuffle = label_width, shuffle
        self.last_batch_handle = last_batch_handle
        self.preprocess_threads, self.prefetch_buffer = preprocess_threads, prefetch_buffer
        self._seed = int(rng) if isinstance(rng, (int, np.integer)) else None
        self._draws = as_draws(rng) if self._seed is None else GLOBAL
        self.provide_data = [(data_name, (batch_size, *self.data_shape))]
        width = () if label_width == 1 else (label_width,)
        self.provide_label = [(label_name, (batch_size, *width))]
        if aug_list is None:
            aug_list = CreateAugmenter(self.data_shape, **kwargs)  # type: ignore[arg-type]
        self.auglist = list(aug_list)

        self._source = SampleSource(
            path_imgrec, path_imgidx, path_imglist, imglist, path_root, (1, label_width)
        )
        self._source.limits = max_pixels, max_scans
        self.imgrec, self.imglist = self._source.imgrec, self._source.imglist
        self.imgidx, self.path_root = self._source.imgidx, path_root
        self.seq = self._share(part_index, num_parts)
        self.num_image = None if self.seq is None else len(self.seq)
        self._base = list(self.seq) if shuffle and self.seq is not None else self.seq
        self.part_index, self.num_parts = part_index, num_parts

        self._begin()

    def _batch(self, rows: list[Sample], pad: int) -> DataBatch:
        """Make a batch of finished samples."""
        data = self._pool.array((self.batch_size, *self.data_shape), np.float32)
        label = np.empty(self.provide_label[0][1], self.dtype)
        for number, sample in enumerate(rows):
            fill_row(data[number], sample.row)
            label[number] = self._label(sample)
        return DataBatch([data], [host_array(label)], pad=pad)

    def _label(self, sample: Sample) -> Any:
        """Return a sample's label, one number or `label_width` of them."""
        values = np.asarray(sample.label).reshape(-1)
        if values.size not in (1, self.label_width):
            raise RecordError(
                f"the label has {values.size} numbers, label_width is {self.label_width}"
            ).at(sample.place)
        return values[0] if self.label_width == 1 else values

    def _hooked(self, sample: Sample) -> Any:
        try:
            self.check_valid_image(sample.pixels)
        except RuntimeError as error:
            sample.skip = error
            return None
        return self.postprocess_data(self.augmentation_transform(sample.pixels))

    def check_data_shape(self, data_shape: tuple[int, ...]) -> None:
        """Refuse a data_shape that is not a tuple (3, height, width); a hook to override."""
        if not len(data_shape) == 3:
            raise OptionError("data_shape should have length 3, with dimensions CxHxW")
        if not data_shape[0] == 3:
            raise OptionError("This iterator expects inputs to have 3 channels.")

    def check_valid_image(self, data: Any) -> None:
        """Raise RuntimeError to have a decoded image skipped; a hook to override."""
        if len(data[0].shape) == 0:
            raise RuntimeError("Data shape is wrong")

    def imdecode(self, s: bytes) -> Any:
        """Decode the current sample to uint8[height, width, 3], R G B; a hook to override.

        Raises
        ------
        DecodeError         a RuntimeError, as in MXNet; names the sample
        """
        current = self._current
        place = current.place if current is not None else Where()
        return decode(Sample(None, self.cur, blob=s, place=place), self._source.limits)

    def augmentation_transform(self, data: Any) -> Any:
        """Apply the augmenters to one image; a hook to override."""
        draws = self._sample_draws()
        for aug in self.auglist:
            if in_two_steps(aug):
                plan, _ = aug.draw(tuple(data.shape), aug.draws or draws)
                data = aug.apply(data, plan)
            else:
                data = returned(aug, aug(data))
        return data

    def postprocess_data(self, datum: Any) -> Any:
        """Turn an augmented (H, W, 3) image into (3, H, W); a hook to override."""
        return datum.transpose(2, 0, 1)


def check_keywords(
    iterator: type[Any], recipe: Callable[..., Any], keywords: dict[str, Any]
) -> None:
    """Refuse further keywords that the recipe for augmenters does not take."""
    own = [*inspect.signature(iterator).parameters, "rng", "preprocess_threads", "prefetch_buffer"]
    refuse_unknown(keywords, parameters(recipe) or (), own)


def _check_counts(
    batch_size: int, label_width: int, preprocess_threads: int, prefetch_buffer: int
) -> None:
    """Refuse counts below what makes sense."""
    for name, value, least in (
        ("batch_size", batch_size, 1),
        ("label_width", label_width, 1),
        ("preprocess_threads", preprocess_threads, 0),
        ("prefetch_buffer", prefetch_buffer, 1),
    ):
        if value < least:
            raise OptionError(f"{name}={value}: expected at least {least}")
