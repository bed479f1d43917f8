"""Plain JPEGs are decoded by gpuio itself, to the same pixels; nobody waits for it to be loaded."""

import contextlib
import importlib.machinery
import os
import signal
import sys
import threading
import warnings

import numpy as np
import pytest

import gpuio as mx
from gpuio.backend import cpu
from gpuio.decode import plain, turbojpeg
from support import kinds
from support.making import encoded, jpeg, photo, png, warned, write_rec
from support.plain_jpegs import PLAIN, made

NOISE = np.random.default_rng(0).integers(0, 256, (110, 110, 3), np.uint8)
KINDS = [made([*PLAIN, "gray", "4:4:0"][k % 5], 40 + k % 3, 48 + k % 5, k) for k in range(40)]


@pytest.fixture(params=["turbojpeg", "opencv"])
def way(request, monkeypatch):
    """With TurboJPEG, if it is there, and without it."""
    if request.param == "opencv":
        monkeypatch.setattr(turbojpeg, "compiled", lambda: None)
    elif not turbojpeg.status().usable:
        pytest.skip(turbojpeg.status().reason)
    return request.param


def epoch(rec, **options):
    """Return an epoch's data, and the iterator's stats."""
    given = {"data_shape": (3, 32, 32), "batch_size": 8, "verbose": False, "seed": 3}
    with mx.io.ImageRecordIter(path_imgrec=rec, **(given | options)) as it:
        data = np.concatenate([batch.data[0].asnumpy() for batch in it])
        return data, it.stats()


OPTIONS = [
    {},
    {"resize": 36},
    {"rand_crop": True, "rand_mirror": True, "resize": -1},
    {"random_resized_crop": True, "min_random_area": 0.1, "resize": -1},
    {"data_shape": (1, 32, 32)},
    {"max_rotate_angle": 20},
    {"layout": "NHWC", "dtype": "uint8", "data_shape": (3, 40, 48)},
    {"cache": "host"},
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda one: "-".join(one) or "plain")
def test_batches_are_the_same(tmp_path, way, options, monkeypatch):
    rec, _ = write_rec(tmp_path, KINDS)
    data, stats = epoch(rec, **options)
    assert stats["decoders"]["own"] > 30
    monkeypatch.setattr(cpu, "any_plain", lambda _: False)
    monkeypatch.setattr(turbojpeg, "compiled", lambda: None)
    right, before = epoch(rec, **options)
    assert np.array_equal(data, right)
    assert "own" not in before["decoders"]


def test_who_decoded_is_said(tmp_path, way):
    rec, _ = write_rec(tmp_path, KINDS)
    _, stats = epoch(rec, resize=-1)
    by = stats["decoders"]  # the next epoch may have begun
    assert by.keys() == {"own", way}
    assert by["own"] == 4 * by[way]  # 4:4:0


def test_orientation_is_none_of_its_business(tmp_path, way, monkeypatch):
    blobs = [kinds.decoded()[name][0] for name in kinds.decoded() if "exif" in name]
    assert len(blobs) > 5
    rec, _ = write_rec(tmp_path, blobs)
    data, _ = epoch(rec, data_shape=(3, 40, 40))
    monkeypatch.setattr(cpu, "any_plain", lambda _: False)
    assert np.array_equal(data, epoch(rec, data_shape=(3, 40, 40))[0])


def test_warnings_are_counted_as_before(tmp_path, way):
    rec, _ = write_rec(tmp_path, [jpeg(photo(60, 60)), *warned(photo(60, 60))])
    _, stats = epoch(rec, data_shape=(3, 60, 60), round_batch=False)
    assert stats["decoded_with_warnings"] == (2 if way == "turbojpeg" else 0)
    assert stats["decoders"]["own"] > 0


def test_images_that_are_cut_short_are_refused_as_before(tmp_path, way):
    good = jpeg(photo(60, 60))
    rec, _ = write_rec(tmp_path, [good, good[:-100], good[:-2]])
    _, stats = epoch(rec, on_error="zero", round_batch=False, max_bad=9)
    assert sorted(one["key"] for one in stats["failed_records"]) == [1, 2]


