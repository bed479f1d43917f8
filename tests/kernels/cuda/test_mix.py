"""mix.cu, compiled for the host, mixes as the CPU backend does, to the bit."""

import numpy as np
import pytest

from gpuio.backend import mixing
from gpuio.kernels.cuda.mix import Mixing, cycles
from support import host_kernels


def permutation(rng, rows):
    """A permutation in which some rows keep their place."""
    partner = np.arange(rows)
    some = rng.permutation(rows)[: rng.integers(0, rows + 1)]
    partner[some] = some[rng.permutation(len(some))]
    return partner


def test_cycles_hold_every_row_that_moves_once_and_follow_the_partners():
    rng = np.random.default_rng(0)
    for rows in (1, 2, 3, 8, 40):
        for _ in range(20):
            partner = permutation(rng, rows)
            order = cycles(partner)
            found = np.where(order < 0, ~order, order)
            assert sorted(found) == np.flatnonzero(partner != np.arange(rows)).tolist()
            for at, row in enumerate(found):
                last = at + 1 == len(order) or order[at + 1] < 0
                first = ~order[: at + 1][order[: at + 1] < 0][-1]
                assert partner[row] == (first if last else found[at + 1])


def mixed(data, dtype, partner, share, box):
    """Mix a copy by mix.cu."""
    made = data.copy()
    work = Mixing(made.shape, dtype, partner, share, box)
    tables = np.empty(work.table_bytes + 16, np.uint8)
    start = -tables.ctypes.data % 16
    host, launches = work.bind(tables.ctypes.data + start, made.ctypes.data)
    tables[start : start + work.table_bytes] = host
    for launch in launches:
        host_kernels.launch(*launch)
    return made


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("layout", [None, "NCHW", "NHWC"])
def test_random_mixes_are_the_cpus(dtype, layout):
    rng = np.random.default_rng(1)
    stored = np.uint16 if dtype == "bfloat16" else dtype
    for number in range(30):
        rows, channels, height, width = rng.integers(1, [9, 5, 12, 40])
        shape = (rows, height, width, channels) if layout == "NHWC" else (
            rows, channels, height, width)  # fmt: skip
        values = rng.normal(0, 10.0 ** rng.integers(-7, 5), shape).astype(np.float32)
        if dtype == "bfloat16":
            data = (values.view(np.uint32) >> 16).astype(np.uint16)
        else:
            data = values.clip(-6e4, 6e4).astype(stored)
        partner, share = permutation(rng, rows), float(rng.random())
        box = None
        if layout is not None:
            h, w = rng.integers(0 if number else 1, [height + 1, width + 1])
            y, x = rng.integers(0, [height - h + 1, width - w + 1])
            box = (int(y), int(x), int(h), int(w), layout)
        made, expected = mixed(data, dtype, partner, share, box), data.copy()
        if box is not None:
            mixing.paste(expected, partner, box[:4], layout)
        elif dtype == "bfloat16":
            expected = of_bfloat16(expected, partner, share)
        else:
            mixing.weigh(expected, partner, share)
        assert made.tobytes() == expected.tobytes(), (number, box)


def of_bfloat16(data, partner, share):
    """What `mixing.weigh` does, in numbers that NumPy does not have."""
    old = (data.astype(np.uint32) << 16).view(np.float32)
    own, rest = np.float32(share), np.float32(1) - np.float32(share)
    bits = (old * own + old[partner] * rest).view(np.uint32)
    made = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    return np.where((partner == np.arange(len(data)))[:, None, None, None], data, made)


def test_a_box_of_nothing_launches_nothing():
    data = np.zeros((4, 3, 5, 6), np.float32)
    for box in ((0, 0, 0, 6, "NCHW"), (2, 0, 3, 0, "NCHW")):
        work = Mixing(data.shape, "float32", np.array([1, 0, 3, 2]), 0.5, box)
        assert work.bind(0, 0)[1] == []
    assert Mixing(data.shape, "float32", np.arange(4), 0.5, None).bind(0, 0)[1] == []
