"""How many images a second can be decoded at all, by whom, on the CPU?

Nothing but JPEG to R G B pixels: what every pipeline above must spend. DALI also reads the records;
OpenCV and nvImageCodec get their bytes from memory.
"""  # noqa: D400 -- a question ends as one

from __future__ import annotations

import numpy as np
from peers import open_peers
from report import save
from rounds import conclude, interleave
from workload import main_job, packed, parser

NAME = "decode"


def same_pixels(images: dict[str, list[np.ndarray]]) -> dict[str, dict[str, float]]:
    """Compare every decoder's pixels with OpenCV's; stop if they are not the same pictures."""
    found = {}
    for label, theirs in images.items():
        if label == "cv2":
            continue
        worst, total, differing, values = 0, 0.0, 0, 0
        for ours, other in zip(images["cv2"], theirs, strict=True):
            assert ours.shape == other.shape, f"{label}: {other.shape}, cv2 has {ours.shape}"
            off = np.abs(ours.astype(np.int16) - other)
            worst = max(worst, int(off.max()))
            total, differing = total + float(off.sum()), differing + int(np.count_nonzero(off))
            values += off.size
        assert total / values < 1, f"{label}'s pixels are not those of cv2"
        found[label] = {
            "largest difference, levels": worst,
            "mean difference, levels": round(total / values, 5),
            "share of values that differ": round(differing / values, 6),
        }
    return found


def main() -> None:
    """Measure and write."""
    args = parser(__doc__).parse_args()
    batch, count, rounds = (8, 32, 2) if args.toy else (64, 1600, args.rounds)
    job = main_job(args.threads, batch)
    with packed(args.images, count) as data:
        work = {"rec": data.rec, "idx": data.idx, "images": data.images, "options": job}
        peers, absent = open_peers(
            {
                "cv2": ("cv2", work),
                "nvimgcodec": ("nvimgcodec", work),
                "dali": ("dali decode", work),
            }
        )
        checked = same_pixels({peer.label: peer.images(batch) for peer in peers})
        measured = interleave(peers, rounds)
        for peer in peers:
            peer.close()
    results = {**conclude(measured, subject="cv2"), "absent": absent, "checked": checked}
    versions = {name: value for peer in peers for name, value in peer.versions.items()}
    options = {"threads": args.threads, "batch_size": batch, "rounds": rounds, "data": data.about}
    save(args.out, NAME, __doc__, options, results, page_cache="warm", versions=versions)


if __name__ == "__main__":
    main()
