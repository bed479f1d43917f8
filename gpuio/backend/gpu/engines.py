"""The decode engines of one GPU: which library, how many, and who has one at the moment.

An engine serialises its calls, so two of them let one batch's parsing overlap another's decoding.
One kind of engine is at work at a time. An engine that fails a whole batch (DALI) is
replaced permanently by one that reports bad images one by one (nvImageCodec): a file with one bad
image has more of them.

Neither library tells a full GPU from a damaged image: nvImageCodec raises nothing and leaves images
out, DALI says that it failed to decode a sample. So before many refusals are believed, the batch is
tried once more with room made for it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from gpuio.backend.gpu.probe import Machine
from gpuio.decode.engine import Engine, OutOfDeviceMemoryError
from gpuio.errors import DecodeError, OptionError

__all__ = ["EnginePool", "choose_engine", "engine_opener"]

_log = logging.getLogger("gpuio")
_NAMES = ("auto", "dali", "nvimgcodec")
_LONGEST_PAUSE = 1024  # batches


def choose_engine(name: str, machine: Machine) -> tuple[str, str]:
    """Return the engine to take and why.

    Parameters
    ----------
    name : {"auto", "dali", "nvimgcodec"}
    machine : Machine       what is installed

    Returns
    -------
    (str, str)              "dali" or "nvimgcodec" ("" when neither is installed), and the reason

    Raises
    ------
    OptionError             an unknown name
    """
    if name not in _NAMES:
        raise OptionError(f"decoder: expected one of {', '.join(_NAMES)}, got {name!r}")
    if name != "auto":
        return name, "asked for by name"
    if machine.dali:
        return "dali", f"DALI {machine.dali} is installed and is the default engine"
    if machine.nvimgcodec:
        return "nvimgcodec", f"nvImageCodec {machine.nvimgcodec} is installed, DALI is not"
    return "", "neither DALI nor nvImageCodec is installed"


def engine_opener(
    name: str,
    device_id: int | None,
    *,
    engines: int,
    hw_decoder_load: float,
    preallocate: tuple[int, int] = (0, 0),
) -> Callable[[], Engine]:
    """Return a function that opens one engine; the host's cores are divided among `engines`."""
    settings: dict[str, Any] = {"hw_decoder_load": hw_decoder_load, "preallocate": preallocate}
    threads = max(1, len(os.sched_getaffinity(0)) // engines)

    def opened() -> Engine:
        if name == "dali":
            from gpuio.decode.dali import DaliEngine

            return DaliEngine(device_id, threads, **settings)
        from gpuio.decode.nvimgcodec import NvImageCodecEngine

        return NvImageCodecEngine(device_id, threads, **settings)

    return opened


class EnginePool:
    """Engines, lent to one caller at a time.

    Parameters
    ----------
    opener : callable           opens an engine; called once at construction, so that a broken
                                library is an error there
    limit : int                 engines at most, >= 1
    rescue : callable, optional opens an engine of the kind that `replace` changes to
    memory : callable, optional returns (free, total) bytes of the engines' device; raises
                                RuntimeError if CUDA is broken there

    Attributes
    ----------
    kind : int                  0, and 1 after `replace` changed to the engines of `rescue`
    name : str                  of the kind's engines
    uses_arena : bool           whether they decode into memory they are handed
    refused : int               images that an engine was given and did not decode
    """

    def __init__(
        self,
        opener: Callable[[], Engine],
        limit: int,
        rescue: Callable[[], Engine] | None = None,
        memory: Callable[[], tuple[int, int]] | None = None,
    ) -> None:
        self._memory = memory
        self._believed, self._pause = 0, 1  # suspect batches taken as they are: now, and next
        self._opener, self._limit, self._rescue = opener, limit, rescue
        self._changed = threading.Condition()
        self._rows = 1
        self._cold: list[Engine] = [opener()]  # opened, not warmed up
        self._free: list[Engine] = []
        self._made, self._closed = 1, False
        self.kind, self.refused = 0, 0
        self.name, self.uses_arena = self._cold[0].name, self._cold[0].uses_arena

    def expect(self, rows: int) -> None:
        """Say how many rows batches have; engines are warmed up for the most ever said."""
        self._rows = max(self._rows, rows)

    def weigh(self, undecoded: int, given: int, *, again: bool) -> None:
        """Have a batch tried once more if an engine left so much of it that the GPU may be full.

        After each second try that was in vain more such batches are taken as they are, before one
        is tried twice again: a file of which engines decode little does not cost twice the time.

        Parameters
        ----------
        undecoded : int         images that the engine did not decode
        given : int             images that it was given, >= 1
        again : bool            whether this was the second try

        Raises
        ------
        OutOfDeviceMemoryError  try again, with room made
        RuntimeError            CUDA is broken on this GPU
        """
        many = 2 * undecoded >= given
        with self._changed:
            if again:
                self._believed = self._pause if many else 0
                self._pause = min(2 * self._pause, _LONGEST_PAUSE) if many else 1
                return
            if not many or self._memory is None:
                return
            if self._believed:
                self._believed -= 1
                return
        # an engine's libraries bring a CUDA runtime of their own, whose last error nobody else can
        # ask for; what is wrong with the GPU itself is seen by any call
        raise OutOfDeviceMemoryError(
            f"{self.name} decoded {given - undecoded} of {given} images{self._room()}"
        )

    def refuse(self, images: int, error: DecodeError) -> None:
        """Count images that OpenCV decodes because an engine did not; the first are logged."""
        with self._changed:
            first = images and not self.refused
            self.refused += images
        if first:
            _log.warning(
                # a log's records may be kept, and errors hold a batch by their traceback's frames
                "OpenCV decodes what %s did not, %d at first%s: %s",
                self.name,
                images,
                self._room(),
                str(error),
            )

    def _room(self) -> str:
        """Word the device's memory, if it can be asked for."""
        if self._memory is None:
            return ""
        free, total = self._memory()
        return f", with {free / 2**20:,.0f} of {total / 2**20:,.0f} MiB free"

    def replace(self, kind: int, error: DecodeError) -> bool:
        """Change to the engines of `rescue`, for good, and say whether to try the batch again.

        Whoever wants an engine meanwhile waits until the new one is open and warm.

        Parameters
        ----------
        kind : int              the kind that was at work when an engine refused a batch as a whole
        error : DecodeError     what it said

        Returns
        -------
        bool                    False: that kind was the last one, or the next cannot be opened
        """
        with self._changed:
            if kind != self.kind:
                return True  # another thread was first
            rescue, self._rescue = self._rescue, None
            if rescue is None or self._closed:
                return False
            self._close_idle()  # their memory may be what the new ones need
            try:
                engine = self._warm(rescue())
            except (RuntimeError, OutOfDeviceMemoryError) as why:  # ours, CUDA's
                _log.warning(
                    "no other engine takes over from %s, OpenCV decodes every batch that it "
                    "refuses: %s",
                    self.name,
                    str(why),
                )
                return False
            finally:
                self._changed.notify_all()
            _log.warning("%s takes over from %s for good: %s", engine.name, self.name, str(error))
            self._opener, self._free, self._made = rescue, [engine], 1
            self.kind, self.name, self.uses_arena = kind + 1, engine.name, engine.uses_arena
        return True

    @contextlib.contextmanager
    def lend(self, meanwhile: Callable[[], bool] | None = None) -> Iterator[Engine]:
        """Lend an engine that nobody else has; waits while all of them are lent.

        `meanwhile` is called as long as none is free: it does some other work and returns true, or
        false if it has none.
        """
        engine, kind = self._take(meanwhile)
        try:
            yield engine
        finally:
            with self._changed:
                stale = self._closed or kind != self.kind
                if not stale:
                    self._free.append(engine)
                elif kind == self.kind:
                    self._made -= 1
                self._changed.notify()
            if stale:
                engine.close()

    def renew(self) -> None:
        """Close the engines, none of which is lent now: the next are for what is expected then."""
        with self._changed:
            self._close_idle()
            self._rows = 1

    def _all_lent(self) -> bool:
        """Say whether somebody has each engine that there may be."""
        return not self._free and not self._cold and self._made >= self._limit

    def close(self) -> None:
        """Close the engines, those that are lent when they come back; may be called twice."""
        with self._changed:
            self._closed = True
            self._close_idle()

    def _close_idle(self) -> None:
        """Close the engines that nobody has; the caller holds the lock."""
        idle, self._free, self._cold = self._free + self._cold, [], []
        self._made -= len(idle)
        for engine in idle:
            engine.close()

    def _take(self, meanwhile: Callable[[], bool] | None) -> tuple[Engine, int]:
        """Return a warm engine and its kind."""
        while meanwhile is not None and self._all_lent():
            if not meanwhile():
                break
        with self._changed:
            while self._all_lent():
                self._changed.wait()
            kind, opener = self.kind, self._opener
            if self._free:
                return self._free.pop(), kind
            engine = self._cold.pop() if self._cold else None
            if engine is None:
                self._made += 1
        try:
            return self._warm(opener() if engine is None else engine), kind
        except BaseException:
            with self._changed:
                if kind == self.kind:
                    self._made -= 1
                self._changed.notify()
            raise

    def _warm(self, engine: Engine) -> Engine:
        """Warm an engine up; it is closed if that fails."""
        try:
            engine.warm_up(_warm_up_jpeg(), self._rows)
        except BaseException:
            engine.close()
            raise
        return engine


def _warm_up_jpeg() -> bytes:
    """Return a small 4:2:0 JPEG of noise."""
    import cv2

    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    encoded: bytes = cv2.imencode(".jpg", noise)[1].tobytes()
    return encoded
