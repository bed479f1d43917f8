"""The seam: what the pipeline asks of a device.

A backend turns encoded bytes and a plan into a batch. It owns its device memory, streams and decode
engine; the pipeline owns threads, order and files. Nothing else in gpuio knows which device it is.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

import attrs
import numpy as np
import numpy.typing as npt

from gpuio.decode.formats import HEADER
from gpuio.decode.jpeg import Completed
from gpuio.errors import GpuioError, Where

__all__ = ["Backend", "Blob", "Division", "Encoded", "Fault", "Output", "Sample", "Work"]

Blob = bytes | memoryview


@attrs.frozen
class Fault:
    """A row of a batch that could not be made, and why."""

    row: int
    error: GpuioError

    def at(self, row: int, where: Where) -> Fault:
        """Return the fault of row `row` of a larger batch, whose record lies at `where`.

        The traceback goes with the placed error: its frames hold this one, and would be held by it.
        """
        placed = self.error.at(where)
        self.error.__traceback__ = None
        return Fault(row, placed)


@attrs.define(eq=False)
class Work:
    """What a backend did to make some rows.

    Attributes
    ----------
    timed : bool            whether the rest is to be filled in
    decode_s : float        seconds of this thread in which images were decoded
    kernels_s : float       of all that makes pixels of a batch of them; on a device that works
                            behind the host's back, of queueing that
    routes : dict           who decoded ("own", "turbojpeg", "opencv", "engine") to how many
                            images
    """

    timed: bool = False
    decode_s: float = 0.0
    kernels_s: float = 0.0
    routes: dict[str, int] = attrs.field(factory=dict)

    def decoded(self, route: str, images: int) -> None:
        """Count images that were decoded."""
        if images:
            self.routes[route] = self.routes.get(route, 0) + images

    def add(self, other: Work) -> None:
        """Add what was done for some of the rows."""
        self.decode_s += other.decode_s
        self.kernels_s += other.kernels_s
        for route, images in other.routes.items():
            self.decoded(route, images)


@attrs.frozen(eq=False)
class Output:
    """What every image of a pipeline is turned into.

    Attributes
    ----------
    channels, height, width : int   of one image
    dtype : str                     "float32", "float16", "bfloat16", "uint8" or "int8"
    layout : str                    "NCHW" or "NHWC"
    mean, std : float32[channels]   R, G, B (, A) or gray
    scale : float
    mean_image : float32[C, H, W] or None
                                    subtracted pixel by pixel instead of `mean`
    ratio : bool                    floats are ``(p - mean) / std * scale``, each rounded, not a
                                    product with ``scale / std``
    """

    channels: int
    height: int
    width: int
    dtype: str
    layout: str
    mean: npt.NDArray[np.float32]
    std: npt.NDArray[np.float32]
    scale: float
    mean_image: npt.NDArray[np.float32] | None = None
    ratio: bool = False

    def shape(self, rows: int) -> tuple[int, int, int, int]:
        """Return the shape of a batch of `rows` images."""
        if self.layout == "NHWC":
            return (rows, self.height, self.width, self.channels)
        return (rows, self.channels, self.height, self.width)


@attrs.frozen(eq=False)
class Encoded:
    """The encoded images of some rows, and what their headers say: a backend parses none again.

    Attributes
    ----------
    buffers : list of bytes-like    memory in which the images lie, some of them or none in each
    number : int64[n]               the buffer in which a row's image lies
    start : int64[n]                byte of the buffer at which it begins
    length : int64[n]               bytes; -1: the row has no image (pad, or a fault); 0 where it
                                    was decoded before
    address : int64[n]              of the first byte in memory, valid as long as `buffers`; 0 where
                                    there is no image
    headers : HEADER[n]             host; see `gpuio.decode.formats.HEADER`
    scale : int64[n]                1, or 2, 4, 8: the image, a JPEG, is decoded at 1 / scale of its
                                    size, parts of a pixel rounded up, see
                                    `gpuio.plan.decode_scale`
    warned : bool[n]                receives true where a decoder warned of an image's data and made
                                    pixels all the same, as far as a decoder says so
    work : Work                 receives what was done to make these rows; a part of them has one of
                                its own
    decoded : int64[n]              addresses of images that were decoded before, uint8[height,
                                    width, channels], C order, which have no bytes here; 0 for the
                                    others
    keep : int64[n]                 addresses of memory for whole decoded images that are to stay;
                                    0: none
    resident : bool                 `decoded` and `keep` are addresses in the device's memory; 1 is
                                    added to one whose pixels are in R G B order, not in B G R
    kept : bool[n]                  receives true where one stays
    """

    buffers: list[Blob]
    number: npt.NDArray[np.int64]
    start: npt.NDArray[np.int64]
    length: npt.NDArray[np.int64]
    address: npt.NDArray[np.int64]
    headers: npt.NDArray[np.void]
    scale: npt.NDArray[np.int64] = attrs.field()
    warned: npt.NDArray[np.bool_] = attrs.field()
    work: Work = attrs.field(factory=Work)
    decoded: npt.NDArray[np.int64] = attrs.field()
    keep: npt.NDArray[np.int64] = attrs.field()
    kept: npt.NDArray[np.bool_] = attrs.field()
    resident: bool = False

    @scale.default
    def _full_size(self) -> npt.NDArray[np.int64]:
        return np.ones(len(self.length), np.int64)

    @warned.default
    @kept.default
    def _none(self) -> npt.NDArray[np.bool_]:
        return np.zeros(len(self.length), np.bool_)

    @decoded.default
    @keep.default
    def _nowhere(self) -> npt.NDArray[np.int64]:
        return np.zeros(len(self.length), np.int64)

    @classmethod
    def empty(cls, rows: int) -> Encoded:
        """Return rows without an image, to be filled by `put`."""
        number, start, address = np.zeros((3, rows), np.int64)
        length = np.full(rows, -1, np.int64)
        return cls([], number, start, length, address, np.zeros(rows, HEADER))

    @property
    def nbytes(self) -> int:
        """Bytes of all images."""
        return int(self.length[self.length > 0].sum())

    @property
    def cut_short(self) -> int:
        """How many JPEGs were given the end that they lacked."""
        if not any(isinstance(buffer, Completed) for buffer in self.buffers):
            return 0
        return sum(isinstance(blob, Completed) for blob in self.blobs)

    @property
    def blobs(self) -> list[Blob | None]:
        """The image of each row; None: the row has none. Made anew at each call."""
        return [self.blob(row) for row in range(len(self))]

    def blob(self, row: int) -> Blob | None:
        """Return a row's image, None if it has none."""
        length = int(self.length[row])
        if length < 0:
            return None
        start, buffer = int(self.start[row]), self.buffers[int(self.number[row])]
        if start == 0 and length == len(buffer):
            return buffer
        return memoryview(buffer)[start : start + length]

    def some(self, rows: npt.NDArray[np.int64]) -> list[Blob]:
        """Return the images of some rows, all of which have one."""
        views: dict[int, memoryview] = {}
        found: list[Blob] = []
        starts = self.start[rows]
        ends = (starts + self.length[rows]).tolist()
        if len(self.buffers) == 1 and len(rows) > 1:
            whole = memoryview(self.buffers[0])
            return [whole[start:end] for start, end in zip(starts.tolist(), ends, strict=True)]
        for number, start, end in zip(
            self.number[rows].tolist(), starts.tolist(), ends, strict=True
        ):
            buffer = self.buffers[number]
            if start == 0 and end == len(buffer):
                found.append(buffer)
                continue
            view = views.get(number)
            if view is None:
                view = views[number] = memoryview(buffer)
            found.append(view[start:end])
        return found

    def put(self, row: int, blob: Blob) -> None:
        """Give a row an image in memory of its own."""
        self.number[row], self.start[row], self.length[row] = len(self.buffers), 0, len(blob)
        found = np.frombuffer(blob, np.uint8)
        # no bytes are an image, too: one that cannot be decoded
        self.address[row] = found.__array_interface__["data"][0] or 1
        self.buffers.append(blob)

    def note_warning(self, row: int) -> None:
        """Note that a row's image was decoded with a warning; none of one known to be cut short."""
        self.warned[row] = not isinstance(self.buffers[int(self.number[row])], Completed)

    def drop(self, row: int) -> None:
        """Take a row's image away."""
        self.length[row], self.address[row], self.decoded[row] = -1, 0, 0

    def __len__(self) -> int:
        return len(self.length)

    def __getitem__(self, part: slice) -> Encoded:
        return Encoded(
            self.buffers,
            self.number[part],
            self.start[part],
            self.length[part],
            self.address[part],
            self.headers[part],
            self.scale[part],
            self.warned[part],
            decoded=self.decoded[part],
            keep=self.keep[part],
            kept=self.kept[part],
            resident=self.resident,
        )


