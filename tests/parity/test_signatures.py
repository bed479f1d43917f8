"""Names and signatures are MXNet 1.9.1's; what we add comes behind them, by keyword only."""

import inspect
import itertools
import json
import os
import subprocess
from pathlib import Path

import pytest

import gpuio
from parity import signatures

FROZEN = Path(__file__).parents[1] / "data" / "mxnet_signatures.json"
MXNET = json.loads(FROZEN.read_text())

# made from C++ by MXNet: their parameters are in mxnet_options.json
FROM_CPP = {
    "CSVIter",
    "ImageDetRecordIter",
    "ImageRecordInt8Iter",
    "ImageRecordIter",
    "ImageRecordUInt8Iter",
    "LibSVMIter",
    "MNISTIter",
}
# name: why there is none here
LEFT_OUT = {
    "ImageRecordIter_v1": "an older program for the same files, deprecated in MXNet",
    "ImageRecordUInt8Iter_v1": "the same",
    "MXDataIter": "the handle of a C++ iterator",
}
# MXNet passes these on to C++; the parameters by name are the documented ones
PASSED_ON = {"imdecode", "imread", "imresize"}


def ours(path):
    """Return what a dotted path names in gpuio."""
    found = gpuio
    for part in path.split("."):
        found = getattr(found, part)
    return found


def signatures_expected():
    """Return (path of the name, method or "", its signature) of all that have one."""
    return [
        pytest.param(f"{module}.{name}", method, texts, id=f"{module}.{name}.{method}")
        for module, names in MXNET.items()
        for name, value in names.items()
        if name not in FROM_CPP and name not in LEFT_OUT
        for method, texts in (value if isinstance(value, dict) else {"": value}).items()
    ]


def wrong(function, theirs, *, defaults=True):
    """Return what of a signature is not as MXNet has it; a default where it has none is right."""
    mine = [
        text
        for text, p in zip(
            signatures.texts(function), inspect.signature(function).parameters.values(), strict=True
        )
        if p.kind is p.POSITIONAL_OR_KEYWORD
    ]
    theirs = [text for text in theirs if not text.startswith("*")]
    if not defaults:  # MXNet's come with *args: ours name what they are
        mine = [text.partition("=")[0] for text in mine[: len(theirs)]]
    return [
        (one, other)
        for one, other in itertools.zip_longest(mine, theirs)
        if one != other and (one is None or one.partition("=")[0] != other)
    ]


@pytest.mark.parametrize(("path", "method", "theirs"), signatures_expected())
def test_signatures_begin_as_mxnets(path, method, theirs):
    found = ours(path)
    function = getattr(found, method) if method else found
    assert wrong(function, theirs, defaults=path.rpartition(".")[2] not in PASSED_ON) == []


def test_iterators_from_cpp_are_there_and_take_keywords_only():
    for name in FROM_CPP:
        parameters = inspect.signature(getattr(gpuio.io, name)).parameters.values()
        assert {p.kind for p in parameters} == {inspect.Parameter.KEYWORD_ONLY}, name


def test_every_name_of_mxnet_is_here_or_left_out_with_a_reason():
    missing = {
        name for module, names in MXNET.items() for name in names if not hasattr(ours(module), name)
    }
    assert missing <= set(LEFT_OUT)
    for module, names in MXNET.items():
        assert set(names) - set(LEFT_OUT) <= set(ours(module).__all__), module


def test_differences_are_found():
    def changed(self, size=3, *, data_shape=None): ...

    assert wrong(changed, ["self", "size=3"]) == []
    assert wrong(changed, ["self", "size=2"]) == [("size=3", "size=2")]
    assert wrong(changed, ["self"]) == [("size=3", None)]
    assert wrong(changed, ["self", "size=3", "data_shape=None"]) == [(None, "data_shape=None")]
    assert wrong(changed, ["self", "size", "*args"]) == []


@pytest.mark.mxnet
@pytest.mark.skipif("GPUIO_MXNET_PYTHON" not in os.environ, reason="no MXNet 1.9.1 at hand")
def test_the_frozen_signatures_are_those_of_a_live_mxnet(tmp_path):
    out = tmp_path / "signatures.json"
    command = [os.environ["GPUIO_MXNET_PYTHON"], "-W", "ignore", signatures.__file__, str(out)]
    subprocess.run(command, check=True, capture_output=True, timeout=600)
    assert out.read_text() == FROZEN.read_text()
