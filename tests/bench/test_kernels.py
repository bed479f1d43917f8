from __future__ import annotations

import importlib.util
import json
from pathlib import Path

BENCH = Path(__file__).parents[2] / "bench" / "kernels.py"


def test_the_toy_run_times_every_case_of_all_three(tmp_path, capsys):
    spec = importlib.util.spec_from_file_location("bench_kernels", BENCH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    out = tmp_path / "result.json"
    module.main(["--toy", "--out", str(out)])
    result = json.loads(out.read_text())
    assert json.loads(capsys.readouterr().out) == result
    assert len(result["results"]) == 6
    for case in result["results"].values():
        assert case["gpuio"]["cpu_ms_median"] > 0
        assert set(case) == {"gpuio", "opencv", "copy", "opencv / gpuio"}
    assert result["machine"]["cores"] >= 1
