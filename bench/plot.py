"""Draw the charts of results, from their JSON files alone: ``python bench/plot.py DIR``.

A chart lies beside its JSON file under the same name. Bars are medians, their whiskers quartiles;
a dashed line is the upper bound, what nothing built on it can pass.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.ticker import EngFormatter, MaxNLocator

DRAWN = ("end_to_end", "decode", "framing", "start", "soak", "host_cost", "large_sets")
_STARTS = {
    "import_to_first_batch_s": "seconds from the import to the first batch",
    "import_to_first_batch_cpu_s": "CPU seconds from the import to the first batch",
}
_OURS, _OTHER, _BOUND = "#1b6ca8", "#b8b8b8", "#444444"


def bars(axes: Any, values: dict[str, dict[str, float]], title: str, bound: str = "") -> None:
    """Draw one horizontal bar per label, with quartiles; the label `bound` becomes a line.

    Values stand in a column right of the axes, where neither bars nor the line come.
    """
    labels = [label for label in values if label != bound]
    for place, label in enumerate(labels):
        one = values[label]
        color = _OURS if label.startswith("gpuio") else _OTHER
        spread = [[one["median"] - one["q1"]], [one["q3"] - one["median"]]]
        axes.barh(place, one["median"], color=color, xerr=spread, capsize=3, ecolor=_BOUND)
        axes.annotate(
            _short(one["median"]),
            (1.02, place),
            xycoords=axes.get_yaxis_transform(),
            va="center",
            annotation_clip=False,
        )
    axes.set_yticks(range(len(labels)), labels)
    axes.invert_yaxis()
    axes.margins(x=0.05)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.xaxis.set_major_formatter(lambda value, _: _short(value))
    axes.set_title(title, fontsize=10)
    if bound in values:
        limit = values[bound]["median"]
        axes.axvline(limit, color=_BOUND, linestyle="--", label=f"{bound}: {_short(limit)}")
        axes.legend(fontsize=8, loc="upper right", bbox_to_anchor=(1, -0.1), frameon=False)


def speeds(figure: Any, peers: dict[str, Any], unit: str, bound: str = "") -> None:
    """Draw speed and CPU time side by side."""
    left, right = figure.subplots(1, 2)
    time = "ms" if unit == "image" else "us"
    bars(left, _field(peers, f"{unit}s_per_s"), f"{unit}s/s, more is better", bound)
    bars(
        right,
        _field(peers, f"cpu_{time}_per_{unit}"),
        f"CPU {time} per {unit}, less is better",
        bound,
    )


def draw(result: dict[str, Any]) -> Any:
    """Return the figure of one result."""
    figure = plt.figure(figsize=(10, 3.6), layout="constrained")
    results = result["results"]
    if result["name"] == "framing":
        top, bottom = figure.subfigures(2, 1)
        figure.set_size_inches(10, 6)
        for part, name in ((top, "reading"), (bottom, "scanning")):
            part.suptitle(name, fontsize=10)
            speeds(part, results[name]["peers"], "record")
    elif result["name"] == "start":
        pair = figure.subplots(1, 2)
        for axes, (name, title) in zip(pair, _STARTS.items(), strict=True):
            if all(name in one for one in results["peers"].values()):
                bars(axes, _field(results["peers"], name), title)
    elif result["name"] == "large_sets":
        left, right = figure.subplots(1, 2)
        bars(left, _field(results["peers"], "seconds"), "seconds to the first record or batch")
        bars(right, _field(results["peers"], "peak_mib"), "peak resident memory, MiB")
    elif "ways" in results:
        parts = np.ravel(figure.subplots(-(-len(results["ways"]) // 2), 2))
        figure.set_size_inches(10, 1.2 + 3.6 * len(parts) // 2)
        for axes, (way, found) in zip(parts, results["ways"].items(), strict=False):
            bars(axes, _field(found["peers"], "images_per_s"), f"{way}: images/s, more is better")
        for axes in parts[len(results["ways"]) :]:
            axes.remove()
    elif result["name"] == "soak":
        axes = figure.subplots()
        grown = results["resident_mib"]
        axes.plot(range(1, len(grown) + 1), grown, marker=".", color=_OURS)
        axes.set_ylim(0, 1.2 * max(grown))
        axes.set_title("resident memory after each epoch, MiB", fontsize=10)
    else:
        # decode is its own bound: everything above decodes
        speeds(figure, results["peers"], "image", results.get("upper_bound", ""))
    machine = result["machine"]
    figure.suptitle(
        f"{result['question']}\n{machine['cpu']}, {machine['cores_allowed']} cores, commit "
        f"{result['commit']}, {result['date']}",
        fontsize=9,
    )
    return figure


def _short(value: float) -> str:
    """Return a number in three digits, thousands and millions as k and M."""
    return f"{value:.3g}" if value < 1000 else EngFormatter(places=1, sep="")(value)


def _field(peers: dict[str, Any], name: str) -> dict[str, dict[str, float]]:
    return {label: one[name] for label, one in peers.items()}


def main() -> None:
    """Draw every result of a folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", default=Path(__file__).with_name("results"), type=Path)
    for path in sorted(parser.parse_args().folder.glob("*.json")):
        result = json.loads(path.read_text())
        if not str(result.get("name", "")).startswith(DRAWN):
            continue
        figure = draw(result)
        figure.savefig(path.with_suffix(".png"), dpi=110, metadata={"Software": None})
        plt.close(figure)
        print(f"drew {path.stem}.png")


if __name__ == "__main__":
    main()
