"""Which of how many processes this is, as the launcher that started it says in the environment."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping

from gpuio.errors import OptionError

__all__ = ["launched"]

_log = logging.getLogger("gpuio")

# launcher: the variables of this process's number and of how many there are, and one that must be
# there as well: an interactive shell and a batch script of SLURM have the first two, without a step
_FAMILIES = {
    "torchrun": ("RANK", "WORLD_SIZE", None),
    "SLURM": ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_STEP_ID"),
    "Open MPI": ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", None),
    "PMI": ("PMI_RANK", "PMI_SIZE", None),
}
_AGENTS = "GROUP_WORLD_SIZE"  # torchrun: how many of its agents, each the parent of some processes


def launched(environ: Mapping[str, str] | None = None) -> tuple[int, int]:
    """Return the number of processes and this one's, (1, 0) where no launcher has set them.

    Parameters
    ----------
    environ : mapping, optional     of variables; the process's own if None

    Raises
    ------
    OptionError                     launchers contradict each other, one variable of two is missing,
                                    or one is not a number of its range

    Notes
    -----
    Where ``srun`` or ``mpirun`` starts the agents of torchrun, their numbers are those of agents;
    torchrun's count.
    """
    known = os.environ if environ is None else environ
    found = {}
    for name, (rank, size, needed) in _FAMILIES.items():
        if needed is not None and needed not in known:
            continue
        if rank in known or size in known:
            found[name] = _numbers(known, name, rank, size)
    if "torchrun" in found and _AGENTS in known:
        agents = _number(known, "torchrun", _AGENTS)
        found = {n: one for n, one in found.items() if n == "torchrun" or one[0] != agents}
    if len(set(found.values())) > 1:
        said = ", ".join(f"{name} part {at} of {of}" for name, (of, at) in found.items())
        raise OptionError(
            f"num_parts: 'auto', but the environment contradicts itself: {said}. Unset the "
            "variables that are left over, or give num_parts and part_index"
        )
    if not found:
        _log.info("num_parts='auto': no launcher has set a rank, so there is one part")
        return 1, 0
    (parts, index), names = next(iter(found.values())), " and ".join(found)
    _log.info("num_parts='auto': part %d of %d, by %s", index, parts, names)
    return parts, index


def _numbers(known: Mapping[str, str], name: str, rank: str, size: str) -> tuple[int, int]:
    """Return a launcher's number of processes and this one's."""
    for one, other in ((rank, size), (size, rank)):
        if one not in known:
            raise OptionError(
                f"num_parts: 'auto', but of {name}'s variables {other} is set and {one} is not"
            )
    index, parts = _number(known, name, rank), _number(known, name, size)
    if not 0 <= index < parts:
        raise OptionError(
            f"num_parts: 'auto', but {name} says {rank}={index} and {size}={parts}: expected "
            f"0 <= {rank} < {size}"
        )
    return parts, index


def _number(known: Mapping[str, str], name: str, variable: str) -> int:
    try:
        return int(known[variable])
    except ValueError:
        raise OptionError(
            f"num_parts: 'auto', but {name}'s {variable} is {known[variable]!r}, not a number"
        ) from None
