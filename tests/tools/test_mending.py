"""Whoever meets damage is told which command makes a sound file."""

import shlex
from pathlib import Path

import pytest

import gpuio as mx
from gpuio.errors import DecodeError, FormatError
from gpuio.tools.cli import main
from support.making import jpeg, photo, write_rec

BLOBS = [jpeg(photo(24, 24, seed)) for seed in range(8)]
OPTIONS = {"data_shape": (3, 24, 24), "batch_size": 4, "verbose": False, "ctx": "cpu"}


@pytest.fixture
def damaged(tmp_path):
    """Return a record file of which record 5 begins with another magic, and its index."""
    rec, idx, *_ = write_rec(tmp_path, BLOBS)
    at = int(Path(idx).read_text().splitlines()[5].split("\t")[1])
    data = bytearray(Path(rec).read_bytes())
    data[at : at + 4] = b"xxxx"
    Path(rec).write_bytes(data)
    return str(rec), str(idx), at


COMMANDS = {
    "info": "info {rec}",
    "ls": "ls {rec}",
    "stats": "stats {rec} --quiet",
    "verify": "verify {rec} --quiet",
    "cat": "cat {rec} 5 --out {folder}/5.jpg",
    "extract": "extract {rec} {folder}/images --progress none",
    "show": "show {rec} --out {folder}/sheet.png --count 8 --quiet",
    "convert": "convert {rec} {folder}/classes --quiet",
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_that_meets_damage_names_repair_which_then_works(damaged, tmp_path, capsys, name):
    rec, *_ = damaged
    argv = [one.format(rec=rec, folder=tmp_path) for one in COMMANDS[name].split()]
    assert main(argv) == 1
    said = "".join(capsys.readouterr())
    assert said.count("gpuio repair") == 1, said
    advised = shlex.split(said[said.index("`gpuio repair") + 1 :].partition("`")[0])
    assert advised[2:4] == [rec, "SOUND.rec"]
    sound = str(tmp_path / "sound.rec")
    assert main([*advised[1:3], sound, *advised[4:], "--quiet"]) == 1  # something was left out
    argv = [one.format(rec=sound, folder=tmp_path / "2") for one in COMMANDS[name].split()]
    (tmp_path / "2").mkdir()
    capsys.readouterr()
    assert main(argv) == (1 if name == "cat" else 0)  # there is no key 5
    assert "gpuio repair" not in "".join(capsys.readouterr())


def test_the_error_of_cat_names_the_byte_of_the_file(damaged, tmp_path, capsys):
    rec, _, at = damaged
    assert main(["cat", rec, "5", "--out", str(tmp_path / "5.jpg")]) == 1
    assert f"key=5, offset={at}]" in capsys.readouterr().err


def test_verify_names_what_mends_what_it_found(damaged, tmp_path, capsys):
    rec, idx, _ = damaged
    assert main(["verify", rec, "--decode", "--quiet"]) == 1
    assert f"`gpuio repair {rec} SOUND.rec --decode`" in capsys.readouterr().out
    write_rec(tmp_path, BLOBS)  # sound again, but for its index
    lines = Path(idx).read_text().splitlines(keepends=True)
    Path(idx).write_text("".join(lines[:-1]) + "7\t3\n")
    assert main(["verify", rec, "--quiet"]) == 1
    said = capsys.readouterr().out
    assert f"`gpuio rec2idx {rec}` makes a new index" in said
    assert "repair" not in said
    Path(rec).write_bytes(b"")
    main(["verify", rec, "--quiet"])
    assert "repair" not in capsys.readouterr().out


def test_errors_of_readers_say_what_to_do(damaged):
    rec, idx, at = damaged
    keyed, plain = mx.recordio.MXIndexedRecordIO(idx, rec, "r"), mx.recordio.MXRecordIO(rec, "r")
    for _ in range(5):
        plain.read()
    for read in (plain.read, lambda: keyed.read_idx(5)):
        with pytest.raises(FormatError, match="`gpuio repair` makes a clean copy") as raised:
            read()
        assert raised.value.offset == at
    plain.close()
    keyed.close()
    with mx.io.ImageRecordIter(path_imgrec=rec, path_imgidx=idx, **OPTIONS) as it:
        with pytest.raises(FormatError) as raised:
            list(it)
        assert raised.value.message.endswith(
            "`gpuio repair` makes a clean copy, and on_error='skip' goes on without such records"
        )
        assert (raised.value.key, raised.value.offset) == (5, at)
        assert "gpuio repair" not in it.stats()["failed_records"][0]["reason"]


def test_an_image_that_cannot_be_decoded_names_the_option(tmp_path):
    rec, *_ = write_rec(tmp_path, [*BLOBS[:3], b"no image"])
    said = "; on_error='skip' goes on without such records"
    with (
        mx.io.ImageRecordIter(path_imgrec=rec, **OPTIONS) as it,
        pytest.raises(DecodeError, match=said),
    ):
        list(it)
