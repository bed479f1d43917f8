"""ImageDetRecordIter: labels move with their images, bad ones are named, batches are pure."""

import json

import numpy as np
import pytest

import gpuio as mx
from gpuio.errors import DecodeError, FormatError, OptionError, RecordError, StateError
from gpuio.plan.replay import replay
from support import boxes, making
from support.conformance import ours
from support.lists import BAD_LINES

MOVES = {
    "rand_mirror_prob": 0.5,
    "rand_pad_prob": 0.5,
    "max_pad_scale": 2.0,
    "rand_crop_prob": 0.7,
    "min_crop_scales": 0.5,
    "min_crop_aspect_ratios": 0.7,
    "max_crop_aspect_ratios": 1.5,
    "fill_value": 0,
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return boxes.write(tmp_path_factory.mktemp("boxes"))


def iterator(files, **options):
    given = {
        "path_imgrec": files[0],
        "data_shape": (3, 60, 80),
        "batch_size": 4,
        "ctx": "cpu",
        "verbose": False,
        **options,
    }
    return mx.io.ImageDetRecordIter(**given)


def everything(files, epochs=1, **options):
    """Return data, labels, pads and ids of some epochs, as arrays."""
    made = []
    with iterator(files, **options) as it:
        for epoch in range(epochs):
            if epoch:
                it.reset()
            for batch in it:
                label = [one.asnumpy() for one in batch.label]
                made.append((batch.data[0].asnumpy(), *label, batch.pad, batch.index.asnumpy()))
    return made


def same(one, other):
    return len(one) == len(other) and all(
        np.array_equal(a, b)
        for x, y in zip(one, other, strict=True)
        for a, b in zip(x, y, strict=True)
    )


def single(folder, label, image=None, **options):
    """Return the first batch of a file of one record."""
    blob = making.png(boxes.scene(60, 80, ())) if image is None else image
    files = making.write_rec(folder, [blob], [label])
    with iterator(files, **{"batch_size": 1, **options}) as it:
        return it.next()


def test_a_label_row_holds_the_size_the_length_the_label_and_padding(files):
    with iterator(files) as it:
        assert it.label_pad_width == 17
        assert [tuple(d) for d in it.provide_label] == [("softmax_label", (4, 21))]
        rows = it.next().label[0].asnumpy()
    for number, row in enumerate(rows):
        want = boxes.label(boxes.objects_of(number))
        assert row[:4].tolist() == [3, 60, 80, len(want)]
        assert row[4 : 4 + len(want)].tolist() == want.tolist()
        assert (row[4 + len(want) :] == -1).all()


def test_objects_without_an_area_are_dropped(tmp_path):
    good, flat = (1, 0.1, 0.2, 0.5, 0.6), (0, 0.3, 0.4, 0.3, 0.9)
    row = single(tmp_path, boxes.label([flat, good, flat])).label[0].asnumpy()[0]
    assert row[3] == 7
    assert np.allclose(row[4:11], [2, 5, *good])
    assert (row[11:] == -1).all()
    row = single(tmp_path, boxes.label([flat], header=(9,))).label[0].asnumpy()[0]
    assert row[3:7].tolist() == [3, 3, 5, 9]
    assert (row[7:] == -1).all()


@pytest.mark.parametrize("stream", ["record", "mxnet"])
def test_boxes_stay_on_what_they_mark(tmp_path, stream):
    """Crops and canvases begin at whole pixels, boxes do not: at most two pixels of 320 apart."""
    files = boxes.write(tmp_path, size=(240, 320))
    options = {"data_shape": (3, 240, 320), "inter_method": 0, "aug_stream": stream, **MOVES}
    seen = 0
    for data, label, _, _ in everything(files, 4, **options):
        for image, row in zip(data, label, strict=True):
            for identity, *box in row[6 : 4 + int(row[3])].reshape(-1, 5):
                y, x = np.divmod(np.flatnonzero(image[int(identity)] > 0), 320)
                found = x.min() / 320, y.min() / 240, (x.max() + 1) / 320, (y.max() + 1) / 240
                assert np.abs(np.array(box) - found).max() < 0.025, (box, found)
                seen += 1
    assert seen > 60


def test_fit_and_shrink_keep_the_aspect_and_say_the_size(files):
    for mode, shape, size in (
        ("fit", (3, 100, 100), (75, 100)),
        ("shrink", (3, 100, 100), (60, 80)),
        ("shrink", (3, 30, 100), (30, 40)),
    ):
        data, label, *_ = everything(files, data_shape=shape, resize_mode=mode, scale=2.0)[0]
        assert label[0, 1:3].tolist() == list(size)
        assert not data[:, :, size[0] :].any()
        assert not data[:, :, :, size[1] :].any()
        assert data[0, :, : size[0], : size[1]].any()


def test_normalisation_divides_and_ignores_means_unless_one_is_above_zero(files):
    raw = everything(files)[0][0]
    made = everything(files, mean_r=-5.0, mean_g=3.0, std_r=58.4, std_b=-2.0, scale=0.7)[0][0]
    f = np.float32
    assert np.array_equal(made[:, 0], (raw[:, 0] - f(-5)) / f(58.4) * f(0.7))
    assert np.array_equal(made[:, 1], (raw[:, 1] - f(3)) * f(0.7))
    assert np.array_equal(made[:, 2], raw[:, 2] * f(0.7))
    assert np.array_equal(everything(files, mean_r=-5.0)[0][0], raw)


def test_a_mean_image_is_made_and_subtracted_unless_means_are(files, tmp_path):
    path = str(tmp_path / "mean")
    whole = everything(files, batch_size=10)[0]
    mean = whole[0].mean(0)
    first = everything(files, batch_size=10, mean_img=path)[0]
    assert np.abs(first[0] - (whole[0] - mean)).max() < 1e-3
    again = everything(files, batch_size=10, mean_img=path, mean_r=9.0)[0]
    assert np.array_equal(again[0][:, 0], whole[0][:, 0] - 9)


@pytest.mark.parametrize(
    ("label", "says"),
    [
        (3.0, "no packed label"),
        (np.float32([2, 5, 0, 0.1, 0.1]), "objects of 5: 3 are left over"),
        (np.float32([2]), "has 1 numbers, expected at least 2"),
        (np.float32([3, 5]), "begins with 3, 5"),
        (np.float32([2, 4]), "begins with 2, 4"),
        (np.float32([2, 4, 0, 0.1, 0.1, 0.5, 0.5, 0]), "begins with 2, 4"),
        (np.float32([1, 5, 0, 0.1, 0.1, 0.5, 0.5, 0]), "begins with 1, 5"),
        (np.float32([99, 5, 0, 0.1, 0.1, 0.5, 0.5, 0]), "begins with 99, 5"),
        (np.float32([np.nan, 5, 0, 0.1, 0.1, 0.5, 0.5, 0]), "begins with nan, 5"),
        (np.float32([2, np.inf, 0, 0.1, 0.1, 0.5, 0.5, 0]), "begins with 2, inf"),
        (np.float32([2, 5, 0, 0.1, 0.1, 0.5, 0.5, 0]), "1 are left over"),
    ],
    ids=str,
)
def test_a_label_that_is_no_header_and_whole_objects_is_named(tmp_path, label, says):
    with pytest.raises(RecordError, match=says) as caught:
        single(tmp_path, label)
    assert (caught.value.key, caught.value.offset) == (0, 0)
    assert caught.value.path.endswith("data.rec")


def test_label_width_is_demanded_of_every_record(files):
    with iterator(files, label_width=7) as it, pytest.raises(RecordError, match="has 12 numbers"):
        list(it)
    with pytest.raises(OptionError, match=r"label_pad_width: 9 is smaller than 17.*key=2"):
        iterator(files, label_pad_width=9)
    with iterator(files, label_pad_width=30, label_pad_value=-7) as it:
        row = it.next().label[0].asnumpy()[0]
        assert row.shape == (34,)
        assert (row[11:] == -7).all()


def test_a_list_gives_labels_of_any_width(files, tmp_path):
    lst = tmp_path / "other.lst"
    rows = [boxes.label(boxes.objects_of(9 - i), header=(i,), width=6) for i in range(10)]
    lst.write_text(
        "".join(
            f"{100 + i}\t" + "\t".join(map(str, row.tolist())) + f"\timages/{i}.png\n"
            for i, row in enumerate(rows)
        )
    )
    with iterator(files, path_imglist=str(lst), batch_size=10) as it:
        found = it.next().label[0].asnumpy()
    for row, want in zip(found, rows, strict=True):
        assert row[3] == len(want)
        assert row[4 : 4 + len(want)].tolist() == want.tolist()
    lst.write_text("100\t2\t5\t0\t0.1\t0.1\t0.5\t0.5\ta.png\n")
    with (
        iterator(files, path_imglist=str(lst)) as it,
        pytest.raises(RecordError, match="no label for id 101"),
    ):
        it.next()


@pytest.mark.parametrize("line", [line for line in BAD_LINES if line.count("\t") < 3])
def test_a_line_of_a_list_that_states_no_label_is_named(files, tmp_path, line):
    lst = tmp_path / "other.lst"
    lst.write_text(f"0\t5\t0.png\n{line}\n3\t7\t3.png\n")
    with pytest.raises(FormatError, match=r"line 2.*other\.lst"):
        iterator(files, path_imglist=str(lst))


def test_boxes_come_alone_with_their_number(files):
    with iterator(files, label_format="boxes", label_pad_width=22) as it:
        assert [tuple(d) for d in it.provide_label] == [
            ("softmax_label", (4, 4, 5)),
            ("softmax_label_count", (4,)),
        ]
        assert it.provide_label[1].dtype is np.int32
        assert it.max_objects == 4
        batch = it.next()
    found, count = (one.asnumpy() for one in batch.label)
    assert count.tolist() == [1, 2, 3, 1]
    assert count.dtype == np.int32
    for number in range(4):
        want = np.float32(boxes.objects_of(number))
        assert np.array_equal(found[number, : len(want)], want)
        assert (found[number, len(want) :] == -1).all()


def test_two_sets_can_agree_on_the_width_of_labels(files, tmp_path):
    wide = boxes.write(tmp_path, 4, header=(1, 2, 3))
    train, val = iterator(files, **MOVES), iterator(wide, label_pad_width=25)
    with train, val:
        whole = [batch.label[0].asnumpy() for batch in iterator(files, **MOVES)]
        train.next()
        assert train.sync_label_shape(val) is val
        assert train.label_pad_width == val.label_pad_width == 25
        assert train.provide_label[0].shape == val.provide_label[0].shape == (4, 29)
        rest = [batch.label[0].asnumpy() for batch in train]
        assert len(rest) == 2
        assert np.array_equal(rest[0][:, :21], whole[1])
        assert (rest[0][:, 21:] == -1).all()
        assert val.next().label[0].shape == (4, 29)
    assert ours() == []  # the first set of threads and files is closed as well


def write_background(folder, form=()):
    """Write four scenes; the labels of the numbers 1 and 3 are headers alone."""
    scenes = [() if i % 2 else boxes.objects_of(i) for i in range(4)]
    labels = [boxes.label(one, *form) for one in scenes]
    blobs = [making.png(boxes.scene(60, 80, boxes.objects_of(i))) for i in range(4)]
    return making.write_rec(folder, blobs, labels, ids=range(4)), labels


@pytest.mark.parametrize("form", [(), ((7, 8),), ((), 6)], ids=["plain", "longer", "wider"])
@pytest.mark.parametrize("listed", [False, True])
def test_an_image_without_a_box_has_no_object_in_every_format(tmp_path, form, listed):
    files, labels = write_background(tmp_path, form)
    more = {}
    if listed:
        lines = [[i, *label.tolist(), "a.png"] for i, label in enumerate(labels)]
        more["path_imglist"] = str(tmp_path / "some.lst")
        (tmp_path / "some.lst").write_text("\n".join("\t".join(map(str, one)) for one in lines))
    for augment in ("det_aug_default", ""):
        given = {"aug_seq": augment, **more}
        rows = everything(files, **given)[0][1]
        for row, label in zip(rows, labels, strict=True):
            assert row[:4].tolist() == [3, 60, 80, len(label)]
            assert row[4 : 4 + len(label)].tolist() == label.tolist()
            assert (row[4 + len(label) :] == -1).all()
        found, count = everything(files, label_format="boxes", **given)[0][1:3]
        assert count.tolist() == [1, 0, 3, 0]
        assert (found[1] == -1).all()


def test_an_image_without_a_box_is_cropped_and_moved_as_any_other(tmp_path):
    files, _ = write_background(tmp_path)
    for stream in ("record", "mxnet"):
        options = {"aug_stream": stream, **MOVES, "rand_crop_prob": 1.0, "label_format": "boxes"}
        still = everything(files, label_format="boxes")[0][0]
        made = everything(files, 3, **options)
        assert all(count.tolist()[1::2] == [0, 0] for _, _, count, *_ in made)
        assert all((data[i] != still[i]).any() for data, *_ in made for i in (1, 3))
        assert same(made, everything(files, 3, preprocess_threads=1, **options))


def test_a_set_of_background_alone_has_room_for_one_object(tmp_path):
    files = making.write_rec(tmp_path, [making.png(boxes.scene(60, 80, ()))] * 4, [[2, 9]] * 4)
    with iterator(files, label_format="boxes") as it:
        assert (it.label_pad_width, it.max_objects) == (7, 1)
        found, count = (one.asnumpy() for one in it.next().label)
    assert found.shape == (4, 1, 5)
    assert count.tolist() == [0] * 4
    with iterator(files, mean_img=str(tmp_path / "mean")) as it:
        assert it.next().label[0].shape == (4, 11)


GOOD = (1, 0.1, 0.2, 0.5, 0.6)
WRONG = [
    (1, 0.5, 0.2, 0.1, 0.6),
    (1, 10, 20, 100, 200),
    (1, 0.1, np.nan, 0.5, 0.6),
    (1, 0.1, 0.2, np.inf, 0.6),
    (-2, 0.1, 0.2, 0.5, 0.6),
    (0.5, 0.1, 0.2, 0.5, 0.6),
    (1, 0.1, 0.2, 0.5, 1.5),
]


@pytest.fixture(scope="module")
def wrong_files(tmp_path_factory):
    """Three records: right boxes, all kinds of wrong ones and a right one, wrong ones alone."""
    labels = [boxes.label(one) for one in ([GOOD], [*WRONG, GOOD], WRONG[:1])]
    blobs = [making.png(boxes.scene(60, 80, ()))] * 3
    return making.write_rec(tmp_path_factory.mktemp("wrong"), blobs, labels)


def listed_form(wrong_files, folder, *, listed):
    """Return options with which the labels come from a list, or none."""
    if not listed:
        return {}
    labels = [boxes.label(one) for one in ([GOOD], [*WRONG, GOOD], WRONG[:1])]
    lines = ["\t".join(map(str, [i, *one.tolist(), "a.png"])) for i, one in enumerate(labels)]
    (folder / "wrong.lst").write_text("\n".join(lines))
    return {"path_imglist": str(folder / "wrong.lst")}


@pytest.mark.parametrize("listed", [False, True])
@pytest.mark.parametrize(("policy", "counts"), [("accept", [1, 6, 0]), ("drop", [1, 1, 0])])
def test_wrong_boxes_are_counted_once_and_named(
    wrong_files, tmp_path, caplog, listed, policy, counts
):
    options = listed_form(wrong_files, tmp_path, listed=listed)
    options |= {"bad_boxes": policy, "label_format": "boxes", "batch_size": 3}
    log = tmp_path / "errors"
    it = iterator(wrong_files, error_log=str(log), **options)
    with caplog.at_level("WARNING", "gpuio"), it:
        for _ in range(3):
            assert it.next().label[1].tolist() == counts
            it.reset()
        stats = it.stats()
    assert (stats["bad_boxes"], stats["faults"]) == (8, 0)
    assert [one["key"] for one in stats["bad_box_records"]] == [1, 2]
    assert stats["bad_box_records"][0]["reason"].startswith("7 of 8 boxes are wrong")
    (warned,) = caplog.records
    assert "7 of 8 boxes are wrong; the first is number 1" in warned.getMessage()
    assert "key=1" in warned.getMessage()
    written = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(one["key"], one["policy"]) for one in written] == [(1, "bad_boxes"), (2, "bad_boxes")]


