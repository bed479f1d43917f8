"""What the GPU benchmarks share: photos, plans for them, and the machine they ran on."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

SIDE = 224
MEAN, STD = np.array([123.68, 116.78, 103.94], "f4"), np.array([58.4, 57.1, 57.4], "f4")


def load_photos(folder, made_in, count):
    """Return `count` JPEG blobs, repeated as needed: a folder's files, or photos made here."""
    if folder is None:
        from gpuio.tools.photos import make_photos

        folder = made_in / "photos"
        make_photos(folder, min(count, 200))
    names = sorted(p for p in Path(folder).rglob("*") if p.suffix.lower() in (".jpg", ".jpeg"))
    blobs = [path.read_bytes() for path in names]
    return (blobs * (count // len(blobs) + 1))[:count]


def add_data(parser):
    """Add the options that say which pictures are measured."""
    parser.add_argument("--images", help="folder of photos (JPEG), searched recursively")
    parser.add_argument("--faces", help="folder of small images (JPEG), searched recursively")


def load_sets(args, made_in, count):
    """Return {"photos": blobs, "faces": blobs}; what no folder has is made.

    There are `count` photos, and four times as many faces, which are decoded faster.
    """
    faces = args.faces
    if faces is None:
        from gpuio.tools.photos import make_photos

        faces = made_in / "faces"
        make_photos(faces, min(count, 300), size=(112, 112))
    return {
        "photos": load_photos(args.images, made_in, count),
        "faces": load_photos(faces, made_in, 4 * count),
    }


def save(out, result):
    """Write a result as JSON, unless there is no file for it; return the text.

    At once: who is killed meanwhile leaves the file that was there.
    """
    text = json.dumps(result, indent=2, default=str)
    if out:
        half = Path(f"{out}.half")
        half.write_text(text + "\n")
        half.replace(out)
    return text


def write_rec(blobs, folder, name="bench"):
    """Write the blobs as records; return the paths of the .rec and the .idx."""
    from gpuio import recordio

    rec, idx = str(folder / f"{name}.rec"), str(folder / f"{name}.idx")
    writer = recordio.MXIndexedRecordIO(idx, rec, "w")
    for key, blob in enumerate(blobs):
        writer.write_idx(key, recordio.pack(recordio.IRHeader(0, float(key % 1000), key, 0), blob))
    writer.close()
    return rec, idx


def plans(blobs, rng):
    """Draw random resized crops, 8 to 100 % of the area, and flips: PLAN[n]."""
    from gpuio.decode.formats import probe
    from gpuio.kernels.plan.layout import BILINEAR, PLAN

    rows = np.zeros(len(blobs), PLAN)
    rows["orient"], rows["gain"], rows["crop_inter"] = 1, 1, BILINEAR
    for row, blob in zip(rows, blobs, strict=True):
        height, width = probe(blob)[1:3]
        side = np.sqrt(rng.uniform(0.08, 1))
        crop_h, crop_w = max(1, int(height * side)), max(1, int(width * side))
        row["src_h"], row["src_w"], row["crop_h"], row["crop_w"] = height, width, crop_h, crop_w
        row["crop_y"] = rng.integers(0, height - crop_h + 1)
        row["crop_x"] = rng.integers(0, width - crop_w + 1)
        row["mirror"] = rng.integers(2)
    return rows


def threads():
    """Return the CPUs that this process may use."""
    return len(os.sched_getaffinity(0))


def machine():
    """Return what numbers depend on: GPU, driver, versions, CPUs, commit, date."""
    from gpuio.backend.gpu.probe import survey
    from gpuio.tools.doctor import examine, jpeg_engines

    found = examine(survey(), 0, "auto", engines=jpeg_engines)
    names = [
        line.split(":")[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    commit = ""
    if shutil.which("git"):  # a machine that code was carried to may have none
        commit = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=False,
        ).stdout.strip()
    return {
        **{name: value for name, value in found.items() if name not in ("gaps", "notes")},
        "cpu": names[0] if names else "",
        "commit": commit,
        "date": datetime.now(UTC).date().isoformat(),
    }
