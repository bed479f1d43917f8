"""ImageRecordIter's options beyond MXNet: form, EXIF, decoder settings, plans that are replayed."""

import threading

import cv2
import numpy as np
import pytest

import gpuio as mx
from gpuio.errors import OptionError, RecordError
from gpuio.plan.replay import replay
from support.leaks import left, threads
from support.making import jpeg, photo, write_rec

SIZES = [(60 + 3 * k, 80 - 2 * k) for k in range(10)]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Ten JPEG photos of several sizes."""
    blobs = [jpeg(photo(*size, seed=k)) for k, size in enumerate(SIZES)]
    return (*write_rec(tmp_path_factory.mktemp("photos"), blobs), blobs)


def reader(files, **options):
    base = {"data_shape": (3, 32, 24), "batch_size": 4, "verbose": False, "ctx": "cpu", "seed": 5}
    rec, idx = files[:2]
    return mx.io.ImageRecordIter(path_imgrec=rec, path_imgidx=idx, **{**base, **options})


def epoch(files, **options):
    """Return data, labels and pad of every batch of an epoch, copied."""
    with reader(files, **options) as it:
        return [(b.data[0].asnumpy(), b.label[0].asnumpy(), b.pad) for b in it]


def same(ours, theirs):
    return all(
        a[0].tobytes() == b[0].tobytes() and a[1].tobytes() == b[1].tobytes() and a[2] == b[2]
        for a, b in zip(ours, theirs, strict=True)
    )


BUSY = {"rand_crop": True, "rand_mirror": True, "resize": 40, "mean_r": 99, "std_g": 3}


@pytest.mark.parametrize("ending", ["borrow", "pad", "partial", "discard"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8", "int8"])
def test_channels_last_are_the_same_values_in_another_order(photos, ending, dtype):
    options = {**BUSY, "dtype": dtype, "last_batch": ending}
    first, last = epoch(photos, **options), epoch(photos, layout="NHWC", **options)
    assert len(first) == (2 if ending == "discard" else 3)
    for (a, label_a, pad_a), (b, label_b, pad_b) in zip(first, last, strict=True):
        assert b.flags.c_contiguous
        assert np.array_equal(a.transpose(0, 2, 3, 1), b)
        assert (pad_a, label_a.tolist()) == (pad_b, label_b.tolist())
    assert len(first[-1][0]) == (2 if ending == "partial" else 4)


def test_channels_last_are_described(photos):
    with reader(photos, layout="NHWC") as it:
        (data,) = it.provide_data
        assert (data.shape, data.layout) == ((4, 32, 24, 3), "NHWC")
        assert it.next().data[0].shape == data.shape


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_a_bad_record_leaves_zeros_in_either_layout(tmp_path, photos, layout):
    blobs = [*photos[2][:3], b"no image", *photos[2][4:]]
    files = write_rec(tmp_path, blobs)
    got = epoch(files, layout=layout, on_error="skip", last_batch="pad", **BUSY)
    assert [pad for *_, pad in got] == [1, 0, 2]
    assert not got[0][0][3].any()
    assert got[0][0][2].any()


def test_a_mean_image_is_subtracted_in_either_layout(tmp_path, photos):
    options = {"mean_img": str(tmp_path / "mean.nd"), "resize": 40, "rand_mirror": True}
    epoch(photos, **options)
    first = epoch(photos, **options)
    last = epoch(photos, layout="NHWC", **options)
    assert np.array_equal(first[0][0].transpose(0, 2, 3, 1), last[0][0])


def test_a_mean_image_made_for_channels_last_is_the_same(tmp_path, photos):
    for layout in ("NCHW", "NHWC"):
        epoch(photos, mean_img=str(tmp_path / f"{layout}.nd"), resize=40, layout=layout)
    assert (tmp_path / "NCHW.nd").read_bytes() == (tmp_path / "NHWC.nd").read_bytes()


def test_bfloat16_is_the_rounded_float32(photos):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    with reader(photos, dtype="bfloat16", **BUSY) as it:
        assert it.provide_data[0].dtype is ml_dtypes.bfloat16
        batch = it.next()
        assert batch.data[0].dtype == ml_dtypes.bfloat16
        exact = epoch(photos, **BUSY)[0][0]
        assert np.array_equal(batch.data[0].asnumpy(), exact.astype(ml_dtypes.bfloat16))


def test_bfloat16_without_its_package_is_refused_by_name(photos, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    with pytest.raises(OptionError, match=r"dtype: 'bfloat16' .*pip install ml_dtypes"):
        reader(photos, dtype="bfloat16")


@pytest.mark.parametrize("options", [{"layout": "NHWC"}, {"aspect_distribution": "loguniform"}])
def test_a_saved_state_goes_on_with_the_same_batches(photos, options):
    options = {"shuffle": True, "random_resized_crop": True, "min_random_area": 0.2, **options}
    options |= {"min_aspect_ratio": 0.5, "max_aspect_ratio": 2}
    with reader(photos, **options) as it:
        it.next()
        state = it.state_dict()
        rest = [batch.data[0].asnumpy() for batch in it]
    with reader(photos, preprocess_threads=1, **options) as it:
        it.load_state_dict(state)
        again = [batch.data[0].asnumpy() for batch in it]
    assert [a.tobytes() for a in rest] == [b.tobytes() for b in again]


def turned(blob, orientation):
    """Put an EXIF orientation into a JPEG."""
    tiff = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0" + bytes([orientation]) + b"\0" * 7
    body = b"Exif\0\0" + tiff
    return blob[:2] + b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body + blob[2:]


def test_an_exif_orientation_may_be_ignored(tmp_path, photos):
    files = write_rec(tmp_path, [turned(blob, 6) for blob in photos[2]])
    plain = epoch(photos, resize=40)
    assert same(epoch(files, resize=40, exif="ignore"), plain)
    upright = epoch(files, resize=40)
    assert not same(upright, plain)


@pytest.mark.parametrize(
    "given",
    [{"decoder": "dali"}, {"decoders": 1}, {"hw_decoder_load": 0.9}, {"decoder_room": 512}],
    ids=str,
)
def test_settings_of_a_gpu_are_refused_on_the_cpu_and_dropped_by_auto(photos, given, monkeypatch):
    (name,) = given
    with pytest.raises(OptionError, match=f"{name}: a setting of the GPU, but ctx='cpu'"):
        reader(photos, **given)
    monkeypatch.setattr("gpuio.backend.gpu.probe.missing_for_gpu", lambda _: [_Gap()])
    assert same(epoch(photos, ctx="auto", **given, **BUSY), epoch(photos, **BUSY))


class _Gap:
    what = "no GPU"


def test_settings_of_a_gpu_reach_its_backend(photos, monkeypatch):
    seen = {}

    def opened(name, device_id, **settings):
        seen.update(settings, name=name, device_id=device_id)
        raise OptionError("enough")

    monkeypatch.setattr("gpuio.pipeline.opening.open_backend", opened)
    with pytest.raises(OptionError, match="enough"):
        reader(photos, ctx="gpu", decoder="dali", decoders=3, hw_decoder_load=0.5, decoder_room=9)
    given = ("decoder", "decoders", "hw_decoder_load", "decoder_room")
    assert [seen[name] for name in given] == ["dali", 3, 0.5, 9]


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8"])
def test_a_row_of_the_plan_makes_the_batchs_image_again(photos, layout, dtype):
    options = {"layout": layout, "dtype": dtype, "shuffle": True, "brightness": 0.3, **BUSY}
    with reader(photos, **options) as it:
        for batch in it:
            assert batch.plan.shape == (4,)
            for row in range(4):
                blob = np.frombuffer(photos[2][int(batch.index[row])], np.uint8)
                image = cv2.imdecode(blob, cv2.IMREAD_COLOR)
                again = replay(image, batch.plan[row], it.options)
                assert again.dtype == np.dtype(dtype)
                assert np.array_equal(again, batch.data[0][row])


def test_a_row_of_another_image_is_refused(photos):
    with reader(photos, **BUSY) as it:
        row = it.next().plan[0]
        with pytest.raises(ValueError, match="does not fit the pixels"):
            replay(np.zeros((8, 8, 3), np.uint8), row, it.options)


MIXUP = {"num_classes": 10, "mixup_alpha": 0.8}
CUTMIX = {"num_classes": 10, "cutmix_alpha": 1.0}
EVERYTHING = {
    "auto_augment": "randaugment",
    "erase_prob": 0.5,
    "antialias": True,
    "random_resized_crop": True,
    "min_random_area": 0.2,
    "min_aspect_ratio": 0.5,
    "max_aspect_ratio": 2,
    "aspect_distribution": "loguniform",
    "layout": "NHWC",
    "rand_mirror": True,
    "shuffle": True,
    "mixup_alpha": 0.4,
    "cutmix_alpha": 1.0,
    "num_classes": 10,
}
EACH = [
    MIXUP,
    CUTMIX,
    {**MIXUP, **CUTMIX, "dtype": "float16"},
    {"erase_prob": 0.8, "erase_value": "random"},
    {"auto_augment": "trivialaugment"},
    {"antialias": True},
    EVERYTHING,
]


@pytest.mark.parametrize("given", EACH, ids=lambda given: "-".join(given)[:50])
def test_threads_share_sizes_and_read_ahead_change_nothing(photos, given):
    busy = {"resize": 40, **given}
    one = epoch(photos, preprocess_threads=1, prefetch_buffer=1, **busy)
    assert same(one, epoch(photos, preprocess_threads=3, prefetch_buffer=5, **busy))
    assert not same(one, epoch(photos, resize=40))


@pytest.mark.parametrize("given", EACH, ids=lambda given: "-".join(given)[:50])
def test_a_state_goes_on_with_the_same_extras(photos, given):
    with reader(photos, resize=40, **given) as it:
        for _ in it:
            pass
        it.reset()
        it.next()
        state = it.state_dict()
        rest = [(b.data[0].asnumpy(), b.label[0].asnumpy(), b.pad) for b in it]
    with reader(photos, resize=40, **given) as it:
        it.load_state_dict(state)
        assert same(rest, [(b.data[0].asnumpy(), b.label[0].asnumpy(), b.pad) for b in it])


@pytest.mark.parametrize("given", [MIXUP, CUTMIX], ids=["mixup", "cutmix"])
@pytest.mark.parametrize("ending", ["borrow", "pad", "partial"])
def test_a_mixed_batch_is_a_mix_of_the_batch(photos, given, ending):
    plain = epoch(photos, last_batch=ending, **BUSY)
    with reader(photos, last_batch=ending, **BUSY, **given) as it:
        (label,) = it.provide_label
        assert label.shape == (4, 10)
        assert label.dtype is np.float32
        for (data, classes, pad), batch in zip(plain, it, strict=True):
            mix, mixed = batch.mix, batch.data[0].asnumpy()
            share = np.float32(mix.share)
            rest = np.float32(1) - share
            expected = data.copy()
            other = np.flatnonzero(mix.partner != np.arange(len(data)))
            if mix.box is None:
                expected[other] = data[mix.partner[other]] * rest + data[other] * share
            else:
                y, x, h, w = mix.box
                part = np.s_[:, :, y : y + h, x : x + w]
                expected[part] = data[mix.partner][part]
            assert np.array_equal(mixed, expected)
            real = len(data) - (pad if ending == "pad" else 0)
            soft = batch.label[0].asnumpy()
            assert soft.dtype == np.float32
            assert np.allclose(soft.sum(1), np.arange(len(data)) < real)
            assert not soft[real:].any()
            assert (mix.partner[real:] == np.arange(real, len(data))).all()
            for row in range(real):
                weight = np.zeros(10, np.float32)
                weight[int(classes[row])] += share
                weight[int(classes[mix.partner[row]])] += rest
                assert np.allclose(soft[row], weight)
            assert batch.pad == pad


def test_classes_alone_make_labels_of_ones(photos):
    for (_, classes, _), (_, soft, _) in zip(
        epoch(photos), epoch(photos, num_classes=12), strict=True
    ):
        assert np.array_equal(soft, np.eye(12, dtype=np.float32)[classes.astype(int)])


@pytest.mark.parametrize("policy", ["zero", "skip", "replace"])
def test_a_bad_record_is_never_mixed_in(tmp_path, photos, policy):
    blobs = [*photos[2][:2], photos[2][2][:200], *photos[2][3:]]
    files = write_rec(tmp_path, blobs)
    with reader(files, resize=40, on_error=policy, **MIXUP) as it:
        batch = it.next()
        soft, mix = batch.label[0].asnumpy(), batch.mix
        bad = {"zero": 2, "skip": 3, "replace": None}[policy]
        for row in range(4):
            assert soft[row].sum() == pytest.approx(float(row != bad))
            assert batch.data[0][row].any() == (row != bad)
        if bad is not None:
            assert mix.partner[bad] == bad


def test_a_label_that_is_no_class_is_an_error_with_its_key(photos):
    with reader(photos, num_classes=6) as it:
        it.next()
        with pytest.raises(RecordError, match=r"label 6 is not a class: num_classes=6") as raised:
            it.next()
        assert raised.value.key == 6


def test_classes_without_a_mix_are_weights(photos):
    assert epoch(photos, num_classes=10)[0][1].shape == (4, 10)


def test_everything_at_once_is_replayed_but_for_the_mix(photos):
    given = {**EVERYTHING, "mixup_alpha": 0, "cutmix_alpha": 0}
    with reader(photos, **given) as it:
        for batch in it:
            assert batch.mix is None
            for row in range(4):
                blob = np.frombuffer(photos[2][int(batch.index[row])], np.uint8)
                again = replay(cv2.imdecode(blob, cv2.IMREAD_COLOR), batch.plan[row], it.options)
                assert np.array_equal(again, batch.data[0][row])


def ours():
    return [thread for thread in threading.enumerate() if thread.name.startswith("gpuio-")]


@pytest.mark.parametrize("how", ["close", "drop", "reset"])
def test_the_thread_that_mixes_ends_with_its_iterator(photos, how):
    before = threads()
    it = reader(photos, **MIXUP)
    it.next()
    assert any(thread.name.startswith("gpuio-mix") for thread in ours())
    if how == "reset":  # the read-ahead is thrown away and begun again
        it.reset()
        it.next()
    if how != "drop":
        it.close()
    del it
    assert left(before) == []


def test_a_batch_that_could_not_be_mixed_may_be_asked_for_again(photos):
    with reader(photos, num_classes=6) as it:
        it.next()
        for _ in range(3):
            with pytest.raises(RecordError, match="label 6 is not a class"):
                it.next()
        it.reset()
        assert it.next().label[0].shape == (4, 6)
