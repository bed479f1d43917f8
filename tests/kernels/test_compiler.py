"""Compiled functions are what Numba would make, sooner; kept ones are read or made anew."""

import gc
import pickle
import re
import threading

import numba
import numpy as np
import pytest
from numba import types
from numba.core.dispatcher import Dispatcher
from numba.core.errors import TypingError
from numba.core.runtime import _nrt_python, rtsys
from numba.core.types.functions import BaseFunction

from gpuio.kernels import jit
from gpuio.kernels.__main__ import compile_all
from gpuio.kernels.cpu import resize, warp
from gpuio.kernels.jit import inner, kernel
from support.installed import SCRIPT, install, run, said_by

pytestmark = pytest.mark.skipif(jit._compiler is None, reason="this Numba compiles in its own way")
INT = types.int64
WORD = INT(INT)


def all_kernels():
    """Return every compiled kernel, and those that are made on demand."""
    compile_all()
    for taps in (2, 4, 8):
        resize._compiled(taps)
        warp._compiled(taps)
    # of an object, not of what a dead proxy stands for
    made = [one for one in gc.get_objects() if issubclass(type(one), Dispatcher)]
    made = [one for one in made if one.py_func.__module__.startswith("gpuio.kernels")]
    return [one for one in made if not one.targetoptions.get("no_cpython_wrapper")]


def test_the_kernels_that_allocate_are_those_that_say_so():
    # without counting, memory is never given back; with it, 0.2 s are compiled for nothing
    found = {True: 0, False: 0}
    for made in all_kernels():
        says = made.targetoptions["_nrt"]
        for compiled in made.overloads.values():
            calls = {one.name for one in compiled.library._get_module_for_linking().functions}
            calls = {name for name in calls if name.startswith("NRT_")}
            assert any("MemInfo_alloc" in name for name in calls) == says, made.py_func
            assert bool(calls) == says, made.py_func
            assert says or not isinstance(compiled.signature.return_type, types.Array)
            found[says] += 1
    assert found[True] >= 10
    assert found[False] >= 40


def test_an_array_in_a_kernel_that_does_not_say_so_is_not_compiled():
    with pytest.raises(TypingError, match="empty"):

        @kernel(WORD)
        def _total(n):
            made = np.empty(n, np.int64)
            made[:] = 3
            return made.sum()


def test_what_a_kernel_allocates_is_given_back():
    @kernel(WORD, allocates=True)
    def total(n):
        made = np.empty(n, np.int64)
        made[:] = 3
        return made.sum()

    _nrt_python.memsys_enable_stats()
    try:
        before = rtsys.get_allocation_stats()
        assert [total(n) for n in range(100)] == [3 * n for n in range(100)]
        after = rtsys.get_allocation_stats()
    finally:
        _nrt_python.memsys_disable_stats()
    assert after.mi_alloc - before.mi_alloc == 100
    assert after.mi_free - before.mi_free == 100
    assert after.alloc - before.alloc == after.free - before.free


@inner
def positive(n):
    if n < 0:
        raise ValueError("below zero")
    return n


@inner
def extremes(a, b, c):
    return min(a, b, c), max(a, b, c)


def plainly(function):
    """Compile a function as Numba does by itself."""
    return numba.njit(nogil=True, error_model="numpy")(function)


def test_errors_of_compiled_code_are_those_that_were_raised():
    @kernel(WORD)
    def checked(n):
        if n == 3:
            raise KeyError("three")
        return positive(n)

    assert checked(4) == 4
    with pytest.raises(KeyError, match="three") as caught:
        checked(3)
    assert caught.traceback[-1].name == "checked"
    with pytest.raises(ValueError, match=r"^below zero$") as caught:
        checked(-1)
    assert caught.traceback[-1].name == "positive"
    with pytest.raises(TypeError, match="No matching definition for argument type"):
        checked("4")


def test_a_function_of_kernels_can_be_called_from_numbas_own():
    made = plainly(lambda n: positive(n) + 1)
    assert made(4) == 5
    with pytest.raises(ValueError, match="below zero"):
        made(-4)


@pytest.mark.parametrize(
    "kinds", [("float64",) * 3, ("float32", "int64", "float64"), ("uint8",) * 3]
)
def test_extremes_are_numbas_to_the_bit(kinds):
    kinds = [getattr(types, kind) for kind in kinds]
    made = types.Array(types.float64, 1, "C")

    def fill(a, b, c, out):
        low, high = extremes(a, b, c)
        out[0], out[1] = low, high

    ours = kernel(types.void(*kinds, made))(fill)
    theirs = plainly(lambda a, b, c: (min(a, b, c), max(a, b, c)))
    values = [0.0, -0.0, 3.0, float("nan"), 200.0, -1e30]
    if not isinstance(kinds[0], types.Float):
        values = [0, 3, 200]
    for a in values:
        for b in (0, 7, 200):
            for c in values:
                given = [np.dtype(str(k)).type(v) for k, v in zip(kinds, (a, b, c), strict=True)]
                out = np.empty(2)
                ours(*given, out)
                assert out.tobytes() == np.array(theirs(*given), np.float64).tobytes(), given


