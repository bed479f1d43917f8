"""The examples run from a shell as their first lines say, and draw and print what they promise."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from gpuio.tools.photos import make_photos

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"

# name: (what it must print, the pictures it draws)
SAYS = {
    "arrays": (
        [
            r"last_batch_handle='pad'\n  epoch 0: .*\[8, 9, 0, 1\]\]",
            r"'roll_over'\n  epoch 0: .*\[4, 5, 6, 7\]\]\n  epoch 1: \[\[8, 9, 0, 1\]",
            r"<NDArray 4x2 @cpu\(0\)>",
        ],
        [],
    ),
    "boxes": ([r"data: \(4, 3, 200, 200\) label: \(4, 2, 5\)"], ["boxes.png"]),
    "csv_file": ([r"batch 3: \(30, 2, 3\) \(30,\) pad 20\n.*begins at row 20"], []),
    "custom_iterator": ([r"accuracy (0\.9[5-9]|1)"], ["spirals.png"]),
    "ddp": ([r"epoch 6: 24 steps", r"step 144, accuracy 0\.9[2-9]"], []),
    "image_folder": (
        [r"plain: \(16, 3, 224, 224\) \(16,\) batches an epoch: 3"],
        ["plain.png", "augmented.png"],
    ),
    "image_iter": ([r"batch: \(16, 3, 112, 112\)"], ["steps.png", "image_iter.png"]),
    "record_files": (
        [r"label=4\.0, id=2574", r"array\(\[1\., 2\., 3\.\]", r"label 2\.0, \(48, 64, 3\)"],
        [],
    ),
    "torch_digits": ([r"accuracy (0\.9[7-9]|1)"], []),
    "two_sources": ([r"mean 141\.0: a bright picture number 5 <end> \(record 5\)"], []),
}
NEEDS = {"ddp": ("torch", "sklearn"), "torch_digits": ("torch", "sklearn")}


def run(name, *arguments):
    """Run an example with warnings as errors; return what it printed."""
    found = os.environ.get("PYTHONPATH")
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / f"{name}.py"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), found]))},
    )
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    return done.stdout


def check_picture(path):
    """Hold a drawing to what a glance would: paper around pictures in many colours."""
    picture = cv2.imread(str(path))
    assert min(picture.shape[:2]) >= 200
    pixels = picture.reshape(-1, 3)
    assert (np.ptp(pixels, axis=1) > 30).mean() > 0.1
    assert len(np.unique(pixels[::7], axis=0)) > 100
    assert (picture[0, 0] == 255).all()  # the paper


def test_every_example_is_run_here():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {*SAYS, "drawing"}


@pytest.mark.slow
@pytest.mark.parametrize("name", SAYS)
def test_example(name, tmp_path):
    missing = [one for one in NEEDS.get(name, ()) if importlib.util.find_spec(one) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    texts, pictures = SAYS[name]
    said = run(name, *([] if name == "arrays" else ["--out", str(tmp_path)]))
    for text in texts:
        assert re.search(text, said), said
    assert sorted(path.name for path in tmp_path.glob("*.png")) == sorted(pictures)
    for picture in pictures:
        check_picture(tmp_path / picture)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["image_folder", "image_iter"])
def test_an_example_takes_the_users_images(name, tmp_path):
    images = tmp_path / "given"
    make_photos(images, 4, 2, size=(96, 128))
    said = run(name, "--images", str(images), "--out", str(tmp_path / "out"))
    assert "class_01" in said or "labels: [" in said
    assert not (tmp_path / "out" / "images").exists()
