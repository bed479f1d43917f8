"""Where a command's pieces of work are done: in this process, or as tasks of a Ray cluster."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from typing import Any

__all__ = ["add_engine", "runner"]


def add_engine(parser: Any, what: str) -> None:
    """Declare --engine; `what` says what is done there."""
    parser.add_argument(
        "--engine",
        default="local",
        choices=["local", "ray"],
        help=f"where the work is done: ray, on the cluster that ray.init() finds, {what}. Every "
        "machine must see the files under the same paths",
    )


def runner(
    args: argparse.Namespace, num_cpus: int = 1
) -> Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]:
    """Return what carries out ``function(job)`` for jobs, and yields the results in any order.

    Parameters
    ----------
    args : Namespace        of `add_engine`
    num_cpus : int          that one job takes
    """
    if args.engine == "local":
        return map
    from gpuio.adapters.ray import run_tasks

    return lambda function, jobs: run_tasks(function, jobs, num_cpus=num_cpus)
