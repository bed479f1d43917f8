"""docs/public_names.md lists what the modules say is public, and every name that the docs use."""

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "public_names.md"
INSIDE = ("adding.md", "architecture.md")  # for whoever changes gpuio
DOCS = [ROOT / "README.md"]
DOCS += [page for page in sorted((ROOT / "docs").glob("*.md")) if page.name not in INSIDE]
DOCS += sorted((ROOT / "examples").glob("*"))


def listed(text):
    """Return the names that a part of the page lists, by module."""
    parts = re.split(r"^### `([\w.]+)`\n", text, flags=re.MULTILINE)[1:]
    found = {}
    for module, part in zip(parts[::2], parts[1::2], strict=True):
        names = part.strip().split("\n\n")[-1]
        found[module] = re.findall(r"`(\w+)`", names)
    return found


WHOLE, SINGLE = (listed(part) for part in PAGE.read_text().split("\n## ")[1:])


@pytest.mark.parametrize("module", WHOLE)
def test_a_whole_module_is_listed_as_it_is(module):
    assert WHOLE[module] == sorted(importlib.import_module(module).__all__)


@pytest.mark.parametrize("module", SINGLE)
def test_single_names_are_in_their_module(module):
    assert SINGLE[module]
    assert set(SINGLE[module]) <= set(importlib.import_module(module).__all__)


def used(text):
    """Yield (module, name) for what a text imports from gpuio or names in full."""
    for module, names in re.findall(r"from (gpuio[\w.]*) import ([\w, ]+)", text):
        for name in names.split(","):
            yield module, name.split(" as ")[0].strip()
    for path in re.findall(r"\b(?:mx|gpuio)\.(?:[a-z_]+\.)*\w+", text):
        module, _, name = re.sub(r"^mx\.", "gpuio.", path).rpartition(".")
        yield module, name


def unlisted(text):
    """Return the public-looking names of a text that the page does not list."""
    known = {**WHOLE, **SINGLE}
    wrong = []
    for module, name in used(text):
        if f"{module}.{name}" in known or name in known.get(module, ()):
            continue
        if module in known:
            wrong.append(f"{module}.{name}")
        elif module != "gpuio" and module.rpartition(".")[0] in known:
            # an attribute: mx.io.ImageRecordIter.close
            if module.rpartition(".")[2] not in known[module.rpartition(".")[0]]:
                wrong.append(f"{module}.{name}")
        else:
            wrong.append(f"{module}.{name}")
    return wrong


# named as what is not here, or as a command or a folder, not as something to call
NOT_NAMES = {
    "gpuio.mod": "MXNet's training code, which is not here",
    "gpuio.sym": "the same",
    "gpuio.metric": "the same",
    "gpuio.np": "the same",
    "gpuio.autograd": "the same",
    "gpuio.optimizer": "the same",
    "gpuio.io.MXDataIter": "docs/mxnet_scripts.md says that it is not here",
    "gpuio.kernels": "python -m gpuio.kernels",
    "gpuio.fish": "a file of a shell's completions",
    "gpuio.tools": "the folder of the commands",
}


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_what_the_docs_send_users_to_is_listed(page):
    wrong = [name for name in unlisted(page.read_text()) if name not in NOT_NAMES]
    wrong = [name for name in wrong if not name.startswith("gpuio.tools.")]  # python -m
    assert wrong == []


@pytest.mark.parametrize(
    "text",
    [
        "from gpuio.plan.planner import Planner",
        "call `gpuio.recordio.framing.scan`",
        "mx.io.Nothing",
        "gpuio.plan.mix.Mixer",
    ],
)
def test_a_text_that_uses_another_name_is_seen(text):
    assert unlisted(text)
