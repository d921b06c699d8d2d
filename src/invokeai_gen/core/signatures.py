"""What programs and notebooks read off generated code: signatures and type hints, made when somebody asks.

A generated module names the types of its functions in texts, because importing them would take longer than importing
everything else. `typing.get_type_hints`, `inspect.signature(…, eval_str=True)`, and the tools that build on them (typer,
`pydantic.validate_call`, FastAPI, MCP servers), get the real types all the same.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from inspect import Signature
from typing import Any

from invokeai_gen.public_names import HOME_OF


def lazy_hints(*functions: Callable[..., object]) -> None:
    """Let the annotations of functions in a generated module become types when they are first read."""
    for function in functions:
        function.__annotations__ = _Hints(function)


class ClassSignature:
    """The signature of a `Params`: each input with its plain type and its default, without limits and bindings."""

    def __get__(self, instance: object, owner: type) -> Signature | None:
        if "__dataclass_fields__" not in vars(owner):
            return None
        from invokeai_gen.core.class_signatures import signature_of

        return signature_of(owner)


class _Names(dict[str, Any]):
    """The names in annotations that a generated module imports for type checkers alone."""

    def __missing__(self, name: str) -> Any:
        import invokeai_gen

        if name in HOME_OF:
            return getattr(invokeai_gen, name)
        known = {"Iterable": Iterable, "PathLike": os.PathLike, "Values": Mapping[str, Iterable[Any]]}
        return known[name]


def _evaluating(name: str) -> Any:
    """Return the method of `dict` with that name, for `_Hints`."""
    return lambda self, *args: getattr(self._evaluated(), name)(*args)


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

    __getitem__ = _evaluating("__getitem__")
    __iter__ = _evaluating("__iter__")
    keys = _evaluating("keys")
    values = _evaluating("values")
    items = _evaluating("items")
    get = _evaluating("get")
    copy = _evaluating("copy")
