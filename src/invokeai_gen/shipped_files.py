"""Files that are installed with the package, and where they are in a checkout."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_PACKAGE: Final = Path(__file__).resolve().parent
_SHIPPED: Final = _PACKAGE / "_shipped"


def templates_folder() -> Path:
    """Return the folder of the templates."""
    return _first(_SHIPPED / "templates", _PACKAGE.parents[1] / "templates")


def openapi_path() -> Path:
    """Return the snapshot of a server's openapi.json."""
    return _first(_SHIPPED / "openapi.json", _PACKAGE.parents[1] / "data" / "openapi.json")


def _first(shipped: Path, in_checkout: Path) -> Path:
    return shipped if shipped.exists() else in_checkout
