"""What the command prints. Everything passes through `echo`, which escapes whatever could steer a terminal."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal, NoReturn

import click

from invokeai_gen.texts import printable, printable_lines, shortened

_MAX_LINE: Final = 500
"""Characters of an error or warning before it is cut."""
QUIET: Final = "--quiet"
"""The option, and where the context of a call keeps whether it was given."""
COLORS: Final = {"error": "red", "warning": "yellow", "hint": "cyan"}


def echo(text: str, *, label: str = "", color: str = "", err: bool = False, nl: bool = True) -> None:
    """Print a text, perhaps after a coloured label. Control and bidi characters are escaped, but for line feeds and tabs.

    This is the only place of the command that writes to stdout and stderr, `rich` and the help texts apart, which use
    `printable` on every text that is not ours.
    """
    prefix = click.style(printable_lines(label), fg=color) if label else ""
    click.echo(prefix + printable_lines(text), err=err, nl=nl, color=wants_color())


def echo_done(text: str) -> None:
    """Print what a command has done, unless it is to be quiet."""
    if not is_quiet():
        echo(text)


def is_quiet() -> bool:
    """Return whether --quiet was given."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get(QUIET))


def keep_quiet(ctx: click.Context, param: click.Parameter, given: bool) -> bool:
    """Note whether --quiet was given, and return it: the callback of the option."""
    ctx.meta[QUIET] = given
    return given


def one_line(text: str) -> str:
    """Return the text as `printable` does, cut before it fills the screen."""
    return shortened(printable(text), _MAX_LINE, tail=0)


def echo_json(data: Any, *, compact: bool = False) -> None:
    """Print JSON for programs; `compact` puts it on one line."""
    echo(json_text(data, compact=compact))


def json_text(data: Any, *, compact: bool = False) -> str:
    """Return JSON in which every character that a terminal would not show is written `\\u…`; other objects as texts."""
    import json

    def plain(value: object) -> object:
        return dict(value) if isinstance(value, Mapping) else str(value)

    def escaped(found: re.Match[str]) -> str:
        return found[0] if printable(found[0]) == found[0] else json.dumps(found[0])[1:-1]

    text = json.dumps(data, ensure_ascii=False, indent=None if compact else 2, default=plain)
    return re.sub(r"[^ -~\n]", escaped, text)


def few(items: Sequence[str], most: int) -> str:
    """Return at most so many of the items in words, and how many more there are: `a, b and 3 more`."""
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(items[:most]) + more


def counted(number: int, noun: str) -> str:
    """Return `1 run` or `3 runs`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def fail(error: Exception | str, *, source: str = "", exit_code: int = 1) -> NoReturn:
    """Print an error, one line for each reason, and exit."""
    print_messages("error", lines_of(error), source=source)
    sys.exit(exit_code)


def lines_of(error: Exception | str) -> list[str]:
    """Return a line for each thing that is wrong, then the notes of the error."""
    from invokeai_gen.core.problems import ParamsError

    notes: Sequence[str] = getattr(error, "__notes__", ())
    if isinstance(error, ParamsError):
        return [*(problem.message for problem in error.problems), *notes]
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return [*lines, *notes]


def print_messages(kind: Literal["error", "warning", "hint"], lines: Iterable[str], *, source: str = "") -> None:
    """Print lines on stderr, each after its kind and what it is about; with --quiet only errors."""
    for line in lines if kind == "error" or not is_quiet() else ():
        text = one_line(f"{source}: " if source else "") + one_line(line)
        echo(text, label=f"{kind}: ", color=COLORS[kind], err=True)


@contextlib.contextmanager
def logged_warnings() -> Iterator[None]:
    """Print what the package logs meanwhile, such as a lost event connection, in the style of all other warnings."""
    import logging

    class Printer(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            print_messages("warning", [record.getMessage()])

    # The thread that logs does not know the context of the call.
    printer = Printer(logging.CRITICAL if is_quiet() else logging.WARNING)
    log = logging.getLogger("invokeai_gen")
    log.addHandler(printer)
    try:
        yield
    finally:
        log.removeHandler(printer)


def print_usage_error(error: click.ClickException) -> None:
    """Print a wrong use of the command in the style of all other errors, with where to read about it."""
    message = error.format_message().strip()
    print_messages("error", [_in_our_style(line) for line in message.splitlines() if line.strip()])
    context = getattr(error, "ctx", None)
    if isinstance(error, click.UsageError) and context is not None:
        print_messages("hint", [f"`{context.command_path} --help` shows what it takes"])


def _in_our_style(message: str) -> str:
    """Return a message of click as ours are written: a small first letter and no full stop."""
    message = in_words(message.strip())
    if message[:1].isupper() and not message[1:2].isupper():
        message = message[:1].lower() + message[1:]
    return message.removesuffix(".")


def in_words(text: str) -> str:
    """Return a text of click with ranges as people write them: `1 or more` for `x>=1`."""
    text = re.sub(r"(?<!\S)(\[?)([\d.]*\d)<=x<=([\d.]*\d)", r"\1\2 to \3", text)
    text = re.sub(r"(?<!\S)(\[?)x>=([\d.]*\d)", r"\1\2 or more", text)
    return re.sub(r"(?<!\S)(\[?)x>([\d.]*\d)", r"\1more than \2", text).replace("is not in the range", "should be")


def print_crash(error: BaseException) -> None:
    """Print the traceback of a bug of ours. Even its texts may come from a workflow or a server."""
    import traceback

    echo("".join(traceback.format_exception(error)).rstrip("\n"), err=True)
    print_messages("error", ["this is a bug in invokeai-gen; please report it with the lines above"])


def wants_color() -> bool | None:
    """Return `False` if the user set NO_COLOR, else `None`, which leaves it to whether the stream is a terminal."""
    return False if os.environ.get("NO_COLOR") else None


@contextlib.contextmanager
def progress(title: str, total: int) -> Iterator[Callable[[str], None]]:
    """Show on stderr how far work has come, in a terminal only. Call what it yields with the name of each next step."""
    if is_quiet() or total < 5 or not sys.stderr.isatty():
        yield lambda step: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[step]}", markup=False))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=total, step="")
        done = itertools.count()
        yield lambda step: bar.update(task, completed=next(done), step=one_line(step))
