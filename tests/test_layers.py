"""Imports go strictly down, and heavy packages have one home.

Not tested, advice only: some 400 lines are plenty for a file.
"""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LEVEL = {
    "tools": 9,
    "adapters": 8,
    "io": 7,
    "image": 7,
    "pipeline": 6,
    "backend": 5,
    "tasks": 5,
    "plan": 4,
    "order": 3,
    "decode": 3,
    "options": 2,
    "recordio": 2,
    "nd": 2,
    "storage": 1,
    "errors": 0,
    "hooks": 0,
    "kernels": 0,
    "_version": 0,
    "base": 1,
}
# (importing folder, imported module): why
ALLOWED_SIDEWAYS = {
    ("image", "gpuio.io.base"): "the plain holders DataIter, DataBatch, DataDesc",
}
HOMES = {
    "cupy": {
        "gpuio/backend/gpu/backend",
        "gpuio/backend/gpu/probe",
        "kernels/cuda/compile",
        "gpuio/decode/dali",
        "gpuio/decode/nvimgcodec",
        "gpuio/tools/doctor",
        "gpuio/backend/gpu/cuda",
    },
    "nvidia": {
        "gpuio/decode/dali",
        "gpuio/decode/nvimgcodec",
        "gpuio/tools/doctor",
        "gpuio/backend/gpu/probe",
    },
    "torch": {"gpuio/adapters/torch"},
    "jax": {"gpuio/adapters/jax"},
    "ray": {"gpuio/adapters/ray"},
    "obstore": {"gpuio/storage/remote"},
    "fsspec": {"gpuio/storage/remote"},
    "numba": {"kernels/"},
}


def sources():
    """Yield (path relative to the root, syntax tree) of every file of the package."""
    for folder in ("gpuio", "kernels"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if folder == "gpuio" and "kernels" in path.relative_to(ROOT).parts:
                continue
            yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text())


def imports(tree):
    """Yield (module, is it at the top level) for every import of a file."""
    top = set(map(id, tree.body))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, id(node) in top
        elif isinstance(node, ast.ImportFrom):
            yield node.module or "", id(node) in top


def folder_of(path):
    parts = path.split("/")
    if parts[0] == "kernels":
        return "kernels"
    return parts[1].removesuffix(".py") if len(parts) > 1 else ""


def test_imports_go_strictly_down():
    wrong = []
    for path, tree in sources():
        mine = folder_of(path)
        if mine in ("__init__", "__main__"):
            continue
        for module, _ in imports(tree):
            if not module.startswith("gpuio"):
                continue
            theirs = module.split(".")[1] if "." in module else "__init__"
            if theirs == mine or (mine, module) in ALLOWED_SIDEWAYS:
                continue
            if theirs == "__init__" or LEVEL[theirs] >= LEVEL[mine]:
                wrong.append(f"{path} imports {module}")
    assert wrong == []


def test_kernels_never_import_gpuio_but_themselves():
    for path, tree in sources():
        if path.startswith("kernels/"):
            for module, _ in imports(tree):
                assert not module.startswith("gpuio") or module.startswith("gpuio.kernels"), path


def test_heavy_packages_have_one_home():
    wrong = []
    for path, tree in sources():
        for module, at_top in imports(tree):
            package = module.split(".")[0]
            homes = HOMES.get(package)
            if homes is None:
                continue
            if not any(path.startswith(home) for home in homes):
                wrong.append(f"{path} imports {package}")
            elif at_top and package != "numba":
                wrong.append(f"{path} imports {package} outside a function")
    assert wrong == []


def test_only_one_module_makes_threads():
    for path, tree in sources():
        if path == "gpuio/pipeline/prefetch.py":
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr in (
                "Thread",
                "ThreadPoolExecutor",
                "ProcessPoolExecutor",
                "Process",
                "Timer",
            ):
                pytest.fail(f"{path}:{node.lineno} makes a thread or process: use Prefetcher")


def test_the_device_is_named_only_behind_the_seam():
    for path, tree in sources():
        if path.startswith(("gpuio/backend/", "gpuio/tools/", "gpuio/adapters/", "kernels/")):
            continue
        for node in ast.walk(tree):
            if isinstance(node, (ast.If, ast.IfExp)):
                names = {n.id for n in ast.walk(node.test) if isinstance(n, ast.Name)}
                assert not names & {"gpu", "is_gpu", "on_gpu", "use_gpu"}, f"{path}:{node.lineno}"
