"""A stranger's first day goes as its page says."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MAKEFILE = (ROOT / "Makefile").read_text()


def test_a_first_look_installs_nothing_that_only_tests_need():
    first = MAKEFILE.split("$(VENV)/.demo:")[1].split("\n\n")[0]
    assert '-e ".[turbo]"' in first
    assert re.search(r"^demo: .*\$\(VENV\)/\.demo\)$", MAKEFILE, re.MULTILINE)
