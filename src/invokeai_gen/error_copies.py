"""Copies and pickles of errors, without calling `__init__`, whose parameters differ from class to class."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from typing import Any, TypeVar

E = TypeVar("E", bound=BaseException)


def rebuilt(kind: type[E], args: tuple[Any, ...], attributes: Mapping[str, Any]) -> E:
    """Return an error with these parts."""
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(attributes)
    if "__notes__" in attributes:
        error.__notes__ = list(attributes["__notes__"])
    return error


def pickleable(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes with a `repr` for each that cannot be pickled: an unpicklable error would hang a pool."""
    kept = {}
    for name, value in attributes.items():
        try:
            pickle.dumps(value)
            kept[name] = value
        except Exception:  # noqa: BLE001 - pickling calls code of any class
            kept[name] = repr(value)
    return kept
