"""A submitted workflow as `Job`: the blocking version of `AsyncJob`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, Self, TypeVar

from invokeai_gen.runtime.async_job import AsyncJob
from invokeai_gen.runtime.outputs import WorkflowOutputs
from invokeai_gen.server import background
from invokeai_gen.server.blocking import ServerClient
from invokeai_gen.server.client import AsyncInvokeAIClient
from invokeai_gen.server.errors import JobError
from invokeai_gen.server.facades import facade, iterating
from invokeai_gen.server.uploads import Uploads

if TYPE_CHECKING:
    from typing_extensions import TypeVar as TypeVarWithDefault

    from invokeai_gen.core.plan import WorkflowPlan

    A = TypeVarWithDefault("A", bound=WorkflowOutputs, default=WorkflowOutputs)

O_co = TypeVar("O_co", bound=WorkflowOutputs, covariant=True)


class Job(Generic[O_co]):
    """One submitted workflow: one queue item, or several for batch nodes and `runs`."""

    def __init__(self, core: AsyncJob[O_co]) -> None:
        self._core = core
        self.plan = core.plan
        """The plan of the workflow; `None` for a job that was resumed without it."""
        self.batch_id = core.batch_id
        """Id of the batch, chosen by this client."""
        self.item_ids = core.item_ids
        """Ids of the queue items, in the order in which they run."""

    def __repr__(self) -> str:
        return repr(self._core).replace("AsyncJob", "Job", 1)

    def _repr_html_(self) -> str:
        """Return the status, the values and, once they are there, the pictures of this job, for a notebook."""
        done = self.results() if self.is_done else []
        return self._core._repr_html_() + "".join(
            each._repr_html_() for each in done if isinstance(each, WorkflowOutputs)
        )

    @classmethod
    def resume(
        cls,
        client: ServerClient | AsyncInvokeAIClient | None,
        item_id: int,
        *,
        plan: WorkflowPlan | None = None,
        outputs: type[A] = WorkflowOutputs,  # type: ignore[assignment]
    ) -> Job[A]:
        """Return the job of a queue item that was submitted before, perhaps by another process.

        Its `events` begin with what has happened so far. Without a `plan` its outputs have no names, only `images` and
        `by_node`. Raises `NotFoundError`.
        """
        return Job(background.run(AsyncJob.resume(client, item_id, plan=plan, outputs=outputs)))

    @property
    def client(self) -> ServerClient:
        """A client on the connections that it was submitted with."""
        return ServerClient.around(self._core.client)

    @property
    def uploads(self) -> Uploads:
        """The inputs of this job that were uploaded and not deleted since."""
        return self._core.uploads

    @property
    def item_id(self) -> int:
        """Id of the only queue item. Raises `SeveralItemsError` if there are several."""
        return self._core.item_id

    @property
    def last_status(self) -> str:
        """The last known status, without asking the server; see `status`."""
        return self._core.last_status

    @property
    def is_done(self) -> bool:
        """Whether every item is known to have ended."""
        return self._core.is_done

    def outputs(self, *, timeout: float | None = None) -> O_co:
        """Wait for the only item, and return its outputs.

        `timeout` is in seconds; after it, `JobTimeoutError` is raised and the item runs on. Raises `JobFailedError`,
        `JobCanceledError`, `UnknownStatusError`, and `SeveralItemsError` for a batch.
        """
        return background.run(self._core.outputs(timeout=timeout))

    def all_outputs(self, *, timeout: float | None = None) -> list[O_co]:
        """Wait for every item, and return the outputs of each, in the order in which they ran.

        `timeout` is as for `outputs`. Raises the error of the first item that did not complete; `results` returns what
        the others have.
        """
        return background.run(self._core.all_outputs(timeout=timeout))

    def results(self, *, timeout: float | None = None) -> list[O_co | JobError]:
        """Wait for every item, and return its outputs, or its error if it did not complete, in the order they ran."""
        return background.run(self._core.results(timeout=timeout))

    def add_done_callback(self, callback: Callable[[Self], object]) -> None:
        """Call a function with this job, in a thread, as soon as every item has ended or cannot be followed any more.

        It is not called after `close`. What it raises is logged.
        """
        self._core._when_done(lambda: background.loop().run_in_executor(None, callback, self))

    events = iterating(AsyncJob.events)
    stream_outputs = iterating(AsyncJob.stream_outputs)
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