def test_a_label_of_wrong_boxes_is_handed_out_as_stored_or_without_them(wrong_files):
    for policy, seen in (("accept", [5, 40, 5]), ("drop", [5, 5, 0])):
        label = everything(wrong_files, aug_seq="", bad_boxes=policy, batch_size=3)[0][1]
        assert label[:, 3].tolist() == [2 + count for count in seen]
    assert np.allclose(label[1, 4:11], [2, 5, *GOOD])


@pytest.mark.parametrize("listed", [False, True])
def test_wrong_boxes_can_make_a_bad_record(wrong_files, tmp_path, listed):
    options = listed_form(wrong_files, tmp_path, listed=listed)
    options |= {"bad_boxes": "raise", "batch_size": 3}
    with iterator(wrong_files, **options) as it:
        with pytest.raises(RecordError, match="7 of 8 boxes are wrong") as caught:
            it.next()
        assert caught.value.key == 1
    with iterator(wrong_files, on_error="skip", **options) as it:
        assert it.next().pad == 2
        assert (it.stats()["faults"], it.stats()["bad_boxes"]) == (2, 0)
    with iterator(wrong_files, on_error="replace", **options) as it:
        assert it.next().label[0][:, 3].tolist() == [7, 7, 7]


@pytest.mark.parametrize("stream", ["record", "mxnet"])
def test_wrong_boxes_are_met_once_whoever_looks(wrong_files, stream):
    options = {"aug_stream": stream, "batch_size": 2, **MOVES}
    for threads in (1, 3):
        with iterator(wrong_files, preprocess_threads=threads, **options) as it:
            list(it)
            assert it.stats()["bad_boxes"] == 8


