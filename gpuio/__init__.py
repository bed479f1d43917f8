"""gpuio reads MXNet RecordIO files and hands out image batches on the GPU or the CPU.

``import gpuio as mx`` gives `mx.io`, `mx.recordio`, `mx.image`, `mx.nd`, `mx.cpu()`, `mx.gpu()` and
`mx.base.MXNetError` with MXNet's names. Importing the package loads none of what it can use: the
parts are imported when they are first named.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from gpuio import hooks
from gpuio._version import __version__
from gpuio.errors import (
    BackendError,
    ClosedError,
    DecodeError,
    FormatError,
    GpuioError,
    GpuioWarning,
    MXNetError,
    OptionError,
    RecordError,
    StateError,
    StorageError,
)

if TYPE_CHECKING:
    from gpuio import base, image, io, nd, recordio
    from gpuio.nd import Context, asnumpy, cpu, cpu_pinned, gpu

    img, ndarray = image, nd

__all__ = [
    "BackendError",
    "ClosedError",
    "Context",
    "DecodeError",
    "FormatError",
    "GpuioError",
    "GpuioWarning",
    "MXNetError",
    "OptionError",
    "RecordError",
    "StateError",
    "StorageError",
    "__version__",
    "asnumpy",
    "base",
    "cpu",
    "cpu_pinned",
    "gpu",
    "image",
    "img",
    "io",
    "nd",
    "ndarray",
    "recordio",
]

_MODULES = {"base": "base", "image": "image", "img": "image", "io": "io", "nd": "nd"}
_MODULES |= {"ndarray": "nd", "recordio": "recordio"}
_FROM_ND = ("Context", "asnumpy", "cpu", "cpu_pinned", "gpu")


hooks.provide(array_backend="gpuio.backend:array_backend")  # for arrays put on a GPU


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        value: Any = importlib.import_module(f"gpuio.{_MODULES[name]}")
    elif name in _FROM_ND:
        value = getattr(importlib.import_module("gpuio.nd"), name)
    else:
        raise AttributeError(f"module 'gpuio' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
