"""VerificationPairIter: batches of a file of image pairs, as face verification sets are.

Invariant: the file is read once, at construction, as encoded images; a batch decodes its own.
"""

from __future__ import annotations

import inspect
import logging
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

from gpuio import hooks
from gpuio.errors import DecodeError, EmptyDatasetError, GpuioError, OptionError
from gpuio.io.base import DataDesc
from gpuio.io.rows import RowIter
from gpuio.kernels.normalise import terms
from gpuio.nd import Context, host_array
from gpuio.options import convert
from gpuio.options.declare import convert_option
from gpuio.options.machine import MAX_PIXELS
from gpuio.options.normalise import beside_bytes
from gpuio.recordio import read_pairs
from gpuio.recordio.fingerprint import some
from gpuio.storage.paths import absolute

__all__ = ["VerificationPairIter"]

_log = logging.getLogger("gpuio")

_NUMBERS = ("mean_r", "mean_g", "mean_b", "std_r", "std_g", "std_b", "scale")


class VerificationPairIter(RowIter):
    """Iterate over the images of a file of pairs (lfw.bin, cfp_fp.bin, agedb_30.bin), in its order.

    A row is an image, and rows 2 i and 2 i + 1 of a batch are a pair. A batch holds ``data[0]``,
    the images, R G B, (batch_size, channels, height, width); ``data[1]``, their copies flipped from
    left to right, unless `flip` is false; ``label[0]``, float32 (batch_size,), 1 where the image's
    pair shows one person and 0 where it shows two, so that ``label[0][::2]`` has one number per
    pair; ``index``, uint64 (batch_size,), the images' numbers in the file; ``pad``, the rows of
    zeros behind the last pair.

    Parameters
    ----------
    path_pairs : str                a pickle of (images, same); read as data only, so it need not be
                                    trusted: see `gpuio.recordio.read_pairs`
    data_shape : (1 or 3, height, width)    of one image
    batch_size : int                images, even and >= 2, so that a pair lies in one batch
    flip : bool                     hand out the flipped copies
    dtype : {"float32", "uint8"}
    mean_r, mean_g, mean_b, std_r, std_g, std_b, scale : float
                                    (pixel - mean) * scale / std, for float32 only; a gray image has
                                    those of red. Pixels are 0 to 255, so are means and divisors
    max_pixels : int                refuse an image whose header claims more
    prefetch_buffer : int           batches made ahead on a thread; 0: no thread
    ctx : "cpu", "gpu" or Context   the device of the batches
    data_name, flipped_name, label_name : str       names in provide_data and provide_label

    Raises
    ------
    OptionError                     an option out of its range
    StorageError, FormatError       the file cannot be read, is not a file of pairs, or has none
    DecodeError                     from ``next()``: an image is damaged or has another aspect ratio
                                    than data_shape; names the file, the image's number as its key,
                                    and the pair. Asked again, it is tried again

    Notes
    -----
    Ours; MXNet has no such iterator. Decoding is `gpuio.image.imdecode`. An image of another size
    is brought to data_shape's shorter edge by `gpuio.image.resize_short`, as InsightFace's
    evaluation does; nothing is cropped, for the faces are aligned.
    """

    def __init__(
        self,
        *,
        path_pairs: str,
        data_shape: Any = (3, 112, 112),
        batch_size: int = 64,
        flip: bool = True,
        dtype: Any = "float32",
        mean_r: float = 0.0,
        mean_g: float = 0.0,
        mean_b: float = 0.0,
        std_r: float = 1.0,
        std_g: float = 1.0,
        std_b: float = 1.0,
        scale: float = 1.0,
        max_pixels: int = MAX_PIXELS,
        prefetch_buffer: int = 4,
        ctx: str | Context = "cpu",
        data_name: str = "data",
        flipped_name: str = "data_flipped",
        label_name: str = "same",
    ) -> None:
        path_pairs = absolute(path_pairs)
        given = {name: value for name, value in locals().items() if name in _OPTIONS}
        size = convert_option("batch_size", _even, batch_size)
        shape = convert_option("data_shape", convert.shape, data_shape)
        if shape[0] not in (1, 3):
            raise OptionError(f"data_shape={shape}: expected 1 or 3 channels")
        kind = _dtype(dtype)
        numbers = {name: convert_option(name, convert.number(), given[name]) for name in _NUMBERS}
        changed = [name for name, value in numbers.items() if value != _OPTIONS[name].default]
        if kind == np.uint8 and changed:
            raise OptionError(f"{changed[0]}: has no effect on dtype='uint8'; choose 'float32'")
        means, stds = ([numbers[f"{name}_{c}"] for c in "rgb"] for name in ("mean", "std"))
        if 0.0 in stds:
            raise OptionError(f"std_{'rgb'[stds.index(0.0)]}=0: expected a divisor other than 0")
        if kind == np.float32 and (doubt := beside_bytes(means, stds, numbers["scale"])):
            _log.warning("VerificationPairIter: %s", doubt)
        names = [data_name]
        if convert_option("flip", convert.switch, flip):
            names.append(flipped_name)
        source = _Pairs(
            path_pairs,
            shape,
            kind,
            terms(means, stds, numbers["scale"])[:2, : shape[0], None, None],
            convert_option("max_pixels", convert.positive, max_pixels),
            flip=len(names) == 2,
        )
        super().__init__(
            source,
            batch_size=size,
            last_batch="pad",
            prefetch_buffer=prefetch_buffer,
            ctx=ctx,
            data=[DataDesc(name, (size, *shape), kind) for name in names],
            label=DataDesc(label_name, (size,), np.float32),
            identity={},
            given=given,
        )


