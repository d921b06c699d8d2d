"""What a handle does with a server: submit, follow, fetch results, and clean up."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypedDict, Unpack, cast

from invokeai_gen.core.params import WorkflowParams
from invokeai_gen.core.pictures import DEFAULT_QUALITY, ImageFormat
from invokeai_gen.core.plan import JsonValue
from invokeai_gen.core.values import BoardRef, ImageRef
from invokeai_gen.handle.outputs import HandleOutputs, OutputMapping
from invokeai_gen.runtime.async_job import AsyncJob, StreamedOutput
from invokeai_gen.runtime.job import Job
from invokeai_gen.runtime.media import ImageOutput
from invokeai_gen.runtime.options import RunOptions, SubmitOptions, check_options, run_options
from invokeai_gen.server import background
from invokeai_gen.server.blocking import ServerClient
from invokeai_gen.server.client import AsyncInvokeAIClient, core_of
from invokeai_gen.server.errors import JobDeletedError, NotFoundError
from invokeai_gen.server.events import Callbacks, JobEvent
from invokeai_gen.server.facades import blocking
from invokeai_gen.server.records import QueueItem
from invokeai_gen.server.removal import Removal
from invokeai_gen.server.run_errors import NotCompletedError, SeveralItemsError
from invokeai_gen.server.status_watch import is_final
from invokeai_gen.server.transfers import save_file
from invokeai_gen.sweeps.options import SweepOptions
from invokeai_gen.sweeps.workflow import Workflow

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

    from invokeai_gen.sweeps.sweep import AsyncSweep, Sweep

POLL_INTERVAL: Final = 0.5


class FollowedSubmitOptions(SubmitOptions, Callbacks, total=False):
    """How a workflow is submitted, and what is called while it runs."""


class DownloadOptions(TypedDict, total=False):
    """How outputs are saved; everything is off by default."""

    include_metadata: bool
    """Put the server's metadata beside each file, as JSON."""
    include_debug: bool
    """Save intermediate images too."""
    skip_existing: bool
    """Do not look at files that exist, so that a second call continues where the first one stopped."""
    overwrite: bool
    """Replace files that exist with other content, which is an error otherwise."""


