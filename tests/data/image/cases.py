"""One list of calls on mx.image, run by gpuio and by MXNet 1.9.1 alike.

`results(mx)` takes either package and returns {case: array or JSON value}. It imports nothing but
numpy, so that it runs in both interpreters. `python cases.py OUT.pickle` runs it under MXNet.
"""

from __future__ import annotations

import json
import pickle
import random
import sys
import tempfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent


def read(name):
    return (HERE / name).read_bytes()


def seed_both(seed):
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 -- MXNet draws from it


def seeded(seed, call):
    seed_both(seed)
    return call()


def functions(mx):
    """Decode, resize, crop, border, rotate."""
    image, nd = mx.image, mx.nd
    wide, tall = image.imdecode(read("wide.jpg")), image.imdecode(read("tall.jpg"))
    for name in ("wide.jpg", "tall.jpg", "gray.jpg", "turned.jpg", "jfif_turned.jpg", "small.png",
                 "deep.png", "alpha.png"):  # fmt: skip
        yield f"imdecode {name}", image.imdecode(read(name))
        yield f"imdecode gray {name}", image.imdecode(read(name), 0)
        yield f"imread {name}", image.imread(str(HERE / name))
    yield "imdecode bgr", image.imdecode(read("wide.jpg"), to_rgb=0)
    yield "imdecode positional", image.imdecode(read("wide.jpg"), 1, 0)
    yield "imdecode bytearray", image.imdecode(bytearray(read("wide.jpg")))
    yield "imdecode numpy", image.imdecode(np.frombuffer(read("wide.jpg"), np.uint8))
    for interp in range(5):
        for size in ((40, 30), (96, 50), (150, 120), (48, 36), (60, 130)):
            yield f"imresize uint8 {interp} {size}", image.imresize(wide, *size, interp)
        yield f"imresize float32 {interp}", image.imresize(wide.astype("float32"), 50, 40, interp)
        for size in (30, 64, 100):
            yield f"resize_short {interp} {size}", image.resize_short(tall, size, interp)
    yield "imresize default", image.imresize(wide, 50, 40)
    yield "imresize float64", image.imresize(wide.astype("float64"), 50, 40)
    for interp in (9, 10):
        for size in (30, 72, 100):
            call = lambda s=size, i=interp: image.resize_short(wide, s, i)  # noqa: E731
            yield f"resize_short {interp} {size}", seeded(size, call)
    sizes = [((640, 480), (720, 120)), ((360, 1000), (480, 500)), ((300, 400), (0, 0)),
             ((100, 50), (200, 200))]  # fmt: skip
    yield "scale_down", [list(image.scale_down(*pair)) for pair in sizes]
    yield "fixed_crop", image.fixed_crop(wide, 10, 20, 30, 40)
    yield "fixed_crop over the border", image.fixed_crop(wide, 80, 60, 30, 40)
    yield "fixed_crop resized", image.fixed_crop(wide, 10, 20, 30, 40, (20, 20), 1)
    yield "fixed_crop auto", image.fixed_crop(wide, 10, 20, 30, 40, (50, 60), 9)
    for size in ((40, 30), (96, 72), (200, 100), (50, 300)):
        for interp in (1, 10):
            crop = seeded(3, lambda s=size, i=interp: image.random_crop(wide, s, i))
            yield f"random_crop {size} {interp}", crop[0]
            yield f"random_crop rect {size} {interp}", list(crop[1])
            crop = seeded(3, lambda s=size, i=interp: image.center_crop(wide, s, i))
            yield f"center_crop {size} {interp}", crop[0]
            yield f"center_crop rect {size} {interp}", list(crop[1])
    ranges = [(0.08, (0.75, 4 / 3)), ((0.3, 0.5), (0.5, 2.0)), ((4.0, 5.0), (1.0, 1.0)),
              ((0.9, 1.0), (0.4, 2.5))]  # fmt: skip
    for number, (area, ratio) in enumerate(ranges):
        for seed in range(5):
            call = lambda a=area, r=ratio: image.random_size_crop(wide, (32, 28), a, r, 1)  # noqa: E731
            crop = seeded(seed, call)
            yield f"random_size_crop {number} {seed}", crop[0]
            yield f"random_size_crop rect {number} {seed}", list(crop[1])
    for kind in (0, 1, 2, 3, 4, 16):
        yield (
            f"copyMakeBorder {kind}",
            image.copyMakeBorder(wide, 3, 5, 7, 2, type=kind, value=9),
        )
    yield "copyMakeBorder values", image.copyMakeBorder(wide, 3, 5, 7, 2, values=(1, 2, 3))
    yield (
        "copyMakeBorder float",
        image.copyMakeBorder(wide.astype("float32"), 1, 2, 3, 4, value=0.5),
    )
    floats = wide.astype("float32")
    yield (
        "color_normalize",
        image.color_normalize(floats.copy(), nd.array([1, 2, 3]), nd.array([2, 3, 4])),
    )
    yield "color_normalize number", image.color_normalize(floats.copy(), 5, 2)
    chw = nd.array(np.asarray(floats.asnumpy().transpose(2, 0, 1), np.float32) / 255)
    batch = nd.array(np.stack([chw.asnumpy(), chw.asnumpy()[:, ::-1]]))
    for zooms in ((False, False), (True, False), (False, True)):
        for angle in (0, 10.5, -33, 90, 200):
            yield f"imrotate {angle} {zooms}", image.imrotate(chw, angle, *zooms)
        turned = image.imrotate(batch, nd.array([20.0, -70.0]), *zooms)
        yield f"imrotate batch {zooms}", turned
        yield (
            f"random_rotate {zooms}",
            seeded(4, lambda z=zooms: image.random_rotate(chw, (-40, 40), *z)),
        )
        yield (
            f"random_rotate batch {zooms}",
            seeded(4, lambda z=zooms: image.random_rotate(batch, (-40, 40), *z)),
        )


