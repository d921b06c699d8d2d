"""Foreign data as Python source: the only way for anything in a workflow to get into a generated module."""

from __future__ import annotations

import ast
import math
import re
import textwrap
from collections.abc import Mapping

from invokeai_gen.js_json import escape_surrogates


class Source(str):
    """A piece of Python source that our own code made; templates print nothing else."""

    __slots__ = ()


def literal(value: object) -> Source:
    """Return the value as a Python literal: text, numbers, booleans, `None`, and tuples, lists and dicts of them.

    Everything that is not printable (control and bidirectional characters, lone surrogates) is written as an escape.
    Raises `TypeError` for any other value and `ValueError` for a number that has no literal.
    """
    match value:
        case None | bool():
            return Source(repr(value))
        # A subclass could bring a `__repr__` of its own.
        case str():
            return Source(str.__repr__(value))
        case int():
            return Source(int.__repr__(value))
        case float() if math.isfinite(value):
            return Source(float.__repr__(value))
        case float():
            raise ValueError(f"{value!r} has no literal")
        case list():
            return Source(f"[{', '.join(map(literal, value))}]")
        case tuple():
            items = ", ".join(map(literal, value))
            return Source(f"({items},)" if len(value) == 1 else f"({items})")
        case Mapping():
            return Source("{" + ", ".join(f"{literal(key)}: {literal(item)}" for key, item in value.items()) + "}")
        case _:
            raise TypeError(f"{type(value).__name__} has no literal")


def call(name: Source, /, *positional: Source, **keywords: Source) -> Source:
    """Return a call expression."""
    arguments = [*positional, *(f"{key}={value}" for key, value in keywords.items())]
    return Source(f"{name}({', '.join(arguments)})")


def docstring(text: str, indent: int = 0) -> Source:
    """Return text of any origin as a triple-quoted docstring, its lines behind the first indented.

    Unpaired surrogates become `\\ud800` to read: Python encodes the docstrings of classes.
    """
    text = escape_surrogates(text)
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    escaped = [_escaped(line.rstrip()) for line in lines]
    while len(escaped) > 1 and not escaped[-1]:
        escaped.pop()
    body = textwrap.indent("\n".join(escaped), " " * indent).strip(" ")
    closing = f"\n{' ' * indent}" if len(escaped) > 1 else ""
    source = f'"""{body}{closing}"""'
    assert isinstance(ast.literal_eval(source), str), f"{text!r} did not become a docstring"
    return Source(source)


def printable_source(text: str) -> str:
    """Return the inside of string literals with the same escapes as `repr` uses; line feeds stay."""
    return "".join(
        char if char.isprintable() or char == "\n" else char.encode("unicode_escape", "surrogatepass").decode("ascii")
        for char in text
    )


def _escaped(line: str) -> str:
    """Return one line of a triple-quoted string."""
    return printable_source(re.sub(r'"(?="|$)', r'\\"', line.replace("\\", "\\\\")))
