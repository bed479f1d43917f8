"""Compiled functions and memory by address: what one compiled call hands to another.

A kernel that calls others by address is compiled alone, and the others only if a job needs them.
`address` compares signatures, so that a caller and what it calls always agree. Kernels that use
this module name it as a source.
"""

# ruff: noqa: ARG001 -- Numba hands an intrinsic its types by name
from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

__all__ = ["address", "caller", "scratch", "view"]


def address(function, signature):
    """Return where a compiled function lies.

    Parameters
    ----------
    function : kernel       kept alive by its module
    signature : numba signature
                            that its callers were compiled for

    Returns
    -------
    int

    Raises
    ------
    TypeError               it has another signature
    """
    made = function.overloads.get(tuple(signature.args))
    if made is None or made.signature.return_type != signature.return_type:
        raise TypeError(
            f"{function.__name__} was compiled for {function.nopython_signatures}, "
            f"its caller for {signature}"
        )
    return made.library.get_pointer_to_function(made.fndesc.llvm_func_name)


def caller(signature):
    """Return an intrinsic that calls a compiled function: ``call(address, (argument, ...))``."""

    @intrinsic
    def call(typing, address, args):
        def generate(context, builder, signature_of_call, values):
            convention = context.call_conv
            kind = convention.get_function_type(signature.return_type, signature.args)
            result_type = convention.get_return_type(signature.return_type).pointee
            result = cgutils.alloca_once(builder, result_type)
            builder.store(cgutils.get_null_value(result_type), result)
            trouble = cgutils.alloca_once(builder, kind.args[1].pointee)
            packer = convention._get_arg_packer(signature.args)  # noqa: SLF001 -- no public way
            args = packer.as_arguments(builder, cgutils.unpack_tuple(builder, values[1]))
            function = builder.inttoptr(values[0], kind.as_pointer())
            builder.call(function, [result, trouble, *args])  # a kernel raises nothing
            if signature.return_type == types.void:
                return context.get_dummy_value()
            return context.get_returned_value(builder, signature.return_type, builder.load(result))

        return signature.return_type(types.int64, types.Tuple(signature.args)), generate

    return call


def view(dtype):
    """Return an intrinsic that takes memory as an array: ``view(address, count)``."""

    @intrinsic
    def at(typing, address, count):
        def generate(context, builder, signature, values):
            data = builder.inttoptr(values[0], context.get_data_type(dtype).as_pointer())
            return _array(context, builder, dtype, data, values[1])

        return types.Array(dtype, 1, "C")(types.int64, types.int64), generate

    return at


def scratch(dtype, count):
    """Return an intrinsic that makes an array of undefined contents on the stack: ``scratch()``.

    It lives as long as the function that asks for it; `np.empty` takes 0.2 s to compile.
    """

    @intrinsic
    def made(typing):
        def generate(context, builder, signature, values):
            size = ir.Constant(ir.IntType(64), count)
            data = cgutils.alloca_once(builder, context.get_data_type(dtype), size=size)
            return _array(context, builder, dtype, data, size)

        return types.Array(dtype, 1, "C")(), generate

    return made


def _array(context, builder, dtype, data, count):
    """Return memory as an array that owns nothing."""
    made = context.make_array(types.Array(dtype, 1, "C"))(context, builder)
    size = ir.Constant(ir.IntType(64), context.get_abi_sizeof(context.get_data_type(dtype)))
    populate_array(made, data, [count], [size], size, None)
    return made._getvalue()  # noqa: SLF001 -- so do all makers of arrays