def test_right_boxes_and_padding_are_not_remarked(files, tmp_path, caplog):
    padded = making.write_rec(
        tmp_path,
        [making.png(boxes.scene(60, 80, ()))] * 2,
        [boxes.label([GOOD, (-1,) * 5]), boxes.label([(-1,) * 5] * 2)],
    )
    with caplog.at_level("WARNING", "gpuio"):
        for some, counts in ((files, [1, 2]), (padded, [1, 0])):
            with iterator(some, batch_size=2, bad_boxes="raise", label_format="boxes") as it:
                assert it.next().label[1].tolist() == counts
                assert (it.stats()["bad_boxes"], it.stats()["bad_box_records"]) == (0, [])
    assert caplog.records == []


def test_rows_without_a_record_have_no_object(files):
    made = everything(files, round_batch=False)
    assert [pad for *_, pad, _ in made] == [0, 0, 2]
    label = made[2][1]
    assert not label[2:, :4].any()
    assert (label[2:, 4:] == -1).all()
    found, count = everything(files, round_batch=False, label_format="boxes")[2][1:3]
    assert count.tolist()[2:] == [0, 0]
    assert (found[2:] == -1).all()


def test_a_bad_image_is_skipped_with_its_label(tmp_path):
    blobs = [making.png(boxes.scene(60, 80, boxes.objects_of(i))) for i in range(4)]
    blobs[1] = b"no image at all"
    labels = [boxes.label(boxes.objects_of(i)) for i in range(4)]
    files = making.write_rec(tmp_path, blobs, labels)
    with iterator(files) as it, pytest.raises(DecodeError) as caught:
        it.next()
    assert caught.value.key == 1
    for stream in ("record", "mxnet"):
        with iterator(files, on_error="skip", aug_stream=stream) as it:
            batch = it.next()
            assert batch.pad == 1
            rows = batch.label[0].asnumpy()
            assert rows[:, 3].tolist() == [7, 17, 7, 0]
            assert (rows[3, 4:] == -1).all()
            assert it.stats()["faults"] == 1


