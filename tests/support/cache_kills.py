"""Fill a cache on a disk, and die at a random moment, again and again, on behalf of test_disk.py.

The modules are loaded once; each filling is a fork of this process, killed with SIGKILL.
"""

import contextlib
import hashlib
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import gpuio as mx


def epoch(rec, folder=None):
    """Return a digest of an epoch's batches, and what the cache says of itself."""
    options = {"data_shape": (3, 28, 28), "batch_size": 4, "ctx": "cpu", "verbose": False}
    options |= {"random_resized_crop": True, "rand_mirror": True, "preprocess_threads": 2}
    if folder is not None:
        options |= {"cache": "disk", "cache_dir": folder, "cache_size": "8MB"}
    found = hashlib.sha256()
    with mx.io.ImageRecordIter(path_imgrec=rec, **options) as it:
        for batch in it:
            found.update(batch.data[0].asnumpy().tobytes())
        return found.hexdigest(), it.stats().get("cache")


def killed(rec, folder, after_s):
    """Fill the cache in a fork of this process, and kill it; say whether that was in time."""
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(BaseException):
            epoch(rec, folder)
            os._exit(0)
        os._exit(99)
    time.sleep(after_s)
    os.kill(pid, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(pid, 0)[1])


def main(rec, folder, kills, seed):
    """Kill so many fillings, some in a cache that one before has left; print what came."""
    rng, counts = random.Random(int(seed)), {"killed": 0, "partly": 0, "wrong": 0}
    expected, _ = epoch(rec)
    begun = time.perf_counter()
    epoch(rec, folder)
    once = time.perf_counter() - begun
    clear(folder)
    while counts["killed"] < int(kills):
        in_time = killed(rec, folder, rng.uniform(0, once))
        once *= 1.1 if in_time else 0.8  # what was measured may have been a pause of the machine
        counts["killed"] += in_time
        if not in_time or rng.random() < 0.6:
            made, cache = epoch(rec, folder)
            counts["wrong"] += made != expected
            counts["partly"] += cache["misses"] > 0 and cache["hits"] > 0
            clear(folder)
    print(json.dumps(counts))


def clear(folder):
    """Remove what is in a folder."""
    for path in Path(folder).iterdir():
        path.unlink()


if __name__ == "__main__":
    main(*sys.argv[1:])
