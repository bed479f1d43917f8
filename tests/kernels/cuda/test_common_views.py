"""The compiled pass over common rows asks for what NumPy asks for, bit for bit."""

import numpy as np
import pytest
from numpy.lib.recfunctions import repack_fields

from gpuio.kernels import normalise
from gpuio.kernels.cuda.launch_plan import LaunchPlan
from gpuio.kernels.cuda.stage import VIEW
from gpuio.kernels.plan.layout import PLAN
from support.plans import DETECTION_STEPS, EXTRAS, STEPS, plain, random_plan

COMMON = {"resize", "crop", "hls", "pca", "mirror", "orient", "gain", "erase"}
PLAIN = {"crop", "mirror", "orient", "gain"}  # one resize at most
TABLES, SCRATCH, OUT = 1 << 40, 1 << 41, 1 << 42


def output(rng, **fixed):
    """Draw what images are turned into."""
    channels = int(rng.choice([1, 3, 4]))
    how = {"channels": channels, "height": int(rng.integers(1, 40))}
    how |= {"width": int(rng.integers(1, 40)), "dtype": str(rng.choice(normalise.DTYPES))}
    how |= {"layout": str(rng.choice(["NCHW", "NHWC"])), "ratio": bool(rng.random() < 0.3)} | fixed
    channels = how["channels"]
    how |= {"mean": rng.uniform(0, 255, channels), "std": rng.uniform(0.3, 60, channels)}
    how["scale"] = float(rng.uniform(0.5, 2))
    if rng.random() < 0.2:
        how["mean_image"] = rng.uniform(0, 255, (channels, how["height"], how["width"]))
    return how


def drawn(rng, count, steps, inters, how):
    """Draw plans, some of whose crops are of the output's size."""
    shapes = [tuple(map(int, rng.integers(1, 70, 2))) for _ in range(count)]
    rows = [random_plan(rng, *s, how["height"], how["width"], steps, inters) for s in shapes]
    addresses = rng.integers(1, 1 << 40, count).astype(np.uint64)
    addresses[rng.random(count) < 0.05] = 0
    return np.concatenate(rows), addresses, rng.random(count) < 0.5


def halved(rng, how):
    """Return PLAN[1] of an image that its resize halves."""
    row = plain(2 * how["height"], 2 * how["width"])
    row["crop_inter"] = rng.integers(0, 5)
    if rng.random() < 0.5:
        row["resize_h"], row["resize_w"] = how["height"], how["width"]
        row["resize_inter"], row["crop_h"], row["crop_w"] = (
            row["crop_inter"],
            how["height"],
            how["width"],
        )
    return row


def asked(work, memory=None):
    """Return all that a batch asks for; between the views' fields lies what lay there."""
    host, launches = work.bind(TABLES, SCRATCH, OUT, memory)
    views = work._starts[-1]
    count = work._parts[-1].nbytes
    fields = repack_fields(host[views : views + count].view(VIEW)).tobytes()
    rest = host[:views].tobytes() + host[views + count :].tobytes()
    return fields, rest, launches, work.table_bytes, work.scratch_bytes, work.invalid


def both(monkeypatch, rows, addresses, swapped, how):
    """Return whether the compiled pass took a batch; what it, and NumPy alone, ask for."""
    found = []
    for common in (True, False):
        with monkeypatch.context() as patch:
            if not common:
                patch.setattr(LaunchPlan, "_make_common", lambda *_: False)
            work = LaunchPlan(rows, addresses, swapped=swapped, **how)
        found.append((work._common, asked(work)))
    (taken, ours), (other, theirs) = found
    assert not other
    return taken, ours, theirs


