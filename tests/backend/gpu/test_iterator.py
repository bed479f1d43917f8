"""The record iterators over the GPU backend on the fake device: the CPU's batches, bit for bit."""

import pytest

from gpuio import recordio
from gpuio.backend.choose import CPU_ONLY
from gpuio.backend.gpu.backend import GpuBackend
from gpuio.decode.nvimgcodec import NvImageCodecEngine
from gpuio.errors import BackendError, DecodeError, OptionError
from gpuio.io import ImageDetRecordIter, ImageRecordIter
from support import boxes
from support.fake_device import FakeDevice
from support.pictures import jpeg, picture

pytest.importorskip("nvidia.nvimgcodec")

COUNT, BAD = 23, 9


def write(folder, bad=False, boxed=False):
    rec, idx = str(folder / "some.rec"), str(folder / "some.idx")
    writer = recordio.MXIndexedRecordIO(idx, rec, "w")
    for key in range(COUNT):
        blob = jpeg(picture(50 + key, 70 - key, seed=key), progressive=key % 5 == 0)
        if bad and key == BAD:
            blob = blob[:100]
        header = recordio.IRHeader(
            0, boxes.label(boxes.objects_of(key)) if boxed else float(key), key, 0
        )
        writer.write_idx(key, recordio.pack(header, blob))
    writer.close()
    return {"path_imgrec": rec, "path_imgidx": idx}


@pytest.fixture
def devices(monkeypatch):
    """Let ctx='gpu' open the backend on fake devices; return them."""
    from gpuio.backend import open_backend

    made = []

    def opened(name, device_id=0, **settings):
        if name != "gpu":
            return open_backend(name, device_id, **settings)
        made.append(FakeDevice())
        return GpuBackend(
            device_id,
            device=made[-1],
            open_engine=lambda: NvImageCodecEngine(None, 1),
            host_pixels=3550,  # the engine decodes some of the images
            **{name: settings[name] for name in settings if name not in CPU_ONLY},
        )

    monkeypatch.setattr("gpuio.pipeline.opening.open_backend", opened)
    return made


def epochs(count=2, **options):
    """Return every batch of some epochs: data, labels, pad."""
    base = {"data_shape": (3, 32, 32), "batch_size": 8, "seed_aug": 7, "verbose": False}
    seen = []
    with ImageRecordIter(**{**base, **options}) as it:
        for _ in range(count):
            seen += [(b.data[0].asnumpy(), b.label[0].asnumpy(), b.pad) for b in it]
            it.reset()
    return seen


@pytest.mark.parametrize(
    "options",
    [
        {"resize": 40},
        {"resize": 40, "rand_crop": True, "rand_mirror": True, "shuffle": True, "mean_r": 123},
        {
            "random_resized_crop": True,
            "min_random_area": 0.2,
            "min_aspect_ratio": 0.75,
            "max_aspect_ratio": 1.25,
            "std_g": 58,
            "scale": 0.5,
        },
        {"resize": 40, "brightness": 0.3, "contrast": 0.3, "saturation": 0.3, "pca_noise": 9},
        {"max_rotate_angle": 30, "pad": 3, "fill_value": 7, "inter_method": 10, "random_h": 20},
        {"resize": 36, "dtype": "uint8"},
        {"resize": 36, "dtype": "int8", "mean_g": 100, "data_shape": (1, 32, 32)},
        {"resize": 36, "layout": "NHWC", "dtype": "float16", "rand_mirror": True},
        {"random_resized_crop": True, "min_random_area": 0.1, "antialias": True},
        {"resize": 36, "erase_prob": 0.7, "erase_value": "random", "rand_mirror": True},
        {"resize": 36, "auto_augment": "trivialaugment", "rand_mirror": True, "contrast": 0.2},
        {
            "resize": 36,
            "auto_augment": "randaugment",
            "auto_augment_num_ops": 4,
            "erase_prob": 0.5,
            "layout": "NHWC",
            "antialias": True,
            "exif": "ignore",
        },
        {"resize": 20, "data_shape": (3, 16, 16), "decode_scale": "auto", "rand_crop": True},
        {
            "random_resized_crop": True,
            "min_random_area": 0.4,
            "min_aspect_ratio": 0.75,
            "max_aspect_ratio": 1.25,
            "data_shape": (3, 12, 12),
            "decode_scale": "auto",
            "antialias": True,
            "inter_method": 9,
        },
        {"resize": 20, "data_shape": (1, 16, 16), "decode_scale": "auto", "inter_method": 10},
        {"data_shape": (3, 64, 64), "max_random_contrast": 0.3, "max_random_illumination": 20},
    ],
    ids="-".join,
)
def test_batches_are_those_of_the_cpu(tmp_path, devices, options):
    files = write(tmp_path)
    ours, theirs = epochs(ctx="gpu", **files, **options), epochs(ctx="cpu", **files, **options)
    assert len(devices) == 1
    assert len(ours) == len(theirs) == 6
    for (data, label, pad), (data_cpu, label_cpu, pad_cpu) in zip(ours, theirs, strict=True):
        assert data.dtype == data_cpu.dtype
        assert data.tobytes() == data_cpu.tobytes()
        assert label.tobytes() == label_cpu.tobytes()
        assert pad == pad_cpu


