"""Where an array lives: `Context`, and MXNet's short names for the three of them."""

from __future__ import annotations

import threading
from typing import Any, Self

from gpuio.errors import OptionError
from gpuio.hooks import call

__all__ = [
    "Context",
    "cpu",
    "cpu_pinned",
    "current_context",
    "gpu",
    "num_gpus",
    "on_host",
    "put",
]

_default = threading.local()  # a stack: the contexts that ``with`` has entered


class Context:
    """Where an array lives: a device type and a device number.

    Parameters
    ----------
    device_type : {"cpu", "cpu_pinned", "gpu"}
    device_id : int                 number of the device, >= 0

    Notes
    -----
    Compares and prints as MXNet's does: ``mx.cpu() == mx.cpu(0)``, ``repr`` is ``cpu(0)``. In
    ``with mx.gpu(0):`` the functions of `gpuio.nd` that make arrays make them there; iterators go
    by their option `ctx`.
    """

    __slots__ = ("device_id", "device_type")

    def __init__(self, device_type: str | Context, device_id: int = 0) -> None:
        kind, number = (
            (device_type.device_type, device_type.device_id)
            if isinstance(device_type, Context)
            else (device_type, device_id)
        )
        if kind not in ("cpu", "cpu_pinned", "gpu"):
            hint = "; did you mean 'gpu'?" if str(kind).startswith("cuda") else ""
            raise OptionError(f"device type {kind!r}: expected 'cpu', 'cpu_pinned' or 'gpu'{hint}")
        self.device_type: str = kind
        self.device_id: int = int(number)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Context)
            and self.device_type == other.device_type
            and self.device_id == other.device_id
        )

    def __enter__(self) -> Self:
        """Make this the context of new arrays, in this thread."""
        _default.stack = [*getattr(_default, "stack", ()), self]
        return self

    def __exit__(self, *exc_info: object) -> None:
        _default.stack.pop()

    def __hash__(self) -> int:
        return hash((self.device_type, self.device_id))

    def __repr__(self) -> str:
        return f"{self.device_type}({self.device_id})"

    __str__ = __repr__


def cpu(device_id: int = 0) -> Context:
    """Return the host's context."""
    return Context("cpu", device_id)


def cpu_pinned(device_id: int = 0) -> Context:
    """Return the context of page-locked host memory; here it is ordinary host memory."""
    return Context("cpu_pinned", device_id)


def gpu(device_id: int = 0) -> Context:
    """Return a GPU's context; making one does not need a GPU, using it does."""
    return Context("gpu", device_id)


def current_context() -> Context:
    """Return the context that a ``with`` of this thread has made the default; else ``cpu(0)``."""
    stack = getattr(_default, "stack", ())
    return stack[-1] if stack else cpu()


def num_gpus() -> int:
    """Return the number of NVIDIA GPUs that the driver shows; 0 without a driver."""
    return int(call("count_gpus"))


def put(array: Any, context: Context) -> Any:
    """Return a host array in a context: itself on the host, a copy on a GPU."""
    if context.device_type == "gpu":
        return call("array_backend", context.device_id).put(array)
    return array


def on_host(context: str | Context, what: str) -> Context:
    """Return a context that `what`, which no device can hold, may be put in.

    Raises
    ------
    OptionError         it is a GPU's
    """
    context = Context(context)
    if context.device_type == "gpu":
        raise OptionError(f"ctx='gpu': {what} stay on the host; use ctx='cpu'")
    return context
