"""Compile every CPU kernel for another processor, from this one, to see what is bound to x86.

    python scripts/cross_compile.py [--triple aarch64-linux-gnu] [--modules gpuio.kernels.ranges]

Each kernel's LLVM code is made anew, without what was kept of it, and an object of the other
processor is emitted. Refused are intrinsics of one processor, products and sums that become one
rounding (the same bits are promised everywhere), and symbols that neither gpuio, Numba nor the C
library has. Nothing is run: that needs the processor.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib
import re
import sys
import tempfile
import zlib
from collections.abc import Iterator
from typing import Any

import llvmlite.binding as llvm
from numba.core import config
from numba.core.codegen import CPUCodeLibrary
from numba.core.dispatcher import Dispatcher

_OF_A_PROCESSOR = re.compile(r"@llvm\.(?:x86|aarch64|arm)\.[\w.]+")
_FUSED = re.compile(r"\b(?:fn?m(?:add|sub)|fml[as])\b")
_ASM = re.compile(r"\bcall [^\n]*\basm\b")
_CALLED = re.compile(r'^declare [^@\n]*@"?([\w.$]+)"?\(', re.MULTILINE)
_KNOWN = re.compile(  # the C library, its mathematics, Numba's and Python's runtime, TurboJPEG
    r"llvm\.|(?:mem(?:cpy|set|move|cmp)|pread|clock_gettime|f?abs|floor|ceil|sqrt|exp|log|pow|cos|sin|"
    r"round|rint|trunc|fmod|tan|atan2?|acos|asin|hypot|ldexp|__\w+)f?$|_?_?Py|NRT_|numba_|"
    r"gpuio_(?:tj3|pread|memcpy)"
)


@contextlib.contextmanager
def watched() -> Iterator[dict[Any, bytes]]:
    """Yield what is filled with LLVM's code of what Numba compiles, by library, compressed.

    It is what it was before code of this processor is made of it, which changes it in place; others
    link that, too.
    """
    made: dict[Any, bytes] = {}
    asked = CPUCodeLibrary._optimize_final_module  # noqa: SLF001 -- Numba shows only what is left

    def optimize(library: Any) -> None:
        asked(library)
        module = library._final_module.clone()  # noqa: SLF001
        made[library] = zlib.compress(str(module).encode(), 1)
        for function in module.functions:  # as Numba has it for the libraries that link this one
            if not function.is_declaration and function.linkage == llvm.Linkage.external:
                function.linkage = llvm.Linkage.linkonce_odr
        library._shared_module = module  # noqa: SLF001

    CPUCodeLibrary._optimize_final_module = optimize  # noqa: SLF001
    try:
        yield made
    finally:
        CPUCodeLibrary._optimize_final_module = asked  # noqa: SLF001


def kernels(names: list[str], made: dict[Any, bytes]) -> Iterator[tuple[str, str]]:
    """Yield the compiled functions of modules: where each is, and LLVM's code."""
    found = [one for one in gc.get_objects() if issubclass(type(one), Dispatcher)]
    for one in sorted(found, key=lambda one: (one.py_func.__module__, one.py_func.__name__)):
        for compiled in one.overloads.values() if one.py_func.__module__ in names else ():
            if compiled.library in made:  # else it lies in its callers alone
                name = f"{one.py_func.__module__}.{one.py_func.__name__}"
                yield name, zlib.decompress(made[compiled.library]).decode()


def faults(text: str, triple: str) -> list[str]:
    """Return what keeps LLVM code from the processor of a triple; empty if an object was made."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    machine = llvm.Target.from_triple(triple).create_target_machine(opt=3, reloc="pic")
    found = [f"{one[1:]} is of one processor" for one in set(_OF_A_PROCESSOR.findall(text))]
    found += ["it has assembly"] * bool(_ASM.search(text))
    if found:  # LLVM ends the process where it cannot make code of them
        return found
    found += [f"{one} is unknown" for one in _CALLED.findall(text) if not _KNOWN.match(one)]
    text = re.sub(r"^target triple = .*$", f'target triple = "{triple}"', text, flags=re.MULTILINE)
    layout = f'target datalayout = "{machine.target_data}"'
    text = re.sub(r"^target datalayout = .*$", layout, text, flags=re.MULTILINE)
    module = llvm.parse_assembly(text)
    module.verify()
    if not machine.emit_object(module).startswith(b"\x7fELF"):
        found.append("no object was made")
    fused = sorted(set(_FUSED.findall(machine.emit_assembly(module))))
    return found + [f"a product and a sum become one rounding: {one}" for one in fused]


def main() -> None:
    """Compile all of them, or those of some modules."""
    form = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    form.add_argument("--triple", default="aarch64-linux-gnu")
    form.add_argument("--modules", nargs="+", help="default: all of gpuio.kernels")
    args = form.parse_args()
    with tempfile.TemporaryDirectory(prefix="gpuio-cross-") as kept:
        config.CACHE_DIR = kept  # else kept code is loaded, of which LLVM's is gone
        with watched() as made:
            names = args.modules or _all()
            for name in names:
                importlib.import_module(name)
        found = [(name, faults(text, args.triple)) for name, text in kernels(names, made)]
    wrong = [f"{name}: {one}" for name, some in found for one in some]
    print(f"{len(found)} kernels of {len(names)} modules compiled for {args.triple}")
    if wrong:
        sys.exit("\n".join(wrong))


def _all() -> list[str]:
    """Compile all; return every module of kernels, of TurboJPEG, too, if the library is found."""
    from gpuio.decode import turbojpeg
    from gpuio.kernels.__main__ import compile_all
    from gpuio.kernels.cpu import resize, warp

    names = compile_all()
    for taps in (2, 4, 8):  # made when a job first needs them
        resize._compiled(taps)  # noqa: SLF001
        warp._compiled(taps)  # noqa: SLF001
    if turbojpeg.compiled() is not None:
        names.append("gpuio.kernels.cpu.turbojpeg")
    return names


if __name__ == "__main__":
    main()