@pytest.mark.parametrize("stream", ["record", "mxnet"])
@pytest.mark.parametrize("policy", ["replace", "zero", "skip"])
def test_what_becomes_of_bad_records_is_the_same_for_any_threads(tmp_path, stream, policy):
    scenes = [boxes.objects_of(i) for i in range(9)]
    blobs = [making.png(boxes.scene(60, 80, one)) for one in scenes]
    labels = [boxes.label(one) for one in scenes]
    blobs[1], labels[5] = b"no image at all", 3.0
    files = making.write_rec(tmp_path, blobs, labels)
    options = {"aug_stream": stream, "on_error": policy, "shuffle": True, **MOVES}
    one = everything(files, 3, preprocess_threads=1, **options)
    assert same(one, everything(files, 3, preprocess_threads=3, **options))
    empty = sum(int((label[: 4 - pad, 3] == 0).sum()) for _, label, pad, _ in one)
    assert (empty > 0) == (policy == "zero")  # the record without a label keeps its row there


@pytest.mark.parametrize("stream", ["record", "mxnet"])
def test_threads_change_nothing(files, stream):
    options = {"aug_stream": stream, **MOVES}
    one = everything(files, 3, preprocess_threads=1, prefetch_buffer=1, **options)
    assert same(one, everything(files, 3, preprocess_threads=3, **options))


