"""The bytes of a window's pixel, for the kernels that write values of it.

Every such kernel computes values, it does not look them up: a subtraction, a product and a sum in
float32, each rounded, vectorise where a gather of 256 entries does not. They equal
the tables of the tests' reference bit for bit. Each takes the output flat with the strides of
a channel, a row and a pixel in elements, so that NCHW and NHWC are one function, lies in a file of
its own, so that a job compiles the one it needs, and names this module as a source.
"""

# ruff: noqa: ARG001 -- Numba hands an intrinsic its types by name
from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from gpuio.kernels.jit import inner

__all__ = ["bits_of", "lane"]


@intrinsic
def lane(typing, pixel, bits):
    """Return byte `bits / 8` of a uint32 pixel as int32, shifted in 32 bits (Numba's are 64)."""
    signature = types.int32(types.uint32, types.uint32)

    def generate(context, builder, signature, args):
        return builder.and_(builder.lshr(*args), ir.Constant(ir.IntType(32), 255))

    return signature, generate


@inner
def bits_of(channels, c):
    """Return where an output channel (R, G, B, A or gray) stands in a window's pixel, in bits."""
    return np.uint32(8 * (2 - c) if channels >= 3 and c < 3 else 8 * c)