@pytest.mark.parametrize(
    ("steps", "inters", "count", "taken"),
    [
        (PLAIN, (0, 1), 60, 60),
        (PLAIN | {"resize"}, (0, 1), 20, 0),
        (COMMON, (0, 1, 2, 3), 20, 0),
        ({*STEPS, *EXTRAS, *DETECTION_STEPS}, (0, 1, 2, 3, 4), 15, 0),
    ],
    ids=["one crop", "one resize", "common", "everything"],
)
def test_batches_of_random_plans_are_those_of_numpy(monkeypatch, steps, inters, count, taken):
    rng = np.random.default_rng(count)
    ways = []
    for _ in range(count):
        how = output(rng)
        rows, addresses, swapped = drawn(rng, int(rng.integers(1, 60)), steps, inters, how)
        took, ours, theirs = both(monkeypatch, rows, addresses, swapped, how)
        assert ours == theirs, how
        ways.append(took)
    assert sum(ways) >= taken


def test_each_row_that_is_common_is_made_and_as_by_numpy(monkeypatch):
    rng = np.random.default_rng(1)
    taken = 0
    for step in ("crop", "resize") * 120:
        how = output(rng)
        rows, addresses, swapped = drawn(rng, 1, COMMON - {step}, (0, 1, 3), how)
        if rng.random() < 0.2:
            rows = halved(rng, how)
        took, ours, theirs = both(monkeypatch, rows, addresses, swapped, how)
        assert ours == theirs, (rows, how)
        taken += took
    assert taken > 120


INTEGERS = [name for name in PLAN.names if PLAN[name].base == np.int32]


@pytest.mark.parametrize("name", INTEGERS)
def test_a_row_that_one_number_makes_uncommon_or_wrong_is_as_numpy_says(monkeypatch, name):
    rng = np.random.default_rng(INTEGERS.index(name))
    values = (-(2**31), -1, 0, 1, 2, 5, 6, 8, 9, 10, 21, 2**31 - 1)
    for place, value in enumerate(values * (3 if name == "resize_inter" else 1)):
        how = output(rng, height=10, width=9)
        rows = plain(20, 18)
        rows["crop_h"], rows["crop_w"], rows["crop_inter"] = (10, 9, 1)
        resized = ((0, 0), (12, 20), (20, 18))[(place + place // len(values)) % 3]
        rows["resize_h"], rows["resize_w"], rows["resize_inter"] = *resized, 1
        rows["crop_y"], rows["erase_h"], rows["erase_w"], rows["tone_op"] = 2, 3, 4, 1
        rows["letterbox_w"] = rows["expand_w"] = rows["warp_w"] = rows["upscale1_w"] = 30
        rows["upscale2_w"] = 30
        rows = np.concatenate([rows, rows, rows])
        rows[name][1] = value
        addresses = np.array([4096, 2048 * (value != 8), 8192], np.uint64)
        _, ours, theirs = both(monkeypatch, rows, addresses, True, how)
        assert ours == theirs, (value, how)


def test_rows_that_cannot_be_written_are_read(monkeypatch):
    rows, addresses = np.concatenate([plain(12, 12)] * 2), np.array([512, 1024], np.uint64)
    rows.setflags(write=False)
    addresses.setflags(write=False)
    how = output(np.random.default_rng(0), height=12, width=12)
    taken, ours, theirs = both(monkeypatch, rows, addresses, False, how)
    assert taken
    assert ours == theirs


def test_bound_twice_it_is_at_home_at_either_place_and_in_memory_that_was_used():
    rng = np.random.default_rng(4)
    how = output(rng, height=12, width=12)
    for steps in (PLAIN, {*STEPS, *DETECTION_STEPS}):
        rows, addresses, _ = drawn(rng, 9, steps, (0, 1, 2, 4), how)
        work = LaunchPlan(rows, addresses, **how)
        first = asked(work)
        work.bind(1 << 12, 1 << 13, 1 << 14)
        used = np.full(work.table_bytes, 0xA5, np.uint8)
        assert work.bind(TABLES, SCRATCH, OUT, used)[0] is used
        assert asked(work, used) == first
