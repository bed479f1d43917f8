"""The site of the docs builds without a warning, and has every public name."""

import importlib
import inspect
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from test_public_names import SINGLE, WHOLE

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the built site."""
    out = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html"]
    done = subprocess.run(
        [*build, "-d", str(out / "trees"), str(ROOT / "docs"), str(out / "html")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return out / "html"


def names(site):
    """Return what the site's inventory lists."""
    from sphinx.util.inventory import InventoryFile

    inventory = InventoryFile.loads((site / "objects.inv").read_bytes(), uri="")
    return {name for kind, listed in inventory.data.items() if kind[:3] == "py:" for name in listed}


@pytest.mark.slow
def test_the_reference_documents_every_public_name(site):
    found = names(site)
    public = {**WHOLE, **SINGLE}
    missing = []
    for module, listed in public.items():
        for name in listed:
            one = getattr(importlib.import_module(module), name)
            homes = [
                home  # a name that several modules have is documented in one of them
                for home, theirs in public.items()
                if name in theirs and getattr(importlib.import_module(home), name) is one
            ]
            shown = {f"{home}.{name}" for home in homes}
            if inspect.ismodule(one):
                shown = {one.__name__}
            if not shown & found:
                missing.append(f"{module}.{name}")
    assert missing == []


@pytest.mark.slow
def test_no_page_of_the_site_links_out_of_it(site):
    links = [
        (page, target)
        for page in site.rglob("*.html")
        for target in re.findall(r'href="([^"#?]+)', page.read_text())
    ]
    broken = [
        f"{page.relative_to(site)}: {target}"
        for page, target in links
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert broken == []


class _Texts(HTMLParser):
    """The lines of a page's text, but for what stands as it was typed."""

    def __init__(self):
        super().__init__()
        self.lines, self._typed = [], 0

    def handle_starttag(self, tag, attrs):
        self._typed += tag in ("pre", "script", "style")

    def handle_endtag(self, tag):
        self._typed -= tag in ("pre", "script", "style")

    def handle_data(self, data):
        if not self._typed:
            self.lines += data.split("\n")


@pytest.mark.slow
def test_no_page_of_the_site_runs_columns_together(site):
    """Blanks that make columns in a docstring are one blank in a page."""
    found = []
    for page in site.rglob("*.html"):
        texts = _Texts()
        texts.feed(page.read_text())
        columns = [line for line in texts.lines if re.search(r"\S {3,}\S", line)]
        found += [f"{page.relative_to(site)}: {line}" for line in columns]
    assert found == []