def image_augmenters(image):
    vectors = np.array([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140],
                        [-0.5836, -0.6948, 0.4203]])  # fmt: skip
    yield from (image.ResizeAug(40, 1), image.ResizeAug(100, 10), image.ForceResizeAug((30, 50), 1))
    yield from (image.ForceResizeAug((30, 50), 9), image.RandomCropAug((30, 40), 1))
    yield from (image.CenterCropAug((30, 40), 1), image.CenterCropAug((200, 40), 3))
    yield image.RandomSizedCropAug((30, 40), 0.1, (0.5, 2.0), 1)
    yield from (image.HorizontalFlipAug(0.5), image.HorizontalFlipAug(0.0), image.CastAug())
    yield from (image.BrightnessJitterAug(0.4), image.ContrastJitterAug(0.4))
    yield from (image.SaturationJitterAug(0.4), image.HueJitterAug(0.3))
    yield from (image.ColorJitterAug(0.3, 0.4, 0.5), image.ColorJitterAug(0, 0.4, 0.5))
    yield image.LightingAug(0.1, np.array([55.46, 4.794, 1.148]), vectors)
    yield image.ColorNormalizeAug(np.array([120.0, 110.0, 100.0]), np.array([50.0, 60.0, 70.0]))
    yield image.ColorNormalizeAug(np.array([120.0, 110.0, 100.0]), None)
    yield from (image.RandomGrayAug(0.5), image.CastAug("uint8"))
    yield image.SequentialAug([image.RandomCropAug((50, 50), 1), image.HorizontalFlipAug(0.5)])
    jitters = (image.BrightnessJitterAug, image.ContrastJitterAug, image.SaturationJitterAug)
    yield image.RandomOrderAug([image.HueJitterAug(0.2), *(jitter(0.2) for jitter in jitters)])


def augmenters(mx):
    """Every image augmenter, seeded, on float and where possible on uint8 images."""
    image = mx.image
    wide = image.imdecode(read("wide.jpg"))
    for number, aug in enumerate(image_augmenters(image)):
        yield f"dumps {number}", aug.dumps()
        for seed in range(4):  # one instance: RandomOrderAug keeps its order from call to call
            made = seeded(seed, lambda a=aug: a(wide.astype("float32")))
            yield f"{type(aug).__name__} {number} {seed}", made
        if number < 11:
            yield f"{type(aug).__name__} {number} uint8", seeded(7, lambda a=aug: a(wide))
    options = [
        {}, {"resize": 80}, {"rand_crop": True, "rand_mirror": True},
        {"resize": 60, "rand_crop": True, "rand_resize": True, "rand_mirror": True, "mean": True,
         "std": True, "brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1,
         "pca_noise": 0.1, "rand_gray": 0.3},
        {"mean": np.array([1.0, 2.0, 3.0]), "hue": 0.2}, {"std": np.array([2.0])},
    ]  # fmt: skip
    for number, keywords in enumerate(options):
        made = image.CreateAugmenter((3, 40, 48), inter_method=1, **keywords)
        yield f"CreateAugmenter dumps {number}", [aug.dumps() for aug in made]
        for seed in range(4):
            seed_both(seed)
            src = wide
            for aug in made:
                src = aug(src)
            yield f"CreateAugmenter {number} {seed}", src


