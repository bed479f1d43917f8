"""Every module has its test file: one of the mirrored name, or the one that mirror.txt names."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TABLE = Path(__file__).with_name("mirror.txt")


def modules(root):
    """Return the modules of a tree, as paths from its root."""
    found = [*(root / "gpuio").rglob("*.py"), *(root / "kernels").rglob("*.py")]
    paths = sorted(path.relative_to(root).as_posix() for path in found)
    return [
        path
        for path in paths
        if not path.endswith("__init__.py") and not path.startswith("gpuio/kernels/")
    ]


def mirrored(module):
    """Return the test file of a module's own name: gpuio/io/x.py has tests/io/test_x.py."""
    folder, _, name = module.removeprefix("gpuio/").rpartition("/")
    return f"tests/{folder}/test_{name}" if folder else f"tests/test_{name}"


def faults(root, lines):
    """Return what is wrong with a tree and the table's lines."""
    known = modules(root)
    table = [line.split() for line in lines if line.strip() and not line.startswith("#")]
    named = [module for module, _ in table]
    wrong = [f"{module} is listed twice" for module in set(named) if named.count(module) > 1]
    wrong += [f"{module} is listed and does not exist" for module in named if module not in known]
    wrong += [f"{test} does not exist" for _, test in table if not (root / test).is_file()]
    for module in known:
        own = (root / mirrored(module)).is_file()
        if own and module in named:
            wrong.append(f"{module} is listed and has {mirrored(module)}")
        if not own and module not in named:
            wrong.append(f"{module} has no {mirrored(module)}: write it, or a line in mirror.txt")
    return wrong


def test_every_module_has_its_test_file():
    assert faults(ROOT, TABLE.read_text().splitlines()) == []


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], "kernels/cpu/b.py has no tests/kernels/cpu/test_b.py"),
        (["kernels/cpu/b.py tests/io/test_a.py"] * 2, "kernels/cpu/b.py is listed twice"),
        (["kernels/cpu/b.py tests/test_none.py"], "tests/test_none.py does not exist"),
        (["gpuio/io/a.py tests/io/test_a.py"], "gpuio/io/a.py is listed and has"),
        (["gpuio/io/c.py tests/io/test_a.py"], "gpuio/io/c.py is listed and does not exist"),
    ],
)
def test_a_table_that_does_not_fit_the_tree_is_seen(tmp_path, lines, said):
    for name in ("gpuio/io/a.py", "kernels/cpu/b.py", "tests/io/test_a.py"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    assert any(said in fault for fault in faults(tmp_path, lines))
    assert faults(tmp_path, ["kernels/cpu/b.py tests/io/test_a.py"]) == []
