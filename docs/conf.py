"""How the site is built: `make docs`."""

from __future__ import annotations

import importlib.metadata
import os
import re
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent

project = "gpuio"
release = version = importlib.metadata.version("gpuio")
copyright = author = "the gpuio authors"  # noqa: A001 -- Sphinx's name

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["tables.css"]
html_title = f"gpuio {release}"
html_show_sourcelink = False
myst_heading_anchors = 4
# several classes have attributes of one name, and a docstring says which it means
suppress_warnings = ["ref.python"]
autodoc_typehints = "none"
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False

# pages that lie elsewhere in the tree, and where the site has them
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "project/changelog.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "SECURITY.md": "project/security.md",
    "bench/README.md": "project/benchmarks.md",
    "examples/README.md": "project/examples.md",
}


def relink(text: str, page: Path, at: Path) -> str:
    """Return a page with the links that lead out of `docs` turned to the site's pages.

    Parameters
    ----------
    text : str          Markdown
    page : Path         the file that it was written for
    at : Path           the file of the site that shows it
    """

    def link(found: re.Match[str]) -> str:
        words, target, anchor = found.groups()
        if "://" in target or not target:
            return found[0]
        path = Path(os.path.normpath(page.parent / target))
        if path.is_dir():
            path /= "README.md"
        name = path.relative_to(HERE.parent).as_posix()
        if name in PAGES:
            path = HERE / PAGES[name]
        elif not path.is_relative_to(HERE):
            return words if words.startswith("`") else f"{words} (`{name}`)"
        return f"[{words}]({os.path.relpath(path, at.parent)}{anchor})"

    return re.sub(r"\[([^\]\n]+)\]\(([^)#\s]*)((?:#[^)\s]*)?)\)", link, text)


def aligned(lines: list[str]) -> list[str]:
    """Return a docstring with "name    text" on one line, in columns, as numpydoc has it on two."""
    made: list[str] = []
    section = entry = False
    for number, line in enumerate(lines):
        below = lines[number + 1] if number + 1 < len(lines) else ""
        if below and not below.strip("-"):
            section, entry = (
                line in ("Parameters", "Returns", "Raises", "Attributes", "Yields"),
                False,
            )
        columns = re.match(r"(\S.*?\S|\S) {2,}(\S.*)", line)
        if section and columns:
            made += [columns[1], f"    {columns[2]}"]
            entry = True
        elif section and line.startswith(" ") and entry:
            made.append(f"    {line.strip()}")
        else:
            made.append(line)
            entry = section and bool(line) and not line.startswith("-")
    return made


def setup(app: Any) -> None:
    """Connect what reads pages and docstrings."""

    def align(_app: Any, _what: str, _name: str, _of: Any, _how: Any, lines: list[str]) -> None:
        lines[:] = aligned(lines)

    app.connect("autodoc-process-docstring", align, priority=400)  # before napoleon

    def read(_app: Any, name: str, source: list[str]) -> None:
        at = HERE / f"{name}.md"
        page = at
        for origin, shown in PAGES.items():
            if shown == f"{name}.md" and name != "index":
                page = HERE.parent / origin
                source[0] = page.read_text()
        source[0] = relink(source[0], page, at)

    app.connect("source-read", read)
