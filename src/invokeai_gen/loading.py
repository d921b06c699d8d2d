"""Modules that are loaded when something in them is first used, so that a run loads little that it does not need."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator
from types import MethodType
from typing import TYPE_CHECKING, Any, TypeVar

T = TypeVar("T")


async def load(name: str) -> Any:
    """Return a module, imported in a thread unless it is loaded already, so that no event loop waits for its file."""
    if name not in sys.modules:
        import asyncio

        with contextlib.suppress(RuntimeError):  # Python shuts down, and starts no thread any more
            await asyncio.to_thread(importlib.import_module, name)
    return importlib.import_module(name)


@contextlib.contextmanager
def missing(*names: str) -> Iterator[None]:
    """Import as if these modules were not installed, inside the block: libraries that can do without them load faster."""
    absent: Any = None  # Python's way to say that a module cannot be imported
    added = [name for name in names if name not in sys.modules]
    for name in added:
        sys.modules[name] = absent
    try:
        yield
    finally:
        for name in added:
            sys.modules.pop(name, None)  # another thread may do the same


def later(module: str, owner: str, names: str) -> Callable[[type[T]], type[T]]:
    """Return a class decorator that adds attributes of the class `owner` of a module, which is loaded when one is used.

    Type checkers and editors see `owner` as a base of the decorated class instead. `names` has the attributes, separated
    by spaces. A method `ago` beside `go` is taken for its async version, and loads the module in a thread.
    """
    known = names.split()

    def add(cls: type[T]) -> type[T]:
        for name in known:
            setattr(cls, name, _Later(module, owner, name, is_async=name[:1] == "a" and name[1:] in known))
        return cls

    return add


class _Later:
    """One attribute of a class, which lives in a class of a module that may not be loaded yet."""

    def __init__(self, module: str, owner: str, name: str, *, is_async: bool) -> None:
        self._module = module
        self._owner = owner
        self._name = name
        self._is_async = is_async

    def __get__(self, instance: object, cls: type) -> Any:
        def method(module: Any) -> Any:
            return inspect.getattr_static(getattr(module, self._owner), self._name).__get__(instance, cls)

        if self._is_async and self._module not in sys.modules:
            return _AsyncMethod(self._module, method)
        return method(importlib.import_module(self._module))


class _AsyncMethod:
    """An async method whose module is not loaded yet: a call loads it in a thread, `help` and `inspect` at once."""

    def __init__(self, module: str, method: Callable[[Any], Any]) -> None:
        self._module = module
        self._method = method

    async def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        return await self._method(await load(self._module))(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._method(importlib.import_module(self._module)), name)

    if not TYPE_CHECKING:  # how `inspect` and `help` find out that it is a method, and read about it
        __doc__ = property(lambda self: self.__getattr__("__doc__"))
        __class__ = property(lambda self: MethodType)
