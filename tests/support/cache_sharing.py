"""Two processes at a time that share one cache, on behalf of test_sharing.py.

The modules and kernels are loaded once; each process is a fork of this one. What is asked for is
JSON on stdin: by name the two processes' iterators, (class, options), and the cache's options. What
came is JSON on stdout: by name a list of epochs of each process, and the same without a cache.
"""

import hashlib
import json
import multiprocessing
import sys
import traceback
from pathlib import Path

import numpy as np

import gpuio as mx

EPOCHS = 6  # what is read ahead, several of them, is not looked for
_fork = multiprocessing.get_context("fork")


def digest(batches):
    """Return a digest of all that the rest of an epoch's batches hold."""
    found = hashlib.sha256()
    for batch in batches:
        arrays = [batch.data[0].asnumpy(), batch.label[0].asnumpy(), batch.index, batch.plan]
        for array in arrays:
            found.update(np.ascontiguousarray(array).tobytes())
        found.update(bytes([batch.pad]))
    return found.hexdigest()


def opened(kind, options):
    """Return an iterator of mx.io; `after`, among the options: it goes on after so many batches."""
    base = {"batch_size": 4, "ctx": "cpu", "verbose": False, "preprocess_threads": 2}
    base |= {"data_shape": (3, 28, 28), **options}
    after = base.pop("after", 0)
    made = getattr(mx.io, kind)(**base)
    if after:
        with opened(kind, {k: v for k, v in base.items() if not k.startswith("cache")}) as it:
            for _ in range(after):
                it.next()
            made.load_state_dict(it.state_dict())
    return made


def mapped(path):
    """Return the kB of a file that this process has mapped, and its share of those."""
    told = {"Rss:": 0, "Pss:": 0}
    lines = iter(Path("/proc/self/smaps").read_text().splitlines())
    for line in lines:
        if not line.endswith(path):
            continue
        for line in lines:  # noqa: PLW2901 -- those of this mapping
            word, _, value = line.partition(" ")
            if word in told:
                told[word] += int(value.split()[0])
            if word == "VmFlags:":
                break
    return list(told.values())


def epochs(kind, options, barrier=None):
    """Return what some epochs are: each when both processes have made the one before."""
    made = []
    with opened(kind, options) as it:
        for _ in range(EPOCHS):
            told = {"digest": digest(it)}
            if barrier is not None:
                barrier.wait(60)
                stats, memory = it.stats(), it._machine().cache._store.memory
                told |= {"cache": stats["cache"], "faults": stats["faults"]}
                memory._map[: memory.nbytes]  # each page, not only those that crops were cut from
                barrier.wait(60)
                told["memory"] = mapped(memory.path)
                barrier.wait(60)
            made.append(told)
            it.reset()
    return made


def one_of_two(results, number, barrier, kind, options):
    """Put the epochs of one of two processes, or what went wrong."""
    try:
        told = epochs(kind, options, barrier)
    except BaseException:  # noqa: BLE001 -- told
        told = traceback.format_exc()
        barrier.abort()
    results.put((number, told))


def both(job, room):
    """Return the epochs of both processes of a job, with a cache."""
    barrier, results = _fork.Barrier(2), _fork.SimpleQueue()
    processes = [
        _fork.Process(target=one_of_two, args=(results, number, barrier, kind, room | options))
        for number, (kind, options) in enumerate(job)
    ]
    for process in processes:
        process.start()
    told = dict(results.get() for _ in processes)
    for process in processes:
        process.join(60)
    return [told[number] for number in range(2)]


def main():
    """Do what stdin asks for."""
    made, alone = {}, {}
    for name, (job, room) in json.load(sys.stdin).items():
        key = json.dumps(job)
        if key not in alone:
            alone[key] = [epochs(*each) for each in job]
        made[name] = both(job, room), alone[key]
    print(json.dumps(made))


if __name__ == "__main__":
    main()
