"""The scale model predicts what was measured, and the page has its tables."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BENCH = ROOT / "bench"
(MEASURED,) = sorted((BENCH / "results").glob("scale_model-*.json"))


@pytest.fixture(scope="module")
def model():
    sys.path.insert(0, str(BENCH))
    yield importlib.import_module("scale_model")
    sys.path.remove(str(BENCH))
    for name in [path.stem for path in BENCH.glob("*.py")]:
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def jobs():
    return json.loads(MEASURED.read_text())["results"]["jobs"]


def test_the_model_predicts_what_was_measured(model, jobs):
    for name, one in jobs.items():
        for threads, ratio in model.ratios(one).items():
            # a bound: what is measured may be below it, and is not far
            assert 0.8 < ratio < 1.1, (name, threads)


def test_the_page_has_the_tables_of_the_measurement(model, jobs):
    page = (ROOT / "docs" / "performance.md").read_text()
    missing = [name for name, table in model.tables(jobs).items() if table not in page]
    assert missing == [], f"python bench/scale_model.py --tables {MEASURED.relative_to(ROOT)}"


@pytest.fixture
def costs(model):
    return model.Costs(20, 10, 800, 150, 50, 5, 100_000, 600_000)


@pytest.mark.parametrize(
    ("threads", "cores", "other", "limit", "rate"),
    [
        (1, 64, {}, "threads", 1000),
        (8, 64, {}, "threads", 8000),
        (8, 2, {}, "cores", 1951),
        (64, 64, {}, "interpreter", 15385),  # 10 of reading, 50 of making, 5 of handing over
        (8, 64, {"storage": (100.0, 1e9)}, "storage", 1000),
        (8, 64, {"storage": (1e6, 200.0)}, "storage", 200),
        (8, 64, {"storage": (1e6, 200.0), "cached": 0.5}, "storage", 400),
        (1, 64, {"cached": 1.0}, "threads", 5000),
        (1, 64, {"cached": 0.5}, "threads", 1667),
        (1, 64, {"cached": 1.0, "hit_us": 400.0}, "threads", 2500),
    ],
)
def test_the_slowest_of_five_is_the_rate(model, costs, threads, cores, other, limit, rate):
    assert model.limit(costs, threads, cores, **other) == limit
    assert round(model.rate(costs, threads, cores, **other)) == rate


def test_costs_are_scaled_to_the_cpu_time_of_the_process(model):
    stage = {"reading": 20, "read": 10, "making": 1000, "decode": 800, "kernels": 150}
    stage["hand_over"] = 5
    stages = {name: {"images_per_s": 1e6 / took} for name, took in stage.items()}
    stats = {"stages": stages, "cores_used": 0.5, "images_per_s": 1e6 / 1025}
    found = model.costs_of(stats, {"mean_record_bytes": 7, "mean_pixels": 9})
    assert found.total == pytest.approx(1025 / 2)
    assert found.decode == pytest.approx(400)
    assert found.decoded_bytes == 27


@pytest.mark.slow
def test_it_measures(tmp_path):
    words = [sys.executable, str(BENCH / "scale_model.py"), "--toy", "--out", str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.glob("scale_model-*.json")
    found = json.loads(path.read_text())["results"]["jobs"]
    assert found["tiny"]["costs_us"]["decode"] > 0
    assert found["tiny"]["rounds"]["1"][0]["images_per_s"] > 0


@pytest.mark.slow
def test_what_measuring_costs_is_measured(tmp_path):
    words = [sys.executable, str(BENCH / "stats_cost.py"), "--toy", "--job", "tiny3"]
    done = subprocess.run(
        [*words, "--out", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.glob("stats_cost-*.json")
    found = json.loads(path.read_text())["results"]["tiny3"]
    assert found["off / on"]["cpu"]["median"] > 0


def test_the_top_group_is_all_that_overlaps_the_best(model):
    def rates(q1, median, q3):
        return {"images_per_s": {"q1": q1, "median": median, "q3": q3}}

    grid = {"a": rates(90, 100, 110), "b": rates(80, 85, 90), "c": rates(70, 80, 89)}
    assert importlib.import_module("advice").top_group(grid) == ["a", "b"]
