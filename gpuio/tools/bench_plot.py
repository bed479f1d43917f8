"""The chart of `gpuio bench`: images per second over threads, below the bound of bare decoding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gpuio.errors import OptionError, StorageError

__all__ = ["check_plot", "draw"]

_KINDS = (".png", ".svg", ".pdf")
_STAGES = {"decode": "#1b6ca8", "kernels": "#f28e2b", "rest": "#d0d0d0"}


def check_plot(path: str) -> None:
    """Refuse what cannot be drawn, before anything is measured.

    Raises
    ------
    OptionError         an unknown suffix, or matplotlib is missing
    StorageError        there is no such folder
    """
    if Path(path).suffix.lower() not in _KINDS:
        raise OptionError(f"--plot {path}: expected a name that ends in {', '.join(_KINDS)}")
    if not Path(path).absolute().parent.is_dir():
        raise StorageError("cannot write: its folder is missing", path=path)
    try:
        import matplotlib as mpl
    except ImportError as error:
        raise OptionError("--plot needs matplotlib: pip install 'gpuio[plot]'") from error
    del mpl


def draw(found: dict[str, Any], path: str) -> None:
    """Draw what `measure` returned into a file."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    counts = [int(count) for count in found["threads"]]
    rates = [one["images_per_s"] for one in found["threads"].values()]
    median = [one["median"] for one in rates]
    spread = [
        [one["median"] - one["q1"] for one in rates],
        [one["q3"] - one["median"] for one in rates],
    ]
    left.errorbar(counts, median, spread, marker="o", capsize=3, label="iterator")
    bare = [found["bare_decode"][str(count)]["median"] for count in counts]
    left.plot(counts, bare, linestyle="--", marker=".", color="#444444", label="bare decoding")
    left.axvline(found["facts"]["cores"], color="#bbbbbb", linewidth=1, label="cores")
    left.set_xlabel("preprocess_threads")
    left.set_ylabel("images/s")
    left.set_xticks(counts)
    left.set_ylim(0, 1.1 * max(*median, *bare))
    left.legend(frameon=False)
    below = [0.0] * len(counts)
    for stage, color in _STAGES.items():
        heights = [_share(one["stats"], stage) for one in found["threads"].values()]
        right.bar([str(one) for one in counts], heights, bottom=below, color=color, label=stage)
        below = [a + b for a, b in zip(below, heights, strict=True)]
    right.set_xlabel("preprocess_threads")
    right.set_ylabel("share of the threads' time")
    right.set_ylim(0, 1)
    right.legend(frameon=False, loc="lower right")
    shape = "x".join(map(str, found["options"]["data_shape"]))
    figure.suptitle(f"{Path(found['path']).name}: {found['facts']['records']:,} records, {shape}")
    figure.savefig(path, dpi=110)


def _share(stats: dict[str, Any], stage: str) -> float:
    """Return the share of the making threads' time that a stage took."""
    stages = stats.get("stages")
    if not stages:
        return 0.0
    if stage != "rest":
        return float(stages[stage]["busy"])
    return max(
        0.0, float(stages["making"]["busy"] - _share(stats, "decode") - _share(stats, "kernels"))
    )