class Sample(NamedTuple):
    """One call that decoded.

    Attributes
    ----------
    side : {"engine", "host"}
    images : int
    work : float            in units of their own, the same for both sides
    seconds : float
    """

    side: str
    images: int
    work: float
    seconds: float


class Division(Protocol):
    """How decoding is divided between a device's engines and the host's cores.

    Every method may be called from several threads at once.
    """

    @property
    def share(self) -> float | None:
        """Of a batch's work, that the host's cores get, 0 to 1; None: it is to be found."""

    @property
    def engines(self) -> int:
        """Threads that drive engines, beside those that decode on the host."""

    def helpers(self, rows: int, threads: int) -> int:
        """Return how many calls of `help` a batch should have."""

    def team(self, place: tuple[int, int, int], rows: int, threads: int) -> Any:
        """Return what `make` and the calls of `help` for one batch are given.

        Which image goes where is a function of the batch's place (pass, start and number) and the
        share.
        """

    def help(self, team: Any) -> None:
        """Take part in the decoding of a batch for which `make` was called, or will be."""

    def decide(self, share: float, why: str = "") -> None:
        """Divide by another share from here on, and log why; no batch is being made now."""

    def measuring(self, share: float) -> AbstractContextManager[list[Sample]]:
        """Divide by a share on trial, and give a sample of each call, which does not count.

        A call ends when its pixels are there. While none is being made when this is called.
        """

    def as_dict(self) -> dict[str, Any]:
        """Return the share, and counts and seconds (summed over threads) of both sides."""


