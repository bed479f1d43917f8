"""MNISTIter: images and labels in idx files.

Invariant: the files are read once, at construction, as bytes; a batch converts only its own rows.
"""

from __future__ import annotations

import gzip
import inspect
import io
import itertools
import logging
import math
import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

from gpuio.errors import FormatError, OptionError, Where
from gpuio.forking import working
from gpuio.io.base import DataDesc
from gpuio.io.rows import RowIter, row_shape
from gpuio.nd import Context, host_array
from gpuio.options import convert
from gpuio.options.declare import convert_option
from gpuio.order.even import ShardPlan, separate_plan
from gpuio.order.rng import Mersenne, draw_below, shuffle
from gpuio.recordio.fingerprint import sampled_array
from gpuio.storage.files import read_whole
from gpuio.storage.paths import absolute

__all__ = ["MNISTIter"]

_GZIP = b"\x1f\x8b"
_PIECE = 1 << 20  # bytes unpacked at once
_UNPACKED, _RATIO = 64 << 20, 100  # most bytes, and most times the packed ones
_log = logging.getLogger("gpuio")


class MNISTIter(RowIter):
    """Iterate over a set of small gray images in the idx format of the MNIST database.

    A batch holds ``data[0]``, float32 (batch_size, 1, rows, columns), or (batch_size,
    rows * columns) with `flat`, byte / 256; ``label[0]``, float32 (batch_size,); ``index``, uint64
    (batch_size,), the images' numbers in the file; ``pad``, always 0, because an incomplete last
    batch is left out.

    Parameters
    ----------
    image, label : str              idx files, plain or gzip
    batch_size : int                >= 1
    shuffle : bool                  shuffle once, at construction; every epoch has that order
    flat : bool
    seed : int                      of the shuffle; the order is MXNet's
    silent : bool                   False: log the number of images once (logger "gpuio", INFO)
    num_parts, part_index : int     read images [N / num_parts * part_index,
                                    N / num_parts * (part_index + 1)) only, before the shuffle
    prefetch_buffer : int           batches made ahead on a thread; 0: no thread
    ctx : "cpu", "gpu" or Context   the device of the batches
    data_shape, input_shape : optional
                                    shape of one image as the caller expects it, (rows * columns,)
                                    with `flat`, (1, rows, columns) without; another one is logged
                                    (logger "gpuio", WARNING) and has no effect
    dtype : "float32" or None
    data_name, label_name : str     names in provide_data and provide_label

    Raises
    ------
    OptionError                     an option out of its range
    StorageError, FormatError       a missing file, or one that differs from its header

    Notes
    -----
    MXNet 1.9.1 takes no notice of `data_shape` and `input_shape`, reads plain files only, does not
    look at the header's magic number, and leaves `index` 0; its constructor raises StopIteration if
    the part holds less than a batch; in gpuio the epoch is then empty.
    """

    def __init__(
        self,
        *,
        image: str = "./train-images-idx3-ubyte",
        label: str = "./train-labels-idx1-ubyte",
        batch_size: int = 128,
        shuffle: bool = True,
        flat: bool = False,
        seed: int = 0,
        silent: bool = False,
        num_parts: int = 1,
        part_index: int = 0,
        prefetch_buffer: int = 4,
        ctx: str | Context = "cpu",
        dtype: Any = None,
        data_name: str = "data",
        label_name: str = "softmax_label",
        data_shape: Any = None,
        input_shape: Any = None,
    ) -> None:
        image, label = absolute(image), absolute(label)
        given = {name: value for name, value in locals().items() if name in _OPTIONS}
        size = convert_option("batch_size", convert.positive, batch_size)
        parts = convert_option("num_parts", convert.positive, num_parts)
        part = convert_option("part_index", convert.integer(0, parts - 1), part_index)
        start = convert_option("seed", convert.integer(), seed)
        if dtype not in (None, "None") and np.dtype(dtype) != np.float32:
            raise OptionError(f"dtype={np.dtype(dtype).name}: MNISTIter gives float32 only")
        images, labels = _read_pair(image, label)
        if convert_option("flat", convert.switch, flat):
            images = images.reshape(len(images), -1)
        else:
            images = images[:, None]
        _compare_shapes(images.shape[1:], {"data_shape": data_shape, "input_shape": input_shape})
        edges = [int(len(images) / parts * at) for at in range(parts + 1)]
        self._counts = [high - low for low, high in itertools.pairwise(edges)]
        order = np.arange(edges[part], edges[part + 1], dtype=np.int32)
        if convert_option("shuffle", convert.switch, shuffle):
            _shuffle(order, start)
        if not convert_option("silent", convert.switch, silent):
            _log.info("MNISTIter: %d of %d images from %s", len(order), len(images), image)
        super().__init__(
            _Images(images, labels, order),
            batch_size=size,
            last_batch="discard",
            prefetch_buffer=prefetch_buffer,
            ctx=ctx,
            data=DataDesc(data_name, (size, *images.shape[1:]), np.float32),
            label=DataDesc(label_name, (size,), np.float32),
            identity={
                "images": len(images),
                "part": [part, parts],
                "order": zlib.crc32(order.tobytes()),
            },
            given=given,
        )

    def _plan(self) -> ShardPlan:
        return separate_plan(self._counts, self.batch_size, "discard")


