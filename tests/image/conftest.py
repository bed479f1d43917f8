"""Images and records for the tests of gpuio.image, made here."""

from __future__ import annotations

import threading

import cv2
import numpy as np
import pytest

from gpuio import recordio
from support.leaks import left


def picture(number, height=40, width=48):
    """Return uint8[height, width, 3] whose mean tells its number."""
    rng = np.random.default_rng(number)
    grain = rng.integers(0, 40, (height, width, 3))
    return (grain + 8 * number % 200).astype(np.uint8)


def png(number, height=40, width=48):
    return cv2.imencode(".png", picture(number, height, width)[:, :, ::-1])[1].tobytes()


@pytest.fixture
def make_records(tmp_path):
    """Return a function that writes records with labels 0, 1, ... and returns keywords for it."""

    def make(count=7, *, labels=None, broken=(), size=(40, 48), name="some", first_key=0):
        idx, rec = str(tmp_path / f"{name}.idx"), str(tmp_path / f"{name}.rec")
        with recordio.MXIndexedRecordIO(idx, rec, "w") as writer:
            for number in range(count):
                label = float(number) if labels is None else labels[number]
                blob = b"junkjunk" if number in broken else png(number, *size)
                header = recordio.IRHeader(0, label, number, 0)
                writer.write_idx(number + first_key, recordio.pack(header, blob))
        return {"path_imgrec": rec, "path_imgidx": idx}

    return make


@pytest.fixture
def make_files(tmp_path):
    """Return a function that writes image files and returns (folder, rows for imglist)."""

    def make(count=5):
        for number in range(count):
            (tmp_path / f"{number}.png").write_bytes(png(number))
        return tmp_path, [[float(number), f"{number}.png"] for number in range(count)]

    return make


@pytest.fixture(autouse=True)
def no_thread_stays():
    """Fail a test that leaves a thread behind."""
    before = set(threading.enumerate())
    yield
    assert left(before) == []
