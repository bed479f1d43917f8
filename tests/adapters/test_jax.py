"""JAX arrays of batches; a stand-in for JAX where it is not installed."""

import os
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

import gpuio as mx
from gpuio.adapters.jax import loader, to_classes, to_jax
from gpuio.errors import RecordError
from gpuio.nd import host_array
from gpuio.nd.sparse import CSRNDArray
from support import making
from support.feeds import Counting, value


@pytest.fixture
def stand_in(monkeypatch):
    """Make `import jax` give a module that says what was called."""
    module = types.ModuleType("jax")
    module.numpy = types.SimpleNamespace(asarray=lambda array: ("host", array))
    module.dlpack = types.SimpleNamespace(from_dlpack=lambda array: ("device", array))
    module.make_array_from_process_local_data = lambda sharding, local: (sharding, local)
    monkeypatch.setitem(sys.modules, "jax", module)


def test_device_arrays_go_by_dlpack_and_host_arrays_as_plain_numpy(stand_in):
    there = object()
    assert to_jax(there) == ("device", there)
    kind, taken = to_jax(host_array(np.arange(3)))
    assert kind == "host"
    assert type(taken) is np.ndarray


def test_a_sharding_makes_the_array_global(stand_in):
    there = object()
    assert to_jax(there, "two hosts") == ("two hosts", ("device", there))
    sharding, local = to_jax(host_array(np.arange(3)), "two hosts")
    assert sharding == "two hosts"
    assert type(local) is np.ndarray


def test_values_and_dtype_are_kept():
    jax = pytest.importorskip("jax")
    made = to_jax(host_array(np.arange(6, dtype=np.float16)))
    assert isinstance(made, jax.Array)
    assert made.dtype == np.float16
    assert made.tolist() == list(range(6))


def test_arrays_of_batch_k_stay_while_batches_up_to_k_plus_10_are_made():
    pytest.importorskip("jax")
    kept = [data for data, _ in loader(Counting(batches=24))]
    assert [value(data) for data in kept] == list(range(24))


def test_a_sharding_over_this_host_holds_the_batch():
    jax = pytest.importorskip("jax")
    sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    (data, _), *_ = loader(Counting(), sharding=sharding)
    assert data.sharding == sharding
    assert value(data) == 0


def test_a_compiled_step_takes_batches_as_they_come():
    jax = pytest.importorskip("jax")
    step = jax.jit(lambda total, data, label: total + data.sum() * label.sum())
    source = np.arange(12).reshape(6, 2)
    total = 0.0
    for data, label in loader(mx.io.NDArrayIter(source, np.arange(6), batch_size=3)):
        total = step(total, data, label)
    assert float(total) == source[:3].sum() * 3 + source[3:].sum() * 12


TWO_DEVICES = """
import sys
import jax, numpy as np
import gpuio as mx
from gpuio.adapters.jax import loader

mesh = jax.sharding.Mesh(np.array(jax.devices()), ("rows",))
rows = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("rows"))
it = mx.io.ImageRecordIter(
    path_imgrec=sys.argv[1], path_imgidx=sys.argv[2], data_shape=(3, 8, 8), batch_size=4,
    num_parts=jax.process_count(), part_index=jax.process_index(), shard="even",
    last_batch="pad", ctx="cpu", verbose=False,
)
step = jax.jit(lambda data, label, weight: ((data[:, 0, 0, 0] - 20 * label) * weight).sum())
seen = []
for data, label, weight in loader(it, sharding=rows, integer_labels=True, weights=True):
    assert (data.shape, data.sharding, label.dtype) == ((4, 3, 8, 8), rows, np.int32)
    assert [one.data.shape[0] for one in data.addressable_shards] == [2, 2]
    assert float(step(data, label, weight)) == 0
    seen += np.asarray(label)[np.asarray(weight) > 0].tolist()
assert len(jax.devices()) == 2
print(seen)
"""


@pytest.mark.slow
def test_a_batch_is_divided_over_the_devices_of_a_host(tmp_path):
    pytest.importorskip("jax")
    records = making.write_rec(tmp_path, [making.flat(20 * i) for i in range(10)])
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    root = str(Path(__file__).resolve().parents[2])
    done = subprocess.run(
        [sys.executable, "-c", TWO_DEVICES, *records],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
        env={**os.environ, **flags, "PYTHONPATH": root},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(list(range(10)))


def test_labels_become_classes_on_request(stand_in):
    kind, taken = to_classes(host_array(np.array([0, 7], np.float32)))
    assert (kind, taken.dtype, taken.tolist()) == ("host", np.int32, [0, 7])
    soft = host_array(np.array([[0.5, 0.5]], np.float32))
    assert to_classes(soft)[1].dtype == np.float32
    assert to_classes(host_array(np.zeros(2, np.float32)), "two hosts")[0] == "two hosts"
    with pytest.raises(RecordError, match="not a whole number of 32 bits"):
        to_classes(host_array(np.array([2.0**31], np.float32)))


def test_a_loader_gives_int32_labels_and_float_data():
    jax = pytest.importorskip("jax")
    (data, label), *_ = loader(Counting(), integer_labels=True)
    assert (data.dtype, label.dtype) == (np.float32, np.int32)
    assert isinstance(label, jax.Array)


def test_a_sparse_batch_is_a_type_error(stand_in):
    with pytest.raises(TypeError, match="dense copy"):
        to_jax(CSRNDArray([1.0], [0], [0, 1], (1, 2)))
