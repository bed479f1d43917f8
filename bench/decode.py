"""How many images a second can be decoded at all, by whom, on the CPU?

Nothing but JPEG to R G B pixels, from bytes in memory: each decoder in one thread, and in a torch
DataLoader of 0, 1 and 2 workers, which hands the pixels over to the process that asked. DALI has no
call for one image: its reader and decoder, on one thread, stand beside the single threads, and on
two threads beside DataLoader(2).

`make decoders` sets up the decoders' own environment; without it, those that this Python has are
measured.
"""  # noqa: D400 -- a question ends as one

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from peer_decoders import DECODERS
from peers import Measured, Peer, python_of
from report import save
from rounds import conclude, interleave
from workload import main_job, packed, parser

NAME = "decode"
SUBJECT = "cv2"
WAYS: dict[str, dict[str, Any]] = {
    "one thread": {},
    **{f"DataLoader({count})": {"workers": count} for count in (0, 1, 2)},
}
_DALI_THREADS = {"one thread": 1, "DataLoader(2)": 2}


class Way:
    """A peer that does its round in one way."""

    def __init__(self, peer: Peer, way: str, options: dict[str, Any]) -> None:
        self.peer, self.way, self.options = peer, way, options
        self.label = f"{peer.label}, {way}"

    def round(self) -> Measured:
        """Let the peer do its work once, in this way."""
        return self.peer.round(**self.options)


def decoders_python() -> Path:
    """Return the Python that has the decoders: .venv-decoders where it is, else this one."""
    made = python_of("decoders")
    return made if made.exists() else Path(sys.executable)


def refused() -> dict[str, str]:
    """Return which packages `make decoders` could not install, and pip's reason."""
    told = python_of("decoders").parents[1] / "failed.txt"
    lines = told.read_text().splitlines() if told.exists() else []
    return {name: why for name, _, why in (line.partition(": ") for line in lines)}


def same_pixels(images: dict[str, list[np.ndarray]]) -> dict[str, dict[str, Any]]:
    """Compare every decoder's pixels with OpenCV's; stop if they are not the same pictures."""
    found: dict[str, dict[str, Any]] = {}
    for label, theirs in images.items():
        if label == SUBJECT:
            continue
        worst, total, differing, values = 0, 0.0, 0, 0
        for ours, other in zip(images[SUBJECT], theirs, strict=True):
            assert ours.shape == other.shape, f"{label}: {other.shape}, cv2 has {ours.shape}"
            off = np.abs(ours.astype(np.int16) - other)
            worst = max(worst, int(off.max()))
            total, differing = total + float(off.sum()), differing + int(np.count_nonzero(off))
            values += off.size
        assert total / values < 1, f"{label}'s pixels are not those of cv2"
        found[label] = {
            "equal to the bit": not differing,
            "largest difference, levels": worst,
            "mean difference, levels": round(total / values, 5),
            "share of values that differ": round(differing / values, 6),
        }
    return found


def open_decoders(work: dict[str, Any]) -> tuple[list[Peer], dict[str, str]]:
    """Return a process per decoder, and why the others are absent."""
    python, reasons = decoders_python(), refused()
    peers, absent = [], {}
    for name, (_, package) in DECODERS.items():
        peer = Peer(name, "decoder", work | {"decoder": name}, python)
        if peer.absent:
            absent[name] = reasons.get(package, peer.absent)
        else:
            peers.append(peer)
    peer = Peer("dali", "dali decode", work, python)
    if peer.absent:
        absent["dali"] = reasons.get("nvidia-dali-cuda120", peer.absent)
    else:
        peers.append(peer)
    return peers, absent


def ways(peers: list[Peer], *, loaders: bool) -> list[Way]:
    """Return what takes turns: every decoder in every way it has."""
    made = []
    for peer in peers:
        for way, options in WAYS.items():
            if not loaders and "workers" in options:
                continue
            if peer.label == "dali":
                if way not in _DALI_THREADS:
                    continue
                options = {"preprocess_threads": _DALI_THREADS[way]}  # noqa: PLW2901
            made.append(Way(peer, way, options))
    return made


def main() -> None:
    """Measure and write."""
    args = parser(__doc__).parse_args()
    batch, count, rounds = (8, 24, 1) if args.toy else (50, 400, args.rounds)
    with packed(args.images, count) as data:
        work = {"rec": data.rec, "idx": data.idx, "images": data.images}
        work["options"] = main_job(1, batch)
        peers, absent = open_decoders(work)
        loaders = all(peer.has_torch for peer in peers)
        if not loaders:
            absent["DataLoader"] = "torch is not there"
        checked = same_pixels({peer.label: peer.images(batch) for peer in peers})
        measured = interleave(ways(peers, loaders=loaders), rounds)
        for peer in peers:
            peer.close()
    results = {"ways": by_way(measured), "absent": absent, "checked": checked}
    versions = {name: value for peer in peers for name, value in peer.versions.items()}
    options = {"batch_size": batch, "rounds": rounds, "data": data.about}
    save(args.out, NAME, __doc__, options, results, page_cache="not used", versions=versions)


def by_way(measured: dict[str, list[Measured]]) -> dict[str, Any]:
    """Return what `conclude` concludes of each way, OpenCV beside the others."""
    made = {}
    for way in WAYS:
        mine = {
            label.removesuffix(f", {way}"): rounds
            for label, rounds in measured.items()
            if label.endswith(f", {way}")
        }
        if mine:
            made[way] = conclude(mine, subject=SUBJECT)
    return made


if __name__ == "__main__":
    main()