@pytest.mark.parametrize("stream", ["record", "mxnet"])
@pytest.mark.parametrize("shuffle", [False, True])
def test_an_image_is_the_same_in_batches_of_any_size(files, stream, shuffle):
    options = {"aug_stream": stream, "shuffle": shuffle, "seed": 3, **MOVES}

    def images(batch_size):
        made = everything(files, 2, batch_size=batch_size, last_batch="partial", **options)
        return [np.concatenate(column) for column in list(zip(*made, strict=True))[:2]]

    small, large = images(3), images(10)
    assert np.array_equal(small[0], large[0])
    assert np.array_equal(small[1], large[1])
    assert not np.array_equal(large[0][:10], large[0][10:])


@pytest.mark.parametrize("stream", ["record", "mxnet"])
def test_a_reset_in_the_middle_of_an_epoch_goes_to_the_next_pass(files, stream):
    options = {"aug_stream": stream, "last_batch": "pad", **MOVES}
    whole = everything(files, 2, **options)
    with iterator(files, **options) as it:
        it.next()
        it.reset()
        again = it.next()
        assert np.array_equal(again.data[0].asnumpy(), whole[3][0])
        assert np.array_equal(again.label[0].asnumpy(), whole[3][1])


def test_the_seed_draws_other_numbers_and_the_stream_of_mxnet_knows_none(files):
    first = everything(files, seed=1, **MOVES)
    assert same(first, everything(files, seed=1, **MOVES))
    assert not same(first, everything(files, seed=2, **MOVES))
    mxnets = everything(files, seed=1, aug_stream="mxnet", **MOVES)
    assert same(mxnets, everything(files, seed=2, aug_stream="mxnet", **MOVES))


