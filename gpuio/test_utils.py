"""mx.test_utils: `list_gpus`, which scripts take contexts from; the other ones test MXNet."""

from gpuio.hooks import missing
from gpuio.nd.context import num_gpus

__all__ = ["list_gpus"]


def list_gpus() -> range:
    """Return the numbers of the GPUs that the driver shows; empty without one."""
    return range(num_gpus())


def __getattr__(name: str) -> None:
    raise missing("gpuio.test_utils", name)
