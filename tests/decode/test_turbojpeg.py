"""TurboJPEG is found, refused with a reason, and decodes the pixels that OpenCV decodes."""

import ctypes
import functools
import gc
import io
import logging
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from fuzz import image_mutants
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gpuio.decode import turbojpeg
from gpuio.decode.formats import ImageInfo, probe
from gpuio.errors import DecodeError
from gpuio.kernels.cpu.share import WARNED
from support import kinds
from support.making import SAMPLING, encoded, jpeg, photo, reader, warned, write_rec

needs_library = pytest.mark.skipif(
    not turbojpeg.status().usable, reason=f"no TurboJPEG: {turbojpeg.status().reason}"
)


@pytest.fixture
def search(monkeypatch):
    """Search with GPUIO_TURBOJPEG set; forget what was found afterwards."""

    def found(value):
        monkeypatch.setenv(turbojpeg.VARIABLE, str(value))
        turbojpeg._library.cache_clear()
        turbojpeg._say.cache_clear()
        return turbojpeg.status()

    yield found
    monkeypatch.undo()
    turbojpeg._library.cache_clear()


def of_another_machine(folder):
    """Return the path of this machine's C library, said to be for another processor."""
    whole = bytearray(Path(loaded("libm")).read_bytes())
    whole[18:20] = (0xF3).to_bytes(2, "little")  # RISC-V
    path = folder / "libturbojpeg.so.0"
    path.write_bytes(whole)
    return path


