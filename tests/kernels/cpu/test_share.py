"""A share made by one call equals its rows made one by one, and what it leaves is known."""

import numpy as np
import pytest

from gpuio.kernels import normalise, pointers
from gpuio.kernels.cpu import augment, finish_32, job, share
from gpuio.kernels.image_header import HEADER
from gpuio.kernels.plan.layout import PLAN
from support.making import photo
from support.plans import random_plan

MEAN = np.array([123.68, 116.779, 103.939, 99.5], np.float32)
STD = np.array([58.393, 57.12, 57.375, 60.25], np.float32)
WINDOW = ("resize", "crop", "mirror", "gain")
COLOUR = (*WINDOW, "jitter", "hls", "pca")
H, W = 24, 30


def rows_of(rng, count, channels, steps, inters=(0, 1)):
    """Return `count` images and their plan."""
    images, plan = [], []
    for _ in range(count):
        height, width = map(int, rng.integers(H, 120, 2))
        row = random_plan(rng, height, width, H, W, steps, inters)
        images.append(photo(height, width, int(rng.integers(99)), channels))
        plan.append(row)
    return images, np.concatenate(plan)


def made(how, images, plan, channels, memory=None, *, timed=False):
    """Return (values, what became of each row) of one call for decoded images."""
    shape = (H, W, channels) if how.layout == "NHWC" else (channels, H, W)
    out = np.full((len(plan), *shape), 77, how.storage)
    blobs = np.array([image.ctypes.data for image in images], np.int64)
    sizes = np.array([image.size for image in images], np.int64)
    made_by, none = job.Job(how, channels, H, W), np.zeros(len(plan), HEADER)
    return out, made_by.make(
        plan,
        blobs,
        sizes,
        none,
        np.ones(len(plan), np.int64),
        out,
        memory or job.Memory(),
        timed=timed,
    )


def one_by_one(how, images, plan, channels):
    shape = (H, W, channels) if how.layout == "NHWC" else (channels, H, W)
    out = np.full((len(plan), *shape), 77, how.storage)
    scratch = augment.Scratch()
    for number, image in enumerate(images):
        augment.augment(image, plan[number : number + 1], how, out[number], scratch)
    return out


@pytest.mark.parametrize("dtype", normalise.DTYPES)
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("ratio", [False, True])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_every_output_is_written_as_row_by_row(dtype, layout, centred, ratio, channels):
    rng = np.random.default_rng(channels)
    mean_image = rng.uniform(0, 255, (channels, H, W)).astype(np.float32) if centred else None
    how = augment.Normalisation(
        dtype, MEAN[:channels], STD[:channels], 0.7, layout, mean_image, ratio=ratio
    )
    images, plan = rows_of(rng, 24, channels, WINDOW)
    out, done = made(how, images, plan, channels)
    want = one_by_one(how, images, plan, channels)
    assert (done == job.MADE).sum() >= 6
    for number in np.flatnonzero(done == job.MADE):
        assert np.array_equal(out[number], want[number])


