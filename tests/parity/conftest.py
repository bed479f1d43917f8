"""A live MXNet, and record files of photos, for the tests that compare pixels."""

import os
from pathlib import Path

import pytest

from gpuio import recordio
from gpuio.tools.photos import make_photos
from parity.oracle import Oracle


@pytest.fixture(scope="session")
def mxnet():
    """MXNet 1.9.1 in its own process; the test is skipped where there is none."""
    python = os.environ.get("GPUIO_MXNET_PYTHON")
    if not python:
        pytest.skip("GPUIO_MXNET_PYTHON names no Python with MXNet 1.9.1; `make parity` sets it")
    with Oracle(python) as oracle:
        yield oracle


@pytest.fixture(scope="session")
def photo_files(tmp_path_factory):
    """The photos of the folder GPUIO_PHOTOS, or 40 made ones."""
    folder = os.environ.get("GPUIO_PHOTOS")
    if not folder:
        return make_photos(tmp_path_factory.mktemp("photos"), 40, 8)
    kinds = {".jpg", ".jpeg", ".png"}
    files = sorted(p for p in Path(folder).rglob("*") if p.suffix.lower() in kinds)
    assert files, f"GPUIO_PHOTOS={folder} holds no photos"
    return files


def pack(folder, files, *, label=float):
    """Write the files into folder/photos.rec and .idx as they are; return both paths as text."""
    rec, idx = str(folder / "photos.rec"), str(folder / "photos.idx")
    with recordio.MXIndexedRecordIO(idx, rec, "w") as writer:
        for number, file in enumerate(files):
            header = recordio.IRHeader(0, label(number), number, 0)
            writer.write_idx(number, recordio.pack(header, file.read_bytes()))
    return rec, idx


@pytest.fixture(scope="session")
def photos(photo_files, tmp_path_factory):
    """(path of .rec, path of .idx); record i has label i and id i."""
    return pack(tmp_path_factory.mktemp("packed"), photo_files)


@pytest.fixture(scope="session")
def wide_labels(photo_files, tmp_path_factory):
    """As `photos`, first 16 files; record i has the three labels i, i / 2, -i."""
    folder = tmp_path_factory.mktemp("wide")
    return pack(folder, photo_files[:16], label=lambda i: [i, i / 2, -i])
