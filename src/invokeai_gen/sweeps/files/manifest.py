"""Manifests: tables of what each file of a folder is, as CSV for people or JSON lines for programs."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any, Final

from invokeai_gen.atomic_files import replacing
from invokeai_gen.core.plan import JsonValue
from invokeai_gen.errors import InvokeAIGenError
from invokeai_gen.js_json import escape_surrogates, is_encodable

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""First characters that make a spreadsheet take a text for a formula; the full-width ones do so in East Asia."""
_MARK: Final = "'"
_MAX_CELL_LENGTH: Final = 131_072
"""The limit of Python's own CSV reader; Excel shows a quarter of it."""


OWN_COLUMNS: Final = (
    "file", "index", "run", "item_id", "output", "name", "server", "status", "seconds", "error",
)  # fmt: skip
"""The first columns in the manifest of a sweep; the others are values by Python name."""
_IN_EVERY_VERSION: Final = OWN_COLUMNS[:5]
OF_INPUT: Final = " (input)"
"""What is added to the name of an input that is also one of `OWN_COLUMNS`."""


class ManifestError(InvokeAIGenError, ValueError):
    """A manifest cannot be written with these values, or a file is not a manifest."""


def write_manifest(path: str | os.PathLike[str], rows: Sequence[Mapping[str, JsonValue]]) -> Path:
    """Write the rows as a table, whole or not at all, with its folder; return the path.

    The suffix decides: `.jsonl` has a JSON object on each line; `.csv` has a column for each key, in the order in which
    they first appear, and opens in Excel with every script. A text of a CSV that a spreadsheet could take for a formula,
    or a reader for a number, gets a `'` before it, which `read_manifest` takes off again.

    Raise `ManifestError` for another suffix, and for a text that is too long for a cell (131,072 characters).
    """
    target = Path(path)
    encode = {".csv": _as_csv, ".jsonl": _as_lines}[_kind(target)]
    data = encode(rows)
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as file:
        file.write(data)
    return target


def is_of_sweep(columns: Iterable[str]) -> bool:
    """Return whether a table with these columns is the manifest of a sweep."""
    return (*columns,)[: len(_IN_EVERY_VERSION)] == _IN_EVERY_VERSION


def runs_among(rows: Iterable[tuple[int, Mapping[str, Any]]]) -> list[tuple[int, dict[str, Any]]]:
    """Return the values of each run in the manifest of a sweep, with the number of its last row.

    A run has a row for each of its files. What it has no value for is left out. Raise `ManifestError` for a row that
    belongs to no run.
    """
    runs: dict[tuple[int, int], tuple[int, dict[str, Any]]] = {}
    for number, row in rows:
        index, run = row.get("index"), row.get("run")
        if not isinstance(index, int) or not isinstance(run, int):
            raise ManifestError(f"row {number} does not say which run it belongs to, as the others of a manifest do")
        own = {*takewhile(OWN_COLUMNS.__contains__, row)}
        values = {name.removesuffix(OF_INPUT): value for name, value in row.items() if name not in own}
        given = {name: value for name, value in values.items() if value is not None}
        runs[index, run] = number, given
    return [*runs.values()]


def rows_in(folder: Path) -> Iterator[dict[str, object]]:
    """Yield the rows of the manifests in a folder. Raise `ManifestError` and `OSError` for one that cannot be read."""
    for manifest in (folder / "manifest.csv", folder / "manifest.jsonl"):
        if manifest.exists():
            yield from read_manifest(manifest)


def read_manifest(path: str | os.PathLike[str]) -> list[dict[str, object]]:
    """Return the rows of a manifest, with values as in JSON: numbers are numbers and `null` is `None`.

    A row of a CSV has every column: what it was written without is `None`. `json_values.guess_value` makes models,
    colours and the like of what stands for them. Raise `ManifestError` for a file that is not a manifest, and
    `FileNotFoundError`.
    """
    source = Path(path)
    decode = {".csv": rows_of_csv, ".jsonl": _from_lines}[_kind(source)]
    try:
        return list(decode(source.read_bytes().decode("utf-8-sig")))
    except UnicodeDecodeError as error:
        raise ManifestError(f"{source} is not in UTF-8, as a manifest is: {error}") from error
    except ManifestError as error:
        raise ManifestError(f"{source}, {error}") from error.__cause__


def _kind(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix not in {".csv", ".jsonl"}:
        raise ManifestError(f"a manifest is a .csv or a .jsonl file, not {path.name!r}")
    return suffix


def _as_lines(rows: Sequence[Mapping[str, JsonValue]]) -> bytes:
    return "".join(f"{_dumped(row)}\n" for row in rows).encode()


def _from_lines(text: str) -> Iterator[dict[str, object]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ManifestError(f"line {number} is not JSON: {error}") from error
        if not isinstance(row, dict):
            raise ManifestError(f"line {number} is not a JSON object")
        yield row


def _as_csv(rows: Sequence[Mapping[str, JsonValue]]) -> bytes:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow([_cell(column, column) for column in columns])
    for row in rows:
        writer.writerow([_cell(row.get(column), column) for column in columns])
    return buffer.getvalue().encode("utf-8-sig")


def rows_of_csv(text: str) -> Iterator[dict[str, object]]:
    """Yield the rows of a CSV manifest; see `read_manifest`."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        columns = [value if isinstance(value := _value(cell), str) else cell for cell in next(reader, [])]
        for cells in reader:
            if len(cells) > len(columns):
                raise ManifestError(f"line {reader.line_num} has {len(cells)} cells for {len(columns)} columns")
            if cells or not columns:  # an editor may have left an empty line
                values = [_value(cell) for cell in cells]
                yield dict.fromkeys(columns) | dict(zip(columns, values, strict=False))
    except csv.Error as error:
        raise ManifestError(f"line {reader.line_num} is not CSV: {error}") from error


def _cell(value: JsonValue, column: str) -> str:
    """Return the cell for a value: a text unmarked if it reads back as that text, else marked; anything else as JSON."""
    if not isinstance(value, str):
        cell = _dumped(value)
    elif not is_encodable(value):
        cell = json.dumps(value)
    else:
        cell = _MARK + value if value.startswith((_MARK, *_FORMULA)) or _is_json(value) else value
    if len(cell) > _MAX_CELL_LENGTH:
        raise ManifestError(
            f"{column!r} has a value of {len(cell):,} characters, and a cell of a CSV takes {_MAX_CELL_LENGTH:,}; "
            "write a .jsonl manifest instead"
        )
    return cell


def _value(cell: str) -> object:
    if cell.startswith(_MARK):
        return cell.removeprefix(_MARK)
    try:
        return json.loads(cell)
    except (ValueError, RecursionError):
        return cell


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except RecursionError:  # who reads it may have more room
        return True
    except ValueError:
        return False
    return True


def _dumped(value: object) -> str:
    """Return JSON on one line, with everything but unpaired surrogates unescaped."""
    return escape_surrogates(json.dumps(value, ensure_ascii=False))
