"""Pages name what is there: tests, files, commands, commits, and other pages."""

import importlib.util
import re
import subprocess
from pathlib import Path

import attrs
import pytest
from test_layers import LEVEL

from gpuio import nd, recordio
from gpuio.backend.gpu.probe import missing_for_gpu
from gpuio.nd.methods import ArrayMethods
from gpuio.options.machine import DecoderOptions, MachineOptions
from gpuio.tools.cli import COMMANDS
from support.pictures import jpeg, picture
from support.remote import as_before

TESTS = Path(__file__).parent
ROOT = TESTS.parent
PAGES = [*ROOT.glob("*.md")]
for folder in ("docs", "docs/decisions", "bench", "examples"):
    PAGES += (ROOT / folder).glob("*.md")
GPU_PAGE = (ROOT / "docs/gpu.md").read_text()
MXNET_PAGE = (ROOT / "docs/mxnet_scripts.md").read_text()
GUIDES = [ROOT / name for name in ("CONTRIBUTING.md", "SECURITY.md")]
GUIDES += [ROOT / "docs/architecture.md", ROOT / "docs/adding.md"]
GUIDES += sorted((ROOT / "docs/decisions").glob("*.md"))


@pytest.mark.parametrize(("page", "least"), [("files", 20), ("damage", 20), ("faults", 40)])
def test_pages_of_faults_name_tests_that_exist(page, least):
    text = (ROOT / f"docs/{page}.md").read_text()
    named = re.findall(r"`((?:[a-z_]+/)*test_\w+\.py)(?:::(test_\w+))?`", text)
    assert len(named) > least
    missing = [
        f"{file}::{name}"
        for file, name in named
        if not (TESTS / file).exists()
        or (name and f"def {name}(" not in (TESTS / file).read_text())
    ]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#\s]+)", page.read_text())
    broken = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert broken == []


def named_paths(page):
    """Yield each path of the repository that a page names in backquotes."""
    for name in re.findall(r"`([^`\s]+)`", page.read_text()):
        first = name.split("/")[0]
        if "/" in name and first in {path.name for path in ROOT.iterdir()} and "*" not in name:
            yield name


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: str(page.relative_to(ROOT)))
def test_paths_that_the_guides_name_exist(page):
    missing = [name for name in named_paths(page) if not (ROOT / name).exists()]
    assert missing == []


@pytest.mark.parametrize("page", ["docs/architecture.md", "docs/adding.md"])
def test_the_guides_name_many_paths(page):
    assert len(set(named_paths(ROOT / page))) > 40


def test_commands_that_the_guides_name_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in GUIDES:
        text = page.read_text()
        made = set(re.findall(r"(?:`|^)make ([a-z-]+)", text, re.MULTILINE))
        assert made <= targets, page
        ours = set(re.findall(r"`gpuio ([a-z0-9]+)", text))
        assert ours <= set(COMMANDS), page


def test_every_folder_of_code_has_a_line_in_the_architecture():
    text = (ROOT / "docs/architecture.md").read_text()
    folders = {path.parent.relative_to(ROOT).as_posix() for path in ROOT.glob("kernels/**/*.py")}
    folders |= {
        path.parent.relative_to(ROOT).as_posix()
        for path in ROOT.glob("gpuio/*/**/*.py")
        if path.relative_to(ROOT).parts[1] != "kernels"
    }
    assert [folder for folder in sorted(folders) if f"| `{folder}/` |" not in text] == []


def test_the_layers_in_the_architecture_are_those_that_are_enforced():
    text = (ROOT / "docs/architecture.md").read_text()
    lines = re.findall(r"^(\d)  ([a-z_ ]+)$", text, re.MULTILINE)
    assert {name: int(level) for level, names in lines for name in names.split()} == LEVEL


