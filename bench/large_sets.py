"""How long does it take to open a set of ten million records, and in how much memory?

A made set: small records, their index of ten million lines. Each time in a fresh process, after the
import: MXIndexedRecordIO until one record is read, and ImageRecordIter with shuffle=True until its
first batch is there. MXNet does the same beside it.
"""  # noqa: D400 -- a question ends as one

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from peers import ROOT, mxnet_python
from report import save
from rounds import quartiles
from workload import parser

NAME = "large_sets"
RECORDS = 10_000_000
_AT_ONCE = 100_000  # records written at once

# run by each peer's Python; prints what one opening took
_OPEN = """
import json, resource, sys, time
import numpy as np
if not hasattr(np, "bool"):
    np.bool = bool
module, kind, rec, idx, key, options = sys.argv[1:]
if module == "gpuio":
    import gpuio as mx
else:
    import mxnet as mx
def used():
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(sum(one[:2]) for one in spent), spent[0].ru_maxrss / 1024
cpu, before = used()
begin = time.perf_counter()
if kind == "MXIndexedRecordIO":
    reader = mx.recordio.MXIndexedRecordIO(idx, rec, "r")
    opened = time.perf_counter()
    assert mx.recordio.unpack(reader.read_idx(int(key)))[0].id == int(key)
else:
    it = mx.io.ImageRecordIter(path_imgrec=rec, path_imgidx=idx, **json.loads(options))
    opened = time.perf_counter()
    it.next().data[0].wait_to_read()
end = time.perf_counter()
spent, peak = used()
print("OPENED", json.dumps({
    "open_s": opened - begin, "first_s": end - opened, "seconds": end - begin,
    "cpu_s": spent - cpu, "peak_mib": peak, "mib_after_import": before,
}), mx.__version__, sep="\\t")
"""
KINDS = ("MXIndexedRecordIO", "ImageRecordIter, shuffle")


def make_set(folder: Path, count: int) -> tuple[str, str]:
    """Write `count` records of one small PNG each, and their index; return the paths."""
    import cv2

    from gpuio import recordio

    blob = cv2.imencode(".png", np.full((1, 1, 3), 128, np.uint8))[1].tobytes()
    one = folder / "one.rec"
    with recordio.MXRecordIO(str(one), "w") as writer:
        writer.write(recordio.pack(recordio.IRHeader(0, 0.0, 0, 0), blob))
    record = np.frombuffer(one.read_bytes(), np.uint8)
    rec, idx = folder / "large.rec", folder / "large.idx"
    with rec.open("wb") as records, idx.open("w") as index:
        for start in range(0, count, _AT_ONCE):
            keys = np.arange(start, min(start + _AT_ONCE, count), dtype=np.uint64)
            block = np.tile(record, (len(keys), 1))
            block[:, 16:24] = keys[:, None].view(np.uint8)  # the id; 8 bytes framing, flag, label
            records.write(block.tobytes())
            index.writelines(f"{key}\t{key * record.size}\n" for key in keys.tolist())
    return str(rec), str(idx)


def once(
    python: str, module: str, kind: str, rec: str, idx: str, key: int, options: dict[str, Any]
) -> tuple[dict[str, float], str]:
    """Open the set in one fresh process; return what it took, and the package's version."""
    env = dict(os.environ)
    env.pop("PYTHONDONTWRITEBYTECODE", None)  # pip compiles what it installs; a checkout once
    if module == "gpuio":
        env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), env.get("PYTHONPATH")]))
    words = [module, kind, rec, idx, str(key), json.dumps(options)]
    done = subprocess.run(
        [python, "-c", _OPEN, *words], capture_output=True, text=True, env=env, check=False
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("OPENED\t")]
    if not lines:
        raise SystemExit(f"{module} did not open it: {done.stderr.strip().splitlines()[-1:]}")
    _, took, version = lines[0].split("\t")
    return json.loads(took), version


def main() -> None:
    """Measure and write."""
    made = parser(__doc__, rounds=3)
    made.add_argument("--records", type=int, default=RECORDS)
    args = made.parse_args()
    count, rounds = (1000, 1) if args.toy else (args.records, args.rounds)
    pythons = {"gpuio": sys.executable, "mxnet": str(mxnet_python())}
    absent = {}
    if not mxnet_python().exists():
        absent["mxnet"] = "its Python is not there"
        del pythons["mxnet"]
    options = {"data_shape": [3, 8, 8], "batch_size": 64, "shuffle": True, "verbose": False}
    options |= {"resize": 8, "preprocess_threads": args.threads}
    runs: dict[str, list[dict[str, float]]] = {}
    versions: dict[str, str] = {}
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory(prefix="gpuio-bench-") as folder:
        rec, idx = make_set(Path(folder), count)
        size = os.path.getsize(rec), os.path.getsize(idx)
        turns = [(module, kind) for module in pythons for kind in KINDS]
        for _ in range(rounds):
            for place in rng.permutation(len(turns)):
                module, kind = turns[place]
                ours = options | ({"ctx": "cpu"} if module == "gpuio" else {})
                python, key = pythons[module], int(rng.integers(count))
                took, versions[module] = once(python, module, kind, rec, idx, key, ours)
                runs.setdefault(f"{module}, {kind}", []).append(took)
    results = {
        "peers": {
            label: {name: quartiles([run[name] for run in done]) for name in done[0]}
            for label, done in sorted(runs.items())
        },
        "absent": absent,
    }
    told = {**options, "rounds": rounds, "records": count}
    told |= {"rec_bytes": size[0], "idx_bytes": size[1]}
    save(args.out, NAME, __doc__, told, results, page_cache="warm", versions=versions)


if __name__ == "__main__":
    main()
