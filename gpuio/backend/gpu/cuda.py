"""A real GPU behind `gpuio.backend.gpu.device.Device`, through CuPy.

Working memory comes straight from the driver (`cupy.cuda.Memory`), never from CuPy's pool: that
pool hands memory on in stream order, which JPEG engines do not keep.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from gpuio.backend.gpu.device import Buffer, Event, Stream
from gpuio.backend.gpu.lease import BatchArray
from gpuio.decode.engine import OutOfDeviceMemoryError, is_out_of_memory
from gpuio.errors import BackendError
from gpuio.forking import lock

__all__ = ["CudaDevice"]

_PER_THREAD_STREAM = 2
_USUAL = "finish_float32_nchw_3"  # the kernel that most batches need
_DEFAULT_STREAM = 1  # cudaStreamLegacy, the handle that DLPack gives the default stream


@functools.cache
def _array_type() -> type:
    """Make the subclass of `cupy.ndarray` on first use: importing gpuio must not load CuPy."""
    import cupy

    class DeviceArray(BatchArray, cupy.ndarray):  # type: ignore[misc]
        """A device array with MXNet's extra methods; everything else is CuPy's."""

        def plain(self) -> Any:
            """Return a `cupy.ndarray` over the same memory."""
            return cupy.ndarray(self.shape, self.dtype, memptr=self.data, strides=self.strides)

        @classmethod
        def dressed(cls, values: Any) -> Any:
            """Return a `cupy.ndarray` as an array of this type over the same memory."""
            return cls(values.shape, values.dtype, memptr=values.data, strides=values.strides)

    return DeviceArray


class _Kernels:
    """The compiled kernels of all devices; each is compiled when it is first asked for.

    One takes about a second to compile, all of them ten; CuPy keeps them on disk for the next
    process.
    """

    def __init__(self) -> None:
        self._compiling = lock()
        self._made: dict[tuple[int, str], tuple[Any, Any]] = {}  # function, and its module

    def get(self, device_id: int, name: str) -> Any:
        """Return a kernel.

        Raises
        ------
        BackendError        it does not compile or load
        """
        found = self._made.get((device_id, name))
        if found is None:
            with self._compiling:
                found = self._made.get((device_id, name)) or _load(device_id, name)
                self._made[device_id, name] = found
        return found[0]


_kernels = _Kernels()


def _load(device_id: int, name: str) -> tuple[Any, Any]:
    """Compile and load a kernel for a device."""
    import cupy

    from gpuio.kernels.cuda.compile import load

    try:
        with cupy.cuda.Device(device_id):
            module = load(name)
            return module.get_function(name), module
    except (RuntimeError, OSError, cupy.cuda.compiler.CompileException) as error:
        raise BackendError(
            f"GPU {device_id}: kernel {name} does not compile or load: {error}; run `gpuio doctor`"
        ) from error


class _Event:
    """A CUDA event without timing; who waits for it sleeps.

    CUDA's default is to spin, on a core that hybrid decoding needs.
    """

    def __init__(self) -> None:
        import cupy

        self.event: Any = cupy.cuda.Event(block=True, disable_timing=True)

    def record(self, stream: Stream) -> None:
        """Mark the stream's end."""
        self.event.record(stream)

    def wait(self) -> None:
        """Wait on the host."""
        self.event.synchronize()

    def done(self) -> bool:
        """Say whether everything before the mark has run."""
        return bool(self.event.done)


