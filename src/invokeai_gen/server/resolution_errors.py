"""Values that do not exist on a server: models, boards, images and videos."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Self

from invokeai_gen.server.errors import ServerError

MAX_LINES: Final = 20
"""How many values that cannot be used a message lists."""


class ValueResolutionError(ServerError, ValueError):
    """A value for an input does not exist on this server, or cannot be understood. Names the input's label.

    If several inputs have such a value, this is the error of the first one, its message lists all, and `others` has the
    rest.
    """

    def __init__(self, label: str, problem: str, candidates: Sequence[str] = ()) -> None:
        self.label = label
        self.candidates = tuple(candidates)
        """What could have been given instead, best first."""
        self.others: tuple[ValueResolutionError, ...] = ()
        """The errors of the other inputs, in the order of the form."""
        if self.candidates:
            shown = ", ".join(self.candidates[:10])
            more = f", … ({len(self.candidates)} in all)" if len(self.candidates) > 10 else ""
            problem += f" This server has: {shown}{more}."
        self.problem = problem
        """What is wrong with the value, and what could have been given instead; without the label."""
        self.own_message = f"{label!r}: {problem}"
        """The message about this input alone."""
        super().__init__(self.own_message)

    def with_others(self, others: Sequence[ValueResolutionError]) -> Self:
        """Return this error, with the errors of the other inputs added to its message and `others`."""
        errors: list[ValueResolutionError] = [self, *others]
        found = {id(each): each for error in errors for each in (error, *error.others)}
        found.pop(id(self), None)  # two inputs can have the same wrong value, which is looked up once
        lines = list(dict.fromkeys(each.own_message for each in [errors[0], *found.values()]))
        if len(lines) > MAX_LINES:
            lines = [*lines[:MAX_LINES], f"… and {len(lines) - MAX_LINES} more"]
        self.others, self.args = tuple(found.values()), ("\n".join(lines),)
        return self


class ModelResolutionError(ValueResolutionError):
    """No model, or more than one, fits what was given."""


class BoardResolutionError(ValueResolutionError):
    """No board, or more than one, has that name."""


class MediaResolutionError(ValueResolutionError):
    """An image or a video that is neither a file nor on the server."""
