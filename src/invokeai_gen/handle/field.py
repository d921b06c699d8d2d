"""`IvkField`: the value of one input, checked whenever it changes; and the class of field for each schema type."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, Self, cast

from pydantic import BaseModel, ConfigDict, PrivateAttr, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError
from typing_extensions import TypeVar

from invokeai_gen.core import problems
from invokeai_gen.core.checks import without_numpy
from invokeai_gen.core.field_values import check_value
from invokeai_gen.core.params_json import MAX_REPR
from invokeai_gen.core.plan import Constraints, JsonValue, PlannedInput
from invokeai_gen.core.problems import ParamsError
from invokeai_gen.core.values import Input
from invokeai_gen.texts import shown

if TYPE_CHECKING:
    from typing import LiteralString

F = TypeVar("F", bound="type[IvkField]")
T = TypeVar("T", default=Any)


class IvkField(BaseModel, Generic[T]):
    """Base of all fields: a pydantic model that holds the value of one input.

    A field of a handle knows what the schema and the form allow. It refuses any other value when it is assigned, with
    `ParamsError` (a `ValueError`) in the labels of the GUI, and keeps the value it had. A field made on its own only
    checks its type, with pydantic's `ValidationError` (a `ValueError` too); the rest is checked when it is given to a
    handle.

    `from_value` and `to_value` of a subclass convert between its attributes and the value of an input: a type of
    `invokeai_gen.core.values`, or JSON data for other types.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid", validate_default=False)

    holds_lists: ClassVar[bool] = False
    """Whether a field of this class also holds the list of an input that takes one value or several."""

    _planned: PlannedInput | None = PrivateAttr(None)

    if TYPE_CHECKING:  # every field has one, as an attribute of the model or as a property

        @property
        def value(self) -> Any:
            """The value."""
            ...

        @value.setter
        def value(self, value: Any) -> None: ...

    @classmethod
    @abstractmethod
    def from_value(cls, value: Any) -> Self:
        """Return the field that holds a value, an empty one for `None`. Raise `ValidationError`."""

    @abstractmethod
    def to_value(self) -> Any:
        """Return the value as `Params` takes it, `None` if the field is empty."""

    @abstractmethod
    def to_json_dict(self) -> dict[str, JsonValue]:
        """Return the field as JSON data.

        Raise `TypeError` for bytes and images in memory, which have to be uploaded first.
        """

    def __repr_str__(self, join_str: str) -> str:
        return join_str.join(f"{name}={shown(value, MAX_REPR)}" for name, value in self.__repr_args__())

    def __eq__(self, other: object) -> bool:
        """Return whether both have the same class and value; the inputs they belong to do not matter."""
        if not isinstance(other, IvkField) or type(self) is not type(other):
            return NotImplemented
        return vars(self) == vars(other) and self.is_empty == other.is_empty

    @property
    def is_empty(self) -> bool:
        """Whether the field has no value."""
        return self.to_value() is None

    @property
    def choices(self) -> tuple[str, ...]:
        """The allowed values; empty if they are not listed, and for a field made on its own."""
        return self._planned.choices if self._planned is not None else ()

    @property
    def constraints(self) -> Constraints:
        """The limits of numbers, lengths and collections, from the schema and the form."""
        return self._planned.constraints if self._planned is not None else Constraints()

    def assign(self, other: IvkField) -> None:
        """Copy the value of another field of the same class. Raise `TypeError`, `ParamsError`."""
        if type(other) is not type(self):
            raise TypeError(f"the field is of class {type(self).__name__}, not {type(other).__name__}")
        self._change({name: getattr(other, name) for name in type(self).model_fields})

    if not TYPE_CHECKING:  # type checkers would then allow any attribute

        def __setattr__(self, name, value):
            if name in type(self).model_fields:
                self._change({name: value})
            else:
                super().__setattr__(name, value)

    @model_validator(mode="after")
    def _is_a_value(self) -> Self:
        self.to_value()
        return self

    def _change(self, changes: Mapping[str, Any]) -> None:
        """Set several attributes at once, or none of them."""
        try:
            made = type(self).model_validate({**self.__dict__, **changes}, context=self._planned)
        except (ValidationError, RecursionError) as error:
            if self.choices and "value" in changes:
                self._check(unwrapped(changes["value"]))  # its message lists them; pydantic's names only the type
            raise self._refusal(changes.get("value", changes), error) from None
        self._check(made.to_value())
        vars(self).update(made.__dict__)
        self.__pydantic_fields_set__.update(changes)

    def _check(self, value: Any) -> None:
        """Raise `ParamsError` for a value that the input does not accept."""
        if self._planned is not None:
            check_value(self._planned, value)

    def _refusal(self, value: Any, error: ValueError | RecursionError) -> ParamsError:
        """Return the error for a value of this field, with the label of its input and each wrong attribute."""
        item = self._planned or _named(type(self).__name__)
        parts: dict[str, list[InitErrorDetails]] = {}
        for detail in details_of(error, value):
            part = next(iter(detail.get("loc", ())), "")
            parts.setdefault(f", {part}" if part not in ("", "value") else "", []).append(detail)
        found = [
            problems.invalid(
                _named(problems.title(item) + part), ValidationError.from_exception_data(item.name, details)
            )
            for part, details in parts.items()
        ]
        return ParamsError([replace(problem, name=item.name, label=item.label) for problem in found])


def _named(name: str) -> Input:
    """Return an input for messages about a field without one, or about a part of a field."""
    return Input(0, node="", field="", label="", name=name)


def details_of(error: Exception, value: Any, *place: int) -> list[InitErrorDetails]:
    """Return the problems that pydantic or a check of a field found with a value, or with the item at a place in it."""
    message = str(error) if isinstance(error, ValueError) else f"Input cannot be used: {problems.reason_of(error)}"
    found: list[Any] = [{"loc": (), "input": value, "msg": message}]
    if isinstance(error, ValidationError):
        found = list(error.errors(include_url=False, include_context=False))
    return [
        InitErrorDetails(
            type=PydanticCustomError("refused", cast("LiteralString", part["msg"].partition(", unable to ")[0])),
            loc=(*place, *part["loc"]),
            input=part["input"],
        )
        for part in found
    ]


def unwrapped(value: Any) -> Any:
    """Return the value of a field, and what numpy has a type of its own for as Python's own; any other value as it is."""
    return value.to_value() if isinstance(value, IvkField) else without_numpy(value)


_classes: Final[dict[str, type[IvkField]]] = {}
FIELD_CLASSES: Final[Mapping[str, type[IvkField]]] = MappingProxyType(_classes)
"""The class of field for each schema type that has its own; `register_field` adds to it."""


def register_field(*schema_types: str) -> Callable[[F], F]:
    """Use the decorated class as the field of these schema types, in handles opened from now on.

    The names are InvokeAI's (`IntegerField`), for a custom node the name of its class or its `ui_type`. The new class
    replaces an existing one. Types without a class use `IvkStructureField`, which holds JSON data.
    """

    def register(cls: F) -> F:
        _classes.update(dict.fromkeys(schema_types, cls))
        return cls

    return register
