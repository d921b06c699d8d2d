"""What a handle does with a server: submit, follow, fetch what came out, and clean up."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, Unpack, cast

from invokeai_gen.core.params import WorkflowParams
from invokeai_gen.core.plan import JsonValue
from invokeai_gen.core.values import ImageRef
from invokeai_gen.handle.outputs import HandleOutputs, OutputMapping
from invokeai_gen.runtime.async_job import AsyncJob, StreamedOutput
from invokeai_gen.runtime.callbacks import Callbacks
from invokeai_gen.runtime.job import Job
from invokeai_gen.runtime.media import DEFAULT_QUALITY, ImageFormat, ImageOutput
from invokeai_gen.runtime.options import SubmitOptions, SweepOptions
from invokeai_gen.server import background
from invokeai_gen.server.client import AsyncInvokeAIClient, ServerClient, core_of
from invokeai_gen.server.errors import NotCompletedError
from invokeai_gen.server.events import JobEvent, is_final
from invokeai_gen.server.records import QueueItem, Removal
from invokeai_gen.sweeps.workflow import Workflow

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

    from invokeai_gen.sweeps.async_sweep import AsyncSweep
    from invokeai_gen.sweeps.sweep import Sweep

POLL_INTERVAL: Final = 0.5


class FollowedSubmitOptions(SubmitOptions, Callbacks, total=False):
    """How a workflow is submitted, and what is called while it runs."""


class WorkflowRuns(ABC):
    """The last submission of a workflow and its results; every submission takes the place of the one before.

    Methods that wait for the server come in pairs: `submit` is awaited, `submit_sync` blocks, and `cancel` blocks where
    `cancel_async` is awaited.
    """

    def __init__(self, workflow: Workflow[WorkflowParams, HandleOutputs], client: ServerClient | None = None) -> None:
        self.client = client
        """The server; `None` for the one that all share (`INVOKEAI_URL`, else http://localhost:9090)."""
        self.auto_cleanup_outputs = False
        """Delete the images of a run from the server as soon as `download_outputs` has saved them all."""
        self._workflow = workflow
        self._job: AsyncJob[HandleOutputs] | None = None
        self._following: asyncio.Task[str] | None = None

    @abstractmethod
    def params(self) -> WorkflowParams:
        """The values of the next submission. Raises `NotReadyError` or `ParamsError` where there can be none."""

    @property
    def job(self) -> Job[HandleOutputs]:
        """The last submission. Raises `NotCompletedError` before the first one."""
        return Job(self._submitted())

    # -- submitting ---------------------------------------------------------------------------------------------------

    def submit_sync(self, **options: Unpack[SubmitOptions]) -> Job[HandleOutputs]:
        """Puts the workflow with its present values into the queue, and returns at once.

        Files are uploaded, and models and boards looked up, just as by a generated module. Raises `NotReadyError` for
        a workflow that the GUI would not invoke, `ParamsError` for values that do not fit, and what
        `Workflow.submit` raises.
        """
        params = self.params()
        self._job = background.run(self._workflow.asubmit(params, client=self.client, **options))
        self._following = None
        return self.job

    async def submit(
        self, *, subscribe_events: bool = True, **options: Unpack[FollowedSubmitOptions]
    ) -> AsyncJob[HandleOutputs]:
        """Like `submit_sync`, to be awaited.

        `on_status`, `on_invocation_started`, `on_invocation_progress`, `on_invocation_complete` and
        `on_invocation_error` are called on this event loop with each event of their kind (and awaited, where they
        return something to await), unless `subscribe_events` is off. What one of them raises comes out of
        `wait_for_completion`.
        """
        known = ["subscribe_events", *FollowedSubmitOptions.__annotations__]
        unknown = sorted(set(options).difference(known))
        if unknown:
            raise TypeError(f"unknown option {', '.join(map(repr, unknown))}; there are {', '.join(known)}")
        callbacks = {name: call for name, call in options.items() if name in Callbacks.__annotations__ and call}
        others = {name: option for name, option in options.items() if name not in Callbacks.__annotations__}
        params = self.params()
        job = await self._workflow.asubmit(params, client=self.client, **cast("SubmitOptions", others))
        self._job, self._following = job, None
        if callbacks and subscribe_events:
            self._following = asyncio.create_task(job.wait(**cast("Callbacks", callbacks)))
        return job

    def request(self, client: ServerClient | None = None, **options: Unpack[SubmitOptions]) -> dict[str, JsonValue]:
        """Return the JSON body that `submit_sync` would POST, without sending it; see `RunnableWorkflow.request`.

        Only with a `client` is a server asked, which need not be the one of this handle. Raises `NotReadyError` and
        `ParamsError` as `submit_sync` does.
        """
        return self._workflow.request(self.params(), client, **options)

    def sweep_sync(
        self,
        *,
        product: Mapping[str, object] | None = None,
        zip: Mapping[str, object] | None = None,
        **options: Unpack[SweepOptions],
    ) -> Sweep[WorkflowParams, HandleOutputs]:
        """Submits many runs that differ from the present values in the inputs named in `product` and `zip`.

        Inputs go by their Python names, as in a generated module; see `Workflow.sweep`. The sweep stands alone: it is
        not the `job` of this handle.
        """
        return self._workflow.sweep(self.params(), product=product, zip=zip, client=self.client, **options)

    async def sweep(
        self,
        *,
        product: Mapping[str, object] | None = None,
        zip: Mapping[str, object] | None = None,
        **options: Unpack[SweepOptions],
    ) -> AsyncSweep[WorkflowParams, HandleOutputs]:
        """Like `sweep_sync`, to be awaited."""
        return await self._workflow.asweep(self.params(), product=product, zip=zip, client=self.client, **options)

    async def submit_sync_monitor_async(self, **options: Unpack[SubmitOptions]) -> AsyncGenerator[JobEvent, None]:
        """Submits the workflow and gives everything that happens, from the first event to the last."""
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
        cancel_on_timeout: bool = False,
    ) -> QueueItem:
        """Waits for the only queue item and returns it; its end is known at once, without asking.

        `progress_callback` gets the queue item as it then is, now, every `poll_interval` seconds, and at the end.
        `timeout` is in seconds, without it there is no limit. Raises `JobTimeoutError` (after cancelling the item, if
        `cancel_on_timeout`), `JobFailedError`, `JobCanceledError`, `NotCompletedError` before a submission, and
        `SeveralItemsError` for a batch: wait with `job.wait()` then.
        """
        job = self._single()
        waiting = asyncio.run_coroutine_threadsafe(
            job.wait(timeout, cancel_on_timeout=cancel_on_timeout), background.loop()
        )
        try:
            if progress_callback is not None:
                progress_callback(item := self.get_queue_item())
                while not is_final(item.status):
                    concurrent.futures.wait([waiting], timeout=poll_interval)
                    if waiting.done():
                        waiting.result()
                    progress_callback(item := self.get_queue_item())
            waiting.result()
        finally:
            waiting.cancel()
        return self.get_outputs().queue_item

    async def wait_for_completion(self, timeout: float | None = None, *, cancel_on_timeout: bool = False) -> QueueItem:
        """Like `wait_for_completion_sync`, to be awaited; returns after the last callback of `submit`."""
        job = self._single()
        await job.wait(timeout, cancel_on_timeout=cancel_on_timeout)
        following, self._following = self._following, None
        if following is not None and following.get_loop() is asyncio.get_running_loop():
            await following
        return (await job.outputs()).queue_item

    def get_queue_item(self) -> QueueItem:
        """The only queue item as the server has it now. Raises `NotCompletedError`, `SeveralItemsError`."""
        return background.run(self.get_queue_item_async())

    async def get_queue_item_async(self) -> QueueItem:
        """Like `get_queue_item`, to be awaited."""
        return (await self._single().items())[0]

    def cancel(self) -> None:
        """Cancels what has not ended of the last submission; finished nodes keep their results."""
        background.run(self._submitted().cancel())

    async def cancel_async(self) -> None:
        """Like `cancel`, to be awaited."""
        await self._submitted().cancel()

    # -- results ------------------------------------------------------------------------------------------------------

    def get_outputs(self) -> HandleOutputs:
        """The results of the only queue item; waits for them. Raises what `wait_for_completion_sync` raises."""
        return background.run(self.get_outputs_async())

    async def get_outputs_async(self) -> HandleOutputs:
        """Like `get_outputs`, to be awaited."""
        return await self._submitted().outputs()

    def get_all_outputs(self) -> list[HandleOutputs]:
        """The results of every queue item, for batches and several runs, in order; waits for them."""
        return background.run(self._submitted().all_outputs())

    async def stream_outputs(self, *, debug: bool = False) -> AsyncGenerator[StreamedOutput, None]:
        """Each output of the last submission as soon as its node has finished; `debug` adds intermediate images."""
        async for output in self._submitted().stream_outputs(debug=debug):
            yield output

    def stream_outputs_sync(self, *, debug: bool = False) -> Iterator[StreamedOutput]:
        """Like `stream_outputs`, blocking."""
        return self.job.stream_outputs(debug=debug)

    def map_outputs_to_images(self, queue_item: QueueItem | None = None) -> list[OutputMapping]:
        """Which images each output gave: those with a board on the form first, intermediate ones last.

        Of a completed `queue_item` of this workflow, else of every item of the last submission, one after another.
        """
        if queue_item is not None:
            return HandleOutputs(self._workflow.plan, queue_item, self._core()).map_images()
        return [mapping for outputs in self.get_all_outputs() for mapping in outputs.map_images()]

    def get_image_bytes(
        self, image: ImageRef | str, form: ImageFormat = "png", *, quality: int = DEFAULT_QUALITY
    ) -> bytes:
        """The file of an image on the server, converted if `form` is not `png` (that takes Pillow).

        `quality`, from 1 to 100, is for JPEG and WebP. Raises `NotFoundError`.
        """
        return self._image(image).as_format(form, quality=quality)

    def get_image_as_pil(self, image: ImageRef | str) -> PILImage:
        """An image on the server as a Pillow image. Raises `NotFoundError`, and `ImportError` without Pillow."""
        return self._image(image).pil()

    def download_image_raw(self, image: ImageRef | str, path: str | os.PathLike[str]) -> Path:
        """Saves the server's own file of an image, a PNG, whatever `path` is called. Raises `NotFoundError`."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        background.run(self._core().images.download(self._image(image).name, target))
        return target

    def download_outputs(
        self,
        output_dir: str | os.PathLike[str],
        *,
        include_metadata: bool = False,
        include_debug: bool = False,
        skip_existing: bool = False,
    ) -> list[Path]:
        """Saves the images and videos of all outputs in a folder, named after the outputs; returns the files.

        A submission of several queue items has a folder inside for each, named by its id. `include_metadata` puts the
        server's metadata beside each file, `include_debug` adds intermediate images, `skip_existing` keeps files that
        are there. Raises `DownloadError`, which lists what is saved and what is not.
        """
        everything = self.get_all_outputs()
        saved: list[Path] = []
        for outputs in everything:
            folder = Path(output_dir) if len(everything) == 1 else Path(output_dir) / str(outputs.item_id)
            saved += outputs.download_outputs(
                folder,
                include_metadata=include_metadata,
                include_debug=include_debug,
                skip_existing=skip_existing,
            )
        if self.auto_cleanup_outputs:
            self.cleanup_outputs()
        return saved

    # -- cleaning up --------------------------------------------------------------------------------------------------

    def get_uploaded_assets(self) -> list[str]:
        """Names of the images and videos that the last submission uploaded as its inputs, and that are still there."""
        uploads = self._job.uploads if self._job is not None else None
        return [*uploads.images, *uploads.videos] if uploads is not None else []

    def has_uploaded_assets(self) -> bool:
        """Whether the last submission uploaded anything that is still there."""
        return bool(self.get_uploaded_assets())

    def cleanup_inputs(self) -> Removal:
        """Deletes the images and videos that the last submission uploaded."""
        return background.run(self._submitted().cleanup_inputs())

    def cleanup_outputs(self) -> Removal:
        """Deletes the images that the last submission made; see `WorkflowOutputs.cleanup_outputs` for what is kept."""
        return background.run(self._submitted().cleanup_outputs())

    def cleanup_queue_items(self) -> Removal:
        """Removes the items of the last submission from the queue, cancelling those that have not ended."""
        return background.run(self._submitted().cleanup_queue_items())

    def _submitted(self) -> AsyncJob[HandleOutputs]:
        if self._job is None:
            raise NotCompletedError("nothing was submitted yet: call submit_sync(), or await submit()")
        return self._job

    def _single(self) -> AsyncJob[HandleOutputs]:
        """The last submission if it has one item. Raises `NotCompletedError`, `SeveralItemsError`."""
        job = self._submitted()
        assert job.item_id
        return job

    def _core(self) -> AsyncInvokeAIClient:
        return core_of(self.client)

    def _image(self, image: ImageRef | str) -> ImageOutput:
        name = image.name if isinstance(image, ImageRef) else image
        return ImageOutput(name, client=self._core())
