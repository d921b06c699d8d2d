"""The root of every error that invokeai-gen raises on purpose."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from invokeai_gen.texts import printable_lines


class InvokeAIGenError(Exception):
    """Root of all errors of this project; its text is meant for the person at the keyboard.

    Text of servers and workflow files may be part of it, so control characters are shown escaped (`\\x1b`), in notes
    too. A copy or a pickle keeps the text, all attributes and the notes, so an error raised in a worker process reaches
    its parent whole.
    """

    def __str__(self) -> str:
        return printable_lines(super().__str__())

    def add_note(self, note: str, /) -> None:
        """Add a note to the error, with control characters escaped."""
        super().add_note(printable_lines(note))

    def __reduce__(self) -> tuple[Any, ...]:
        # Without calling `__init__`, whose parameters differ from class to class.
        return _rebuilt, (type(self), self.args, _pickleable(self.__dict__))

    def __copy__(self) -> InvokeAIGenError:
        return _rebuilt(type(self), self.args, self.__dict__)


class MissingExtraError(InvokeAIGenError, ImportError):
    """An optional package is not installed; the message has the command that installs it."""

    def __init__(self, purpose: str, package: str, extra: str) -> None:
        super().__init__(f"{purpose} {package}: pip install 'invokeai-gen[{extra}]'")


def _rebuilt(kind: type[InvokeAIGenError], args: tuple[Any, ...], attributes: Mapping[str, Any]) -> InvokeAIGenError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(attributes)
    if "__notes__" in error.__dict__:
        error.__notes__ = list(error.__notes__)
    return error


def _pickleable(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes with a `repr` for each that cannot be pickled: an unpicklable error would hang a pool."""
    import pickle  # only a process that sends errors to another one needs it

    kept = {}
    for name, value in attributes.items():
        try:
            pickle.dumps(value)
            kept[name] = value
        except Exception:  # noqa: BLE001 - pickling calls code of any class
            kept[name] = repr(value)
    return kept
