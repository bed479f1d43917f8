"""Prometheus sees every open iterator's numbers, and keeps none alive."""

import gc

import pytest

import gpuio as mx
from gpuio.adapters import prometheus
from gpuio.adapters.metrics import COUNTERS, GAUGES, metrics
from gpuio.errors import BackendError, ClosedError, OptionError
from support.making import flat, reader, write_rec


@pytest.fixture
def files(tmp_path):
    return write_rec(tmp_path, [flat(value) for value in range(12)])


@pytest.fixture
def library():
    return pytest.importorskip("prometheus_client")


def read(it):
    for _ in it:
        pass
    return it


def test_the_plain_dict_has_every_number_by_name(files):
    with read(reader(files)) as it:
        found = metrics(it)
        assert found["images"] == 12
        assert 0 < found["stage_seconds.making"] <= it.stats()["make_s"]  # it works ahead
        assert found["read_bytes.local"] > 0
        assert found["decoded_images.opencv"] >= 12
    assert all(isinstance(value, (int, float)) for value in found.values())
    names = {name.partition(".")[0] for name in found}
    assert names == (set(COUNTERS) | set(GAUGES)) - {"cache_hits", "cache_misses", "cache_bytes"}


def test_a_caches_counts_are_among_them(files):
    class Cached:
        def stats(self):
            with reader(files) as it:
                return it.stats() | {"cache": {"kind": "host", "hits": 5, "misses": 2, "bytes": 9}}

    found = metrics(Cached())
    assert [found[f"cache_{name}"] for name in ("hits", "misses", "bytes")] == [5, 2, 9]


def test_what_is_not_measured_is_left_out(files):
    with read(reader(files, stats=False)) as it:
        found = metrics(it)
    assert found["batches"] == 3
    assert not [name for name in found if "." in name]


def test_an_iterator_without_stats_is_refused(files):
    with pytest.raises(OptionError, match="NDArrayIter has no stats"):
        metrics(mx.io.NDArrayIter([[1.0]], batch_size=1))


def test_a_registry_is_told_of_all_its_iterators(files, library):
    registry = library.CollectorRegistry()
    with read(reader(files)) as train, reader(files) as val:
        prometheus.register(train, "train", registry)
        prometheus.register(val, "val", registry)

        def value(name, **labels):
            return registry.get_sample_value(f"gpuio_{name}", labels)

        assert value("images_total", iterator="train") == 12
        assert value("images_total", iterator="val") == 0
        read(val)
        assert value("images_total", iterator="val") == 12
        seconds = value("stage_seconds_total", iterator="train", stage="decode")
        assert 0 < seconds <= train.stats()["stages"]["decode"]["seconds"]
        assert value("threads", iterator="val") == val.stats()["threads"]
        with pytest.raises(OptionError, match="another iterator is called 'val'"):
            prometheus.register(train, "val", registry)
    assert value("images_total", iterator="train") is None  # closed


def test_an_iterator_that_is_let_go_of_is_collected(files, library):
    registry = library.CollectorRegistry()
    prometheus.register(read(reader(files)), "train", registry)
    gc.collect()
    assert registry.get_sample_value("gpuio_images_total", {"iterator": "train"}) is None
    with reader(files) as it:
        prometheus.register(it, "train", registry)  # the name is free again
        assert registry.get_sample_value("gpuio_images_total", {"iterator": "train"}) == 0


def test_text_is_prometheus_format(files, library):
    with read(reader(files)) as it:
        told = prometheus.text(train=it)
    assert '\ngpuio_images_total{iterator="train"} 12.0\n' in told
    assert "# TYPE gpuio_busy_ratio gauge" in told
    it.close()
    with pytest.raises(ClosedError):
        prometheus.text(train=it)


def test_without_the_library_the_extra_is_named(files, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "prometheus_client", None)
    with (
        reader(files) as it,
        pytest.raises(BackendError, match=r"pip install 'gpuio\[prometheus\]'"),
    ):
        prometheus.register(it)


def test_a_counter_never_falls(files, library, monkeypatch):
    registry = library.CollectorRegistry()
    seconds = iter([5.0, 4.0, 6.0, 1.0])

    def value():
        numbers = {"stage_seconds.headers": next(seconds), "busy_ratio.headers": 0.5}
        monkeypatch.setattr(prometheus, "metrics", lambda it: numbers)
        labels = {"iterator": "train", "stage": "headers"}
        return registry.get_sample_value("gpuio_stage_seconds_total", labels)

    with reader(files) as it:
        prometheus.register(it, "train", registry)
        assert [value(), value(), value()] == [5, 5, 6]
    del it
    gc.collect()
    with reader(files) as it:
        prometheus.register(it, "train", registry)  # another one, of the same name
        assert value() == 1