class WorkflowRuns(ABC):
    """The last submission of a workflow and its results; each submission replaces the one before.

    Some methods block and have a twin to await: `submit_sync` and `submit`, `cancel` and `cancel_async`.

    **Waiting.** `wait_for_completion_sync`, `wait_for_completion` and the streams wait for a run to end. If their
    `timeout` passes, they cancel the run, as `run()` of a generated module does; `cancel_on_timeout=False` lets it go
    on. Everything else that reads results raises `NotCompletedError` before the run has ended, and `JobFailedError`,
    `JobCanceledError` or `JobDeletedError` if it ended without results.

    **Batches.** A submission of several queue items (batch nodes, or `runs=3`) has no single result: methods for one
    item raise `SeveralItemsError`. Wait with `job.wait()`, and read `get_all_outputs()`.
    """

    def __init__(self, workflow: Workflow[WorkflowParams, HandleOutputs], client: ServerClient | None = None) -> None:
        self.client = client
        """The server; `None` for the shared client (`INVOKEAI_URL`, else http://localhost:9090)."""
        self.auto_cleanup_outputs = False
        """Whether `download_outputs` deletes the images of the run from the server once it has saved all of them."""
        self._workflow = workflow
        self._job: AsyncJob[HandleOutputs] | None = None
        self._following: asyncio.Task[str] | None = None

    @abstractmethod
    def params(self) -> WorkflowParams:
        """Return the values of the next submission. Raise `NotReadyError` or `ParamsError` if they cannot be sent."""

    @property
    def job(self) -> Job[HandleOutputs]:
        """The last submission. Raise `NotCompletedError` before the first one."""
        return Job(self._submitted())

    # -- submitting ---------------------------------------------------------------------------------------------------

    def submit_sync(
        self, *, board: BoardRef | str | None = None, **options: Unpack[SubmitOptions]
    ) -> Job[HandleOutputs]:
        """Enqueue the workflow with its present values, and return at once.

        Files are uploaded, and models and boards looked up, as by a generated module. `board` puts every result of
        this submission on one board, by name or id, regardless of the form; the values of the handle stay. Raise
        `NotReadyError` for a workflow that the GUI would not invoke, `ParamsError` for values that do not fit, and
        what `Workflow.submit` raises; `ValueResolutionError` lists every model, board and image that is missing.
        """
        params = self._params(board, options)
        self._job = self._workflow.submit(params, client=self.client, **options)._core
        self._following = None
        return self.job

    async def submit(
        self,
        *,
        subscribe_events: bool = True,
        board: BoardRef | str | None = None,
        **options: Unpack[FollowedSubmitOptions],
    ) -> AsyncJob[HandleOutputs]:
        """Async version of `submit_sync`, which can also call functions while the workflow runs.

        `on_status`, `on_invocation_started`, `on_invocation_progress`, `on_invocation_complete` and
        `on_invocation_error` are called on this event loop with each event of their kind, and awaited if they return
        an awaitable, unless `subscribe_events` is off. What one of them raises comes out of `wait_for_completion`.
        """
        check_options(options, ["subscribe_events", "board", *FollowedSubmitOptions.__annotations__])
        others, callbacks, _ = run_options(cast("RunOptions", options))
        params = self._params(board, others)
        job = await self._workflow.asubmit(params, client=self.client, **others)
        self._job, self._following = job, None
        if any(callbacks.values()) and subscribe_events:
            self._following = background.start(job.wait(**callbacks))  # goes on after the next submission, too
        return job

    def request(
        self,
        client: ServerClient | None = None,
        *,
        board: BoardRef | str | None = None,
        **options: Unpack[SubmitOptions],
    ) -> dict[str, JsonValue]:
        """Return the JSON body that `submit_sync` would POST, without sending it; see `RunnableWorkflow.request`.

        Without a `client` no request is made; it need not be the client of the handle. Raise `NotReadyError` and
        `ParamsError` as `submit_sync` does.
        """
        return self._workflow.request(self._params(board, options), client, **options)

    def sweep_sync(
        self,
        *,
        product: Mapping[str, object] | None = None,
        zip: Mapping[str, object] | None = None,
        **options: Unpack[SweepOptions],
    ) -> Sweep[WorkflowParams, HandleOutputs]:
        """Submit many runs that differ from the present values in the inputs named in `product` and `zip`.

        Inputs are named as in a generated module; see `Workflow.sweep`. A sweep does not become the `job` of the
        handle.
        """
        return self._workflow.sweep(self.params(), product=product, zip=zip, client=self.client, **options)

    async def sweep(
        self,
        *,
        product: Mapping[str, object] | None = None,
        zip: Mapping[str, object] | None = None,
        **options: Unpack[SweepOptions],
    ) -> AsyncSweep[WorkflowParams, HandleOutputs]:
        """Async version of `sweep_sync`."""
        return await self._workflow.asweep(self.params(), product=product, zip=zip, client=self.client, **options)

    async def submit_sync_monitor_async(self, **options: Unpack[SubmitOptions]) -> AsyncGenerator[JobEvent, None]:
        """Submit the workflow and yield its events, from the first to the last."""
        job = await self.submit(**options)
        async for event in job.events():
            yield event

    # -- following ----------------------------------------------------------------------------------------------------

    def wait_for_completion_sync(
        self,
        poll_interval: float = POLL_INTERVAL,
        timeout: float | None = None,
        progress_callback: Callable[[QueueItem], object] | None = None,
        *,
        cancel_on_timeout: bool = True,
    ) -> QueueItem:
        """Wait for the only queue item, and return it. Its end is known at once, without polling.

        `progress_callback` gets the queue item now, every `poll_interval` seconds, and at the end. `timeout` is in
        seconds; the default is no limit. Raise `JobTimeoutError`, after canceling the item unless `cancel_on_timeout`
        is off, `JobFailedError`, `JobCanceledError`, `NotCompletedError` before a submission, and `SeveralItemsError`.
        """
        job = self._single()
        waiting = asyncio.run_coroutine_threadsafe(
            job.wait(timeout, cancel_on_timeout=cancel_on_timeout), background.loop()
        )
        try:
            while progress_callback is not None:
                item = background.run(self.get_queue_item_async())
                progress_callback(item)
                if is_final(item.status):
                    break
                concurrent.futures.wait([waiting], timeout=poll_interval)
                if waiting.done():
                    waiting.result()
            waiting.result()
        finally:
            waiting.cancel()
        return self.get_outputs().queue_item

    async def wait_for_completion(self, timeout: float | None = None, *, cancel_on_timeout: bool = True) -> QueueItem:
        """Async version of `wait_for_completion_sync`; returns after the last callback of `submit`."""
        job = self._single()
        await job.wait(timeout, cancel_on_timeout=cancel_on_timeout)
        following, self._following = self._following, None
        if following is not None and following.get_loop() is asyncio.get_running_loop():
            await following
        return (await job.outputs()).queue_item

    async def get_queue_item_async(self) -> QueueItem:
        """Return the only queue item as the server has it now. Raise `NotCompletedError`, `SeveralItemsError`."""
        return (await self._single().items())[0]

    async def cancel_async(self) -> None:
        """Cancel what has not ended of the last submission; finished nodes keep their results."""
        await self._submitted().cancel()

    get_queue_item = blocking(get_queue_item_async)
    cancel = blocking(cancel_async)

    # -- results ------------------------------------------------------------------------------------------------------

    async def get_outputs_async(self) -> HandleOutputs:
        """Return the results of the only queue item. Raise `NotCompletedError` while it has not ended."""
        job = self._single()
        await _check_ended(job)
        return await job.outputs()

    async def get_all_outputs_async(self) -> list[HandleOutputs]:
        """Return the results of every queue item, in order, for batches and several runs."""
        job = self._submitted()
        await _check_ended(job)
        return await job.all_outputs()

    get_outputs = blocking(get_outputs_async)
    get_all_outputs = blocking(get_all_outputs_async)

    async def stream_outputs(self, *, debug: bool = False) -> AsyncGenerator[StreamedOutput, None]:
        """Yield each output of the last submission as soon as its node has finished; `debug` adds intermediate images."""
        async for output in self._submitted().stream_outputs(debug=debug):
            yield output

    def stream_outputs_sync(self, *, debug: bool = False) -> Iterator[StreamedOutput]:
        """Blocking version of `stream_outputs`."""
        return self.job.stream_outputs(debug=debug)

    def map_outputs_to_images(self, queue_item: QueueItem | None = None) -> list[OutputMapping]:
        """Return the images of each output, those with a board on the form first, intermediate ones last.

        `queue_item` is a completed run of this workflow; the default are all items of the last submission.
        """
        if queue_item is not None:
            return HandleOutputs(self._workflow.plan, queue_item, self._core()).map_images()
        return [mapping for outputs in self.get_all_outputs() for mapping in outputs.map_images()]

    def get_image_bytes(
        self, image: ImageRef | str, form: ImageFormat = "png", *, quality: int = DEFAULT_QUALITY
    ) -> bytes:
        """Return the file of an image on the server, converted if `form` is not `png` (that needs Pillow).

        `quality`, from 1 to 100, is for JPEG and WebP. Raise `NotFoundError`.
        """
        return self._image(image).as_format(form, quality=quality)

    def get_image_as_pil(self, image: ImageRef | str) -> PILImage:
        """Return an image on the server as a Pillow image. Raise `NotFoundError`, and `ImportError` without Pillow."""
        return self._image(image).pil()

    def download_image_raw(
        self, image: ImageRef | str, path: str | os.PathLike[str], *, overwrite: bool = False
    ) -> Path:
        """Save the server's own file of an image, a PNG, and return its path.

        `path` is a file, or a folder, in which the image keeps the server's name for it. A path without a suffix
        (`images`) is a folder, and missing folders are created. Raise `NotFoundError`, and `FileExistsError` if another
        file has that name, unless `overwrite`.
        """
        target, source = Path(path), self._image(image)
        if target.is_dir() or not target.suffix:
            return source.download(target, overwrite=overwrite)
        write = partial(self._core().images.download, source.name)
        return background.run(save_file(target, write, overwrite=overwrite))

    def download_outputs(self, output_dir: str | os.PathLike[str], **options: Unpack[DownloadOptions]) -> list[Path]:
        """Save the images and videos of all outputs in a folder, named after the outputs; return the files.

        A submission of several queue items gets a subfolder for each, named by its id. For the options see
        `DownloadOptions`. Raise `DownloadError`, which lists what is saved and what is not.
        """
        everything = self.get_all_outputs()
        saved: list[Path] = []
        for outputs in everything:
            folder = Path(output_dir) if len(everything) == 1 else Path(output_dir) / str(outputs.item_id)
            saved += outputs.download_outputs(folder, **options)
        if self.auto_cleanup_outputs:
            self.cleanup_outputs()
        return saved

    # -- cleaning up --------------------------------------------------------------------------------------------------

    def get_uploaded_assets(self) -> list[str]:
        """Return the names of the images and videos that the last submission uploaded and that are not deleted yet."""
        uploads = self._job.uploads if self._job is not None else None
        return [*uploads.images, *uploads.videos] if uploads is not None else []

    def has_uploaded_assets(self) -> bool:
        """Return whether the last submission uploaded anything that is not deleted yet."""
        return bool(self.get_uploaded_assets())

    def cleanup_inputs(self) -> Removal:
        """Delete the images and videos that the last submission uploaded."""
        return self.job.cleanup_inputs()

    def cleanup_outputs(self, *, delete_images: bool = True, delete_from_board: bool = False) -> Removal:
        """Delete the images that the last submission made; see `WorkflowOutputs.cleanup_outputs` for what is kept.

        `delete_images=False, delete_from_board=True` only takes them off their boards.
        """
        return self.job.cleanup_outputs(delete_images=delete_images, delete_from_board=delete_from_board)

    def cleanup_queue_items(self) -> Removal:
        """Remove the items of the last submission from the queue, canceling those that have not ended."""
        return self.job.cleanup_queue_items()

    def _submitted(self) -> AsyncJob[HandleOutputs]:
        if self._job is None:
            raise NotCompletedError("nothing was submitted yet: call submit_sync(), or await submit()")
        return self._job

    def _single(self) -> AsyncJob[HandleOutputs]:
        """Return the last submission if it has one item. Raise `NotCompletedError`, `SeveralItemsError`."""
        job = self._submitted()
        if len(job.item_ids) != 1:
            raise SeveralItemsError(
                len(job.item_ids),
                "wait with job.wait() and use get_all_outputs() (in a generated module: WORKFLOW.run_all()).",
            )
        return job

    def _params(self, board: BoardRef | str | None, options: SubmitOptions) -> WorkflowParams:
        """Return the values of a submission, with `board` in place of every board on the form."""
        params = self.params()
        if board is not None:
            options.setdefault("auto_board", board)
            for planned in self._workflow.plan.inputs:
                if planned.field_type == "BoardField" and planned.fed_by is None:
                    params[planned.index] = board
        return params

    def _core(self) -> AsyncInvokeAIClient:
        return core_of(self.client)

    def _image(self, image: ImageRef | str) -> ImageOutput:
        name = image.name if isinstance(image, ImageRef) else image
        return ImageOutput(name, client=self._core())


async def _check_ended(job: AsyncJob[HandleOutputs]) -> None:
    """Raise `NotCompletedError` if a queue item of the job has not ended, `JobDeletedError` if it is gone."""
    try:
        status = await job.status()
    except NotFoundError:
        raise JobDeletedError("the run is no longer in the queue", item_id=job.item_ids[0]) from None
    if not is_final(status):
        wait = "wait_for_completion_sync(), or await wait_for_completion()," if len(job.item_ids) == 1 else "job.wait()"
        raise NotCompletedError(f"the run has not ended, it is {status}: call {wait} first", item_id=job.item_ids[0])
