"""What is free is what the system has available, or what the control groups leave."""

import pytest

from gpuio.cache import size


@pytest.mark.parametrize(("given", "expected"), [(4096, 4096), (0.5, 500), (1.0, 1000)])
def test_shares_are_of_what_is_free(given, expected):
    assert size.allowed_bytes(given, 1000) == expected


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with 8,000 KiB available and no group of its own."""
    (tmp_path / "meminfo").write_text("MemTotal: 9000 kB\nMemAvailable:    8000 kB\n")
    (tmp_path / "cgroup").write_text("")
    monkeypatch.setattr(size, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(size, "_CGROUPS", tmp_path / "groups")
    monkeypatch.setattr(size, "_OWN_GROUP", tmp_path / "cgroup")
    return tmp_path


def put(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


def test_the_system_says_what_is_available(machine):
    assert size.free_memory() == 8000 << 10


def test_a_group_leaves_its_limit_less_what_is_used_and_cannot_be_given_back(machine):
    (machine / "cgroup").write_text("0::/outer/inner\n")
    stat = "anon 5\ninactive_file 1000000\n"
    limits = {"memory__current": "3000000\n", "memory__stat": stat}
    put(machine / "groups" / "outer", memory__max="5000000\n", **limits)
    put(machine / "groups" / "outer" / "inner", memory__max="max\n", **limits)
    assert size.free_memory() == 3_000_000
    put(machine / "groups" / "outer", memory__max="1000000\n")
    assert size.free_memory() == 0


def test_groups_of_the_first_version(machine):
    (machine / "cgroup").write_text("5:cpu:/x\n9:memory:/job\n")
    put(
        machine / "groups" / "memory" / "job",
        memory__limit_in_bytes="4000000\n",
        memory__usage_in_bytes="1000000\n",
        memory__stat="total_inactive_file 500\n",
    )
    assert size.free_memory() == 3_000_500


def test_a_disk_has_some_room(tmp_path):
    assert size.free_on_disk(str(tmp_path)) > 0
