"""Imports go strictly down and in no circle; heavy packages, threads and devices have their places.

Every rule is a function over parsed files that returns what breaks it; each is tried on the package
and on small sources that break it.

Not tested, advice only: some 400 lines are plenty for a file.
"""

import ast
import functools
import graphlib
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
LEVEL = {
    "tools": 9,
    "gluon": 9,
    "adapters": 8,
    "io": 7,
    "image": 7,
    "pipeline": 6,
    "backend": 5,
    "tasks": 5,
    "plan": 4,
    "cache": 4,
    "context": 3,
    "ndarray": 3,
    "random": 3,
    "test_utils": 3,
    "order": 3,
    "decode": 3,
    "options": 2,
    "recordio": 2,
    "nd": 2,
    "storage": 1,
    "errors": 0,
    "hooks": 0,
    "finalizing": 1,
    "forking": 0,
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
    "torch": {"gpuio/adapters/insightface", "gpuio/adapters/torch"},
    "jax": {"gpuio/adapters/jax"},
    "ray": {"gpuio/adapters/ray"},
    "numba": {"kernels/"},
    "nvtx": {"gpuio/pipeline/ranges"},
    "prometheus_client": {"gpuio/adapters/prometheus"},
    "obstore": {"gpuio/storage/stores"},
    "fsspec": {"gpuio/storage/stores"},
    "pyarrow": {"gpuio/adapters/ray", "gpuio/storage/stores", "gpuio/tools/parquetsets"},
}

# the only places that import a module whose name is not written out: why
LATE = {
    "gpuio/__init__.py": "mx.io, mx.nd, ... are imported when they are named",
    "gpuio/hooks.py": "the calls that go up, listed in gpuio/__init__",
    "gpuio/io/__init__.py": "an iterator is imported when it is named",
    "gpuio/tools/datasets.py": "the class of a data set that a command line names",
    "gpuio/tools/cli.py": "a command is imported when it is run",
    "kernels/__main__.py": "compiles every kernel",
}
# the only places outside of the backend that ask which device it is: why
DEVICES = {
    "gpuio/nd/context.py": "Context, and what arrays call instead of asking",
    "gpuio/options/record.py": "a GPU's setting beside ctx='cpu' is refused before anything opens",
}
BEHIND_THE_SEAM = ("gpuio/backend/", "gpuio/tools/", "gpuio/adapters/", "kernels/")
# the only places that make threads: those that work, and one that waits for them
THREADS = ("gpuio/pipeline/prefetch.py", "gpuio/finalizing.py")
# the only places that make locks of their own: why a forked child does not wait for them
LOCKS = {
    "gpuio/backend/gpu/crew.py": "a condition; nothing decodes on a GPU after a fork",
    "gpuio/backend/gpu/engines.py": "a condition; nothing decodes on a GPU after a fork",
    "gpuio/finalizing.py": "a thread that waits is not there in a child",
    "gpuio/forking.py": "it makes the others",
    "gpuio/pipeline/prefetch.py": "its machine refuses to work in a child",
    "gpuio/storage/kept_bytes.py": "a condition over such a lock; a child may not read, nor wait",
}
# the only places that import in a function without saying that this is work: why a fork finds no
# module of theirs half imported
AT_WORK = {
    "gpuio/adapters/": "frameworks that the user has imported, and tasks of their processes",
    "gpuio/backend/": "of iterators, which are made and asked for batches at work",
    "gpuio/cache/": "of iterators",
    "gpuio/decode/": "of iterators",
    "gpuio/hooks.py": "its callers are at work, or are a notebook's, or have a GPU",
    "gpuio/io/csv.py": "rows are read for a batch",
    "gpuio/io/libsvm.py": "rows are read for a batch",
    "gpuio/options/unknown.py": "for the text of an error",
    "gpuio/order/": "of iterators",
    "gpuio/pipeline/": "of iterators",
    "gpuio/plan/": "of iterators",
    "gpuio/recordio/uri.py": "what lies behind a network; a child may not read it",
    "gpuio/storage/": "what lies behind a network; local ranges and errors' texts",
    "gpuio/tasks/": "of iterators",
    "gpuio/tools/": "commands, which fork nothing",
    "kernels/": "imported as a whole by what imports it",
}
MAKES_LOCKS = {"Barrier", "BoundedSemaphore", "Condition", "Event", "Lock", "RLock", "Semaphore"}
MAKES_THREADS = {"Process", "ProcessPoolExecutor", "Thread", "ThreadPoolExecutor", "Timer", "fork"}


