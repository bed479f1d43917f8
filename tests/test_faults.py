"""Fail the n-th call of what an epoch stands on, n = 1, 2, 3 ..., until an epoch runs through.

Each time the fault ends in a typed error, or in a second try that worked; nothing is left behind,
no sample is wrong, and the iterator that was asked again goes on where it stood.
"""

import errno
import gc
import os
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

import gpuio.backend.cpu
import gpuio.backend.pool
import gpuio.kernels.cpu.job
import gpuio.kernels.ranges
import gpuio.pipeline.reader
import gpuio.storage.local
from gpuio.backend.cpu import CpuBackend
from gpuio.errors import BackendError, DecodeError, GpuioError, StorageError
from gpuio.io import ImageRecordUInt8Iter
from support.leaks import left, open_files, threads
from support.making import flat, write_rec

COUNT, BATCH = 200, 16


class NthCall:
    """A function whose n-th call fails, from whatever thread."""

    def __init__(self, function, number, fail):
        self.function, self.number, self.fail = function, number, fail
        self.calls, self._lock = 0, threading.Lock()

    def __call__(self, *arguments, **keywords):
        with self._lock:
            self.calls += 1
            fails = self.calls == self.number
        return (self.fail if fails else self.function)(*arguments, **keywords)

    def __get__(self, owner, kind=None):
        return self if owner is None else lambda *a, **k: self(owner, *a, **k)


def raising(kind, *arguments):
    def fail(*_, **__):
        raise kind(*arguments)

    return fail


def fail_as_opencv(code):
    error = cv2.error("from OpenCV")
    error.code = code
    raise error


EIO, EMFILE = (OSError, errno.EIO, "Input/output error"), (OSError, errno.EMFILE, "Too many files")
# name: (object, attribute, what the call does instead, errors that may come of it)
POINTS = {
    "open": (os, "open", raising(*EMFILE), StorageError),
    "pread fails": (os, "pread", raising(*EIO), StorageError),
    "pread ends early": (os, "pread", lambda *_: b"", StorageError),
    "pread is short": (os, "pread", lambda fd, n, at: REAL_PREAD(fd, min(n, 5), at), ()),
    "compiled read": (
        gpuio.kernels.ranges,
        "read_ranges",
        lambda fd, low, high, first, _: (first, 0),
        (),
    ),
    "pread has no memory": (os, "pread", raising(MemoryError), MemoryError),
    "batch memory": (gpuio.backend.pool.np, "empty", raising(MemoryError), MemoryError),
    "record memory": (gpuio.pipeline.reader, "Records", raising(MemoryError), MemoryError),
    "parse": (gpuio.pipeline.reader, "parse_image_record", raising(MemoryError), MemoryError),
    "decode fails": (
        gpuio.backend.cpu,
        "decode",
        raising(DecodeError, "not a readable image"),
        DecodeError,
    ),
    "decode has no memory": (
        cv2,
        "imdecode",
        lambda *_: fail_as_opencv(-4),  # cv2.Error.STS_NO_MEM
        MemoryError,
    ),
    "decode is refused": (
        cv2,
        "imdecode",
        lambda *_: fail_as_opencv(-215),  # cv2.Error.STS_ASSERT
        DecodeError,
    ),
    "kernel": (gpuio.kernels.cpu.job.Job, "make", raising(MemoryError), MemoryError),
    "thread": (
        threading.Thread,
        "start",
        raising(RuntimeError, "can't start new thread"),
        BackendError,
    ),
}
REAL_PREAD = os.pread


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    return write_rec(tmp_path_factory.mktemp("rec"), [flat(n) for n in range(COUNT)])


def numbers():
    """1 to 36, which is more than two batches, and then every thirteenth."""
    yield from range(1, 36)
    yield from range(36, 10_000, 13)


def running():
    """Threads of ours."""
    return [thread.name for thread in threads("gpuio")]


def resident_mib():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


def epoch(paths, allowed):
    """Read an epoch, asking again after an error; return the errors. Every sample must be right."""
    errors, it = [], None
    while it is None:
        try:
            it = ImageRecordUInt8Iter(
                path_imgrec=paths[0],
                path_imgidx=paths[1],
                data_shape=(3, 8, 8),
                batch_size=BATCH,
                preprocess_threads=2,
                round_batch=False,
                verbose=False,
                ctx="cpu",
            )
        except allowed as error:
            errors.append(error)
    seen = 0
    with it:
        while seen < COUNT:
            try:
                batch = next(it)
            except allowed as error:
                errors.append(error)
                continue
            labels = batch.label[0].asnumpy()
            rows = len(labels) - batch.pad
            assert labels[:rows].tolist() == list(range(seen, seen + rows))
            values = np.arange(seen, seen + rows, dtype=np.uint8)[:, None, None, None]
            assert (batch.data[0].asnumpy()[:rows] == values).all()
            seen += rows
        with pytest.raises(StopIteration):
            next(it)
    return errors


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
def test_any_call_may_fail_once(paths, monkeypatch, point):
    owner, name, fail, allowed = POINTS[point]
    real = getattr(owner, name)
    # each of the small batches by itself: as one there are too few calls
    monkeypatch.setattr(CpuBackend, "together", lambda *_: 1)
    if name == "pread":
        monkeypatch.setattr(gpuio.storage.local, "_compiled", lambda: None)
    assert epoch(paths, ()) == []
    assert left(prefix="gpuio") == []  # of tests before this one
    before, settled = open_files(), None
    for number in numbers():
        call = NthCall(real, number, fail)
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, call)
            errors = epoch(paths, allowed)
        if call.calls < number:
            assert errors == []
            break
        assert len(errors) <= 1
        for error in errors:
            assert isinstance(error, (GpuioError, MemoryError))
            assert str(error) or isinstance(error, MemoryError)
        del errors
        assert (running(), open_files() - before) == ([], {})
        settled = settled or resident_mib()
    assert number > 2, "the fault never came"
    gc.collect()
    assert (running(), open_files() - before) == ([], {})
    assert resident_mib() - settled < 16
