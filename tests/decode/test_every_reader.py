"""The limits on pixels, scans and formats hold for every reader, not for iterators alone."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import gpuio as mx
from gpuio.errors import DecodeError
from support.making import flat, jpeg, photo, write_rec

ROOT = Path(__file__).parents[1]
READERS = [
    *("imdecode", "imread", "unpack_img", "ImageIter", "ImageIter of a list", "ImageDetIter"),
    *("show", "im2rec"),
]


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    folder = tmp_path_factory.mktemp("readers")
    done = subprocess.run(
        [sys.executable, str(ROOT / "support" / "readers.py"), str(folder), str(folder / "out")],
        env={"PYTHONPATH": str(ROOT), "PATH": "", "MALLOC_ARENA_MAX": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "out").read_text())


@pytest.mark.parametrize("reader", READERS)
def test_bombs_are_refused_by_their_headers(outcome, reader):
    said = outcome["said"][reader]
    assert len(said) == 26
    for bomb, words in said.items():
        if reader in ("show", "im2rec"):
            assert words.startswith("RuntimeError: exit 1"), (bomb, words)
        else:
            assert words.startswith("DecodeError: "), (bomb, words)
        expected = {"avif": "AVIF", "radiance": "Radiance", "png of a long chunk": "ends beyond"}
        if reader == "show" and bomb in ("avif", "radiance"):  # its sniffing knows fewer names
            expected = dict.fromkeys(expected, "no image signature")
        assert expected.get(bomb, "more than") in words, (bomb, words)


def test_they_cost_no_memory(outcome):
    assert outcome["grown"] < 20  # MiB; 0.6 where it was measured, and a bomb claims 457


def test_an_argument_moves_the_limit(tmp_path, capsys):
    from gpuio.tools import cli

    blob = jpeg(photo(20, 30, 1))
    rec, idx = write_rec(tmp_path, [blob])
    packed = mx.recordio.pack(mx.recordio.IRHeader(0, 0, 0, 0), blob)
    (tmp_path / "a.jpg").write_bytes(blob)
    (tmp_path / "a.lst").write_text("0\t0\ta.jpg\n")

    def iterate(**limit):
        with mx.image.ImageIter(1, (3, 8, 8), path_imgrec=rec, path_imgidx=idx, **limit) as it:
            it.next()

    for read in (
        lambda **limit: mx.image.imdecode(blob, **limit),
        lambda **limit: mx.image.imread(tmp_path / "a.jpg", **limit),
        lambda **limit: mx.recordio.unpack_img(packed, **limit),
        iterate,
    ):
        read(max_pixels=600)
        with pytest.raises(DecodeError, match="20 pixels, more than the limit of 599"):
            read(max_pixels=599)
    for pixels, code in ((600, 0), (599, 1)):
        limit = ["--max-pixels", str(pixels)]
        assert cli.main(["show", rec, "--out", str(tmp_path / "s.png"), *limit]) == code
        assert cli.main(["im2rec", str(tmp_path / "a"), str(tmp_path), *limit]) == code
        capsys.readouterr()


def test_scans_are_bounded_too():
    from decode.test_limits import progressive, with_scans

    blob = with_scans(progressive(photo(64, 64, 1)), 101)
    with pytest.raises(DecodeError, match="101 scans"):
        mx.image.imdecode(blob)
    assert mx.image.imdecode(blob, max_scans=101).shape == (64, 64, 3)


def test_what_is_no_image_is_none_for_unpack_img_as_before():
    header, image = mx.recordio.unpack_img(
        mx.recordio.pack(mx.recordio.IRHeader(0, 3, 0, 0), b"junk, not an image")
    )
    assert (header.label, image) == (3, None)
    assert mx.image.imdecode(flat(1)).ndim == 3
