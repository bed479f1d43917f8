"""How an option is declared: default, conversion, documentation, in one call.

Invariant: what the constructor accepts, what the documentation says and what `gpuio options` prints
come from the same declaration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import attrs

from gpuio.errors import OptionError
from gpuio.options.unknown import refuse_unknown

__all__ = ["arranged", "convert_option", "describe", "option", "parse_options"]


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
        converter=attrs.Converter(
            lambda value, field: convert_option(field.name, converter, value), takes_field=True
        ),
        kw_only=True,
        metadata={"meaning": meaning, "differs": differs, "unit": unit, "ours": ours},
    )


def arranged(
    *chains: tuple[Any, ...], **changes: dict[str, Any]
) -> Callable[[type[Any], list[Any]], list[Any]]:
    """Return a `field_transformer` for a class of options that is put together from mixins.

    Options stand as the bases are listed, each base's as they are declared, and the class's own
    behind them; but for what `chains` move.

    Parameters
    ----------
    chains : (name, ...)        the others, names or all of a mixin's, stand behind the first one
    changes : dict, by name     default, meaning, differs, unit or ours of an inherited option,
                                where they are others here

    Raises
    ------
    KeyError, ValueError        from the transformer: there is no option of that name
    """

    def transform(cls: type[Any], fields: list[Any]) -> list[Any]:
        found = {field.name: field for field in fields}
        names = [name for base in cls.__bases__ for name in _names(base)]
        names += [field.name for field in fields if not field.inherited]
        names = list(dict.fromkeys(names))
        for anchor, *others in chains:
            moved = [name for one in others for name in _names(one)]
            names = [name for name in names if name not in moved]
            place = names.index(anchor) + 1
            names[place:place] = moved
        for name, change in changes.items():
            texts = {key: value for key, value in change.items() if key != "default"}
            if not texts.keys() <= found[name].metadata.keys():
                raise KeyError(f"{name}: {', '.join(texts.keys() - found[name].metadata.keys())}")
            found[name] = found[name].evolve(
                default=change.get("default", found[name].default),
                metadata={**found[name].metadata, **texts},
            )
        return [found[name] for name in names]

    return transform


def _names(option_or_mixin: str | type[Any]) -> list[str]:
    """Return an option's name, or those of all options of a mixin."""
    if isinstance(option_or_mixin, str):
        return [option_or_mixin]
    if not attrs.has(option_or_mixin):
        return []
    return [field.name for field in attrs.fields(option_or_mixin)]


def convert_option(name: str, converter: Callable[[Any], Any], value: Any) -> Any:
    """Convert an option's value or MXNet's text for it.

    Raises
    ------
    OptionError     naming the option, where the converter raises ValueError
    """
    try:
        return converter(value)
    except ValueError as error:
        raise OptionError(f"{name}: {error}") from None


def parse_options(cls: type[Any], keywords: dict[str, Any]) -> Any:
    """Make an options object from keywords, refusing unknown ones with a suggestion.

    Raises
    ------
    OptionError     naming the option, its value, what was expected and, for an unknown name, the
                    nearest known one
    """
    refuse_unknown(keywords, [field.name for field in attrs.fields(cls)])
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
