"""How compiled functions are put together: optimised and made machine code once, where they end.

Numba optimises each function by itself, makes machine code of it, and does so again for all that
calls it, in which it lies once more. Of functions that only kernels call (`jit.inner`) nothing but
a kernel's copy is ever run: here they are kept as they were written until a kernel is made of them.
That takes a third off the time of a first use. Compiled functions that are loaded are Numba's own.

All of this leans on the inside of Numba. With a version that it was not tried with, importing this
module is an ImportError, and `jit` leaves everything to Numba itself: the same bits, compiled more
slowly.
"""

# ruff: noqa: SLF001 -- Numba has no public way to this
from __future__ import annotations

import contextlib
import functools
import operator
from types import FunctionType
from typing import Any, ClassVar

import llvmlite.binding as llvm
import numba
from numba.core import cgutils, config
from numba.core.caching import FunctionCache
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler
from numba.core.compiler_machinery import register_pass
from numba.core.ir import UNDEFINED
from numba.core.ir_utils import build_definitions
from numba.core.lowering import Lower
from numba.core.runtime import _nrt_python, rtsys
from numba.core.ssa import reconstruct_ssa
from numba.core.typed_passes import NativeLowering, PreLowerStripPhis
from numba.core.types import BaseTuple, NumberClass, Type, boolean  # type: ignore[attr-defined]
from numba.core.untyped_passes import ReconstructSSA
from numba.extending import intrinsic

__all__ = ["Cache", "InnerCompiler", "KernelCompiler", "keep"]

_FIRST, _BEHIND = (0, 61), (0, 69)  # the versions of Numba that this was tried with
if not _FIRST <= tuple(numba.version_info.short) < _BEHIND:
    raise ImportError(f"Numba {numba.__version__} may be made of other parts")


class _Library(JITCodeLibrary):  # type: ignore[misc]
    """LLVM's code of a function, into which all that it calls is linked at once."""

    def add_linking_library(self, library: Any) -> None:
        """Note what this calls; Numba would have it finished here."""
        if not isinstance(library, _Inner):
            library._ensure_finalized()
        self._linking_libraries.append(library)

    def _optimize_functions(self, ll_module: Any) -> None:
        """Leave that to the passes over all of it."""
        ll_module.data_layout = self._codegen._data_layout

    def finalize(self) -> None:
        """Link, optimise and make machine code."""
        called = [one for one in _below(self) if one is not rtsys.library]
        if any(_counts_references(one._final_module) for one in (self, *called)):
            called.append(rtsys.library)
        self._linking_libraries = called
        super().finalize()


class _Inner(_Library):
    """LLVM's code of a function as it was written."""

    _shared_module: Any

    @property
    def codegen(self) -> Any:
        """Where addresses of compiled functions are known, as which this has none."""
        return _Unmade(self._codegen)

    def get_pointer_to_function(self, name: str) -> int:  # noqa: ARG002 -- of Numba's
        """Return that there is no machine code."""
        return 0

    def _get_module_for_linking(self) -> Any:
        """Return the function as one that may be inlined, and left out if it is."""
        if self._shared_module is None:
            module = self._final_module.clone()
            for function in module.functions:
                if not function.is_declaration and function.linkage == llvm.Linkage.external:
                    function.linkage = "linkonce_odr"
            self._shared_module = module
        return self._shared_module


class _Unmade:
    """Numba's `codegen` for functions without machine code."""

    def __init__(self, codegen: Any) -> None:
        self._codegen = codegen

    def __getattr__(self, name: str) -> Any:
        return getattr(self._codegen, name)

    def set_env(self, env_name: str, env: Any) -> None:
        """Do nothing: a function's environment is for errors, and kernels raise none."""


def _below(library: Any) -> Any:
    """Yield what a library calls, and what that calls, each once."""
    seen, waiting = set(), list(library._linking_libraries)
    while waiting:
        found = waiting.pop(0)
        if found in seen:
            continue
        seen.add(found)
        if isinstance(found, _Inner):
            waiting.extend(found._linking_libraries)
        yield found


