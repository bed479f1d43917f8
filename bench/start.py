"""How long after the process starts is the first batch there?

Each time in a fresh process, counted from the end of the import, too: with the compiled kernels
cached on disk, and with an empty cache, as right after an installation, when all of them are
compiled; MXNet beside it. CPU seconds are those of all threads and of child processes.
"""  # noqa: D400 -- a question ends as one

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from typing import Any

import numpy as np
from peers import ROOT, mxnet_python
from report import save
from rounds import quartiles
from workload import main_job, packed, parser

NAME = "start"

# run by each peer's Python; prints the seconds of its stages
_FIRST_BATCH = """
import json, resource, sys, time
def cpu():
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(sum(resource.getrusage(kind)[:2]) for kind in kinds)
begin = time.perf_counter()
import numpy as np
if not hasattr(np, "bool"):
    np.bool = bool
module, options = sys.argv[1], json.loads(sys.argv[2])
if module == "gpuio":
    import gpuio as mx
else:
    import mxnet as mx
imported, cpu_imported = time.perf_counter(), cpu()
it = mx.io.ImageRecordIter(**options)
opened = time.perf_counter()
it.next().data[0].wait_to_read()
first, cpu_first = time.perf_counter(), cpu()
it.next().data[0].wait_to_read()
second = time.perf_counter()
print("STAGES", json.dumps({
    "import_s": imported - begin, "construct_s": opened - imported,
    "first_batch_s": first - opened, "second_batch_s": second - first,
    "import_to_first_batch_s": first - imported,
    "import_to_first_batch_cpu_s": cpu_first - cpu_imported,
}), mx.__version__, sep="\t")
"""


def once(
    python: str, module: str, options: dict[str, Any], cache: str | None
) -> tuple[dict[str, float], str]:
    """Run one fresh process; return its stages, the whole seen from outside, the version."""
    env = dict(os.environ)
    env.pop("PYTHONDONTWRITEBYTECODE", None)  # pip compiles what it installs; a checkout once
    if module == "gpuio":
        env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), env.get("PYTHONPATH")]))
    if cache is not None:
        env["NUMBA_CACHE_DIR"] = cache
    begin = time.perf_counter()
    done = subprocess.run(
        [python, "-c", _FIRST_BATCH, module, json.dumps(options)],
        capture_output=True,
        text=True,
        env=env,
        check=False,
    )
    whole = time.perf_counter() - begin
    lines = [line for line in done.stdout.splitlines() if line.startswith("STAGES\t")]
    if not lines:
        raise SystemExit(f"{module} gave no batch: {done.stderr.strip().splitlines()[-1:]}")
    _, stages, version = lines[0].split("\t")
    return {**json.loads(stages), "process_s": whole}, version


def main() -> None:
    """Measure and write."""
    args = parser(__doc__, rounds=5).parse_args()
    rounds, empties = (1, 0) if args.toy else (args.rounds, 2)
    absent = {} if mxnet_python().exists() else {"mxnet": "its Python is not there"}
    kinds = ["gpuio, compiled before"] + ([] if absent else ["mxnet"])
    runs: dict[str, list[dict[str, float]]] = {kind: [] for kind in kinds}
    versions: dict[str, str] = {}
    with packed(args.images, 256 if not args.toy else 16) as data:
        options = main_job(args.threads, 64 if not args.toy else 8)
        options |= {"path_imgrec": data.rec, "path_imgidx": data.idx}
        ours = options | {"ctx": "cpu"}
        once(sys.executable, "gpuio", ours, None)  # fills the cache of compiled kernels
        rng = np.random.default_rng(0)
        for _ in range(rounds):
            for place in rng.permutation(len(kinds)):
                if kinds[place] == "mxnet":
                    stages, versions["mxnet"] = once(str(mxnet_python()), "mxnet", options, None)
                else:
                    stages, _ = once(sys.executable, "gpuio", ours, None)
                runs[kinds[place]].append(stages)
        for _ in range(empties):
            with tempfile.TemporaryDirectory(prefix="gpuio-bench-") as empty:
                stages, _ = once(sys.executable, "gpuio", ours, empty)
                runs.setdefault("gpuio, empty cache", []).append(stages)
        about = data.about
    results = {
        "peers": {
            kind: {stage: quartiles([run[stage] for run in done]) for stage in done[0]}
            for kind, done in runs.items()
        },
        "absent": absent,
    }
    told = main_job(args.threads, options["batch_size"])
    told |= {"rounds": rounds, "rounds with an empty cache": empties, "data": about}
    save(args.out, NAME, __doc__, told, results, page_cache="warm", versions=versions)


if __name__ == "__main__":
    main()
