"""The tests that the pages name are there, and the pages that they link to."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
ROOT = TESTS.parent
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md"]
PAGES += [page for folder in ("docs", "bench", "examples") for page in (ROOT / folder).glob("*.md")]


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
