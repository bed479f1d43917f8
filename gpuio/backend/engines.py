"""The decode engines of one GPU: which library, how many, and who has one at the moment.

An engine serialises its calls, so two of them let one batch's parsing overlap another's decoding.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from gpuio.backend.probe import Machine
from gpuio.decode.engine import Engine
from gpuio.errors import DecodeError, OptionError

__all__ = ["EnginePool", "choose_engine", "engine_opener"]

_log = logging.getLogger("gpuio")
_NAMES = ("auto", "dali", "nvimgcodec")


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
    opener : callable       opens an engine; called once at construction, so that a broken library
                            is an error there
    limit : int             engines at most, >= 1
    """

    def __init__(self, opener: Callable[[], Engine], limit: int) -> None:
        self._opener, self._limit = opener, limit
        self._changed = threading.Condition()
        self._rows = 1
        self._cold: list[Engine] = [opener()]  # opened, not warmed up
        self._free: list[Engine] = []
        self._made, self._closed = 1, False
        self.refused = 0  # images that an engine did not decode
        self.name, self.uses_arena = self._cold[0].name, self._cold[0].uses_arena

    def expect(self, rows: int) -> None:
        """Say how many rows batches have; engines are warmed up for the most ever said."""
        self._rows = max(self._rows, rows)

    def refuse(self, images: int, error: DecodeError) -> None:
        """Count images that OpenCV decodes because an engine did not; the first are logged."""
        if images and not self.refused:
            _log.warning(
                "OpenCV decodes what %s did not, %d at first: %s", self.name, images, error
            )
        self.refused += images

    @contextlib.contextmanager
    def lend(self) -> Iterator[Engine]:
        """Lend an engine that nobody else has; waits while all of them are lent."""
        engine = self._take()
        try:
            yield engine
        finally:
            with self._changed:
                self._free.append(engine)
                self._changed.notify()
                closed = self._closed
            if closed:
                self.close()

    def close(self) -> None:
        """Close the engines, those that are lent when they come back; may be called twice."""
        with self._changed:
            self._closed = True
            idle, self._free, self._cold = self._free + self._cold, [], []
        for engine in idle:
            engine.close()

    def _take(self) -> Engine:
        with self._changed:
            while not self._free and not self._cold and self._made >= self._limit:
                self._changed.wait()
            if self._free:
                return self._free.pop()
            engine = self._cold.pop() if self._cold else None
            if engine is None:
                self._made += 1
        try:
            if engine is None:
                engine = self._opener()
            engine.warm_up(_warm_up_jpeg(), self._rows)
        except BaseException:
            with self._changed:
                self._made -= 1
                self._changed.notify()
            raise
        return engine


def _warm_up_jpeg() -> bytes:
    """Return a small 4:2:0 JPEG of noise."""
    import cv2

    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    encoded: bytes = cv2.imencode(".jpg", noise)[1].tobytes()
    return encoded
