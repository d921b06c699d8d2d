"""The outcome of deleting things on a server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from invokeai_gen.server.run_errors import CleanupError


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """The outcome of deleting things: names or ids, and a reason for each that is still there."""

    deleted: tuple[str, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict)
    """Could not be deleted, with the reason."""
    kept: Mapping[str, str] = field(default_factory=dict)
    """Left alone on purpose, with the reason, such as an image that another run made."""

    def raise_for_failures(self) -> Self:
        """Raise `CleanupError`, which lists what is left, if something could not be deleted; otherwise return this."""
        if self.failed:
            raise CleanupError(self.deleted, self.failed)
        return self

    def __add__(self, other: Removal) -> Removal:
        return Removal(
            deleted=self.deleted + other.deleted,
            failed={**self.failed, **other.failed},
            kept={**self.kept, **other.kept},
        )
