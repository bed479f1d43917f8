"""setuptools' build backend, whose editable installs can be used from anywhere.

By default setuptools finds an editable package of several folders by a hook that comes last. Where
the clone's parent is the working directory, Python takes the clone itself, a folder named gpuio
without an `__init__.py`, for an empty package before. With the clone on the path the package in it
is found first.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from setuptools import build_meta
from setuptools.build_meta import *  # noqa: F403 -- the other hooks

_LINK = Path(__file__).parents[1] / "gpuio" / "kernels" / "__init__.py"


def build_editable(
    wheel_directory: str, config_settings: Any = None, metadata_directory: str | None = None
) -> str:
    """Build an editable wheel; by the hook where the link to `kernels` is lost."""
    settings = dict(config_settings or {})
    if _LINK.exists():
        settings.setdefault("editable_mode", "compat")
    made: str = build_meta.build_editable(wheel_directory, settings, metadata_directory)
    return made
