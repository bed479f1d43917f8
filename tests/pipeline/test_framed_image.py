"""An image file becomes a record that shows the same picture, or a sentence says why not."""

import io
import os

import cv2
import numpy as np
import pytest
from PIL import Image

from gpuio.pipeline.framed_image import PackOptions, frame_image
from gpuio.recordio import unpack, unpack_img
from gpuio.recordio.framing import unframe
from gpuio.recordio.lists import ListItem
from support import coding
from support.making import jpeg, photo, png
from support.turned import turned_png, turned_webp

PHOTO = photo(24, 32)
BMP = cv2.imencode(".bmp", PHOTO)[1].tobytes()
DEEP = PHOTO.astype(np.uint16) * 256 + 77


def frame(folder, blob, **options):
    """The payload of the record that a file of these bytes becomes, and what is wrong."""
    (folder / "image").write_bytes(blob)
    framed, problem = frame_image(ListItem(3, "image", (7.0,)), str(folder), PackOptions(**options))
    return None if framed is None else unframe(framed), problem


def shown(folder, blob, **options):
    payload, problem = frame(folder, blob, **options)
    assert payload is not None, problem
    return unpack_img(payload)[1]


@pytest.mark.parametrize("color", [-1, 0, 1])
@pytest.mark.parametrize("turn", [2, 3, 6])
@pytest.mark.parametrize("kind", ["png", "webp", "jpeg", "tiff"])
def test_an_image_is_packed_upright(tmp_path, kind, turn, color):
    blob = {
        "png": lambda: turned_png(PHOTO, turn),
        "webp": lambda: turned_webp(PHOTO, turn),
        "jpeg": lambda: coding.exif(jpeg(PHOTO), turn),
        "tiff": lambda: turned_tiff(turn),
    }[kind]()
    stored = cv2.imdecode(np.frombuffer(jpeg(PHOTO) if kind == "jpeg" else png(PHOTO), np.uint8), 1)
    image = shown(tmp_path, blob, color=color, encoding=".png")
    gray = cv2.imdecode(np.frombuffer(jpeg(PHOTO), np.uint8), 0)
    if color == 0:
        stored = gray if kind == "jpeg" else cv2.cvtColor(stored, cv2.COLOR_BGR2GRAY)
    wanted = coding.upright(stored, turn)
    assert image.shape == wanted.shape
    assert np.abs(image.astype(int) - wanted).max() <= (color == 0)  # a format's own luma


def turned_tiff(turn):
    file = io.BytesIO()
    Image.fromarray(PHOTO[..., ::-1].copy()).save(file, "TIFF", tiffinfo={274: turn})
    return file.getvalue()


@pytest.mark.parametrize("suffix", [".png", ".tiff", ".pgm"])
@pytest.mark.parametrize("color", [-1, 0, 1])
def test_of_16_bits_a_jpeg_gets_the_high_byte(tmp_path, suffix, color):
    deep, plain = DEEP[..., 0], PHOTO[..., 0]
    blob = cv2.imencode(suffix, deep)[1].tobytes()
    payload, _ = frame(tmp_path, blob, color=color)
    expected = plain if color < 1 else cv2.merge([plain] * 3)
    assert unpack(payload)[1] == jpeg(expected)


@pytest.mark.parametrize("color", [-1, 0, 1])
def test_a_dark_image_of_16_bits_is_dark(tmp_path, color):
    blob = cv2.imencode(".png", PHOTO[..., 0].astype(np.uint16))[1].tobytes()
    assert shown(tmp_path, blob, color=color).max() == 0


def test_a_png_keeps_16_bits_where_they_are_asked_for(tmp_path):
    blob = cv2.imencode(".png", DEEP)[1].tobytes()
    assert np.array_equal(shown(tmp_path, blob, color=-1, encoding=".png"), DEEP)
    assert np.array_equal(shown(tmp_path, blob, color=1, encoding=".png"), PHOTO)


@pytest.mark.parametrize("suffix", [".tiff", ".pfm"])
@pytest.mark.parametrize("color", [-1, 0, 1])
def test_floats_are_refused(tmp_path, suffix, color):
    blob = cv2.imencode(suffix, (PHOTO / 255).astype(np.float32))[1].tobytes()
    payload, problem = frame(tmp_path, blob, color=color)
    assert payload is None
    assert "floats" in problem or (suffix == ".tiff" and "a TIFF image" in problem)


NO_IMAGES = {
    "a web page": b"<html>404</html>",
    "a git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
    "a zip archive": b"PK\x03\x04" + bytes(30),
    "a NumPy array": b"\x93NUMPY\1\0" + bytes(30),
    "a record file": b"\x0a\x23\xd7\xce" + bytes(20),
    "PDF": b"%PDF-1.7\n",
    "6e6f2069": b"no image",
    "424d5720": b"BMW is a maker of cars, and this is a text about it." + bytes(20),
}


@pytest.mark.parametrize("pass_through", [True, False])
@pytest.mark.parametrize("kind", NO_IMAGES)
def test_what_is_not_an_image_is_left_out_and_named(tmp_path, kind, pass_through):
    payload, problem = frame(tmp_path, NO_IMAGES[kind], pass_through=pass_through)
    assert payload is None
    assert problem.startswith("image: not a readable image")
    assert kind in problem


@pytest.mark.parametrize("blob", [b"\xff\xd8\xff\xe0junk", png(PHOTO)[:70], b"BM" + bytes(60)])
def test_pass_through_refuses_a_header_that_is_damaged(tmp_path, blob):
    payload, problem = frame(tmp_path, blob, pass_through=True)
    assert payload is None
    assert problem.startswith("image: ")


@pytest.mark.parametrize("blob", [jpeg(PHOTO), png(PHOTO), BMP, b"\0\0\0\x1cftypavif" + bytes(20)])
def test_pass_through_stores_every_image_as_it_is(tmp_path, blob):
    payload, problem = frame(tmp_path, blob, pass_through=True)
    assert (unpack(payload)[1], problem) == (blob, "")


@pytest.mark.parametrize(
    ("blob", "words"),
    [
        (jpeg(PHOTO), "it is a JPEG image, damaged, cut short"),
        (png(PHOTO), "PNG is cut short or damaged"),
    ],
)
def test_an_image_that_is_cut_short_is_left_out_and_named(tmp_path, blob, words):
    payload, problem = frame(tmp_path, blob[: len(blob) // 2])
    assert payload is None
    assert words in problem


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    item = ListItem(0, "pipe", (0.0,))
    assert frame_image(item, str(tmp_path), PackOptions()) == (
        None,
        "pipe: cannot read: not a file",
    )
