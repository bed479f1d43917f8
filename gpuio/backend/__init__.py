"""Pixels to batches, on the host or on a GPU, behind one protocol."""

from gpuio.backend.choose import array_backend, open_backend
from gpuio.backend.pool import HostPool
from gpuio.backend.protocol import Backend, Encoded, Fault, Output

__all__ = ["Backend", "Encoded", "Fault", "HostPool", "Output", "array_backend", "open_backend"]
