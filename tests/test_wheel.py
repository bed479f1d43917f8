"""A wheel and an editable install both hold every file, import, and read a record elsewhere."""

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
READ_A_FILE = """
import gpuio as mx, gpuio.kernels.plan.layout
assert gpuio.kernels.plan.layout.PLAN.itemsize > 0
writer = mx.recordio.MXRecordIO("a.rec", "w")
writer.write(b"hello")
writer.close()
assert mx.recordio.MXRecordIO("a.rec", "r").read() == b"hello"
print(gpuio.kernels.plan.layout.__file__)
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A copy of what is needed to build, so that building leaves nothing in the tree."""
    copy = tmp_path_factory.mktemp("source") / "gpuio"  # as git names a clone
    copy.mkdir()
    for name in ("gpuio", "kernels", "scripts", "pyproject.toml", "README.md", "LICENSE"):
        subprocess.run(["cp", "-R", str(ROOT / name), str(copy)], check=True)
    return copy


@pytest.fixture(scope="module")
def wheel(source, tmp_path_factory):
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out)],
        cwd=source,
        check=True,
        capture_output=True,
    )
    return next(out.glob("*.whl"))


def shipped():
    """The files of the tree that belong into the wheel, by their place in it."""
    files = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "gpuio").rglob("*")
        if path.suffix in (".py", ".typed") and "kernels" not in path.relative_to(ROOT).parts
    }
    return files | {
        "gpuio/kernels/" + path.relative_to(ROOT / "kernels").as_posix()
        for path in (ROOT / "kernels").rglob("*")
        if path.suffix in (".py", ".cu")
    }


def test_the_wheel_holds_every_file_of_the_tree(wheel):
    names = {n for n in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in n}
    assert names == shipped()


def test_the_wheel_is_pure_python(wheel):
    assert wheel.name.endswith("-py3-none-any.whl")


@pytest.mark.parametrize("how", ["wheel", "editable"])
def test_an_install_reads_a_file_from_another_directory(how, wheel, source, tmp_path):
    """In the parent of the clone, too, where a folder named gpuio is no package."""
    place = tmp_path / "venv"
    venv.create(place, with_pip=False, symlinks=True)
    python = place / "bin" / "python"
    site = next((place / "lib").glob("python*/site-packages"))
    # what gpuio requires comes from the running environment: this is about our own files
    here = next(p for p in sys.path if p.endswith("site-packages"))
    (site / "requirements.pth").write_text(here + "\n")
    what = [str(wheel)] if how == "wheel" else ["--no-build-isolation", "-e", str(source)]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps"),
            *("--no-index", "--force-reinstall", "--quiet", *what),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    work = tmp_path / "elsewhere"
    work.mkdir()
    alone = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    for place in (work, source.parent):
        done = subprocess.run(
            [str(python), "-c", READ_A_FILE],
            cwd=place,
            env=alone,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert Path(done.stdout.strip()).is_relative_to(site if how == "wheel" else source)
