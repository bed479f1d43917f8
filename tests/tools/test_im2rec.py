"""im2rec writes MXNet's files in the list's order, past bad files, kills and full disks."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from gpuio.pipeline import journal
from gpuio.pipeline.journal import Journal
from gpuio.recordio import MXIndexedRecordIO, unpack, unpack_img
from gpuio.tools import im2rec
from support.making import jpeg, photo, png
from support.tree import LISTS, make_tree

GOLDEN = json.loads((Path(__file__).parent.parent / "data/im2rec/golden.json").read_text())

LONG = pytest.mark.skipif(
    not os.environ.get("GPUIO_LONG"), reason="minutes: `make soak` sets GPUIO_LONG"
)


@pytest.fixture
def tree(tmp_path):
    make_tree(tmp_path / "root")
    return tmp_path / "root"


@pytest.fixture
def photos(tmp_path):
    """Twelve pictures of several kinds and a list of them."""
    root = tmp_path / "photos"
    root.mkdir()
    lines = []
    for i in range(12):
        name = f"{i:02}.{'png' if i % 4 == 3 else 'jpg'}"
        image = photo(30 + 3 * i, 50 - i, i)
        (root / name).write_bytes(png(image) if name.endswith("png") else jpeg(image))
        lines.append(f"{i}\t{i % 3}\t{name}\n")
    (tmp_path / "set.lst").write_text("".join(lines))
    return tmp_path


def pack(folder, *arguments):
    return im2rec.main(
        [str(folder / "set"), str(folder / "photos"), "--progress", "none", *arguments]
    )


def images(folder, name="set"):
    """Every record of a packed set: key to (header, image as stored)."""
    idx, rec = str(folder / f"{name}.idx"), str(folder / f"{name}.rec")
    with MXIndexedRecordIO(idx, rec, "r") as reader:
        return {key: unpack_img(reader.read_idx(key)) for key in reader.keys}


@pytest.mark.parametrize("name", sorted(LISTS))
def test_lists_are_mxnets_byte_for_byte(name, tree, tmp_path, capsys):
    prefix = tmp_path / "out" / name
    prefix.parent.mkdir()
    assert im2rec.main([str(prefix), str(tree), "--list", *LISTS[name]]) == 0
    written = {path.name: path.read_text() for path in sorted(prefix.parent.glob("*.lst"))}
    golden = dict(GOLDEN["lists"][name])
    if name == "half":  # of nine images MXNet loses one, which is a training image here
        golden["half_train.lst"] += "2\t1.000000\ta/10.JPG\n"
    assert written == golden
    folders = capsys.readouterr().out.splitlines()
    assert folders[:2] == ([". 0", "a 1"] if name in ("plain", "chunks") else folders[:2])


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("name", sorted(GOLDEN["records"]))
def test_records_are_mxnets_byte_for_byte(name, threads, tree, tmp_path):
    golden = GOLDEN["records"][name]
    (tmp_path / "p.lst").write_text(golden["lst"])
    arguments = ["--pass-through", "--num-thread", str(threads), *golden["arguments"]]
    assert im2rec.main([str(tmp_path / "p"), str(tree), *arguments]) == 0
    assert (tmp_path / "p.rec").read_bytes().hex() == golden["rec"]
    assert (tmp_path / "p.idx").read_text() == golden["idx"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.idx", "p.lst", "p.rec", "root"]


def test_images_are_encoded_again_as_opencv_encodes_them(photos):
    assert pack(photos, "--quality", "80") == 0
    got = images(photos)
    assert list(got) == list(range(12))
    idx, rec = str(photos / "set.idx"), str(photos / "set.rec")
    with MXIndexedRecordIO(idx, rec, "r") as reader:
        for i in range(12):
            header, blob = unpack(reader.read_idx(i))
            source = next((photos / "photos").glob(f"{i:02}.*"))
            expected = cv2.imencode(".jpg", cv2.imread(str(source)), [cv2.IMWRITE_JPEG_QUALITY, 80])
            assert blob == expected[1].tobytes()
            assert (header.label, header.id) == (i % 3, i)


@pytest.mark.parametrize(
    ("arguments", "shape"),
    [
        (["--resize", "20"], lambda h, w: (h * 20 // w, 20) if h > w else (20, w * 20 // h)),
        (["--resize", "80"], lambda h, w: (h * 80 // w, 80) if h > w else (80, w * 80 // h)),
        (["--center-crop"], lambda h, w: (min(h, w),) * 2),
        (["--center-crop", "--resize", "16"], lambda h, w: (16, 16)),
    ],
)
def test_geometry_flags(photos, arguments, shape):
    assert pack(photos, *arguments) == 0
    for i, (_, image) in images(photos).items():
        assert image.shape[:2] == shape(30 + 3 * i, 50 - i)


def test_flags_without_effect_are_said(photos, capsys):
    assert pack(photos, "--pass-through", "--resize", "20", "--quality", "80") == 0
    assert "as they are: --resize, --quality has no effect" in capsys.readouterr().err
    assert pack(photos, "--encoding", ".png", "--quality", "100") == 0
    assert "--quality 100: PNG compression ends at 9" in capsys.readouterr().err
    assert pack(photos, "--encoding", ".png") == pack(photos) == 0
    assert "im2rec:" not in capsys.readouterr().err


def test_labels_that_are_not_stored_are_said(photos, capsys):
    (photos / "set.lst").write_text("0\t1\t2\t00.jpg\n1\t3\t4\t01.jpg\n2\t5\t02.jpg\n")
    assert pack(photos) == 0
    assert "2 lines have several labels" in capsys.readouterr().err
    assert pack(photos, "--pack-label") == 0
    assert "several labels" not in capsys.readouterr().err


def test_a_prefix_may_be_the_folders_name(photos, capsys):
    prefix = str(photos / "photos")
    assert im2rec.main([prefix, prefix, "--list"]) == 0
    assert im2rec.main([prefix, prefix, "--progress", "none"]) == 0
    assert len(images(photos, "photos")) == 12
    (photos / "photos" / "own.lst").write_text("5\t1\t00.jpg\n")
    (photos / "photos.rec").unlink()
    capsys.readouterr()
    assert im2rec.main([prefix, prefix, "--progress", "none"]) == 0  # as MXNet's: those inside
    assert list(images(photos / "photos", "own")) == [5]
    assert f"{photos / 'photos.lst'} is not: give it as the PREFIX" in capsys.readouterr().err
    assert not (photos / "photos.rec").exists()
    assert im2rec.main([f"{prefix}.lst", prefix, "--progress", "none"]) == 0
    assert len(images(photos, "photos")) == 12


def test_names_of_problems_are_escaped(photos, capsys):
    with (photos / "set.lst").open("a") as file:
        file.write("20\t0\t\x1b[2Jnone.jpg\n")
    assert pack(photos) == 1
    assert r"left out: \x1b[2Jnone.jpg: cannot read" in capsys.readouterr().err


def test_the_centre_is_cropped(photos):
    assert pack(photos, "--center-crop", "--encoding", ".png") == 0
    for i, (_, image) in images(photos).items():
        source = cv2.imread(str(next((photos / "photos").glob(f"{i:02}.*"))))
        h, w = source.shape[:2]
        side, margin = min(h, w), abs(h - w) // 2
        part = source[margin : margin + side] if h > w else source[:, margin : margin + side]
        assert np.array_equal(image, part)


def test_gray_and_lossless(photos):
    assert pack(photos, "--color", "0", "--encoding", ".png", "--quality", "3") == 0
    for i, (_, image) in images(photos).items():
        source = next((photos / "photos").glob(f"{i:02}.*"))
        assert np.array_equal(image, cv2.imread(str(source), 0))


def test_the_number_of_threads_changes_nothing(photos):
    pack(photos, "--resize", "24")
    first = (photos / "set.rec").read_bytes(), (photos / "set.idx").read_bytes()
    pack(photos, "--resize", "24", "--num-thread", "5")
    assert ((photos / "set.rec").read_bytes(), (photos / "set.idx").read_bytes()) == first


def test_every_bad_file_is_named_and_the_rest_is_packed(photos, capsys):
    root = photos / "photos"
    (root / "empty.jpg").touch()
    (root / "text.jpg").write_text("no image")
    (root / "folder.jpg").mkdir()
    with (photos / "set.lst").open("a") as file:
        file.write("20\t0\tmissing.jpg\n21\t0\tempty.jpg\n22\t0\ttext.jpg\n23\t0\tfolder.jpg\n")
        file.write("24 0 00.jpg\n25\tcat\t00.jpg\n26\t1\t00.jpg\n27\t00.jpg\n-1\t0\t00.jpg\n")
    assert pack(photos, "--num-thread", "3") == 1
    said = capsys.readouterr().err
    for words in (
        "missing.jpg: cannot read: No such file",
        "empty.jpg: the file is empty",
        "text.jpg: not a readable image",
        "folder.jpg: cannot open: not a regular file: it is a folder",
        "line 18 is '25\\tcat\\t00.jpg': its label 'cat' is not a number",
        "line 20 is '27\\t00.jpg': 2 TAB-separated fields",
        "line 21 is '-1\\t0\\t00.jpg': its id -1 is not a whole number from 0",
        "14 records",
    ):
        assert words in said, words
    assert list(images(photos)) == [*range(12), 24, 26]


def test_an_id_in_two_lines_of_a_list_is_an_error_and_nothing_is_written(photos, capsys):
    with (photos / "set.lst").open("a") as file:
        file.write("3\t7\t00.jpg\n")
    assert pack(photos) == 3
    assert "id 3 stands in line 4 and in line 13" in capsys.readouterr().err
    assert sorted(path.name for path in photos.iterdir()) == ["photos", "set.lst"]


def test_names_of_any_bytes_are_packed(tmp_path):
    root = os.fsencode(tmp_path / "photos")
    os.mkdir(root)
    for name in (b"caf\xe9.jpg", "süß 猫.jpg".encode()):
        with open(os.path.join(root, name), "wb") as file:
            file.write(jpeg(photo(10, 10)))
    assert im2rec.main([str(tmp_path / "set"), str(tmp_path / "photos"), "--list"]) == 0
    assert pack(tmp_path) == 0
    assert len(images(tmp_path)) == 2


def test_a_link_to_a_parent_is_not_followed_for_ever(tree, tmp_path):
    (tree / "a" / "up").symlink_to(tree)
    (tree / "other").symlink_to(tree / "c")
    assert im2rec.main([str(tmp_path / "p"), str(tree), "--list", "--recursive"]) == 0
    listed = (tmp_path / "p.lst").read_text()
    assert "other/z.jpg" in listed
    assert "up/" not in listed


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--list", "--chunks", "0"], 2),
        (["--list", "--train-ratio", "1.5"], 2),
        (["--list", "--train-ratio", "0.8", "--test-ratio", "0.4"], 2),
        (["--resize", "-3"], 2),
        (["--num-thread", "0"], 2),
        (["--quality", "0"], 2),
        (["--quality", "101"], 2),
        (["--quality", "-1", "--encoding", ".png"], 2),
        ([], 1),
        (["--list", "--exts", ".gif"], 1),
    ],
)
def test_exit_codes(tree, tmp_path, arguments, code, capsys):
    assert im2rec.main([str(tmp_path / "p"), str(tree), *arguments]) == code
    assert capsys.readouterr().err.startswith("gpuio im2rec: ")


def test_a_missing_root_and_an_unwritable_place(tree, tmp_path, capsys):
    assert im2rec.main([str(tmp_path / "p"), str(tmp_path / "no"), "--list"]) == 2
    assert im2rec.main([str(tmp_path / "no/p"), str(tree), "--list"]) == 3
    capsys.readouterr()


@pytest.mark.parametrize("call", range(1, 9))
def test_a_full_disk_leaves_no_half_file_and_can_be_resumed(photos, monkeypatch, capsys, call):
    pack(photos, "--pass-through")
    whole = (photos / "set.rec").read_bytes(), (photos / "set.idx").read_bytes()
    (photos / "set.rec").unlink()
    (photos / "set.idx").unlink()
    calls = []
    real = Journal.add

    def add(self, *arguments):
        calls.append(1)
        if len(calls) == call:
            self._data.write(b"half a rec")
            self._data.flush()
            raise OSError(errno.ENOSPC, "No space left on device")
        real(self, *arguments)

    monkeypatch.setattr(Journal, "add", add)
    assert pack(photos, "--pass-through") == 3
    assert "No space left" in capsys.readouterr().err
    assert not (photos / "set.idx").exists()
    assert not (photos / "set.rec").exists()
    monkeypatch.undo()
    assert pack(photos, "--pass-through", "--resume") == 0
    assert ((photos / "set.rec").read_bytes(), (photos / "set.idx").read_bytes()) == whole


def kill_while_packing(folder, seconds):
    """Start a packing, kill it after a time; True if it was still at work."""
    child = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "gpuio.tools.im2rec",
            str(folder / "set"),
            str(folder / "photos"),
            "--resume",
            "--progress",
            "none",
            "--num-thread",
            "2",
            "--resize",
            "300",
        ],
        stderr=subprocess.DEVNULL,
    )
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        child.send_signal(signal.SIGKILL)
        child.wait()
        return True
    return False


@pytest.mark.slow
@pytest.mark.parametrize("kills", [12, pytest.param(200, marks=LONG)])
def test_a_packing_killed_at_any_time_resumes_to_the_same_bytes(tmp_path, kills):
    root = tmp_path / "photos"
    root.mkdir()
    blob = jpeg(photo(600, 800))
    lines = []
    for i in range(60):
        (root / f"{i}.jpg").write_bytes(blob if i % 9 else b"bad")
        lines.append(f"{i}\t0\t{i}.jpg\n")
    (tmp_path / "set.lst").write_text("".join(lines))
    begun = time.monotonic()
    pack(tmp_path, "--resize", "300", "--num-thread", "2")
    once = time.monotonic() - begun
    whole = (tmp_path / "set.rec").read_bytes(), (tmp_path / "set.idx").read_bytes()
    rng = np.random.default_rng(0)
    killed = finished = 0
    while killed < kills:
        if (tmp_path / "set.idx").exists():
            assert (tmp_path / "set.idx").read_bytes() == whole[1]
            assert (tmp_path / "set.rec").read_bytes() == whole[0]
            (tmp_path / "set.rec").unlink()
            (tmp_path / "set.idx").unlink()
            finished += 1
        # the import takes its time before the packing begins
        killed += kill_while_packing(tmp_path, 0.25 + rng.uniform(0, once))
    assert pack(tmp_path, "--resize", "300", "--resume") == 1
    assert ((tmp_path / "set.rec").read_bytes(), (tmp_path / "set.idx").read_bytes()) == whole
    assert sorted(path.name for path in tmp_path.glob("set*")) == ["set.idx", "set.lst", "set.rec"]


def test_another_list_or_other_options_start_anew(photos, monkeypatch):
    pack(photos, "--pass-through")
    whole = (photos / "set.rec").read_bytes()

    def stop(self):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Journal, "finish", stop)
    assert pack(photos, "--resize", "20") == 3
    monkeypatch.undo()
    assert (photos / "set.rec.part").exists()
    assert pack(photos, "--pass-through", "--resume") == 0
    assert (photos / "set.rec").read_bytes() == whole
    assert not (photos / "set.rec.part").exists()


@pytest.mark.parametrize("now", [b"older records", b"\x0a\x23\xd7\xce", b""])
def test_records_replaced_after_a_run_died_at_its_end_are_packed_anew(photos, monkeypatch, now):
    pack(photos, "--pass-through")
    whole = (photos / "set.rec").read_bytes(), (photos / "set.idx").read_bytes()

    def stop(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(journal, "write_index", stop)  # the records have their name by then
    assert pack(photos, "--pass-through") == 3
    monkeypatch.undo()
    assert (photos / "set.idx.part").exists()
    (photos / "set.rec").write_bytes(now)
    assert pack(photos, "--pass-through", "--resume") == 0
    assert ((photos / "set.rec").read_bytes(), (photos / "set.idx").read_bytes()) == whole
    assert not list(photos.glob("*.part"))


def test_the_module_runs_as_mxnets_tool_does(tree, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "gpuio", "im2rec", str(tmp_path / "p"), str(tree), "--list"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "p.lst").exists()


def test_a_list_is_packed_by_one_process_at_a_time(photos, capsys):
    code = (
        "import fcntl, sys; file = open(sys.argv[1]); fcntl.flock(file, fcntl.LOCK_EX)\n"
        "print(flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, photos / "set.lst"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        other.stdout.readline()
        assert pack(photos) == 3
        assert "another process is writing this file" in capsys.readouterr().err
        assert sorted(os.listdir(photos)) == ["photos", "set.lst"]
        other.stdin.close()
    assert pack(photos) == 0
