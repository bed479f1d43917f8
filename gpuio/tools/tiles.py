"""Small pictures of records: the image, its boxes, its key and label; a sign where it is bad."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from gpuio.decode.limits import check_image
from gpuio.decode.opencv import decode
from gpuio.errors import GpuioError
from gpuio.tools.census import named_label, objects_of
from gpuio.tools.entries import Entry, Records, entries

__all__ = ["Tile", "draw_boxes", "tiles_of"]

Image = npt.NDArray[np.uint8]

# of classes 0, 1, 2, ...; R, G, B: Okabe and Ito's colours, told apart by most people
COLOURS = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
)
_BAD = (200, 40, 40)


@attrs.frozen(eq=False)
class Tile:
    """A record's picture.

    Attributes
    ----------
    image : uint8[h, w, 3]      R G B
    name : str                  "22", or "record 22"
    label : str                 its first label and the class's name; of a detection set, its boxes
    bad : str                   why the record cannot be used; "" if it can
    called : str                "key 22", or "record 22"
    """

    image: Image
    name: str
    label: str
    bad: str = ""
    called: str = ""

    @property
    def title(self) -> str:
        """The text above the tile."""
        return f"{self.name} unusable" if self.bad else f"{self.name}: {self.label}".rstrip(": ")


def tiles_of(
    records: Records,
    rows: npt.NDArray[np.int64],
    edge: int,
    names: Mapping[int, str],
    *,
    boxes: bool,
    max_pixels: int | None = None,
) -> Iterator[Tile]:
    """Yield a tile for each record.

    Parameters
    ----------
    records : Records
    rows : int64[n]
    edge : int                  longer edge of an image, pixels
    names : dict                of the classes
    boxes : bool                the labels are boxes: draw them
    max_pixels : int, optional  an image whose header claims more is bad
    """
    for entry in entries(records, rows):
        name = entry.name if entry.key is None else f"{entry.key}"
        try:
            if entry.error is not None:
                raise entry.error
            check_image(entry.blob, max_pixels)
            image = decode(entry.blob, 3)[:, :, ::-1]
        except GpuioError as error:
            yield Tile(_bad_tile(edge), name, "", error.message, entry.name)
            continue
        small = _scaled(image, edge)
        label = _label(entry, names)
        if boxes:
            objects = objects_of(entry.labels)
            draw_boxes(small, objects, names)
            label = f"{len(objects)} box" + "es" * (len(objects) != 1)
        yield Tile(small, name, label, called=entry.name)


def _scaled(image: npt.NDArray[Any], edge: int) -> Image:
    """Return an image whose longer edge has a length."""
    import cv2

    scale = edge / max(image.shape[:2])
    size = [max(1, round(side * scale)) for side in (image.shape[1], image.shape[0])]
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    made: Image = cv2.resize(np.ascontiguousarray(image), size, interpolation=how)
    return made


def _bad_tile(edge: int) -> Image:
    """Return a gray square with a red frame and a cross."""
    import cv2

    tile = np.full((edge, edge, 3), 200, np.uint8)
    thick = max(1, edge // 64)
    cv2.rectangle(tile, (0, 0), (edge - 1, edge - 1), _BAD, thick)
    cv2.line(tile, (0, 0), (edge - 1, edge - 1), _BAD, thick, cv2.LINE_AA)
    cv2.line(tile, (0, edge - 1), (edge - 1, 0), _BAD, thick, cv2.LINE_AA)
    return tile


def _label(entry: Entry, names: Mapping[int, str]) -> str:
    """Return what a record's labels are."""
    if len(entry.labels) == 0:
        return ""
    return named_label(float(entry.labels[0]), names)


def draw_boxes(image: Image, objects: npt.NDArray[np.float32], names: Mapping[int, str]) -> None:
    """Draw boxes with their classes' names into an image.

    Parameters
    ----------
    image : uint8[h, w, 3]      R G B, changed
    objects : float32[n, 5]     class, left, top, right, bottom; edges from 0 to 1
    names : dict                of the classes
    """
    import cv2

    height, width = image.shape[:2]
    thick = max(2, max(height, width) // 150)
    font, size = cv2.FONT_HERSHEY_SIMPLEX, 0.4
    texts = []
    for kind, *edges in objects.tolist():
        if not np.isfinite([kind, *edges]).all():
            continue
        scaled = [
            side * (extent - 1) for side, extent in zip(edges, (width, height) * 2, strict=True)
        ]
        left, top, right, bottom = (
            np.clip(scaled, -4 * width, 4 * width).round().astype(int).tolist()
        )
        colour = COLOURS[int(kind) % len(COLOURS)]
        cv2.rectangle(image, (left, top), (right, bottom), colour, thick)
        texts.append((named_label(kind, names), left, top, colour))
    for text, left, top, colour in texts:  # above all boxes
        ascii_text = text.encode("ascii", "replace").decode()
        (wide, high), _ = cv2.getTextSize(ascii_text, font, size, 1)
        x = int(np.clip(left, 0, max(0, width - wide - 4)))
        y = int(np.clip(top, high + 5, height - 1))
        cv2.rectangle(image, (x, y - high - 5), (x + wide + 3, y), colour, -1)
        dark = 0.3 * colour[0] + 0.59 * colour[1] + 0.11 * colour[2] < 128
        ink = (255, 255, 255) if dark else (0, 0, 0)
        cv2.putText(image, ascii_text, (x + 2, y - 3), font, size, ink, 1, cv2.LINE_AA)
