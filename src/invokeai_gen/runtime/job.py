"""A submitted workflow as `Job`: what `AsyncJob` does, to be called without `await`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, overload

from invokeai_gen.runtime.async_job import AsyncJob, StreamedOutput
from invokeai_gen.runtime.cleanup import Uploads
from invokeai_gen.runtime.outputs import WorkflowOutputs
from invokeai_gen.server import background
from invokeai_gen.server.background import facade, iterate
from invokeai_gen.server.client import AsyncInvokeAIClient, ServerClient
from invokeai_gen.server.errors import JobError
from invokeai_gen.server.events import JobEvent

if TYPE_CHECKING:
    from invokeai_gen.core.plan import WorkflowPlan

O_co = TypeVar("O_co", bound=WorkflowOutputs, covariant=True)
A = TypeVar("A", bound=WorkflowOutputs)


class Job(Generic[O_co]):
    """One submitted workflow: one queue item, or several where it has batch nodes or was to run several times."""

    def __init__(self, core: AsyncJob[O_co]) -> None:
        self._core = core

    def __repr__(self) -> str:
        return repr(self._core).replace("AsyncJob", "Job", 1)

    @overload
    @classmethod
    def resume(
        cls,
        client: ServerClient | AsyncInvokeAIClient | None,
        item_id: int,
        *,
        plan: WorkflowPlan | None = None,
    ) -> Job[WorkflowOutputs]: ...

    @overload
    @classmethod
    def resume(
        cls,
        client: ServerClient | AsyncInvokeAIClient | None,
        item_id: int,
        *,
        plan: WorkflowPlan | None = None,
        outputs: type[A],
    ) -> Job[A]: ...

    @classmethod
    def resume(
        cls,
        client: ServerClient | AsyncInvokeAIClient | None,
        item_id: int,
        *,
        plan: WorkflowPlan | None = None,
        outputs: type[Any] = WorkflowOutputs,
    ) -> Job[Any]:
        """The job of a queue item that was submitted before, perhaps by another process.

        Without a `plan` its outputs have no names, but `images` and `by_node`. Raises `NotFoundError`.
        """
        return Job(background.run(AsyncJob.resume(client, item_id, plan=plan, outputs=outputs)))

    @property
    def plan(self) -> WorkflowPlan | None:
        """The plan of the workflow; `None` for a job that was resumed without it."""
        return self._core.plan

    @property
    def uploads(self) -> Uploads:
        """What was uploaded as the inputs of this job, and is still there."""
        return self._core.uploads

    @property
    def batch_id(self) -> str:
        """Id of the batch, chosen by this client."""
        return self._core.batch_id

    @property
    def item_ids(self) -> tuple[int, ...]:
        """Ids of the queue items, in the order in which they run."""
        return self._core.item_ids

    @property
    def item_id(self) -> int:
        """Id of the only queue item. Raises `SeveralItemsError` where there are several."""
        return self._core.item_id

    @property
    def last_status(self) -> str:
        """The status as far as it is known here, without asking the server; see `status`."""
        return self._core.last_status

    @property
    def is_done(self) -> bool:
        """Whether every item is known to have ended."""
        return self._core.is_done

    def events(self) -> Iterator[JobEvent]:
        """Everything that happens to the items, until they have ended; begins with what has happened so far."""
        return iterate(self._core.events())

    def stream_outputs(self, *, debug: bool = False) -> Iterator[StreamedOutput]:
        """Each output as soon as its node has finished; `debug` adds the intermediate images."""
        return iterate(self._core.stream_outputs(debug=debug))

    def outputs(self) -> O_co:
        """The outputs of the only item, once it is completed; waits for that.

        Raises `JobFailedError`, `JobCanceledError`, `UnknownStatusError`, and `SeveralItemsError` for a batch.
        """
        return background.run(self._core.outputs())

    def all_outputs(self) -> list[O_co]:
        """The outputs of every item in the order in which they ran; waits for all of them.

        Raises the error of the first item that did not complete; `results` gives what the others have.
        """
        return background.run(self._core.all_outputs())

    def results(self) -> list[O_co | JobError]:
        """The outputs of every item, or the error of one that did not complete, in the order in which they ran."""
        return background.run(self._core.results())

    status = facade(AsyncJob.status)
    wait = facade(AsyncJob.wait)
    items = facade(AsyncJob.items)
    timings = facade(AsyncJob.timings)
    position = facade(AsyncJob.position)
    cancel = facade(AsyncJob.cancel)
    cleanup_inputs = facade(AsyncJob.cleanup_inputs)
    cleanup_outputs = facade(AsyncJob.cleanup_outputs)
    cleanup_boards = facade(AsyncJob.cleanup_boards)
    cleanup_queue_items = facade(AsyncJob.cleanup_queue_items)
    clean_up = facade(AsyncJob.clean_up)
    close = facade(AsyncJob.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        background.run(self._core.__aexit__(*exc_info))
