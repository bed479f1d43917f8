"""The options of every iterator, as rows: from a declaration, or from signature and docstring.

A docstring is numpydoc: of "Parameters" the names, what stands behind the colon, and the lines
below it.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

from gpuio.options.declare import describe
from gpuio.options.image_det_record import ImageDetRecordOptions
from gpuio.options.image_record import ImageRecordOptions

__all__ = ["DECLARED", "FIXED", "ITERATORS", "rows_of"]

DECLARED = {"ImageRecordIter": ImageRecordOptions, "ImageDetRecordIter": ImageDetRecordOptions}
ITERATORS = {
    **dict.fromkeys(DECLARED, "io"),
    "ImageRecordUInt8Iter": "io",
    "ImageRecordInt8Iter": "io",
    "NDArrayIter": "io",
    "CSVIter": "io",
    "LibSVMIter": "io",
    "MNISTIter": "io",
    "VerificationPairIter": "io",
    "ResizeIter": "io",
    "PrefetchingIter": "io",
    "ImageIter": "image",
    "ImageDetIter": "image",
}
_AUGMENTERS = {"ImageIter": "CreateAugmenter", "ImageDetIter": "CreateDetAugmenter"}
FIXED = ("ImageRecordUInt8Iter", "ImageRecordInt8Iter")  # ImageRecordIter, their dtype given


def rows_of(name: str) -> list[dict[str, Any]]:
    """Return the options of an iterator: name, type, default, unit, meaning, differs, ours.

    The default of an option that must be given is the text "required".
    """
    if name in DECLARED:
        return list(describe(DECLARED[name]))
    if name in FIXED:
        rows = describe(ImageRecordOptions)
        return [one for one in rows if one["name"] != "dtype"]
    from gpuio import image, io

    return list(_documented(getattr({"io": io, "image": image}[ITERATORS[name]], name)))


def _documented(cls: type[Any]) -> Iterator[dict[str, Any]]:
    """Yield the parameters of a class: signature, and what its docstring or its bases' say."""
    from gpuio import image

    said: dict[str, tuple[str, str]] = {}
    for base in reversed(cls.__mro__):
        said |= _parameters(inspect.cleandoc(base.__doc__ or ""))
    for parameter in inspect.signature(cls).parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            made = getattr(image, _AUGMENTERS[cls.__name__])
            given = _parameters(inspect.getdoc(made) or "")
            own = inspect.signature(cls).parameters
            for one in inspect.signature(made).parameters.values():
                if one.name in own:
                    continue
                yield _row(one, *given.get(one.name, ("", "")), f" ({made.__name__})")
        else:
            yield _row(parameter, *said.get(parameter.name, ("", "")))


def _row(parameter: inspect.Parameter, kind: str, meaning: str, more: str = "") -> dict[str, Any]:
    required = parameter.default is parameter.empty
    return {
        "name": parameter.name,
        "type": kind,
        "default": "required" if required else parameter.default,
        "unit": "",
        "meaning": f"{meaning}{more}".strip(),
        "differs": "",
        "ours": False,
    }


def _parameters(doc: str) -> dict[str, tuple[str, str]]:
    """Return type and meaning of each parameter of a numpydoc docstring."""
    section = re.search(
        r"^Parameters\n-+\n(.*?)(?=^\w[^\n]*\n-+\n|\Z)", doc, re.DOTALL | re.MULTILINE
    )
    found: dict[str, tuple[str, str]] = {}
    names: list[str] = []
    for line in (section.group(1) if section else "").splitlines():
        head = re.match(r"([\w*, ]+?) : (.*)", line)
        if head and not line.startswith(" "):
            names = [one.strip(" *") for one in head.group(1).split(",")]
            # a description may follow the type in the same line, behind several blanks
            kind, _, rest = re.sub(r"\s{2,}", "\0", head.group(2)).partition("\0")
            kind, given, more = re.sub(r",? ?optional$", "", kind).partition(", default ")
            rest = more.partition(" ")[2] if given and " " in more else rest
            found |= dict.fromkeys(names, (kind, rest))
        elif line.strip():
            kind, before = found[names[0]] if names else ("", "")
            found |= dict.fromkeys(names, (kind, f"{before} {line.strip()}".strip()))
    return found
