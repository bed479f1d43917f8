"""gpuio reads MXNet RecordIO files and hands out image batches on the GPU or the CPU.

``import gpuio as mx`` gives `mx.io`, `mx.recordio`, `mx.image`, `mx.nd`, `mx.cpu()`, `mx.gpu()` and
`mx.base.MXNetError` with MXNet's names, and of `mx.random`, `mx.context`, `mx.gluon` and
`mx.test_utils` what data scripts use. Importing the package loads none of what it can use: the
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
from gpuio.forking import working

if TYPE_CHECKING:
    from gpuio import base, context, gluon, image, io, nd, random, recordio, storage, test_utils
    from gpuio.nd import Context, asnumpy, cpu, cpu_pinned, current_context, gpu, num_gpus

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
    "context",
    "cpu",
    "cpu_pinned",
    "current_context",
    "gluon",
    "gpu",
    "image",
    "img",
    "io",
    "nd",
    "ndarray",
    "num_gpus",
    "random",
    "recordio",
    "storage",
    "test_utils",
]

_MODULES = {name: name for name in __all__ if name.islower() and not name.startswith("_")}
_MODULES |= {"img": "image"}
_FROM_ND = ("Context", "asnumpy", "cpu", "cpu_pinned", "current_context", "gpu", "num_gpus")


hooks.provide(
    ahead="gpuio.pipeline.prefetch:Prefetcher",  # for the requests of one remote read
    array_backend="gpuio.backend:array_backend",  # for arrays put on a GPU
    count_gpus="gpuio.backend.gpu.probe:count_gpus",
    host_results="gpuio.nd.arrays:wrapped",
    check_image="gpuio.decode.limits:check_image",  # for unpack_img
    imdecode="gpuio.image.codec:imdecode",  # for VerificationPairIter, and
    resize_short="gpuio.image.ops:resize_short",
    batch_html="gpuio.tools.notebook:batch_html",  # what notebooks show
    iterator_html="gpuio.tools.notebook:iterator_html",
    plan_html="gpuio.tools.notebook:plan_html",
    record_html="gpuio.tools.notebook:record_html",
)


def __getattr__(name: str) -> Any:
    if name not in _FROM_ND and name not in _MODULES:
        raise hooks.missing("gpuio", name)
    with working:
        if name in _FROM_ND:
            value: Any = getattr(importlib.import_module("gpuio.nd"), name)
        else:
            value = importlib.import_module(f"gpuio.{_MODULES[name]}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
