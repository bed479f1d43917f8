"""The tests that the pages name are there."""

import re
from pathlib import Path

TESTS = Path(__file__).parent


def test_the_page_of_files_names_tests_that_exist():
    page = (TESTS.parent / "docs/files.md").read_text()
    named = re.findall(r"`([a-z_]+/test_\w+\.py)(?:::(test_\w+))?`", page)
    assert len(named) > 20
    missing = [
        f"{file}::{name}"
        for file, name in named
        if not (TESTS / file).exists()
        or (name and f"def {name}(" not in (TESTS / file).read_text())
    ]
    assert missing == []
