"""gpuio's GPU path over a device that does nothing: what is left is the host's work."""

import contextlib

import numpy as np
from peer_iterators import Gpuio

ENGINE, HOST = "engine", "host"  # who would decode every image


class _Mark:
    """An event, and a stream: everything is done at once."""

    ptr = 1

    def record(self, stream):
        """Do nothing."""

    def wait(self):
        """Return at once."""

    def done(self):
        """Say yes."""
        return True


class NoDevice:
    """`gpuio.backend.gpu.device.Device` of host memory: copies and kernels do nothing."""

    id = 0

    def __init__(self):
        """Make the type of its arrays."""
        from gpuio.backend.gpu.lease import BatchArray

        self.kind = type("HostArray", (BatchArray, np.ndarray), {})
        self.mark = _Mark()

    def current(self, stream):
        """Do nothing."""
        return contextlib.nullcontext(stream)

    def selected(self):
        """Do nothing."""
        return contextlib.nullcontext()

    def new_stream(self):
        """Return the only one."""
        return self.mark

    new_event = new_stream

    def pinned(self, nbytes):
        """Return host memory."""
        return np.zeros(nbytes, np.uint8)

    def alloc(self, nbytes):
        """Return host memory as a buffer."""
        from gpuio.backend.gpu.device import Buffer

        memory = np.empty(nbytes, np.uint8)
        return Buffer(memory.ctypes.data, nbytes, memory)

    alloc_output = alloc

    def array(self, buffer, lease, shape, dtype):
        """Return an array whose owner holds its lease."""
        owner = _Owner(buffer, lease, shape, dtype)
        return np.asarray(owner).view(self.kind)

    def upload(self, *_):
        """Do nothing."""

    launch = order = upload

    def record_here(self, handles):
        """Return one event."""
        del handles
        return [self.mark]

    def synchronize(self):
        """Return at once."""

    trim = synchronize

    def memory(self):
        """Return (free, total) bytes."""
        return 1 << 40, 1 << 40


class _Owner:
    """Keeps an array's memory and lease alive."""

    def __init__(self, buffer, lease, shape, dtype):
        self.held = buffer, lease
        self.__array_interface__ = {
            "shape": shape,
            "typestr": np.dtype(dtype).str,
            "data": (buffer.address, False),
            "version": 3,
        }


class NoEngine:
    """Says that it decoded everything, into memory of its own, as DALI does."""

    name, uses_arena = "nothing", False

    def warm_up(self, blob, rows):
        """Do nothing."""

    def decode(self, blobs, sizes, channels, places, stream):
        """Return addresses of nothing."""
        from gpuio.decode.engine import Decoded

        del sizes, channels, places, stream
        return Decoded(np.full(len(blobs), 4096, np.uint64), {}, None)

    def close(self):
        """Do nothing."""


class HostOnlyGpu(Gpuio):
    """gpuio's ImageRecordIter on the GPU path, where device and decoders do nothing."""

    more = {"ctx": "gpu"}  # noqa: RUF012

    def __init__(self, work):
        """Import the package; every image goes the way of `work["way"]`."""
        super().__init__(work)
        import gpuio.pipeline.opening
        from gpuio.backend.choose import CPU_ONLY
        from gpuio.backend.gpu.backend import GpuBackend
        from gpuio.backend.gpu.host import HostDecoder

        limit = {ENGINE: 0, HOST: 1 << 40}[work["way"]]
        HostDecoder.decode = lambda *_: {}

        def opened(name, device_id=0, **settings):
            del name
            return GpuBackend(
                device_id,
                device=NoDevice(),
                open_engine=NoEngine,
                host_pixels=limit,
                **{key: settings[key] for key in settings if key not in CPU_ONLY},
            )

        gpuio.pipeline.opening.open_backend = opened
