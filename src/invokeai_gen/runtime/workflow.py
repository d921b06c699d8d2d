"""`RunnableWorkflow`: a plan that can be run; behind `run`, `arun`, `submit` and `asubmit` of a generated module.

Importing a generated module imports this one, so whatever only a run needs is loaded by the first run.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Generic, Self, TypeVar, Unpack

from invokeai_gen.core.params import WorkflowParams
from invokeai_gen.errors import InvokeAIGenError
from invokeai_gen.runtime.outputs import WorkflowOutputs
from invokeai_gen.server import background
from invokeai_gen.server.client import AsyncInvokeAIClient, ServerClient, core_of

if TYPE_CHECKING:
    from invokeai_gen.core.plan import JsonValue, WorkflowPlan
    from invokeai_gen.runtime.async_job import AsyncJob
    from invokeai_gen.runtime.job import Job
    from invokeai_gen.runtime.options import RunOptions, SubmitOptions
    from invokeai_gen.runtime.runner import Runner

P = TypeVar("P", bound=WorkflowParams)
O = TypeVar("O", bound=WorkflowOutputs)


class PlanFileError(InvokeAIGenError):
    """The file with a generated module's plan is missing, or no plan that this version can execute."""


class RunnableWorkflow(Generic[P, O]):
    """One workflow with its plan, its class of parameters and its class of outputs: what a single run needs."""

    def __init__(self, plan: WorkflowPlan, *, params: type[P], outputs: type[O]) -> None:
        self._plan: WorkflowPlan | None = plan
        self._path: Path | None = None
        self.params_type = params
        self.outputs_type = outputs
        params.__plan__ = lambda: plan

    @classmethod
    def beside(cls, module_file: str, *, params: type[P], outputs: type[O]) -> Self:
        """The workflow whose plan is the JSON file beside a module, with the same stem; it is read on first use."""
        made = cls.__new__(cls)
        made._plan, made._path = None, Path(module_file).with_suffix(".json")
        made.params_type, made.outputs_type = params, outputs
        params.__plan__ = lambda: made.plan
        return made

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._plan.info.name if self._plan else str(self._path)!r})"

    @property
    def plan(self) -> WorkflowPlan:
        """Everything that is known of the workflow. Raises `PlanFileError` where its file cannot be used."""
        if self._plan is None:
            assert self._path is not None
            self._plan = read_plan(self._path)
        return self._plan

    def run(
        self,
        params: P,
        *,
        client: ServerClient | None = None,
        timeout: float | None = None,
        **options: Unpack[RunOptions],
    ) -> O:
        """Submits the workflow, waits until it is done, and returns its outputs.

        `client` is by default one that is shared by all (`INVOKEAI_URL`, else http://localhost:9090); `timeout` is in
        seconds, for all of that together, without it there is no limit. Raises `ValueResolutionError`, `EnqueueError`,
        `JobFailedError`, `JobCanceledError`, `JobTimeoutError`, `ConnectionFailedError`, and `SeveralItemsError` for a
        batch, which is not submitted then: use `run_all`.
        """
        return background.run(self._run_one(params, core_of(client), timeout, options))

    async def arun(
        self,
        params: P,
        *,
        client: AsyncInvokeAIClient | ServerClient | None = None,
        timeout: float | None = None,
        **options: Unpack[RunOptions],
    ) -> O:
        """Like `run`, to be awaited."""
        return await self._run_one(params, core_of(client), timeout, options)

    def run_all(
        self,
        params: P,
        *,
        client: ServerClient | None = None,
        timeout: float | None = None,
        **options: Unpack[RunOptions],
    ) -> list[O]:
        """Like `run`, for batch nodes and several runs: the outputs of every queue item, in order."""
        return background.run(self._run_all(params, core_of(client), timeout, options))

    async def arun_all(
        self,
        params: P,
        *,
        client: AsyncInvokeAIClient | ServerClient | None = None,
        timeout: float | None = None,
        **options: Unpack[RunOptions],
    ) -> list[O]:
        """Like `run_all`, to be awaited."""
        return await self._run_all(params, core_of(client), timeout, options)

    def submit(self, params: P, *, client: ServerClient | None = None, **options: Unpack[SubmitOptions]) -> Job[O]:
        """Submits the workflow and returns at once, with a job to follow. Raises what `run` raises before it waits."""
        from invokeai_gen.runtime.job import Job

        return Job(background.run(self._submit(params, core_of(client), options)))

    async def asubmit(
        self,
        params: P,
        *,
        client: AsyncInvokeAIClient | ServerClient | None = None,
        **options: Unpack[SubmitOptions],
    ) -> AsyncJob[O]:
        """Like `submit`, to be awaited."""
        return await self._submit(params, core_of(client), options)

    def request(
        self, params: P, client: ServerClient | None = None, **options: Unpack[SubmitOptions]
    ) -> dict[str, JsonValue]:
        """Return the JSON body that `submit` would POST to `/api/v1/queue/{queue_id}/enqueue_batch`, without sending it.

        Nothing is uploaded or created: a file stands in it as `<upload of in.png>`, and a board that `create_boards`
        would create as `<board Cats>`. With a `client`, models and boards are looked up on that server, and it is asked
        for the lists of generator nodes. Without one they have placeholders, too, such as `<model dreamshaper>`.

        Raises `ParamsError` for values that cannot be sent; with a `client`, also `ValueResolutionError`.
        """
        return background.run(self._request(params, core_of(client) if client is not None else None, options))

    def resume(self, item_id: int, *, client: ServerClient | None = None) -> Job[O]:
        """The job of a queue item of this workflow that was submitted before, perhaps by another process."""
        from invokeai_gen.runtime.job import Job

        return Job.resume(client, item_id, plan=self.plan, outputs=self.outputs_type)

    async def aresume(self, item_id: int, *, client: AsyncInvokeAIClient | ServerClient | None = None) -> AsyncJob[O]:
        """Like `resume`, to be awaited."""
        from invokeai_gen.runtime.async_job import AsyncJob

        return await AsyncJob.resume(client, item_id, plan=self.plan, outputs=self.outputs_type)

    async def _run_one(self, params: P, client: AsyncInvokeAIClient, timeout: float | None, options: RunOptions) -> O:
        return (await self._runner().run(params, client, timeout, options, only_one=True))[0]

    async def _run_all(
        self, params: P, client: AsyncInvokeAIClient, timeout: float | None, options: RunOptions
    ) -> list[O]:
        return await self._runner().run(params, client, timeout, options, only_one=False)

    async def _submit(self, params: P, client: AsyncInvokeAIClient, options: SubmitOptions) -> AsyncJob[O]:
        return await self._runner().submit(params, client, options)

    async def _request(
        self, params: P, client: AsyncInvokeAIClient | None, options: SubmitOptions
    ) -> dict[str, JsonValue]:
        from invokeai_gen.runtime.preview import preview

        return await preview(self._runner(), params, client, options)

    def _runner(self) -> Runner[O]:
        from invokeai_gen.runtime.runner import Runner

        return Runner(self.plan, self.params_type, self.outputs_type)


def read_plan(path: Path) -> WorkflowPlan:
    """The plan in a file that the generator wrote. Raises `PlanFileError` with what to do about it."""
    import json

    from invokeai_gen.core.plan import WorkflowPlan

    try:
        return WorkflowPlan.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise PlanFileError(
            f"{path} is missing: it belongs to {path.with_suffix('.py').name} and holds its workflow. "
            "Generate the module again, or bring both files along when you move it."
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PlanFileError(f"{path} is not the plan of a workflow that this version can run: {error}") from error
