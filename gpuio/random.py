"""mx.random: `seed`, and the numbers of `gpuio.nd.random` under MXNet's other name."""

from gpuio.hooks import missing
from gpuio.nd.random import normal, randint, seed, uniform

__all__ = ["normal", "randint", "seed", "uniform"]


def __getattr__(name: str) -> None:
    raise missing("gpuio.random", name)
