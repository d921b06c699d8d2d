"""Fields whose value has parts: models, LoRAs, colours, boxes, and what model loaders return."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final, Self

from pydantic import ConfigDict, Field, PrivateAttr

from invokeai_gen.core.json_values import read_value
from invokeai_gen.core.json_writing import to_json
from invokeai_gen.core.plan import JsonValue
from invokeai_gen.core.short_texts import short_text
from invokeai_gen.core.values import MODEL_KEYS, BoundingBox, Color, ColorInput, LoRA, ModelRef, as_color
from invokeai_gen.handle.field import IvkField, register_field, unwrapped
from invokeai_gen.handle.value_fields import Integer, Number

_IDENTITY: Final = MODEL_KEYS[:3]
"""The attributes that identify a model, in the order in which they are looked up."""


class IvkStructuredField(IvkField):
    """Base of the fields whose parts are attributes. `value` is all of them at once."""

    _is_cleared: bool = PrivateAttr(False)

    @property
    def value(self) -> Any:
        """All parts as one value, `None` while the field is empty. Any form that `Params` takes may be assigned."""
        return None if self._is_cleared else self.to_value()

    @value.setter
    def value(self, value: Any) -> None:
        try:
            made = self.from_value(unwrapped(value))
        except (ValueError, RecursionError) as error:
            raise self._refusal(value, error) from None
        self.assign(made)

    @property
    def is_empty(self) -> bool:
        """Whether the field has no value."""
        return self.value is None

    def clear(self) -> None:
        """Empty the field. Raise `ParamsError` if the input must have a value."""
        self._check(None)
        self._is_cleared = True

    def assign(self, other: IvkField) -> None:
        """Copy the value of another field of the same class. Raise `TypeError`, `ParamsError`."""
        if type(other) is type(self) and other.is_empty:
            self.clear()
        else:
            super().assign(other)

    @classmethod
    def empty(cls) -> Self:
        """Return a field without a value."""
        made = cls()
        made._is_cleared = True
        return made

    def to_json_dict(self) -> dict[str, JsonValue]:
        """Return the value as in the request; `{}` while the field is empty."""
        value = self.value
        data: dict[str, JsonValue] = {} if value is None else to_json(value)
        return data

    def _change(self, changes: Mapping[str, Any]) -> None:
        super()._change(changes)
        self._is_cleared = False


@register_field("ModelIdentifierField")
class IvkModelIdentifierField(IvkStructuredField):
    """A model by key, hash or name; the server's own entry is looked up when the workflow is submitted.

    The key is looked up first, then the hash, then the name. So that an assignment always has an effect, setting the
    name clears key and hash, and setting the hash clears the key. `value` sets all of them at once, from a `ModelRef`,
    a model of `client.models`, JSON data, or text (a name, key or hash). A base or type that the input does not accept
    is refused.
    """

    key: str = ""
    hash: str = ""
    name: str = ""
    base: str = ""
    """`sd-1`, `sdxl`, `flux` …"""
    type: str = ""
    """`main`, `vae`, `lora` …"""
    submodel_type: str | None = None

    @classmethod
    def from_value(cls, value: Any) -> Self:
        """Return the field for a `ModelRef`, an installed model, JSON data, or text. Raise `ValidationError`."""
        if value is None:
            return cls()
        if isinstance(value, str):
            return cls(name=value)
        parts: dict[str, Any] = {"submodel_type": getattr(value, "submodel_type", None)}
        return cls(**parts | _parts(value, MODEL_KEYS, "a model: its name, key or hash, a ModelRef, or JSON"))

    def to_value(self) -> Any:
        """Return a `ModelRef`, the name if only that is known, or `None` while the field is empty."""
        ref = ModelRef(**{name: getattr(self, name) for name in type(self).model_fields})
        if ref == ModelRef(name=self.name):
            return self.name or None
        return ref if any(getattr(self, name) for name in _IDENTITY) else None

    def to_json_dict(self) -> dict[str, JsonValue]:
        """Return the parts by name; `submodel_type` only if it is set."""
        known: dict[str, JsonValue] = {name: getattr(self, name) for name in MODEL_KEYS}
        return known if self.submodel_type is None else {**known, "submodel_type": self.submodel_type}

    def clear(self) -> None:
        """Empty the field. Raise `ParamsError` if the input must have a value."""
        super().clear()
        vars(self).update(type(self)().__dict__)

    def _change(self, changes: Mapping[str, Any]) -> None:
        if len(changes) == 1:
            ((name, value),) = changes.items()
            if name in _IDENTITY and value and value != getattr(self, name):
                changes = {**changes, **dict.fromkeys(_IDENTITY[: _IDENTITY.index(name)], "")}
        super()._change(changes)


@register_field("LoRAField")
class IvkLoRAField(IvkStructuredField):
    """A LoRA model and how strongly it is applied."""

    lora: IvkModelIdentifierField = Field(default_factory=IvkModelIdentifierField)
    weight: Number = LoRA("model").weight

    @classmethod
    def from_value(cls, value: Any) -> Self:
        """Return the field for a `LoRA` or JSON data. Raise `ValidationError`."""
        if value is None:
            return cls()
        parts = _parts(value, ("lora", "weight"), "a LoRA: a LoRA(model, weight), or JSON")
        given: dict[str, Any] = {**parts, "lora": IvkModelIdentifierField.from_value(unwrapped(parts.get("lora")))}
        return cls(**given)

    def to_value(self) -> Any:
        """Return a `LoRA`, `None` while no model is chosen."""
        model = self.lora.to_value()
        return None if model is None else LoRA(model, self.weight)


@register_field("ColorField")
class IvkColorField(IvkStructuredField):
    """A colour, each channel from 0 to 255. `value` also takes `"#ff8000"`, tuples and JSON data."""

    r: Integer = 0
    g: Integer = 0
    b: Integer = 0
    a: Integer = 255
    """255 is opaque."""

    @classmethod
    def from_value(cls, value: Any) -> Self:
        """Return the field for a colour in any of its forms. Raise `ValueError`."""
        if value is None:
            return cls.empty()
        color = as_color(read_value(ColorInput, value))
        return cls(r=color.r, g=color.g, b=color.b, a=color.a)

    def to_value(self) -> Any:
        """Return a `Color`, `None` while the field is empty."""
        return None if self._is_cleared else Color(self.r, self.g, self.b, self.a)

    def set_rgba(self, r: int, g: int, b: int, a: int = 255) -> None:
        """Set all channels, each from 0 to 255. Raise `ParamsError`."""
        self._change({"r": r, "g": g, "b": b, "a": a})

    def set_hex(self, text: str) -> None:
        """Set the colour from `"#ff8000"` or, with transparency, `"#ff8000c0"`. Raise `ParamsError`."""
        self.value = text

    def to_hex(self) -> str:
        """Return the colour as text; eight digits if it is not opaque."""
        return short_text(Color(self.r, self.g, self.b, self.a))


@register_field("BoundingBoxField")
class IvkBoundingBoxField(IvkStructuredField):
    """A box in pixels, `x_max` and `y_max` exclusive."""

    x_min: Integer = 0
    x_max: Integer = 0
    y_min: Integer = 0
    y_max: Integer = 0
    score: Number | None = None
    """How sure a detector is of the box, from 0 to 1."""

    @classmethod
    def from_value(cls, value: Any) -> Self:
        """Return the field for a `BoundingBox` or JSON data. Raise `ValidationError`."""
        if value is None:
            return cls.empty()
        return cls(**_parts(value, tuple(cls.model_fields), "a box: a BoundingBox, or JSON"))

    def to_value(self) -> Any:
        """Return a `BoundingBox`, `None` while the field is empty."""
        if self._is_cleared:
            return None
        return BoundingBox(x_min=self.x_min, x_max=self.x_max, y_min=self.y_min, y_max=self.y_max, score=self.score)

    def set_box(self, x_min: int, y_min: int, x_max: int, y_max: int, score: float | None = None) -> None:
        """Set all sides at once, in pixels. `score` is how sure a detector is of the box, from 0 to 1.

        Raise `ParamsError` if the box has no width or no height: nodes fail on such a box.
        """
        sides = {"x_min": x_min, "y_min": y_min, "x_max": x_max, "y_max": y_max}
        try:
            made = type(self)(**sides, score=score)
            for low, high, axis in ((made.x_min, made.x_max, "x"), (made.y_min, made.y_max, "y")):
                if low == high:
                    raise ValueError(f"{axis}_min should be less than {axis}_max")
        except ValueError as error:
            raise self._refusal(sides, error) from None
        self.assign(made)


class _IvkLoadedField(IvkStructuredField):
    """The result of a model loader: models and how they are applied, as one JSON object."""

    model_config = ConfigDict(extra="allow")

    main: ClassVar[str]
    """The part that must be set for the field to have a value."""

    @classmethod
    def from_value(cls, value: Any) -> Self:
        """Return the field for JSON data; unknown parts are kept. Raise `ValidationError`."""
        return cls.empty() if value is None else cls(**_parts(value, (), "JSON"))

    def assign(self, other: IvkField) -> None:
        """Copy the value of another field of the same class. Raise `TypeError`, `ParamsError`."""
        super().assign(other)
        self.__pydantic_extra__ = dict(other.model_extra or {})

    def to_value(self) -> Any:
        """Return the JSON object, `None` while the field is empty."""
        if self._is_cleared or getattr(self, self.main) is None:
            return None
        parts = {name: getattr(self, name) for name in type(self).model_fields} | (self.model_extra or {})
        return {name: _part(value) for name, value in parts.items() if value is not None}


@register_field("UNetField")
class IvkUNetField(_IvkLoadedField):
    """A UNet with its scheduler, LoRAs and seamless axes."""

    main: ClassVar[str] = "unet"
    unet: IvkModelIdentifierField | None = None
    scheduler: IvkModelIdentifierField | None = None
    loras: list[IvkLoRAField] = Field(default_factory=list)
    seamless_axes: list[str] = Field(default_factory=list)
    freeu_config: dict[str, Any] | None = None


@register_field("CLIPField")
class IvkCLIPField(_IvkLoadedField):
    """A tokenizer and a text encoder, with LoRAs and the number of layers that are skipped."""

    main: ClassVar[str] = "text_encoder"
    tokenizer: IvkModelIdentifierField | None = None
    text_encoder: IvkModelIdentifierField | None = None
    skipped_layers: Integer = 0
    loras: list[IvkLoRAField] = Field(default_factory=list)


@register_field("VAEField")
class IvkVAEField(_IvkLoadedField):
    """A VAE with its seamless axes."""

    main: ClassVar[str] = "vae"
    vae: IvkModelIdentifierField | None = None
    seamless_axes: list[str] = Field(default_factory=list)


def _parts(value: Any, names: tuple[str, ...], expected: str) -> dict[str, Any]:
    """Return the parts of a value by name. Raise `ValueError` for an object without all of them."""
    if isinstance(value, Mapping):
        return dict(value)
    if not names or not all(hasattr(value, name) for name in names):
        raise ValueError(f"Input should be {expected}")
    return {name: getattr(value, name) for name in names}


def _part(value: Any) -> JsonValue:
    if isinstance(value, list):
        return [_part(item) for item in value]
    return value.to_json_dict() if isinstance(value, IvkField) else value
