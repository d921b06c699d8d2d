"""`RunnableWorkflow`: a plan that can be run; behind `run`, `arun`, `submit` and `asubmit` of a generated module.

Importing a generated module imports this one, so everything that only a run needs is loaded by the first run.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, Generic, Self, TypeVar, Unpack

from invokeai_gen.core.params import WorkflowParams
from invokeai_gen.errors import InvokeAIGenError
from invokeai_gen.loading import load
from invokeai_gen.runtime.outputs import WorkflowOutputs
from invokeai_gen.server import background
from invokeai_gen.server.background import in_thread

if TYPE_CHECKING:
    from invokeai_gen.core.plan import JsonValue, WorkflowPlan
    from invokeai_gen.runtime.async_job import AsyncJob
    from invokeai_gen.runtime.job import Job
    from invokeai_gen.runtime.options import RunOptions, SubmitOptions
    from invokeai_gen.runtime.runner import Runner
    from invokeai_gen.server.blocking import ServerClient
    from invokeai_gen.server.client import AsyncInvokeAIClient

    AnyClient = AsyncInvokeAIClient | ServerClient

P = TypeVar("P", bound=WorkflowParams)
O = TypeVar("O", bound=WorkflowOutputs)
_FULL_JOB: Final = "invokeai_gen.runtime.async_job"


class PlanFileError(InvokeAIGenError):
    """The plan file of a generated module is missing, or this version cannot execute it."""


class RunnableWorkflow(Generic[P, O]):
    """One workflow with its plan, its class of parameters and its class of outputs, to be run and submitted."""

    def __init__(self, plan: WorkflowPlan | Path, *, params: type[P], outputs: type[O]) -> None:
        self._plan = plan
        """The plan, or the file that has it until it is first used."""
        self._runner: Runner[P, O] | None = None
        self.params_type = params
        self.outputs_type = outputs
        params.__plan__ = lambda: self.plan

    @classmethod
    def beside(cls, module_file: str, *, params: type[P], outputs: type[O]) -> Self:
        """Return the workflow whose plan is the JSON file beside a module, with the same stem. It is read on first use."""
        return cls(Path(module_file).with_suffix(".json"), params=params, outputs=outputs)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._plan) if isinstance(self._plan, Path) else self._plan.info.name!r})"

    @property
    def plan(self) -> WorkflowPlan:
        """The compiled workflow. Reads its file on first use; raises `PlanFileError` if that cannot be used."""
        plan = self._plan
        if isinstance(plan, Path):
            path, plan = plan, read_plan(plan)
            if {item.binding for item in self.params_type.inputs()} != {item.binding for item in plan.inputs}:
                raise PlanFileError(
                    f"{path} and {path.with_suffix('.py').name} are from different generations: "
                    "their inputs differ. Generate the module again."
                )
            self._plan = plan
        return plan

    def run(
        self,
        params: P,
        *,
        client: ServerClient | None = None,
        timeout: float | None = None,
        **options: Unpack[RunOptions],
    ) -> O:
        """Run the workflow once, wait for it, and return its outputs.

        Without a `client`, the one that the whole process shares is used (`INVOKEAI_URL`, else
        http://localhost:9090). `timeout` limits uploads, queue, execution and clean-up together, in seconds;
        the default is no limit.

        Raises `ValueResolutionError` for models, images and boards that the server does not have, `EnqueueError`,
        `JobFailedError`, `JobCanceledError`, `JobTimeoutError` and `ConnectionFailedError`. Raises `SeveralItemsError`
        for a batch, before it is submitted: use `run_all`.
        """
        return background.run(self.load().run(params, client, timeout, options))

    async def arun(
        self, params: P, *, client: AnyClient | None = None, timeout: float | None = None, **options: Unpack[RunOptions]
    ) -> O:
        """Async version of `run`."""
        return await (await self.aload()).run(params, client, timeout, options)

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
        from invokeai_gen.runtime.job import Job

        submitting = self.asubmit(params, client=client, **options)
        return Job(background.run(submitting, undo=lambda job: job._take_back()))

    async def asubmit(
        self, params: P, *, client: AnyClient | None = None, **options: Unpack[SubmitOptions]
    ) -> AsyncJob[O]:
        """Async version of `submit`."""
        runner, jobs = await self.aload(), await load(_FULL_JOB)  # before anything is sent
        job: AsyncJob[O] = jobs.AsyncJob.of(await runner.start(params, client, options))
        return job

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
        from invokeai_gen.runtime.job import Job

        runner = self.load()
        return Job.resume(client, item_id, plan=runner.plan, outputs=runner.outputs)

    async def aresume(self, item_id: int, *, client: AnyClient | None = None) -> AsyncJob[O]:
        """Async version of `resume`."""
        runner, jobs = await self.aload(), await load(_FULL_JOB)
        job: AsyncJob[O] = await jobs.AsyncJob.resume(client, item_id, plan=runner.plan, outputs=runner.outputs)
        return job

    def load(self) -> Runner[P, O]:
        """Read the plan file and import everything that a run needs. Takes time only on the first call."""
        if self._runner is None:
            from invokeai_gen.runtime.runner import Runner
            from invokeai_gen.server.client import preload

            preload()
            self._runner = Runner(self.plan, self.params_type, self.outputs_type)
        return self._runner

    async def aload(self) -> Runner[P, O]:
        """Async version of `load`: the first call works in a thread, so that it does not block the event loop."""
        return await in_thread(self.load) if self._runner is None else self._runner


def read_plan(path: Path) -> WorkflowPlan:
    """Return the plan in a file that the generator wrote. Raise `PlanFileError`, which says what to do about it."""
    from invokeai_gen.core.plan import PlanFormatError, WorkflowPlan

    try:
        return WorkflowPlan.from_json(path.read_bytes())
    except FileNotFoundError:
        raise PlanFileError(
            f"{path} is missing: it belongs to {path.with_suffix('.py').name} and holds its workflow. "
            "Generate the module again, or move both files together."
        ) from None
    except (OSError, PlanFormatError) as error:
        raise PlanFileError(f"{path} is not a plan that this version can run: {error}; generate again") from error