_OPTIONS = frozenset(inspect.signature(MNISTIter).parameters)


def _compare_shapes(true: tuple[int, ...], expected: dict[str, Any]) -> None:
    """Log a shape that the caller expects and the images do not have."""
    for name, given in expected.items():
        if given is None:
            continue
        shape = convert_option(name, row_shape, given)
        if shape != true:
            _log.warning(
                "MNISTIter: %s=%s, but an image is %s (flat=True gives one axis); it has no effect",
                name,
                shape,
                true,
            )


class _Images:
    """Images and labels in memory, and their order."""

    def __init__(
        self,
        images: npt.NDArray[np.uint8],
        labels: npt.NDArray[np.uint8],
        order: npt.NDArray[np.int32],
    ) -> None:
        self._images, self._labels, self._order = images, labels, order

    def __len__(self) -> int:
        return len(self._order)

    def make(
        self,
        rows: npt.NDArray[np.int64],
        size: int,  # noqa: ARG002 -- an incomplete batch is left out, so it is len(rows)
    ) -> tuple[Any, Any, Any]:
        """Return data, label and index of a batch."""
        where = self._order[rows]
        data = self._images[where].astype(np.float32)
        data *= np.float32(1 / 256)
        label = self._labels[where].astype(np.float32)
        return host_array(data), host_array(label), host_array(where.astype(np.uint64))

    def digest(self) -> list[int | None]:
        """Return the numbers by which a state knows the files again, of images and labels."""
        return [sampled_array(self._images), zlib.crc32(self._labels.data)]

    def check_unchanged(self) -> None:
        """There is nothing to check: the files were read at construction."""

    def close(self) -> None:
        """There is nothing to close: the files were read at construction."""


def _shuffle(order: npt.NDArray[np.int32], seed: int) -> None:
    """Shuffle in place, as MXNet's build does."""
    if len(order) > 1:
        sizes = np.arange(2, len(order) + 1, dtype=np.uint32)
        with working:  # it may import a kernel
            shuffle(order, draw_below(Mersenne(seed), sizes))


def _read_pair(image: str, label: str) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Return images uint8[n, rows, columns] and labels uint8[n]."""
    images, labels = _read_idx(image, 3), _read_idx(label, 1)
    if len(images) != len(labels):
        raise FormatError(
            f"{len(images)} images, but {len(labels)} labels in {label}: expected as many",
            path=image,
        )
    return images, labels


def _unpacked(packed: bytes, head: int) -> bytes:
    """Unpack a gzip file as far as the lengths in its first `head` bytes say, a piece at a time.

    A thousand bytes can become a million: neither what lies behind the items nor what the lengths
    claim is made room for.
    """
    with gzip.GzipFile(fileobj=io.BytesIO(packed)) as file:
        blob = bytearray(file.read(head))
        if len(blob) < head:
            return bytes(blob)
        size = math.prod(struct.unpack_from(f">{head // 4 - 1}I", blob, 4))
        most = max(_UNPACKED, _RATIO * len(packed))
        while size and (piece := file.read(min(size, _PIECE))):
            blob += piece
            size -= len(piece)
            if len(blob) > most:
                raise FormatError(
                    f"{len(packed):,} bytes unpack to more than {most:,}: if the file is genuine, "
                    "unpack it with gunzip and name the unpacked file"
                )
        file.read(1)  # at the end the checksum is compared
    return bytes(blob)


def _read_idx(path: str, axes: int) -> npt.NDArray[np.uint8]:
    """Return the array of an idx file of bytes.

    Source: the format's description at the MNIST database: 0, 0, type 8 (bytes), number of axes,
    then the lengths, big-endian, then the bytes.
    """
    blob = read_whole(path)
    head = 4 + 4 * axes
    try:
        if blob[:2] == _GZIP:
            blob = _unpacked(blob, head)
    except FormatError as error:
        raise error.at(Where(path)) from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise FormatError(f"damaged gzip file: {error}", path=path) from error
    if len(blob) < head or blob[:4] != bytes([0, 0, 8, axes]):
        raise FormatError(
            f"not an idx file of bytes with {axes} axes: it begins with {blob[:4].hex(' ')!r}, "
            f"expected '00 00 08 {axes:02x}'",
            path=path,
            offset=0,
        )
    shape = struct.unpack(f">{axes}I", blob[4:head])
    if len(blob) - head < math.prod(shape):
        raise FormatError(
            f"the header says {shape}, {math.prod(shape)} bytes; {len(blob) - head} are there",
            path=path,
            offset=head,
        )
    return np.frombuffer(blob, np.uint8, math.prod(shape), head).reshape(shape)