_OPTIONS = inspect.signature(VerificationPairIter).parameters


def _even(value: Any) -> int:
    rows = convert.integer(2)(value)
    if rows % 2:
        raise ValueError(f"expected an even number, so that no pair is divided, got {rows}")
    return rows


def _dtype(value: Any) -> Any:
    try:
        return {"float32": np.float32, "uint8": np.uint8}[np.dtype(value).name]
    except (KeyError, TypeError):
        raise OptionError(f"dtype={value!r}: expected 'float32' or 'uint8'") from None


class _Pairs:
    """The encoded images of a file of pairs, and what becomes of them."""

    def __init__(
        self,
        path: str,
        shape: tuple[int, int, int],
        dtype: Any,
        normalise: npt.NDArray[np.float32],
        max_pixels: int,
        *,
        flip: bool,
    ) -> None:
        self._images, self._same = read_pairs(path)
        if not self._images:
            raise EmptyDatasetError("the file holds no pairs", path=path)
        self._path, self._shape, self._dtype, self._flip = path, shape, dtype, flip
        self._normalise, self._max_pixels = normalise, max_pixels

    def __len__(self) -> int:
        return len(self._images)

    def make(self, rows: npt.NDArray[np.int64], size: int) -> tuple[Any, Any, Any]:
        """Return data, label and index of a batch."""
        data = np.zeros((size, *self._shape), self._dtype)
        for row, number in enumerate(rows.tolist()):
            pixels = self._pixels(number).transpose(2, 0, 1)
            if self._dtype == np.float32:
                mean, factor = self._normalise
                data[row] = (pixels - mean) * factor
            else:
                data[row] = pixels
        label, index = np.zeros(size, np.float32), np.zeros(size, np.uint64)
        label[: len(rows)], index[: len(rows)] = self._same[rows // 2], rows
        arrays = [data, np.ascontiguousarray(data[..., ::-1])] if self._flip else [data]
        return [host_array(each) for each in arrays], host_array(label), host_array(index)

    def _pixels(self, number: int) -> npt.NDArray[np.uint8]:
        """Return an image, uint8[height, width, channels]."""
        channels, *size = self._shape
        try:
            image = hooks.call(
                "imdecode",
                self._images[number],
                int(channels == 3),
                max_pixels=self._max_pixels,
            )
            if list(image.shape[:2]) != size:
                before = image.shape
                image = hooks.call("resize_short", image, min(size))
                if list(image.shape[:2]) != size:
                    raise DecodeError(
                        f"the image has {before[0]} x {before[1]} pixels (height x width), another "
                        f"aspect ratio than data_shape's {size[0]} x {size[1]}"
                    )
        except GpuioError as error:
            where = f"image {number}, of pair {number // 2}: {error.message}"
            raise type(error)(where, path=self._path, key=number) from error
        pixels: npt.NDArray[np.uint8] = np.asarray(image)
        return pixels

    def digest(self) -> list[int | None]:
        """Return the numbers by which a state knows the file again, of images and labels."""
        lengths = np.array([len(image) for image in self._images], np.int64)
        made = zlib.crc32(lengths.tobytes())
        for number in some(len(self._images)):
            made = zlib.crc32(self._images[number], made)
        return [made, zlib.crc32(self._same.tobytes())]

    def check_unchanged(self) -> None:
        """There is nothing to check: the file was read at construction."""

    def close(self) -> None:
        """There is nothing to close: the file was read at construction."""
