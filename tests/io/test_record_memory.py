"""What compiled functions allocate for a batch is given back, whatever the plan."""

import pytest

import gpuio as mx
from support import boxes, making

PLANS = {
    "crop": {"rand_crop": True, "rand_mirror": True},
    "resized": {"resize": 24, "inter_method": 1},
    "cubic": {"resize": 24, "inter_method": 2},
    "area": {"resize": 20, "inter_method": 3},
    "rrc": {"random_resized_crop": True, "min_random_area": 0.3, "max_random_area": 1.0},
    "rotated": {"max_rotate_angle": 10, "max_shear_ratio": 0.1},
    "colour": {"random_h": 36, "random_s": 50, "random_l": 50, "pca_noise": 0.1, "contrast": 0.3},
    "boxes": {"rand_pad_prob": 0.5, "max_pad_scale": 2.0, "rand_crop_prob": 0.7},
}
IN_WORK = 32  # arrays of a batch that was being made when counting began
TAKING = {"cubic", "area", "rotated", "boxes"}  # plans whose kernels allocate


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("memory")
    blobs = [making.jpeg(making.photo(40, 48, seed)) for seed in range(8)]
    return {
        "images": making.write_rec(folder, blobs),
        "boxes": boxes.write(folder, 8, (40, 48)),
    }


def resident():
    """Return the process's resident memory, bytes."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


@pytest.mark.parametrize("plan", PLANS)
def test_what_a_batch_allocates_is_given_back(files, plan):
    runtime = pytest.importorskip("numba.core.runtime")
    kind, data = (
        (mx.io.ImageDetRecordIter, files["boxes"])
        if plan == "boxes"
        else (mx.io.ImageRecordIter, files["images"])
    )
    options = {"path_imgrec": data[0], "data_shape": (3, 16, 16), "batch_size": 4, "ctx": "cpu"}
    options |= {"preprocess_threads": 1, "verbose": False, **PLANS[plan]}
    batches = 0
    with kind(**options) as it:
        for _ in range(20):  # memory that is kept is there after these
            sum(1 for _ in it)
            it.reset()
        runtime._nrt_python.memsys_enable_stats()
        try:
            before, held = runtime.rtsys.get_allocation_stats(), resident()
            for _ in range(100):
                batches += sum(1 for _ in it)
                it.reset()
            it.close()  # no thread is in the middle of a batch
            after, grown = runtime.rtsys.get_allocation_stats(), resident() - held
        finally:
            runtime._nrt_python.memsys_disable_stats()
    assert batches == 200
    assert abs((after.alloc - before.alloc) - (after.free - before.free)) <= IN_WORK, (
        before,
        after,
    )
    assert abs((after.mi_alloc - before.mi_alloc) - (after.mi_free - before.mi_free)) <= IN_WORK
    assert (after.mi_alloc > before.mi_alloc) or plan not in TAKING
    assert grown < 8 << 20
