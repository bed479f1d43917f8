"""Read record files of mutants on command: the child that may die, on behalf of `images.py`.

A job is a line of JSON on stdin: {"rec": path, "policy": on_error, "good": {key: label},
"expected": .npy of uint8[n, 3, side, side]}. The answer is a line of JSON: what became of each bad
record, and what is wrong. The blob at work lies in a file that outlives this process.
"""

import contextlib
import json
import mmap
import os
import re
import resource
import struct
import sys
import threading
import time
from pathlib import Path

import numpy as np

SIDE = 24
MAX_PIXELS = 8_000_000
_ROOM = 1 << 20  # bytes of the file for each of the two threads that look at blobs


class Watch:
    """Write down which blob a function has at the moment, and since when."""

    def __init__(self, path, number):
        with Path(path).open("r+b") as file:
            whole = mmap.mmap(file.fileno(), 2 * _ROOM)
        self._room = memoryview(whole)[number * _ROOM : (number + 1) * _ROOM]

    def around(self, function):
        def call(blob, *arguments):
            kept = bytes(blob[: _ROOM - 16])
            self._room[16 : 16 + len(kept)] = kept
            struct.pack_into("<dQ", self._room, 0, time.monotonic(), len(kept))
            try:
                return function(blob, *arguments)
            finally:
                struct.pack_into("<d", self._room, 0, 0.0)

        return call


def at_work(path):
    """Return (seconds since it began, blob) of each call under way in a watched process."""
    data = Path(path).read_bytes()
    found = []
    for start in (0, _ROOM):
        begun, length = struct.unpack_from("<dQ", data, start)
        if begun:
            found.append((time.monotonic() - begun, data[start + 16 : start + 16 + length]))
    return found


def resident():
    """MiB of memory the process has held at most; getrusage counts what its parent held, too."""
    (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(peak) / 1024


def open_way(way):
    """Let the iterator decode by another engine, on the host: "dali" or "nvimgcodec"."""
    if way == "cpu":
        return
    import gpuio.pipeline.opening
    from gpuio.backend.gpu.backend import GpuBackend
    from gpuio.backend.gpu.engines import engine_opener
    from support.fake_device import FakeDevice

    def opened(name, device_id=0, **settings):
        del name
        opener, rescue = (
            engine_opener(engine, None, engines=1, hw_decoder_load=0.5)
            for engine in (way, "nvimgcodec")
        )
        return GpuBackend(
            device_id,
            device=FakeDevice(),
            open_engine=opener,
            open_rescue=rescue,
            host_pixels=0,
            keep=settings["keep"],
        )

    gpuio.pipeline.opening.open_backend = opened


def read(job):
    """Read one file under one policy; return the answer."""
    import gpuio as mx

    policy, good = job["policy"], {int(key): label for key, label in job["good"].items()}
    expected = np.load(job["expected"])
    wrong, rows = [], {}
    it = mx.io.ImageRecordUInt8Iter(
        path_imgrec=job["rec"],
        data_shape=(3, SIDE, SIDE),
        batch_size=16,
        round_batch=False,
        on_error=policy,
        truncated=job["truncated"],
        max_bad=10**6,
        max_pixels=MAX_PIXELS,
        preprocess_threads=1,
        verbose=False,
    )
    with it:
        try:
            for batch in it:
                data, label = batch.data[0].asnumpy(), batch.label[0].asnumpy()
                for row in range(16 - batch.pad):
                    rows.setdefault(int(batch.index[row]), []).append((data[row], label[row]))
        except mx.GpuioError as error:
            if policy != "raise":
                wrong.append(f"{policy} raised {type(error).__name__}: {error}")
            elif error.key in good:
                wrong.append(f"a good record was raised: {error}")
            with contextlib.suppress(mx.GpuioError):
                next(it)
                wrong.append("asked again, the batch had no error")
        failed = {each["key"]: each["reason"] for each in it.stats()["failed_records"]}
    for key, (label, number) in good.items():
        found = rows.get(key, [])
        if not found and policy != "raise":
            wrong.append(f"good record {key} is missing")
        if len(found) > 1 and policy != "replace":
            wrong.append(f"good record {key} came {len(found)} times")
        if key in failed:
            wrong.append(f"good record {key} failed: {failed[key]}")
        for pixels, told in found:
            if told != label or not np.array_equal(pixels, expected[number]):
                wrong.append(f"good record {key} has a wrong label or wrong pixels")
    if policy == "zero":
        wrong += [f"bad record {key} is not zeros" for key in failed if rows[key][0][0].any()]
    return {"failed": failed, "wrong": wrong, "resident": resident()}


def main(watched, way, address_space_mib):
    """Answer jobs until stdin ends."""
    import cv2

    import gpuio.backend.cpu
    import gpuio.backend.gpu.host
    import gpuio.pipeline.reader

    cv2.setNumThreads(1)
    reading, making = Watch(watched, 0), Watch(watched, 1)
    gpuio.pipeline.reader.probe = reading.around(gpuio.pipeline.reader.probe)
    for module in (gpuio.backend.cpu, gpuio.backend.gpu.host):
        module.decode = making.around(module.decode)
    open_way(way)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    if address_space_mib:
        limit = int(address_space_mib) << 20
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    for line in sys.stdin:
        if json.loads(line).get("hang"):
            making.around(lambda _: threading.Event().wait())(b"hang")
        answers.write(json.dumps(read(json.loads(line))) + "\n")
        answers.flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
