"""gpuio bench measures every kind of file and advises by its numbers."""

import json
from pathlib import Path

import numpy as np
import pytest

import gpuio as mx
from gpuio.errors import RecordError
from gpuio.tools import bench, bench_plot, cli, measuring, progress
from gpuio.tools.advice import advise, chosen, kept
from gpuio.tools.measuring import Run, Subject, quartiles
from support import boxes
from support.clock import ticking
from support.faceset import write_faces
from support.making import jpeg, photo, png, write_rec
from support.parts import manifest_of, write_parts

QUICK = ("--seconds", "1", "--threads", "1", "--progress", "none")


def run(capsys, *arguments):
    code = cli.main(["bench", *map(str, arguments), *QUICK])
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    """Runs of a hundredth of a second: what they measure is not looked at."""
    real = bench.measure

    def measure(subject, threads, seconds, *args):
        return real(subject, threads, seconds / 20, *args)

    monkeypatch.setattr(bench, "measure", measure)
    monkeypatch.setattr(measuring, "_LEAST_S", 0.005)


def faces(folder):
    return write_faces(folder)[0]


def photos(folder):
    return write_rec(folder, [jpeg(photo(120, 160 + k, k)) for k in range(6)])[0]


def detection(folder):
    return boxes.write(folder, 6)[0]


def one(folder):
    return write_rec(folder, [png(photo(32, 32))])[0]


def damaged(folder):
    blobs = [jpeg(photo(100, 120, k)) for k in range(8)]
    rec = Path(write_rec(folder, [*blobs[:3], b"no image", *blobs[3:]])[0])
    data = bytearray(rec.read_bytes())
    data[2 : 2 + 4] = b"lost"  # of the first record's framing
    rec.write_bytes(data)
    return str(rec)


@pytest.mark.parametrize(
    ("made", "kind", "shape"),
    [
        (photos, "images", [3, 224, 224]),
        (detection, "detection", [3, 300, 300]),
        (one, "images", [3, 32, 32]),
        (damaged, "images", [3, 100, 120]),
        (faces, "InsightFace", None),
    ],
)
def test_every_kind_of_file_is_measured_and_advised(tmp_path, capsys, made, kind, shape):
    code, out, err = run(capsys, made(tmp_path), "--json")
    assert code == 0, err
    found = json.loads(out)
    assert found["facts"]["kind"] == kind
    assert shape is None or found["options"]["data_shape"] == shape
    assert found["storage"]["again_mb_per_s"] > 0
    assert found["bare_decode"]["1"]["median"] > 0
    assert found["threads"]["1"]["images_per_s"]["median"] > 0
    assert set(found["prefetch"]) == {"1", "2", "4", "8"}
    assert found["advice"]["preprocess_threads"] == 1
    assert found["advice"]["prefetch_buffer"] in (1, 2, 4, 8)
    assert (found["met"]["faults"] > 0) == (made is damaged)
    assert any("has damage" in line for line in found["why"]) == (made is damaged)


def columns(folder):
    blobs = [jpeg(photo(40, 40, k)) for k in range(6)]
    return write_rec(folder, blobs, [np.arange(30 + k % 2, dtype=np.float32) for k in range(6)])[0]


def parts(folder):
    images = [jpeg(photo(40, 40, k)) for k in range(6)]
    return manifest_of(write_parts(folder, [3, 1, 2], images.__getitem__))


def several(folder):
    return parts(folder).parent


@pytest.mark.parametrize("made", [columns, parts, several])
def test_images_of_any_labels_and_of_several_files_are_measured(
    tmp_path, capsys, monkeypatch, made
):
    made = made(tmp_path)
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, "." if made == tmp_path else made, "--json")
    assert code == 0, err
    found = json.loads(out)
    assert found["facts"]["records"] == 6
    assert found["met"]["faults"] == 0
    assert found["cache"] is not None


WIDE = {"data_shape": (3, 224, 224), "random_resized_crop": True, "max_pixels": 10_000}


@pytest.mark.parametrize(
    ("options", "said"),
    [({"label_width": 2}, "label_width asks for 2"), (WIDE, "more than max_pixels=10000")],
)
def test_options_that_take_no_record_are_told(tmp_path, options, said):
    rec = write_rec(tmp_path, [jpeg(photo(2, 600, k)) for k in range(6)])[0]
    subject = Subject(rec, None, options)
    try:
        with pytest.raises(RecordError, match=rf"no record can be used .*{said}"):
            bench.measure(subject, [1], 0.1)
    finally:
        subject.close()


