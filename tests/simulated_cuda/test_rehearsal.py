"""ImageRecordIter through CuPy on the simulated GPU: late work, many threads, nothing left behind.

GPUIO_SIMULATED_CUDA=1 python -m pytest -m "gpu or simulated" tests/backend tests/simulated_cuda

GPUIO_REHEARSAL_SEED=n draws other delays, orders and pictures; the run's first lines print it.
"""

import ctypes
import gc
import os
import time

import numpy as np
import pytest
from simulated_cuda import install

from gpuio import recordio
from gpuio.backend import array_backend
from gpuio.io import ImageRecordIter
from gpuio.nd import asnumpy
from support.pictures import jpeg, picture, spoilt

pytestmark = [
    pytest.mark.simulated,
    pytest.mark.skipif(
        os.environ.get("GPUIO_SIMULATED_CUDA") != "1", reason="make rehearsal runs this"
    ),
]
COUNT, ROWS = 40, 5
SEED = int(os.environ.get("GPUIO_REHEARSAL_SEED", "0"))
BASE = {
    "data_shape": (3, 48, 56),
    "batch_size": ROWS,
    "seed_aug": 3 + SEED,
    "seed": SEED,
    "verbose": False,
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Forty records: baseline JPEGs, some that only OpenCV decodes, and three damaged ones."""
    folder = tmp_path_factory.mktemp("rehearsal")
    rec, idx = str(folder / "some.rec"), str(folder / "some.idx")
    with recordio.MXIndexedRecordIO(idx, rec, "w") as writer:
        for key in range(COUNT):
            pixels = picture(70 + 3 * (key % 11), 90 - key % 9, seed=key + COUNT * (SEED % 1000))
            blob = jpeg(pixels, "4:1:1" if key % 9 == 4 else "4:2:0")
            if key % 13 == 7:
                blob = spoilt(blob) if key % 2 else blob[:-300]
            header = recordio.IRHeader(0, float(key % 4), key, 0)
            writer.write_idx(key, recordio.pack(header, blob))
    return {"path_imgrec": rec, "path_imgidx": idx, "on_error": "zero"}


@pytest.fixture(autouse=True)
def late(monkeypatch):
    """Where decoding is divided, let the smaller half be the host's; the device works late."""
    monkeypatch.setattr("gpuio.backend.gpu.division.HOST_PIXELS", 7200)
    yield
    install.set_up(200)


def epochs(files, **options):
    made = []
    with ImageRecordIter(**BASE, **files, **options) as it:
        for _ in range(2):
            made += [(asnumpy(b.data[0]), asnumpy(b.label[0]), b.pad) for b in it]
            it.reset()
    return made


JOBS = [
    {"resize": 60, "rand_crop": True, "rand_mirror": True, "shuffle": True},
    {"random_resized_crop": True, "min_random_area": 0.3, "dtype": "float16"},
    {"max_rotate_angle": 20, "pad": 2, "contrast": 0.4, "pca_noise": 5, "random_h": 9},
    {"resize": 60, "num_classes": 4, "mixup_alpha": 0.4, "cutmix_alpha": 0.7},
    {"resize": 60, "dtype": "uint8", "layout": "NHWC", "inter_method": 4},
    {"resize": 60, "auto_augment": "randaugment", "auto_augment_num_ops": 4, "erase_prob": 0.5},
    {"random_resized_crop": True, "cache": "device", "cache_size": 400_000},  # half of them
]


@pytest.mark.parametrize("turn", range(4))
@pytest.mark.parametrize("job", range(len(JOBS)), ids=["-".join(job) for job in JOBS])
def test_batches_are_the_cpus_however_late_the_device_works(files, job, turn):
    """Two seeds that follow each other give each engine each job at each delay."""
    decoder = ("dali", "nvimgcodec")[(job + turn + SEED) % 2]
    install.set_up(delay_us=(0, 300, 2000, 9000)[turn], seed=1 + turn + 4 * (SEED % 100_000))
    settings = {"preprocess_threads": turn + 1, "prefetch_buffer": 1 + 2 * (turn % 3), **JOBS[job]}
    divided = {"decoder": decoder, "decoders": 1 + turn % 2}
    divided["host_share"] = (0, 0.4, "auto", 1)[(turn + SEED) % 4]
    ours = epochs(files, ctx="gpu", **divided, **settings)
    for name in ("cache", "cache_size"):
        settings.pop(name, None)
    theirs = epochs(files, ctx="cpu", **settings)
    assert len(ours) == len(theirs) == 2 * COUNT // ROWS
    for got, wanted in zip(ours, theirs, strict=True):
        assert got[0].dtype == wanted[0].dtype
        assert got[0].tobytes() == wanted[0].tobytes()
        assert got[1].tobytes() == wanted[1].tobytes()


def test_a_consumer_on_a_stream_of_its_own_sees_each_batch_complete(files):
    """It copies late, on its own stream, and lets go at once."""
    import cupy

    options = {**BASE, **files, "resize": 60, "ctx": "gpu", "decoder": "nvimgcodec"}
    options["host_share"] = 0.3
    install.set_up(delay_us=4000, seed=1 + SEED % 100_000)
    consumer, taken = cupy.cuda.Stream(non_blocking=True), []
    with ImageRecordIter(**options) as it:
        for batch in it:
            with consumer:
                array = cupy.from_dlpack(batch.data[0])
                taken.append(cupy.empty(array.shape, array.dtype))
                taken[-1].data.copy_from_device_async(array.data, array.nbytes)
                del array
            del batch
        consumer.synchronize()
        it.reset()
        expected = [asnumpy(batch.data[0]) for batch in it]
    assert np.array_equal([each.get() for each in taken], expected)


def test_iterators_left_anywhere_leave_no_memory_stream_or_event(files):
    """CuPy's pools are emptied first: what they keep is what was held at once, and that varies.

    So do the bytes of a block, which a pool hands on to smaller arrays: blocks are counted.
    """
    import cupy

    def counted():
        gc.collect()
        cupy.get_default_memory_pool().free_all_blocks()
        cupy.get_default_pinned_memory_pool().free_all_blocks()
        return install.counts()

    def use(number):
        it = ImageRecordIter(
            **BASE,
            **files,
            resize=60,
            ctx="gpu",
            decoder=("dali", "nvimgcodec")[number % 2],
            host_share=(0, 0.5)[number // 2 % 2],
        )
        held = [it.next() for _ in range(number % 5)]
        if number % 3 == 0:
            it.close()
        return held[-1:]

    array_backend.cache_clear()  # what single arrays were put on the device with stays open
    levels, held = [], None
    for number in range(30):
        held = use(number)
        if number % 10 == 9:
            levels.append(counted())
    assert levels[2].blocks <= levels[1].blocks
    assert levels[2].pinned <= levels[1].pinned
    del held
    left = counted()
    assert (left.blocks, left.pinned, left.events) == (0, 0, 0)
    assert left.streams == 1  # the default stream


@pytest.mark.parametrize("decoder", ["dali", "nvimgcodec"])
def test_any_amount_of_memory_gives_right_batches_or_an_error_with_sizes(
    files, monkeypatch, decoder
):
    import cupy

    from gpuio.backend.gpu.backend import GpuBackend
    from gpuio.errors import BackendError

    halves, whole = [], GpuBackend._make_halves

    def counted(self, *args):
        made = whole(self, *args)
        halves.append(room)
        return made

    monkeypatch.setattr(GpuBackend, "_make_halves", counted)
    wanted = [data for data, _, _ in epochs(files, resize=60, ctx="cpu")][: COUNT // ROWS]
    options = {"resize": 60, "ctx": "gpu", "decoder": decoder, "preprocess_threads": 1}
    options["host_share"] = 0.001  # small images are the host's
    refused, made = [], []
    for room in [*range(100_000, 1_000_000, 120_000), 2 << 20]:
        gc.collect()
        cupy.get_default_memory_pool().free_all_blocks()
        install.set_up(delay_us=300, room=room)
        try:
            with ImageRecordIter(**BASE, **files, **options, prefetch_buffer=1) as it:
                got = [asnumpy(batch.data[0]) for batch in it]
        except BackendError as error:
            refused.append((room, str(error)))
        else:
            assert np.array_equal(got, wanted)
            made.append(room)
    # how many batches are held at a time, and so what fits, depends on who is faster
    assert refused[0][0] == 100_000
    for room, message in refused:
        assert f"of {room / 2**20:,.0f} MiB free" in message
    assert made[-1] == 2 << 20
    assert set(halves) & set(made)


@pytest.mark.parametrize("decoder", ["dali", "nvimgcodec"])
def test_the_second_gpu_does_all_the_work_of_its_iterator_and_the_first_one_none(files, decoder):
    """The thread that opens, reads and closes has GPU 0 current, as every thread at its start."""
    import cupy

    install.set_up(delay_us=2000, seed=5)
    options = {"resize": 60, "rand_crop": True, "preprocess_threads": 2}
    theirs = epochs(files, ctx="cpu", **options)
    options["host_share"] = "auto"
    gc.collect()
    cupy.get_default_memory_pool().free_all_blocks()
    before = install.counts(0)
    ours = epochs(files, ctx="gpu", device_id=1, decoder=decoder, **options)
    for got, wanted in zip(ours, theirs, strict=True):
        assert got[0].tobytes() == wanted[0].tobytes()
        assert got[1].tobytes() == wanted[1].tobytes()
    after = install.counts(0)
    assert (after.blocks, after.streams, after.events) == (
        before.blocks,
        before.streams,
        before.events,
    )
    assert cupy.cuda.runtime.getDevice() == 0


@pytest.mark.parametrize("handle", [1, 2])
def test_a_default_stream_of_dlpack_is_that_of_the_arrays_gpu(handle):
    """PyTorch passes handle 1 and sets no device."""
    import cupy

    from gpuio.backend.gpu.backend import GpuBackend

    backend = GpuBackend(1, decoder="nvimgcodec")
    values = np.arange(5000, dtype=np.float32)
    install.set_up(delay_us=9000)
    for _ in range(4):
        with cupy.cuda.Device(1):
            copied = cupy.empty(values.shape, values.dtype)
        made = backend.allocate(values.shape, values.dtype.name)
        with backend._turn(made) as slot:
            backend._upload(slot, made.data.ptr, values.view(np.uint8))
        made._lease.hand_to(handle)
        with cupy.cuda.Device(1):
            stream = cupy.cuda.Stream.null if handle == 1 else cupy.cuda.Stream.ptds
            copied.data.copy_from_device_async(made.data, made.nbytes, stream)
            made.data.memset_async(0xEE, made.nbytes, stream)
            stream.synchronize()
            assert np.array_equal(copied.get(), values)
        del made
    backend.close()


def test_tensors_are_taken_over_where_another_gpu_is_current():
    import cupy

    import gpuio as mx

    values = np.arange(60, dtype=np.float32)
    array = mx.nd.array(values, mx.gpu(1))
    capsule = array.__dlpack__(stream=1)
    assert cupy.cuda.runtime.getDevice() == 0
    del capsule
    taken = cupy.from_dlpack(array)
    assert taken.device.id == 1
    assert np.array_equal(taken.get(), values)


def test_waiting_for_a_batch_and_for_a_slot_leaves_the_cores_to_the_decoders():
    """A loop that a GPU bounds waits all the time; nvJPEG's threads need the cores then."""
    from gpuio.backend.gpu.backend import GpuBackend

    backend, spin = GpuBackend(0, decoder="nvimgcodec"), install.simulator().sim_spin
    install.set_up(0)
    try:
        for wait in ("batch", "slot"):
            made = backend.allocate((64,), "uint8")
            with backend._turn(made) as slot:
                for _ in range(4):
                    spin(ctypes.c_void_p(slot.stream.ptr), ctypes.c_uint64(100_000_000))  # 50 ms
            wall, cpu = time.perf_counter(), time.thread_time()
            if wait == "batch":
                backend.fence(made)
            else:
                slot.read_done.wait()
            assert time.perf_counter() - wall > 0.15
            assert time.thread_time() - cpu < 0.02
    finally:
        backend.close()