def loaded(name):
    """Return the path of a library that this process has loaded."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        if f"/{name}" in line:
            return line.split(maxsplit=5)[5]
    raise AssertionError(name)


def broken(kind, folder):
    """Return a path that is no usable library."""
    path = folder / "libturbojpeg.so.0"
    if kind == "missing":
        return path
    if kind == "not a library":
        path.write_text("a text")
    elif kind == "empty":
        path.touch()
    elif kind == "a folder":
        path.mkdir()
    elif kind == "another machine":
        of_another_machine(folder)
    elif kind == "another library":
        shutil.copy(loaded("libm"), path)
    return path


BROKEN = ["missing", "not a library", "empty", "a folder", "another machine", "another library"]


@pytest.mark.parametrize("kind", BROKEN)
def test_a_library_that_cannot_be_used_says_why(tmp_path, search, kind, caplog):
    path = broken(kind, tmp_path)
    found = search(path)
    assert not found.usable
    assert found.path == str(path)
    assert found.reason.startswith(
        "it has no tj3Init" if kind == "another library" else "it does not load: "
    )
    with caplog.at_level(logging.INFO, "gpuio"):
        turbojpeg.announce()
    (line,) = caplog.records
    assert line.levelno == logging.WARNING
    assert line.message == f"OpenCV decodes; TurboJPEG is not used: {path}: {found.reason}"


def test_a_library_of_version_2_is_refused(tmp_path, search, monkeypatch):
    two = SimpleNamespace(tjInitDecompress=None, tjDecompress2=None)
    monkeypatch.setattr(ctypes, "CDLL", lambda _: two)
    found = search(tmp_path / "libturbojpeg.so.0")
    assert found.reason == "it has no tj3Init: libjpeg-turbo 3 has it, 2 does not"


def test_off_looks_for_none(search, monkeypatch, caplog):
    monkeypatch.setattr(ctypes, "CDLL", pytest.fail)
    assert search("off").reason == "GPUIO_TURBOJPEG=off"
    with caplog.at_level(logging.INFO, "gpuio"):
        turbojpeg.announce()
    assert [line.levelname for line in caplog.records] == ["INFO"]


def test_without_any_library_the_extra_is_named(search, monkeypatch):
    def nothing(path):
        raise OSError(path)

    monkeypatch.setattr(ctypes, "CDLL", nothing)
    monkeypatch.setattr(turbojpeg.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(sys, "prefix", "/nowhere")
    found = search("")
    assert found.path == ""
    assert "pip install 'gpuio[turbo]'" in found.reason


def test_another_package_of_that_name_is_no_library(search, monkeypatch, tmp_path):
    (tmp_path / "turbojpeg.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    assert str(tmp_path) not in search("").path


@needs_library
def test_a_handle_goes_with_its_thread(monkeypatch):
    found, library = turbojpeg._library()
    gone = []

    def destroy(address):
        gone.append(address)
        library.tj3Destroy(address)

    watched = SimpleNamespace(tj3Init=library.tj3Init, tj3Set=library.tj3Set, tj3Destroy=destroy)
    monkeypatch.setattr(turbojpeg, "_library", lambda: (found, watched))
    made, mine = [], threading.local()

    def work():
        mine.handle = turbojpeg.Handle(10**6, 100)
        made.append(mine.handle.address)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    del threads, thread
    gc.collect()
    assert len(made) == 3
    assert sorted(gone) == sorted(made)


def read_header(blob):
    """What a reader would hand on of an image; of one that it refuses, nothing."""
    try:
        return probe(blob)
    except DecodeError:
        return ImageInfo(0, 0, 0, 0, 0)


class Decoder:
    """The compiled decoder with a handle of its own."""

    def __init__(self):
        self.module = turbojpeg.compiled()
        self.handle = turbojpeg.Handle(2**31 - 1, 100)

    def __call__(self, blob, height, width, channels, window, scale=1):
        """Decode (top, stop, left, right); return the code and uint8[height, width, channels]."""
        pixels = np.full((height, width, channels), 77, np.uint8)
        data, info = np.frombuffer(blob, np.uint8), read_header(blob)
        plain = info.one_scan and info.frame in (0xC0, 0xC1) and info.channels in (1, 3)
        code = self.module.decode(
            self.handle.address, data.ctypes.data, data.size, height, width, channels,
            info.sampling if plain else 0, info.shortens, *window, scale, pixels.ctypes.data,
        )  # fmt: skip
        return code, pixels


@pytest.fixture(scope="module")
def decoder():
    if not turbojpeg.status().usable:
        pytest.skip(turbojpeg.status().reason)
    return Decoder()


REDUCED = {1: 0, 2: 16, 4: 32, 8: 64}  # flags of IMREAD_REDUCED_GRAYSCALE_2, _4, _8


def opencv(blob, channels, scale=1):
    flag = (1 if channels == 3 else 0) | REDUCED[scale] | cv2.IMREAD_IGNORE_ORIENTATION
    image = cv2.imdecode(np.frombuffer(blob, np.uint8), flag)
    return image.reshape(*image.shape[:2], channels)


@pytest.mark.parametrize("sampling", [*SAMPLING, "gray", "rgb", "restarts"])
@pytest.mark.parametrize("channels", [1, 3])
@settings(max_examples=30)
@given(data=st.data())
def test_regions_are_opencvs_pixels(decoder, sampling, channels, data):
    scale = data.draw(st.sampled_from([1, 1, 2, 4, 8]))
    height, width = data.draw(st.integers(1, 300)), data.draw(st.integers(1, 200))
    image = photo(height, width, seed=height * width)
    if sampling == "gray":
        blob = encoded(image[:, :, 0])
    elif sampling == "rgb":
        out = io.BytesIO()
        Image.fromarray(image).save(out, "JPEG", quality=90, keep_rgb=True)
        blob = out.getvalue()
    elif sampling == "restarts":
        blob = encoded(image, cv2.IMWRITE_JPEG_RST_INTERVAL, 3)
    else:
        blob = encoded(image, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, SAMPLING[sampling])
    height, width = -(-height // scale), -(-width // scale)
    top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    bottom, right = data.draw(st.integers(top + 1, height)), data.draw(st.integers(left + 1, width))
    stop = data.draw(st.sampled_from([0, bottom]))
    code, pixels = decoder(blob, height, width, channels, (top, stop, left, right), scale)
    assert code == decoder.module.DECODED
    bottom = stop or height
    whole = opencv(blob, channels, scale)
    assert whole.shape == pixels.shape
    assert np.array_equal(pixels[top:bottom, left:right], whole[top:bottom, left:right])


def test_what_lies_below_is_not_decoded(decoder):
    image = photo(400, 160)
    _, pixels = decoder(jpeg(image), 400, 160, 3, (100, 200, 50, 80))
    assert (pixels[:98] == 77).all()
    assert (pixels[202:] == 77).all()
    assert (pixels[:, :48] == 77).all()
    assert (pixels[:, 82:] == 77).all()


REFUSED = {
    "progressive": encoded(photo(60, 80), cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "png": cv2.imencode(".png", photo(60, 80))[1].tobytes(),
    "cmyk": kinds.decoded()["jpeg cmyk"][0],
    "arithmetic": kinds.decoded()["jpeg arithmetic"][0],
    "several scans": kinds.decoded()["jpeg three_scans"][0],
    "cut": jpeg(photo(60, 80))[:-100],
    "no end": jpeg(photo(60, 80))[:-2],
    "another size": jpeg(photo(61, 80)),
    "nothing": b"",
    "two bytes": b"\xff\xd8",
    "zeros": bytes(2000),
    "scan ends too soon": jpeg(photo(60, 80))[:-300] + b"\xff\xd9",
}


KINDS = ("cmyk", "arithmetic", "several scans")


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_plain_jpeg_is_refused(decoder, name):
    height, width = (kinds.HEIGHT, kinds.WIDTH) if name in KINDS else (60, 80)
    code, _ = decoder(REFUSED[name], height, width, 3, (0, 0, 0, width))
    lacks = name in ("cut", "no end", "scan ends too soon")  # what libjpeg forgives
    assert code == (WARNED if lacks else decoder.module.REFUSED)


def spoilt_table(blob):
    """Return a JPEG whose first Huffman table has more codes than there can be."""
    at = blob.index(b"\xff\xc4") + 5
    return blob[:at] + b"\xff" * 16 + blob[at + 16 :]


@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_refused_by_its_header_spoils_no_other(decoder, channels):
    good = jpeg(photo(60, 80))
    for blob in (spoilt_table(good), good[:180] + b"\xff\xd9", good[:2]):
        code, pixels = decoder(blob, 60, 80, channels, (0, 0, 0, 80))
        assert code == decoder.module.REFUSED
        assert (pixels == 77).all()
        code, pixels = decoder(good, 60, 80, channels, (0, 0, 0, 80))
        assert code == decoder.module.DECODED
        assert np.array_equal(pixels, opencv(good, channels))


def tables(blob, marker):
    """Return where the segments of tables begin."""
    return [at for at in range(20, len(blob) - 1) if blob[at : at + 2] == bytes([0xFF, marker])]


@pytest.mark.parametrize("marker", [0xDB, 0xC4])
def test_an_image_without_a_table_does_not_get_that_of_the_one_before(decoder, marker):
    """Its own decompressor has none: OpenCV says what becomes of it."""
    before = encoded(photo(60, 80, 3), cv2.IMWRITE_JPEG_OPTIMIZE, 1)
    good = jpeg(photo(60, 80), 70)
    places = tables(good, marker)
    assert len(places) >= 2
    for at in places:
        blob = good[: at + 1] + b"\xe5" + good[at + 2 :]  # a segment that nobody knows
        for first in (before, good):
            assert decoder(first, 60, 80, 3, (0, 0, 0, 80))[0] == decoder.module.DECODED
            assert decoder(blob, 60, 80, 3, (0, 0, 0, 80))[0] == decoder.module.REFUSED


def own_decompressor(blob, channels):
    """Decode all of a JPEG with a decompressor made for it, which reads its header first.

    Returns
    -------
    code : {"decoded", "warned", "refused"}
    pixels : uint8[height, width, channels], or None
    """
    library = turbojpeg._library()[1]
    handle = turbojpeg.Handle(2**31 - 1, 100)
    data, address = np.frombuffer(blob, np.uint8), handle.address
    failed = "refused", None
    if data.size == 0:
        return failed
    if library.tj3DecompressHeader(address, data.ctypes.data, data.size) != 0:
        return ("warned", None) if handle.warned() else failed
    height, width, colours, progressive = (library.tj3Get(address, one) for one in (6, 5, 8, 12))
    if not 0 <= colours <= 2 or progressive or height * width > 10**6:
        return failed
    pixels = np.full((height, width, channels), 77, np.uint8)
    kind = 1 if channels == 3 else 6  # TJPF_BGR, TJPF_GRAY
    args = address, data.ctypes.data, data.size, pixels.ctypes.data, 0, kind
    if library.tj3Decompress8(*args) != 0:
        return ("warned", None) if handle.warned() else failed
    return "decoded", pixels


@functools.cache
def unlike():
    """JPEGs of many sizes, samplings and processes; some are damaged, of some the size is a lie."""
    pool = [blob for blob, *_ in (*kinds.decoded().values(), *kinds.refused().values())
            if blob[:2] == b"\xff\xd8"]  # fmt: skip
    for number, factors in enumerate(SAMPLING.values()):
        for height, width in ((32, 32), (7, 50), (1, 1), (113, 90)):
            image = photo(height, width, seed=number)
            pool.append(encoded(image, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factors))
            pool.append(
                encoded(image, cv2.IMWRITE_JPEG_OPTIMIZE, 1, cv2.IMWRITE_JPEG_RST_INTERVAL, 2)
            )
    out = io.BytesIO()
    Image.fromarray(photo(33, 20)).save(out, "JPEG", keep_rgb=True)
    pool += [out.getvalue(), encoded(photo(21, 40, channels=1)), *warned(photo(32, 32))]
    return pool


def check_with_own(decoder, blobs, rng):
    """Compare what one decompressor makes of images in turn with one for each; count verdicts."""
    seen = {"decoded": 0, "warned": 0, "refused": 0, "refused at once": 0}
    codes = {decoder.module.DECODED: "decoded", WARNED: "warned", decoder.module.REFUSED: "refused"}
    for blob in blobs:
        info, channels = read_header(blob), int(rng.choice([1, 3]))
        height, width = info.height or 8, info.width or 8
        if height * width > 10**6:
            continue
        if rng.random() < 0.2:  # what stands in the decompressor is that of a part of an image
            decoder(blob, height, width, channels, (height // 2, height, 0, width))
        code, pixels = decoder(blob, height, width, channels, (0, 0, 0, width))
        verdict, expected = own_decompressor(blob, channels)
        if not (info.one_scan and info.frame in (0xC0, 0xC1) and info.channels in (1, 3)):
            verdict = "refused"
        found = codes[code]
        if found == "refused" != verdict:  # over its markers or tables, before the library has it
            seen["refused at once"] += verdict == "decoded"
            continue
        seen[found] += 1
        assert found == verdict, blob
        if found == "decoded":
            assert np.array_equal(pixels, expected)
        lie = decoder(blob, height + 1, width, channels, (0, 0, 0, width))
        assert lie[0] != decoder.module.DECODED
        assert found == "warned" or (lie[1] == 77).all()
    return seen


def test_images_in_turn_are_what_a_decompressor_each_makes_of_them(decoder):
    rng = np.random.default_rng(3)
    pool = unlike()
    seen = check_with_own(decoder, [pool[i] for i in rng.integers(len(pool), size=600)], rng)
    assert seen.pop("refused at once") == 0
    assert seen["decoded"] > 300
    assert min(seen.values()) > 10


def test_damaged_images_in_turn_are_what_a_decompressor_each_makes_of_them(decoder):
    rng = np.random.default_rng(4)
    pool = unlike()
    damaged = (image_mutants.mutate(rng, pool[int(rng.integers(len(pool)))], pool)
               for _ in range(4000))  # fmt: skip
    seen = check_with_own(decoder, damaged, rng)
    assert seen.pop("refused at once") < 50
    assert min(seen.values()) > 200


def test_four_channels_are_refused(decoder):
    code, _ = decoder(jpeg(photo(60, 80)), 60, 80, 4, (0, 0, 0, 80))
    assert code == decoder.module.REFUSED


SCRIPT = """
import sys
import numpy as np
import gpuio as mx
from gpuio.decode import turbojpeg
from gpuio.decode.formats import ImageInfo, probe
from gpuio.errors import DecodeError
with mx.io.ImageRecordIter(path_imgrec=sys.argv[1], data_shape=(3, 40, 40), batch_size=4, ctx="cpu",
                           rand_crop=True, seed=1, verbose=False) as it:
    total = sum(float(np.asarray(batch.data[0]).sum()) for batch in it)
