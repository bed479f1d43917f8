"""Of mx.gluon what data scripts use: `data` sets over record files, and `utils.split_and_load`."""

from gpuio.gluon import data, utils
from gpuio.hooks import missing

__all__ = ["data", "utils"]


def __getattr__(name: str) -> None:
    raise missing("gpuio.gluon", name)
