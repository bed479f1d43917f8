"""host_share="auto" in real time, beside fixed shares: engines and host threads of known rates.

Neither decodes. A call takes the time that its work takes at its side's rate, asleep, so that other
work on the machine's cores hardly disturbs; what a call slept too long the next one sleeps less.
`-s` shows what was measured.

The share that was found is held to 5 % of the best, worked out from the rates; times have wider
bounds, a machine may be busy. On a device made of host memory, a few shares; in the rehearsal on
the simulated GPU, a table of them.
"""

import queue
import statistics
import time

import numpy as np
import pytest

from gpuio import recordio
from gpuio.backend import open_backend
from gpuio.backend.choose import CPU_ONLY
from gpuio.backend.gpu.backend import GpuBackend
from gpuio.backend.gpu.division import work_of
from gpuio.backend.gpu.host import HostDecoder
from gpuio.decode.engine import Decoded
from gpuio.io import ImageRecordIter
from support.clock import undisturbed
from support.fake_device import FakeDevice
from support.pictures import jpeg, picture
from support.places import SIMULATED

pytestmark = pytest.mark.simulated  # there, too
ROWS, BATCHES, KINDS = 32, 16, 16
ENGINES, THREADS = 2, 2
BATCH_S = 0.04 if SIMULATED else 0.024  # of a batch, if both sides are busy all of the time
ROUNDS = 10  # at most: other work on the machine spoils one or two
WARM, TIMED = 5, 16  # batches
TIMES, AROUND, NEAR = (2,), (-0.1, 0, 0.1), 1.3
if SIMULATED:
    WARM, TIMED, NEAR = 6, 24, 1.1
    TIMES, AROUND = (0.25, 0.5, 1, 2, 4), (-0.2, -0.1, 0, 0.1, 0.2)
BASE = {
    "data_shape": (3, 8, 8),
    "batch_size": ROWS,
    "dtype": "uint8",
    "shuffle": True,
    "ctx": "gpu",
    "verbose": False,
    "decoders": ENGINES,
    "preprocess_threads": THREADS,
}


class Pace:
    """What does one call at a time, at a known rate."""

    def __init__(self, work_per_s):
        self.work_per_s, self._late = work_per_s, 0.0

    def take(self, begun, lengths, sizes):
        """Sleep until the work that was begun then is done."""
        work = float(work_of(lengths, np.prod(sizes, axis=1, dtype=np.int64)).sum())
        due = begun + work / self.work_per_s - self._late
        time.sleep(max(0.0, due - time.perf_counter()))
        self._late = time.perf_counter() - due


class Engine:
    """Takes its time, and writes nothing."""

    name, uses_arena = "paced", True

    def __init__(self, work_per_s):
        self.pace = Pace(work_per_s)

    def warm_up(self, blob, rows):
        pass

    def decode(self, blobs, sizes, channels, places, stream):
        begun = time.perf_counter()
        addresses = np.array([place.address for place in places], np.uint64)
        self.pace.take(begun, np.array([len(blob) for blob in blobs]), sizes)
        return Decoded(addresses, {}, keep=places)

    def close(self):
        pass


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Records of small pictures, and the work of a batch of them."""
    folder = tmp_path_factory.mktemp("shares")
    rec, idx = str(folder / "some.rec"), str(folder / "some.idx")
    sides = [(50 + k % 13, 60 - k % 7) for k in range(KINDS)]
    blobs = [jpeg(picture(*side, seed=k)) for k, side in enumerate(sides)]
    with recordio.MXIndexedRecordIO(idx, rec, "w") as writer:
        for key in range(ROWS * BATCHES):
            header = recordio.IRHeader(0, 0.0, key, 0)
            writer.write_idx(key, recordio.pack(header, blobs[key % KINDS]))
    lengths = np.array([len(blob) for blob in blobs])
    work = work_of(lengths, np.prod(sides, axis=1)).mean() * ROWS
    return {"path_imgrec": rec, "path_imgidx": idx}, float(work)


@pytest.fixture
def pace(files, monkeypatch):
    """Return what sets the rates: all engines together are so many times as fast as all threads."""
    if SIMULATED:
        from simulated_cuda import install

        from gpuio.backend.gpu.cuda import CudaDevice

        install.set_up(0)
    length = files[1] / ROWS / 10  # bytes of an image, about
    monkeypatch.setattr("gpuio.backend.gpu.routing._BYTES_A_PIECE", int(2 * length))

    def set_rates(times):
        both = files[1] / BATCH_S
        engine, cores = both * times / (1 + times) / ENGINES, queue.SimpleQueue()
        for _ in range(THREADS):
            cores.put(Pace(both / (1 + times) / THREADS))

        def decode(self, records, rows, sizes, *_):
            core = cores.get()  # a thread more than cores waits for one
            core.take(time.perf_counter(), records.length[rows], sizes)
            cores.put(core)
            return {}

        def opened(name, device_id=0, **settings):
            if name != "gpu":
                return open_backend(name, device_id, **settings)
            return GpuBackend(
                device_id,
                device=CudaDevice(device_id) if SIMULATED else FakeDevice(),
                open_engine=lambda: Engine(engine),
                host_pixels=0,
                **{name: settings[name] for name in settings if name not in CPU_ONLY},
            )

        monkeypatch.setattr(HostDecoder, "decode", decode)
        monkeypatch.setattr("gpuio.pipeline.opening.open_backend", opened)

    yield set_rates
    if SIMULATED:
        install.set_up(200)


def run(files, share):
    """Return the milliseconds of a batch, and the stats."""
    arrived = []
    with ImageRecordIter(**BASE, **files, host_share=share) as it:
        while len(arrived) < WARM + TIMED:
            for _ in it:
                arrived.append(time.perf_counter())
                if len(arrived) == WARM + TIMED:
                    break
            else:
                it.reset()
        # engines work side by side, so batches come in groups: the slope, not the ends
        return 1000 * np.polyfit(np.arange(TIMED), arrived[WARM:], 1)[0], it.stats()


@pytest.mark.slow
@pytest.mark.parametrize("times", TIMES)
def test_auto_is_as_fast_as_the_best_fixed_share(files, pace, times):
    pace(times)
    paths, _ = files
    both = 1 / (1 + times)  # the share at which both sides are busy all of the time
    fixed = [both + each for each in AROUND if 0 <= both + each <= 1]
    took = {share: [] for share in (*fixed, "auto")}

    def measure():
        for share, runs in took.items():
            made, stats = run(paths, share)
            runs.append(made)
        medians = {share: statistics.median(runs) for share, runs in took.items()}
        share = stats["host_bytes"] / (stats["host_bytes"] + stats["engine_bytes"])
        print(f"\nengines {times:g} times as fast as the threads; ms per batch:")  # noqa: T201
        for name, ms in medians.items():
            print(f"  {name if name == 'auto' else format(name, '.2f'):<4}  {ms:6.1f}")  # noqa: T201
        print(f"  found {stats['host_share']}; of the bytes the host's {share:.3f}")  # noqa: T201
        # what the share that was found costs at these rates, of the best; then what it took
        found = stats["host_share"]
        assert max((1 - found) * (1 + 1 / times), found * (1 + times)) <= 1.05
        assert medians["auto"] <= NEAR * min(medians[share] for share in fixed)
        # both sides end together, and work all of the time
        assert share == pytest.approx(both, abs=0.03)
        for side in ("engine", "host"):
            assert stats[f"{side}_images"] > 0 < stats[f"{side}_s"]

    undisturbed(measure, ROUNDS)
