"""Engines of the simulated GPU: their CPU modes, whose pixels are then written to the device.

Like the JPEG hardware they write when they are called, whatever the stream is still doing. On a
full device they fail as the libraries do: images are missing, or said to be damaged.
"""

import ctypes
import functools

import attrs
import numpy as np
from simulated_cuda.install import complain

from gpuio.decode.engine import Destination
from gpuio.errors import DecodeError

__all__ = ["OnDevice", "put_in_place"]


class OnDevice:
    """An engine of the host, its output in device memory.

    As the real ones it is of the device that is current where it is made, used and closed.
    """

    def __init__(self, engine, device_id):
        self._engine, self._device_id = engine, device_id
        self.name, self.uses_arena = engine.name, engine.uses_arena

    def warm_up(self, blob, rows):
        """Do nothing: the host needs no warming up."""
        _at_home(self._device_id)

    def decode(self, blobs, sizes, channels, places, stream):
        """Decode on the host, then write to the places or to device memory of its own."""
        assert stream, "a stream of the backend's"
        _at_home(self._device_id)
        nbytes = [int(height) * int(width) * channels for height, width in sizes]
        working = _working_memory(sum(nbytes))
        if working is None and not self.uses_arena:
            raise DecodeError("DALI refused a batch: Failed to decode sample #0")
        host = [np.empty((1, size // channels, channels), np.uint8) for size in nbytes]
        own = [Destination(each.ctypes.data, each) for each in host] if self.uses_arena else []
        made = self._engine.decode(blobs, sizes, channels, own, 0)
        if working is None:
            return attrs.evolve(
                made,
                addresses=np.zeros_like(made.addresses),
                errors={row: DecodeError("not decoded") for row in range(len(blobs))},
            )
        targets, keep = self._targets(nbytes, places)
        addresses = np.where(made.addresses == 0, 0, targets).astype(np.uint64)
        for target, source, size in zip(addresses, made.addresses, nbytes, strict=True):
            if target:
                ctypes.memmove(int(target), int(source), size)
        return attrs.evolve(made, addresses=addresses, keep=keep)

    def close(self):
        """Close the engine of the host."""
        _at_home(self._device_id)
        self._engine.close()

    def _targets(self, nbytes, places):
        """Return the device addresses to write to, and what holds them."""
        if self.uses_arena:
            for size, place in zip(nbytes, places, strict=True):
                assert place.memory.data.ptr == place.address
                assert place.memory.nbytes == size
            return [place.address for place in places], places
        import cupy

        starts = np.cumsum([0, *(-(-size // 256) * 256 for size in nbytes)])
        with cupy.cuda.Stream.null:  # a pool that hands memory on at once, whoever reads it
            memory = cupy.cuda.alloc(int(starts[-1]))
        return [memory.ptr + int(start) for start in starts[:-1]], memory


def _working_memory(nbytes):
    """Allocate what a library needs while it decodes; None if there is no room."""
    import cupy

    try:
        return cupy.cuda.Memory(nbytes)
    except cupy.cuda.runtime.CUDARuntimeError:
        return None


def put_in_place():
    """Let the engines of devices be these; those of the host stay what they are."""
    import gpuio.decode.dali
    import gpuio.decode.nvimgcodec

    for module, name in (
        (gpuio.decode.dali, "DaliEngine"),
        (gpuio.decode.nvimgcodec, "NvImageCodecEngine"),
    ):
        setattr(module, name, functools.partial(_opened, getattr(module, name)))


def _opened(kind, device_id, threads, **settings):
    """Open an engine as its class would."""
    if device_id is None:
        return kind(None, threads, **settings)
    _at_home(device_id)
    assert 0 <= settings.get("hw_decoder_load", 0.65) <= 1
    return OnDevice(kind(None, 1, **settings), device_id)


def _at_home(device_id):
    """Complain if another device is current: what a library makes would be of that one."""
    import cupy

    if (found := cupy.cuda.runtime.getDevice()) != device_id:
        complain(f"an engine of device {device_id} is called while device {found} is current")
