"""Fields that are one value, or a list: text, numbers, choices, and images, videos, boards and tensors by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Annotated, Any, ClassVar, Final, Generic, Self, TypeAlias, TypeVar

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    ModelWrapValidatorHandler,
    Strict,
    Tag,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from invokeai_gen.core.checks import without_numpy
from invokeai_gen.core.json_values import guess_value
from invokeai_gen.core.json_writing import to_json
from invokeai_gen.core.plan import Constraints, JsonValue, PlannedInput
from invokeai_gen.core.results import LatentsOutput, MaskOutput
from invokeai_gen.core.values import BoardInput, ImageInput, VideoInput
from invokeai_gen.handle.field import FIELD_CLASSES, IvkField, details_of, register_field, unwrapped

T = TypeVar("T")


def _number(noun: str) -> BeforeValidator:
    """Refuse booleans, which Python would take for 0 and 1, and text, which `Params` and JSON refuse as well."""

    def check(value: Any) -> Any:
        value = without_numpy(value)
        if isinstance(value, bool):
            raise ValueError("Input should be a number, not a boolean")
        if isinstance(value, str):
            raise ValueError(f"Input should be a valid {noun}")
        return value

    return BeforeValidator(check)


Integer: TypeAlias = Annotated[int, _number("integer")]
Number: TypeAlias = Annotated[float, _number("number"), Field(allow_inf_nan=False)]
Boolean: TypeAlias = Annotated[bool, BeforeValidator(without_numpy), Strict()]
Text: TypeAlias = Annotated[str, Strict()]


def _count(value: Any) -> str:
    return "items" if isinstance(value, list) else "one"


OneOrMany: TypeAlias = Annotated[
    Annotated[T, Tag("one")] | Annotated[list[T], Tag("items")],
    Discriminator(_count),
]
"""A value or a list of them; an error message is only about the form that was given."""


_LIMITS: Final = frozenset(item.name for item in fields(Constraints))


class IvkValueField(IvkField[T], Generic[T]):
    """Base of the fields with a `.value`.

    A field made on its own may have limits: `IvkStringField(value="a fox", min_length=3)`. The names are the same as
    in `Constraints`. In a handle the limits of the input apply.
    """

    holds_lists: ClassVar[bool] = True

    value: OneOrMany[T] | None = None  # pyright: ignore[reportIncompatibleMethodOverride] -- it is settable
    """The value; a list only if the input takes lists, `None` while it is empty."""

    @model_validator(mode="wrap")
    @classmethod
    def _with_limits(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        limits = {name: data[name] for name in data if name in _LIMITS} if isinstance(data, dict) else {}
        if not limits:
            return handler(data)
        made = handler({name: value for name, value in data.items() if name not in limits})
        made._planned = _own_input(cls, Constraints(**limits))
        if not made.is_empty:
            made._check(made.to_value())
        return made

    @field_validator("value", mode="before")
    @classmethod
    def _from_field_or_json(cls, value: Any) -> Any:
        return cls.plain(value)

    @classmethod
    def plain(cls, value: Any) -> Any:
        """Return the value in another field or in JSON data; any other value as it is."""
        value = unwrapped(value)
        return guess_value(value) if isinstance(value, (dict, list)) else value

    @classmethod
    def from_value(cls, value: Any) -> Self:
        """Return the field that holds a value, an empty one for `None`. Raise `ValidationError`."""
        return cls(value=value)

    def to_value(self) -> Any:
        """Return the value as `Params` takes it, `None` if the field is empty."""
        return self.value

    def to_json_dict(self) -> dict[str, JsonValue]:
        """Return `{"value": …}`, the value as in the request.

        A path becomes `{"path": …}`. Raise `TypeError` for bytes and images in memory.
        """
        return {"value": to_json(self.to_value())}


@register_field("StringField", "SavedWorkflowField")
class IvkStringField(IvkValueField[Text]):
    """Text."""


@register_field("IntegerField")
class IvkIntegerField(IvkValueField[Integer]):
    """A whole number."""


@register_field("FloatField")
class IvkFloatField(IvkValueField[Number]):
    """A number."""


@register_field("BooleanField")
class IvkBooleanField(IvkValueField[Boolean]):
    """`True` or `False`."""


@register_field("EnumField")
class IvkEnumField(IvkValueField[Text]):
    """One of the texts in `choices`."""


@register_field("SchedulerField")
class IvkSchedulerField(IvkEnumField):
    """The name of a scheduler, one of those in `choices`."""


@register_field("ImageField")
class IvkImageField(IvkValueField[ImageInput]):
    """An image: a path, bytes, a Pillow image, or one on the server by name or `ImageRef`.

    Files are uploaded when the workflow is submitted.
    """


@register_field("VideoField")
class IvkVideoField(IvkValueField[VideoInput]):
    """A video: a path, bytes, or one on the server by name or `VideoRef`. Files are uploaded at submission."""


@register_field("BoardField")
class IvkBoardField(IvkValueField[BoardInput]):
    """A board: `"none"`, `"auto"`, its name or id, or a `BoardRef`."""


class _IvkNameField(IvkValueField[Text]):
    """A value that the server keeps for its own nodes, by name."""

    holds_lists: ClassVar[bool] = False
    value: Text | None = None  # pyright: ignore[reportIncompatibleVariableOverride] -- one name, never a list
    key: ClassVar[str]
    """The key of the name in its JSON object."""

    @classmethod
    def plain(cls, value: Any) -> Any:
        """Return the name in a field, a JSON object, or a result of an earlier run."""
        value = unwrapped(value)
        if isinstance(value, Mapping):
            return value.get(cls.key)
        return value.name if isinstance(value, (LatentsOutput, MaskOutput)) else value

    def to_value(self) -> Any:
        """Return the JSON object with the name, `None` if the field is empty."""
        return None if self.value is None else {self.key: self.value}


@register_field("LatentsField")
class IvkLatentsField(_IvkNameField):
    """Latents that an earlier run left on the server: their name, or a `LatentsOutput`."""

    key: ClassVar[str] = "latents_name"
    seed: int | None = None
    """The seed that they were made with, if known."""

    @classmethod
    def from_value(cls, value: Any) -> Self:
        """Return the field that holds latents, with their seed if the value has it."""
        seed = value.get("seed") if isinstance(value, Mapping) else getattr(value, "seed", None)
        return cls(value=cls.plain(value), seed=seed)

    def to_value(self) -> Any:
        """Return the JSON object `{latents_name, seed}`, `None` if the field is empty."""
        return None if self.value is None else {self.key: self.value, "seed": self.seed}


@register_field("TensorField")
class IvkTensorField(_IvkNameField):
    """A tensor that an earlier run left on the server, by name."""

    key: ClassVar[str] = "tensor_name"


class IvkStructureField(IvkValueField[Any]):
    """JSON data of a type that has no class of its own, such as a custom node's; see `register_field`."""

    @classmethod
    def plain(cls, value: Any) -> Any:
        """Return the data as it is: only the node knows its meaning."""
        return unwrapped(value)


