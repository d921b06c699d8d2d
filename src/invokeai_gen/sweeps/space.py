"""What a sweep goes over: its axes, and the values at each of its points. Pure rules, checked before anything is sent."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final, Generic, TypeVar, cast

from invokeai_gen.core import problems
from invokeai_gen.core.params import WorkflowParams
from invokeai_gen.core.problems import ParamsError, Problem

P = TypeVar("P", bound=WorkflowParams)

MAX_ITEMS: Final = 1_000_000
"""Far above any queue; more is a slip of the pen."""
_MAX_PROBLEMS: Final = 20


@dataclass(frozen=True, slots=True)
class Axis:
    """Inputs that change together, and the values they take one after another."""

    names: tuple[str, ...]
    """Python names of the inputs."""
    rows: tuple[tuple[Any, ...], ...]
    """The values of these inputs, in the same order."""


class Space(Generic[P]):
    """Every combination of the rows of some axes, the last axis changing fastest."""

    def __init__(self, params_type: type[P], base: P | None, axes: Sequence[Axis]) -> None:
        self.params_type = params_type
        self.base = base
        """The values that do not change; `None` for the defaults of `params_type`."""
        self.axes = tuple(axes)

    def __len__(self) -> int:
        """How many points there are."""
        return math.prod(len(axis.rows) for axis in self.axes)

    @property
    def names(self) -> tuple[str, ...]:
        """The inputs that change."""
        return tuple(name for axis in self.axes for name in axis.names)

    def rows_of(self, point: int) -> tuple[int, ...]:
        """Which row of each axis a point has."""
        rows: list[int] = []
        for axis in reversed(self.axes):
            point, row = divmod(point, len(axis.rows))
            rows.append(row)
        return tuple(reversed(rows))

    def point_of(self, rows: Iterable[int]) -> int:
        """The point that has these rows."""
        point = 0
        for axis, row in zip(self.axes, rows, strict=True):
            point = point * len(axis.rows) + row
        return point

    def changes(self, point: int) -> dict[str, Any]:
        """What changes, with its values at a point."""
        return {
            name: value
            for axis, row in zip(self.axes, self.rows_of(point), strict=True)
            for name, value in zip(axis.names, axis.rows[row], strict=True)
        }

    def params(self, point: int) -> P:
        """All values at a point. Raises `ParamsError` where a value is required that is neither in the base nor changes."""
        changes = self.changes(point)
        return self.params_type(**changes) if self.base is None else replace(cast(Any, self.base), **changes)


def space_of(
    params_type: type[P],
    base: P | None,
    *,
    product: Mapping[str, object] | None = None,
    zipped: Mapping[str, object] | None = None,
    rows: Iterable[P] | None = None,
) -> Space[P]:
    """The space of a sweep's arguments, every value checked against its input. Raises `ParamsError` with all problems."""
    axes: list[Axis] = []
    if rows is not None:
        base, axis = _from_rows(params_type, base, rows)
        axes += [axis] if axis.names else []
    columns = _columns(params_type, zipped, "zip")
    if columns:
        _check_equal_lengths(columns)
        axes.append(Axis(tuple(columns), tuple(zip(*columns.values(), strict=True))))
    for name, values in _columns(params_type, product, "product").items():
        axes.append(Axis((name,), tuple((value,) for value in values)))
    space = Space(params_type, base, axes)
    _check_once(space)
    if len(space) > MAX_ITEMS:
        lengths = " × ".join(f"{len(axis.rows)} ({', '.join(axis.names)})" for axis in axes)
        raise ParamsError([Problem("", f"the sweep has {len(space)} points: {lengths}; more than {MAX_ITEMS}")])
    space.params(0)
    return space


def check_total(once: int, runs: int) -> None:
    """Raises `ParamsError` for more items than anyone means."""
    if once * runs > MAX_ITEMS:
        raise ParamsError([Problem("runs", f"the sweep has {once} × {runs} items; more than {MAX_ITEMS}")])


