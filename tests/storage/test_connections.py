"""How a process says that remote files are reached."""

import pytest

from gpuio.errors import OptionError, StorageError
from gpuio.storage.connections import configure, connect, connection_of, limits
from support.remote import as_before


@pytest.fixture(autouse=True)
def _as_before():
    with as_before():
        yield


def test_the_longest_prefix_counts():
    connect("s3://b", region="one")
    connect("s3://b/deep", region="two")
    connect("s3://b", region="three")
    assert connection_of("s3://b/x").options == {"region": "three"}
    assert connection_of("s3://b/deep/x").options == {"region": "two"}
    assert connection_of("s3://bb/x") is None


def test_what_cannot_be_connected_is_refused():
    with pytest.raises(OptionError, match="expected a URL"):
        connect("/data")
    with pytest.raises(OptionError, match="region: has no effect beside filesystem"):
        connect("s3://b", object(), region="x")
    with pytest.raises(StorageError, match="password"):
        connect("http://me:secret@h")


def test_limits_stay_where_nothing_is_said():
    before = limits()
    assert configure(in_flight=7).in_flight == 7
    assert limits().deadline_s == before.deadline_s
    assert configure(timeout_s=1, deadline_s=2).in_flight == 7


@pytest.mark.parametrize(
    "given", [{"in_flight": 0}, {"timeout_s": -1}, {"timeout_s": 10, "deadline_s": 5}]
)
def test_limits_out_of_range_are_refused(given):
    with pytest.raises(OptionError, match=next(iter(given))):
        configure(**given)
    assert limits().in_flight > 0


def test_the_environment_names_the_cache(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GPUIO_BLOCK_CACHE", "blocks")
    monkeypatch.setenv("GPUIO_BLOCK_CACHE_BYTES", "1000")
    assert (limits().block_cache, limits().block_cache_bytes) == (f"{tmp_path}/blocks", 1000)
    monkeypatch.setenv("GPUIO_BLOCK_CACHE_BYTES", "1G")
    with pytest.raises(OptionError, match="GPUIO_BLOCK_CACHE_BYTES"):
        limits()


def test_blocks_are_kept_on_this_machine(monkeypatch):
    with pytest.raises(OptionError, match=r"block_cache: .* a folder of this machine"):
        configure(block_cache="s3://bucket/blocks")
    monkeypatch.setenv("GPUIO_BLOCK_CACHE", "s3://bucket/blocks")
    with pytest.raises(OptionError, match=r"GPUIO_BLOCK_CACHE: .* a folder of this machine"):
        limits()