@pytest.mark.parametrize("past", [False, True])
@pytest.mark.parametrize(("height", "width"), [(1, 16), (3, 48), (20, 112)])
def test_crops_of_images_are_written_without_a_window(height, width, past):
    rng = np.random.default_rng(width)
    how = augment.Normalisation("float32", MEAN[:3], STD[:3], 0.7)
    images, plan = [], np.zeros(24, PLAN)
    for number, row in enumerate(plan):
        h, w = height + int(rng.integers(3)), width + int(rng.integers(20))
        row["src_h"], row["src_w"], row["crop_h"], row["crop_w"] = h, w, height, width
        row["crop_y"], row["crop_x"] = rng.integers(h - height + 1), rng.integers(w - width + 1)
        row["mirror"], row["gain"], row["shift"] = number % 2, 1 + number / 9, number
        if number % 5 == 4:
            row["resize_h"], row["resize_w"] = h, w
        images.append(rng.integers(0, 256, (h, w, 3), np.uint8))
    plan[5]["jitter"] = 1  # this one has a window
    want = np.stack([np.zeros((3, height, width), np.float32)] * len(plan))
    for number, image in enumerate(images):
        augment.augment(image, plan[number : number + 1], how, want[number], augment.Scratch())
    memory = np.zeros(want.size + 16, np.float32)
    first = -memory.ctypes.data % 64 // 4
    out = memory[first : first + want.size].reshape(want.shape)
    blobs = np.array([image.ctypes.data for image in images], np.int64)
    sizes = np.array([image.size for image in images], np.int64)
    made_by, none = job.Job(how, 3, height, width), np.zeros(len(plan), HEADER)
    ones, memory = np.ones(len(plan), np.int64), job.Memory()
    done = made_by.make(plan, blobs, sizes, none, ones, out, memory, past=past)
    assert (done == job.MADE).all()
    assert made_by._words.view(share.JOB)["image"][0] != 0
    assert out.tobytes() == want.tobytes()


@pytest.mark.parametrize("channels", [3, 4])
def test_colour_steps_are_taken(channels):
    rng = np.random.default_rng(5)
    how = augment.Normalisation("float32", MEAN[:channels], STD[:channels], 1.0)
    images, plan = rows_of(rng, 40, channels, COLOUR)
    out, done = made(how, images, plan, channels)
    want = one_by_one(how, images, plan, channels)
    coloured = (plan["jitter"] | plan["hls_on"] | plan["pca_on"]) != 0
    assert ((done == job.MADE) & coloured).sum() > 10
    assert all(np.array_equal(out[n], want[n]) for n in np.flatnonzero(done == job.MADE))


def test_gray_images_with_colour_steps_are_left():
    rng = np.random.default_rng(6)
    images, plan = rows_of(rng, 30, 1, COLOUR)
    _, done = made(augment.Normalisation("uint8", MEAN[:1], STD[:1], 1.0), images, plan, 1)
    coloured = (plan["jitter"] | plan["hls_on"] | plan["pca_on"]) != 0
    assert (done[coloured] == job.LEFT).all()
    assert (done[~coloured] == job.MADE).any()


STEPS = ("orient", "resize", "warp", "pad", "fit", "crop", "mirror", "post_affine", "tone", "erase")


@pytest.mark.parametrize("seed", range(6))
def test_any_plan_is_left_or_made_as_row_by_row(seed):
    rng = np.random.default_rng(seed)
    how = augment.Normalisation("float32", MEAN[:3], STD[:3], 1.0)
    images, plan = rows_of(rng, 60, 3, STEPS, inters=(0, 1, 2, 3, 4))
    plan["pre_colour"][::17], plan["letterbox_h"][::19], plan["letterbox_w"][::19] = 1, 9, 9
    out, done = made(how, images, plan, 3)
    for number in np.flatnonzero(done == job.MADE):
        want = one_by_one(how, images[number : number + 1], plan[number : number + 1], 3)
        assert np.array_equal(out[number], want[0])


@pytest.mark.parametrize(
    "wrong",
    [
        {"crop_x": 500},
        {"crop_y": -1},
        {"crop_h": 0},
        {"src_h": 0},
        {"src_w": 10**5},
        {"crop_w": 2**31 - 1},
        {"resize_h": 7, "resize_w": 7},
    ],
)
def test_plans_that_do_not_fit_are_left(wrong):
    rng = np.random.default_rng(1)
    images, plan = rows_of(rng, 2, 3, ("mirror",))
    for name, value in wrong.items():
        plan[name][0] = value
    how = augment.Normalisation("uint8", MEAN[:3], STD[:3], 1.0)
    out, done = made(how, images, plan, 3)
    assert done.tolist() == [job.LEFT, job.MADE]
    assert (out[0] == 77).all()