LABEL = np.array([[1, 0.1, 0.2, 0.5, 0.6], [2, 0.4, 0.4, 0.9, 0.8], [3, 0.7, 0.1, 0.75, 0.15]])


def det_augmenters(mx):
    """Every detection augmenter, seeded."""
    image = mx.image
    wide = image.imdecode(read("wide.jpg"))
    crop = image.DetRandomCropAug
    augs = [
        image.DetBorrowAug(image.HorizontalFlipAug(1.0)), image.DetHorizontalFlipAug(0.5), crop(),
        crop(0.5, (0.5, 2.0), (0.1, 0.6), 0.1, 20), crop(0.0, 1.0, 0.3), crop(2.0),
        crop(area_range=(0.05, 3.0)), image.DetRandomPadAug(),
        image.DetRandomPadAug((0.3, 3.0), (1.5, 6.0), 30, (1, 2, 3)),
        image.DetRandomSelectAug([crop(), image.DetRandomPadAug()], 0.3),
        image.DetRandomSelectAug([]), image.DetRandomSelectAug(image.DetHorizontalFlipAug(1.0)),
        image.CreateMultiRandCropAugmenter([0.1, 0.3, 0.9], area_range=[(0.1, 1.0)], skip_prob=0.2),
    ]  # fmt: skip
    for number, aug in enumerate(augs):
        yield f"det dumps {number}", aug.dumps()
        for seed in range(6):
            made, label = seeded(seed, lambda a=aug: a(wide, LABEL.copy()))
            yield f"det {number} {seed}", made
            yield f"det label {number} {seed}", np.array(label)
    options = [
        {}, {"resize": 80, "rand_mirror": True},
        {"resize": 60, "rand_crop": 0.7, "rand_pad": 0.7, "rand_gray": 0.3, "rand_mirror": True,
         "mean": True, "std": True, "brightness": 0.3, "contrast": 0.3, "saturation": 0.3,
         "pca_noise": 0.1, "hue": 0.1},
        {"rand_crop": 1, "min_object_covered": [0.1, 0.5], "max_attempts": 50},
    ]  # fmt: skip
    for number, keywords in enumerate(options):
        made = image.CreateDetAugmenter((3, 40, 48), inter_method=1, **keywords)
        yield f"CreateDetAugmenter dumps {number}", [aug.dumps() for aug in made]
        for seed in range(6):
            seed_both(seed)
            src, label = wide, LABEL.copy()
            for aug in made:
                src, label = aug(src, label)
            yield f"CreateDetAugmenter {number} {seed}", src
            yield f"CreateDetAugmenter label {number} {seed}", np.array(label)


def write_records(mx, folder, rows, name="some"):
    """Write [(label, image bytes)] as a .rec with its .idx; return their paths."""
    idx, rec = str(folder / f"{name}.idx"), str(folder / f"{name}.rec")
    writer = mx.recordio.MXIndexedRecordIO(idx, rec, "w")
    for key, (label, blob) in enumerate(rows):
        header = mx.recordio.IRHeader(0, label, key, 0)
        writer.write_idx(key, mx.recordio.pack(header, blob))
    writer.close()
    return {"path_imgrec": rec, "path_imgidx": idx}


def epochs(it, count=3):
    """Return labels and pads of `count` epochs as JSON values, and all data in one array."""
    said, data = [], []
    for _ in range(count):
        for batch in it:
            said.append([batch.label[0].asnumpy().tolist(), batch.pad])
            data.append(batch.data[0].asnumpy())
        said.append("end")
        it.reset()
    return said, np.array(data)


FULL = {
    "resize": 30, "rand_crop": True, "rand_resize": True, "rand_mirror": True, "mean": True,
    "std": True, "brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1,
    "pca_noise": 0.1, "rand_gray": 0.3,
}  # fmt: skip
NAMES = ("wide.jpg", "tall.jpg", "gray.jpg", "small.png", "turned.jpg", "alpha.png", "tall.jpg")


