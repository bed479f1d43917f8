"""Device memory for batches: leased out, held as long as anybody holds it, then used again.

Invariant: a buffer is written again only after its last array is gone *and* the writing stream
waits for whatever the old batch's readers had queued: on the default stream, on the stream current
where the last array died, and on every stream the batch was handed to through DLPack. Such a
stream must outlive the array taken over on it, as those of PyTorch and JAX do.
"""

from __future__ import annotations

import contextlib
import math
import weakref
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from gpuio.backend.gpu.device import Buffer, Device, Event
from gpuio.forking import lock
from gpuio.nd import Context, array, described, gpu, host_array
from gpuio.nd.methods import ArrayMethods
from gpuio.nd.wrapped import bare

__all__ = ["BatchArray", "BatchPool", "Lease", "itemsize"]

_ITEMSIZE = {"float32": 4, "float16": 2, "bfloat16": 2, "uint8": 1, "int8": 1}


def itemsize(dtype: str) -> int:
    """Return the bytes of one element; knows bfloat16, which NumPy does not."""
    return _ITEMSIZE[dtype] if dtype in _ITEMSIZE else np.dtype(dtype).itemsize


@attrs.define(eq=False)
class _Use:
    """What a lease knows of its buffer, apart from the lease so that its finalizer may hold it.

    Attributes
    ----------
    ready : list of Event       recorded behind each writer
    before : list of Event      of the buffer's last users; a writer's stream waits for them
    handles : set of int        streams the arrays were handed to
    anywhere : bool             whether they were handed to somebody who does not name a stream
    """

    ready: list[Event] = attrs.field(factory=list)
    before: list[Event] = attrs.field(factory=list)
    handles: set[int] = attrs.field(factory=set)
    anywhere: bool = False


class Lease:
    """Owns one device buffer.

    When the last array over it is collected, the buffer goes back to the pool.
    """

    def __init__(self, device: Device, use: _Use) -> None:
        self.device = device
        self._use = use

    def begin(self, stream: Any) -> None:
        """Make a writer's stream wait for the readers of what was here before, and for writers."""
        for event in self._use.before + self._use.ready:
            self.device.order(stream, event)

    def written(self, event: Event) -> None:
        """Add a writer's event: the batch is complete when all of them are."""
        self._use.ready.append(event)

    def written_here(self) -> None:
        """Add what this thread's current stream has queued to what the batch is made of."""
        self._use.ready.extend(self.device.record_here(set()))

    def wait(self) -> None:
        """Wait, on the host, until the batch is complete."""
        for event in self._use.ready:
            event.wait()

    def hand_to(self, handle: int) -> None:
        """Make a consumer's stream wait until the batch is complete, and remember the stream."""
        self._use.handles.add(handle)
        for event in self._use.ready:
            self.device.order(handle, event)

    def hand_over(self) -> None:
        """Complete the batch for a consumer whose streams nobody will know."""
        self._use.anywhere = True
        self.wait()


def _operator(name: str) -> Any:
    """Return an operator whose result is an array with MXNet's methods, too."""

    def operate(self: Any, *others: Any) -> Any:
        return self.wrapped(getattr(self.unwrapped(), name)(*map(bare, others)))

    operate.__name__ = name
    return operate


