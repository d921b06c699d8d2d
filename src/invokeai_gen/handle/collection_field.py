"""`IvkCollectionField`: several values of one type."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError, ValidationInfo, field_validator

from invokeai_gen.core.plan import PlannedInput
from invokeai_gen.handle.field import IvkField, details_of, unwrapped
from invokeai_gen.handle.value_fields import IvkValueField, item_class


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


def _item(cls: type[IvkField], item: Any, place: int) -> Any:
    try:
        return cls.from_value(unwrapped(item)).to_value()
    except ValueError as error:
        raise ValidationError.from_exception_data(cls.__name__, details_of(error, item, place)) from None
