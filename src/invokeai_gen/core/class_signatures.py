"""The signature of a `Params` and the types of a function, as `inspect`, editors and notebooks show them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields
from inspect import Parameter, Signature
from types import UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from invokeai_gen.core.values import ModelRef
from invokeai_gen.public_names import HOME_OF
from invokeai_gen.texts import shortened

_MAX_CHOICES: Final = 5
_MAX_DEFAULT: Final = 60


def signature_of(owner: Any) -> Signature:
    """Return each input with its plain type and its default, without limits and bindings."""
    hints = get_type_hints(owner)
    parameters = []
    for spec in fields(owner):
        hint = hints[spec.name]
        plain = get_args(hint)[0] if get_origin(hint) is Annotated else hint
        default = spec.default_factory() if callable(spec.default_factory) else spec.default
        default = Parameter.empty if default is MISSING else default
        parameters.append(_InputParameter(spec.name, Parameter.KEYWORD_ONLY, default=default, annotation=plain))
    return Signature(parameters)


class _InputParameter(Parameter):
    """A parameter whose text is short enough to read in `wf.Params?`, while its annotation is the whole type."""

    def __str__(self) -> str:
        text = f"{self.name}: {_short_type(self.annotation)}"
        return text if self.default is Parameter.empty else f"{text} = {_short_value(self.default)}"


def _short_type(hint: Any) -> str:
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is None or hint is type(None):
        return "None"
    if origin is Annotated:
        return _short_type(arguments[0])
    if origin is Literal:
        shown = [repr(option) for option in arguments[:_MAX_CHOICES]]
        return f"Literal[{', '.join([*shown, '…'] if len(arguments) > _MAX_CHOICES else shown)}]"
    if origin in (Union, UnionType):
        return " | ".join(map(_short_type, arguments))
    if origin is not None:
        return f"{getattr(origin, '__name__', origin)}[{', '.join(map(_short_type, arguments))}]"
    return str(getattr(hint, "__name__", hint))


def _short_value(value: Any) -> str:
    if isinstance(value, ModelRef):
        return f"ModelRef(name={value.name!r})"
    return shortened(repr(value), _MAX_DEFAULT, tail=1)


def evaluated(function: Any, annotations: Mapping[str, Any]) -> dict[str, Any]:
    """Return the annotations of a function in a generated module, with types in place of texts."""
    # The texts come from our own template, not from the workflow.
    return {
        name: eval(text, function.__globals__, _Names()) if isinstance(text, str) else text
        for name, text in annotations.items()
    }


class _Names(dict[str, Any]):
    """The names in annotations that a generated module imports for type checkers alone."""

    def __missing__(self, name: str) -> Any:
        import invokeai_gen

        if name in HOME_OF:
            return getattr(invokeai_gen, name)
        known = {"Iterable": Iterable, "PathLike": os.PathLike, "Values": Mapping[str, Iterable[Any]]}
        return known[name]