def _columns(
    params_type: type[WorkflowParams], given: Mapping[str, object] | None, argument: str
) -> dict[str, list[Any]]:
    """The values of each input that is named in `product` or `zip`, as the input holds them."""
    if given is not None and not isinstance(given, Mapping):
        raise ParamsError([Problem(argument, f"{argument} is {problems.shown(given)}, but should be {{name: values}}")])
    found: dict[str, list[Any]] = {}
    wrong: list[Problem] = []
    for name, values in (given or {}).items():
        if not isinstance(name, str):
            message = f"{argument} takes Python names of inputs, not {problems.shown(name)}"
            wrong.append(Problem(str(name), message))
            continue
        item = params_type.__inputs__.get(name)
        if item is None or item.fed_by is not None:
            wrong.append(problems.unsettable(name, params_type.__inputs__))
            continue
        if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable):
            message = f"{problems.title(item)}: {argument} takes a list of values for it, not {problems.shown(values)}"
            wrong.append(Problem(name, message, item.label))
            continue
        found[name], unfit = _checked(params_type, name, values)
        wrong += unfit
        if not found[name] and not unfit:
            wrong.append(Problem(name, f"{problems.title(item)}: {argument} has no value for it", item.label))
    if wrong:
        raise ParamsError(_first(wrong))
    return found


def _checked(params_type: type[WorkflowParams], name: str, values: Iterable[Any]) -> tuple[list[Any], list[Problem]]:
    """The values as the input holds them, and what is wrong with those that it does not take."""
    found: list[Any] = []
    wrong: list[Problem] = []
    for place, value in enumerate(values):
        try:
            found.append(params_type._checked(name, value))
        except ParamsError as error:
            wrong += [
                Problem(problem.name, f"{problem.message} (value {place + 1} of the list)", problem.label)
                for problem in error.problems
            ]
    return found, wrong


def _from_rows(params_type: type[P], base: P | None, rows: Iterable[P]) -> tuple[P, Axis]:
    """The first row as the base, and an axis of all that is not the same in every row."""
    given = [*rows]
    if base is not None:
        raise ParamsError([Problem("rows", "rows already have all values: leave out the base")])
    if not given:
        raise ParamsError([Problem("rows", "rows is empty")])
    wrong = [
        Problem("rows", f"row {place + 1} is {problems.shown(row)}, not {params_type.__module__}.Params")
        for place, row in enumerate(given)
        if not isinstance(row, params_type)
    ]
    if wrong:
        raise ParamsError(_first(wrong))
    changing = [
        spec.name
        for spec in fields(cast(Any, params_type))
        if any(not _same(getattr(row, spec.name), getattr(given[0], spec.name)) for row in given[1:])
    ]
    if not changing and len(given) > 1:  # equal rows are still as many runs
        changing = [spec.name for spec in fields(cast(Any, params_type))][:1]
    return given[0], Axis(tuple(changing), tuple(tuple(getattr(row, name) for name in changing) for row in given))


def _same(one: Any, other: Any) -> bool:
    """Whether two values of an input are the same beyond doubt; images in memory only if they are one object."""
    if one is other:
        return True
    return type(one) is type(other) and not hasattr(one, "save") and bool(one == other)


def _check_equal_lengths(columns: Mapping[str, Sequence[Any]]) -> None:
    if len({len(values) for values in columns.values()}) > 1:
        lengths = ", ".join(f"{name} has {len(values)}" for name, values in columns.items())
        raise ParamsError([Problem("zip", f"the lists of zip differ in length: {lengths}")])


def _check_once(space: Space[Any]) -> None:
    twice = sorted({name for name in space.names if space.names.count(name) > 1})
    if twice:
        raise ParamsError([Problem(name, f"{name} changes in two ways: name it in one place only") for name in twice])


def _first(wrong: Sequence[Problem]) -> list[Problem]:
    """As many problems as anyone would read."""
    rest = len(wrong) - _MAX_PROBLEMS
    return [*wrong[:_MAX_PROBLEMS], *([Problem("", f"and {rest} more")] if rest > 0 else [])]
