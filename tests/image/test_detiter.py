from __future__ import annotations

import pickle
import random

import numpy as np
import pytest

from gpuio import image
from gpuio.errors import OptionError, RecordError
from gpuio.image import ImageDetIter

SHAPE = (3, 16, 18)
BOXES = [[1, 0.1, 0.2, 0.5, 0.6], [2, 0.4, 0.4, 0.9, 0.8], [3, 0.2, 0.1, 0.75, 0.55]]
LABELS = [[2, 5, *np.ravel(BOXES[: 1 + n % 3]).tolist()] for n in range(5)]
OPTIONS = {"rand_crop": 0.8, "rand_pad": 0.5, "rand_mirror": True, "hue": 0.1}


def drain(it, count=2):
    made = []
    for _ in range(count):
        made += [(b.data[0].tobytes(), b.label[0].tobytes(), b.pad) for b in it]
        it.reset()
    return made


def test_labels_are_padded_to_the_most_objects(make_records):
    with ImageDetIter(2, SHAPE, **make_records(5, labels=LABELS)) as it:
        assert it.label_shape == (3, 5)
        assert it.provide_label == [("label", (2, 3, 5))]
        label = it.next().label[0]
    assert np.allclose(label[0], [BOXES[0], [-1] * 5, [-1] * 5])
    assert np.allclose(label[1], [*BOXES[:2], [-1] * 5])


@pytest.mark.parametrize("seeded", [True, False])
def test_threads_change_nothing(make_records, seeded):
    records, made = make_records(5, labels=LABELS), []
    for threads in (0, 3):
        random.seed(2)
        np.random.seed(2)  # noqa: NPY002
        keywords = {"preprocess_threads": threads, "shuffle": True, "rng": 4 if seeded else None}
        with ImageDetIter(2, SHAPE, **keywords, **records, **OPTIONS) as it:
            made.append(drain(it))
    assert made[0] == made[1]


def test_samples_left_without_a_box_are_skipped(make_records):
    class DropFirst(image.DetAugmenter):
        """Empties the label of object 1 alone."""

        def draw(self, shape, label, draws):
            return None, shape, label[label[:, 0] != 1]

        def apply(self, src, plan):
            return src

        @property
        def is_random(self):
            return False

    class DropFirstByCall(image.DetAugmenter):
        def __call__(self, src, label):
            return src, label[label[:, 0] != 1]

    resize = image.DetBorrowAug(image.ForceResizeAug((18, 16), 1))
    for aug in (DropFirst(), DropFirstByCall()):
        records = make_records(5, labels=LABELS)
        with ImageDetIter(1, SHAPE, aug_list=[resize, aug], **records) as it:
            first = [batch.label[0][0, 0, 0] for batch in it]
        assert first == [2, 2, 2]


@pytest.mark.parametrize(
    ("bad", "message"),
    [([2, 5, 1], "Label shape is invalid"), ([2, 6, *range(6)], "had 5"), (1.0, "is invalid")],
)
def test_a_bad_label_fails_at_construction_and_is_named(make_records, bad, message):
    records = make_records(3, labels=[LABELS[0], bad, LABELS[1]])
    if bad == [2, 6, *range(6)]:
        records = make_records(3, labels=[LABELS[0], [2, 6, 1, 0, 0, 1, 1, 9], LABELS[1]])
    with pytest.raises(RecordError, match=message) as caught:
        ImageDetIter(2, SHAPE, **records)
    assert caught.value.key == 1


@pytest.mark.parametrize("seeded", [True, False])
@pytest.mark.parametrize("hooked", [True, False])
def test_an_image_without_a_box_is_a_sample_with_none(make_records, seeded, hooked):
    class Hooked(ImageDetIter):
        def check_valid_image(self, data):
            super().check_valid_image(data)

    labels = [LABELS[0], [2, 5], LABELS[1], [3, 7, 0], [2, 5, *[-1] * 5]]
    records = make_records(5, labels=labels)
    kind = Hooked if hooked else ImageDetIter
    options = {**OPTIONS, "rng": 4} if seeded else OPTIONS
    with kind(5, SHAPE, **records, **options) as it:
        assert it.label_shape == (2, 5)
        for _ in range(2):
            label = it.next().label[0]
            assert ((label[:, :, 0] >= 0).sum(1) > 0).tolist() == [True, False, True, False, False]
            assert (label[[1, 3, 4]] == -1).all()
            it.reset()
        assert len(list(it.draw_next())) == 5
    with ImageDetIter(2, SHAPE, **make_records(2, labels=[[2, 6]] * 2)) as it:
        assert it.label_shape == (1, 5)
        assert (it.next().label[0] == -1).all()


def test_wrong_boxes_are_counted_at_construction_and_left_out_or_refused(make_records, caplog):
    wide = [2, 10, 20, 100, 200]
    labels = [LABELS[0], [2, 5, *wide, *BOXES[1]], [2, 5, *wide, *wide]]
    records = make_records(3, labels=labels)
    resize = [image.DetBorrowAug(image.ForceResizeAug((18, 16), 1))]
    for policy, second, third in (("accept", wide, wide), ("drop", BOXES[1], [-1] * 5)):
        caplog.clear()
        with ImageDetIter(3, SHAPE, aug_list=resize, bad_boxes=policy, **records) as it:
            again = pickle.loads(pickle.dumps(it))
            label = it.next().label[0]
            with again:
                assert again.next().label[0].tolist() == label.tolist()
        assert np.allclose(label[:, 0], [BOXES[0], second, third])
        (warned,) = caplog.records
        assert "3 wrong boxes in 2 images" in warned.getMessage()
        assert "key=1" in warned.getMessage()
    with pytest.raises(RecordError, match="1 of 2 boxes are wrong") as caught:
        ImageDetIter(3, SHAPE, bad_boxes="raise", **records)
    assert caught.value.key == 1
    with pytest.raises(OptionError, match="bad_boxes: expected one of"):
        ImageDetIter(3, SHAPE, bad_boxes="skip", **records)


