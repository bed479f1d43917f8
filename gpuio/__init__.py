"""gpuio reads MXNet RecordIO files and hands out image batches on the GPU or the CPU.

``import gpuio as mx`` gives `mx.io`, `mx.recordio`, `mx.image` and `mx.nd` with MXNet's names.
"""

from gpuio._version import __version__
from gpuio.errors import GpuioError, MXNetError

__all__ = ["GpuioError", "MXNetError", "__version__"]
