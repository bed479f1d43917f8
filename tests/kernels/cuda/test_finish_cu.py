"""finish.cu: what it reads as words and reads once gives the bits of the CPU kernels."""

from pathlib import Path

import numpy as np
import pytest

from gpuio.kernels.cuda.launch_plan import JOB, LaunchPlan
from gpuio.kernels.cuda.stage import VIEW
from gpuio.kernels.plan.layout import AREA, BILINEAR, NEAREST, PLAN
from support import host_kernels
from support.guarded import needs_pages, said
from support.host_batches import execute, on_cpu, placed
from support.plans import plain


def how(channels, dtype="float16", layout="NCHW"):
    """Return a normalisation whose values tell channels and neighbouring bytes apart."""
    return {
        "dtype": dtype,
        "layout": layout,
        "mean": np.linspace(90.3, 130.7, channels).astype(np.float32),
        "std": np.linspace(50.1, 60.9, channels).astype(np.float32),
        "scale": 1.0,
    }


def crop(shape, inter=BILINEAR, **fields):
    """Return PLAN[1] that resizes a whole picture to the output."""
    row = plain(*shape)
    row["crop_inter"] = inter
    for name, value in fields.items():
        row[name] = value
    if fields.get("orient", 1) >= 5:
        row["crop_h"], row["crop_w"] = shape[1], shape[0]
    return row


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("orient", [1, 2, 3, 5])
@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (2, 1), (3, 2), (2, 5), (5, 7), (20, 41)])
def test_values_depend_on_no_byte_around_an_image_wherever_it_lies(channels, orient, shape):
    rng = np.random.default_rng(shape[0] * 100 + shape[1])
    picture = rng.integers(0, 256, (*shape, channels), dtype=np.uint8)
    for size in ((5, 9), (33, 40), shape):
        for mirror in (0, 1):
            row = crop(shape, orient=orient, mirror=mirror)
            rows = np.concatenate([row] * 16)
            theirs = on_cpu(row, [picture], (1, channels, *size), how(channels))[0]
            for around in (0, 255):
                places = [placed(rng, picture, around) for _ in rows]
                ours, work, _ = execute(rows, places, *size, channels, **how(channels))
                assert work.invalid == []
                for k, place in enumerate(places):
                    assert ours[k].tobytes() == theirs.tobytes(), (size, place.ctypes.data % 8)


GUARDED = """
import numpy as np
from support.host_batches import execute
from test_finish_cu import crop, how

for height in (1, 2, 3):
    for width in (1, 2, 3, 4, 5, 9):
        for channels in (1, 3, 4):
            nbytes = height * width * channels
            for start in (0, 1, 2, 3, PAGE - nbytes - 1, PAGE - nbytes):
                row = crop((height, width))
                picture = np.frombuffer(memory, np.uint8, nbytes, PAGE + start)
                picture = picture.reshape(height, width, channels)
                execute(row, [picture], 4, 7, channels, **how(channels))
print("no byte beside the page was read")
"""


@pytest.mark.slow
@needs_pages
def test_words_are_read_only_where_they_hold_a_byte_of_the_image():
    host_kernels.compiled()  # skips where there is no compiler
    assert said(GUARDED, 1, Path(__file__).parent) == "no byte beside the page was read"


@pytest.mark.parametrize("inter", [BILINEAR, NEAREST, AREA])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_lines_that_rows_share_are_read_once_and_no_other_is_taken_for_them(inter, layout):
    rng = np.random.default_rng(4)
    tall = 70  # parts of three tiles, so that warps begin inside and at the end
    for height in (1, 2, 3, 17, 35, 52, 69, 70, 71, 100, 139, 140, 141, 210, 301):
        for width in (1, 2, 30, 60, 95):
            picture = placed(rng, rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
            row = crop((height, width), inter)
            shape = (1, 3, tall, 30) if layout == "NCHW" else (1, tall, 30, 3)
            ours, _, _ = execute(row, [picture], tall, 30, 3, **how(3, layout=layout))
            theirs = on_cpu(row, [picture], shape, how(3, layout=layout))
            assert ours.tobytes() == theirs.tobytes(), (height, width)


def test_the_largest_and_smallest_sums_round_as_the_integers_do():
    for value in (0, 1, 127, 128, 254, 255):
        picture = np.full((3, 64, 3), value, np.uint8)
        picture[1] = 255 - value
        for tall in range(1, 130, 3):
            row = crop((3, 64))
            ours, _, _ = execute(row, [picture], tall, 8, 3, **how(3, "uint8"))
            theirs = on_cpu(row, [picture], ours.shape, how(3, "uint8"))
            assert ours.tobytes() == theirs.tobytes(), (value, tall)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, 1),
        ({"mirror": 1}, 1),
        ({"orient": 2}, 1),  # neighbours, the other way round
        ({"orient": 6}, 0),  # a row's neighbours lie below one another
        ({"src_w": 1, "crop_w": 1}, 0),
        ({"erase_h": 1, "erase_w": 1}, 0),
        ({"pca_on": 1}, 0),
        ({"hls_on": 1}, 0),
        ({"jitter": 1}, 0),
        ({"tone_count": 1, "tone_arg": 1}, 0),
    ],
)
def test_plain_are_the_rows_that_only_resample_and_normalise_neighbours(fields, expected):
    row = crop((40, 50), **fields)
    assert plainness(row) == expected
    if expected:
        mean_image = np.zeros((3, 24, 20), np.float32)
        assert plainness(row, mean_image=mean_image) == 0


def plainness(row, **more):
    """Return what the last step is told of a row."""
    address = np.array([1 << 20], np.uint64)
    work = LaunchPlan(row.astype(PLAN), address, channels=3, height=24, width=20, **how(3), **more)
    assert work.invalid == []
    base = 1 << 30
    host, launches = work.bind(base, 1 << 40, 1 << 41)
    at = int(launches[-1].args[0]) - base
    views = int(host[at : at + JOB.itemsize].view(JOB)["views"][0]) - base
    return int(host[views : views + VIEW.itemsize].view(VIEW)["plain"][0])
