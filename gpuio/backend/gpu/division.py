"""How decoding is divided between a GPU's engines and the host's cores.

Invariant: a function of the batch's place, its records' headers and the share; neither time nor
the other batches take part. It is worked out for a batch as a whole, however the batch is then
made.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import numpy.typing as npt

from gpuio.backend.gpu.crew import Crew, Team
from gpuio.backend.gpu.tally import Tally
from gpuio.backend.protocol import Encoded, Sample
from gpuio.decode.formats import engine_takes

__all__ = ["HOST_PIXELS", "HostDivision", "for_host", "work_of"]

_log = logging.getLogger("gpuio")

HOST_PIXELS = 65_536  # an image of fewer is decoded by the host: an engine's cost per image is more

# what decoding an encoded byte costs, in decoded pixels: 15.2 and 2.5 ns with TurboJPEG on an EPYC,
# fitted to 240 JPEGs of 5 to 500 KB
_PIXELS_A_BYTE = 6
_FIRST = 0.5  # what engines are opened for while the share is to be found
_ANEW = 0.1  # of their part of a batch: engines whose part changes by more are opened anew
# multiples of them, less their whole parts, fill 0 to 1 evenly (Roberts' sequence, 1D and 2D)
_BY_NUMBER, _BY_PASS = 0.6180339887498949, 0.7548776662466927


class HostDivision:
    """What the host's cores get of one backend's batches.

    Parameters
    ----------
    share : float or None   of a batch's work, 0 to 1; None: to be found, see `decide`
    small : int or None     height * width below which an image is the host's; None: the rule, 0
                            where the share is 0, else `HOST_PIXELS`
    engines : int           decode engines at most
    renew : callable        called where the share has changed, with the share: what engines are
                            warmed up for is another size of batches now
    verbose : bool          log what was decided
    """

    def __init__(
        self,
        share: float | None,
        small: int | None,
        engines: int,
        renew: Callable[[], None],
        *,
        verbose: bool,
    ) -> None:
        self.share, self._small, self._trial = share, small, _FIRST
        self._engines, self._renew, self._verbose = engines, renew, verbose
        self.crew, self.tally = Crew(), Tally()

    @property
    def engines(self) -> int:
        """Threads that drive engines, beside those that decode on the host."""
        return self._engines if self.share is None or 0 < self.share < 1 else 0

    @property
    def assumed(self) -> float:
        """The share; while it is to be found, that of the trial."""
        return self._trial if self.share is None else self.share

    def helpers(self, rows: int, threads: int) -> int:
        """Return how many calls help the one that makes a batch."""
        return 0 if self.share == 0 else min(rows, threads)

    def team(self, place: tuple[int, int, int], rows: int, threads: int) -> Team:
        """Return what the calls that make a batch together share."""
        return Team(place, self.assumed, self.helpers(rows, threads))

    def help(self, team: Team) -> None:
        """Help to make a batch; returns when there is nothing left to begin."""
        self.crew.help(team)

    def decide(self, share: float, why: str = "") -> None:
        """Divide by another share from here on; no batch is being made now."""
        self._renew_for(share)
        self.share = share
        if why and self._verbose:
            _log.info("host_share=%g: %s", share, why)

    def measuring(self, share: float) -> AbstractContextManager[list[Sample]]:
        """Divide by a share on trial, and give the samples of the calls made meanwhile."""
        self._renew_for(share)
        self._trial = share
        return self.tally.measuring()

    def _renew_for(self, share: float) -> None:
        """Have engines opened anew where their part of a batch changes by much."""
        if abs(share - self.assumed) > _ANEW * (1 - self.assumed):
            self._renew()

    def as_dict(self) -> dict[str, Any]:
        """Return the share, and what each side did."""
        return {"host_share": self.share, **self.tally.as_dict()}

    def for_host(
        self, records: Encoded, plan: npt.NDArray[np.void], channels: int, team: Team
    ) -> npt.NDArray[np.bool_]:
        """Return which of a batch's images the host decodes."""
        small = self._small
        if small is None:
            small = 0 if team.share == 0 else HOST_PIXELS
        return for_host(records, plan, channels, share=team.share, place=team.place, small=small)


def work_of(
    encoded_bytes: npt.NDArray[np.int64], pixels: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Return how much work images are, in pixels."""
    made: npt.NDArray[np.float64] = np.maximum(encoded_bytes, 0) * float(_PIXELS_A_BYTE) + pixels
    return made


def for_host(
    records: Encoded,
    plan: npt.NDArray[np.void],
    channels: int,
    *,
    share: float,
    place: tuple[int, int, int],
    small: int,
) -> npt.NDArray[np.bool_]:
    """Return which images the host decodes; the engine gets the others.

    What the engine does not take is the host's, and so are small images. Of the rest the host gets
    so many, in an order drawn for the place, that all it has is `share` of the batch's work: the
    last one or not, as the place says, so that it is `share` over many batches.

    Parameters
    ----------
    records : Encoded           n rows
    plan : PLAN[n]
    channels : {1, 3, 4}        of the pixels wanted
    share : float               0 to 1
    place : (int, int, int)     pass, start and number of the batch
    small : int                 height * width below which an image is small

    Returns
    -------
    bool[n]                     true, too, where there is no image
    """
    sizes = plan["src_h"].astype(np.int64), plan["src_w"].astype(np.int64)
    pixels = sizes[0] * sizes[1]
    host = pixels < small
    if host.all():
        return host
    host |= ~_takes(records, sizes, channels)
    if share <= 0 or host.all():
        return host
    if share >= 1:
        return np.ones(len(records), np.bool_)
    work = np.where(records.length >= 0, work_of(records.length, pixels), 0.0)
    wanted = share * work.sum() - work[host].sum()
    rest = np.flatnonzero(~host)
    words = np.random.SeedSequence(place).generate_state(len(rest), np.uint64)
    rest = rest[np.argsort(words, kind="stable")]
    last = (0.5 + place[2] * _BY_NUMBER + place[0] * _BY_PASS) % 1.0
    ends = np.cumsum(work[rest])
    host[rest[ends - (1 - last) * work[rest] <= wanted]] = True
    return host


def _takes(
    records: Encoded, sizes: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]], channels: int
) -> npt.NDArray[np.bool_]:
    """Say which images an engine takes."""
    if channels == 4:
        return np.zeros(len(records), np.bool_)
    headers = records.headers
    # engines differ over what becomes of a JPEG that was cut short: OpenCV's word counts
    takes: npt.NDArray[np.bool_] = engine_takes(headers) & (headers["ended"] != 0)
    takes &= records.scale == 1
    takes &= (headers["height"] == sizes[0]) & (headers["width"] == sizes[1])
    return takes & (records.length >= 0)