@pytest.mark.parametrize("part", [0, 1])
def test_a_part_is_measured_as_the_iterator_divides_it(tmp_path, part):
    rec = write_rec(tmp_path, [jpeg(photo(40, 40))])[0]
    options = {"num_parts": 2, "part_index": part, "shard": "even", "last_batch": "pad"}
    subject = Subject(rec, None, options)
    try:
        if part:  # which has the record
            assert bench.measure(subject, [1], 0.1)["met"]["faults"] == 0
        else:
            with pytest.raises(RecordError, match="part 0 of 2 has no image"):
                bench.measure(subject, [1], 0.1)
    finally:
        subject.close()


def test_a_part_without_an_image_says_nothing_of_a_cache(tmp_path):
    blobs = [b"no image"] * 12 + [jpeg(photo(40, 40, k)) for k in range(12)]
    subject = Subject(write_rec(tmp_path, blobs)[0], None, {"shuffle": False}, 1)
    assert subject.cached(Run(1, 1), 0.0) is None


def test_the_text_names_the_numbers_and_the_options_to_set(tmp_path, capsys):
    rec = photos(tmp_path)
    code, out, _ = run(
        capsys, rec, "--set", "data_shape=3,64,64", "--set", "resize=70", "--batch-size", 4
    )
    assert code == 0
    lines = out.splitlines()
    assert lines[0].startswith("6 records (images), ")
    assert "measured as 3x64x64, batches of 4" in lines[1]
    assert lines[-1].startswith("set: preprocess_threads=1, prefetch_buffer=")
    assert any("repack them smaller" in line for line in lines)


def test_batches_ahead_that_are_given_are_measured_too(tmp_path, capsys):
    code, out, _ = run(capsys, photos(tmp_path), "--set", "prefetch_buffer=3", "--json")
    assert code == 0
    found = json.loads(out)
    assert list(found["prefetch"]) == ["1", "2", "3", "4", "8"]
    assert found["threads"]["1"]["run"]["prefetch"] == 3


@pytest.mark.parametrize(
    ("size", "options", "images"),
    [
        (4, {}, [4, 4, 4]),  # an epoch's short batch is left out
        (4, {"last_batch": "partial"}, [4, 2, 4]),
        (4, {"round_batch": "0"}, [4, 2, 4]),
        (8, {}, [6, 4, 2]),  # more than there are: it is completed, as a training's is
    ],
)
def test_images_of_a_batch_are_counted(tmp_path, size, options, images):
    subject = Subject(photos(tmp_path), None, {"data_shape": (3, 40, 40), **options}, size)
    try:
        assert [measuring._next(subject.it) for _ in images] == images
    finally:
        subject.close()


def test_the_chart_has_the_bound_drawn_in(tmp_path, capsys, monkeypatch):
    drawn = []
    figure = pytest.importorskip("matplotlib.figure").Figure
    real = figure.savefig
    monkeypatch.setattr(
        figure, "savefig", lambda self, *args, **kw: (drawn.append(self), real(self, *args, **kw))
    )
    path = tmp_path / "chart.png"
    assert run(capsys, photos(tmp_path), "--plot", path)[0] == 0
    assert path.read_bytes()[:4] == b"\x89PNG"
    assert "bare decoding" in [line.get_label() for line in drawn[0].axes[0].get_lines()]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--set", "resize"], "expected NAME=VALUE"),
        (["--set", "resiez=4"], "resiez"),
        (["--set", "preprocess_threads=2"], "those that --threads names"),
        (["--plot", "chart.txt"], "expected a name that ends in .png"),
    ],
)
def test_wrong_arguments_are_told(tmp_path, capsys, arguments, said):
    code, _, err = run(capsys, photos(tmp_path), *arguments)
    assert code == 2
    assert said in err


def test_a_file_without_an_image_is_told(tmp_path, capsys):
    rec = write_rec(tmp_path, [b"no image"] * 3)[0]
    code, _, err = run(capsys, rec)
    assert code == 1
    assert "none of the 3 records looked at is an image" in err
    assert run(capsys, tmp_path / "none.rec")[0] == 3


@pytest.mark.parametrize(
    ("cores", "threads"), [(1, [1]), (2, [1, 2]), (6, [1, 2, 4, 6]), (64, [1, 2, 4, 8, 16, 32, 64])]
)
def test_threads_are_measured_up_to_the_cores(cores, threads):
    assert bench._threads(None, cores) == threads


def test_numbers_of_threads_are_checked():
    assert bench._threads("4,1,4", 2) == [1, 4]
    for wrong in ("0", "a", "", "2,-1"):
        with pytest.raises(bench.OptionError, match="--threads"):
            bench._threads(wrong, 2)


def rates(*medians):
    return {number: quartiles([median] * 3) for number, median in enumerate(medians, 1)}


@pytest.mark.parametrize(
    ("medians", "best"),
    [
        ((100,), 1),
        ((100, 200), 2),
        ((100, 198, 199, 200), 2),
        ((100, 90, 80), 1),
        ((50, 100, 60), 2),
    ],
)
def test_the_smallest_that_is_as_good_as_the_best_is_chosen(medians, best):
    assert chosen(rates(*medians)) == best


