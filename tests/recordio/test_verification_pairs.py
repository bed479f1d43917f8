"""Pair files are read whoever pickled them, and a pickle that wants more than data is refused."""

import copyreg
import pickle
import pickletools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuio import recordio
from gpuio.errors import FormatError, StorageError
from gpuio.recordio import verification_pairs
from support.making import flat

IMAGES = [flat(i) for i in range(6)]
SAME = [True, False, True]


def read(folder, data):
    path = folder / "lfw.bin"
    path.write_bytes(data)
    return recordio.read_pairs(path)


ARRAYS = [np.frombuffer(image, np.uint8) for image in IMAGES]


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "made",
    [
        (IMAGES, SAME),
        [tuple(IMAGES), tuple(SAME)],
        (IMAGES, [1, 0, 1]),
        (IMAGES, np.array(SAME)),
        (IMAGES, list(np.array(SAME))),
        (ARRAYS, SAME),
        ([bytearray(image) for image in IMAGES], SAME),
    ],
)
def test_pairs_are_read_in_every_form(tmp_path, made, protocol):
    images, same = read(tmp_path, pickle.dumps(made, protocol))
    assert images == IMAGES
    assert (same.dtype, same.tolist()) == (np.bool_, SAME)


def test_a_python_2_file_is_read(tmp_path):
    # protocol 2 of Python 2: str for bytes; the list of truth values as numpy.bool_
    text = b"".join(b"U" + bytes([len(one)]) + one for one in (b"\xff\xd8one", b"\xff\xd8two"))
    scalar = (
        b"cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n(U\x02b1K\x00K\x01tR"
        b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tbU\x01\x01tR"
    )
    images, same = read(tmp_path, b"\x80\x02](" + text + b"e](" + scalar + b"e\x86.")
    assert images == [b"\xff\xd8one", b"\xff\xd8two"]
    assert same.tolist() == [True]


class Evil:
    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("how", ["inside", "alone", "in an array's place"])
def test_nothing_is_run(tmp_path, how):
    import os

    witness = tmp_path / "witness"
    evil = Evil(os.system, (f"touch {witness}",))
    made = {"inside": (IMAGES, [evil]), "alone": evil, "in an array's place": ([evil], SAME)}[how]
    with pytest.raises(FormatError, match=r"asks for posix.system: .* nothing was run"):
        read(tmp_path, pickle.dumps(made))
    assert not witness.exists()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "EOFError"),
        (b"no pickle", "not a pickle of image pairs"),
        (pickle.dumps((IMAGES, SAME))[:-9], "not a pickle of image pairs"),
        (pickle.dumps({"a": 1}), "holds a dict or a set"),
        (pickle.dumps((IMAGES, SAME, 1)), "found tuple of 3|found list of 3"),
        (pickle.dumps((IMAGES, 5)), "same: expected a list, found int"),
        (pickle.dumps((b"x", SAME)), "images: expected a list, found bytes"),
        (pickle.dumps((IMAGES[:5], SAME)), "5 images and 3 truth values"),
        (pickle.dumps((IMAGES, [True, 2, False])), "same: item 1 is int"),
        (pickle.dumps(([*IMAGES[:5], "text"], SAME)), "item 5 is str, expected bytes"),
        (pickle.dumps((np.zeros((6, 2, 2), np.uint8), SAME)), "not a row of them"),
        (pickle.dumps((IMAGES, np.array([1.5]))), "dtype 'f8': expected uint8 or bool"),
        (pickle.dumps((IMAGES, np.array([None]))), "dtype 'O8': expected"),
        (b"\x80\x02cbuiltins\neval\nX\x03\0\0\0" + b"1+1\x85R.", "asks for builtins.eval"),
        (b"\x80\x02c_codecs\nencode\nX\x01\0\0\0aX\x05\0\0\0rot13\x86R.", "codec 'rot13'"),
        (b"\x80\x02c_codecs\nencode\nK\x01b.", "gives a state to something"),
        (b"\x80\x02K\x01Q.", "refers to an object outside"),
        (b"\x80\x02\x82\x01.", "names something by its number 1"),
        (b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.", "not a pickle of image pairs"),
        (b"\x80\x05\x96\xff\xff\xff\xff\xff\0\0\0abc.", "is cut short: 4 of"),
        (b"\x80\x02Nr\xff\xff\xff\xff.", "found NoneType"),  # memo of four billion places
    ],
)
def test_anything_else_is_refused(tmp_path, data, says):
    with pytest.raises(FormatError, match=says) as raised:
        read(tmp_path, data)
    assert raised.value.path.endswith("lfw.bin")


def test_a_missing_file_is_a_storage_error(tmp_path):
    with pytest.raises(StorageError, match="cannot read the pairs"):
        recordio.read_pairs(tmp_path / "no.bin")


