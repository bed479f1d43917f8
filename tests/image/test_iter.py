from __future__ import annotations

import gc
import json
import random
import threading

import numpy as np
import pytest

from gpuio import image
from gpuio.errors import ClosedError, DecodeError, GpuioError, RecordError, StateError
from gpuio.image import ImageIter

SHAPE = (3, 16, 18)
OPTIONS = {"resize": 20, "rand_crop": True, "rand_mirror": True, "brightness": 0.3}


def epochs(it, count=3):
    said = []
    for _ in range(count):
        said.append([(batch.label[0].tolist(), batch.pad) for batch in it])
        it.reset()
    return said


def pixels(it, count=2):
    made = []
    for _ in range(count):
        made += [batch.data[0].asnumpy() for batch in it]
        it.reset()
    return np.array(made)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("pad", [[([0, 1, 2], 0), ([3, 4, 5], 0), ([6, 0, 1], 2)]] * 3),
        ("discard", [[([0, 1, 2], 0), ([3, 4, 5], 0)]] * 3),
        (
            "roll_over",
            [
                [([0, 1, 2], 0), ([3, 4, 5], 0)],
                [([6, 0, 1], 2), ([2, 3, 4], 0)],
                [([5, 6, 0], 1), ([1, 2, 3], 0), ([4, 5, 6], 0)],
            ],
        ),
    ],
)
@pytest.mark.parametrize("indexed", [True, False])
def test_the_last_batch_is_treated_as_asked(make_records, mode, expected, indexed):
    records = make_records()
    if not indexed:
        del records["path_imgidx"]
    with ImageIter(3, SHAPE, last_batch_handle=mode, **records) as it:
        if indexed:
            lengths = []
            for _ in expected:
                lengths.append(len(it))
                list(it)
                it.reset()
            assert lengths == [len(epoch) for epoch in expected]
            it.hard_reset()
            it.reset()
        assert epochs(it) == expected


@pytest.mark.parametrize("mode", ["pad", "roll_over", "discard"])
def test_an_ended_epoch_stays_ended_until_reset(make_records, mode):
    with ImageIter(3, SHAPE, last_batch_handle=mode, **make_records(6)) as it:
        assert len(list(it)) == 2
        for _ in range(3):
            with pytest.raises(StopIteration):
                it.next()
            with pytest.raises(StopIteration):
                it.next_sample()
        it.reset()
        assert len(list(it)) == 2


def test_a_batch_of_more_than_two_epochs_repeats_the_samples(make_records):
    with ImageIter(7, SHAPE, **make_records(2)) as it:
        assert epochs(it, 2) == [[([0, 1, 0, 1, 0, 1, 0], 5)]] * 2


def test_a_roll_over_shorter_than_a_batch_is_kept_until_it_fills_one(make_records):
    with ImageIter(5, SHAPE, last_batch_handle="roll_over", **make_records(2)) as it:
        assert epochs(it, 3) == [[], [], [([0, 1, 0, 1, 0], 1)]]


@pytest.mark.parametrize("options", [{}, OPTIONS])
def test_threads_change_nothing(make_records, options):
    records = make_records()
    made = []
    for threads in (0, 1, 4):
        random.seed(1)
        np.random.seed(1)  # noqa: NPY002
        with ImageIter(3, SHAPE, preprocess_threads=threads, **records, **options) as it:
            made.append((pixels(it), random.random()))
    assert all(np.array_equal(made[0][0], other) for other, _ in made)
    assert len({left for _, left in made}) == 1


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_seed_makes_epochs_that_nothing_else_touches(make_records, shuffle):
    records = make_records()

    def run(threads, disturb):
        keywords = {"preprocess_threads": threads, "rng": 5, "shuffle": shuffle}
        with ImageIter(3, SHAPE, **keywords, **records, **OPTIONS) as it:
            made = []
            for _ in range(2):
                for batch in it:
                    made.append(batch.data[0].asnumpy())
                    if disturb:
                        random.random()
                it.reset()
            return np.array(made)

    before = random.getstate()
    first = run(0, disturb=False)
    assert random.getstate() == before
    assert np.array_equal(first, run(3, disturb=True))
    assert not np.array_equal(first[:3], first[3:])


