"""Decode with nvImageCodec: into our own memory, one bad image at a time.

The library comes with DALI's wheel; called directly it says which image is bad and lets us own the
output memory. On the host (`device_id=None`) the same code decodes with libjpeg-turbo.
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

__all__ = ["NvImageCodecEngine"]

_HOST_ONLY = -99999  # NVIMGCODEC_DEVICE_CPU_ONLY
# nvJPEG's and libjpeg-turbo's triangular chroma filter, which is what OpenCV's pixels have; and
# what DALI asks of the same library, so that the two differ in their own work only. (Releases up to
# 0.8 drop the device's padding where the caller brings no allocator, which Python cannot.)
_OPTIONS = (
    ":fancy_upsampling=1 nvjpeg_hw_decoder:preallocate_height_hint={height} "
    "nvjpeg_hw_decoder:preallocate_width_hint={width} "
    "nvjpeg_hw_decoder:preallocate_batch_size={rows} "
    f"nvjpeg_cuda_decoder:device_memory_padding={DEVICE_PADDING} "
    f"nvjpeg_cuda_decoder:host_memory_padding={HOST_PADDING}"
)


class NvImageCodecEngine:
    """One nvImageCodec decoder.

    Parameters
    ----------
    device_id : int or None     number of the GPU; None decodes on the host
    threads : int               CPU threads of the decoder, >= 1
    hw_decoder_load : float     share of a batch that the JPEG engines take, 0 to 1; the CUDA
                                decoder takes the rest
    preallocate : (int, int)    (height, width) that the JPEG engines get room for at their start
    """

    name = "nvimgcodec"
    uses_arena = True

    def __init__(
        self,
        device_id: int | None,
        threads: int,
        *,
        hw_decoder_load: float = 0.65,
        preallocate: tuple[int, int] = (0, 0),
    ) -> None:
        try:
            from nvidia import nvimgcodec
        except ImportError as error:
            raise BackendError(
                "nvImageCodec is not installed: pip install 'gpuio[cuda12]' (or cuda13)"
            ) from error
        self._lib: Any = nvimgcodec
        self._on_host = device_id is None
        self._hardware = device_id is not None and hw_decoder_load > 0
        self._settings = {
            "device_id": _HOST_ONLY if device_id is None else device_id,
            "max_num_cpu_threads": threads,
            "backends": (
                [nvimgcodec.Backend(nvimgcodec.CPU_ONLY)]
                if device_id is None
                else _backends(nvimgcodec, hw_decoder_load)
            ),
        }
        self._preallocate, self._room_for = preallocate, 1
        self._decoder: Any = self._open_decoder()
        spec, sample = nvimgcodec.ColorSpec, nvimgcodec.SampleFormat
        self._params = {
            channels: nvimgcodec.DecodeParams(
                apply_exif_orientation=False, color_spec=color, sample_format=order
            )
            for channels, color, order in ((1, spec.GRAY, sample.I_Y), (3, spec.SRGB, sample.I_BGR))
        }

    def warm_up(self, blob: Blob, rows: int) -> None:
        """Decode a full batch into the decoder's own memory.

        The hardware's share of every batch is fixed by the first call, as a number of images: a
        first call with one image would leave the JPEG engines nearly idle for ever. What they are
        given room for is fixed when the decoder is made: it is made anew for a larger batch.
        """
        if self._hardware:
            if rows > self._room_for:
                self._decoder, self._room_for = None, rows  # its memory first
                self._decoder = self._open_decoder()
            self._decode([self._lib.CodeStream(blob) for _ in range(rows)], None, 3, 0)

    def decode(
        self,
        blobs: Sequence[Blob],
        sizes: npt.NDArray[np.int32],
        channels: int,
        places: Sequence[Destination],
        stream: int,
    ) -> Decoded:
        """Decode each blob into its place; see `gpuio.decode.engine.Engine.decode`."""
        addresses = np.zeros(len(blobs), np.uint64)
        errors: dict[int, DecodeError] = {}
        streams, images, rows = [], [], []
        for row, blob in enumerate(blobs):
            try:
                code = self._open(blob, (int(sizes[row, 0]), int(sizes[row, 1])))
            except DecodeError as error:
                errors[row] = error
                continue
            streams.append(code)
            place = places[row]
            if place.image is None:
                place.image = self._lib.as_image(place.memory)
            images.append(place.image)
            rows.append(row)
        made = self._decode(streams, images, channels, stream) if streams else []
        for row, image in zip(rows, made, strict=True):
            if image is None:
                errors[row] = DecodeError(
                    f"nvImageCodec did not decode the JPEG of {len(blobs[row])} bytes, and does "
                    "not say why"
                )
            else:
                addresses[row] = places[row].address
        return Decoded(addresses, errors, keep=(images, streams))

    def close(self) -> None:
        """Drop the decoder; may be called twice."""
        self._decoder = None

    def _open_decoder(self) -> Any:
        """Make a decoder with room for batches of the expected size."""
        height, width = self._preallocate
        options = _OPTIONS.format(height=height, width=width, rows=self._room_for)
        try:
            return self._lib.Decoder(options=options, **self._settings)
        except RuntimeError as error:
            raise BackendError(f"nvImageCodec made no decoder: {error}") from error

    def _open(self, blob: Blob, size: tuple[int, int]) -> Any:
        """Parse a header and check that it promises what ours did."""
        lib = self._lib
        try:
            code = lib.CodeStream(
                blob if isinstance(blob, bytes) else np.frombuffer(blob, np.uint8)
            )
            found = (code.height, code.width)
        except RuntimeError as error:
            raise DecodeError(f"nvImageCodec reads no header in {len(blob)} bytes") from error
        if found != size:
            raise DecodeError(
                f"nvImageCodec reads {found[1]}x{found[0]} pixels in a header that says "
                f"{size[1]}x{size[0]}"
            )
        return code

    def _decode(self, streams: list[Any], images: Any, channels: int, stream: int) -> list[Any]:
        """Call the decoder, its errors mapped to ours."""
        try:
            made = self._decoder.decode(
                streams,
                images=images,
                params=self._params[channels],
                cuda_stream=0 if self._on_host else stream,
            )
        except (RuntimeError, MemoryError) as error:
            if is_out_of_memory(error):
                raise OutOfDeviceMemoryError(f"nvImageCodec: {error}") from error
            raise DecodeError(f"nvImageCodec refused a batch of {len(streams)}: {error}") from error
        return list(made)


def _backends(lib: Any, share: float) -> list[Any]:
    """Return the decoders to try, in order: JPEG engines, hybrid, CUDA, host."""
    kinds = [lib.Backend(kind) for kind in (lib.HYBRID_CPU_GPU, lib.GPU_ONLY, lib.CPU_ONLY)]
    if share > 0:
        policy = lib.LoadHintPolicy.FIXED
        kinds.insert(0, lib.Backend(lib.HW_GPU_ONLY, share, policy))
    return kinds
