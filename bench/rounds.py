"""Interleaved rounds and what is concluded from them.

Machines are shared and their speed drifts: peers take turns within a round, in an order drawn anew
for each, and are compared within the round, so that drift falls on all of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from peers import Measured, Peer

__all__ = ["conclude", "interleave", "quartiles", "ratio"]


def interleave(peers: list[Peer], rounds: int, seed: int = 0) -> dict[str, list[Measured]]:
    """Run one warm-up round, then `rounds` measured ones, every peer once in each."""
    rng = np.random.default_rng(seed)
    measured: dict[str, list[Measured]] = {peer.label: [] for peer in peers}
    for number in range(rounds + 1):
        for place in rng.permutation(len(peers)):
            peer = peers[place]
            took = peer.round()
            if number:
                measured[peer.label].append(took)
    return measured


def quartiles(values: list[float]) -> dict[str, float]:
    """Return median and quartiles, to five digits."""
    low, median, high = np.percentile(values, [25, 50, 75])
    return {
        name: float(f"{value:.5g}")
        for name, value in (("median", median), ("q1", low), ("q3", high))
    }


def ratio(over: list[Measured], under: list[Measured], *, cpu: bool = False) -> dict[str, float]:
    """Return how many times as fast `over` is as `under`, compared round by round."""

    def seconds(one: Measured) -> float:
        return (one.cpu_s if cpu else one.wall_s) / one.images

    return quartiles([seconds(b) / seconds(a) for a, b in zip(over, under, strict=True)])


def conclude(
    measured: dict[str, list[Measured]], subject: str = "gpuio", unit: str = "images"
) -> dict[str, Any]:
    """Return speeds, CPU time and ratios of all peers, and every round as it was measured.

    The CPU time is in milliseconds an image, in microseconds a record.
    """
    peers = {}
    name, scale = ("cpu_ms_per_image", 1e3) if unit == "images" else ("cpu_us_per_record", 1e6)
    for label, rounds in measured.items():
        peers[label] = {
            f"{unit}_per_s": quartiles([one.images / one.wall_s for one in rounds]),
            name: quartiles([scale * one.cpu_s / one.images for one in rounds]),
            "rounds": [
                {"wall_s": round(one.wall_s, 5), "cpu_s": round(one.cpu_s, 5), unit: one.images}
                for one in rounds
            ],
        }
    ratios = {
        f"{subject} / {label}": {
            "wall": ratio(measured[subject], rounds),
            "cpu": ratio(measured[subject], rounds, cpu=True),
        }
        for label, rounds in measured.items()
        if label != subject and subject in measured
    }
    return {"peers": peers, "ratios": ratios}