@pytest.mark.parametrize(
    ("runs", "current", "best"),
    [
        ({1: (97, 98, 99), 2: (100, 101, 102), 4: (99, 100, 101)}, 4, 4),  # not told from the best
        ({1: (90, 91, 92), 4: (97, 98, 99), 8: (100, 101, 102)}, 4, 8),
        ({1: (90, 100, 110), 2: (100, 101, 102), 4: (80, 81, 82)}, 4, 1),
        ({3: (100, 101, 102), 4: (200, 201, 202)}, 3, 4),
    ],
)
def test_a_setting_is_left_where_no_other_is_faster_beyond_the_noise(runs, current, best):
    assert kept({number: quartiles(run) for number, run in runs.items()}, current) == best


def test_the_reason_for_batches_ahead_tells_whether_they_were_changed():
    runs = {"4": {"images_per_s": quartiles([100.0])}, "8": {"images_per_s": quartiles([150.0])}}
    options, lines = advise(situation(prefetch=runs))
    assert options["prefetch_buffer"] == 8
    assert lines[1].startswith("prefetch_buffer=8: 1.50 times the rate with 4; ")
    runs["8"] = runs["4"]
    options, lines = advise(situation(prefetch=runs))
    assert options["prefetch_buffer"] == 4
    assert lines[1].startswith("prefetch_buffer=4: no other number is faster beyond the noise; ")


FACTS = {
    "bytes": 1e9,
    "mean_pixels": 60_000,
    "unusable_of_these": 0,
    "ranges_skipped": 0,
    "decoded_bytes": 4e9,
    "free_memory_bytes": 10e9,
}


def situation(**changed):
    run = {str(number): {"images_per_s": one} for number, one in rates(1000, 1900).items()}
    return {
        "facts": FACTS,
        "options": {"data_shape": [3, 224, 224], "prefetch_buffer": 4},
        "storage": {"first_records_per_s": 50_000.0},
        "bare_decode": {"2": quartiles([5000.0])},
        "threads": run,
        "prefetch": {"4": run["2"]},
        "cache": None,
        "met": {"faults": 0},
        **changed,
    }


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, None),
        ({"storage": {"first_records_per_s": 2000.0}}, "storage gave 2,000 records/s"),
        ({"storage": {"first_records_per_s": 9.0}, "facts": FACTS | {"bytes": 9e5}}, None),
        (
            {
                "path": "s3://bucket/train.rec",
                "storage": {"first_records_per_s": 2000.0, "again_records_per_s": 90_000.0},
            },
            "the network gave 2,000 records/s",
        ),
        ({"bare_decode": {"2": quartiles([2000.0])}}, "decoding limits: the iterator gives 95%"),
        ({"bare_decode": {"2": quartiles([0.0])}}, None),  # of images that do not decode
        ({"facts": FACTS | {"mean_pixels": 6e5}}, "repack them smaller (gpuio im2rec --resize; it"),
        ({"facts": FACTS | {"mean_pixels": 12e6}}, "decode_scale='auto'"),
        ({"met": {"faults": 3}}, "the file has damage"),
    ],
)
def test_each_rule_speaks_where_its_numbers_do(changed, said):
    options, lines = advise(situation(**changed))
    assert options == {"preprocess_threads": 2, "prefetch_buffer": 4}
    assert lines[0] == "preprocess_threads=2: 1,900 images/s"
    assert len(lines) == (2 if said is None else 3)
    assert said is None or said in lines[2]


@pytest.mark.parametrize(
    ("second", "free", "options", "said"),
    [
        (5000.0, 10e9, {"cache": "host"}, "cache='host': from the second epoch on 5.0 times"),
        (5000.0, 5e9, {}, "more than 50% of the free memory (5.0 GB): cache='disk'"),
        (1100.0, 10e9, {}, None),
    ],
)
def test_a_cache_is_advised_where_it_gains_and_fits(second, free, options, said):
    cache = {"off": quartiles([1000.0]), "second_epoch": quartiles([second])}
    found, lines = advise(situation(cache=cache, facts=FACTS | {"free_memory_bytes": free}))
    assert found == {"preprocess_threads": 2, "prefetch_buffer": 4, **options}
    assert any(said in line for line in lines) if said else len(lines) == 2


def test_the_second_epoch_with_a_cache_is_measured_on_a_part(tmp_path, monkeypatch):
    monkeypatch.setattr(measuring, "_KEPT", {"prefetch_buffer": 2})
    subject = Subject(photos(tmp_path), None, {"data_shape": (3, 40, 40)}, 2)
    try:
        found = subject.cached(Run(1, 4), 0.1)
    finally:
        subject.close()
    assert set(found) == {"off", "second_epoch"}
    assert all(one["q1"] > 0 for one in found.values())


