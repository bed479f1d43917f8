"""What does one bad record in a hundred cost, left out by on_error="skip"?

The main job (shorter edge 256, centre crop 224, float32, normalised) over a sound file and over the
same file with damage: JPEGs of which half is missing, and record heads that are overwritten (read
with an index). Compared are images delivered a second; the aim is to lose 5 % at most. Records are
in page cache.
"""  # noqa: D400 -- a question ends as one

from __future__ import annotations

from pathlib import Path
from typing import Any

from peers import open_peers
from report import save
from rounds import conclude, interleave
from workload import Packed, main_job, packed, parser

NAME = "faults"
SOUND, IMAGES, HEADS = "sound", "half JPEGs", "damaged heads"


def with_damage(data: Packed, kind: str, every: int) -> dict[str, str]:
    """Write the file again with the last record of every `every` damaged; return its paths."""
    from gpuio import recordio

    rec = str(Path(data.rec).with_name(f"{kind}.rec"))
    idx = str(Path(data.rec).with_name(f"{kind}.idx"))
    with (
        recordio.MXIndexedRecordIO(data.idx, data.rec, "r") as reader,
        recordio.MXIndexedRecordIO(idx, rec, "w") as writer,
    ):
        for key in reader.keys:
            header, blob = recordio.unpack(reader.read_idx(key))
            if kind == IMAGES and key % every == every - 1:
                blob = blob[: len(blob) // 2]
            writer.write_idx(key, recordio.pack(header, blob))
        offsets = dict(writer.idx)
    if kind == HEADS:
        with open(rec, "r+b") as file:
            for key, offset in offsets.items():
                if key % every == every - 1:
                    file.seek(offset)
                    file.write(bytes(8))
    return {"rec": rec, "idx": idx}


def main() -> None:
    """Measure and write."""
    args = parser(__doc__).parse_args()
    batch, count, every, rounds = (4, 20, 10, 1) if args.toy else (64, 1000, 100, args.rounds)
    options = main_job(args.threads, batch) | {"on_error": "skip", "last_batch": "pad"}
    with packed(args.images, count) as data:
        work: dict[str, Any] = {"options": options, "images": data.images}
        wanted = {SOUND: ("gpuio", work | {"rec": data.rec, "idx": data.idx})}
        for kind in (IMAGES, HEADS):
            wanted[kind] = ("gpuio", work | with_damage(data, kind, every))
        peers, _ = open_peers(wanted)
        measured = interleave(peers, rounds)
        versions = dict(peers[0].versions)
        for peer in peers:
            peer.close()
    for kind in (IMAGES, HEADS):  # the first batch is not timed, and holds no bad record
        lost = {a.images - b.images for a, b in zip(measured[SOUND], measured[kind], strict=True)}
        assert lost == {count // every}, f"{kind}: {lost} images fewer, expected {count // every}"
    results = {
        kind: conclude(measured, kind)["ratios"][f"{kind} / {SOUND}"]
        for kind in wanted
        if kind != SOUND
    }
    save(
        args.out,
        NAME,
        __doc__,
        {"job": options, "bad": f"1 in {every}", "rounds": rounds, "data": data.about},
        {"peers": conclude(measured, SOUND)["peers"], "of_sound": results},
        page_cache="warm",
        versions=versions,
    )


if __name__ == "__main__":
    main()