def _extreme(name: str, compare: Any) -> Any:
    """Return `min` or `max` of numbers; Numba's own is compiled anew for all types of them."""

    def chosen(typing: Any, *numbers: Any) -> Any:
        kind = typing.unify_types(*numbers)

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            given = zip(cgutils.unpack_tuple(builder, args[0]), signature.args[0], strict=True)
            first, *others = (context.cast(builder, value, own, kind) for value, own in given)
            better = context.get_function(compare, boolean(kind, kind))
            for other in others:
                first = builder.select(better(builder, (other, first)), other, first)
            return first

        return kind(BaseTuple.from_types(numbers)), generate

    chosen.__name__ = name
    return intrinsic(chosen)


_EXTREMES = {"min": _extreme("least", operator.lt), "max": _extreme("most", operator.gt)}


def _with_extremes(function: FunctionType) -> FunctionType:
    """Return a function that takes `min` and `max` from here."""
    made = FunctionType(
        function.__code__,
        _EXTREMES | function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    made.__qualname__, made.__module__ = function.__qualname__, function.__module__
    return made


# Numba's passes for what no kernel has: closures, context managers, exceptions with arguments,
# loops over tuples of several types, expressions of whole arrays, functions inlined before their
# types are known; and the types as a text for people
_UNUSED = frozenset(
    {
        "AnnotateTypes",
        "DumpParforDiagnostics",
        "FindLiterallyCalls",
        "IRProcessing",
        "InlineClosureLikes",
        "InlineInlinables",
        "InlineOverloads",
        "LiteralPropagationSubPipelinePass",
        "LiteralUnroll",
        "MakeFunctionToJitFunction",
        "NopythonRewrites",
        "RewriteDynamicRaises",
        "RewriteSemanticConstants",
        "WithLifting",
    }
)

_CONVERTS: dict[Any, Any] = {}  # of numbers' types, which have no choice


class _Typing:
    """Numba's rules of types, asked once for each kind of call; it asks them every time.

    In one compilation: what a call is compiled to may depend on the options of its caller. What is
    a rule of Numba's own, such as a sum of numbers, is the same for all of a process.
    """

    _common: ClassVar[dict[Any, Any]] = {}

    def __init__(self, context: Any) -> None:
        self._context = context
        self._signatures: dict[Any, Any] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def resolve_function_type(self, func: Any, args: Any, kws: Any) -> Any:
        """Return the signature of a call, None where there is none."""
        kind: Any = func if isinstance(func, Type) else self._context._lookup_global(func)
        # neither of what is compiled itself nor of what is bound to a value
        chosen_by = (
            _CONVERTS if isinstance(kind, NumberClass) else getattr(kind, "_impl_keys", None)
        )
        if kws or chosen_by is None:
            return self._context.resolve_function_type(func, args, kws)
        key = kind, tuple(args)
        found, chosen = self._signatures.get(key) or self._common.get(key) or (None, None)
        # a function compiled meanwhile may have chosen another implementation for its own options
        if found is None or chosen_by.get(found.args) is not chosen:
            found = self._context.resolve_function_type(func, args, kws)
            if found is not None:
                chosen = chosen_by.get(found.args)
                # else it is compiled, or written, for this call
                own = chosen_by is _CONVERTS or chosen is kind.typing_key
                (self._common if own else self._signatures)[key] = found, chosen
        return found


class _Lower(Lower):  # type: ignore[misc]
    """Numba's way from typed code to LLVM's, without asking for the types once more."""

    def lower_binop(self, resty: Any, expr: Any, op: Any) -> Any:
        """Return the value of an operator of two operands."""
        if expr.static_lhs is not UNDEFINED or expr.static_rhs is not UNDEFINED:
            return super().lower_binop(resty, expr, op)
        context, builder = self.context, self.builder
        signature = self.fndesc.calltypes[expr]
        values = [
            context.cast(builder, self.loadvar(one.name), self.typeof(one.name), wanted)
            for one, wanted in zip((expr.lhs, expr.rhs), signature.args, strict=True)
        ]
        signature = _Typing(context.typing_context).resolve_function_type(op, signature.args, {})
        kind = context.typing_context.resolve_value_type(op)
        made = context.get_function(kind, signature)(builder, values)
        return context.cast(builder, made, signature.return_type, resty)


@register_pass(mutates_CFG=True, analysis_only=False)
class _Lowering(NativeLowering):  # type: ignore[misc]
    """Numba's pass that takes that way."""

    lowering_class = _Lower


@register_pass(mutates_CFG=True, analysis_only=False)
class _Single(ReconstructSSA):  # type: ignore[misc]
    """Numba's pass that gives each variable one value, without what only generators need."""

    def run_pass(self, state: Any) -> bool:
        """Change the function's code."""
        state.func_ir = reconstruct_ssa(state.func_ir)
        self._patch_locals(state)
        state.func_ir._definitions = build_definitions(state.func_ir.blocks)
        return True


@register_pass(mutates_CFG=True, analysis_only=False)
class _Merged(PreLowerStripPhis):  # type: ignore[misc]
    """Numba's pass that undoes that one, again without what only generators need."""

    def run_pass(self, state: Any) -> bool:
        """Change the function's code."""
        state.func_ir = self._strip_phi_nodes(state.func_ir)
        state.func_ir._definitions = build_definitions(state.func_ir.blocks)
        return True


_OWN = {"NativeLowering": _Lowering, "ReconstructSSA": _Single, "PreLowerStripPhis": _Merged}


class KernelCompiler(Compiler):  # type: ignore[misc]
    """Numba's compiler, for functions that are called from Python or by address."""

    _library = _Library

    def define_pipelines(self) -> list[Any]:
        """Return Numba's own passes without those that find nothing to do."""
        pipelines: list[Any] = super().define_pipelines()
        for pipeline in pipelines:
            pipeline.passes = [
                (_OWN.get(one.__name__, one), about)
                for one, about in pipeline.passes
                if one.__name__ not in _UNUSED
            ]
            pipeline.finalize()
        return pipelines

    def compile_extra(self, func: Any) -> Any:
        """Compile a Python function."""
        state = self.state
        state.typingctx = _Typing(state.typingctx)
        target = state.targetctx  # this compilation's own
        target.get_abi_sizeof = functools.cache(target.get_abi_sizeof)
        state.library = self._library(target.codegen(), func.__qualname__)
        state.library.enable_object_caching()
        return super().compile_extra(_with_extremes(func))


class InnerCompiler(KernelCompiler):
    """The same for functions that only other compiled functions call."""

    _library = _Inner


def _counts_references(module: Any) -> bool:
    """Say whether a module calls Numba's runtime."""
    return any(function.name.startswith("NRT_") for function in module.functions)


class Cache(FunctionCache):  # type: ignore[misc]
    """Compiled code on disk, loaded without the tables of all that Numba can compile."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Load compiled code; None where there is none, or none that can be read."""
        _add_symbols()
        try:
            return self._load_overload(sig, target_context)
        except Exception:  # noqa: BLE001 -- cut off, or whatever else: it is compiled again
            with contextlib.suppress(OSError):
                self.flush()
            return None


def keep(made: Any) -> None:
    """Keep a function's compiled code on disk; RuntimeError where there is no place for it."""
    made._cache = Cache(made.py_func)


def _add_symbols() -> None:
    """Make the functions of Numba's runtime known to LLVM, as its own first compilation does."""
    if not rtsys._init:
        if config.NRT_STATS:
            _nrt_python.memsys_enable_stats()
        for name, address in _nrt_python.c_helpers.items():
            llvm.add_symbol(name if name.startswith("_") else f"NRT_{name}", address)