def test_a_bad_record_is_named_with_its_key(tmp_path, devices):
    with pytest.raises(DecodeError) as error:
        epochs(ctx="gpu", resize=40, **write(tmp_path, bad=True))
    assert error.value.key == BAD


def test_a_bad_record_may_become_zeros(tmp_path, devices):
    files = write(tmp_path, bad=True)
    options = {"resize": 40, "on_error": "zero", "max_bad": 10}
    ours = epochs(1, ctx="gpu", **files, **options)
    theirs = epochs(1, ctx="cpu", **files, **options)
    for (data, *_), (data_cpu, *_) in zip(ours, theirs, strict=True):
        assert data.tobytes() == data_cpu.tobytes()
    assert not ours[1][0][BAD - 8].any()


@pytest.mark.parametrize("policy", ["skip", "replace"])
def test_bad_records_are_skipped_and_replaced_as_on_the_cpu(tmp_path, devices, policy):
    files = write(tmp_path, bad=True)
    options = {"resize": 40, "on_error": policy, "max_bad": 10}
    ours = epochs(1, ctx="gpu", **files, **options)
    theirs = epochs(1, ctx="cpu", **files, **options)
    assert len(ours) == len(theirs)
    for (data, label, pad), (data_cpu, label_cpu, pad_cpu) in zip(ours, theirs, strict=True):
        assert data.tobytes() == data_cpu.tobytes()
        assert label.tobytes() == label_cpu.tobytes()
        assert pad == pad_cpu


def test_closing_the_iterator_gives_the_devices_memory_back(tmp_path, devices):
    import gc

    epochs(1, ctx="gpu", resize=40, **write(tmp_path))
    gc.collect()
    assert devices[0].used == 0


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize(
    "mix", [{"mixup_alpha": 0.4}, {"cutmix_alpha": 1.0}, {"mixup_alpha": 0.4, "cutmix_alpha": 1.0}]
)
def test_mixed_batches_are_those_of_the_cpu(tmp_path, devices, mix, dtype, layout):
    options = {"resize": 40, "num_classes": COUNT, "dtype": dtype, "layout": layout, **mix}
    files = write(tmp_path)
    ours = epochs(ctx="gpu", **options, **files)
    theirs = epochs(ctx="cpu", **options, **files)
    plain = epochs(ctx="cpu", **{**options, **dict.fromkeys(mix, 0)}, **files)
    assert any(a[0].tobytes() != b[0].tobytes() for a, b in zip(theirs, plain, strict=True))
    for mine, cpu in zip(ours, theirs, strict=True):
        assert [part.tobytes() for part in mine[:2]] == [part.tobytes() for part in cpu[:2]]
        assert mine[2] == cpu[2]


def test_labels_of_classes_are_those_of_the_cpu(tmp_path, devices):
    files = write(tmp_path)
    ours = epochs(1, ctx="gpu", resize=40, num_classes=COUNT, **files)
    theirs = epochs(1, ctx="cpu", resize=40, num_classes=COUNT, **files)
    assert ours[0][1].shape == (8, COUNT)
    for (_, label, _), (_, label_cpu, _) in zip(ours, theirs, strict=True):
        assert label.tobytes() == label_cpu.tobytes()


@pytest.mark.parametrize(
    "options",
    [
        {"rand_pad_prob": 0.5, "max_pad_scale": 2.0, "rand_crop_prob": 0.7, "min_crop_scales": 0.3},
        {"resize_mode": "fit", "mean_r": 99.0, "std_g": 58.0, "scale": 0.5, "resize": 40},
        {
            "max_random_hue": 20,
            "random_hue_prob": 0.7,
            "max_random_contrast": 0.5,
            "random_contrast_prob": 0.7,
            "label_format": "boxes",
            "layout": "NHWC",
            "dtype": "float16",
        },
    ],
    ids=str,
)
def test_detection_is_the_cpus(devices, tmp_path, options):
    files = write(tmp_path, boxed=True)
    base = {"data_shape": (3, 32, 32), "batch_size": 8, "rand_mirror_prob": 0.5, "verbose": False}
    made = []
    for ctx in ("cpu", "gpu"):
        with ImageDetRecordIter(**files, **base, **options, ctx=ctx) as it:
            made.append([(b.data[0].asnumpy(), [a.asnumpy() for a in b.label]) for b in it])
    assert len(made[0]) == 3
    for (data, labels), (theirs, their_labels) in zip(*made, strict=True):
        assert data.tobytes() == theirs.tobytes()
        assert [a.tobytes() for a in labels] == [a.tobytes() for a in their_labels]
    assert len(devices) == 1


