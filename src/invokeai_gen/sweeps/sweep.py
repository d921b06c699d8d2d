"""`Sweep`: many runs of a workflow, followed and collected without `await`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Self

from invokeai_gen.runtime.workflow import O, P
from invokeai_gen.server import background
from invokeai_gen.server.facades import facade, iterate
from invokeai_gen.sweeps.async_sweep import AsyncSweep
from invokeai_gen.sweeps.results import SweepResult
from invokeai_gen.sweeps.state import BaseSweep


class Sweep(BaseSweep[P, O]):
    """Many runs of one workflow that have been submitted: `for result in sweep` yields each as it ends."""

    def __init__(self, core: AsyncSweep[P, O]) -> None:
        super().__init__(core._state)
        self._core = core

    def __iter__(self) -> Iterator[SweepResult[P, O]]:
        """Yield the result of each item as soon as it has ended; see `AsyncSweep.__aiter__`."""
        return iterate(self._core.__aiter__())

    results = facade(AsyncSweep[P, O].results)
    failures = facade(AsyncSweep[P, O].failures)
    wait = facade(AsyncSweep.wait)
    download = facade(AsyncSweep.download)
    contact_sheet = facade(AsyncSweep.contact_sheet)
    gallery = facade(AsyncSweep.gallery)
    cancel = facade(AsyncSweep.cancel)
    retry = facade(AsyncSweep.retry)
    add_server = facade(AsyncSweep.add_server)
    remove_server = facade(AsyncSweep.remove_server)
    cleanup_inputs = facade(AsyncSweep.cleanup_inputs)
    cleanup_outputs = facade(AsyncSweep.cleanup_outputs)
    cleanup_boards = facade(AsyncSweep.cleanup_boards)
    cleanup_queue_items = facade(AsyncSweep.cleanup_queue_items)
    close = facade(AsyncSweep.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        background.run(self._core.__aexit__(*exc_info))
