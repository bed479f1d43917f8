from __future__ import annotations

import gc
import random
import threading

import numpy as np
import pytest

from gpuio import image
from gpuio.errors import ClosedError
from gpuio.image import ImageIter
from support.image_epochs import OPTIONS, SHAPE, epochs, pixels


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
        thread.join(60)
        assert not thread.is_alive()


def test_an_iterator_of_unknown_length_is_still_true(make_records):
    with ImageIter(2, SHAPE, path_imgrec=make_records()["path_imgrec"]) as it:
        assert it
        with pytest.raises(TypeError, match="path_imgidx"):
            len(it)
        assert len(list(it)) == 4


def test_hooks_draw_what_the_plan_draws(make_records):
    class Own(ImageIter):
        def augmentation_transform(self, data):
            return super().augmentation_transform(data)

    records = make_records()
    for keywords in ({"rng": 5}, {"rng": None}):
        made = []
        for kind in (ImageIter, Own):
            random.seed(6)
            with kind(3, SHAPE, **keywords, **records, **OPTIONS) as it:
                made.append(pixels(it))
        assert np.array_equal(*made)


def test_few_full_size_images_wait_for_their_draws(make_records):
    options = {"prefetch_buffer": 50, "preprocess_threads": 1, **make_records()}
    with ImageIter(7, SHAPE, rand_crop=True, **options) as it:
        it.next()
        assert it._feed.depth == 8
    with ImageIter(7, SHAPE, **options) as it:
        it.next()
        assert it._feed.depth == 350


def test_batches_larger_than_what_may_wait_are_filled_in_order(make_records):
    with ImageIter(20, SHAPE, rand_crop=True, preprocess_threads=1, **make_records(21)) as it:
        assert it.next().label[0].tolist() == list(range(20))


def labels(it):
    """Return the labels of what is left of an epoch, batch by batch, and the errors between."""
    found = []
    while True:
        try:
            found.append(it.next().label[0].tolist())
        except StopIteration:
            return found
        except RuntimeError as error:
            found.append(type(error).__name__)


class Interrupted:
    """An augmenter during whose n-th call the user presses Ctrl-C."""

    def __init__(self, call):
        self.left = call

    def __call__(self, src):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt
        return src


@pytest.mark.parametrize("index", [True, False])
@pytest.mark.parametrize("call", range(1, 9))
def test_an_interrupt_loses_no_row(make_records, index, call):
    records = make_records(7)
    if not index:
        del records["path_imgidx"]
    mode = {"last_batch_handle": "roll_over"} if call % 2 else {}
    crop = image.CenterCropAug(SHAPE[:0:-1])
    with ImageIter(3, SHAPE, **records, **mode, aug_list=[crop]) as it:
        whole = [labels(it), it.reset(), labels(it)]
    augmenters = [crop, Interrupted(call)]
    with ImageIter(3, SHAPE, **records, **mode, aug_list=augmenters) as it:
        found = []
        with pytest.raises(KeyboardInterrupt):  # noqa: PT012
            while True:
                found.append(it.next().label[0].tolist())
        with ImageIter(3, SHAPE, **records, **mode, aug_list=[crop]) as other:
            other.load_state_dict(it.state_dict())
            assert found + labels(other) == whole[0]
        assert [found + labels(it), it.reset(), labels(it)] == whole


@pytest.mark.parametrize("threads", [0, 3])
@pytest.mark.parametrize("options", [{}, OPTIONS, {"rng": 1, **OPTIONS}])
def test_a_bad_sample_costs_itself_alone(make_records, threads, options):
    """In the middle of a batch, and where the last batch is filled from the epoch's start."""
    records = make_records(7, broken={1})
    with ImageIter(3, SHAPE, preprocess_threads=threads, **records, **options) as it:
        assert labels(it) == ["DecodeError", [0, 2, 3], [4, 5, 6]]
        it.reset()
        assert labels(it) == ["DecodeError", [0, 2, 3], [4, 5, 6]]
    with ImageIter(4, SHAPE, preprocess_threads=threads, **records, **options) as it:
        other = ImageIter(4, SHAPE, preprocess_threads=threads, **records, **options)
        assert labels(it) == ["DecodeError", [0, 2, 3, 4], "DecodeError", [5, 6, 0, 2]]
        it.reset()
        with pytest.raises(RuntimeError):
            it.next()
        state = it.state_dict()
        other.load_state_dict(state)
        assert other.state_dict() == state
        assert labels(other) == labels(it) == [[0, 2, 3, 4], "DecodeError", [5, 6, 0, 2]]
        other.close()


def stops(src):
    """Raise what looks like the end of an epoch."""
    return next(iter(()))


class Stops(image.Augmenter):
    is_random = True

    def draw(self, shape, draws):
        return next(iter(()))

    def apply(self, src, plan):
        return src


class StopsLater(Stops):
    def draw(self, shape, draws):
        return None, shape

    def apply(self, src, plan):
        return next(iter(()))


class StopsDecoding(ImageIter):
    def imdecode(self, s):
        return next(iter(()))


@pytest.mark.parametrize(
    "make",
    [
        lambda **records: ImageIter(2, SHAPE, aug_list=[stops], **records),
        lambda **records: ImageIter(2, SHAPE, aug_list=[Stops()], **records),
        lambda **records: ImageIter(2, SHAPE, aug_list=[StopsLater()], **records),
        lambda **records: ImageIter(2, SHAPE, aug_list=[StopsLater()], rng=1, **records),
        lambda **records: StopsDecoding(2, SHAPE, **records),
    ],
)
def test_a_stop_iteration_of_the_users_code_is_not_the_epochs_end(make_records, make):
    with make(**make_records(4)) as it, pytest.raises(RuntimeError, match="StopIteration"):
        it.next()


def test_an_augmenter_that_returns_none_is_named(make_records):
    def forgets(src):
        src + 1

    with (
        ImageIter(2, SHAPE, aug_list=[forgets], **make_records(4)) as it,
        pytest.raises(TypeError, match="forgets returned None"),
    ):
        it.next()
