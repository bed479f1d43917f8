"""Numbers at any address in memory, for kernels that are handed addresses.

Numba has no words for these loads. Kernels that use them name this module as a source.
"""

# ruff: noqa: ARG001 -- Numba hands an intrinsic its types by name
from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

__all__ = ["read_byte", "read_f32", "read_u32", "read_u64"]


def _reader(name, kind, made):
    """Return the intrinsic that reads a `kind` at (address, offset), int64 both, in bytes."""

    def read(typing, address, at):
        signature = made(types.int64, types.int64)

        def generate(context, builder, signature, args):
            base = builder.inttoptr(args[0], ir.IntType(8).as_pointer())
            place = builder.bitcast(builder.gep(base, [args[1]]), kind.as_pointer())
            value = builder.load(place, align=1)
            # a smaller number becomes an int64: Numba's sums of unsigned and signed are float64
            return builder.zext(value, ir.IntType(64)) if made == types.int64 else value

        return signature, generate

    read.__name__ = name
    return intrinsic(read)


read_byte = _reader("read_byte", ir.IntType(8), types.int64)
read_u32 = _reader("read_u32", ir.IntType(32), types.int64)
read_u64 = _reader("read_u64", ir.IntType(64), types.uint64)
read_f32 = _reader("read_f32", ir.FloatType(), types.float32)