def test_ways_to_run_take_turns_and_give_the_same_images(tmp_path):
    subject = Subject(photos(tmp_path), None, {"data_shape": (3, 40, 40)}, 3)
    try:
        wanted = [Run(1, 1), Run(2, 4)]
        calls = []
        found = subject.runs(wanted, 2, 0.01, lambda: calls.append(1))
        assert list(found) == ["1 threads, prefetch_buffer=1", "2 threads, prefetch_buffer=4"]
        assert len(calls) == 4
        assert [one["stats"]["threads"] for one in found.values()] == [1, 2]
        images = []
        for threads in (1, 3):
            subject.pipeline.work_with(threads, 2)
            subject.it.load_state_dict({**subject.it.state_dict(), "epoch": 0, "samples": 0})
            images.append(next(subject.it).data[0].asnumpy())
        assert np.array_equal(*images)
    finally:
        subject.close()


def test_no_round_but_the_first_begins_when_the_time_is_over(tmp_path, monkeypatch):
    subject = Subject(photos(tmp_path), None, {"data_shape": (3, 40, 40)}, 3)
    try:
        asked, clock = [], ticking(monkeypatch)

        def once(run, seconds):
            asked.append(seconds)
            clock.spend(seconds)
            return 1.0, {}

        monkeypatch.setattr(subject, "_once", once)
        wanted, now = [Run(1, 1), Run(2, 4)], clock.now
        assert len(subject.runs(wanted, 3, 5.0, lambda: None, until=now - 1)) == 2
        assert asked == [0.0, 0.0]
        asked.clear()
        subject.runs(wanted, 3, 5.0, lambda: None, until=now + 12.0)
        assert len(asked) == 6
        assert asked == [pytest.approx(2.0)] * 6
        asked.clear()
        subject.runs(wanted, 3, 5.0, lambda: None)
        assert asked == [5.0] * 6
    finally:
        subject.close()


def test_a_rate_is_not_that_of_a_batch_that_stood_ready(tmp_path, monkeypatch):
    monkeypatch.setattr(measuring, "_LEAST_S", 0.05)
    subject = Subject(photos(tmp_path), None, {"data_shape": (3, 40, 40)}, 3)
    try:
        clock, taken = ticking(monkeypatch), []

        def tick():
            taken.append(1)
            clock.spend(0.02)

        assert measuring._rate(subject.it, 0.0, tick) == pytest.approx(3 * 3 / 0.06)
        assert len(taken) == 3
    finally:
        subject.close()


def test_the_end_is_said_once(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(progress, "_EVERY_S", 1e9)  # no line in between, however slow it is
    assert cli.main(["bench", photos(tmp_path), "--seconds", "2", "--progress", "plain"]) == 0
    assert capsys.readouterr().err.splitlines() == ["bench: 1 of 1"]


def test_another_kind_of_picture_is_refused_before_anything_is_measured():
    with pytest.raises(bench.OptionError, match=r"chart\.gif"):
        bench_plot.check_plot("chart.gif")


def test_a_chart_whose_folder_is_missing_is_refused_before_anything_is_measured(tmp_path, capsys):
    path = tmp_path / "none" / "chart.png"
    code, out, err = run(capsys, photos(tmp_path), "--plot", path)
    assert (code, out) == (3, "")
    assert "its folder is missing" in err


def test_a_file_is_opened_without_a_look_at_every_label(tmp_path, monkeypatch):
    def looked(*_, **__):
        raise AssertionError("every record was read")

    monkeypatch.setattr("gpuio.tasks.labelling._numbers", looked)
    Subject(photos(tmp_path), None, {}).close()


def test_bare_images_have_no_label_and_are_measured(tmp_path):
    with mx.recordio.MXRecordIO(str(tmp_path / "bare.rec"), "w") as writer:
        for k in range(5):
            writer.write(jpeg(photo(120, 160, k)))
    subject = Subject(str(tmp_path / "bare.rec"), None, {})
    assert subject.facts["looked_at"] == 5
    assert subject.facts["unusable_of_these"] == 0
    subject.close()


def test_whatever_is_measured_says_that_time_passes(tmp_path):
    subject, ticks = Subject(photos(tmp_path), None, {}), []
    subject.tick = lambda: ticks.append(None)
    for measure in (
        lambda: subject.storage(0.01),
        lambda: subject.bare_decode(1, 0.01),
        lambda: subject.runs([Run(1, 1)], 1, 0.01, lambda: None),
        lambda: subject.cached(Run(1, 1), 0.05),
    ):
        ticks.clear()
        measure()
        assert ticks
    assert subject.faults()["faults"] == 0
    subject.close()