class File(NamedTuple):
    """One source: its path from the root, all its nodes, and its imports."""

    path: str
    nodes: list
    imports: list  # (module, names or None, at the top level?)


def parse(path, text):
    tree = ast.parse(text)
    nodes, top, imports = list(ast.walk(tree)), set(map(id, tree.body)), []
    for node in nodes:
        if isinstance(node, ast.Import):
            imports += [(alias.name, None, id(node) in top) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [alias.name for alias in node.names]
            imports.append(("." * node.level + (node.module or ""), names, id(node) in top))
    return File(path, nodes, imports)


@functools.cache
def package():
    """Return every file of the package, parsed once."""
    paths = [*(ROOT / "gpuio").rglob("*.py"), *(ROOT / "kernels").rglob("*.py")]
    named = sorted((path.relative_to(ROOT).as_posix(), path) for path in paths)
    files = [
        parse(name, path.read_text())
        for name, path in named
        if not name.startswith("gpuio/kernels/")
    ]
    assert len(files) > 100
    return files


def module_of(path):
    name = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    return f"gpuio.{name}" if path.startswith("kernels/") else name


def folder_of(path):
    parts = path.split("/")
    return "kernels" if parts[0] == "kernels" else parts[1].removesuffix(".py")


def targets(module, names):
    """Return the modules that an import may mean: ``from gpuio import nd`` is one of gpuio.nd."""
    return [module] if names is None or module != "gpuio" else [f"gpuio.{name}" for name in names]


def climbs(files):
    """Imports that do not go down, level by level, between folders."""
    wrong = []
    for file in files:
        mine = folder_of(file.path)
        if mine in ("__init__", "__main__"):
            continue
        for module, names, _ in file.imports:
            if module.startswith("."):
                wrong.append(f"{file.path} imports {module}: write the whole name")
            if module.split(".")[0] != "gpuio":
                continue
            for target in targets(module, names):
                theirs = target.split(".")[1] if "." in target else "__init__"
                if theirs == mine or (mine, target) in ALLOWED_SIDEWAYS:
                    continue
                if LEVEL.get(theirs, 99) >= LEVEL.get(mine, -1):
                    wrong.append(f"{file.path} imports {target}")
    return wrong


def circles(files):
    """Modules that import each other, at the top or inside functions, whatever for."""
    modules = {module_of(file.path) for file in files}
    graph = {}
    for file in files:
        found = set()
        for module, names, _ in file.imports:
            for name in names or [None]:
                full = f"{module}.{name}"
                found.add(full if full in modules else module)
        own = module_of(file.path)
        graph[own] = (found & modules) - {own}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return [" <- ".join(error.args[1])]
    return []


def kernels_that_climb(files):
    """Imports of gpuio by the kernels."""
    return [
        f"{file.path} imports {module}"
        for file in files
        if file.path.startswith("kernels/")
        for module, _, _ in file.imports
        if module.split(".")[0] == "gpuio" and not module.startswith("gpuio.kernels")
    ]


def strays(files):
    """Imports of heavy packages away from home, or outside of a function."""
    wrong = []
    for file in files:
        for module, _, at_top in file.imports:
            package = module.split(".")[0]
            homes = HOMES.get(package)
            if homes is None:
                continue
            if not any(file.path.startswith(home) for home in homes):
                wrong.append(f"{file.path} imports {package}")
            elif at_top and package != "numba":
                wrong.append(f"{file.path} imports {package} outside a function")
    return wrong


def threads(files):
    """Threads and processes that are not the Prefetcher's."""
    wrong = []
    for file in files:
        if file.path in THREADS:
            continue
        for module, names, _ in file.imports:
            if module.split(".")[0] in ("concurrent", "multiprocessing", "_thread") or (
                module in ("threading", "os") and MAKES_THREADS & set(names or ())
            ):
                wrong.append(f"{file.path} imports {module}")
        wrong += [
            f"{file.path}:{node.lineno} makes a thread or process: use Prefetcher"
            for node in file.nodes
            if isinstance(node, ast.Attribute) and node.attr in MAKES_THREADS
        ]
    return wrong


def locks(files):
    """Locks that a forked child would find held by a thread that it does not have."""
    wrong = []
    for file in files:
        if file.path in LOCKS:
            continue
        for module, names, _ in file.imports:
            if module == "threading" and MAKES_LOCKS & set(names or ()):
                wrong.append(f"{file.path} imports locks of threading")
        wrong += [
            f"{file.path}:{node.lineno} makes a lock: use gpuio.forking.lock"
            for node in file.nodes
            if isinstance(node, ast.Attribute)
            and node.attr in MAKES_LOCKS
            and isinstance(node.value, ast.Name)
            and node.value.id == "threading"
        ]
    return wrong


def names_a_device(node):
    """Whether an expression, or a pattern, says which device it is about."""
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and part.value in ("cpu", "cpu_pinned", "gpu", "cuda"):
            return True
        if isinstance(part, ast.Name) and part.id in ("gpu", "is_gpu", "on_gpu", "use_gpu"):
            return True
        if isinstance(part, ast.Attribute) and part.attr in ("device_type", "is_gpu", "on_gpu"):
            return True
    return False


def devices(files):
    """Decisions by device that are not the backend's."""
    wrong = []
    for file in files:
        if file.path.startswith(BEHIND_THE_SEAM) or file.path in DEVICES:
            continue
        for node in file.nodes:
            if isinstance(node, ast.Compare):
                asked = [node]
            elif isinstance(node, (ast.If, ast.IfExp, ast.While, ast.Assert)):
                asked = [node.test]
            elif isinstance(node, ast.BoolOp):
                asked = node.values
            elif isinstance(node, ast.Match):
                asked = [node.subject, *(case.pattern for case in node.cases)]
            else:
                continue
            if any(map(names_a_device, asked)):
                wrong.append(f"{file.path}:{node.lineno} asks which device it is")
    return wrong


def hidden(files):
    """Imports by a name that is not written out, and hooks given elsewhere than in gpuio."""
    wrong = []
    for file in files:
        for node in file.nodes:
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            first = node.args[0] if node.args else None
            foreign = isinstance(first, ast.Constant) and not str(first.value).startswith("gpuio")
            if name in ("import_module", "__import__") and not foreign and file.path not in LATE:
                wrong.append(f"{file.path}:{node.lineno} imports what nobody can read")
            if name == "provide" and file.path != "gpuio/__init__.py":
                wrong.append(f"{file.path}:{node.lineno} gives a hook")
    return wrong


def says_working(node):
    """Whether a statement is `with working:`, perhaps with more."""
    return isinstance(node, ast.With) and any(
        getattr(item.context_expr, "id", "") == "working" for item in node.items
    )


def half_imported(files):
    """Imports in functions that a fork does not wait for."""
    wrong = []
    for file in files:
        if file.path.startswith(tuple(AT_WORK)):
            continue
        at_work = {id(one) for node in file.nodes if says_working(node) for one in ast.walk(node)}
        late = {
            id(one): one
            for node in file.nodes
            if isinstance(node, (ast.FunctionDef, ast.Lambda))
            for one in ast.walk(node)
            if isinstance(one, (ast.Import, ast.ImportFrom))
            or getattr(getattr(one, "func", None), "attr", "") == "import_module"
        }
        wrong += [
            f"{file.path}:{node.lineno} imports, and a fork does not wait: use `with working:`"
            for key, node in late.items()
            if key not in at_work
        ]
    return wrong


RULES = [climbs, circles, kernels_that_climb, strays, threads, locks, devices, hidden]
RULES += [half_imported]


@pytest.mark.parametrize("rule", RULES)
def test_the_package_keeps_the_rule(rule):
    assert rule(package()) == []


BROKEN = [
    (climbs, {"gpuio/recordio/x.py": "import gpuio.io.record"}),
    (climbs, {"gpuio/recordio/x.py": "def f():\n    from gpuio import io"}),
    (climbs, {"gpuio/image/x.py": "from gpuio.io.wrap import ResizeIter"}),
    (climbs, {"gpuio/image/x.py": "import gpuio"}),
    (climbs, {"gpuio/image/x.py": "from . import augment"}),
    (climbs, {"gpuio/nowhere/x.py": "from gpuio.errors import GpuioError"}),
    (circles, {"gpuio/io/a.py": "import gpuio.io.b", "gpuio/io/b.py": "import gpuio.io.a"}),
    (
        circles,
        {
            "gpuio/io/a.py": "def f():\n    from gpuio.io import b",
            "gpuio/io/b.py": "if TYPE_CHECKING:\n    from gpuio.io.c import d",
            "gpuio/io/c.py": "from gpuio.io.a import f",
        },
    ),
    (circles, {"kernels/a.py": "import gpuio.kernels.b", "kernels/b.py": "import gpuio.kernels.a"}),
    (kernels_that_climb, {"kernels/cpu/x.py": "def f():\n    from gpuio.errors import GpuioError"}),
    (strays, {"gpuio/io/x.py": "def f():\n    import cupy"}),
    (strays, {"gpuio/decode/dali.py": "from nvidia import dali"}),
    (strays, {"gpuio/order/x.py": "from numba import njit"}),
    (strays, {"gpuio/recordio/x.py": "def f():\n    import obstore"}),
    (strays, {"gpuio/storage/stores.py": "from obstore.store import from_url"}),
    (threads, {"gpuio/io/x.py": "import threading\nthreading.Thread()"}),
    (threads, {"gpuio/io/x.py": "from threading import Thread"}),
    (threads, {"gpuio/io/x.py": "from concurrent.futures import ThreadPoolExecutor"}),
    (threads, {"gpuio/io/x.py": "import concurrent.futures as pool"}),
    (threads, {"gpuio/io/x.py": "def f():\n    from multiprocessing import Pool"}),
    (threads, {"gpuio/io/x.py": "from os import fork"}),
    (locks, {"gpuio/io/x.py": "import threading\nthreading.RLock()"}),
    (locks, {"gpuio/io/x.py": "from threading import Condition"}),
    (devices, {"gpuio/io/x.py": "if on_gpu: pass"}),
    (devices, {"gpuio/io/x.py": "if self.ctx.device_type == 'gpu': pass"}),
    (devices, {"gpuio/io/x.py": "y = x if ctx != 'gpu' else x.copy()"}),
    (devices, {"gpuio/io/x.py": "wanted = ctx.device_type == kind"}),
    (devices, {"gpuio/io/x.py": "wanted = ctx in ('cpu', 'cpu_pinned')"}),
    (devices, {"gpuio/io/x.py": "match ctx:\n    case 'gpu': pass"}),
    (devices, {"gpuio/io/x.py": "match ctx.device_type:\n    case kind: pass"}),
    (devices, {"gpuio/io/x.py": "wanted = device and self.on_gpu"}),
    (hidden, {"gpuio/io/x.py": "importlib.import_module(name)"}),
    (hidden, {"gpuio/io/x.py": "import_module('gpuio.tools')"}),
    (hidden, {"gpuio/io/x.py": "hooks.provide(f='gpuio.tools.cli:main')"}),
    (hidden, {"gpuio/io/x.py": "provide(f='gpuio.tools.cli:main')"}),
    (half_imported, {"gpuio/io/x.py": "def f():\n    import cv2"}),
    (half_imported, {"gpuio/io/x.py": "def f():\n    with lock, other:\n        import cv2"}),
    (half_imported, {"gpuio/io/x.py": "def f():\n    importlib.import_module(name)"}),
]


@pytest.mark.parametrize(("rule", "sources"), BROKEN)
def test_a_source_that_breaks_the_rule_is_seen(rule, sources):
    assert rule([parse(path, text) for path, text in sources.items()])


def stale(names):
    """Paths without their ending, or folders, that do not exist."""
    return [
        name
        for name in names
        if not (ROOT / name).is_dir() and not (ROOT / name).with_suffix(".py").is_file()
    ]


def test_what_the_tables_name_is_there():
    levels = [name if name == "kernels" else f"gpuio/{name}" for name in LEVEL]
    sideways = [module.replace(".", "/") for _, module in ALLOWED_SIDEWAYS]
    assert stale([*levels, *sideways, *set().union(*HOMES.values()), *LATE, *DEVICES]) == []
    assert stale([*THREADS, *BEHIND_THE_SEAM, *AT_WORK]) == []


@pytest.mark.parametrize("name", ["gpuio/adapters/none", "gpuio/remote/", "gpuio/io/none.py"])
def test_a_table_that_names_what_is_not_there_is_seen(name):
    assert stale([name]) == [name]


def test_no_exception_is_kept_that_nobody_needs():
    by_path = {file.path: file for file in package()}
    for path in DEVICES:
        assert devices([by_path[path]._replace(path="gpuio/io/x.py")]), path
    for path in LATE:
        assert hidden([by_path[path]._replace(path="gpuio/io/x.py")]), path
    for start in AT_WORK:
        below = [file for path, file in by_path.items() if path.startswith(start)]
        assert half_imported([file._replace(path="gpuio/io/x.py") for file in below]), start