def test_threads_that_compile_at_the_same_time_get_their_own_and_leave_collecting_on():
    start, found = threading.Barrier(4), {}

    def work(number):
        start.wait()

        @kernel(WORD)
        def added(n):
            return positive(n) + number

        found[number] = added(10)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: 10 + number for number in range(4)}
    assert gc.isenabled()


def test_a_rule_of_types_is_asked_once_in_a_process(monkeypatch):
    def compared(a, b):
        total = 0
        for n in range(a):
            if n * b > 7 and a != n:
                total += (n - b) // 3 + np.int64(n & 5)
            elif n + b <= 3:
                total ^= n << 1
        return total

    kind = INT(INT, INT)
    jit._dispatcher(compared, allocates=False).compile(kind)
    asked, own = [], BaseFunction.get_call_type

    def counted(self, context, args, kws):
        asked.append(str(self.typing_key))
        return own(self, context, args, kws)

    monkeypatch.setattr(BaseFunction, "get_call_type", counted)
    made = jit._dispatcher(compared, allocates=False)  # not kept on disk, so compiled
    made.compile(kind)
    assert [made(9, b) for b in range(4)] == [compared(9, b) for b in range(4)]
    again = [one for one in asked if one.startswith("<built-in function")]
    assert not again, again


FELLOWS = """
import os, pickle, sys
from gpuio.kernels.cpu import orient
import numpy as np

def turned(function):
    out = np.zeros(8, np.uint8)
    function(np.array([5, 6], np.uint8), 1, 1, 2, 2, out)
    return out.tolist()

whole = turned(orient.orient)
assert turned(pickle.loads(pickle.dumps(orient.orient))) == whole
child = os.fork()
if not child:
    from gpuio.kernels.jit import kernel
    from numba import types
    made = kernel(types.int64(types.int64))(lambda n: min(n, 7))
    os._exit(0 if turned(orient.orient) == whole and made(9) == 7 else 1)
assert os.waitpid(child, 0)[1] == 0
"""


def test_kernels_outlive_a_fork_and_can_be_pickled(tmp_path):
    install(tmp_path / "site")
    said_by(tmp_path / "site", tmp_path, FELLOWS)


OTHER = """
import numba
numba.version_info = numba.version_info._replace(short=(99, 0))
from gpuio.kernels import jit
assert jit._compiler is None
from numba.core.compiler import Compiler
from gpuio.kernels.cpu import orient
assert orient.orient._compiler.pipeline_class is Compiler
"""


def test_a_numba_that_is_not_known_compiles_and_loads_by_itself(tmp_path):
    install(tmp_path / "site")
    for expected in (["0", "1"], ["1", "0"]):
        assert run(tmp_path / "site", tmp_path, OTHER + SCRIPT) == expected
    assert run(tmp_path / "site", tmp_path) == ["0", "1"]  # what our own compiler makes is its own


TABLES = """
from numba.core.registry import cpu_target
print(len(cpu_target.typing_context._functions) > 0)
"""


def test_kept_code_is_read_without_numbas_tables_or_compiled_again(tmp_path):
    kept = install(tmp_path / "site") / "__pycache__"
    assert run(tmp_path / "site", tmp_path, SCRIPT + TABLES) == ["0", "1", "True"]
    assert run(tmp_path / "site", tmp_path, SCRIPT + TABLES) == ["1", "0", "False"]
    other = "import os\nos.environ['NUMBA_CPU_NAME'] = 'generic'\n" + SCRIPT
    assert run(tmp_path / "site", tmp_path, other) == ["0", "1"]  # of another processor
    (index,), (code,) = kept.glob("orient.orient*.nbi"), kept.glob("orient.orient*.1.nbc")
    for path in (code, index):
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        assert run(tmp_path / "site", tmp_path) == ["0", "1"], path
    assert index.read_bytes().startswith(pickle.dumps(numba.__version__, protocol=-1))
    index.write_bytes(pickle.dumps("0.1", protocol=-1) + b"written by another version")
    assert run(tmp_path / "site", tmp_path) == ["0", "1"]


def test_the_versions_that_were_tried_are_those_that_are_allowed():
    from pathlib import Path

    from gpuio.kernels import compiler

    text = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    least = re.search(r'"numba>=(\d+)\.(\d+)"', text)
    assert tuple(int(part) for part in least.groups()) == compiler._FIRST


def test_code_that_another_compiler_has_made_is_made_anew(tmp_path):
    site, kernels = tmp_path / "site", install(tmp_path / "site").parent
    assert run(site, tmp_path) == ["0", "1"]
    with (kernels / "compiler.py").open("a") as file:
        file.write("# another one\n")
    assert run(site, tmp_path) == ["0", "1"]
    assert run(site, tmp_path) == ["1", "0"]