def test_numbers_are_drawn_inside_next(make_records):
    with ImageIter(3, SHAPE, **make_records(), **OPTIONS) as it:
        it.next()
        random.seed(8)
        late = it.next().data[0].asnumpy()
    with ImageIter(3, SHAPE, **make_records(name="more"), **OPTIONS) as it:
        it.next()
        [random.random() for _ in range(100)]
        random.seed(8)
        assert np.array_equal(it.next().data[0].asnumpy(), late)


def test_an_augmenter_with_a_generator_of_its_own_keeps_it_beside_a_seed(make_records):
    def run(own):
        augs = [image.RandomCropAug((18, 16), 1, rng=own), image.CastAug()]
        with ImageIter(3, SHAPE, aug_list=augs, rng=1, **make_records()) as it:
            return pixels(it)

    assert np.array_equal(run(3), run(3))
    assert not np.array_equal(run(3), run(4))


def test_labels_have_their_dtype_and_width(make_records):
    exact = 2**24 - 1
    labels = [exact - n for n in range(3)]
    for dtype in ("int32", "int64", "float32", "float64"):
        with ImageIter(3, SHAPE, dtype=dtype, **make_records(3, labels=labels)) as it:
            label = it.next().label[0]
            assert label.dtype == dtype
            assert label.tolist() == labels
    with ImageIter(3, SHAPE, label_width=2, **make_records(3)) as it:
        assert it.provide_label == [("softmax_label", (3, 2))]
        assert it.next().label[0].tolist() == [[0, 0], [1, 1], [2, 2]]


def test_a_label_of_another_width_is_a_value_error_that_names_the_record(make_records):
    records = make_records(3, labels=[[1, 2]] * 3)
    with (
        ImageIter(3, SHAPE, label_width=3, **records) as it,
        pytest.raises(RecordError, match="label_width is 3") as caught,
    ):
        it.next()
    assert isinstance(caught.value, ValueError)
    assert (caught.value.path, caught.value.key) == (records["path_imgrec"], 0)


def test_parts_are_equal_and_disjoint(make_records):
    records = make_records(7)
    parts = []
    for part in range(3):
        with ImageIter(1, SHAPE, num_parts=3, part_index=part, **records) as it:
            parts.append([batch.label[0][0] for batch in it])
    assert parts == [[0, 1], [2, 3], [4, 5]]


def test_a_broken_image_is_a_runtime_error_and_the_next_call_goes_on_behind_it(make_records):
    records = make_records(6, broken={1}, first_key=10)
    for options in ({}, OPTIONS):
        with ImageIter(2, SHAPE, **records, **options) as it:
            with pytest.raises(RuntimeError, match="Broken image index: 11") as caught:
                it.next()
            assert isinstance(caught.value, DecodeError)
            assert caught.value.path == records["path_imgrec"]
            assert caught.value.key == 11
            assert caught.value.offset > 0
            assert it.next().label[0].tolist() == [2, 3]


def test_a_broken_image_in_a_file_without_index_is_named_by_its_number(make_records):
    with ImageIter(2, SHAPE, path_imgrec=make_records(4, broken={3})["path_imgrec"]) as it:
        it.next()
        with pytest.raises(DecodeError, match="Broken image index: 3"):
            it.next()


def test_listed_files_are_read_and_missing_ones_named(make_files):
    folder, rows = make_files()
    with ImageIter(2, SHAPE, imglist=rows, path_root=str(folder)) as it:
        assert [label for label, _ in epochs(it, 1)[0]] == [[0, 1], [2, 3], [4, 0]]
    absolute = [[label, str(folder / name)] for label, name in rows]
    with ImageIter(2, SHAPE, imglist=absolute) as it:
        assert it.next().label[0].tolist() == [0, 1]
    (folder / "1.png").write_bytes(b"junk")
    (folder / "2.png").unlink()
    with ImageIter(1, SHAPE, imglist=rows, path_root=str(folder)) as it:
        it.next()
        with pytest.raises(RuntimeError, match=r"Broken image filename: .*1\.png"):
            it.next()
        with pytest.raises(FileNotFoundError, match="path_root") as caught:
            it.next()
        assert isinstance(caught.value, GpuioError)
        assert it.next().label[0].tolist() == [3]


