"""`record`: `dataclasses.dataclass` for plain data, at a quarter of what that costs when a module is imported.

A frozen dataclass compiles six methods. The dozens that a command loads took longer than anything else that it
imports. A record compiles only its `__init__`; the other methods are the same for all records. Type checkers see a
dataclass, so it is them who notice an assignment to a frozen record.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dataclasses import dataclass as record
else:
    from dataclasses import dataclass, fields
    from operator import attrgetter

    def record(*, frozen=False, slots=False, kw_only=False):
        """Return a decorator that makes a class a dataclass, which is hashable if it is `frozen`."""

        def decorate(cls):
            own = vars(cls)
            made = dataclass(eq=False, repr=False, slots=slots, kw_only=kw_only)(cls)
            made._compared = attrgetter(*(field.name for field in fields(made) if field.compare))
            for name, method in {"__repr__": _repr, "__eq__": _eq, "__hash__": _hash if frozen else None}.items():
                if name not in own:
                    setattr(made, name, method)
            return made

        return decorate

    def _repr(self):
        values = ", ".join(f"{field.name}={getattr(self, field.name)!r}" for field in fields(self) if field.repr)
        return f"{self.__class__.__qualname__}({values})"

    def _eq(self, other):
        if other.__class__ is not self.__class__:
            return NotImplemented
        return self is other or self._compared(self) == self._compared(other)

    def _hash(self):
        return hash(self._compared(self))


__all__ = ["record"]
