"""Pixels to batches, on the host or on a GPU, behind one protocol."""

from gpuio.backend.choose import array_backend, open_backend
from gpuio.backend.pool import HostPool
from gpuio.backend.protocol import Backend, Division, Encoded, Fault, Output, Sample

__all__ = [
    "Backend",
    "Division",
    "Encoded",
    "Fault",
    "HostPool",
    "Output",
    "Sample",
    "array_backend",
    "open_backend",
]