def test_an_image_of_another_size_is_a_value_error(make_records):
    with (
        ImageIter(2, SHAPE, aug_list=[image.CastAug()], **make_records()) as it,
        pytest.raises(ValueError, match=r"data_shape is \(3, 16, 18\)") as caught,
    ):
        it.next()
    assert caught.value.key == 0


@pytest.mark.parametrize(
    ("keywords", "error"),
    [
        ({"data_shape": (3, 8)}, ValueError),
        ({"data_shape": (1, 8, 8)}, ValueError),
        ({"dtype": "uint8"}, AssertionError),
        ({"batch_size": 0}, ValueError),
        ({"last_batch_handle": "keep"}, ValueError),
        ({"prefetch_buffer": 0}, ValueError),
        ({"part_index": 2, "num_parts": 2}, AssertionError),
        ({"no_such_option": 1}, TypeError),
        ({"path_imgidx": None, "shuffle": True}, AssertionError),
        ({"path_imgidx": None, "num_parts": 2}, AssertionError),
        ({"path_imgrec": None, "path_imgidx": None}, AssertionError),
    ],
)
def test_options_that_cannot_be_fail_at_construction(make_records, keywords, error):
    arguments = {"batch_size": 2, "data_shape": SHAPE, **make_records(), **keywords}
    with pytest.raises(error):
        ImageIter(**arguments)


def test_a_list_without_a_line_for_a_record_fails_at_construction(make_records, tmp_path):
    labels = tmp_path / "labels.lst"
    labels.write_text("0\t5\tx\n\n1\t6\tx\n")
    with ImageIter(2, SHAPE, path_imglist=labels, **make_records(2)) as it:
        assert it.next().label[0].tolist() == [5, 6]
    with pytest.raises(KeyError) as caught:
        ImageIter(2, SHAPE, path_imglist=labels, **make_records(4))
    assert "2 records have no line" in str(caught.value)
    labels.write_text("zero\t5\tx\n")
    with pytest.raises(RecordError, match="line 1"):
        ImageIter(2, SHAPE, path_imglist=labels, **make_records(2))


def test_overridden_hooks_are_called_in_order_on_the_callers_thread(make_records):
    calls = []

    class Own(ImageIter):
        def check_valid_image(self, data):
            calls.append(("check", threading.current_thread()))
            super().check_valid_image(data)
            if data.mean() > 40:
                raise RuntimeError("too bright")

        def augmentation_transform(self, data):
            calls.append(("augment", threading.current_thread()))
            return super().augmentation_transform(data)

        def postprocess_data(self, datum):
            return super().postprocess_data(datum) + 1000

    with Own(2, SHAPE, **make_records()) as it:
        batches = list(it)
    # the mean of picture n is about 20 + 8 n: those from number 3 on are skipped
    assert [batch.label[0].tolist() for batch in batches] == [[0, 1], [2, 0]]
    assert batches[0].data[0].min() >= 1000
    assert {thread for _, thread in calls} == {threading.main_thread()}


@pytest.mark.parametrize("hook", ["next_sample", "imdecode", "read_image"])
def test_overridden_reading_hooks_are_used(make_files, hook):
    folder, rows = make_files(4)
    used = []

    def replacement(self, *arguments):
        used.append(hook)
        return getattr(ImageIter, hook)(self, *arguments)

    own = type("Own", (ImageIter,), {hook: replacement})
    with own(2, SHAPE, imglist=rows, path_root=folder) as it:
        assert [label for label, _ in epochs(it, 1)[0]] == [[0, 1], [2, 3]]
    assert len(used) >= 4