def test_other_jobs_do_not_load_it(tmp_path, monkeypatch):
    monkeypatch.setattr(cpu, "PlainDecoder", lambda *_: pytest.fail("loaded"))
    rec, _ = write_rec(tmp_path, [png(photo(40, 40, k)) for k in range(40)])
    epoch(rec)


LARGE = [encoded(photo(300, 310, k)) for k in range(20)]


def test_nobody_waits_for_it_in_a_job_of_larger_images(tmp_path, way, monkeypatch):
    """It is loaded behind the first two batches, where no other job has loaded it before."""
    rec, _ = write_rec(tmp_path, 2 * LARGE)
    rows, is_loaded = [], plain.is_loaded

    def noted(*, load):
        rows.append(backend[0]._rows)
        assert load == (rows[-1] > 2 * 8)
        return is_loaded(load=load)

    backend, make = [], cpu.CpuBackend.make
    monkeypatch.setattr(plain, "_loaded", False)
    monkeypatch.setattr(cpu, "is_loaded", noted)

    def kept(self, *given):
        backend.append(self)
        return make(self, *given)

    monkeypatch.setattr(cpu.CpuBackend, "make", kept)
    options = {"preprocess_threads": 1, "round_batch": False}
    data, stats = epoch(rec, **options)
    by = stats["decoders"]  # the next epoch may have begun
    assert by.keys() == {"own", way}
    assert by[way] == 16
    assert rows[0] <= 8
    monkeypatch.setattr(cpu, "is_loaded", lambda *, load: False)
    right, before = epoch(rec, **options)
    assert np.array_equal(data, right)
    assert before["decoders"].keys() == {way}


def test_one_thread_loads_it_and_the_others_go_on(monkeypatch):
    monkeypatch.setattr(plain, "_loaded", False)
    assert not plain.is_loaded(load=False)
    said = []
    with plain._loading:
        thread = threading.Thread(target=lambda: said.append(plain.is_loaded(load=True)))
        thread.start()
        thread.join(60)
    assert said == [False]
    assert plain.is_loaded(load=True)
    assert plain.is_loaded(load=False)


class Waits:
    """Finds the decoder's module, which is not executed until it may: it takes its time."""

    def __init__(self):
        self.begun, self.may = threading.Event(), threading.Event()

    def find_spec(self, name, path=None, target=None):
        if name != "gpuio.kernels.cpu.plain":
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        load = spec.loader.exec_module

        def wait(module):
            self.begun.set()
            self.may.wait(600)
            load(module)

        spec.loader.exec_module = wait
        return spec


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.parametrize("blobs", [LARGE, KINDS[:16]], ids=["photos", "small"])
def test_a_child_that_is_forked_while_it_is_loaded_goes_on_without_it(
    tmp_path, way, monkeypatch, blobs
):
    """Its module is one that a thread of the parent was importing: nobody ends that in a child."""
    rec, _ = write_rec(tmp_path, blobs)
    right, _ = epoch(rec)
    package, waits = importlib.import_module("gpuio.kernels.cpu"), Waits()
    monkeypatch.setattr(plain, "_loaded", False)
    monkeypatch.delattr(package, "plain")
    monkeypatch.delitem(sys.modules, "gpuio.kernels.cpu.plain")
    monkeypatch.setattr(sys, "meta_path", [waits, *sys.meta_path])
    thread = threading.Thread(target=plain.is_loaded, kwargs={"load": True})
    thread.start()
    assert waits.begun.wait(600)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer Pythons warn of forks beside threads
        pid = os.fork()
    if pid == 0:
        signal.alarm(300)  # ends a child that waits
        with contextlib.suppress(BaseException):
            data, stats = epoch(rec)
            if np.array_equal(data, right) and stats["decoders"].keys() == {way}:
                os._exit(0)
        os._exit(1)
    try:
        assert os.waitpid(pid, 0)[1] == 0
    finally:
        waits.may.set()
        thread.join(600)
    assert plain.is_loaded(load=False)


def test_a_limit_of_pixels_is_kept(tmp_path):
    decoder = plain.PlainDecoder(None, None, max_pixels=100)
    assert decoder._own._state["max_pixels"] == 100
