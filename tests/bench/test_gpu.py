"""The GPU benchmarks at toy size, without a GPU: they must not rot until somebody has one."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest

BENCH = Path(__file__).parents[2] / "bench"


def load(name, monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH))
    spec = importlib.util.spec_from_file_location(f"bench_{name}", BENCH / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """Return the options of a small run without a GPU, with pictures."""
    from gpuio.tools.photos import make_photos

    folder = tmp_path_factory.mktemp("pictures")
    make_photos(folder / "photos", 8, size=(120, 160))
    make_photos(folder / "faces", 8, size=(64, 64))
    return ["--toy", "--cpu", "--images", f"{folder}/photos", "--faces", f"{folder}/faces"]


@pytest.fixture(autouse=True)
def forget_helpers():
    yield
    for name in ("gpu_data", "gpu_engines", "gpu_overrides", "gpu_rivals"):
        sys.modules.pop(name, None)


@pytest.mark.slow
def test_every_competitor_that_needs_no_gpu_is_measured(tmp_path, monkeypatch, capsys, toy):
    pytest.importorskip("nvidia.dali")
    out = tmp_path / "result.json"
    result = load("gpu", monkeypatch).main([*toy, "--out", str(out)])
    assert json.loads(out.read_text())["results"] == result["results"]
    assert json.loads(capsys.readouterr().out)["machine"]["cpus"] >= 1
    assert result["absent"] == {}
    assert result["complete"] is True
    assert result["pixels_beside_opencv"]["bare dali"]["largest_difference"] == 0
    assert set(result["results"]) == {
        "bare nvimgcodec",
        "bare dali",
        "gpuio batches cpu",
        "gpuio ImageRecordIter",
        "dali pipeline",
    }
    for run in result["results"].values():
        assert run["images_per_s_median"] > 0
        assert run["epochs"] == 1


def test_a_run_that_is_cut_short_leaves_what_it_measured(tmp_path, monkeypatch, capsys, toy):
    out = tmp_path / "result.json"
    module = load("gpu", monkeypatch)

    class Cut(BaseException):
        pass

    class Never:
        def __init__(self, *args, **settings):
            saved = json.loads(out.read_text())
            assert saved["results"]["bare nvimgcodec"]["epochs"] == 1
            raise Cut

    class Absent:
        def __init__(self, *args, **settings):
            raise ImportError("not installed")

    monkeypatch.setattr(module, "Batches", Absent)
    monkeypatch.setattr(module, "Iterator", Never)
    with pytest.raises(Cut):
        module.main([*toy, "--out", str(out)])
    saved = json.loads(out.read_text())
    assert saved["absent"] == {"gpuio batches cpu": "ImportError: not installed"}
    assert saved["complete"] is False


def test_whoever_is_to_be_left_out_is_not_opened(monkeypatch, capsys, toy):
    result = load("gpu", monkeypatch).main([*toy, "--without", "gpuio"])
    assert list(result["results"]) == ["bare nvimgcodec", "bare dali", "dali pipeline"]


def test_nothing_is_begun_after_the_time_is_used_up(tmp_path, monkeypatch, capsys, toy):
    result = load("gpu", monkeypatch).main([*toy, "--seconds", "-1"])
    assert result["results"] == {}
    assert result["complete"] is False


def test_another_picture_than_opencvs_is_not_timed(monkeypatch, capsys, toy):
    module = load("gpu", monkeypatch)
    monkeypatch.setattr("gpuio.decode.opencv.decode", lambda blob, channels: np.uint8(0))
    result = module.main(toy)
    assert "another picture" in result["absent"]["bare nvimgcodec"]


@pytest.mark.slow
def test_memory_and_iterators_left_early_are_looked_at(tmp_path, monkeypatch, capsys, toy):
    out = tmp_path / "result.json"
    load("gpu_soak", monkeypatch).main([*toy, "--out", str(out)])
    result = json.loads(out.read_text())
    assert result["memory cpu"]["batches"] == len(result["memory cpu"]["levels"]) == 24
    assert result["memory cpu"]["growth_mib"]["resident_mib"] < 50
    early = result["left early"]
    assert early["iterators"] == 4
    for what in ("python_threads", "files"):
        assert early["before"][what] == early["after"][what]


def test_the_chroma_filter_can_be_turned_off_for_a_comparison(tmp_path, monkeypatch, capsys, toy):
    pytest.importorskip("nvidia.nvimgcodec")
    out = tmp_path / "result.json"
    load("gpu_pixels", monkeypatch).main([*toy, "--out", str(out)])
    results = json.loads(out.read_text())["results"]
    assert len(results) == 8
    for name, found in results.items():
        filtered = name.endswith("on") or name.startswith("4:4:4")
        assert (found["largest_difference"] == 0) == found["within"] == filtered


def test_each_part_measures_photos_and_faces(tmp_path, monkeypatch, capsys, toy):
    pytest.importorskip("nvidia.nvimgcodec")
    out = tmp_path / "result.json"
    options = [*toy, "--part", "rates", "--out", str(out)]
    result = load("gpu", monkeypatch).main(options)
    assert result["complete"] is True
    assert list(result["results"]) == [
        f"bare nvimgcodec {which}, 0% hardware, fancy {fancy}"
        for fancy in ("on", "off")
        for which in ("photos", "faces")
    ]
    assert set(json.loads(out.read_text())["mean_image_bytes"]) == {"photos", "faces"}


def test_shares_of_the_host_are_measured_and_auto_is_found_once(monkeypatch, capsys, toy):
    module, made = load("gpu", monkeypatch), []
    field = module.Field(
        module.argparse.Namespace(cpu=False, batch=8), {"photos": 1, "faces": 2}, "", None
    )
    monkeypatch.setattr(module, "Iterator", lambda *args, **settings: made.append(settings))
    monkeypatch.setattr(module, "write_rec", lambda *_: ("", ""))
    monkeypatch.setattr(module, "Under", lambda opened: opened())
    wanted = module.competitors("shares", field)
    for open_it in wanted.values():
        open_it()
    assert [one["host_share"] for one in made] == ["auto", 0.5, 0.25, 0.75, 0.0, 1.0, 1.0, 0.0]
    monkeypatch.undo()
    result = load("gpu", monkeypatch).main([*toy, "--part", "shares"])
    assert (list(result["results"]), result["absent"]) == (list(wanted), {})


def test_what_auto_found_is_kept_by_the_iterators_of_later_epochs(monkeypatch):
    rivals, states = load("gpu_rivals", monkeypatch), []

    class Found:
        def __init__(self, **options):
            self.share = {}

        def state_dict(self):
            return {"samples": 0, **self.share}

        def load_state_dict(self, state):
            states.append(state)

        def stats(self):
            return {"images": 3, "host_share": 0.4, "engine_images": 2}

        def close(self):
            pass

    monkeypatch.setattr("gpuio.io.ImageRecordIter", Found)
    it = rivals.Iterator("", "", 8, False)
    it.it.share = {"host_share": 0.4}
    it.prepare()
    assert states == [{"samples": 0, "host_share": 0.4}]
    assert it.pixels == {"host_share": 0.4, "engine_images": 2}


def test_a_reader_that_is_disturbed_is_counted(monkeypatch, capsys, toy):
    pytest.importorskip("nvidia.nvimgcodec")
    module = load("gpu_order", monkeypatch)
    assert module.main(toy)["order"] == {
        "rounds": 2,
        "reader_disturbed": 0,
        "reader_disturbed_after_host_wait": 0,
    }
    late = module.OnHost
    monkeypatch.setattr(late, "read", lambda self: (self.arena, self.arena))
    assert module.main(toy)["order"]["reader_disturbed"] == 2


def test_an_array_that_is_not_complete_is_counted(monkeypatch, capsys, toy):
    module = load("gpu_arrays", monkeypatch)
    results = module.main(toy)["results"]
    assert {name: found["wrong"] for name, found in results.items()} == dict.fromkeys(results, 0)
    assert [found["arrays"] for found in results.values()] == [3, 3, 3]
    monkeypatch.setattr(module, "copied", lambda array, cpu: np.zeros(array.shape))
    assert module.main(toy)["results"]["NDArrayIter"]["wrong"] == 3


@pytest.mark.slow
def test_the_hosts_cores_decode_photos_and_faces(tmp_path, monkeypatch, capsys, toy):
    out = tmp_path / "result.json"
    load("gpu_host", monkeypatch).main([*toy, "--out", str(out)])
    for found in json.loads(out.read_text())["results"].values():
        assert found["decode_images_per_s"] > 0
        assert found["decode_and_upload_cpu_us_per_image"] > 0


def test_kernel_time_stands_beside_its_memory_floor(tmp_path, monkeypatch, capsys, toy):
    out = tmp_path / "result.json"
    load("gpu_kernels", monkeypatch).main([*toy, "--out", str(out)])
    for run in json.loads(out.read_text())["results"]:
        assert run["bytes"] > 8 * 3 * 224 * 224
        assert run["times_floor"] == pytest.approx(run["kernel_us"] / run["floor_us"], rel=0.05)
    assert "copy_gb_per_s" in capsys.readouterr().out
