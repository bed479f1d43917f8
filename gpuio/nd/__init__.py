"""As little of mx.nd as data scripts need: arrays, dense and sparse, and where they live."""

from gpuio.nd.arrays import (
    NDArray,
    arange,
    array,
    asnumpy,
    concat,
    described,
    empty,
    expand_dims,
    flip,
    full,
    host_array,
    ones,
    stack,
    transpose,
    waitall,
    zeros,
)
from gpuio.nd.context import Context, cpu, cpu_pinned, gpu
from gpuio.nd.files import load, save
from gpuio.nd.sparse import CSRNDArray

__all__ = [
    "CSRNDArray",
    "Context",
    "NDArray",
    "arange",
    "array",
    "asnumpy",
    "concat",
    "cpu",
    "cpu_pinned",
    "described",
    "empty",
    "expand_dims",
    "flip",
    "full",
    "gpu",
    "host_array",
    "load",
    "ones",
    "save",
    "stack",
    "transpose",
    "waitall",
    "zeros",
]
