"""Files that are installed with the package, and where they are in a checkout."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Final

_SHIPPED: Final = Path(str(files("invokeai_gen").joinpath("_shipped", "templates")))


def templates_folder() -> Path:
    """Return the folder of the templates: inside an installed package, or in the checkout."""
    return _SHIPPED if is_installed() else Path(__file__).resolve().parents[2] / "templates"


def is_installed() -> bool:
    """Return whether the package is an installed release; a checkout may differ from another of the same version."""
    return _SHIPPED.is_dir()
