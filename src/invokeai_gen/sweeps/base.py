"""`BaseSweep`: what is known of a sweep without waiting, the same for `AsyncSweep` and `Sweep`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Generic, NoReturn, TypeVar

from invokeai_gen.core.params import WorkflowParams
from invokeai_gen.runtime.outputs import WorkflowOutputs
from invokeai_gen.sweeps.results import SweepCounts
from invokeai_gen.sweeps.state import SweepState

P = TypeVar("P", bound=WorkflowParams)
O = TypeVar("O", bound=WorkflowOutputs)


class BaseSweep(Generic[P, O]):
    """The items of a sweep and their statuses, as far as they are known."""

    def __init__(self, state: SweepState) -> None:
        self.plan = state.layout.plan
        """The plan of the workflow."""
        self._state = state

    def __repr__(self) -> str:
        counts = self.counts
        return f"{type(self).__name__}({self.plan.info.name!r}, {counts.finished} of {counts.total} ended)"

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a sweep cannot be pickled or copied: start it with file=, and continue with resume_sweep(file)"
        )

    def _repr_html_(self) -> str:
        """Return how far the sweep is, for a notebook."""
        from invokeai_gen.core import notebook

        rows = {name: str(count) for name, count in asdict(self.counts).items() if count}
        return notebook.card(f"{self.plan.info.name}, {self.counts.finished} of {self.total} ended", rows)

    def __len__(self) -> int:
        return self.total

    @property
    def total(self) -> int:
        """The number of queue items."""
        return len(self._state.layout)

    @property
    def counts(self) -> SweepCounts:
        """How many items have each status, as far as is known; no request is sent."""
        return SweepCounts.of(self._state.tally.statuses)

    @property
    def is_done(self) -> bool:
        """Whether every item is known to have ended."""
        return self._state.tally.all_ended

    @property
    def varying(self) -> tuple[str, ...]:
        """The inputs whose values change, by Python name."""
        return self._state.layout.space.names

    def params(self, index: int) -> P:
        """Return the values of an item; a batch of the workflow holds only the item's own value."""
        params: P = self._state.layout.params(index)
        return params