def test_a_callable_of_the_users_is_an_augmenter(make_records):
    def invert(src):
        assert threading.current_thread() is threading.main_thread()
        return 255 - src

    augs = [image.CenterCropAug((18, 16), 1), image.CastAug()]
    with ImageIter(3, SHAPE, aug_list=augs, **make_records()) as it:
        plain = pixels(it, 1)
    with ImageIter(3, SHAPE, aug_list=[*augs, invert], **make_records()) as it:
        assert np.array_equal(pixels(it, 1), 255 - plain)


def test_next_sample_and_next_share_one_position(make_records):
    for indexed in (True, False):
        records = make_records()
        if not indexed:
            del records["path_imgidx"]
        with ImageIter(2, SHAPE, **records) as it:
            assert it.next_sample()[0] == 0
            assert it.next().label[0].tolist() == [1, 2]
            label, blob = it.next_sample()
            assert label == 3
            assert blob.startswith(b"\x89PNG")
            assert it.next().label[0].tolist() == [4, 5]
            assert it.cur == 6


def test_closing_ends_everything_and_may_be_repeated(make_records):
    it = ImageIter(2, SHAPE, **make_records())
    it.next()
    it.close()
    it.close()
    for call in (it.next, it.reset, it.next_sample):
        with pytest.raises(ClosedError):
            call()


def test_dropping_the_iterator_stops_its_threads(make_records):
    it = ImageIter(1, SHAPE, **make_records())
    it.next()
    threads = [t for t in threading.enumerate() if t.name.startswith("gpuio-image")]
    assert threads
    del it
    gc.collect()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


def test_an_iterator_of_unknown_length_is_still_true(make_records):
    with ImageIter(2, SHAPE, path_imgrec=make_records()["path_imgrec"]) as it:
        assert it
        with pytest.raises(TypeError, match="path_imgidx"):
            len(it)
        assert len(list(it)) == 4


@pytest.mark.parametrize("mode", ["pad", "discard", "roll_over"])
@pytest.mark.parametrize("source", ["indexed", "sequential", "shuffled"])
@pytest.mark.parametrize("taken", [0, 1, 2, 4, 5])
def test_a_restored_iterator_goes_on_as_the_saved_one_would(make_records, mode, source, taken):
    records = make_records()
    if source == "sequential":
        del records["path_imgidx"]
    keywords = {"last_batch_handle": mode, "shuffle": source == "shuffled", "rng": 3}

    def make():
        return ImageIter(3, SHAPE, **keywords, **records, **OPTIONS)

    def go_on(it, count):
        made = []
        while len(made) < count:
            try:
                batch = it.next()
            except StopIteration:
                it.reset()
                continue
            made.append((batch.label[0].tolist(), batch.pad, batch.data[0].tobytes()))
        return made

    with make() as saved, make() as restored:
        go_on(saved, taken)
        state = json.loads(json.dumps(saved.state_dict()))
        restored.load_state_dict(state)
        assert go_on(restored, 5) == go_on(saved, 5)


def test_a_state_without_a_seed_keeps_the_order(make_records):
    records = make_records()
    with ImageIter(2, SHAPE, shuffle=True, **records) as saved:
        saved.next()
        state = saved.state_dict()
        expected = [batch.label[0].tolist() for batch in saved]
    with ImageIter(2, SHAPE, shuffle=True, **records) as restored:
        restored.load_state_dict(state)
        assert [batch.label[0].tolist() for batch in restored] == expected


def test_a_foreign_state_is_refused_by_name_and_values(make_records):
    with ImageIter(2, SHAPE, **make_records()) as it:
        state = it.state_dict()
    with (
        ImageIter(2, SHAPE, shuffle=True, **make_records()) as it,
        pytest.raises(StateError, match=r"source.shuffle is False in the state and True here"),
    ):
        it.load_state_dict(state)
    with ImageIter(2, SHAPE, **make_records(5, name="other")) as it:
        with pytest.raises(StateError, match=r"source.keys is 7 in the state and 5 here"):
            it.load_state_dict(state)
        with pytest.raises(StateError, match="not a state"):
            it.load_state_dict({"version": 1})
        with pytest.raises(StateError, match="version is 9"):
            it.load_state_dict({**state, "version": 9})
