"""A packing that is killed, or has no room, or no permission, never leaves half a set of files."""

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from gpuio.recordio import MXIndexedRecordIO
from gpuio.tools import im2rec
from support.making import jpeg, photo

PROGRAM = Path(__file__).parents[1] / "support" / "kills.py"


@pytest.fixture
def photos(tmp_path):
    """Forty pictures and a list of them."""
    root = tmp_path / "photos"
    root.mkdir()
    lines = []
    for number in range(40):
        (root / f"{number}.jpg").write_bytes(jpeg(photo(60, 80, number)))
        lines.append(f"{number}\t{number % 7}\t{number}.jpg\n")
    (tmp_path / "set.lst").write_text("".join(lines))
    return tmp_path


def pack(folder, *arguments):
    given = [str(folder / "set"), str(folder / "photos"), "--progress", "none", *arguments]
    return im2rec.main(given)


def files(folder):
    """Every file of a folder and those below, by name."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.*")}


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["--pass-through"], ["--resize", "40", "--num-thread", "3"]])
def test_a_packing_killed_anywhere_leaves_nothing_or_what_can_be_resumed(photos, arguments):
    """A hundred kills each; older files stand there, and never pair up with new ones."""
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(photos), "100", "7", *arguments],
        capture_output=True,
        text=True,
        timeout=2400,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout)
    assert counts["wrong"] == []
    assert counts["killed"] == 100
    assert counts["resumed"] > 0
    assert counts["untouched"] > 0


@pytest.mark.parametrize("share", [0.01, 0.3, 0.6, 0.999])
def test_no_room_leaves_the_older_files_and_can_be_resumed(photos, share, capsys):
    """The system refuses to let a file grow: what a full disk does."""
    assert pack(photos, "--pass-through") == 0
    whole = files(photos)
    for name in ("set.rec", "set.idx"):
        (photos / name).write_bytes(b"older")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(share * len(whole["set.rec"])), limits[1]))
    try:
        assert pack(photos, "--pass-through") == 3
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "gpuio im2rec: cannot write: File too large" in capsys.readouterr().err
    now = files(photos)
    assert now["set.rec"] == now["set.idx"] == b"older"
    assert {name: now[name] for name in whole if name.endswith(("jpg", "lst"))} == {
        name: whole[name] for name in whole if name.endswith(("jpg", "lst"))
    }
    assert pack(photos, "--pass-through", "--resume") == 0
    assert files(photos) == whole


def test_a_folder_that_may_not_be_written_is_named_and_stays_as_it_is():
    code = (
        "import os, shutil, sys, tempfile\n"
        "from gpuio.tools import im2rec\n"
        "prefix, *rest = sys.argv[1:]\n"
        "with tempfile.TemporaryDirectory() as folder:\n"  # loads what another user may not load
        "    shutil.copy(prefix + '.lst', folder)\n"
        "    assert im2rec.main([folder + '/set', *rest]) == 0\n"
        "if os.access(os.path.dirname(prefix), os.W_OK): os.setuid(65534)\n"  # root may
        "sys.exit(im2rec.main([prefix, *rest]))\n"
    )
    before = []
    if os.geteuid() == 0 and shutil.which("setpriv"):  # root that is denied what others are
        before = ["setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "photos").mkdir()
        (folder / "photos" / "0.jpg").write_bytes(jpeg(photo(8, 8)))
        (folder / "set.lst").write_text("0\t1\t0.jpg\n")
        folder.chmod(0o555)
        there = files(folder)
        try:
            for arguments in (["--pass-through"], ["--list"]):
                done = subprocess.run(
                    [
                        *before,
                        sys.executable,
                        "-c",
                        code,
                        folder / "set",
                        folder / "photos",
                        *arguments,
                    ],
                    capture_output=True,
                    text=True,
                    check=False,
                )
                assert (done.returncode, done.stdout) == (3, ""), done.stderr
                assert "gpuio im2rec: cannot write: Permission denied" in done.stderr
                assert files(folder) == there
        finally:
            folder.chmod(0o755)


def test_a_list_leaves_out_names_it_cannot_hold_and_says_so(tmp_path, capsys):
    root = tmp_path / "photos"
    root.mkdir()
    for name in ("good one.jpg", "tab\t.jpg", "line\n.jpg", "return\r.jpg", " blank.jpg"):
        (root / name).write_bytes(jpeg(photo(8, 8)))
    assert pack(tmp_path, "--list") == 1
    said = capsys.readouterr().err
    for name in (r"'tab\t.jpg'", r"'line\n.jpg'", r"'return\r.jpg'", "' blank.jpg'"):
        assert f"left out: {name}: a list cannot hold this name" in said
    assert (tmp_path / "set.lst").read_text() == "1\t0.000000\tgood one.jpg\n"
    assert pack(tmp_path, "--pass-through") == 0


def test_a_file_too_long_for_a_record_is_left_out_unread(photos, capsys):
    with (photos / "photos" / "39.jpg").open("wb") as file:
        file.truncate((1 << 29) + 5)
    assert pack(photos, "--pass-through") == 1
    assert "39.jpg: 536,870,917 bytes, a record holds 536,870,911" in capsys.readouterr().err
    with MXIndexedRecordIO(str(photos / "set.idx"), str(photos / "set.rec"), "r") as reader:
        assert reader.keys == list(range(39))


def test_a_path_listed_twice_is_packed_twice(photos):
    (photos / "set.lst").write_text("0\t1\t7.jpg\n5\t2\t7.jpg\n")
    assert pack(photos, "--pass-through") == 0
    with MXIndexedRecordIO(str(photos / "set.idx"), str(photos / "set.rec"), "r") as reader:
        first, second = reader.read_idx(0), reader.read_idx(5)
        assert first[24:] == second[24:] == (photos / "photos" / "7.jpg").read_bytes()


def test_a_picture_that_may_not_be_read_is_left_out(photos, monkeypatch, capsys):
    real = os.open

    def deny(path, *arguments, **keywords):
        if str(path).endswith("3.jpg"):
            raise PermissionError(13, "Permission denied")
        return real(path, *arguments, **keywords)

    monkeypatch.setattr(os, "open", deny)
    assert pack(photos, "--pass-through") == 1
    assert "left out: 3.jpg: cannot read: Permission denied" in capsys.readouterr().err