class IvkCollectionField(IvkValueField[Any]):
    """A list. In a handle, each item is checked as by the field of a single value.

    `value` may be a single item if the input takes one or several.
    """

    @field_validator("value", mode="before")
    @classmethod
    def _items(cls, value: Any, info: ValidationInfo) -> Any:
        if not isinstance(info.context, PlannedInput) or value is None:
            return value
        one = item_class(info.context.field_type)
        if isinstance(value, list):
            return [_item(one, item, place) for place, item in enumerate(value)]
        return one.from_value(unwrapped(value)).to_value()

    @classmethod
    def plain(cls, value: Any) -> Any:
        """Return the values of the fields in a list; a handle, which knows their class, converts the items."""
        if isinstance(value, list):
            return [unwrapped(item) for item in value]
        return unwrapped(value)

    def append(self, item: Any) -> None:
        """Add an item at the end. Raise `ParamsError`."""
        self.extend([item])

    def extend(self, items: Iterable[Any]) -> None:
        """Add items at the end, all or none. Raise `ParamsError`."""
        self.value = [*self._list(), *items]

    def __len__(self) -> int:
        return len(self._list())

    def __getitem__(self, index: int) -> Any:
        return self._list()[index]

    def _list(self) -> list[Any]:
        if self.value is None:
            return []
        return self.value if isinstance(self.value, list) else [self.value]


def _own_input(cls: type[IvkField], limits: Constraints) -> PlannedInput:
    """Return the input for a field with limits of its own; messages use the name of its class."""
    return PlannedInput(
        index=0,
        label=cls.__name__,
        node_id="",
        node_type="",
        node_label="",
        node_title="",
        field_name="value",
        field_type=next((name for name, known in FIELD_CLASSES.items() if known is cls), "AnyField"),
        cardinality="SINGLE" if limits.min_items is None and limits.max_items is None else "COLLECTION",
        required=True,
        constraints=limits,
    )


def item_class(schema_type: str) -> type[IvkField]:
    """Return the class of field for one value of a schema type."""
    return FIELD_CLASSES.get(schema_type, IvkStructureField)


def _item(cls: type[IvkField], item: Any, place: int) -> Any:
    try:
        return cls.from_value(unwrapped(item)).to_value()
    except ValueError as error:
        raise ValidationError.from_exception_data(cls.__name__, details_of(error, item, place)) from None
