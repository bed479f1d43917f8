"""The cores of a process are what its affinity and its control groups leave."""

import os

import pytest

from gpuio.backend import cores


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine of 12 cores; write its control groups with the function returned."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(12)), raising=False)
    monkeypatch.setattr(cores, "_CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(cores, "_OWN_GROUP", tmp_path / "own")

    def write(own="", **files):
        (tmp_path / "own").write_text(own)
        for name, text in files.items():
            path = tmp_path / "cgroup" / name.replace("__", "/").replace("_max", ".max")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    return write


def test_without_groups_it_is_the_affinity(machine):
    assert cores.usable_cores() == 12


def test_without_an_affinity_it_is_the_machines_cores(machine, monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 5)
    assert cores.usable_cores() == 5
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cores.usable_cores() == 1


@pytest.mark.parametrize(
    ("limit", "expected"),
    [("max 100000", 12), ("200000 100000", 2), ("150000 100000", 2), ("1000 100000", 1)],
)
def test_a_containers_quota_counts(machine, limit, expected):
    machine("0::/\n", cpu_max=limit)
    assert cores.usable_cores() == expected


def test_the_tightest_of_nested_groups_counts(machine):
    machine("0::/a/b\n", a__cpu_max="300000 100000", a__b__cpu_max="max 100000")
    assert cores.usable_cores() == 3


def test_the_first_versions_quota_counts(machine, tmp_path):
    machine("4:cpu,cpuacct:/docker\n")
    folder = tmp_path / "cgroup" / "cpu,cpuacct" / "docker"
    folder.mkdir(parents=True)
    (folder / "cpu.cfs_quota_us").write_text("400000\n")
    (folder / "cpu.cfs_period_us").write_text("100000\n")
    assert cores.usable_cores() == 4
    (folder / "cpu.cfs_quota_us").write_text("-1\n")
    assert cores.usable_cores() == 12


@pytest.mark.parametrize("text", ["", "rubbish", "5 0", "1 2 3"])
def test_what_cannot_be_read_is_no_limit(machine, text):
    machine("rubbish\n", cpu_max=text)
    assert cores.usable_cores() == 12
