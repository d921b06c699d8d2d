"""Long statements broken into lines, as a formatter would break them.

Only what varies from module to module needs this; the rest is laid out in the template. A formatter for all of Python
takes longer than everything else that `generate` does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from invokeai_gen.codegen.literals import Source

WIDTH: Final = 120
_MAX_DEPTH: Final = 20
"""Deeper brackets stay on one line: nobody reads them."""
_TOKEN: Final = re.compile(r""""(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[\[\](){}]|, ?|[^"'\[\](){},]+""")
_CLOSING: Final = {"[": "]", "(": ")", "{": "}"}


@dataclass(frozen=True, slots=True)
class _Bracket:
    """A pair of brackets, and what is between the commas."""

    opening: str
    parts: list[_Items]
    text: str
    needs_no_comma: bool
    """A comma behind a single part would make another type of it."""


_Items: TypeAlias = "list[str | _Bracket]"


def laid_out(statement: Source, indent: int = 0) -> Source:
    """Return a statement in lines of at most `WIDTH` characters if it has brackets to break at, the first one indented.

    Text in single quotes gets double quotes if that needs no escapes.
    """
    tokens = list(map(_double_quoted, _TOKEN.findall(statement)))
    text = "".join(tokens)
    if indent + len(text) > WIDTH:
        (items,), _ = _items_until("", iter(tokens))
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


def _items_until(closing: str, tokens: Iterator[str]) -> tuple[list[_Items], str]:
    """Return what is between the commas up to a closing bracket, and its text."""
    parts: list[_Items] = [[]]
    texts: list[str] = []
    for token in tokens:
        if token == closing:
            break
        texts.append(token)
        if token in _CLOSING:
            previous = parts[-1][-1] if parts[-1] else ""
            inner, text = _items_until(_CLOSING[token], tokens)
            # A comma would make another type of a subscript and of what is in parentheses, but not of a call or list.
            follows_name = isinstance(previous, str) and previous[-1:].isidentifier()
            single = len(inner) == 1 and token != "{" and follows_name == (token == "[")
            parts[-1].append(_Bracket(token, inner, f"{token}{text}{_CLOSING[token]}", needs_no_comma=single))
            texts.append(f"{text}{_CLOSING[token]}")
        elif token[0] == "," and closing:
            parts.append([])
        else:
            parts[-1].append(token)
    return parts, "".join(texts)


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
