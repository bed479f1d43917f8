"""Decode with DALI: a pipeline of one decoder, driven by hand.

``external_source -> decoders.image`` through the stable pipeline API. The output stays in DALI's
memory and is reference counted (the dynamic executor); we keep it until its last reader was waited
for on the host. On the host (`device_id=None`) the same pipeline runs its "cpu" device.

One bad image makes DALI refuse the whole batch and declare the pipeline invalid, so a refusal also
means a new pipeline.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gpuio.decode.engine import (
    DEVICE_PADDING,
    HOST_PADDING,
    Blob,
    Decoded,
    Destination,
    OutOfDeviceMemoryError,
    is_out_of_memory,
)
from gpuio.errors import BackendError, DecodeError

__all__ = ["DaliEngine"]

_SOURCE = "blobs"


class DaliEngine:
    """DALI's image decoder behind our interface.

    Parameters
    ----------
    device_id : int or None         number of the GPU ("mixed" decoder); None decodes on the host
    threads : int                   CPU threads of the pipeline, >= 1
    hw_decoder_load : float         share of a batch that the JPEG engines take, 0 to 1
    preallocate : (int, int)        (height, width) that the decoder makes room for at its start,
                                    0 = none; saves allocations while it runs

    Raises
    ------
    BackendError                    DALI is not installed, or makes no pipeline
    OutOfDeviceMemoryError          the device has no room for one
    """

    name = "dali"
    uses_arena = False

    def __init__(
        self,
        device_id: int | None,
        threads: int,
        *,
        hw_decoder_load: float = 0.65,
        preallocate: tuple[int, int] = (0, 0),
    ) -> None:
        try:
            from nvidia.dali import backend
        except ImportError as error:
            raise BackendError(
                "DALI is not installed: pip install 'gpuio[cuda12]' (or cuda13)"
            ) from error
        self._library: Any = backend
        self._device_id, self._threads = device_id, threads
        self._mixed: dict[str, Any] = {
            "hw_decoder_load": hw_decoder_load,
            "preallocate_height_hint": preallocate[0],
            "preallocate_width_hint": preallocate[1],
            "device_memory_padding": DEVICE_PADDING,
            "host_memory_padding": HOST_PADDING,
        }
        self._batch_size = 1
        self._pipelines: dict[int, Any] = {}  # by channels
        self._pipelines[3] = self._open(3)  # what cannot be had fails here, not at the first batch

    def warm_up(self, blob: Blob, rows: int) -> None:
        """Make room for batches of `rows` and decode one, so that the first real one is fast."""
        if self._device_id is not None:
            self._run([np.frombuffer(blob, np.uint8)] * rows, 3, 0)

    def decode(
        self,
        blobs: Sequence[Blob],
        sizes: npt.NDArray[np.int32],
        channels: int,
        places: Sequence[Destination] = (),  # noqa: ARG002 -- the output lies in DALI's own memory
        stream: int = 0,
    ) -> Decoded:
        """Decode a batch into DALI's memory; see `gpuio.decode.engine.Engine.decode`."""
        encoded = [np.frombuffer(blob, np.uint8) for blob in blobs]
        pipeline, pixels = self._run(encoded, channels, stream)
        addresses = np.zeros(len(blobs), np.uint64)
        errors: dict[int, DecodeError] = {}
        for row in range(len(blobs)):
            image = pixels[row]
            expected = (int(sizes[row, 0]), int(sizes[row, 1]), channels)
            if tuple(image.shape()) != expected:
                errors[row] = DecodeError(
                    f"DALI decoded {tuple(image.shape())} where the header says {expected}"
                )
            else:
                addresses[row] = image.data_ptr()
        return Decoded(addresses, errors, (pipeline, encoded, pixels), swapped=channels == 3)

    def close(self) -> None:
        """Drop the pipelines, and what DALI's memory pools hold for nobody; may be called twice."""
        self._pipelines.clear()
        self._library.ReleaseUnusedMemory()

    def _run(
        self, encoded: list[npt.NDArray[np.uint8]], channels: int, stream: int
    ) -> tuple[Any, Any]:
        """Feed, run and take one batch with its pipeline; a refusal drops the pipeline."""
        if len(encoded) > self._batch_size:
            self._batch_size = len(encoded)
            self._pipelines.clear()
        pipeline = self._pipelines.get(channels)
        if pipeline is None:
            pipeline = self._pipelines[channels] = self._open(channels)
        try:
            pipeline.feed_input(_SOURCE, encoded)
            pipeline.schedule_run()
            (pixels,) = (
                pipeline.share_outputs()
                if self._device_id is None
                else pipeline.share_outputs(cuda_stream=stream)
            )
            pipeline.release_outputs()
        except (RuntimeError, MemoryError) as error:
            self._pipelines.pop(channels, None)
            if is_out_of_memory(error):
                raise OutOfDeviceMemoryError(f"DALI: {_reason(error)}") from error
            raise DecodeError(
                f"DALI refused a batch of {len(encoded)} images: {_reason(error)}"
            ) from error
        return pipeline, pixels

    def _open(self, channels: int) -> Any:
        """Build a pipeline; a failure is not the images' fault."""
        try:
            return self._build(channels)
        except (RuntimeError, MemoryError) as error:
            if isinstance(error, BackendError):
                raise
            if is_out_of_memory(error):
                raise OutOfDeviceMemoryError(f"DALI: {_reason(error)}") from error
            raise BackendError(
                f"DALI made no pipeline: {_reason(error)}; run `gpuio doctor`, or take "
                "decoder='nvimgcodec'"
            ) from error

    def _build(self, channels: int) -> Any:
        """Make a pipeline that runs one batch at a time: the first run consumes what was fed."""
        from nvidia.dali import Pipeline, fn, types

        pipeline: Any = Pipeline(
            batch_size=self._batch_size,
            num_threads=self._threads,
            device_id=self._device_id,
            prefetch_queue_depth=1,
            exec_dynamic=True,
        )
        with pipeline:
            pipeline.set_outputs(
                fn.decoders.image(
                    fn.external_source(name=_SOURCE, no_copy=True, batch=True),
                    device="cpu" if self._device_id is None else "mixed",
                    # BGR costs a pass over the decoded image: as much as the decoding, on a CPU
                    output_type=types.GRAY if channels == 1 else types.RGB,
                    adjust_orientation=False,
                    # the triangular chroma filter, which is what OpenCV's pixels have
                    jpeg_fancy_upsampling=True,
                    affine=False,
                    **({} if self._device_id is None else self._mixed),
                )
            )
        pipeline.build()
        if pipeline.input_feed_count(_SOURCE) != 1:
            raise BackendError("DALI asks for more than one batch before its first run")
        return pipeline


def _reason(error: BaseException) -> str:
    """Return the line of DALI's message that says something of the images."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    for line in lines:
        if "nvImageCodec failure" in line or "Failed to decode" in line or "memory" in line:
            return line
    return lines[0] if lines else type(error).__name__