def test_commits_that_are_examples_have_the_subject_that_the_page_gives():
    text = " ".join((ROOT / "docs/adding.md").read_text().split())
    examples = re.findall(r'"([^"]+: [^"]+)" \(([0-9a-f]{7})[,)]', text)
    assert len(examples) >= 8
    for subject, commit in examples:
        log = ["git", "log", "-1", "--format=%s", commit]
        done = subprocess.run(log, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip("this copy has no history of that far back")
        assert done.stdout.strip() == subject


def test_the_script_in_the_page_about_mxnet_runs(capsys, monkeypatch):
    monkeypatch.setattr("gpuio.test_utils.list_gpus", list)  # a simulated driver may be loaded
    (script,) = re.findall(r"^```python\n(.*?)^```", MXNET_PAGE, re.MULTILINE | re.DOTALL)
    exec(compile(script, "docs/mxnet_scripts.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert [line[:7] for line in lines] == ["(4, 48)"] * 2


def gpu_blocks():
    """Return the scripts in the page about the GPU."""
    return re.findall(r"^```python\n(.*?)^```", GPU_PAGE, re.MULTILINE | re.DOTALL)


def test_the_scripts_in_the_page_about_the_gpu_run(tmp_path, monkeypatch, caplog):
    """On a CPU where there is no GPU, but for what needs PyTorch or captures a graph."""
    monkeypatch.chdir(tmp_path)
    with recordio.MXIndexedRecordIO("train.idx", "train.rec", "w") as writer:
        blobs = [jpeg(picture(40, 50, seed=key)) for key in range(4)]
        for key in range(128):
            header = recordio.IRHeader(0, float(key), key, 0)
            writer.write_idx(key, recordio.pack(header, blobs[key % 4]))
    torch = importlib.util.find_spec("torch")
    here, ran = {}, 0
    for block in gpu_blocks():
        code = compile(block, "docs/gpu.md", "exec")
        if ("torch" in block and not torch) or ("cuda" in block and missing_for_gpu(0)):
            continue
        exec(code, here)
        ran += 1
    here["it"].close()
    assert ran >= 2
    assert here["images"].shape == (64, 3, 224, 224)
    assert len(here["labels"]) == 64


def test_the_options_in_the_page_about_the_gpu_have_their_defaults():
    fields = {
        one.name: one for kind in (MachineOptions, DecoderOptions) for one in attrs.fields(kind)
    }
    table = GPU_PAGE.split("## Options")[1].split("##")[0]
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \|", table, re.MULTILINE)
    assert len(rows) >= 8
    for name, default in rows:
        expected = fields[name].default
        assert default.strip("`") == (
            f'"{expected}"' if isinstance(expected, str) else str(expected)
        ), name


def test_the_page_about_mxnet_names_every_function_and_method_of_nd():
    named = set(re.findall(r"`(\w+)`", MXNET_PAGE))
    ours = {"CSRNDArray", "Context", "NDArray", "cpu", "cpu_pinned", "current_context", "gpu"}
    ours |= {"described", "host_array", "num_gpus", "random", "sparse", "asnumpy", "wrapped"}
    assert set(nd.__all__) - named - ours == set()
    methods = {name for name in vars(ArrayMethods) if not name.startswith("_")} - {"of_library"}
    assert methods - named == set()


def scale_blocks(*sections):
    """Return the scripts in some sections of the page about many processes."""
    page = (ROOT / "docs/scale.md").read_text()
    texts = [page.split(f"\n## {name}\n")[1].split("\n## ")[0] for name in sections]
    blocks = r"^```python\n(.*?)^```"
    return [one for text in texts for one in re.findall(blocks, text, re.MULTILINE | re.DOTALL)]


def test_the_scripts_about_ranks_resuming_shuffles_and_urls_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blob = jpeg(picture(32, 32, seed=3))
    with recordio.MXIndexedRecordIO("train.idx", "train.rec", "w") as writer:
        for key in range(100):
            header = recordio.IRHeader(0, float(key), key, 0)
            writer.write_idx(key, recordio.pack(header, blob))
    here = {}
    blocks = scale_blocks("Ranks", "Resume", "Shuffles", "Remote")
    assert len(blocks) >= 4
    with as_before():
        for block in blocks:
            exec(compile(block, "docs/scale.md", "exec"), here)
    assert capsys.readouterr().out.splitlines()[0] == "[33, 33, 34]"