def iterators(mx):
    """ImageIter over records and lists, in all modes."""
    folder = Path(tempfile.mkdtemp())
    some = write_records(mx, folder, [(float(n), read(name)) for n, name in enumerate(NAMES)])
    pairs = [([n, n + 0.5], read(name)) for n, name in enumerate(NAMES)]
    wide = write_records(mx, folder, pairs, "wide")
    listed = folder / "some.lst"
    listed.write_text("".join(f"{n * 3}\t{n}\t{name}\n" for n, name in enumerate(NAMES)))
    relabelled = folder / "relabelled.lst"
    relabelled.write_text("".join(f"{n}\t{n + 10}\tx\n" for n in range(len(NAMES))))
    rows = [[float(n), name] for n, name in enumerate(NAMES)]
    vectors = [[n, n + 1, name] for n, name in enumerate(NAMES)]
    configurations = {
        "sequential": {"path_imgrec": some["path_imgrec"]},
        "indexed": some,
        "shuffled": {**some, "shuffle": True},
        "part": {**some, "num_parts": 2, "part_index": 1},
        "list": {"path_imglist": str(listed), "path_root": str(HERE)},
        "imglist": {"imglist": rows, "path_root": str(HERE), "shuffle": True},
        "vectors": {"imglist": vectors, "path_root": str(HERE), "label_width": 2},
        "relabelled": {**some, "path_imglist": str(relabelled)},
        "wide labels": {**wide, "label_width": 2},
        "repeated labels": {**some, "label_width": 3},
    }
    for name, keywords in configurations.items():
        for mode in ("pad", "discard", "roll_over"):
            for options in ({}, FULL):
                seed_both(3)
                it = mx.image.ImageIter(
                    3, (3, 16, 18), last_batch_handle=mode, inter_method=1, **keywords, **options
                )
                said, data = epochs(it)
                case = f"ImageIter {name} {mode} {len(options)}"
                yield f"{case} labels", said
                yield case, data
    seed_both(1)
    it = mx.image.ImageIter(7, (3, 16, 18), inter_method=1, rand_crop=True, **some)
    it.next()
    it.reset()
    yield "ImageIter after a reset in the middle", it.next().data[0]
    yield "ImageIter draws left", [random.random(), float(np.random.rand())]  # noqa: NPY002


def det_iterators(mx):
    """ImageDetIter over records and lists."""
    folder = Path(tempfile.mkdtemp())
    boxes = [
        [1, 0.1, 0.2, 0.5, 0.6], [2, 0.4, 0.4, 0.9, 0.8], [3, 0.2, 0.1, 0.75, 0.55],
        [0, 0.5, 0.5, 0.5, 0.9],
    ]  # fmt: skip
    labels = [[2, 5, *(v for box in boxes[: 1 + n % 4] for v in box)] for n in range(7)]
    labels[4] = [4, 5, 0.0, 7.0, *boxes[1]]
    rows = [(label, read(name)) for label, name in zip(labels, NAMES, strict=True)]
    some = write_records(mx, folder, rows, "det")
    listed = [[*label, name] for label, name in zip(labels, NAMES, strict=True)]
    options = {
        "resize": 40, "rand_crop": 0.7, "rand_pad": 0.5, "rand_mirror": True, "mean": True,
        "std": True, "brightness": 0.3, "hue": 0.1, "pca_noise": 0.1, "rand_gray": 0.2,
    }  # fmt: skip
    for name, source in (
        ("sequential", {"path_imgrec": some["path_imgrec"]}),
        ("shuffled", {**some, "shuffle": True}),
        ("imglist", {"imglist": listed, "path_root": str(HERE)}),
    ):
        for mode in ("pad", "discard", "roll_over"):
            for more in ({}, options):
                seed_both(5)
                it = mx.image.ImageDetIter(
                    3, (3, 16, 18), last_batch_handle=mode, inter_method=1, **source, **more
                )
                case = f"ImageDetIter {name} {mode} {len(more)}"
                said, data = epochs(it)
                yield (
                    f"{case} labels",
                    [list(it.label_shape), [list(d[1]) for d in it.provide_label]],
                )
                parts = [np.array(entry[0]) for entry in said if entry != "end"]
                yield f"{case} label", np.array(parts, np.float32)
                yield f"{case} pads", [entry if entry == "end" else entry[1] for entry in said]
                yield case, data
    few = mx.image.ImageDetIter(1, (3, 16, 18), imglist=listed[:1], path_root=str(HERE))
    many = mx.image.ImageDetIter(1, (3, 16, 18), imglist=listed, path_root=str(HERE))
    few.sync_label_shape(many)
    yield "sync_label_shape", [list(few.label_shape), list(few.provide_label[0][1])]
    few.reshape(label_shape=(9, 5))
    yield "reshape", few.next().label[0]


def plain(value):
    """Return a numpy array, or what JSON makes of anything else."""
    if hasattr(value, "asnumpy"):
        return value.asnumpy()
    return value if isinstance(value, np.ndarray) else json.loads(json.dumps(value))


def results(mx):
    made = {}
    for part in (functions, augmenters, det_augmenters, iterators, det_iterators):
        for name, value in part(mx):
            assert name not in made, name
            made[name] = plain(value)
    return made


if __name__ == "__main__":
    import mxnet

    with Path(sys.argv[1]).open("wb") as file:
        pickle.dump(results(mxnet), file, protocol=4)
