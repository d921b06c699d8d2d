"""What programs and notebooks read off generated code: signatures and type hints, made when somebody asks.

A generated module names the types of its functions in texts, because importing them would take longer than importing
everything else. `typing.get_type_hints`, `inspect.signature(…, eval_str=True)`, and the tools that build on them (typer,
`pydantic.validate_call`, FastAPI, MCP servers), get the real types all the same.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import Signature
from typing import Any


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


def _evaluating(name: str) -> Any:
    """Return the method of `dict` with that name, for `_Hints`."""
    return lambda self, *args: getattr(self._evaluated(), name)(*args)


class _Hints(dict[str, Any]):
    """Annotations of one function, evaluated when they are first read."""

    def __init__(self, function: Callable[..., object]) -> None:
        super().__init__(function.__annotations__)
        self._function = function

    def _evaluated(self) -> dict[str, Any]:
        from invokeai_gen.core.class_signatures import evaluated

        self._function.__annotations__ = found = evaluated(self._function, dict(super().items()))
        return found

    __getitem__ = _evaluating("__getitem__")
    __iter__ = _evaluating("__iter__")
    keys = _evaluating("keys")
    values = _evaluating("values")
    items = _evaluating("items")
    get = _evaluating("get")
    copy = _evaluating("copy")
