"""Fields whose value has parts: models, LoRAs, colours, boxes, and what model loaders return."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final, Self

from pydantic import ConfigDict, Field, PrivateAttr

from invokeai_gen.core.json_values import guess_value, to_json
from invokeai_gen.core.plan import JsonValue
from invokeai_gen.core.values import BoundingBox, Color, LoRA, ModelRef, as_color
from invokeai_gen.handle.field import IvkField, register_field, unwrapped
from invokeai_gen.handle.value_fields import Integer, Number

_IDENTITY: Final = ("key", "hash", "name")
"""What says which model is meant, in the order in which InvokeAI's servers are asked."""


class IvkStructuredField(IvkField):
    """Base of the fields whose parts are attributes. `value` is all of them at once."""

    _is_cleared: bool = PrivateAttr(False)

    @property
    def value(self) -> Any:
        """All parts as one value of the runtime, `None` while the field is empty. Any form of it may be assigned."""
        return None if self._is_cleared else self.to_value()

    @value.setter
    def value(self, value: Any) -> None:
        try:
            made = self.from_value(unwrapped(value))
        except ValueError as error:
            raise self._refusal(value, error) from None
        self.assign(made)

    @property
    def is_empty(self) -> bool:
        """Whether there is no value."""
        return self.value is None

    def clear(self) -> None:
        """Empties the field. Raises `ParamsError` where the input must have a value."""
        self._check(None)
        self._is_cleared = True

    def assign(self, other: IvkField) -> None:
        """Takes the value of another field of the same class. Raises `TypeError`, `ParamsError`."""
        if type(other) is type(self) and other.is_empty:
            self.clear()
        else:
            super().assign(other)

    @classmethod
    def empty(cls) -> Self:
        """A field without a value."""
        made = cls()
        made._is_cleared = True
        return made

    def to_json_dict(self) -> dict[str, JsonValue]:
        """The value as the request would carry it; `{}` while the field is empty."""
        value = self.value
        data: dict[str, JsonValue] = {} if value is None else to_json(value)
        return data

    def _change(self, changes: Mapping[str, Any]) -> None:
        super()._change(changes)
        self._is_cleared = False


@register_field("ModelIdentifierField")
class IvkModelIdentifierField(IvkStructuredField):
    """A model, by whatever is known of it; the server's own entry is looked up when the workflow is submitted.

    Servers are asked for the key first, then for the hash, then for the name. So that an assignment is never without
    effect, a new name takes away key and hash, and a new hash takes away the key; `value` sets all of them at once,
    from a `ModelRef`, a model of `client.models`, JSON data, or text (a name, key or hash).
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
        """The field for a `ModelRef`, an installed model, JSON data, or text. Raises `ValidationError`."""
        if value is None:
            return cls()
        if isinstance(value, str):
            return cls(name=value)
        return cls(**_parts(value, tuple(cls.model_fields), "a model: its name, key or hash, a ModelRef, or JSON"))

    def to_value(self) -> Any:
        """A `ModelRef`; the text alone where there is nothing else, `None` while the field is empty."""
        ref = ModelRef(**{name: getattr(self, name) for name in type(self).model_fields})
        if ref == ModelRef(name=self.name):
            return self.name or None
        return ref if any(getattr(self, name) for name in _IDENTITY) else None

    def to_json_dict(self) -> dict[str, JsonValue]:
        """The parts by their names; `submodel_type` only where there is one."""
        known: dict[str, JsonValue] = {name: getattr(self, name) for name in (*_IDENTITY, "base", "type")}
        return known if self.submodel_type is None else {**known, "submodel_type": self.submodel_type}

    def clear(self) -> None:
        """Empties the field. Raises `ParamsError` where the input must have a value."""
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
        """The field for a `LoRA` or JSON data. Raises `ValidationError`."""
        if value is None:
            return cls()
        parts = _parts(value, ("lora", "weight"), "a LoRA: a LoRA(model, weight), or JSON")
        return cls(**{**parts, "lora": IvkModelIdentifierField.from_value(unwrapped(parts.get("lora")))})

    def to_value(self) -> Any:
        """A `LoRA`, `None` while no model is chosen."""
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
        """The field for a colour in any of its forms. Raises `ValueError`."""
        if value is None:
            return cls.empty()
        color = as_color(guess_value(value) if isinstance(value, Mapping) else value)
        return cls(r=color.r, g=color.g, b=color.b, a=color.a)

    def to_value(self) -> Any:
        """A `Color`, `None` while the field is empty."""
        return None if self._is_cleared else Color(self.r, self.g, self.b, self.a)

    def set_rgba(self, r: int, g: int, b: int, a: int = 255) -> None:
        """Sets all channels, each from 0 to 255. Raises `ParamsError`."""
        self._change({"r": r, "g": g, "b": b, "a": a})

    def set_hex(self, text: str) -> None:
        """Sets the colour from `"#ff8000"` or, with transparency, `"#ff8000c0"`. Raises `ParamsError`."""
        self.value = text

    def to_hex(self) -> str:
        """The colour as text; eight digits where it is not opaque."""
        channels = (self.r, self.g, self.b) if self.a == 255 else (self.r, self.g, self.b, self.a)
        return "#" + bytes(channels).hex()


@register_field("BoundingBoxField")
class IvkBoundingBoxField(IvkStructuredField):
    """A box in pixels, `x_max` and `y_max` exclusive."""

    x_min: Integer = 0
    x_max: Integer = 0
    y_min: Integer = 0
    y_max: Integer = 0
    score: Number | None = None
    """How sure a detector was of it."""

    @classmethod
    def from_value(cls, value: Any) -> Self:
        """The field for a `BoundingBox` or JSON data. Raises `ValidationError`."""
        if value is None:
            return cls.empty()
        return cls(**_parts(value, tuple(cls.model_fields), "a box: a BoundingBox, or JSON"))

    def to_value(self) -> Any:
        """A `BoundingBox`, `None` while the field is empty."""
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
    """What a model loader returns: models and how they are applied, as one JSON object."""

    model_config = ConfigDict(extra="allow")

    main: ClassVar[str]
    """The part without which there is no value."""

    @classmethod
    def from_value(cls, value: Any) -> Self:
        """The field for JSON data; parts that are not known here are kept. Raises `ValidationError`."""
        return cls.empty() if value is None else cls(**_parts(value, (), "JSON"))

    def assign(self, other: IvkField) -> None:
        """Takes the value of another field of the same class. Raises `TypeError`, `ParamsError`."""
        super().assign(other)
        self.__pydantic_extra__ = dict(other.model_extra or {})

    def to_value(self) -> Any:
        """The JSON object, `None` while the field is empty."""
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
    """The parts of a value by name. Raises `ValueError` for what has none of them."""
    if isinstance(value, Mapping):
        return dict(value)
    found = {name: getattr(value, name) for name in names if hasattr(value, name)}
    if not found:
        raise ValueError(f"Input should be {expected}")
    return found


def _part(value: Any) -> JsonValue:
    if isinstance(value, list):
        return [_part(item) for item in value]
    return value.to_json_dict() if isinstance(value, IvkField) else value
