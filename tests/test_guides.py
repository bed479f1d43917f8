"""The scripts and commands of the guides run, in their order, and print what the page says."""

import importlib.util
import re
import shlex
from pathlib import Path

import pytest

from gpuio.tools import cli
from support import faceset
from support.making import jpeg, photo, write_rec

DOCS = Path(__file__).resolve().parent.parent / "docs"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What the guides take as given: train.rec, photos in class folders, a face set."""
    folder = tmp_path_factory.mktemp("guides")
    blobs = [jpeg(photo(60, 80, seed)) for seed in range(10)]
    write_rec(folder, [blobs[i % 10] for i in range(100)], [i % 10 for i in range(100)], "train")
    for number in range(64):
        there = folder / "photos" / f"class_{number % 4}"
        there.mkdir(parents=True, exist_ok=True)
        (there / f"{number}.jpg").write_bytes(blobs[number % 10])
    faceset.write_faces(folder, (4, 5, 3), name="faces")
    return folder


def blocks(page):
    """Yield the language and the text of each block of a page."""
    text = (DOCS / f"{page}.md").read_text()
    yield from re.findall(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


PAGES = ["quick_start", "tutorial", "checkpoint", "record_format", "migration"]


@pytest.mark.parametrize("page", PAGES)
def test_a_guide_does_what_it_says(folder, page, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    here, printed, ran = {}, "", 0
    for language, block in blocks(page):
        if language == "python":
            if "torch" in block and not importlib.util.find_spec("torch"):
                continue
            exec(compile(block, f"docs/{page}.md", "exec"), here)
            printed, ran = capsys.readouterr().out, ran + 1
        elif language == "text":
            assert printed == block
        else:
            for line in block.splitlines():
                _, *arguments = shlex.split(line, comments=True)
                assert cli.main(arguments) == 0, line
            capsys.readouterr()
    assert ran >= 1


def messages():
    """Return the messages of the page about troubles, in its first two tables."""
    text = (DOCS / "troubleshooting.md").read_text().split("## Wrong results")[0]
    return re.findall(r"^\| `(.+?)`", text, re.MULTILINE)


@pytest.mark.parametrize("message", messages())
def test_a_message_of_the_page_about_troubles_is_one_of_ours(message):
    parts = re.split(r"\.\.\.|NAME[.\w]*|\b\d[\w.]*|'\w+'|\[.*|train\.rec|rand_mi\w+", message)
    longest = max((part.strip(" ;:,?.") for part in parts), key=len)
    assert len(longest) > 6
    source = " ".join(path.read_text() for path in (DOCS.parent / "gpuio").rglob("*.py"))
    assert longest in re.sub(r'"\s+f?r?"', "", source)
