"""Tables of values: each row of a CSV file, and each line of a JSONL file, becomes the `Params` of a run.

Everything that is wrong with a file is reported at once, with row, column, label, value, and what is allowed.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast

from invokeai_gen import js_reading
from invokeai_gen.core import problems
from invokeai_gen.core.problems import ParamsError, Problem
from invokeai_gen.core.text_values import find_input, json_of_text, value_of_json
from invokeai_gen.sweeps.files.manifest import ManifestError, is_of_sweep, rows_of_csv, runs_among
from invokeai_gen.sweeps.files.sources import Neighbourhood, TableError, TableProblem, lines_of, read_text
from invokeai_gen.texts import shortened, shown

if TYPE_CHECKING:
    from invokeai_gen.core.params import WorkflowParams
    from invokeai_gen.core.plan import PlannedInput, WorkflowPlan

P = TypeVar("P", bound="WorkflowParams")
T = TypeVar("T")

_DELIMITERS: Final = ",;\t"
_MEDIA: Final = frozenset({"ImageField", "VideoField"})
_UNNAMED: Final = re.compile(r"(?:Unnamed: [0-9]+)?")
"""What pandas calls a column without a name."""
_QUOTING: Final = 'a text that starts with a quote must end with one, and have those in it doubled: "a ""big"" fox"'


def read_csv(
    path: str | os.PathLike[str],
    plan: WorkflowPlan,
    params_type: type[P],
    base: P | None = None,
    *,
    ignore_extra: bool = False,
) -> list[P]:
    """Return the rows of a CSV file as `params_type`, in their order.

    The first row names an input in each column, by its label, Python name or index in the form. Cells are separated by
    commas, semicolons or tabs, whichever the first row has; the file is UTF-8, or UTF-16 with a byte order mark.

    Cells are read by the rules of `text_values.json_of_text`. An empty one keeps the value of `base`, or without a
    `base` the default (so that an empty text cannot be given: JSONL can). Rows whose cells are all empty are left out.
    The path of an image or video is looked for beside the file first, then in the working directory; a text that is no
    such file and has no folder in it is taken for the name of an image on the server. With `ignore_extra`, columns that
    name no input are skipped.

    The manifest of a sweep is such a file: each of its runs is a row, however many files it has. Its paths are relative
    to the working directory, as they were for the sweep, and the values of batch nodes that are not on the form are
    skipped.

    Raise `TableError` with everything that is wrong with the file, rows counted as in a spreadsheet: the first row is
    1. Raise `ParamsError` if `base` itself is no longer valid.
    """
    text = read_text(path)
    if not text.strip():
        raise TableError.of_file(path, "is empty: its first row should name inputs, the others their values")
    delimiter = _delimiter(text, plan)
    rows = _Rows(os.fspath(path), plan, params_type, base, ignore_extra, delimiter)
    (number, header), *records = [*_records(text, delimiter, rows)] or [(1, [])]
    header = [name.strip() for name in header]
    if is_of_sweep(header):
        rows.delimiter = None  # its cells are JSON, and separated by commas
        return rows.of_objects(enumerate(rows_of_csv(text), start=2))
    if header and header[0].startswith("# "):  # as numpy writes its header
        header[0] = header[0].removeprefix("# ")
    named = {place: name for place, name in enumerate(header) if name}
    counted = [cells[0].strip() for _, cells in records] == [str(place) for place in range(len(records))]
    if header and _UNNAMED.fullmatch(header[0]) and records and counted:  # the index that pandas writes
        named.pop(0, None)
        records = [(number, ["", *cells[1:]]) for number, cells in records]
    columns, is_complete = rows.entries(
        number,
        ((name, place) for place, name in named.items()),
        if_none="the first row should name inputs, by label, Python name or index in the form, but names none",
    )
    rows.require(number, [column.planned.name for column, _ in columns], is_complete=is_complete)
    width = max(named, default=-1) + 1
    for number, cells in records:
        if len(cells) < width:
            few = f"{_count(len(cells), 'cell')} where the first row names {_count(width, 'column')}"
            rows.note(number, f"{few}: a cell may be empty, but its delimiter is needed")
            continue
        stray = next((cell for place, cell in enumerate(cells) if place not in named and cell.strip()), None)
        if stray is not None:
            hint = "" if len(cells) <= len(header) else ": a text that has the delimiter in it needs quotes around it"
            rows.note(number, f"{shown(stray)} is in a column that the first row does not name{hint}")
            continue
        rows.add(number, [(column, cells[place]) for column, place in columns if cells[place].strip()])
    return rows.finish()


def read_jsonl(
    path: str | os.PathLike[str],
    plan: WorkflowPlan,
    params_type: type[P],
    base: P | None = None,
    *,
    ignore_extra: bool = False,
) -> list[P]:
    """Return the lines of a JSONL file as `params_type`, in their order: each is a JSON object `{NAME: VALUE, …}`.

    Names are as in `read_csv`, and so are paths; values are as `WorkflowParams.to_dict` writes them, and `null` is
    `None`. A name that a line leaves out keeps the value of `base`, or without a `base` the default. Empty lines are
    left out. With `ignore_extra`, names of no input are skipped. The manifest of a sweep is such a file, as for `read_csv`.

    Raise `TableError` with everything that is wrong with the file, and `ParamsError` if `base` itself is no longer
    valid.
    """
    rows = _Rows(os.fspath(path), plan, params_type, base, ignore_extra)
    lines = ((number, line) for number, line in enumerate(lines_of(read_text(path)), start=1) if line.strip())
    objects = ((number, _object(rows, number, line)) for number, line in lines)
    return rows.of_objects((number, data) for number, data in objects if data is not None)


@dataclass(frozen=True, slots=True)
class _Column:
    """What a file calls an input, and how its values are read."""

    called: str
    planned: PlannedInput
    read: Callable[[Any], Any]
    """Converts what the file has to a Python value, which is not checked yet. Raise `ParamsError`."""

    def __str__(self) -> str:
        """Return the name in the file with the other names of the input: `'Width' (width)`."""
        others = [name for name in dict.fromkeys((self.planned.label, self.planned.name)) if name != self.called]
        return shown(self.called) + (f" ({', '.join(others)})" if others else "")


_DECIMAL_COMMA: Final = re.compile(r"[+-]?[0-9]+,(?![0-9]{3}$)[0-9]+")
"""A comma before three digits may separate thousands instead."""


@dataclass(eq=False)
class _Rows(Generic[P]):
    """Builds a `Params` of each row, and collects what is wrong with all of them."""

    path: str
    plan: WorkflowPlan
    params_type: type[P]
    base: P | None
    ignore_extra: bool
    delimiter: str | None = None
    """Of a CSV file: values are texts in the columns of rows, not JSON under the keys of lines."""

    def __post_init__(self) -> None:
        self._unit, self._part = ("line", "key") if self.delimiter is None else ("row", "column")
        self._neighbourhood = Neighbourhood(self.path)
        self._columns: dict[str, _Column | Problem] = {}
        self._made: list[P] = []
        self._problems: list[TableProblem] = []
        self._lacking: frozenset[str] = frozenset()
        if self.base is not None:
            self.base.values()

    def entries(
        self, row: int, given: Iterable[tuple[str, T]], *, if_none: str = ""
    ) -> tuple[list[tuple[_Column, T]], bool]:
        """Return the value of each input that a row names, and whether all its names are inputs; note the problems.

        `if_none` is noted too if none of the names is an input.
        """
        found: dict[str, tuple[_Column, T]] = {}
        unknown: list[tuple[str, Problem]] = []
        for name, value in given:
            if name not in self._columns:
                self._columns[name] = self._column(name)
            column = self._columns[name]
            if isinstance(column, Problem):
                unknown += [] if self.ignore_extra else [(name, column)]
            elif column.planned.name in found:
                self.note(row, _twice(found[column.planned.name][0], column), column)
            else:
                found[column.planned.name] = column, value
        if unknown and not found and if_none:
            self.note(row, if_none)
        for name, problem in unknown:
            self.note(row, problem.message, name, problem)
        return [*found.values()], not unknown

    def of_objects(self, objects: Iterator[tuple[int, Mapping[str, Any]]]) -> list[P]:
        """Return the `Params` of JSON objects, each with its number in the file. Raise what `finish` raises."""
        try:
            first = [*itertools.islice(objects, 1)]
            found: Iterable[tuple[int, Mapping[str, Any]]] = itertools.chain(first, objects)
            if first and is_of_sweep(first[0][1]):
                found = runs_among(found)
                self.ignore_extra, self._neighbourhood = True, Neighbourhood("")
        except ManifestError as error:
            raise TableError.of_file(self.path, f"cannot be read: {error}") from None
        for number, data in found:
            entries, is_complete = self.entries(number, data.items())
            self.add(number, entries, is_complete=is_complete)
        return self.finish()

    def _column(self, name: str) -> _Column | Problem:
        """Return the input that a column or key of a file names, or the problem if it names none."""
        try:
            planned = find_input(self.plan, name)
        except ParamsError as error:
            return error.problems[0]
        # `0,5` is one half if something else separates cells, as in many European tables.
        has_decimal_commas = self.delimiter in (";", "\t") and planned.field_type == "FloatField"

        def read(given: Any) -> Any:
            if has_decimal_commas and _DECIMAL_COMMA.fullmatch(given.strip()):
                given = given.replace(",", ".")
            value = value_of_json(planned, given if self.delimiter is None else json_of_text(planned, given))
            if planned.field_type not in _MEDIA:
                return value
            try:
                return self._neighbourhood.located(value)
            except ValueError as error:
                message = f"{problems.title(planned)}: {shown(value)} {error}"
                raise ParamsError([Problem(planned.name, message, planned.label, str(error))]) from None

        return _Column(name, planned, read)

    def note(self, row: int, message: str, column: _Column | str | None = None, problem: Problem | None = None) -> None:
        """Note a problem of a row, or of a part of it; a column given as text names no input."""
        called, about = "", problem or Problem("", "")
        place = f"{self.path}, {self._unit} {row}"
        if isinstance(column, _Column):
            called = column.called
            about = problem or Problem(column.planned.name, "", column.planned.label)
            place += f", {self._part} {column}"
        elif column is not None:
            called = column
            place += f", {self._part} {shown(column)}"
        message = f"{place}: {message}"
        self._problems.append(TableProblem(about.name, message, about.label, about.reason, row, called))

    def require(self, row: int, given: Iterable[str], *, is_complete: bool) -> None:
        """Note, once for all rows, required inputs that have no column.

        Skipped while an unrecognised column might be the missing one.
        """
        if self.base is not None:
            return
        needed = {
            item.name
            for item in fields(cast("Any", self.params_type))
            if item.default is MISSING and item.default_factory is MISSING
        }
        self._lacking = frozenset(needed.difference(given))
        for item in self.params_type.inputs():
            if is_complete and item.name in self._lacking:
                why = "which needs one: the workflow has no usable value for it"
                problem = Problem(item.name, "", item.label)
                self.note(row, f"no column for {problems.title(item)}, {why}", problem=problem)

    def add(self, row: int, entries: Sequence[tuple[_Column, Any]], *, is_complete: bool = True) -> None:
        """Build the `Params` of a row; problems that were noted for all rows are not repeated."""
        values: dict[str, Any] = {}
        found: list[Problem] = []
        for column, given in entries:
            try:
                values[column.planned.name] = column.read(given)
            except ParamsError as error:
                found += error.problems
        try:
            made = self.params_type(**values) if self.base is None else replace(cast("Any", self.base), **values)
        except ParamsError as error:
            known = self._lacking.union(problem.name for problem in found)
            others = (problem for problem in error.problems if problem.name not in known)
            found += [problem for problem in others if is_complete or problem.name in values]
        else:
            self._made.append(made)
        if found:
            self._refuse(row, entries, found)

    def _refuse(self, row: int, entries: Sequence[tuple[_Column, Any]], found: Iterable[Problem]) -> None:
        """Note the problems of a row: first those of its own values, in their order."""
        left = list(found)
        for column, given in entries:
            for problem in [problem for problem in left if problem.name == column.planned.name]:
                left.remove(problem)
                value = shortened(_json(given) if self.delimiter is None else repr(given))
                space = ": " if problem.reason.startswith("item ") else " "
                message = f"{value}{space}{problem.reason}" if problem.reason else problem.message
                self.note(row, message, column, problem)
        for problem in left:
            self.note(row, problem.message, problem=problem)

    def finish(self) -> list[P]:
        """Return the `Params` of all rows. Raise `TableError` for all problems, and for a file without rows."""
        if self._problems:
            raise TableError(self._problems)
        if not self._made:
            raise TableError.of_file(self.path, f"has no {self._unit}s of values")
        return self._made


def _records(text: str, delimiter: str, rows: _Rows[Any] | None = None) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows that are not empty, numbered as in a spreadsheet, whatever line ends are within quotes."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    number = 0
    try:
        for number, cells in enumerate(reader, start=1):
            if any(cell.strip() for cell in cells):
                yield number, cells
    except csv.Error as error:
        if rows is not None:
            rows.note(number + 1, f"this row and those after it cannot be read ({error}): {_QUOTING}")


def _delimiter(text: str, plan: WorkflowPlan) -> str:
    """Return the delimiter with which the first row names most inputs, else has most cells, else a comma."""
    names = {name for planned in plan.inputs for name in (planned.name, planned.label, str(planned.index))}

    def fit(delimiter: str) -> tuple[int, int]:
        _, header = next(_records(text, delimiter), (0, []))
        return sum(name.strip() in names for name in header), len(header)

    return max(_DELIMITERS, key=fit)


def _twice(first: _Column, second: _Column) -> str:
    both = shown(first.called), shown(second.called)
    named = f"{both[0]} twice" if both[0] == both[1] else " and ".join(both)
    return f"{problems.title(first.planned)} is named in two places, {named}: keep one"


def _object(rows: _Rows[Any], number: int, line: str) -> dict[str, Any] | None:
    """Return the object in a line; note a problem and return `None` for anything else."""
    try:
        data = js_reading.loads(line)
    except ValueError as error:
        what = f"{error.msg} at character {error.colno}" if isinstance(error, json.JSONDecodeError) else str(error)
        rows.note(number, f"not JSON ({what}): each line should be one object, {{NAME: VALUE, …}}")
        return None
    if not isinstance(data, dict):
        rows.note(number, f"{shortened(_json(data))} should be a JSON object, {{NAME: VALUE, …}}")
        return None
    return data


def _json(data: Any) -> str:
    return json.dumps(data, ensure_ascii=False)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
