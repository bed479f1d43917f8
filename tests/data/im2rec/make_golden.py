"""Write golden.json with real MXNet's im2rec: run with MXNet 1.9.1's Python in this folder."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import mxnet

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from support.tree import LISTS, MULTI, make_tree

TOOL = [sys.executable, str(Path(mxnet.__file__).parent / "tools" / "im2rec.py")]
golden = {"made_by": f"mxnet {mxnet.__version__} tools/im2rec.py", "lists": {}, "records": {}}
with tempfile.TemporaryDirectory() as folder:
    root = Path(folder) / "root"
    make_tree(root)
    # the tool imports cv2 at its top and, for lists and --pass-through, never uses it
    (Path(folder) / "cv2.py").touch()
    environment = {**os.environ, "PYTHONPATH": folder}
    for name, arguments in LISTS.items():
        prefix = Path(folder) / name
        subprocess.run(
            [*TOOL, str(prefix), str(root), "--list", *arguments], check=True, env=environment
        )
        golden["lists"][name] = {
            path.name: path.read_text() for path in sorted(Path(folder).glob(name + "*.lst"))
        }
    multi = Path(folder) / "multi.lst"
    for name, text, arguments in (
        ("plain", (Path(folder) / "plain.lst").read_text(), []),
        ("first", MULTI, []),
        ("every", MULTI, ["--pack-label"]),
    ):
        path = Path(folder) / f"rec_{name}.lst"
        path.write_text(text)
        subprocess.run(
            [*TOOL, str(path.with_suffix("")), str(root), "--pass-through", *arguments],
            check=True,
            env=environment,
        )
        golden["records"][name] = {
            "lst": text,
            "arguments": arguments,
            "rec": path.with_suffix(".rec").read_bytes().hex(),
            "idx": path.with_suffix(".idx").read_text(),
        }
Path("golden.json").write_text(json.dumps(golden, indent=1))
