"""As much of mx.nd as data scripts need: arrays, dense and sparse, and where they live."""

from gpuio.hooks import missing
from gpuio.nd import functions, random, sparse
from gpuio.nd.arrays import (
    NDArray,
    arange,
    array,
    asnumpy,
    described,
    empty,
    full,
    host_array,
    ones,
    waitall,
    zeros,
)
from gpuio.nd.context import Context, cpu, cpu_pinned, current_context, gpu, num_gpus
from gpuio.nd.files import load, save
from gpuio.nd.functions import *  # noqa: F403 -- all of them are mx.nd's
from gpuio.nd.sparse import CSRNDArray

__all__ = [
    "CSRNDArray",
    "Context",
    "NDArray",
    "arange",
    "array",
    "asnumpy",
    "cpu",
    "cpu_pinned",
    "current_context",
    "described",
    "empty",
    "full",
    "gpu",
    "host_array",
    "load",
    "num_gpus",
    "ones",
    "random",
    "save",
    "sparse",
    "waitall",
    "zeros",
]
__all__ += functions.__all__


def __getattr__(name: str) -> None:
    raise missing("gpuio.nd", name)
