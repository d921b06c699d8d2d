"""The axes of a sweep, and the values at each of its points. Pure rules, checked before anything is sent."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import islice
from typing import Any, Final, Generic, TypeVar, cast

from invokeai_gen.core import problems
from invokeai_gen.core.batch import Binding
from invokeai_gen.core.params import WorkflowParams
from invokeai_gen.core.problems import ParamsError, Problem
from invokeai_gen.core.values import Input
from invokeai_gen.texts import shown

P = TypeVar("P", bound=WorkflowParams)

T = TypeVar("T")

MAX_ITEMS: Final = 1_000_000
"""Items of a sweep: far above what any queue takes."""
MAX_VALUES: Final = 100_000
"""Values in one list or generator, and rows."""
_MAX_PROBLEMS: Final = 20


@dataclass(frozen=True, slots=True)
class Axis:
    """Inputs that change together, and the values they take in turn."""

    names: tuple[str, ...]
    """Python names of the inputs."""
    rows: tuple[tuple[Any, ...], ...]
    """The values of these inputs, in the same order."""


def digits_of(number: int, sizes: Sequence[int]) -> tuple[int, ...]:
    """Return which combination of lists a number is: a place in each, the last one changing fastest."""
    digits: list[int] = []
    for size in reversed(sizes):
        number, digit = divmod(number, size)
        digits.append(digit)
    return tuple(reversed(digits))


class Space(Generic[P]):
    """Every combination of the rows of some axes, the last axis changing fastest."""

    def __init__(self, params_type: type[P], base: P | None, axes: Sequence[Axis]) -> None:
        self.params_type = params_type
        self.base = base
        """The values that do not change; `None` for the defaults of `params_type`."""
        self.axes = tuple(axes)

    def __len__(self) -> int:
        """Return the number of points."""
        return math.prod(len(axis.rows) for axis in self.axes)

    @property
    def names(self) -> tuple[str, ...]:
        """The inputs that change."""
        return tuple(name for axis in self.axes for name in axis.names)

    @cached_property
    def bindings(self) -> dict[str, Binding]:
        """The node and field of each input that changes, by Python name."""
        return {name: self.params_type.__inputs__[name].binding for name in self.names}

    def columns(self) -> dict[str, list[Any]]:
        """Return the values of each input that changes, in the order of the rows of its axis."""
        return {name: [row[place] for row in axis.rows] for axis in self.axes for place, name in enumerate(axis.names)}

    def rows_of(self, point: int) -> tuple[int, ...]:
        """Return which row of each axis a point has."""
        return digits_of(point, [len(axis.rows) for axis in self.axes])

    def point_of(self, rows: Iterable[int]) -> int:
        """Return the point that has these rows."""
        point = 0
        for axis, row in zip(self.axes, rows, strict=True):
            point = point * len(axis.rows) + row
        return point

    def changes(self, point: int) -> dict[str, Any]:
        """Return the inputs that change, with their values at a point."""
        return {
            name: value
            for axis, row in zip(self.axes, self.rows_of(point), strict=True)
            for name, value in zip(axis.names, axis.rows[row], strict=True)
        }

    def params(self, point: int) -> P:
        """Return all values at a point. Raise `ParamsError` if a required input neither is in the base nor changes."""
        changes = self.changes(point)
        return self.params_type(**changes) if self.base is None else replace(cast(Any, self.base), **changes)


def space_of(
    params_type: type[P],
    base: P | None,
    *,
    product: Mapping[str, object] | None = None,
    zipped: Mapping[str, object] | None = None,
    rows: Iterable[P] | None = None,
    replacements: Mapping[str, Mapping[str, Sequence[str]]] | None = None,
) -> Space[P]:
    """Return the space of a sweep's arguments. Raise `ParamsError` with all values that do not fit their inputs."""
    axes: list[Axis] = []
    if rows is not None:
        base, axis = _from_rows(params_type, base, rows)
        axes += [axis] if axis.names else []
    columns = _columns(params_type, zipped, "zip")
    if len({len(values) for values in columns.values()}) > 1:
        lengths = ", ".join(f"{name} has {len(values)}" for name, values in columns.items())
        raise ParamsError([Problem("zip", f"the lists of zip differ in length: {lengths}")])
    if columns:
        axes.append(Axis(tuple(columns), tuple(zip(*columns.values(), strict=True))))
    replaced = {
        name: _replaced(params_type, base, name, words) for name, words in _named(replacements, "replace").items()
    }
    for columns in _columns(params_type, product, "product"), _columns(params_type, replaced, "replace"):
        axes += [Axis((name,), tuple((value,) for value in values)) for name, values in columns.items()]
    space = Space(params_type, base, axes)
    if twice := sorted({name for name in space.names if space.names.count(name) > 1}):
        raise ParamsError([Problem(name, f"{name} changes in two ways: name it in one place only") for name in twice])
    if len(space) > MAX_ITEMS:
        lengths = " × ".join(f"{len(axis.rows)} ({', '.join(axis.names)})" for axis in axes)
        raise ParamsError([Problem("", f"the sweep has {len(space)} points: {lengths}; the limit is {MAX_ITEMS}")])
    space.params(0)
    return space


