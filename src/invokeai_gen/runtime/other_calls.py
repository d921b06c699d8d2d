"""What can be done with a workflow besides one run: run a batch, submit, look at the request, resume a job."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Generic, Unpack

from invokeai_gen.core.plan import JsonValue
from invokeai_gen.runtime.async_job import AsyncJob
from invokeai_gen.runtime.job import Job
from invokeai_gen.runtime.options import RunOptions, SubmitOptions
from invokeai_gen.runtime.runner import AnyClient, O, P, Runner
from invokeai_gen.server import background
from invokeai_gen.server.constants import CLEANUP_TIMEOUT

if TYPE_CHECKING:
    from invokeai_gen.server.blocking import ServerClient
    from invokeai_gen.server.client import AsyncInvokeAIClient


class OtherCalls(Generic[P, O]):
    """What `RunnableWorkflow` can do besides one run."""

    if TYPE_CHECKING:
        load: Callable[[], Runner[P, O]]
        aload: Callable[[], Coroutine[Any, Any, Runner[P, O]]]

    def run_all(
        self,
        params: P,
        *,
        client: ServerClient | None = None,
        timeout: float | None = None,
        **options: Unpack[RunOptions],
    ) -> list[O]:
        """Like `run`, for batch nodes and several runs: return the outputs of every queue item, in order."""
        return background.run(self.load().run_all(params, client, timeout, options))

    async def arun_all(
        self, params: P, *, client: AnyClient | None = None, timeout: float | None = None, **options: Unpack[RunOptions]
    ) -> list[O]:
        """Async version of `run_all`."""
        return await (await self.aload()).run_all(params, client, timeout, options)

    def submit(self, params: P, *, client: ServerClient | None = None, **options: Unpack[SubmitOptions]) -> Job[O]:
        """Put the workflow into the queue and return a job without waiting. Raise what `run` raises before it waits."""
        self.load()
        return Job(background.run(self.asubmit(params, client=client, **options), undo=_take_back))

    async def asubmit(
        self, params: P, *, client: AnyClient | None = None, **options: Unpack[SubmitOptions]
    ) -> AsyncJob[O]:
        """Async version of `submit`."""
        return AsyncJob.of(await (await self.aload()).start(params, client, options))

    def request(
        self, params: P, client: ServerClient | None = None, **options: Unpack[SubmitOptions]
    ) -> dict[str, JsonValue]:
        """Return the JSON body that `submit` would POST to `/api/v1/queue/{queue_id}/enqueue_batch`, without sending it.

        Nothing is uploaded or created: a file stands in it as `<upload of in.png>`, and a board that `create_boards`
        would create as `<board Cats>`. With a `client`, models and boards are looked up on that server, and it is asked
        for the lists of generator nodes. Without one they have placeholders, too, such as `<model dreamshaper>`.

        Raises `ParamsError` for values that cannot be sent; with a `client`, also `ValueResolutionError`.
        """
        from invokeai_gen.runtime.preview import preview

        return background.run(preview(self.load(), params, client, options))

    def resume(self, item_id: int, *, client: ServerClient | None = None) -> Job[O]:
        """Return the job of a queue item of this workflow that was submitted before, perhaps by another process."""
        runner = self.load()
        return Job.resume(client, item_id, plan=runner.plan, outputs=runner.outputs)

    async def aresume(self, item_id: int, *, client: AsyncInvokeAIClient | ServerClient | None = None) -> AsyncJob[O]:
        """Async version of `resume`."""
        runner = await self.aload()
        return await AsyncJob.resume(client, item_id, plan=runner.plan, outputs=runner.outputs)


async def _take_back(job: AsyncJob[Any]) -> None:
    """Cancel a job that nobody has, because an interrupt came together with it, and delete what was uploaded for it."""
    async with job:
        pass
    await job.clean_up(("boards", "inputs"), timeout=CLEANUP_TIMEOUT)
