"""The root of every error that invokeai-gen raises on purpose."""

from __future__ import annotations

from typing import Any


class InvokeAIGenError(Exception):
    """Root of all errors of this project; its text is meant for the person at the keyboard.

    Text of servers and workflow files may be part of it, so control characters are shown escaped (`\\x1b`), in notes
    too. A copy or a pickle keeps the text, all attributes and the notes, so an error raised in a worker process reaches
    its parent whole.
    """

    def __str__(self) -> str:
        from invokeai_gen.texts import printable_lines

        return printable_lines(super().__str__())

    def add_note(self, note: str, /) -> None:
        """Add a note to the error, with control characters escaped."""
        from invokeai_gen.texts import printable_lines

        super().add_note(printable_lines(note))

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (type(self), self.args, {name: _pickleable(value) for name, value in vars(self).items()})

    def __copy__(self) -> InvokeAIGenError:
        return _rebuilt(type(self), self.args, vars(self))


def _rebuilt(kind: type[InvokeAIGenError], args: tuple[Any, ...], attributes: dict[str, Any]) -> InvokeAIGenError:
    """Return an error without calling `__init__`, whose parameters differ from class to class."""
    error = kind.__new__(kind)
    error.args = args
    vars(error).update(attributes)
    if "__notes__" in attributes:
        error.__notes__ = list(attributes["__notes__"])
    return error


def _pickleable(value: object) -> object:
    """Return a value, or its `repr` if it cannot be pickled: an unpicklable error would hang a pool."""
    import pickle

    try:
        pickle.dumps(value)
    except Exception:  # noqa: BLE001 - pickling calls code of any class
        return repr(value)
    return value


class MissingExtraError(InvokeAIGenError, ImportError):
    """An optional package is not installed; the message has the command that installs it.

    pip adds the extra to an invokeai-gen that is installed already, wherever that came from.
    """

    def __init__(self, purpose: str, package: str, extra: str) -> None:
        super().__init__(f"{purpose} {package}: pip install 'invokeai-gen[{extra}]'")
