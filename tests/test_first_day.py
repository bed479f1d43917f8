"""A stranger's first day goes as its page says: every block runs, in the page's order."""

import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gpuio.tools import cli
from support.making import jpeg, photo

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs/first_day.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
MAKEFILE = (ROOT / "Makefile").read_text()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of photos in class folders, as the page takes them."""
    monkeypatch.chdir(tmp_path)
    handler = signal.getsignal(signal.SIGINT)
    for number in range(24):
        there = tmp_path / "photos" / f"class_{number % 3}"
        there.mkdir(parents=True, exist_ok=True)
        (there / f"{number}.jpg").write_bytes(jpeg(photo(48, 60, number)))
    yield tmp_path
    signal.signal(signal.SIGINT, handler)


def run(script, name="page", stop=None):
    """Run a script as a program would; press Ctrl-C where it prints `stop`; return its lines."""
    lines = []

    def said(*words, **_):
        lines.append(" ".join(map(str, words)))
        if stop and lines[-1].startswith(stop):
            signal.raise_signal(signal.SIGINT)

    try:
        exec(compile(script, name, "exec"), {"__name__": "__main__", "print": said})
    except SystemExit as left:
        lines.append(str(left))
    return lines


def command(line, monkeypatch):
    """Do what a line of a shell's block says; return what a script of it printed."""
    if "&" in line:  # two processes at once: here one after the other, which is the same to them
        parts = [part for part in re.split("[&;]", line) if "python" in part]
        return [text for part in parts for text in command(part, monkeypatch)]
    words = shlex.split(line, comments=True)
    while "=" in words[0]:
        monkeypatch.setenv(*words.pop(0).split("="))
    program, *rest = words
    if program == "gpuio":
        monkeypatch.setattr("gpuio.tools.measuring._LEAST_S", 0.005)
        quick = ["--seconds", "1", "--threads", "1", "--batch-size", "8"]
        if rest[0] == "doctor":  # in a process of its own: other tests may have simulated a GPU
            subprocess.run([sys.executable, "-m", "gpuio", *rest], check=True, capture_output=True)
        else:
            assert cli.main([*rest, *(quick if rest[0] == "bench" else [])]) == 0, line
    elif program == "rm":
        Path(*rest).unlink()
    elif program == "make":
        assert re.search(rf"^{rest[0]}:", MAKEFILE, re.MULTILINE), line
    elif program == "python" and len(rest) == 1:
        return run(Path(rest[0]).read_text(), rest[0], "epoch 4" if "Ctrl-C" in line else None)
    else:  # what a test cannot do, but for the files that it names
        assert program in {"git", "cd", ".", "python3", "pip", "torchrun", "python"}, line
        named = [word for word in rest if word.startswith("gpuio/")]
        assert all((ROOT / word.removeprefix("gpuio/")).is_file() for word in named), line
    return []


def test_the_first_day_goes_as_its_page_says(folder, monkeypatch, capsys):
    printed = []
    for language, block in BLOCKS:
        name = re.match(r"# (\w+\.py)\n", block)
        if name:
            (folder / name[1]).write_text(block)
        elif language == "python":
            printed += run(block)
        else:
            for line in block.splitlines():
                printed += command(line, monkeypatch)
    capsys.readouterr()
    stopped = printed.index("stopped in epoch 5: the same command goes on")
    assert printed[stopped + 1] == "goes on in epoch 5"
    whole, resumed = [line for line in printed if line.startswith("weights")]
    assert whole == resumed
    assert "3 people, 24 images" in printed
    assert {"rank 0: 1 batches, 12 images", "rank 1: 1 batches, 12 images"} <= {*printed}


def test_a_first_look_installs_nothing_that_only_tests_need():
    first = MAKEFILE.split("$(VENV)/.demo:")[1].split("\n\n")[0]
    assert '-e ".[turbo]"' in first
    assert re.search(r"^demo: .*\$\(VENV\)/\.demo\)$", MAKEFILE, re.MULTILINE)