class Backend(Protocol):
    """A device that makes batches.

    Every method may be called from several threads at once.
    """

    name: str
    device_id: int
    caches: tuple[str, ...]  # kinds of cache of decoded images that it can work with

    @property
    def default_threads(self) -> int:
        """Threads that make batches, where the user does not say."""

    @property
    def most_threads(self) -> int:
        """Threads up to which more are of use, where their number may change."""

    @property
    def division(self) -> Division | None:
        """How decoding is divided; None: the host does all of it."""

    def share(self, batch_size: int, threads: int) -> int:
        """Return how many rows one `make` should take, 1 <= share <= batch_size."""

    def together(self, batch_size: int, output: Output) -> int:
        """Return how many batches one `make` should take, >= 1; they share one `allocate`."""

    def allocate(self, shape: tuple[int, ...], dtype: str) -> Any:
        """Return an array of undefined contents that lives until its last reference is gone."""

    def make(
        self,
        records: Encoded,
        plan: npt.NDArray[np.void],
        output: Output,
        out: Any,
        team: Any = None,
    ) -> list[Fault]:
        """Decode images and execute the plan into `out`, rows without an image zero-filled.

        `out` is complete after `fence`, which comes before it is handed out.

        Parameters
        ----------
        records : Encoded       n rows; decoded to `output.channels`: gray, B G R, or B G R A
        plan : PLAN[n]          host; `src_h`, `src_w` are the sizes of the decoded images: the
                                headers', at `records.scale`; where they are smaller still, an
                                image is made that small as it is decoded
        output : Output
        out : array[n, C, H, W] or [n, H, W, C], the backend's device, from `allocate`
        team : optional         from `division.team`

        Returns
        -------
        list of Fault           rows that could not be made, zero-filled in `out`
        """

    def mix(self, data: Any, partner: npt.NDArray[np.int64], share: float, box: Any) -> None:
        """Mix each row of a finished batch with its partner's, in place.

        Parameters
        ----------
        data : array[B, ...]        from `allocate`
        partner : int64[B]          a row that is its own partner stays as it is
        share : float               of a row's own values, 0 to 1
        box : None, or (y, x, height, width, layout)
                                    what is taken from the partner instead, whole
        """

    def put(self, host: npt.ArrayLike) -> Any:
        """Return a host array as an array of this device, complete: any stream may read it."""

    def reserve(self, size: float) -> tuple[int, int, Any]:
        """Return memory of this device for a cache: address, bytes, and whose death frees it.

        Parameters
        ----------
        size : int or float     bytes; or a share of what is free, above 0 to 1

        Raises
        ------
        BackendError            it has no such memory, or not so much
        """

    def fence(self, batch: Any) -> None:
        """Wait, on the host, until a batch's arrays are complete."""

    def close(self) -> None:
        """Release everything; may be called twice."""
