"""How an option is declared: default, conversion, documentation, in one call.

Invariant: what the constructor accepts, what the documentation says and what `gpuio options` prints
come from the same declaration.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from typing import Any

import attrs

from gpuio.errors import OptionError

__all__ = ["describe", "option", "parse_options", "same"]


def option(
    default: Any,
    converter: Callable[[Any], Any],
    meaning: str,
    *,
    differs: str = "",
    unit: str = "",
    ours: bool = False,
) -> Any:
    """Declare one option.

    Parameters
    ----------
    default : Any                   MXNet 1.9.1's default, or ours where `ours`
    converter : callable            value or MXNet's text to the Python value; raises ValueError
    meaning : str                   what it does, one or two sentences
    differs : str                   where gpuio differs from MXNet 1.9.1, and why
    unit : str                      of the value
    ours : bool                     MXNet has no such option
    """
    return attrs.field(
        default=default,
        converter=attrs.Converter(_named(converter), takes_field=True),
        kw_only=True,
        metadata={"meaning": meaning, "differs": differs, "unit": unit, "ours": ours},
    )


def same(cls: type[Any], name: str, **changes: Any) -> Any:
    """Declare an option that another iterator has as well, as it is declared there.

    Parameters
    ----------
    cls : attrs class           the other iterator's options
    name : str
    changes : optional          default, meaning, differs, unit or ours, where they are others
    """
    field = getattr(attrs.fields(cls), name)
    default = changes.pop("default", field.default)
    return attrs.field(
        default=default,
        converter=field.converter,
        kw_only=True,
        metadata={**field.metadata, **changes},
    )


def _named(converter: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    """Put the option's name in front of a conversion error."""

    def run(value: Any, field: Any) -> Any:
        try:
            return converter(value)
        except ValueError as error:
            raise OptionError(f"{field.name}: {error}") from None

    return run


def parse_options(cls: type[Any], keywords: dict[str, Any]) -> Any:
    """Make an options object from keywords, refusing unknown ones with a suggestion.

    Raises
    ------
    OptionError     naming the option, its value, what was expected and, for an unknown name, the
                    nearest known one
    """
    known = [field.name for field in attrs.fields(cls)]
    for name in keywords:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise OptionError(f"{name}: no such option{hint}")
    return cls(**keywords)


def describe(cls: type[Any]) -> Iterable[dict[str, Any]]:
    """Yield name, type, default, unit, meaning, differs and ours of each option, as declared."""
    for field in attrs.fields(cls):
        yield {
            "name": field.name,
            "type": str(getattr(field.type, "__name__", field.type)),
            "default": field.default,
            **field.metadata,
        }