GOOD = [pickle.dumps((IMAGES[:2], [True]), p) for p in range(6)]
GOOD += [pickle.dumps((ARRAYS[:2], np.array([True])), p) for p in range(6)]
OPCODES = [ord(one.code) for one in pickletools.opcodes]


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(GOOD),
    st.lists(st.tuples(st.integers(0, 10_000), st.sampled_from(OPCODES)), min_size=1, max_size=6),
)
def test_a_mutated_file_is_read_or_refused(tmp_path_factory, data, changes):
    before = {name: dict(vars(found)) for name, found in verification_pairs._KNOWN.items()}
    mutant = bytearray(data)
    for at, opcode in changes:
        mutant[at % len(mutant)] = opcode
    path = tmp_path_factory.getbasetemp() / "mutant.bin"
    path.write_bytes(mutant)
    try:
        images, same = recordio.read_pairs(path)
    except FormatError:
        pass
    else:
        assert len(images) == 2 * len(same)
        assert all(type(image) is bytes for image in images)
    assert {name: dict(vars(found)) for name, found in verification_pairs._KNOWN.items()} == before


@pytest.mark.parametrize("cached", [False, True])
def test_numbers_of_the_processs_registry_are_refused(tmp_path, monkeypatch, cached):
    """They would be looked up outside of `find_class`, and what is found is kept for everybody."""
    monkeypatch.setitem(copyreg._inverted_registry, 77, ("numpy", "dtype"))
    ran = []
    if cached:
        monkeypatch.setitem(copyreg._extension_cache, 77, ran.append)
    with pytest.raises(FormatError, match="names something by its number 77"):
        read(tmp_path, b"\x80\x02\x82\x4dX\x01\0\0\0a\x85R.")
    assert ran == []
    assert cached or 77 not in copyreg._extension_cache


def get(number):
    """Push what is in the memo's place."""
    return b"j" + number.to_bytes(4, "little")


ENCODE = b"c_codecs\nencode\nq\x01"
FROMBUFFER = b"cnumpy._core.numeric\n_frombuffer\n"
U1 = b"cnumpy\ndtype\n\x8c\x02u1\x85R"
# a tuple of two that are one, sixty deep; the memo alone holds the steps to it
NESTED = (
    b"K\x01\x85q\x000"
    + b"".join(get(n) + get(n) + b"\x86r" + (n + 1).to_bytes(4, "little") + b"0" for n in range(60))
    + get(60)
)
TEXT = b"X" + (1 << 20).to_bytes(4, "little") + b"a" * (1 << 20) + b"q\x00"
BOMBS = {
    "an array of empty rows": (
        b"("
        + FROMBUFFER
        + b"(C\0"
        + U1
        + b"\x8a\x05"
        + (1 << 25).to_bytes(5, "little")
        + b"K\0\x86tR]t.",
        "not a row of them",
    ),
    "a scalar of several": (
        b"(" + FROMBUFFER + b"(C\x02ab" + U1 + b")tR]t.",
        "not a row of them",
    ),
    "a list of one list": (
        b"(]q\0(" + b"K\1" * 5000 + b"e](" + get(0) * 5000 + b"e\x86.",
        "expected",
    ),
    "text encoded again and again": (
        TEXT
        + b"(]("
        + ENCODE
        + b"("
        + get(0)
        + b"\x8c\6latin1tR"
        + (get(1) + b"(" + get(0) + b"\x8c\6latin1tR") * 1000
        + b"e]t.",
        "same text",
    ),
    "text encoded by another step": (
        TEXT + b"(](" + b"".join([b"(", ENCODE, get(0), b"\x8c\6latin1o"]) * 100 + b"e]t.",
        "makes an object",
    ),
    "nested tuples as keys": (b"}" + NESTED + b"K\1s.", "dict or a set"),
    "nested tuples in a set": (b"\x8f(" + NESTED + b"\x90.", "dict or a set"),
    "nested tuples frozen": (b"(" + NESTED + b"\x91.", "dict or a set"),
    "nested tuples as a dtype": (b"cnumpy\ndtype\n" + NESTED + b"\x85R.", "of dtype 'tuple'"),
    "nested tuples as a codec": (
        b"c_codecs\nencode\n(\x8c\1a" + NESTED + b"tR.",
        "the codec 'tuple'",
    ),
    "nested tuples outside": (NESTED + b"Q.", "outside of the file"),
    "nested tuples as truth": (b"](]]e](" + NESTED + b"e\x86.", "images|truth"),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_memory_and_time_are_bounded_by_the_files_length(tmp_path, bomb):
    content, words = BOMBS[bomb]
    tracemalloc.start()
    try:
        with pytest.raises(FormatError, match=words):
            read(tmp_path, b"\x80\x04" + content)
        assert tracemalloc.get_traced_memory()[1] < 10 * len(content) + (2 << 20)
    finally:
        tracemalloc.stop()


def test_an_image_named_many_times_is_kept_once(tmp_path):
    image = np.frombuffer(bytes(1 << 20), np.uint8)
    tracemalloc.start()
    try:
        images, _ = read(tmp_path, pickle.dumps(([image] * 200, [True] * 100)))
        assert tracemalloc.get_traced_memory()[1] < 10 << 20
    finally:
        tracemalloc.stop()
    assert images == [image.tobytes()] * 200


def test_the_steps_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(verification_pairs._Counted, "left", 1000)
    images, _ = read(tmp_path, pickle.dumps((IMAGES, SAME)))
    assert images == IMAGES
    with pytest.raises(FormatError, match="2,000,000 steps: not a set of image pairs"):
        read(tmp_path, b"\x80\x04(" + b"N0" * 1000 + b"t.")
