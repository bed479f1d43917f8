"""A GPU made of host memory, as slow as one can be: queued work runs when somebody waits for it.

Each stream keeps its work until the host waits for an event behind it, or until another stream that
was ordered behind it runs. Memory handed to a decode engine is poisoned at that moment, as if the
JPEG hardware had begun to write: work still queued that reads it will read the poison.
"""

import contextlib
import ctypes
import threading

import numpy as np

from gpuio.backend.gpu.device import Buffer
from gpuio.backend.gpu.lease import BatchArray
from gpuio.decode.engine import OutOfDeviceMemoryError
from support import host_kernels

POISON = 0xA5
DEFAULT_STREAM = 1


class _HostExport:
    """NumPy's DLPack export knows no stream; the fake device's arrays are asked for one."""

    @property
    def __cuda_array_interface__(self):
        return {**self.__array_interface__, "stream": DEFAULT_STREAM}

    def __dlpack__(self, *, stream=None, **options):
        return np.asarray(self).__dlpack__(**options)


class _DeviceNumber:
    id = 0


class FakeArray(BatchArray, _HostExport, np.ndarray):
    """Stands for a device array: NumPy with the two words of CuPy that gpuio uses."""

    def plain(self):
        return self.view(np.ndarray)

    @classmethod
    def dressed(cls, values):
        return np.asarray(values).view(cls)

    def get(self):
        return np.array(self, subok=False)

    @property
    def device(self):
        return _DeviceNumber()


class FakeStream:
    def __init__(self, device, ptr):
        self.device, self.ptr = device, ptr
        self.work, self.ran = [], 0

    def run(self, until):
        """Run the queue up to a place."""
        with self.device.turn:
            while self.ran < until:
                work, self.work[self.ran] = self.work[self.ran], None
                self.ran += 1
                work()


class FakeEvent:
    def __init__(self, device):
        self.device, self.stream, self.at = device, None, 0

    def record(self, stream):
        self.stream, self.at = stream, len(stream.work)
        self.device.log.append(("record", stream.ptr))

    def wait(self):
        self.device.log.append(("host wait", self.stream.ptr if self.stream else None))
        if self.stream is not None:
            self.stream.run(self.at)

    def done(self):
        return self.stream is None or self.stream.ran >= self.at


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


class FakeDevice:
    """`gpuio.backend.gpu.device.Device` on host memory.

    Parameters
    ----------
    limit : int         bytes of memory
    fail : dict         name of a call -> {its number: exception to raise}

    Attributes
    ----------
    is_current : bool   whether the calling thread has made it its current device
    """

    def __init__(self, limit=1 << 30, fail=None):
        self.id, self.limit, self.used = 0, limit, 0
        self._depth = threading.local()
        self.fail, self.calls = fail or {}, {}
        self.log, self.turn = [], threading.RLock()
        self.streams = {DEFAULT_STREAM: FakeStream(self, DEFAULT_STREAM)}
        self.largest = 0

    def _called(self, name):
        with self.turn:
            number = self.calls[name] = self.calls.get(name, 0) + 1
        error = self.fail.get(name, {}).get(number)
        if error is not None:
            raise error

    @property
    def is_current(self):
        return getattr(self._depth, "now", 0) > 0

    @contextlib.contextmanager
    def selected(self):
        self._depth.now = getattr(self._depth, "now", 0) + 1
        try:
            yield
        finally:
            self._depth.now -= 1

    def current(self, stream):
        return self.selected()

    def new_stream(self):
        self._called("new_stream")
        with self.turn:
            ptr = 100 + len(self.streams)
            self.streams[ptr] = FakeStream(self, ptr)
            return self.streams[ptr]

    def new_event(self):
        return FakeEvent(self)

    def alloc(self, nbytes):
        self._called("alloc")
        with self.turn:
            if self.used + nbytes > self.limit:
                raise OutOfDeviceMemoryError(f"fake device is full at {self.used}", nbytes)
            self.used += nbytes
            self.largest = max(self.largest, self.used)
        memory = np.full(nbytes + 256, POISON, np.uint8)
        address = -(-memory.ctypes.data // 256) * 256
        return Buffer(address, nbytes, _Memory(self, memory, nbytes))

    alloc_output = alloc

    def pinned(self, nbytes):
        return np.full(nbytes, POISON, np.uint8)

    def view(self, buffer, offset, pixels, channels):
        assert offset + pixels * channels <= buffer.nbytes
        kind = ctypes.c_uint8 * (pixels * channels)
        memory = np.frombuffer(kind.from_address(buffer.address + offset), np.uint8)
        memory[:] = POISON
        self.log.append(("engine writes", buffer.address + offset))
        return memory.reshape(1, pixels, channels)

    def array(self, buffer, lease, shape, dtype):
        stored = np.uint16 if dtype == "bfloat16" else dtype
        return np.asarray(_Owner(buffer, lease, shape, stored)).view(FakeArray)

    def upload(self, address, host, stream):
        self._called("upload")
        assert host.flags.c_contiguous
        stream.work.append(lambda: ctypes.memmove(address, host.ctypes.data, host.nbytes))

    def copy(self, target, source, nbytes, stream):
        self._called("copy")
        stream.work.append(lambda: ctypes.memmove(target, source, nbytes))

    def launch(self, name, grid, block, args, stream):
        self._called("launch")
        if max(grid[1:]) > 65_535:
            raise RuntimeError(f"CUDA_ERROR_INVALID_VALUE: {name} with a grid of {grid}")
        self.log.append(("launch", name))
        stream.work.append(lambda: host_kernels.launch(name, grid, block, args))

    def order(self, stream, event):
        stream = self.streams[stream] if isinstance(stream, int) else stream
        self.log.append(("order", stream.ptr))
        if event.stream is not None:
            stream.work.append(lambda: event.stream.run(event.at))

    def record_here(self, handles):
        marks = []
        for handle in {DEFAULT_STREAM, *handles}:
            mark = FakeEvent(self)
            mark.record(self.streams[handle])
            marks.append(mark)
        return marks

    def synchronize(self):
        for stream in list(self.streams.values()):
            stream.run(len(stream.work))

    def memory(self):
        return self.limit - self.used, self.limit

    def trim(self):
        self.log.append(("trim",))


class _Memory:
    """Memory that counts as used until it dies, and is poisoned then."""

    def __init__(self, device, memory, nbytes):
        self.device, self.memory, self.nbytes = device, memory, nbytes

    def __del__(self):
        self.memory[:] = POISON
        self.device.used -= self.nbytes