class BatchArray(ArrayMethods):
    """MXNet's methods, and ordered hand-off, for a subclass of the device's array type.

    The subclass stands before the array type, ``class DeviceArray(BatchArray, cupy.ndarray)``, and
    has `plain`, which returns an array of that type over the same memory, and `dressed`, which goes
    the other way.
    """

    _lease: Lease | None = None

    def __array_finalize__(self, made_from: Any) -> None:
        """Let views, slices and reshapes know the batch they belong to."""
        self._lease = getattr(made_from, "_lease", None)

    def unwrapped(self) -> Any:
        """Return an array of the library's own type over the same memory, complete."""
        self.wait_to_read()
        return self.plain()  # type: ignore[attr-defined]

    def wrapped(self, values: Any) -> Any:
        """Return what the library has made, arrays or a list of them, with MXNet's methods."""
        if isinstance(values, (list, tuple)):
            return [self.wrapped(one) for one in values]
        return self.dressed(values) if hasattr(values, "shape") else values  # type: ignore[attr-defined]

    def __getitem__(self, key: Any) -> Any:
        """Return a view at once; a copy, which index arrays make, when the batch is complete."""
        parts = key if isinstance(key, tuple) else (key,)
        if any(isinstance(part, list) or hasattr(part, "__array__") for part in parts):
            self.wait_to_read()
        return super().__getitem__(key)  # type: ignore[misc]

    def __setitem__(self, key: Any, value: Any) -> None:
        """Write into the batch; later exports wait for the writing, too."""
        self.wait_to_read()
        super().__setitem__(key, value)  # type: ignore[misc]
        if self._lease is not None:
            self._lease.written_here()

    def __dlpack__(self, *, stream: int | None = None, **options: Any) -> Any:
        """Export without a copy; the consumer's `stream` waits until the batch is complete.

        -1 names none: the batch is complete then, and its memory is used again only after the
        whole device has been waited for.
        """
        if self._lease is not None and stream != -1:
            # DLPack's None means the default stream, whose handle is 1
            self._lease.hand_to(1 if stream is None else stream)
        elif self._lease is not None:
            self._lease.hand_over()
        return super().__dlpack__(stream=stream, **options)  # type: ignore[misc]

    def toDlpack(self) -> Any:  # noqa: N802 -- CuPy's name
        """Export as CuPy's arrays do, for a consumer whose streams nobody will know."""
        return self.__dlpack__(stream=-1)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """Export without a copy, complete.

        Whoever takes it does not say on which stream it reads, so the memory is used again only
        after the whole device has been waited for: DLPack is the better way. `hasattr` counts as
        taking it: the two cannot be told apart.
        """
        exported: dict[str, Any] = super().__cuda_array_interface__  # type: ignore[misc]
        if self._lease is not None:
            self._lease.hand_over()
        return exported

    def __repr__(self) -> str:
        return described(self.asnumpy(), self.context)

    __str__ = __repr__

    def asnumpy(self) -> npt.NDArray[Any]:
        """Return a host copy, complete; of one element, as MXNet's, of shape (1,)."""
        self.wait_to_read()
        return np.atleast_1d(np.asarray(self.get()))  # type: ignore[attr-defined]

    def asscalar(self) -> Any:
        """Return the one element as a Python scalar; ValueError if there is not exactly one."""
        if self.size != 1:  # type: ignore[attr-defined]
            shape = self.shape  # type: ignore[attr-defined]
            raise ValueError(f"The current array is not a scalar: its shape is {shape}")
        return self.asnumpy().item()

    def wait_to_read(self) -> None:
        """Wait, on the host, until the batch is complete."""
        if self._lease is not None:
            self._lease.wait()

    @property
    def context(self) -> Context:
        """The array's context, ``gpu(device_id)``."""
        return gpu(self.device.id)  # type: ignore[attr-defined]

    @property
    def ctx(self) -> Context:
        """The same as `context`."""
        return self.context

    @property
    def stype(self) -> str:
        """MXNet's storage type, always ``"default"`` (dense)."""
        return "default"

    def as_in_context(self, context: Context) -> Any:
        """Return this array in `context`: itself on its GPU, a copy elsewhere."""
        if context == self.context:
            return self
        return array(host_array(self.asnumpy()), context)

    def copyto(self, other: Any) -> Any:
        """Copy into another array, or into a new one in a `Context`."""
        if isinstance(other, Context):
            return array(host_array(self.asnumpy()), other)
        self.wait_to_read()
        other[...] = self if type(other) is type(self) else self.asnumpy()
        return other


_OPERATORS = (
    "add radd sub rsub mul rmul truediv rtruediv floordiv rfloordiv mod rmod pow rpow "
    "neg abs eq ne lt le gt ge"
)
for _name in _OPERATORS.split():
    setattr(BatchArray, f"__{_name}__", _operator(f"__{_name}__"))
