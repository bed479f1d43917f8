from __future__ import annotations

import importlib.util
import json
from pathlib import Path

BENCH = Path(__file__).parents[2] / "bench" / "image_iter.py"


def test_the_toy_run_writes_rates_of_both(tmp_path, capsys, monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH.parent))
    spec = importlib.util.spec_from_file_location("bench_image_iter", BENCH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    out = tmp_path / "result.json"
    module.main(["--toy", "--out", str(out), "--mxnet", ""])
    result = json.loads(out.read_text())
    assert json.loads(capsys.readouterr().out) == result
    assert set(result["results"]) == {"gpuio", "bare decode"}
    assert result["results"]["gpuio"]["images_per_s_median"] > 0
    assert result["machine"]["cores"] >= 1
