"""Bytes at addresses, as many as one says: compared, copied, cleared, as C has it.

Loops over bytes would be made vectors and unrolled, wherever one stands. Kernels that use these
name this module as a source.
"""

# ruff: noqa: ARG001 -- Numba hands an intrinsic its types by name
from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

__all__ = ["clear", "copy", "same"]

_int = types.int64
_I1, _I8, _I32, _I64 = (ir.IntType(width) for width in (1, 8, 32, 64))
_PLACE = _I8.as_pointer()


@intrinsic
def clear(typing, place, count):
    """Write `count` zeros to an address."""

    def generate(context, builder, signature, args):
        form = ir.FunctionType(ir.VoidType(), [_PLACE, _I8, _I64, _I1])
        function = builder.module.declare_intrinsic("llvm.memset", [_PLACE, _I64], form)
        place = builder.inttoptr(args[0], _PLACE)
        builder.call(function, [place, _I8(0), args[1], _I1(0)])
        return context.get_dummy_value()

    return types.void(_int, _int), generate


@intrinsic
def copy(typing, place, source, count):
    """Copy `count` bytes from one address to another; they may overlap."""

    def generate(context, builder, signature, args):
        form = ir.FunctionType(ir.VoidType(), [_PLACE, _PLACE, _I64, _I1])
        function = builder.module.declare_intrinsic("llvm.memmove", [_PLACE, _PLACE, _I64], form)
        places = [builder.inttoptr(one, _PLACE) for one in args[:2]]
        builder.call(function, [*places, args[2], _I1(0)])
        return context.get_dummy_value()

    return types.void(_int, _int, _int), generate


@intrinsic
def same(typing, one, other, count):
    """Return whether `count` bytes at two addresses are equal."""

    def generate(context, builder, signature, args):
        form = ir.FunctionType(_I32, [_PLACE, _PLACE, _I64])
        function = cgutils.get_or_insert_function(builder.module, form, "memcmp")
        function.attributes.add("nobuiltin")  # else it becomes bcmp, which not every C library has
        places = [builder.inttoptr(value, _PLACE) for value in args[:2]]
        return builder.icmp_signed("==", builder.call(function, [*places, args[2]]), _I32(0))

    return types.boolean(_int, _int, _int), generate