BatchArray.__hash__ = None  # type: ignore[assignment]


@attrs.define(eq=False)
class _Kept:
    """A buffer that nobody holds.

    Attributes
    ----------
    buffer : Buffer
    events : list of Event      of its last users
    unordered : bool            whether there may be others, on streams that nobody knows
    """

    buffer: Buffer
    events: list[Event]
    unordered: bool


class _Free:
    """The buffers nobody holds, with what their next writer has to wait for."""

    def __init__(self, device: Device, keep: int) -> None:
        self.device, self.keep, self.closed = device, keep, False
        self.lock = lock()  # a collection inside may run a finalizer that takes it
        self.buffers: dict[int, list[_Kept]] = {}

    def take(self, nbytes: int) -> tuple[Buffer, list[Event]] | None:
        """Take the buffer that has been free longest; drop what is idle beyond `keep`.

        One with unknown users comes last, and only after the whole device has been waited for.
        """
        with self.lock:
            kept = self.buffers.setdefault(nbytes, [])
            strange = [one for one in kept if one.unordered]
        if strange and (len(strange) == len(kept) or len(kept) > self.keep):
            self.device.synchronize()  # without the lock: who drops a batch does not wait for this
            for one in strange:
                one.unordered = False
        with self.lock:
            at = next((at for at, one in enumerate(kept) if not one.unordered), None)
            found = None if at is None else kept.pop(at)
            while len(kept) > self.keep and self._idle(kept[0]):
                kept.pop(0)
        return None if found is None else (found.buffer, found.events)

    def give_back(self, buffer: Buffer, use: _Use) -> None:
        """Called when a lease dies, on any thread; waits for nobody unless all is closed."""
        if self.closed:
            # nobody will wait for events: wait before the memory goes
            with contextlib.suppress(Exception):
                self.device.synchronize()
            return
        made = _Kept(buffer, list(use.ready), use.anywhere)
        try:
            made.events += self.device.record_here(use.handles)
        except RuntimeError:  # a stream that the batch was handed to is gone
            made.unordered = True
        with self.lock:
            self.buffers.setdefault(buffer.nbytes, []).append(made)

    def drop(self) -> None:
        """Wait for the last users of every free buffer and let them go."""
        with self.lock:
            everything = [one for kept in self.buffers.values() for one in kept]
            if any(one.unordered for one in everything):
                with contextlib.suppress(Exception):
                    self.device.synchronize()
            for one in everything:
                for event in one.events:
                    event.wait()
            self.buffers.clear()

    @staticmethod
    def _idle(one: _Kept) -> bool:
        """Say whether nobody can still be reading a buffer."""
        return not one.unordered and all(event.done() for event in one.events)


class BatchPool:
    """A pool of device buffers for batches.

    Parameters
    ----------
    device : Device
    keep : int      free buffers kept for each size, >= 0
    """

    def __init__(self, device: Device, keep: int) -> None:
        self._device = device
        self._free = _Free(device, keep)

    def array(self, shape: tuple[int, ...], dtype: str) -> Any:
        """Return an array of undefined contents in device memory, C order.

        Raises
        ------
        OutOfDeviceMemoryError
        """
        nbytes = math.prod(shape) * itemsize(dtype)
        found = self._free.take(nbytes)
        if found is None:
            found = self._device.alloc_output(max(nbytes, 1))._replace(nbytes=nbytes), []
        buffer, before = found
        use = _Use(before=before)
        lease = Lease(self._device, use)
        weakref.finalize(lease, self._free.give_back, buffer, use).atexit = False
        made = self._device.array(buffer, lease, shape, dtype)
        made._lease = lease  # noqa: SLF001 -- the array type is ours
        return made

    def drop(self) -> None:
        """Let every free buffer go, after its last reader."""
        self._free.drop()

    def close(self) -> None:
        """Let every buffer go: free ones now, held ones with their arrays."""
        self._free.closed = True
        self._free.drop()