def test_a_row_without_an_image_is_said_to_have_none():
    images, plan = rows_of(np.random.default_rng(1), 3, 3, ("mirror",))
    how = augment.Normalisation("uint8", MEAN[:3], STD[:3], 1.0)
    out = np.full((3, 3, H, W), 77, np.uint8)
    blobs = np.array([images[0].ctypes.data, 0, images[2].ctypes.data], np.int64)
    sizes = np.array([image.size for image in images], np.int64)
    none, full = np.zeros(3, HEADER), np.ones(3, np.int64)
    done = job.Job(how, 3, H, W).make(plan, blobs, sizes, none, full, out, job.Memory())
    assert done.tolist() == [job.MADE, job.NO_IMAGE, job.MADE]
    assert (out[1] == 77).all()


def test_memory_grows_with_the_images_and_is_used_again():
    rng, memory = np.random.default_rng(2), job.Memory()
    how = augment.Normalisation("float32", MEAN[:3], STD[:3], 1.0)
    for size in (40, 3000, 50):
        images = [photo(size, size)]
        plan = random_plan(rng, size, size, H, W, ())
        plan["resize_h"], plan["resize_w"], plan["resize_inter"] = 33, 41, 1
        plan["crop_y"], plan["crop_x"], plan["crop_h"], plan["crop_w"] = 2, 3, H, W
        out, done = made(how, images, plan, 3, memory)
        assert done.tolist() == [job.MADE]
        assert np.array_equal(out, one_by_one(how, images, plan, 3))


def test_what_is_wider_than_a_jpeg_can_be_costs_no_memory():
    rows = np.zeros(2, PLAN)
    rows["src_h"], rows["src_w"] = (1, 4), (4_194_304, 10)
    how = augment.Normalisation("float32", MEAN[:3], STD[:3], 1.0)
    memory, zero = job.Memory(), np.zeros(2, np.int64)
    needs = job.Job(how, 3, 8, 8).look_at(rows, np.zeros(2, HEADER), zero, zero, zero)
    memory.fit(needs, 8, 8, 3)
    assert memory.pixels.size == 3 * 4 * 10
    assert max(part.nbytes for part in memory.scratch.work) < 8 << 20


def test_a_function_of_another_signature_has_no_address():
    with pytest.raises(TypeError, match="finish_32 was compiled for"):
        pointers.address(finish_32.finish_32, share.FINISH[share.HALVES])


def test_what_is_timed_is_the_same_share_and_nothing_is_noted_where_it_is_not():
    rng, memory = np.random.default_rng(5), job.Memory()
    how = augment.Normalisation("float32", MEAN[:3], STD[:3], 1.0, "NCHW")
    images, plan = rows_of(rng, 20, 3, WINDOW)
    plain, done = made(how, images, plan, 3, memory)
    assert memory.spent.tolist() == [0, 0]
    timed, again = made(how, images, plan, 3, memory, timed=True)
    assert timed.tobytes() == plain.tobytes()
    assert again.tolist() == done.tolist()
    decoding, rest = memory.spent.tolist()  # the images came decoded
    assert 0 <= decoding < rest < 60e9
    made(how, images, plan, 3, memory)
    assert memory.spent.tolist() == [0, 0]


def test_of_short_images_one_in_eight_stands_for_all():
    memory = job.Memory()
    how = augment.Normalisation("float32", MEAN[:3], STD[:3], 1.0, "NCHW")
    small = photo(24, 30, 1, 3)
    row = np.zeros(1, PLAN)
    for name, value in {"src_h": 24, "src_w": 30, "crop_h": H, "crop_w": W}.items():
        row[name] = value
    row["gain"] = 1
    for count in (1, 8, 9):
        made(how, [small] * count, np.repeat(row, count), 3, memory, timed=True)
        assert memory.spent[1] > 0
        assert memory.spent[1] % 8 == 0
