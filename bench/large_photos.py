"""How much faster are photos of 12 megapixels with decode_scale="auto"?

Photos are enlarged to 12 megapixels (bicubic, JPEG of quality 90), to 224 x 224: shorter edge 256
and centre crop, and random resized crops. gpuio with decode_scale "auto" and "off" take turns.
`--grain 4` adds a camera's noise (gray, standard deviation in levels of 255): files are then 2.5
times as large, and more of the time is what no scale saves, reading their entropy-coded data.
"""  # noqa: D400 -- a question ends as one

from __future__ import annotations

import numpy as np
from jobs import JOBS, STILL
from peers import open_peers
from report import save
from rounds import conclude, interleave, ratio
from workload import packed, parser

NAME = "large_photos"
SCALES = {"gpuio": "auto", "decode_scale off": "off"}


def main() -> None:
    """Measure and write."""
    made = parser(__doc__)
    made.add_argument("--megapixels", type=float, default=12)
    made.add_argument("--grain", type=float, default=0)
    args = made.parse_args()
    count, rounds, pixels = 48, args.rounds, args.megapixels
    if args.toy:
        count, rounds, pixels = 16, 1, 1
    results, told = {}, {}
    with packed(args.images, count, megapixels=pixels, grain=args.grain) as data:
        for name in ("photos", "rrc"):
            options = JOBS[name].all_options(args.threads) | {"batch_size": 8}
            told[name] = options
            work = {"rec": data.rec, "idx": data.idx, "images": data.images}
            wanted = {
                label: ("gpuio", work | {"options": options | {"decode_scale": scale}})
                for label, scale in SCALES.items()
            }
            peers, _ = open_peers(wanted)
            auto, off = (
                np.stack(peer.images(8, **STILL, seed_aug=1, dtype="uint8")).astype(np.float64)
                for peer in peers
            )
            measured = interleave(peers, rounds)
            for peer in peers:
                peer.close()
            results[name] = {
                **conclude(measured),
                "auto over off": {
                    "wall": ratio(*measured.values()),
                    "cpu": ratio(*measured.values(), cpu=True),
                },
                "levels of 255 between them, mean": round(float(np.abs(auto - off).mean()), 2),
            }
            print(name, results[name]["auto over off"])
    told |= {"rounds": rounds, "data": data.about}
    save(args.out, NAME, __doc__, told, results, page_cache="warm")


if __name__ == "__main__":
    main()
