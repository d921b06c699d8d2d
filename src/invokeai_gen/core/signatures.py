"""What programs and notebooks read off generated code: signatures and type hints, made when somebody asks.

A generated module names the types of its functions in texts, because importing them would take longer than importing
everything else. `typing.get_type_hints`, `inspect.signature(…, eval_str=True)`, and the tools that build on them (typer,
`pydantic.validate_call`, FastAPI, MCP servers), get the real types all the same.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import MISSING, fields
from inspect import Parameter, Signature
from types import UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from invokeai_gen.core.values import ModelRef
from invokeai_gen.public_names import HOME_OF
from invokeai_gen.texts import shortened

_MAX_CHOICES: Final = 5
_MAX_DEFAULT: Final = 60


def lazy_hints(*functions: Callable[..., object]) -> None:
    """Let the annotations of functions in a generated module become types when they are first read."""
    for function in functions:
        function.__annotations__ = _Hints(function)


class ClassSignature:
    """The signature of a `Params`: each input with its plain type and its default, without limits and bindings."""

    def __get__(self, instance: object, owner: type) -> Signature | None:
        if "__dataclass_fields__" not in vars(owner):
            return None
        hints = get_type_hints(owner)
        parameters = [
            _InputParameter(
                spec.name,
                Parameter.KEYWORD_ONLY,
                default=spec.default_factory()
                if spec.default_factory is not MISSING
                else Parameter.empty
                if spec.default is MISSING
                else spec.default,
                annotation=_without_metadata(hints[spec.name]),
            )
            for spec in fields(owner)
        ]
        return Signature(parameters)


def _without_metadata(hint: Any) -> Any:
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


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


class _Names(dict[str, Any]):
    """The names in annotations that a generated module imports for type checkers alone."""

    def __missing__(self, name: str) -> Any:
        import invokeai_gen

        if name in HOME_OF:
            return getattr(invokeai_gen, name)
        known = {"Iterable": Iterable, "PathLike": os.PathLike, "Values": Mapping[str, Iterable[Any]]}
        return known[name]


class _Hints(dict[str, Any]):
    """Annotations of one function, evaluated when they are first read."""

    def __init__(self, function: Callable[..., object]) -> None:
        super().__init__(function.__annotations__)
        self._function = function

    def _evaluated(self) -> dict[str, Any]:
        function: Any = self._function
        for name, text in [*super().items()]:
            if isinstance(text, str):
                # The texts come from our own template, not from the workflow.
                super().__setitem__(name, eval(text, function.__globals__, _Names()))
        plain = dict(super().items())
        function.__annotations__ = plain
        return plain

    def __getitem__(self, name: str) -> Any:
        return self._evaluated()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._evaluated())

    def keys(self) -> Any:
        """Return the names of the parameters, and `return`."""
        return self._evaluated().keys()

    def values(self) -> Any:
        """Return the types."""
        return self._evaluated().values()

    def items(self) -> Any:
        """Return the names with their types."""
        return self._evaluated().items()

    def get(self, name: str, default: Any = None) -> Any:
        """Return the type of a parameter."""
        return self._evaluated().get(name, default)

    def copy(self) -> dict[str, Any]:
        """Return the names with their types as a dict of their own."""
        return dict(self._evaluated())
