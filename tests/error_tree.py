"""Every error of the package that a program can catch, as data and as text: what `docs/errors.md` is made of.

`python -m tests.error_tree` prints that file.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from invokeai_gen.public_names import HOME_OF

_ROOT: Final = "InvokeAIGenError"
_HEAD: Final = """\
# Errors

All are importable from `invokeai_gen`, and can be caught at any height. An error with two places in the tree is listed at
both. In brackets: the class of Python's own that it also is.

"""


@dataclass(frozen=True, slots=True)
class ErrorClass:
    """One class in the tree of errors."""

    name: str
    parent: str
    """Name of the class above it; empty for the root."""
    depth: int
    """Number of classes above it."""
    builtins: tuple[str, ...]
    """Python's own errors that it inherits from, without `Exception`."""
    summary: str
    """The first sentence of its docstring."""


def error_tree() -> Iterator[ErrorClass]:
    """Yield every public error, each below its parent. Loads all modules that have one."""
    for name, home in HOME_OF.items():
        if name.endswith("Error"):
            importlib.import_module(home)
    yield from _below(getattr(importlib.import_module(HOME_OF[_ROOT]), _ROOT), "", 0)


def _below(error: type[Exception], parent: str, depth: int) -> Iterator[ErrorClass]:
    builtins = tuple(
        base.__name__ for base in error.__bases__ if base.__module__ == "builtins" and base is not Exception
    )
    summary = (error.__doc__ or "").partition("\n\n")[0].replace("\n    ", " ")
    yield ErrorClass(error.__name__, parent, depth, builtins, summary)
    for child in sorted(error.__subclasses__(), key=lambda each: each.__name__):
        if child.__name__ in HOME_OF:
            yield from _below(child, error.__name__, depth + 1)


def as_markdown() -> str:
    """Return the tree as nested lists."""
    lines: list[str] = []
    for error in error_tree():
        also = f" ({', '.join(error.builtins)})" if error.builtins else ""
        lines.append(f"{'    ' * error.depth}* `{error.name}`{also}: {error.summary}")
    return _HEAD + "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(as_markdown(), end="")