class CudaDevice:
    """One GPU.

    Parameters
    ----------
    device_id : int         the GPU's number
    kernels : bool          whether it will be asked to launch any: what does not compile fails here
                            then, not at the first batch

    Raises
    ------
    BackendError            no such GPU, CuPy does not load, or its kernels do not compile
    """

    def __init__(self, device_id: int, *, kernels: bool = True) -> None:
        try:
            import cupy
        except ImportError as error:
            raise BackendError(f"CuPy does not load: {error}; run `gpuio doctor`") from error

        self.id = device_id
        self._cupy: Any = cupy
        if kernels:
            _kernels.get(device_id, _USUAL)

    def selected(self) -> Any:
        """Make this device current for the calling thread."""
        return self._cupy.cuda.Device(self.id)

    @contextlib.contextmanager
    def current(self, stream: Any) -> Iterator[None]:
        """Make this device and a stream current for the calling thread."""
        with self._cupy.cuda.Device(self.id), stream:
            yield

    def new_stream(self) -> Any:
        """Return a non-blocking stream."""
        with self._cupy.cuda.Device(self.id):
            return self._cupy.cuda.Stream(non_blocking=True)

    def new_event(self) -> Event:
        """Return an event of this device, not recorded yet."""
        with self._cupy.cuda.Device(self.id):
            return _Event()

    def alloc(self, nbytes: int) -> Buffer:
        """Return memory by cudaMalloc; cudaFree when its owner dies."""
        with self._room(nbytes):
            memory = self._cupy.cuda.Memory(nbytes)
        return Buffer(memory.ptr, nbytes, memory)

    def alloc_output(self, nbytes: int) -> Buffer:
        """Return memory from CuPy's pool."""
        with self._room(nbytes):
            pointer = self._cupy.cuda.alloc(nbytes)
        return Buffer(pointer.ptr, nbytes, pointer)

    def pinned(self, nbytes: int) -> npt.NDArray[np.uint8]:
        """Return page-locked host memory, uint8[nbytes]."""
        with self._cupy.cuda.Device(self.id):
            memory = self._cupy.cuda.alloc_pinned_memory(nbytes)
        return np.frombuffer(memory, np.uint8, nbytes)

    def view(self, buffer: Buffer, offset: int, pixels: int, channels: int) -> Any:
        """Return uint8[1, pixels, channels] over a buffer."""
        pointer = self._pointer(buffer.address + offset, pixels * channels, buffer.owner)
        return self._cupy.ndarray((1, pixels, channels), np.uint8, memptr=pointer)

    def array(self, buffer: Buffer, lease: Any, shape: tuple[int, ...], dtype: str) -> Any:
        """Return an array over a buffer; its memory's owner is the lease."""
        pointer = self._pointer(buffer.address, buffer.nbytes, (lease, buffer.owner))
        kind = _bfloat16() if dtype == "bfloat16" else np.dtype(dtype)
        return _array_type()(shape, kind, memptr=pointer)

    def upload(self, address: int, host: npt.NDArray[Any], stream: Any) -> None:
        """Queue a copy of contiguous host memory."""
        pointer = self._pointer(address, host.nbytes, None)
        pointer.copy_from_host_async(host.ctypes.data, host.nbytes, stream)

    def copy(self, target: int, source: int, nbytes: int, stream: Any) -> None:
        """Queue a copy between two addresses; CUDA knows which memory each of them is."""
        runtime = self._cupy.cuda.runtime
        runtime.memcpyAsync(target, source, nbytes, runtime.memcpyDefault, stream.ptr)

    def launch(
        self, name: str, grid: tuple[int, ...], block: tuple[int, ...], args: Any, stream: Any
    ) -> None:
        """Queue a kernel."""
        with stream:
            _kernels.get(self.id, name)(grid, block, args)

    def order(self, stream: Any, event: Any) -> None:
        """Make a stream wait for an event."""
        handle = stream if isinstance(stream, int) else stream.ptr
        with self._cupy.cuda.Device(self.id):  # a default stream's handle means the current one's
            self._cupy.cuda.runtime.streamWaitEvent(handle, event.event.ptr, 0)

    def record_here(self, handles: set[int]) -> list[Event]:
        """Return events on the default stream, the thread's current one, and `handles`."""
        with self._cupy.cuda.Device(self.id):
            current = self._cupy.cuda.get_current_stream().ptr or _DEFAULT_STREAM
            if _PER_THREAD_STREAM in handles:
                # it means another stream on every thread, and this may be another thread
                self.synchronize()
            marks: list[Event] = []
            for handle in {_DEFAULT_STREAM, current, *handles} - {_PER_THREAD_STREAM}:
                mark = _Event()
                self._cupy.cuda.runtime.eventRecord(mark.event.ptr, handle)
                marks.append(mark)
            return marks

    def synchronize(self) -> None:
        """Wait for everything on this GPU."""
        self._cupy.cuda.Device(self.id).synchronize()

    def memory(self) -> tuple[int, int]:
        """Return (free, total) bytes."""
        free, total = self._cupy.cuda.Device(self.id).mem_info
        return int(free), int(total)

    def trim(self) -> None:
        """Give free blocks of CuPy's pools back."""
        with self._cupy.cuda.Device(self.id):
            self._cupy.get_default_memory_pool().free_all_blocks()
            self._cupy.get_default_pinned_memory_pool().free_all_blocks()

    def _pointer(self, address: int, nbytes: int, owner: Any) -> Any:
        """Return CuPy's pointer to memory that somebody else owns."""
        memory = self._cupy.cuda.UnownedMemory(address, nbytes, owner, self.id)
        return self._cupy.cuda.MemoryPointer(memory, 0)

    @contextlib.contextmanager
    def _room(self, nbytes: int) -> Iterator[None]:
        """Map CuPy's and CUDA's out-of-memory errors to ours."""
        try:
            with self._cupy.cuda.Device(self.id):
                yield
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            raise OutOfDeviceMemoryError(str(error), nbytes) from error


def _bfloat16() -> Any:
    """Return the dtype that stands for bfloat16 in NumPy and CuPy, which comes with ml_dtypes."""
    try:
        return np.dtype(importlib.import_module("ml_dtypes").bfloat16)
    except ImportError as error:
        raise BackendError("dtype='bfloat16' needs a NumPy dtype: pip install ml_dtypes") from error
