"""A launcher's word is taken; launchers that contradict each other, or themselves, are not."""

import logging

import pytest

from gpuio.errors import OptionError
from gpuio.options.launcher import launched
from support.tables import options

TORCHRUN = {"RANK": "3", "WORLD_SIZE": "8"}
SLURM = {"SLURM_PROCID": "3", "SLURM_NTASKS": "8", "SLURM_STEP_ID": "0"}
MPI = {"OMPI_COMM_WORLD_RANK": "3", "OMPI_COMM_WORLD_SIZE": "8"}
PMI = {"PMI_RANK": "3", "PMI_SIZE": "8"}


@pytest.mark.parametrize("environ", [TORCHRUN, SLURM, MPI, PMI, TORCHRUN | SLURM, MPI | PMI])
def test_every_launcher_is_known(environ):
    assert launched(environ) == (8, 3)


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"SLURM_PROCID": "0", "SLURM_NTASKS": "8"},  # a batch script, or an interactive shell
        {"LOCAL_RANK": "1"},
    ],
)
def test_without_a_launcher_there_is_one_part(environ, caplog):
    caplog.set_level(logging.INFO, "gpuio")
    assert launched(environ) == (1, 0)
    assert "no launcher" in caplog.text


def test_agents_of_torchrun_that_another_launcher_started_are_no_contradiction():
    agents = {"SLURM_PROCID": "1", "SLURM_NTASKS": "2", "SLURM_STEP_ID": "0"}
    assert launched(TORCHRUN | agents | {"GROUP_WORLD_SIZE": "2"}) == (8, 3)
    with pytest.raises(OptionError):
        launched(TORCHRUN | agents | {"GROUP_WORLD_SIZE": "4"})


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        (TORCHRUN | SLURM | {"SLURM_PROCID": "1"}, "torchrun part 3 of 8, SLURM part 1 of 8"),
        (MPI | PMI | {"PMI_SIZE": "4"}, "Open MPI part 3 of 8, PMI part 3 of 4"),
        ({"RANK": "0"}, "of torchrun's variables RANK is set and WORLD_SIZE is not"),
        ({"PMI_SIZE": "2"}, "of PMI's variables PMI_SIZE is set and PMI_RANK is not"),
        (TORCHRUN | {"RANK": "8"}, "RANK=8 and WORLD_SIZE=8: expected 0 <= RANK < WORLD_SIZE"),
        (TORCHRUN | {"RANK": "x"}, "torchrun's RANK is 'x', not a number"),
        (TORCHRUN | {"GROUP_WORLD_SIZE": ""}, "GROUP_WORLD_SIZE is '', not a number"),
    ],
)
def test_what_contradicts_itself_is_refused(environ, says):
    with pytest.raises(OptionError, match=r"^num_parts: ") as raised:
        launched(environ)
    assert says in str(raised.value)


def test_options_hold_the_numbers_that_the_launcher_gave(monkeypatch):
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)
    made = options(num_parts="auto")
    assert (made.num_parts, made.part_index) == (8, 3)
    assert options(num_parts="auto", part_index=3).part_index == 3
    with pytest.raises(OptionError, match="part_index: 2 beside num_parts='auto'"):
        options(num_parts="auto", part_index=2)
    with pytest.raises(OptionError, match="num_parts: expected a whole number, got 'all'"):
        options(num_parts="all")
