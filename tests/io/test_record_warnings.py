"""Images that libjpeg warns of and decodes all the same are counted, and named."""

import numpy as np
import pytest

import gpuio as mx
from gpuio.decode import turbojpeg
from support.making import flat, jpeg, photo, warned, write_rec

needs_library = pytest.mark.skipif(
    not turbojpeg.status().usable, reason=turbojpeg.status().reason or "usable"
)
SOUND = [jpeg(photo(60, 80, seed)) for seed in range(4)]
BAD = warned(photo(60, 80))


def opened(files, **options):
    given = {"path_imgrec": files[0], "path_imgidx": files[1], "data_shape": (3, 60, 80)}
    return mx.io.ImageRecordIter(
        **{**given, "batch_size": 3, "ctx": "cpu", "verbose": False, **options}
    )


def epochs(it, count=1):
    images = []
    for _ in range(count):
        images += [image for batch in it for image in batch.data[0].asnumpy()]
        it.reset()
    return np.stack(images)


@needs_library
@pytest.mark.parametrize("name", ["ImageRecordIter", "ImageDetRecordIter"])
def test_they_are_counted_once_named_and_said_once(tmp_path, caplog, name):
    boxes = [[2, 5, 0, 0.1, 0.1, 0.9, 0.9]] * 6
    rec, _ = write_rec(tmp_path, [*SOUND, *BAD], boxes, ids=range(10, 16))
    given = {"path_imgrec": rec, "data_shape": (3, 60, 80), "batch_size": 3, "ctx": "cpu"}
    more = {"label_width": 7} if name == "ImageRecordIter" else {}
    with getattr(mx.io, name)(**given, verbose=False, **more) as it:
        assert len(epochs(it, 2)) == 12
        stats = it.stats()
    assert (stats["decoded_with_warnings"], stats["faults"], stats["cut_short"]) == (2, 0, 0)
    assert len({one["offset"] for one in stats["warned_records"]}) == 2
    assert {one["path"] for one in stats["warned_records"]} == {rec}
    (said,) = [line for line in caplog.records if line.levelname == "WARNING"]
    assert "decoded with a warning of libjpeg" in said.message
    assert f"path={rec}" in said.message


@needs_library
def test_keys_are_those_of_the_index(tmp_path):
    with opened(write_rec(tmp_path, [*BAD[:1], *SOUND, *BAD[1:]])) as it:
        epochs(it)
        assert [one["key"] for one in it.stats()["warned_records"]] == [0, 5]


def test_the_pixels_are_those_without_turbojpeg(tmp_path, monkeypatch):
    files = write_rec(tmp_path, [*SOUND, *BAD])
    with opened(files) as it:
        with_it = epochs(it)
    monkeypatch.setattr(turbojpeg, "compiled", lambda: None)
    with opened(files) as it:
        assert np.array_equal(epochs(it), with_it)
        assert it.stats()["decoded_with_warnings"] == 0  # nobody says so


def test_sound_images_of_every_kind_are_not(tmp_path):
    files = write_rec(tmp_path, [*SOUND, flat(5, 60, 80), jpeg(photo(60, 80, channels=1))])
    with opened(files, max_rotate_angle=10, rand_mirror=True) as it:  # OpenCV decodes all
        epochs(it)
        assert it.stats()["decoded_with_warnings"] == 0


def test_what_is_cut_short_and_accepted_is_counted_as_that(tmp_path):
    files = write_rec(tmp_path, [*SOUND, SOUND[0][:-400]])
    with opened(files, truncated="accept", batch_size=5) as it:
        epochs(it)
        stats = it.stats()
    assert (stats["cut_short"], stats["decoded_with_warnings"]) == (1, 0)