def _named(given: Mapping[str, T] | None, argument: str) -> Mapping[str, T]:
    """Return an argument that has something for inputs by name. Raise `ParamsError` for anything else."""
    if given is not None and not isinstance(given, Mapping):
        raise ParamsError([Problem(argument, f"{argument} is {shown(given)}, but should be {{name: values}}")])
    return given or {}


def _columns(
    params_type: type[WorkflowParams], given: Mapping[str, object] | None, argument: str
) -> dict[str, list[Any]]:
    """Return the values of each input named in `product`, `zip` or `replace`, converted to the input's type."""
    found: dict[str, list[Any]] = {}
    wrong: list[Problem] = []
    for name, values in _named(given, argument).items():
        try:
            found[name] = _checked(params_type, name, values, argument)
        except ParamsError as error:
            wrong += error.problems
    _refuse(wrong)
    return found


def _checked(params_type: type[WorkflowParams], name: str, values: object, argument: str) -> list[Any]:
    """Return the values converted to the input's type. Raise `ParamsError` with all that do not fit."""
    item = _input(params_type, name, argument)
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable):
        raise _unusable(item, f"{argument} takes a list of values for it, not {shown(values)}")
    listed = _listed(values, f"{problems.title(item)}: {argument}", name)
    if not listed:
        raise _unusable(item, f"{argument} has no value for it")
    found: list[Any] = []
    wrong: list[Problem] = []
    for place, value in enumerate(listed):
        try:
            found.append(params_type._checked(name, value))
        except ParamsError as error:
            where = f" (value {place + 1} of the list)"
            wrong += [replace(problem, message=problem.message + where) for problem in error.problems]
    if wrong:
        raise ParamsError(wrong)
    return found


def _input(params_type: type[WorkflowParams], name: object, argument: str) -> Input:
    """Return the input of this name. Raise `ParamsError` if it cannot be set."""
    if not isinstance(name, str):
        raise ParamsError([Problem(str(name), f"{argument} takes Python names of inputs, not {shown(name)}")])
    return problems.settable(name, params_type.__inputs__)


def _unusable(item: Input, message: str) -> ParamsError:
    return ParamsError([problems.about(item, f": {message}")])


def _listed(values: Iterable[T], what: str, name: str = "") -> list[T]:
    """Return the values as a list. Raise `ParamsError` for more than `MAX_VALUES`: a generator may never end."""
    listed = list(islice(values, MAX_VALUES + 1))
    if len(listed) > MAX_VALUES:
        message = f"{what} has more than {MAX_VALUES:,} values, or never ends: use fewer, as with itertools.islice"
        raise ParamsError([Problem(name, message)])
    return listed


def _replaced(params_type: type[P], base: P | None, name: str, words: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the texts that search and replace makes of a text of the base: `{"fox": ["owl", "cat"]}`.

    Several words multiply, the last one changing fastest. Raise `ParamsError` for a word that is not there.
    """
    item = _input(params_type, name, "replace")
    text = getattr(params_type() if base is None else base, name)
    if not isinstance(words, Mapping) or not all(
        isinstance(word, str) and isinstance(new, (list, tuple)) for word, new in words.items()
    ):
        raise _unusable(item, f"replace takes {{word: [other words]}}, not {shown(words)}")
    missing = [word for word in words if not isinstance(text, str) or not word or word not in text]
    if missing or not isinstance(text, str):
        raise _unusable(item, f"replace cannot find {', '.join(map(shown, missing))} in {shown(text)}")
    pattern = re.compile("|".join(map(re.escape, sorted(words, key=len, reverse=True))))
    choices = (dict(zip(words, chosen, strict=True)) for chosen in itertools.product(*words.values()))
    return [pattern.sub(lambda match, new=new: str(new[match[0]]), text) for new in choices]  # type: ignore[misc]


def _from_rows(params_type: type[P], base: P | None, rows: Iterable[P]) -> tuple[P, Axis]:
    """Return the first row as the base, and an axis of every input that is not the same in all rows."""
    if base is not None:
        raise ParamsError([Problem("rows", "rows already have all values: leave out the base")])
    given = _listed(rows, "rows")
    if not given:
        raise ParamsError([Problem("rows", "rows is empty")])
    wrong = [
        Problem("rows", f"row {place + 1} is {shown(row)}, not {params_type.__module__}.Params")
        for place, row in enumerate(given)
        if not isinstance(row, params_type)
    ]
    _refuse(wrong)
    changing = [
        spec.name
        for spec in fields(cast(Any, params_type))
        if any(not _same(getattr(row, spec.name), getattr(given[0], spec.name)) for row in given[1:])
    ]
    if not changing and len(given) > 1:  # equal rows are still as many runs
        changing = [spec.name for spec in fields(cast(Any, params_type))][:1]
    return given[0], Axis(tuple(changing), tuple(tuple(getattr(row, name) for name in changing) for row in given))


def _same(one: Any, other: Any) -> bool:
    """Return whether two values are certainly equal; images in memory only if they are the same object."""
    if one is other:
        return True
    return type(one) is type(other) and not hasattr(one, "save") and bool(one == other)


def _refuse(wrong: Sequence[Problem]) -> None:
    """Raise `ParamsError` with the first problems, and how many more there are."""
    rest = len(wrong) - _MAX_PROBLEMS
    if wrong:
        raise ParamsError([*wrong[:_MAX_PROBLEMS], *([Problem("", f"and {rest} more")] if rest > 0 else [])])
