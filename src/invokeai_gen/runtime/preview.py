"""What can be done with a workflow besides running it: look at its request, and find jobs of before again."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Generic, Unpack

from invokeai_gen.core.batch import Values, batch_data, batch_items, own_batches, server_queries
from invokeai_gen.core.params import WorkflowParams
from invokeai_gen.core.placeholders import board_placeholder, is_created, placeholder, query_placeholder
from invokeai_gen.core.plan import JsonValue
from invokeai_gen.core.request import build_request
from invokeai_gen.runtime.async_job import AsyncJob
from invokeai_gen.runtime.called import renewed
from invokeai_gen.runtime.job import Job
from invokeai_gen.runtime.options import SubmitOptions
from invokeai_gen.runtime.resolve import resolve, resolve_board
from invokeai_gen.runtime.runner import AnyClient, O, P, Runner
from invokeai_gen.server import background
from invokeai_gen.server.client import AsyncInvokeAIClient, core_of

if TYPE_CHECKING:
    from invokeai_gen.server.blocking import ServerClient


class OtherCalls(Generic[P, O]):
    """What `RunnableWorkflow` can do besides running."""

    if TYPE_CHECKING:
        load: Callable[[], Runner[P, O]]
        aload: Callable[[], Coroutine[Any, Any, Runner[P, O]]]

    def request(
        self, params: P, client: ServerClient | None = None, **options: Unpack[SubmitOptions]
    ) -> dict[str, JsonValue]:
        """Return the JSON body that `submit` would POST to `/api/v1/queue/{queue_id}/enqueue_batch`, without sending it.

        Nothing is uploaded or created: a file stands in it as `<upload of in.png>`, and a board that `create_boards`
        would create as `<board Cats>`. With a `client`, models and boards are looked up on that server, and it is asked
        for the lists of generator nodes. Without one they have placeholders, too, such as `<model dreamshaper>`.

        Raises `ParamsError` for values that cannot be sent; with a `client`, also `ValueResolutionError`.
        """
        return background.run(_preview(self.load(), params, client, options))

    def resume(self, item_id: int, *, client: ServerClient | None = None) -> Job[O]:
        """Return the job of a queue item of this workflow that was submitted before, perhaps by another process."""
        runner = self.load()
        return Job.resume(client, item_id, plan=runner.plan, outputs=runner.outputs)

    async def aresume(self, item_id: int, *, client: AsyncInvokeAIClient | ServerClient | None = None) -> AsyncJob[O]:
        """Async version of `resume`."""
        runner = await self.aload()
        return await AsyncJob.resume(client, item_id, plan=runner.plan, outputs=runner.outputs)


async def _preview(
    runner: Runner[Any, Any], params: WorkflowParams, server: AnyClient | None, options: SubmitOptions
) -> dict[str, JsonValue]:
    client = core_of(server) if server is not None else None
    await runner.check(params, options)
    plan, given = runner.plan, params.values()
    inputs = {planned.binding: planned for planned in plan.inputs}
    looked_up: Values = {}
    auto_board = options.get("auto_board")
    if client is not None:
        creates_boards = options.get("create_boards", False)
        names = {
            binding: value
            for binding, value in given.items()
            if not is_created(inputs[binding], value, creates_boards=creates_boards)
        }
        looked_up, _ = await resolve(plan, names, client, resolve_models=options.get("resolve_models", "auto"))
        auto_board_id = await resolve_board(client, auto_board)
    else:
        auto_board_id = board_placeholder(auto_board)
    values: Values = {**{binding: placeholder(inputs[binding], value) for binding, value in given.items()}, **looked_up}
    if client is not None:
        plan = await renewed(plan, values, client)
    queries = server_queries(plan, values)
    if client is not None or not queries:
        data = await own_batches(plan, values, client.ask if client is not None else None)
    else:
        generated = {query.node_id: [query_placeholder(query)] for query in queries}
        data = batch_data(plan, values, batch_items(plan, values, generated))
    return build_request(
        plan,
        values,
        runs=options.get("runs", 1),
        auto_board_id=auto_board_id,
        data=data,
        prepend=options.get("prepend", False),
    )