def test_a_plan_can_be_executed_again(files):
    with iterator(files, mean_r=100.0, std_r=7.0, resize_mode="fit", **MOVES) as it:
        batch = it.next()
        for row in range(4):
            image = boxes.scene(60, 80, boxes.objects_of(row))
            again = replay(image, batch.plan[row], it.options)
            assert np.array_equal(again, batch.data[0].asnumpy()[row])


def test_without_an_augmenter_images_lie_as_they_are_and_labels_as_stored(tmp_path):
    flat = boxes.label([(0, 0.5, 0.1, 0.5, 0.2)])
    batch = single(tmp_path, flat, aug_seq="", data_shape=(3, 70, 90))
    assert batch.label[0].asnumpy()[0].tolist() == [3, 60, 80, 7, *flat.tolist()]
    with pytest.raises(RecordError, match="must not be larger than data_shape's 60 x 79"):
        single(tmp_path, flat, aug_seq="", data_shape=(3, 60, 79))


def test_ids_states_and_stats_are_those_of_every_record_iterator(files):
    with iterator(files, shuffle=True) as it, iterator(files) as other:
        assert len(it) == 3
        assert sorted(i for batch in it for i in batch.index.tolist())[:3] == [100, 100, 101]
        assert it.stats()["images"] == 10
        with pytest.raises(StateError, match="shuffle: saved True, here False"):
            other.load_state_dict(it.state_dict())


@pytest.mark.parametrize("dtype", ["uint8", "int8", "float16"])
def test_other_types_hold_the_same_values(files, dtype):
    whole = everything(files, mean_r=9.0, **MOVES)[0][0]
    made = everything(files, mean_r=9.0, dtype=dtype, **MOVES)[0][0]
    want = everything(files, **MOVES)[0][0] if dtype == "uint8" else np.clip(whole, -128, 127)
    want = whole if dtype == "float16" else want
    assert np.array_equal(made, want.astype(dtype))


def test_nhwc_has_the_same_values(files):
    options = {"mean_r": 9.0, "std_g": 3.0, **MOVES}
    whole = everything(files, **options)[0][0]
    assert np.array_equal(
        everything(files, layout="NHWC", **options)[0][0].transpose(0, 3, 1, 2), whole
    )
