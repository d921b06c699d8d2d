"""What the command says to people. Text of workflow files passes through here, so that it cannot steer a terminal."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NoReturn

import click


def printable(text: str) -> str:
    """The text with everything that is not shown as a character (escape codes, bidi controls, line ends …) written out."""
    return "".join(_printable(character) for character in text)


def _printable(character: str) -> str:
    category = unicodedata.category(character)
    if category[0] != "C" and category not in ("Zl", "Zp"):
        return character
    return character.encode("unicode_escape").decode("ascii")


def one_line(text: str) -> str:
    """The text as `printable` gives it, cut before it fills the screen."""
    line = printable(text)
    return line if len(line) <= 500 else line[:497] + "..."


def json_text(data: Any) -> str:
    """JSON for programs, which may also end up on a terminal: what is not shown as a character is written `\\u…`."""
    return re.sub(r"[^ -~\n]", _json_escaped, json.dumps(data, ensure_ascii=False, indent=2))


def _json_escaped(found: re.Match[str]) -> str:
    character = found[0]
    return character if _printable(character) == character else json.dumps(character)[1:-1]


def fail(error: Exception | str, *, source: str = "", exit_code: int = 1) -> NoReturn:
    """Say why nothing can be done, one line per reason, and leave."""
    tell("error", lines_of(error), source=source)
    sys.exit(exit_code)


def lines_of(error: Exception | str) -> list[str]:
    """A line for each thing that is wrong."""
    from invokeai_gen.core.problems import ParamsError

    if isinstance(error, ParamsError):
        return [problem.message for problem in error.problems]
    return [line.strip() for line in str(error).splitlines()] or [type(error).__name__]


def tell(kind: str, lines: Iterable[str], *, source: str = "") -> None:
    """Say something on stderr, each line with what it is about."""
    prefix = f"{kind}: {source}: " if source else f"{kind}: "
    color = {"error": "red", "warning": "yellow"}.get(kind)
    for line in lines:
        click.echo(click.style(printable(prefix), fg=color) + one_line(line), err=True, color=wants_color())


def wants_color() -> bool | None:
    """`False` where the user set NO_COLOR; `None` leaves it to whether the stream is a terminal."""
    return False if os.environ.get("NO_COLOR") else None


@contextlib.contextmanager
def progress(title: str, total: int, *, quiet: bool = False) -> Iterator[Callable[[str], None]]:
    """Shows how far long work has come, on a terminal only. Call what it gives with the name of each next step."""
    if quiet or total < 5 or not sys.stderr.isatty():
        yield lambda step: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[step]}", markup=False))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=total, step="")
        done = itertools.count()
        yield lambda step: bar.update(task, completed=next(done), step=one_line(step))
