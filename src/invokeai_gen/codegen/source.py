"""Python source: foreign data as literals, the only way for it to get into a generated module, and the layout of lines.

Only what varies from module to module is laid out here; the rest is in the template. A formatter for all of Python takes
longer than everything else that `generate` does.
"""

from __future__ import annotations

import ast
import math
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from invokeai_gen.js_json import escape_surrogates

WIDTH: Final = 120
_MAX_DEPTH: Final = 20
"""Deeper brackets stay on one line: nobody reads them."""
_TOKEN: Final = re.compile(r""""(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[\[\](){}]|, ?|[^"'\[\](){},]+""")
_CLOSING: Final = {"[": "]", "(": ")", "{": "}"}


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
    plain = (re.sub(r'"(?="|$)', r'\\"', line.rstrip().replace("\\", "\\\\")) for line in lines)
    escaped = [printable_source(line) for line in plain]
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


@dataclass(frozen=True, slots=True)
class _Bracket:
    """A pair of brackets, and what is between the commas."""

    opening: str
    parts: list[_Items]
    text: str
    follows_name: bool

    @property
    def needs_no_comma(self) -> bool:
        """Whether a comma behind its single part would make another type of it: of a subscript, or in parentheses."""
        return len(self.parts) == 1 and self.opening != "{" and self.follows_name == (self.opening == "[")


_Items: TypeAlias = "list[str | _Bracket]"


def laid_out(statement: Source, indent: int = 0) -> Source:
    """Return a statement in lines of at most `WIDTH` characters if it has brackets to break at, the first one indented.

    Text in single quotes gets double quotes if that needs no escapes.
    """
    tokens = list(map(_double_quoted, _TOKEN.findall(statement)))
    text = "".join(tokens)
    if indent + len(text) > WIDTH:
        (items,) = _items_until("", iter(tokens))
        text = _broken(items, indent, indent, 0)
    return Source(" " * indent + text)


def import_line(module: str, names: Sequence[str], indent: int = 0) -> Source:
    """Return a `from … import …` of names in order, in parentheses if it is long."""
    line = f"{' ' * indent}from {module} import {', '.join(names)}"
    if len(line) <= WIDTH:
        return Source(line)
    inner = " " * (indent + 4)
    listed = "".join(f"{inner}{name},\n" for name in names)
    return Source(f"{' ' * indent}from {module} import (\n{listed}{' ' * indent})")


def _double_quoted(token: str) -> str:
    return f'"{token[1:-1]}"' if token[0] == "'" and '"' not in token and "\\'" not in token else token


def _items_until(closing: str, tokens: Iterator[str]) -> list[_Items]:
    """Return what is between the commas up to a closing bracket."""
    parts: list[_Items] = [[]]
    for token in tokens:
        if token == closing:
            break
        if token in _CLOSING:
            previous = parts[-1][-1] if parts[-1] else ""
            follows_name = isinstance(previous, str) and previous[-1:].isidentifier()
            inner = _items_until(_CLOSING[token], tokens)
            text = f"{token}{', '.join(map(_flat, inner)).rstrip()}{_CLOSING[token]}"
            parts[-1].append(_Bracket(token, inner, text, follows_name))
        elif token[0] == "," and closing:
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def _flat(items: _Items) -> str:
    return "".join(item if isinstance(item, str) else item.text for item in items)


def _broken(items: _Items, column: int, indent: int, tail: int, depth: int = 0) -> str:
    """Return the text of items that begin at `column`, with `tail` more characters behind the last line."""
    flat = _flat(items)
    if column + len(flat) + tail <= WIDTH or depth > _MAX_DEPTH:
        return flat
    for position, item in enumerate(items):
        if isinstance(item, _Bracket) and item.parts != [[]]:
            before = _flat(items[:position])
            after = _broken(items[position + 1 :], indent + 1, indent, tail, depth)
            body = _body(item, indent + 4, depth + 1)
            return f"{before}{item.opening}\n{body}\n{' ' * indent}{_CLOSING[item.opening]}{after}"
    return flat


def _body(bracket: _Bracket, indent: int, depth: int) -> str:
    """Return what is inside a broken bracket: on one line if it fits, else one line for each part."""
    space = " " * indent
    parts = [part for part in bracket.parts if part]
    joined = ", ".join(map(_flat, parts))
    if bracket.needs_no_comma or (indent + len(joined) <= WIDTH and len(parts) == len(bracket.parts)):
        return space + (joined if indent + len(joined) <= WIDTH else _broken(parts[0], indent, indent, 0, depth))
    return "\n".join(f"{space}{_broken(part, indent, indent, 1, depth)}," for part in parts)
