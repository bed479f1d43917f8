"""Kernels compile wherever they are installed, and are loaded, not compiled, the second time."""

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gpuio.kernels import jit
from support.installed import install, run, said_by


def test_the_second_process_loads_what_the_first_compiled_and_says(tmp_path):
    kernels = install(tmp_path / "site")
    kept = kernels / "__pycache__"
    line = f"compiling kernels, once, 5 to 10 s; they are kept in {kept}\n"
    assert said_by(tmp_path / "site", tmp_path) == ("0 1\n", line)
    assert said_by(tmp_path / "site", tmp_path) == ("1 0\n", "")


def test_an_install_that_cannot_be_written_keeps_its_cache_in_the_users_folder(tmp_path):
    kernels = install(tmp_path / "site")
    (kernels / "__pycache__").write_text("a file where the folder should be")  # even root obeys
    home = tmp_path / "home"
    home.mkdir()
    assert run(tmp_path / "site", home) == ["0", "1"]
    assert run(tmp_path / "site", home) == ["1", "0"]
    assert list(home.rglob("*.nbi"))


def test_what_another_user_has_left_beside_the_source_is_loaded(tmp_path):
    """As in an image whose kernels root has compiled, and which runs as a user of its own."""
    before = []
    if os.getuid() == 0:  # root that is denied what others are
        if not shutil.which("setpriv"):
            pytest.skip("root, and no setpriv")
        before = ["setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override"]
    kernels = install(tmp_path / "site")
    home = tmp_path / "home"
    home.mkdir()
    assert run(tmp_path / "site", home) == ["0", "1"]
    kept = kernels / "__pycache__"
    kept.chmod(0o555)
    try:
        assert said_by(tmp_path / "site", home, before=before) == ("1 0\n", "")
        assert not list(home.rglob("*.nbi"))
        with open(kernels / "orient.py", "a") as file:  # what lies there no longer fits
            file.write("\n")
        out, err = said_by(tmp_path / "site", home, before=before)
        assert out == "0 1\n"
        assert f"they are kept in {home}" in err
        assert said_by(tmp_path / "site", home, before=before) == ("1 0\n", "")
        assert list(home.rglob("*.nbi"))
    finally:
        kept.chmod(0o755)


@pytest.mark.slow
def test_kernels_work_where_nothing_can_be_written(tmp_path):
    kernels = install(tmp_path / "site")
    (kernels / "__pycache__").write_text("")
    home = tmp_path / "home"
    home.write_text("no folder either")
    for _ in range(2):
        out, err = said_by(tmp_path / "site", home)
        assert out == "0 1\n"
        assert err.count("\n") == 1
        assert "in every process" in err
        assert "set NUMBA_CACHE_DIR to a folder that can be written" in err


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("sh") is None, reason="limits files as a shell does")
def test_kernels_work_where_their_code_does_not_fit(tmp_path):
    """As on a full disk: files can be made, and hold only the first bytes."""
    kernels = install(tmp_path / "site")
    limited = ["sh", "-c", 'ulimit -f 1; exec "$0" "$@"']
    out, err = said_by(tmp_path / "site", tmp_path, before=limited)
    assert out == "0 1\n"
    assert err.count("\n") == 1
    assert f"cannot be kept in {kernels / '__pycache__'}" in err
    assert "File too large" in err
    assert run(tmp_path / "site", tmp_path) == ["0", "1"]  # there is room again
    assert run(tmp_path / "site", tmp_path) == ["1", "0"]


@pytest.mark.slow
def test_every_kernel_compiles_where_nothing_can_be_written(tmp_path):
    kernels = tmp_path / "site" / "gpuio" / "kernels"
    shutil.copytree(
        Path(jit.__file__).parent, kernels, ignore=shutil.ignore_patterns("__pycache__")
    )
    (kernels.parent / "__init__.py").write_text("")
    for folder in (kernels, *(path for path in kernels.iterdir() if path.is_dir())):
        (folder / "__pycache__").write_text("")
    (tmp_path / "home").write_text("no folder either")
    script = """
import gpuio.kernels.framing as framing
from gpuio.kernels.__main__ import compile_all
assert framing.walk.stats.cache_path is None, framing.walk.stats
print(*compile_all())
"""
    made = set(run(tmp_path / "site", tmp_path / "home", script, timeout=1800))
    files = {path.relative_to(kernels) for path in kernels.rglob("*.py")}
    names = {path.with_suffix("").as_posix().replace("/", ".") for path in files}
    names = {name.removesuffix(".__init__") for name in names} - {"__init__", "__main__"}
    names -= {"cpu.turbojpeg"}  # which wants a library
    assert made == {f"gpuio.kernels.{name}" for name in names}
    assert {"gpuio.kernels.framing", "gpuio.kernels.cpu.window"} <= made


def test_compiled_code_is_kept_by_jit_alone():
    # which is what makes kernels work where nothing can be written
    folder = Path(jit.__file__).parent
    paths = [path for path in folder.rglob("*.py") if path.name != "jit.py"]
    assert [path.name for path in paths if "cache=" in path.read_text()] == []


SOURCES = {
    "inside": """
from gpuio.kernels.jit import inner

@inner
def value():
    return 1
""",
    "outside": """
from numba import types
from gpuio.kernels.cpu.inside import value
from gpuio.kernels.jit import kernel

@kernel(types.int64(), "inside")
def twice():
    return 2 * value()
""",
}


