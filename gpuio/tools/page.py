"""A page of HTML that needs nothing beside itself: tables, bars and small pictures.

Light or dark as the reader's system is, and as narrow as a phone. All text is escaped.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from gpuio.tools.tiles import Tile

__all__ = ["bars", "gallery", "page", "picture", "section", "table"]

_STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1c1f23; --soft: #5a6470;
  --line: #d8dde3; --bar: #3572b0; --bad: #b3261e; --card: #f6f8fa; }
@media (prefers-color-scheme: dark) { :root { --paper: #15181c; --ink: #e6e9ed; --soft: #9aa5b1;
  --line: #333a42; --bar: #6aa9e4; --bad: #f2867e; --card: #1d2126; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 75rem; padding: 1rem; background: var(--paper);
  color: var(--ink); font: 1rem/1.45 system-ui, sans-serif; }
h1 { font-size: 1.4rem; margin: .5rem 0; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 0 0 .6rem; }
section { background: var(--card); border: 1px solid var(--line); border-radius: .5rem;
  padding: .8rem 1rem; margin: 1rem 0; overflow-x: auto; }
p { color: var(--soft); margin: .3rem 0; overflow-wrap: anywhere; }
.columns { columns: 19rem; column-gap: 1rem; }
.columns section { margin: 0 0 1rem; break-inside: avoid; }
table { border-collapse: collapse; font-size: .9rem; }
td, th { text-align: left; padding: .15rem .9rem .15rem 0; vertical-align: top; font-weight: 400;
  overflow-wrap: anywhere; }
th { color: var(--soft); }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.bars { display: grid; grid-template-columns: minmax(4rem, max-content) 1fr max-content;
  gap: .15rem .6rem; font-size: .85rem; align-items: center; }
.bars span:nth-child(3n+1) { overflow: hidden; text-overflow: ellipsis; white-space: nowrap;
  max-width: 11rem; }
.bars span:nth-child(3n) { text-align: right; font-variant-numeric: tabular-nums;
  color: var(--soft); }
.bars i { display: block; height: .8rem; border-radius: 2px;
  background: var(--bar); }
.gallery { display: grid; gap: .6rem; grid-template-columns: repeat(auto-fill, minmax(8rem, 1fr)); }
.gallery.wide { grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); }
.gallery + .gallery { margin-top: .6rem; }
figure { margin: 0; min-width: 0; }
figure img { display: block; max-width: 100%; height: auto; border-radius: 3px; }
figcaption { font-size: .8rem; color: var(--soft); overflow-wrap: anywhere; }
figure.bad figcaption { color: var(--bad); }
h3 { font-size: .95rem; margin: .9rem 0 .4rem; }
code { font-size: .8rem; overflow-wrap: anywhere; }
"""


def page(title: str, parts: Iterable[str]) -> str:
    """Return a whole page."""
    name = html.escape(title)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{name}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{name}</h1>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


def section(title: str, *parts: str, said: str = "") -> str:
    """Return a part of a page under a title."""
    told = f"<p>{html.escape(said)}</p>" if said else ""
    return f"<section>\n<h2>{html.escape(title)}</h2>\n{told}{''.join(parts)}\n</section>"


def columns(parts: Iterable[str]) -> str:
    """Return sections that stand beside each other where there is room."""
    return '<div class="columns">\n' + "\n".join(parts) + "\n</div>"


def table(rows: Iterable[Sequence[object]], head: Sequence[str] = ()) -> str:
    """Return a table; numbers are set to the right."""
    lines = [
        "<tr>" + "".join(f'<th scope="col">{html.escape(one)}</th>' for one in head) + "</tr>"
    ] * bool(head)
    for row in rows:
        cells = "".join(
            f'<td class="number">{cell:,}</td>'
            if isinstance(cell, int)
            else f"<td>{html.escape(str(cell))}</td>"
            for cell in row
        )
        lines.append(f"<tr>{cells}</tr>")
    return "<table>\n" + "\n".join(lines) + "\n</table>"


def bars(counts: Sequence[tuple[str, int]], more: str = "") -> str:
    """Return a chart of bars, one per (name, count)."""
    largest = max((count for _, count in counts), default=1)
    lines = [
        f'<span title="{html.escape(name)}">{html.escape(name)}</span>'
        f'<span><i style="width:{_width(count, largest)}"></i></span>'
        f"<span>{count:,}</span>"
        for name, count in counts
    ]
    told = f"<p>{html.escape(more)}</p>" if more else ""
    return f'<div class="bars">{"".join(lines)}</div>{told}'


def _width(count: int, largest: int) -> str:
    """Return the width of a bar; one that counts anything can be seen."""
    return f"max(2px, {100 * count / largest:.1f}%)" if count else "0"


def picture(image: npt.NDArray[np.uint8], *, lossless: bool = False) -> str:
    """Return an image, uint8[h, w, 3], R G B, as what an ``img`` shows."""
    import cv2

    suffix, kind = (".png", "png") if lossless else (".jpg", "jpeg")
    _, encoded = cv2.imencode(suffix, np.ascontiguousarray(image[:, :, ::-1]))
    return f"data:image/{kind};base64,{base64.b64encode(encoded.tobytes()).decode()}"


def gallery(tiles: Iterable[Tile], *, wide: bool = False) -> str:
    """Return small pictures with their titles."""
    figures = []
    for tile in tiles:
        height, width = tile.image.shape[:2]
        title = html.escape(tile.title)
        why = f"<br>{html.escape(tile.bad)}" if tile.bad else ""
        figures.append(
            f'<figure{" class=bad" * bool(tile.bad)}><img src="{picture(tile.image)}" '
            f'width="{width}" height="{height}" alt="{title}" loading="lazy">'
            f"<figcaption>{title}{why}</figcaption></figure>"
        )
    return f'<div class="gallery{" wide" * wide}">{"".join(figures)}</div>'
