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

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.ticker import EngFormatter, MaxNLocator

DRAWN = ("end_to_end", "decode", "framing", "start", "soak")
_OURS, _OTHER, _BOUND = "#1b6ca8", "#b8b8b8", "#444444"


def bars(axes: Any, values: dict[str, dict[str, float]], title: str, bound: str = "") -> None:
    """Draw one horizontal bar a label, with quartiles; the label `bound` becomes a line."""
    labels = [label for label in values if label != bound]
    for place, label in enumerate(labels):
        one = values[label]
        color = _OURS if label.startswith("gpuio") else _OTHER
        spread = [[one["median"] - one["q1"]], [one["q3"] - one["median"]]]
        axes.barh(place, one["median"], color=color, xerr=spread, capsize=3, ecolor=_BOUND)
        axes.annotate(
            _short(one["median"]), (one["median"], place), (5, 8), textcoords="offset points"
        )
    axes.set_yticks(range(len(labels)), labels)
    axes.invert_yaxis()
    axes.margins(x=0.2)
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
        axes = figure.subplots()
        bars(axes, _field(results["peers"], "process_s"), "seconds from start to end, two batches")
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
        if result.get("name") not in DRAWN:
            continue
        figure = draw(result)
        figure.savefig(path.with_suffix(".png"), dpi=110, metadata={"Software": None})
        plt.close(figure)
        print(f"drew {path.stem}.png")


if __name__ == "__main__":
    main()