def test_the_users_label_format_is_read_by_an_overridden_hook(make_records):
    class Own(ImageDetIter):
        def _parse_label(self, label):
            return np.asarray(label).reshape(-1, 5)

    labels = [np.ravel(BOXES[:2]).tolist()] * 3
    with Own(3, SHAPE, **make_records(3, labels=labels)) as it:
        assert np.allclose(it.next().label[0], [BOXES[:2]] * 3)


def test_a_transform_of_the_users_gets_image_and_label(make_records):
    class Own(ImageDetIter):
        def augmentation_transform(self, data, label):
            data, label = super().augmentation_transform(data, label)
            return data + 1000, label * [1, 0.5, 0.5, 0.5, 0.5]

    with Own(1, SHAPE, **make_records(1, labels=LABELS[:1])) as it:
        batch = it.next()
    assert batch.data[0].min() >= 1000
    assert np.allclose(batch.label[0][0, 0], [1, 0.05, 0.1, 0.25, 0.3])


def test_an_option_that_cannot_work_is_an_error_and_not_a_skip(make_records):
    augs = [image.DetBorrowAug(image.ForceResizeAug((18, 16), 1))]
    augs.append(image.DetBorrowAug(image.HueJitterAug(0.1)))  # wants floats

    class Hooked(ImageDetIter):
        def augmentation_transform(self, data, label):
            return super().augmentation_transform(data, label)

    records = make_records(1, labels=LABELS[:1])
    for kind in (ImageDetIter, Hooked):
        with (
            kind(1, SHAPE, aug_list=augs, **records) as it,
            pytest.raises(RuntimeError, match="cast first"),
        ):
            it.next()


def test_shapes_can_be_enlarged_and_shared(make_records):
    few = ImageDetIter(1, SHAPE, **make_records(1, labels=LABELS[:1], name="few"))
    many = ImageDetIter(1, SHAPE, **make_records(5, labels=LABELS))
    with few, many:
        assert few.sync_label_shape(many) is many
        assert few.label_shape == many.label_shape == (3, 5)
        few.reshape(label_shape=(6, 5))
        assert few.next().label[0].shape == (1, 6, 5)
        for shape, message in (
            ((2, 5), "Attempts to reduce label count from 6 to 2, not allowed"),
            ((7, 6), "label_shape object width inconsistent: 5 vs 6"),
            ((7,), "label_shape should have length 2"),
        ):
            with pytest.raises(ValueError, match=message):
                few.reshape(label_shape=shape)
        with pytest.raises(AssertionError, match="invalid iterator"):
            few.sync_label_shape(object())


def test_a_new_data_shape_takes_effect_at_the_next_batch(make_records):
    with ImageDetIter(1, SHAPE, **make_records(3, labels=LABELS[:3])) as it:
        it.next()
        it.reshape(data_shape=(3, 20, 22))
        assert it.provide_data == [("data", (1, 3, 20, 22))]
        with pytest.raises(ValueError, match=r"data_shape is \(3, 20, 22\)"):
            it.next()
        it.auglist = image.CreateDetAugmenter((3, 20, 22))
        it.hard_reset()
        assert it.next().data[0].shape == (1, 3, 20, 22)


def test_a_restored_iterator_goes_on_as_the_saved_one_would(make_records):
    records = make_records(5, labels=LABELS)
    keywords = {"rng": 3, "shuffle": True, "last_batch_handle": "roll_over"}

    def make():
        return ImageDetIter(2, SHAPE, **keywords, **records, **OPTIONS)

    with make() as saved, make() as restored:
        list(saved)
        restored.load_state_dict(saved.state_dict())
        saved.reset()
        restored.reset()
        assert drain(restored, 1) == drain(saved, 1)


def test_the_first_epoch_is_number_0_whatever_construction_read(make_records):
    records = make_records(5, labels=LABELS)
    with ImageDetIter(2, SHAPE, rng=3, shuffle=True, **records) as it:
        assert it.epoch == it.cur == 0
        order = list(it.seq)
        it.load_state_dict(it.state_dict())
        assert it.seq == order
        assert sorted(order) == list(range(5))


def test_pictures_with_boxes_come_from_the_iterators_own_position(make_records):
    records = make_records(3, labels=LABELS[:3])
    with ImageDetIter(1, SHAPE, mean=True, std=True, **records) as it:
        it.next()
        drawn = list(it.draw_next(color=(255, 0, 0), mean=True, std=True, thickness=1))
        assert len(drawn) == 2
        assert drawn[0].shape == (16, 18, 3)
        assert drawn[0].dtype == np.uint8
        red = (drawn[0] == [0, 0, 255]).all(2)
        x0, y0, x1, y1 = (np.array(BOXES[0][1:]) * [18, 16, 18, 16]).astype(int)
        assert red[y0, x0 : x1 + 1].all()
        assert red[y0 : y1 + 1, x1].all()
        assert not red[0, 0]


def test_class_names_are_written_beside_the_boxes(make_records):
    def red(**keywords):
        with ImageDetIter(1, (3, 64, 64), **make_records(1, labels=LABELS[:1])) as it:
            drawn = next(it.draw_next(color=(255, 0, 0), thickness=1, **keywords))
        return (drawn == [0, 0, 255]).all(2).sum()

    assert red() == red(id2labels={7: "other"})
    assert red(id2labels={1: "I"}) > red()
