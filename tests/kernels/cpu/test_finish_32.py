"""Values in float32, at any place of memory, in the caches and past them."""

import platform
import re

import numpy as np
import pytest

from gpuio.kernels import jit, normalise
from gpuio.kernels.cpu.finish_32 import finish_32
from gpuio.kernels.cpu.finish_32_pixels import finish_32_pixels
from gpuio.kernels.cpu.image_32 import image_32

SIZES = [(1, 1), (1, 15), (3, 5), (4, 4), (7, 9), (16, 16), (11, 31)]


@pytest.mark.parametrize("C", [1, 3, 4])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("past", [False, True])
@pytest.mark.parametrize("start", [0, 1, 6, 15])  # float32 behind the beginning of a cache line
def test_every_value_is_written_and_no_other(C, layout, past, start):
    rng = np.random.default_rng(C)
    terms = normalise.terms(rng.uniform(0, 255, C), rng.uniform(1, 80, C), 0.7, 1.2, 3.0)
    mean, factor, shift = terms[:, :, np.newaxis, np.newaxis]
    terms = np.concatenate([terms, np.full((3, 4 - C), np.nan, np.float32)], axis=1)
    for H, W in SIZES:
        window = rng.integers(0, 2**32, H * W, np.uint32)
        pixels = window.view(np.uint8).reshape(H, W, 4)[..., [2, 1, 0, 3] if C > 1 else [0]]
        pixels = pixels[..., :C].transpose(2, 0, 1).astype(np.float32)
        want = (pixels - mean) * factor + shift
        finish, strides = finish_32, (H * W, W, 1)
        if layout == "NHWC":
            want = want.transpose(1, 2, 0)
            finish, strides = finish_32_pixels, (1, W * C, C)
        memory = np.full(C * H * W + 64, -1, np.float32)
        first = -memory.ctypes.data % 64 // 4 + start
        finish(window, terms, past, memory[first : first + C * H * W], C, H, W, *strides)
        assert memory[first : first + C * H * W].tobytes() == want.tobytes()
        assert (memory[:first] == -1).all()
        assert (memory[first + C * H * W :] == -1).all()


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="names of instructions")
@pytest.mark.parametrize("finish", [finish_32, finish_32_pixels, image_32])
def test_the_compiler_has_kept_the_stores_past_the_caches_and_what_completes_them(finish):
    ((signature, _),) = finish.overloads.items()
    fresh = jit._dispatcher(finish.py_func, allocates=False)  # what was kept cannot be looked into
    fresh.compile(signature)
    (assembly,) = fresh.inspect_asm().values()
    assert "movntp" in assembly
    # another thread's loads may overtake such stores but for one of these
    assert re.search(r"^\s*([ms]fence|lock\s)", assembly, re.MULTILINE)
