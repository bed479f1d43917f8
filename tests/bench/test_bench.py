"""Every benchmark runs at toy size, so that none rots; what they conclude from is checked."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

BENCH = Path(__file__).parents[2] / "bench"


@pytest.fixture(scope="module")
def bench():
    """Import a module of bench/ by name, as its scripts do."""
    sys.path.insert(0, str(BENCH))
    yield importlib.import_module
    sys.path.remove(str(BENCH))
    for name in ("peers", "report", "rounds", "workload", "peer_worker", "plot", "run"):
        sys.modules.pop(name, None)


def run(name, *options):
    return subprocess.run(
        [sys.executable, str(BENCH / f"{name}.py"), *map(str, options)],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("results")


@pytest.mark.parametrize("name", ["end_to_end", "decode", "framing", "start", "soak"])
def test_benchmark_runs_and_says_what_it_measured_and_where(out, name):
    done = run(name, "--toy", "--out", out)
    assert done.returncode == 0, done.stderr
    (path,) = out.glob(f"{name}-*.json")
    result = json.loads(path.read_text())
    assert result["question"].endswith("?")
    assert result["machine"]["cores_allowed"] >= 1
    assert result["versions"]["gpuio"]
    assert str(Path.home()) not in path.read_text()
    assert str(out) not in path.read_text()
    results = result["results"]
    if name == "soak":
        assert results["leaks"] == []
        assert len(results["resident_mib"]) == 3
        assert len(results["resident_mib_of_cycles"]) == 2
    elif name == "start":
        assert results["peers"]["gpuio, compiled before"]["process_s"]["median"] > 0
    else:
        for part in results.values() if name == "framing" else [results]:
            subject = part["peers"]["cv2" if name == "decode" else "gpuio"]
            assert all(one["wall_s"] > 0 and one["cpu_s"] > 0 for one in subject["rounds"])
            assert set(part["peers"]).isdisjoint(part["absent"])


def test_charts_are_drawn_from_the_json_files(out):
    made = sorted(out.glob("*.json"))
    if not made:
        pytest.skip("no benchmark ran before in this session")
    done = run("plot", out)
    assert done.returncode == 0, done.stderr
    assert sorted(out.glob("*.png")) == [path.with_suffix(".png") for path in made]


def test_run_gives_each_benchmark_the_options_it_knows(bench, tmp_path):
    import argparse

    run_all = bench("run")
    args = argparse.Namespace(out=str(tmp_path), toy=True, images="p", threads=3, rounds=None)
    words = run_all.command("decode", args)
    assert words[2:] == ["--out", str(tmp_path), "--toy", "--images", "p", "--threads", "3"]
    words = run_all.command("kernels", args)
    assert words[3].startswith(f"{tmp_path}/kernels-")
    assert words[4:] == ["--toy"]
    assert all((BENCH / f"{name}.py").exists() for name in run_all.ALL)


def test_run_fails_when_a_benchmark_fails(tmp_path):
    (tmp_path / "empty").mkdir()
    out = tmp_path / "out"
    done = run("run", "--toy", "--images", tmp_path / "empty", "--only", "soak", "--out", out)
    assert done.returncode == 1
    assert "failed: soak" in done.stderr


def test_a_peer_that_is_not_installed_is_absent_with_the_reason(bench, monkeypatch, tmp_path):
    monkeypatch.setenv("GPUIO_MXNET_PYTHON", str(tmp_path / "none" / "python"))
    found, absent = bench("peers").open_peers({"mxnet": ("mxnet", {})})
    assert (found, absent) == ([], {"mxnet": "its Python is not there"})


def test_a_peer_whose_library_cannot_be_imported_is_absent_and_its_process_ends(bench):
    with bench("peers").Peer("other", "records", {"module": "no_such_package"}) as peer:
        assert "no_such_package" in peer.absent
        assert peer._process is None


def test_a_peer_that_fails_says_why(bench, tmp_path):
    peers = bench("peers")
    with peers.Peer("x", "records", {"module": "gpuio", "rec": str(tmp_path / "none")}) as peer:
        assert peer.absent == ""
        with pytest.raises(peers.PeerError, match="StorageError"):
            peer.round()


def test_ratios_are_taken_within_each_round(bench):
    rounds, measured = bench("rounds"), bench("peers").Measured
    # the machine halves its speed after every round; the ratio stays 2
    fast = [measured(100, 2.0**i, 2.0**i) for i in range(5)]
    slow = [measured(100, 2 * 2.0**i, 3 * 2.0**i) for i in range(5)]
    assert rounds.ratio(fast, slow) == {"median": 2.0, "q1": 2.0, "q3": 2.0}
    assert rounds.ratio(fast, slow, cpu=True)["median"] == 3.0
    found = rounds.conclude({"gpuio": fast, "other": slow})
    assert found["ratios"]["gpuio / other"]["wall"]["median"] == 2.0
    assert found["peers"]["gpuio"]["images_per_s"]["median"] == 25.0


def test_a_round_does_not_time_the_first_batch(bench):
    class Peer:
        def batches(self):
            yield from [(5, None), (5, None), (3, None)]

    took = bench("peer_worker").one_round(Peer())
    assert took["images"] == 8


def test_cpu_time_counts_all_threads(bench):
    import hashlib
    import threading

    cpu_s = bench("peer_worker").cpu_s
    data = bytes(1 << 22)
    before = cpu_s()
    threads = [
        threading.Thread(target=lambda: [hashlib.sha256(data) for _ in range(8)]) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert cpu_s() - before > 0.02


def test_every_peer_takes_its_turn_once_a_round_in_changing_order(bench):
    order = []

    class Peer:
        def __init__(self, label):
            self.label = label

        def round(self):
            order.append(self.label)
            return bench("peers").Measured(1, 1.0, 1.0)

    found = bench("rounds").interleave([Peer(name) for name in "abc"], 6)
    turns = [tuple(order[i : i + 3]) for i in range(0, 21, 3)]
    assert all(sorted(turn) == ["a", "b", "c"] for turn in turns)
    assert len(set(turns)) > 1
    assert {label: len(rounds) for label, rounds in found.items()} == {"a": 6, "b": 6, "c": 6}


@pytest.mark.parametrize("text", ["/home/somebody/x", "read from /data/set/a.rec", "~/x"])
def test_a_result_with_a_path_of_the_machine_is_not_written(bench, tmp_path, text):
    with pytest.raises(ValueError, match="looks like a path"):
        bench("report").save(tmp_path, "n", "q?", {}, {"a": [text]}, page_cache="warm")
    assert list(tmp_path.iterdir()) == []


def test_photos_given_are_packed_as_they_are_with_their_folder_as_label(bench, tmp_path):
    from gpuio import recordio
    from gpuio.tools.photos import make_photos

    files = make_photos(tmp_path, 4, 2, size=(32, 40))
    with bench("workload").packed(str(tmp_path), 6) as data:
        with recordio.MXIndexedRecordIO(data.idx, data.rec, "r") as reader:
            records = [recordio.unpack(reader.read_idx(i)) for i in range(6)]
        assert data.about["photos"] == "given"
    assert [blob for _, blob in records] == [(files * 2)[i].read_bytes() for i in range(6)]
    assert [header.label for header, _ in records] == [0, 0, 1, 1, 0, 0]
    assert not Path(data.rec).exists()


def test_the_worker_knows_every_peer_that_benchmarks_name(bench):
    worker = bench("peer_worker")
    named = {"gpuio", "mxnet", "dali", "cv2", "nvimgcodec", "dali decode", "records", "offsets"}
    assert set(worker.PEERS) == named


def test_other_pictures_are_noticed_before_timing(bench):
    end_to_end = bench("end_to_end")
    rng = np.random.default_rng(0)
    ours = [rng.normal(size=(3, 8, 8)).astype(np.float32) for _ in range(2)]
    close = [image + np.float32(0.01) for image in ours]
    stds = np.full(3, 58.0)
    found = end_to_end.same_pictures({"gpuio": ours, "dali": close}, stds)
    assert found["dali: largest difference of a channel's mean, levels"] == pytest.approx(0.58)
    with pytest.raises(AssertionError, match="not those of dali"):
        end_to_end.same_pictures({"gpuio": ours, "dali": ours[::-1]}, stds)
    with pytest.raises(AssertionError, match="not MXNet's"):
        end_to_end.same_pictures({"gpuio": ours, "mxnet": close}, stds)
    sys.modules.pop("end_to_end")
