"""Files of image pairs come in batches: images, flipped copies, same or different."""

import pickle
import re
from pathlib import Path

import numpy as np
import pytest

import gpuio as mx
from gpuio.errors import DecodeError, EmptyDatasetError, OptionError, StateError
from support.making import jpeg, photo

FILES_PAGE = Path(__file__).parents[2] / "docs/files.md"
SAME = [True, False, True, True, False]
PHOTOS = [photo(16, 16, seed) for seed in range(10)]


def write(folder, images=None, same=SAME):
    path = folder / "lfw.bin"
    images = [jpeg(image) for image in PHOTOS] if images is None else images
    path.write_bytes(pickle.dumps((images, same)))
    return str(path)


def opened(folder, images=None, same=SAME, **options):
    path = write(folder, images, same)
    given = {"path_pairs": path, "data_shape": (3, 16, 16), "batch_size": 4, **options}
    return mx.io.VerificationPairIter(**given)


def image(number, size=16):
    """What InsightFace's evaluation makes of an image: channels, height, width."""
    made = mx.image.imdecode(jpeg(PHOTOS[number]))
    if made.shape[1] != size:
        made = mx.image.resize_short(made, size)
    return made.asnumpy().transpose(2, 0, 1)


def test_batches_hold_images_flipped_copies_and_whether_a_pair_is_the_same(tmp_path):
    with opened(tmp_path) as it:
        batches = list(it)
    assert [batch.pad for batch in batches] == [0, 0, 2]
    for number in range(10):
        batch, row = batches[number // 4], number % 4
        assert np.array_equal(batch.data[0][row].asnumpy(), image(number))
        assert np.array_equal(batch.data[1][row].asnumpy(), image(number)[..., ::-1])
        assert batch.label[0][row] == SAME[number // 2]
        assert batch.index[row] == number
    same = np.concatenate([batch.label[0].asnumpy()[::2] for batch in batches])
    assert same.tolist() == [1, 0, 1, 1, 0, 0]
    for array in (*batches[-1].data, *batches[-1].label):
        assert not array.asnumpy()[2:].any()


def test_what_it_provides_is_what_a_batch_has(tmp_path):
    it = opened(tmp_path, dtype="uint8", data_name="x", flipped_name="y", label_name="z")
    batch = it.next()
    assert [(d.name, d.shape, d.dtype) for d in it.provide_data] == [
        ("x", (4, 3, 16, 16), np.uint8),
        ("y", (4, 3, 16, 16), np.uint8),
    ]
    assert it.provide_label == [("z", (4,))]
    assert [array.dtype for array in batch.data] == [np.uint8, np.uint8]
    assert [a.tolist() for a in it.getdata()] == [a.tolist() for a in batch.data]


def test_without_flipped_copies_there_is_one_array(tmp_path):
    it = opened(tmp_path, flip=False)
    batch = it.next()
    assert len(batch.data) == len(it.provide_data) == 1
    assert it.getdata() is batch.data[0]


def test_normalised_and_resized_as_the_record_iterators_and_insightface_do(tmp_path):
    it = opened(tmp_path, data_shape=(3, 24, 24), mean_r=127.5, std_r=127.5, std_b=3, scale=0.5)
    raw = image(1, 24).astype(np.float32)
    mean = np.float32([127.5, 0, 0])[:, None, None]
    factor = np.float32(0.5) / np.float32([127.5, 1, 3])[:, None, None]
    assert np.array_equal(it.next().data[0][1].asnumpy(), (raw - mean) * factor)


def test_gray_images_are_mxnets(tmp_path):
    it = opened(tmp_path, data_shape=(1, 16, 16), mean_r=1)
    expected = mx.image.imdecode(jpeg(PHOTOS[3]), flag=0).asnumpy().transpose(2, 0, 1) - 1.0
    assert np.array_equal(it.next().data[0][3].asnumpy(), expected)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"batch_size": 3}, "batch_size: expected an even number, so that no pair is divided"),
        ({"data_shape": (4, 8, 8)}, "expected 1 or 3 channels"),
        ({"dtype": "int8"}, "dtype='int8': expected 'float32' or 'uint8'"),
        ({"dtype": "uint8", "mean_g": 1}, "mean_g: has no effect on dtype='uint8'"),
        ({"std_g": 0}, "std_g=0: expected a divisor"),
        ({"shuffle": True}, "shuffle"),
    ],
)
def test_options_that_cannot_be_are_refused(tmp_path, options, says):
    with pytest.raises(OptionError, match=says):
        opened(tmp_path, **options)


def test_a_file_without_pairs_is_refused(tmp_path):
    with pytest.raises(EmptyDatasetError, match="holds no pairs"):
        opened(tmp_path, [], [])


@pytest.mark.parametrize(
    ("bad", "options", "says"),
    [
        (b"no image", {}, "image 5, of pair 2: .* 8 bytes that start 6e6f20696d616765"),
        (jpeg(photo(16, 20)), {}, "16 x 20 pixels .*, another aspect ratio than data_shape's"),
        (jpeg(photo(64, 64)), {"max_pixels": 300}, "64x64 pixels, more than the limit of 300"),
    ],
)
def test_a_bad_image_is_named_at_its_batch(tmp_path, bad, options, says):
    images = [jpeg(one) for one in PHOTOS]
    images[5] = bad
    it = opened(tmp_path, images, **options)
    assert it.next().index.tolist() == [0, 1, 2, 3]
    for _ in range(2):
        with pytest.raises(DecodeError, match=says) as raised:
            it.next()
        assert (raised.value.path, raised.value.key) == (str(tmp_path / "lfw.bin"), 5)


def test_a_state_of_other_pairs_is_refused(tmp_path):
    state = opened(tmp_path).state_dict()
    it = opened(tmp_path, same=SAME[::-1])
    with pytest.raises(StateError, match="digest"):
        it.load_state_dict(state)


def test_the_script_in_the_page_about_files_runs(tmp_path, monkeypatch, capsys):
    (script,) = re.findall(
        r"^```python\n(.*?VerificationPairIter.*?)^```",
        *(FILES_PAGE.read_text(), re.MULTILINE | re.DOTALL),
    )
    left, right = photo(112, 112, 1), photo(112, 112, 2)
    monkeypatch.chdir(tmp_path)
    Path("lfw.bin").write_bytes(
        pickle.dumps(([jpeg(one) for one in (left, left, left, right)], [True, False]))
    )
    exec(compile(script, "docs/files.md", "exec"), {})
    assert capsys.readouterr().out == "2 pairs, accuracy 1.000\n"