@pytest.mark.slow
def test_a_kernel_is_compiled_anew_when_a_source_that_it_names_has_changed(tmp_path):
    kernels = install(tmp_path / "site")
    for name, text in SOURCES.items():
        (kernels / f"{name}.py").write_text(text)
    script = (
        "from gpuio.kernels.cpu.outside import twice; print(twice(), len(twice.stats.cache_hits))"
    )
    assert run(tmp_path / "site", tmp_path, script) == ["2", "0"]
    assert run(tmp_path / "site", tmp_path, script) == ["2", "1"]
    (kernels / "inside.py").write_text(SOURCES["inside"].replace("1", "5"))
    assert run(tmp_path / "site", tmp_path, script) == ["10", "0"]


FINISHES = [f"cpu/finish_{kind}" for kind in ("8", "16", "32", "centred", "ratio")]


@pytest.mark.parametrize(
    "name",
    [
        "cpu/warp",
        "plan/draw",
        "plan/draw_affine",
        "plan/draw_colours",
        "plan/draw_resized",
        "plan/draw_square",
        "cpu/resize",
        "cpu/area",
        "cpu/share",
        "cpu/turbojpeg",
        "cpu/decode_images",
        *FINISHES,
    ],
)
def test_kernels_name_the_modules_that_they_import_code_from(name):
    folder = Path(jit.__file__).parent
    tree = ast.parse((folder / f"{name}.py").read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    found = {node.module.split(".")[-1] for node in imports if "gpuio.kernels." in node.module}
    marks = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args]
    marks = [node for node in marks if getattr(node.func, "id", "") == "kernel"]
    named = [{part.value.split("/")[-1] for part in node.args[1:]} for node in marks]
    sources = {"random_bits", "vector", "warp_bilinear", "pointers", "share", "window", "lanes"}
    sources |= {"sizes", "draw_steps"}
    assert sources & found
    assert all(sources & found <= one for one in named)


def test_every_source_that_a_kernel_names_is_a_file():
    # one that cannot be read leaves all of them out of the name under which code is kept
    folder = Path(jit.__file__).parent
    named = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "kernel":
                parts = [part.value for part in node.args if isinstance(part, ast.Constant)]
                named |= {path.parent / f"{one}.py" for one in parts if "(" not in str(one)}
    assert len(named) > 20
    assert [str(path) for path in named if not path.is_file()] == []


@pytest.mark.parametrize("name", ["window", "orient", "colour", "antialias"])
def test_a_file_of_kernels_that_names_no_source_calls_no_compiled_function_of_another(name):
    # Numba's cache looks at one file's date only: it would keep what a change made wrong
    folder = Path(jit.__file__).parent
    for node in ast.walk(ast.parse((folder / "cpu" / f"{name}.py").read_text())):
        if not isinstance(node, ast.ImportFrom) or not node.module.startswith("gpuio.kernels"):
            continue
        module = node.module.split(".")[-1]
        names = {alias.name for alias in node.names}
        if module == "jit":
            assert names <= {"inner", "kernel"}
            continue
        path = node.module.removeprefix("gpuio.kernels.").replace(".", "/")
        tree = ast.parse((folder / f"{path}.py").read_text())
        functions = [part for part in tree.body if isinstance(part, ast.FunctionDef)]
        compiled = {part.name for part in functions if {"inner", "kernel"} & marks(part)}
        assert not names & compiled


def marks(function):
    """Return the names that a function's decorators use."""
    nodes = [node for mark in function.decorator_list for node in ast.walk(mark)]
    return {node.id for node in nodes if isinstance(node, ast.Name)}


PRODUCT = """
import sys
from gpuio.kernels.plan import shuffle
assert "scipy.linalg" not in sys.modules
import numba
import numpy as np
square = numba.njit("float64[:,::1](float64[:,::1])")(lambda a: np.dot(a, a))
assert square(np.ones((2, 2))).tolist() == [[2, 2]] * 2
assert "scipy.linalg" in sys.modules
"""


def test_kernels_leave_scipys_algebra_to_those_who_multiply_matrices(tmp_path):
    pytest.importorskip("scipy")
    run(tmp_path, tmp_path, PRODUCT)


def test_kernels_are_warmed_up_by_a_command(capsys, monkeypatch):
    from gpuio.tools import cli

    monkeypatch.setattr(jit.counts, "said", False)
    assert cli.main(["warmup", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["compiled"] + told["loaded"] >= 30
    assert Path(told["folder"]).is_dir()
    monkeypatch.setattr(jit.counts, "folder", "")
    assert cli.main(["warmup"]) == 1
    said = capsys.readouterr()
    assert "kernels: " in said.out
    assert "gpuio warmup: they cannot be kept: set NUMBA_CACHE_DIR" in said.err


FIRST_CALLS = """
import sys
import numpy as np
from gpuio.kernels import records, slots
from gpuio.kernels.cpu import needs
from gpuio.kernels.image_header import HEADER
from gpuio.kernels.plan.layout import PLAN
from gpuio.kernels.text import find_rows

before = set(sys.modules)
text, found = np.frombuffer(b"1,2\\n", np.uint8), np.zeros(4, np.int64)
find_rows(text, 0, np.zeros(2, np.int64), found, False)
needs.look_at(np.zeros(1, PLAN), np.zeros(1, HEADER), found[:1], found[:1], found[:1], 8, 8)
slots.sizes(found[:0])
print(sorted(set(sys.modules) - before))
"""


def test_the_first_call_of_a_kernel_imports_nothing():
    """A fork waits for imports that are gpuio's own, not for those of Numba in a call."""
    call = [sys.executable, "-c", FIRST_CALLS]
    done = subprocess.run(call, capture_output=True, text=True, check=False, timeout=300)
    assert done.stdout.strip() == "[]", done.stderr
