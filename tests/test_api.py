"""The public names, and what importing the package costs."""

import functools
import subprocess
import sys

import pytest

import gpuio

HEAVY = ("cupy", "nvidia.dali", "torch", "numba", "cv2", "scipy", "matplotlib", "jax")
REMOTE = ("obstore", "fsspec", "pyarrow", "gpuio.storage.remote")


def run(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_all_is_sorted_and_every_name_is_there():
    assert list(gpuio.__all__) == sorted(gpuio.__all__)
    for name in gpuio.__all__:
        assert hasattr(gpuio, name), name


def test_mxnet_names_are_found_under_mxnet_modules():
    mx = gpuio
    for name in (
        "ImageDetRecordIter",
        "ImageRecordIter",
        "ImageRecordUInt8Iter",
        "ImageRecordInt8Iter",
        "DataIter",
        "DataBatch",
        "DataDesc",
        "NDArrayIter",
        "CSVIter",
        "LibSVMIter",
        "MNISTIter",
        "ResizeIter",
        "PrefetchingIter",
    ):
        assert isinstance(getattr(mx.io, name), type), name
    for name in (
        "MXRecordIO",
        "MXIndexedRecordIO",
        "IRHeader",
        "pack",
        "unpack",
        "pack_img",
        "unpack_img",
    ):
        assert callable(getattr(mx.recordio, name)), name
    assert mx.base.MXNetError is mx.MXNetError is mx.GpuioError
    assert mx.nd.array([1, 2]).asnumpy().tolist() == [1, 2]
    assert str(mx.cpu()) == "cpu(0)"
    assert mx.image is mx.img


def test_importing_loads_nothing_heavy():
    loaded = run(f"import sys, gpuio\nprint([name for name in {HEAVY!r} if name in sys.modules])")
    assert loaded == "[]"


def test_local_files_load_nothing_of_remote_ones():
    code = (
        "import sys, gpuio as mx\nfrom gpuio.storage.files import open_stored, read_whole\n"
        "mx.recordio.MXRecordIO, mx.io.ImageRecordIter\n"
        "with open_stored(sys.executable) as file:\n    file.read(0, 1)\n"
        f"print([name for name in {REMOTE!r} if name in sys.modules])"
    )
    assert run(code) == "[]"


def test_importing_takes_under_150_ms():
    code = (
        "import sys, time, numpy\n"  # numpy is the caller's own in any script that uses gpuio
        "begun = time.process_time()\nimport gpuio\nprint(time.process_time() - begun)"
    )
    assert min(float(run(code)) for _ in range(5)) < 0.150


def test_a_missing_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = gpuio.no_such_name


@pytest.mark.parametrize(
    "name",
    [
        *(
            "mod.Module",
            "sym.Variable",
            "metric.Accuracy",
            "np.array",
            "autograd.record",
            "optimizer",
        ),
        *("gluon.nn.Dense", "gluon.Trainer", "gluon.loss", "gluon.data.DataLoader"),
        *("gluon.data.vision.MNIST", "gluon.utils.download", "nd.Convolution"),
        *("io.MXDataIter", "nd.random.shuffle", "nd.sparse.dot", "random.gamma"),
        *("context.x", "image.x", "recordio.x", "test_utils.assert_almost_equal"),
    ],
)
def test_what_is_not_here_says_where_to_read_what_is(name):
    with pytest.raises(AttributeError, match=r"has no attribute.*docs/mxnet_scripts\.md lists"):
        functools.reduce(getattr, name.split("."), gpuio)


def test_ndarray_can_be_imported_as_a_module_and_is_nd():
    found = run(
        "import gpuio.ndarray as one, gpuio.ndarray.sparse as sparse, gpuio.image.image as image\n"
        "from gpuio.ndarray import NDArray, random\n"
        "import gpuio as mx\n"
        "print(one is mx.nd is mx.ndarray, sparse is mx.nd.sparse, random is mx.nd.random,"
        " image is mx.img.image is mx.image, NDArray is type(mx.nd.zeros(1)))"
    )
    assert found == "True True True True True"
