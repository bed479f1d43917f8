"""mx.io: iterators, batches, and their descriptions."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from gpuio.forking import working
from gpuio.hooks import missing
from gpuio.io.base import DataBatch, DataDesc, DataIter

if TYPE_CHECKING:
    from gpuio.io.array import NDArrayIter
    from gpuio.io.csv import CSVIter
    from gpuio.io.detection import ImageDetRecordIter
    from gpuio.io.libsvm import LibSVMIter
    from gpuio.io.mnist import MNISTIter
    from gpuio.io.pairs import VerificationPairIter
    from gpuio.io.record import ImageRecordInt8Iter, ImageRecordIter, ImageRecordUInt8Iter
    from gpuio.io.wrap import PrefetchingIter, ResizeIter

__all__ = [
    "CSVIter",
    "DataBatch",
    "DataDesc",
    "DataIter",
    "ImageDetRecordIter",
    "ImageRecordInt8Iter",
    "ImageRecordIter",
    "ImageRecordUInt8Iter",
    "LibSVMIter",
    "MNISTIter",
    "NDArrayIter",
    "PrefetchingIter",
    "ResizeIter",
    "VerificationPairIter",
]

_HOMES = {
    "CSVIter": "csv",
    "ImageDetRecordIter": "detection",
    "ImageRecordInt8Iter": "record",
    "ImageRecordIter": "record",
    "ImageRecordUInt8Iter": "record",
    "LibSVMIter": "libsvm",
    "MNISTIter": "mnist",
    "NDArrayIter": "array",
    "PrefetchingIter": "wrap",
    "ResizeIter": "wrap",
    "VerificationPairIter": "pairs",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise missing("gpuio.io", name)
    with working:
        value = getattr(importlib.import_module(f"gpuio.io.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