from gpuio.kernels.cpu.share import make_share
compiled = [make_share] + ([turbojpeg.compiled().decode] if turbojpeg.status().usable else [])
print(turbojpeg.status().usable, total, sum(len(one.stats.cache_misses) for one in compiled))
"""


@needs_library
@pytest.mark.slow
def test_a_cache_of_kernels_is_shared_with_machines_that_have_no_library(tmp_path):
    rec, _ = write_rec(tmp_path, [jpeg(photo(60, 70, n)) for n in range(8)])
    said = []
    for value in ("off", "", "off", ""):
        environment = {
            **os.environ,
            "NUMBA_CACHE_DIR": str(tmp_path / "cache"),
            turbojpeg.VARIABLE: value,
        }
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, rec],
            env=environment,
            capture_output=True,
            text=True,
            timeout=1200,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        said.append(done.stdout.split())
    assert [one[0] for one in said] == ["False", "True", "False", "True"]
    assert [one[2] for one in said[2:]] == ["0", "0"]
    assert len({one[1] for one in said}) == 1


def test_importing_gpuio_looks_for_nothing():
    script = (
        "import sys, gpuio.io, gpuio.decode.turbojpeg as t\n"
        "assert not t._library.cache_info().currsize\n"
        "print([m for m in ('numba', 'llvmlite', 'turbojpeg', 'cv2') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_code_that_calls_the_library_is_not_loaded_without_it():
    script = "import gpuio.kernels.cpu.turbojpeg"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "ImportError: TurboJPEG's functions are not registered" in done.stderr


def lines_of_iterators(caplog, paths, **options):
    """Open three iterators and return what the log got of each kind."""
    with caplog.at_level(logging.INFO, "gpuio"):
        for _ in range(3):
            reader(paths, **options).close()
    said = [(line.levelname, line.message) for line in caplog.records]
    caplog.clear()
    return said


def test_which_decoder_decodes_is_said_once_and_not_with_verbose_false(tmp_path, caplog, search):
    search("off")
    paths = write_rec(tmp_path, [encoded(photo(8, 8))] * 4)
    for ctx in ("cpu", "auto"):
        assert lines_of_iterators(caplog, paths, verbose=False, ctx=ctx) == []
    said = lines_of_iterators(caplog, paths, verbose=True)
    assert sum("OpenCV decodes;" in line for _, line in said) == 1
    assert len(said) == 4
    assert len(lines_of_iterators(caplog, paths, verbose=True)) == 3


def test_a_path_that_cannot_be_used_is_a_warning_once_in_any_case(tmp_path, caplog, search):
    search(tmp_path / "none.so")
    paths = write_rec(tmp_path, [encoded(photo(8, 8))] * 4)
    ((level, line),) = lines_of_iterators(caplog, paths, verbose=False)
    assert (level, "TurboJPEG is not used" in line) == ("WARNING", True)
    assert lines_of_iterators(caplog, paths, verbose=False) == []


def test_a_pipe_is_not_loaded(tmp_path, search):
    os.mkfifo(tmp_path / "pipe")
    assert "it is a named pipe" in search(tmp_path / "pipe").reason
