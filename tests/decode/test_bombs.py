"""A file of a hundred bytes that claims a hundred megapixels costs a hundred bytes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.bombs import bombs
from support.making import flat, write_rec

PROGRAM = Path(__file__).parents[1] / "support" / "bombs.py"
BOMBS = bombs()


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    """Read every bomb in a child with 300 MiB of address space to spare."""
    folder = tmp_path_factory.mktemp("bombs")
    rec, _ = write_rec(folder, [flat(1), *BOMBS.values(), flat(2)])
    out = folder / "out.json"
    done = subprocess.run(
        [sys.executable, str(PROGRAM), rec, str(out)],
        env={**os.environ, "MALLOC_ARENA_MAX": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(out.read_text())


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_by_its_header(outcome, name):
    number = 1 + list(BOMBS).index(name)
    reason = outcome["failed"][str(number)]
    assert reason.startswith("DecodeError: ")
    assert ("ends beyond" if name == "png of a long chunk" else "more than") in reason, reason


def test_all_of_them_cost_neither_memory_nor_time(outcome):
    assert len(outcome["failed"]) == len(BOMBS)
    assert outcome["grown"] < 20  # MiB; 0.2 where it was measured, and a bomb claims 457
    assert outcome["seconds"] < 5  # of a processor; 0.004 there


def test_they_are_small():
    assert max(map(len, BOMBS.values())) < 50_000
    assert sorted(map(len, BOMBS.values()))[-2] < 300
