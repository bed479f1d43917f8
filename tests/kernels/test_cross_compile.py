"""What binds a kernel to one processor is found, and code for another one is made without it."""

import importlib.util
from pathlib import Path

import numba
import pytest

ROOT = Path(__file__).resolve().parents[2]
ARM = "aarch64-linux-gnu"
WHOLE = """
target triple = "x86_64-unknown-linux-gnu"
target datalayout = "e-m:e-i64:64-f80:128-n8:16:32:64-S128"
{declared}
define double @f(double %a, double %b) {{
  %c = fmul {flags} double %a, %b
  %d = fadd {flags} double %c, %a
  {call}
  ret double %d
}}
"""


@pytest.fixture(scope="module")
def cross():
    spec = importlib.util.spec_from_file_location("cross", ROOT / "scripts" / "cross_compile.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("declared", "flags", "call", "said"),
    [
        ("", "", "", None),
        ("declare double @sqrt(double)", "", "%e = call double @sqrt(double %a)", None),
        ("", "contract", "", "become one rounding: fmadd"),
        ("declare void @a_secret()", "", "call void @a_secret()", "a_secret is unknown"),
        ("", "", 'call void asm sideeffect "nop", ""()', "it has assembly"),
        (
            "declare void @llvm.x86.sse2.pause()",
            "",
            "call void @llvm.x86.sse2.pause()",
            "llvm.x86.sse2.pause is of one processor",
        ),
    ],
)
def test_what_keeps_code_from_another_processor_is_named(cross, declared, flags, call, said):
    found = cross.faults(WHOLE.format(declared=declared, flags=flags, call=call), ARM)
    assert any(said in one for one in found) if said else found == []


def test_functions_that_numba_compiles_are_made_for_it(cross):
    def made(factor):
        def add(a):
            return a[0] * factor + a[1]

        # as kernels are: what counts references is this processor's once another test has used it
        return numba.njit("f8(f8[::1])", _nrt=False)(add)

    with cross.watched() as texts:
        both = [made(2.0), made(3.0)]  # of one name
    found = list(cross.kernels([__name__], texts))
    assert [name for name, _ in found] == [f"{__name__}.add"] * len(both)
    assert found[0][1] != found[1][1]
    assert [cross.faults(text, ARM) for _, text in found] == [[], []]