def test_a_part_without_a_row_hands_out_padding_as_the_cpu_does(tmp_path, devices):
    files = write(tmp_path)
    options = {"resize": 36, "shard": "even", "num_parts": 5, "last_batch": "pad", "batch_size": 2}
    for part in (0, 4):  # steps of 10: the last one has 3 rows, none of them the first part's
        both = [
            epochs(1, ctx=ctx, part_index=part, shuffle="block", **files, **options)
            for ctx in ("gpu", "cpu")
        ]
        for (data, label, pad), (data_cpu, label_cpu, pad_cpu) in zip(*both, strict=True):
            assert (data.tobytes(), label.tobytes()) == (data_cpu.tobytes(), label_cpu.tobytes())
            assert pad == pad_cpu
        assert [pad for *_, pad in both[0]] == [0, 0, 2 if part == 0 else 1]
    assert not both[0][-1][0][1].any()


CROPS = {"random_resized_crop": True, "rand_mirror": True, "shuffle": True}


@pytest.mark.parametrize("kind", ["host", "disk", "device"])
def test_images_that_were_decoded_once_give_the_same_batches(tmp_path, devices, kind):
    files = write(tmp_path)
    expected = epochs(3, ctx="gpu", **CROPS, **files)
    room = {"cache": kind, "cache_size": 1_000_000}
    if kind == "disk":
        room["cache_dir"] = str(tmp_path / "cache")
    base = {"data_shape": (3, 32, 32), "batch_size": 8, "seed_aug": 7, "verbose": False}
    seen = []
    with ImageRecordIter(ctx="gpu", **base, **CROPS, **files, **room) as it:
        for _ in range(3):
            seen += [(b.data[0].asnumpy(), b.label[0].asnumpy(), b.pad) for b in it]
            it.reset()
        cache = it.stats()["cache"]
    for ours, theirs in zip(seen, expected, strict=True):
        assert ours[0].tobytes() == theirs[0].tobytes()
        assert ours[1].tobytes() == theirs[1].tobytes()
    assert cache["images"] == COUNT
    assert cache["hits"] >= COUNT  # the look-ahead may ask before the first ones are there
    assert devices[-1].calls["copy"] >= COUNT


def test_the_arena_of_a_device_is_bounded_and_freed(tmp_path, devices):
    options = {"data_shape": (3, 32, 32), "batch_size": 8, "seed_aug": 7, "verbose": False}
    options |= {**write(tmp_path), "ctx": "gpu", "cache": "device", "cache_size": 150_000, **CROPS}
    with ImageRecordIter(**options) as it:
        for _ in range(2):
            for _ in it:
                pass
            it.reset()
        cache = it.stats()["cache"]
        assert 0 < cache["images"] < COUNT
        assert cache["bytes"] <= 150_000
        assert devices[-1].used > 150_000
    assert devices[-1].used < 2 * 98_304 + 100  # batches that somebody holds, and labels


def test_a_device_without_room_for_the_arena_says_so(tmp_path, devices):
    options = {"data_shape": (3, 32, 32), "batch_size": 8, "verbose": False, "ctx": "gpu"}
    with pytest.raises(BackendError, match=r"a cache of 2\.0 GiB"):
        ImageRecordIter(**write(tmp_path), **options, cache="device", cache_size="2GiB")


@pytest.mark.parametrize("kind", ["host", "device"])
def test_a_bad_image_stays_bad(tmp_path, devices, kind):
    files = write(tmp_path, bad=True)
    options = {"ctx": "gpu", "on_error": "zero", **files}
    ours = epochs(3, **options, cache=kind, cache_size=1_000_000)
    for made, expected in zip(ours, epochs(3, **options), strict=True):
        assert made[0].tobytes() == expected[0].tobytes()


def test_a_cache_on_a_device_needs_one(tmp_path):
    with pytest.raises(OptionError, match="'host', 'disk'"):
        ImageRecordIter(
            **write(tmp_path),
            data_shape=(3, 32, 32),
            batch_size=8,
            ctx="cpu",
            cache="device",
            verbose=False,
        )
