"""`init`: write `[tool.invokeai-gen]` into pyproject.toml, and leave the rest of it as it is."""

from __future__ import annotations

import contextlib
import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click

from invokeai_gen.cli.files import read_bytes, save_text
from invokeai_gen.cli.settings import DEFAULT_OUTPUT, DEFAULT_WORKFLOWS, TABLE, SettingsError, read_table, settings_of
from invokeai_gen.cli.terminal import echo_done

_FILE: Final = Path("pyproject.toml")
_HEADER: Final = re.compile(rf"""[ \t]*\[[ \t]*tool[ \t]*\.[ \t]*["']?{TABLE}["']?[ \t]*\][ \t]*(#.*)?""")
_ANY_HEADER: Final = re.compile(r"[ \t]*\[.*\][ \t]*(#.*)?")
_COMMENTS: Final = {
    "server": "for the commands that talk to a server; INVOKEAI_URL and --server take precedence",
    "openapi": "node types to generate against (`invokeai-gen pull` writes it)",
    "workflows": "globs of workflow files exported from the GUI, or folders of them",
    "output": "folder of the generated package",
    "keep-names": "inputs and outputs keep their Python name even if their label changes",
}


@click.command("init")
@click.option("--workflows", metavar="GLOB", multiple=True, default=DEFAULT_WORKFLOWS, help="Workflow files or folders (may be repeated).")  # fmt: skip
@click.option("-o", "--output", metavar="FOLDER", default=DEFAULT_OUTPUT, help="Folder of the generated package.")  # fmt: skip
@click.option("--openapi", metavar="FILE", help="Node types to generate against. Default: the snapshot that ships.")
@click.option("--server", metavar="URL", help="Server for the commands that talk to one.")
@click.option(
    "--keep-names", is_flag=True, help="Keep the Python name of inputs and outputs even if their label changes."
)
@click.option("--force", is_flag=True, help="Replace an existing table.")
def command(
    workflows: tuple[str, ...], output: str, openapi: str | None, server: str | None, keep_names: bool, force: bool
) -> None:
    """Write [tool.invokeai-gen] into the pyproject.toml of this folder, which is created if it is missing.

    After that `generate`, `check` and `watch` need no arguments. Nothing else in the file changes. Paths in the table
    start from the folder of the pyproject.toml.

    \b
    Examples:
      invokeai-gen init
      invokeai-gen init --workflows "flows/**/*.json" -o src/mine/flows --server http://localhost:9090
    """
    values: dict[str, Any] = {"server": server, "openapi": openapi, "workflows": list(workflows), "output": output}
    values["keep-names"] = keep_names or None
    table = {key: value for key, value in values.items() if value is not None}
    settings_of(table, _FILE)
    before = ""
    if _FILE.exists():
        if read_table(_FILE) is not None and not force:
            raise SettingsError(f"{_FILE}: has [tool.{TABLE}] already; --force replaces it")
        before = read_bytes(_FILE).decode()
    save_text(_FILE, with_table(before, table))
    echo_done(f"{_FILE}: [tool.{TABLE}] written")
    echo_done(f"put exported workflows where {', '.join(workflows)} finds them, then: invokeai-gen generate")


def with_table(text: str, table: Mapping[str, Any]) -> str:
    """Return the text of a pyproject.toml with our table in it, in place of an existing one; the rest is unchanged.

    Raise `SettingsError` if the table is written in a way that cannot be replaced safely.
    """
    newline = "\r\n" if "\r\n" in text else "\n"
    lines = [f"[tool.{TABLE}]"]
    for key, value in table.items():
        lines += [f"# {_COMMENTS[key]}", f"{key} = {_toml(value)}"]
    ours = "".join(line + newline for line in lines)
    start, end = _span(text.splitlines(keepends=True))
    kept = text.splitlines(keepends=True)
    head, tail = "".join(kept[:start]), "".join(kept[end:])
    if head and not head.endswith(("\n", "\r")):
        head += newline
    if start == len(kept) and head.strip():
        head += newline
    result = head + ours + tail
    # Editing line by line is safe only if nothing else has changed, read as TOML.
    with contextlib.suppress(tomllib.TOMLDecodeError):
        old = tomllib.loads(text)
        if tomllib.loads(result) == {**old, "tool": {**old.get("tool", {}), TABLE: table}}:
            return result
    raise SettingsError(f"{_FILE}: [tool.{TABLE}] cannot be replaced in this file; change it by hand")


def _span(lines: list[str]) -> tuple[int, int]:
    """Return the first line of our table and the line after it; the end of the file if the table is missing."""
    for start, line in enumerate(lines):
        if _HEADER.fullmatch(line.rstrip("\r\n")):
            end = start + 1
            while end < len(lines) and not _ANY_HEADER.fullmatch(lines[end].rstrip("\r\n")):
                end += 1
            while end > start + 1 and end < len(lines) and lines[end - 1].strip()[:1] in ("", "#"):
                end -= 1
            return start, end
    return len(lines), len(lines)


def _toml(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    # A JSON string is a TOML string, save for DEL, which TOML wants escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
