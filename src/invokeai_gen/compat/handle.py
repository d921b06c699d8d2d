"""`WorkflowHandle` with the methods and keywords of the described API."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Unpack, cast

from invokeai_gen.compat.outputs import (
    CleanupResult,
    EnqueueBatchResult,
    SessionQueueItem,
    WorkflowOutput,
    copied,
    described,
)
from invokeai_gen.core.pictures import DEFAULT_QUALITY, ImageFormat
from invokeai_gen.core.values import BoardRef, ImageRef
from invokeai_gen.handle import HandleOutputs, handle
from invokeai_gen.handle.runs import POLL_INTERVAL, DownloadOptions, FollowedSubmitOptions
from invokeai_gen.runtime.async_job import AsyncJob
from invokeai_gen.runtime.options import SubmitOptions
from invokeai_gen.server.records import QueueItem
from invokeai_gen.server.run_errors import DownloadError


class WorkflowHandle(handle.WorkflowHandle):
    """A workflow opened at run time.

    It adds the names of the described API to the base class. A name that means something else there has the described
    meaning here: `get_missing_required_inputs` returns labels, and `cancel` and `get_queue_item` are awaited.
    """

    outputs_type: ClassVar[type[HandleOutputs]] = WorkflowOutput

    output_board_id: str | None = None
    """Board for every result of the following submissions, by id or name."""
    cleanup_board_after_download: bool = False
    """Whether `download_outputs` deletes the boards that `create_boards` made for the run."""
    cleanup_queue_after_completion: bool = False
    """Whether waiting for completion removes the queue item once it has completed."""

    def set_input(self, index: int | str, value: Any) -> None:
        """Set the value of an input, by index or label. Raise `ParamsError`, and `KeyError` for an unknown label."""
        item = self.get_inputs_by_user_name()[index] if isinstance(index, str) else self.get_input(index)
        item.field.value = value

    def get_missing_required_inputs(self) -> list[str]:  # type: ignore[override]
        """Return the labels of the inputs that still need a value."""
        return [item.label for item in super().get_missing_required_inputs()]

    # -- submitting and following ---------------------------------------------------------------------------------------

    def submit_sync(
        self,
        queue_id: str | None = None,
        board_id: BoardRef | str | None = None,
        *,
        board: BoardRef | str | None = None,
        **options: Unpack[SubmitOptions],
    ) -> EnqueueBatchResult:
        """Enqueue the workflow, and return at once. `board_id` is `board` of the base class.

        Raise `ValueError` for any queue but the one that the client was made with.
        """
        self._check_queue(queue_id)
        super().submit_sync(board=board or board_id or self.output_board_id, **options)
        return EnqueueBatchResult(cast("AsyncJob[WorkflowOutput]", self._submitted()))

    async def submit(
        self,
        queue_id: str | None = None,
        board_id: BoardRef | str | None = None,
        *,
        subscribe_events: bool = True,
        board: BoardRef | str | None = None,
        **options: Unpack[FollowedSubmitOptions],
    ) -> AsyncJob[HandleOutputs]:
        """Async version of `submit_sync`, which can also call functions while the workflow runs."""
        self._check_queue(queue_id)
        target = board or board_id or self.output_board_id
        return await super().submit(subscribe_events=subscribe_events, board=target, **options)

    def wait_for_completion_sync(
        self,
        poll_interval: float = POLL_INTERVAL,
        timeout: float | None = None,
        progress_callback: Callable[[QueueItem], object] | None = None,
        *,
        cancel_on_timeout: bool = True,
    ) -> SessionQueueItem:
        """Wait for the only queue item, and return it."""
        call = None if progress_callback is None else (lambda item: progress_callback(copied(SessionQueueItem, item)))
        item = super().wait_for_completion_sync(poll_interval, timeout, call, cancel_on_timeout=cancel_on_timeout)
        if self.cleanup_queue_after_completion:
            self.cleanup_queue_items()
        return copied(SessionQueueItem, item)

    async def wait_for_completion(
        self, timeout: float | None = None, *, cancel_on_timeout: bool = True
    ) -> SessionQueueItem:
        """Async version of `wait_for_completion_sync`."""
        item = await super().wait_for_completion(timeout, cancel_on_timeout=cancel_on_timeout)
        if self.cleanup_queue_after_completion:
            await self._submitted().cleanup_queue_items()
        return copied(SessionQueueItem, item)

    async def get_queue_item(self) -> SessionQueueItem:  # type: ignore[override]
        """Return the only queue item as the server has it now."""
        return copied(SessionQueueItem, await self.get_queue_item_async())

    async def cancel(self) -> None:  # type: ignore[override]
        """Cancel what has not ended of the last submission."""
        await self.cancel_async()

    # -- results --------------------------------------------------------------------------------------------------------

    def get_outputs(self) -> WorkflowOutput:
        """Return the results of the only queue item. Raise `WorkflowNotCompletedError` while it has not ended."""
        return cast("WorkflowOutput", super().get_outputs())

    async def get_outputs_async(self) -> WorkflowOutput:
        """Async version of `get_outputs`."""
        return cast("WorkflowOutput", await super().get_outputs_async())

    def has_debug_outputs(self) -> bool:
        """Return whether the run made intermediate images."""
        return bool(self.get_outputs().get_debug_outputs())

    async def stream_outputs(self, *, debug: bool = False) -> AsyncGenerator[Any, None]:
        """Yield each output itself as soon as its node has finished: an `InkImageOutput`, a number …"""
        async for output in super().stream_outputs(debug=debug):
            yield described(output.value, output.name, self.plan.outputs)

    def stream_outputs_sync(self, *, debug: bool = False) -> Iterator[Any]:
        """Blocking version of `stream_outputs`."""
        for output in super().stream_outputs_sync(debug=debug):
            yield described(output.value, output.name, self.plan.outputs)

    def download_image_raw(
        self,
        image: ImageRef | str | None = None,
        path: str | os.PathLike[str] | None = None,
        *,
        image_output: ImageRef | str | None = None,
        output_dir: str | os.PathLike[str] | None = None,
        preserve_format: bool = True,
        overwrite: bool = False,
    ) -> Path:
        """Save the server's own file of an image, always a PNG, and return its path.

        `output_dir` is a folder, which is created. `path` may also be a file; see the base class.
        """
        wanted = image if image is not None else image_output
        if not preserve_format:
            raise ValueError("download_image_raw keeps the server's format: use download_image(…, format=…)")
        if wanted is None or (path is None and output_dir is None):
            raise TypeError("download_image_raw needs an image, and a path or output_dir")
        if path is None:
            return self._image(wanted).download(output_dir or ".", overwrite=overwrite)
        return super().download_image_raw(wanted, path, overwrite=overwrite)

    def download_image(
        self,
        image_output: ImageRef | str,
        output_dir: str | os.PathLike[str],
        *,
        format: ImageFormat = "png",
        quality: int = DEFAULT_QUALITY,
        include_metadata: bool = False,
    ) -> Path:
        """Save an image in a folder, under its name on the server, and return its path; `jpeg` and `webp` need Pillow.

        `include_metadata` puts the server's metadata beside it, as a JSON file.
        """
        image = self._image(image_output)
        if format == "png":
            return image.download(output_dir, include_metadata=include_metadata)
        path = image.save(Path(output_dir) / Path(image.name).with_suffix(f".{format}").name, quality=quality)
        if include_metadata:
            image.save_metadata(path.with_suffix(".json"))
        return path

    async def download_image_async(
        self, image_output: ImageRef | str, output_dir: str | os.PathLike[str] = ".", *, include_metadata: bool = False
    ) -> Path:
        """Save the server's own file of an image in a folder, without blocking, and return its path."""
        return await self._image(image_output).adownload(output_dir, include_metadata=include_metadata)

    def download_outputs(  # pyright: ignore[reportIncompatibleMethodOverride] -- it has more options
        self,
        output_dir: str | os.PathLike[str],
        *,
        max_retries: int = 0,
        retry_delay: float = 1.0,
        **options: Unpack[DownloadOptions],
    ) -> list[Path]:
        """Save the outputs in a folder; see the base class.

        If some cannot be saved, those are tried again up to `max_retries` times, after `retry_delay` seconds each. The
        client also retries lost connections by itself.
        """
        for tries_left in range(max_retries, -1, -1):
            try:
                files = super().download_outputs(output_dir, **options)
                break
            except DownloadError:
                if not tries_left:
                    raise
                time.sleep(retry_delay)
        else:
            raise ValueError(f"max_retries is {max_retries}, but should be 0 or more")
        if self.cleanup_board_after_download:
            self.job.clean_up(["boards"])
        return files

    # -- cleaning up ----------------------------------------------------------------------------------------------------

    def cleanup_inputs(self) -> CleanupResult:
        """Delete the images and videos that the last submission uploaded."""
        return copied(CleanupResult, super().cleanup_inputs())

    def cleanup_outputs(self, *, delete_images: bool = True, delete_from_board: bool = False) -> CleanupResult:
        """Delete the images that the last submission made; see the base class."""
        removal = super().cleanup_outputs(delete_images=delete_images, delete_from_board=delete_from_board)
        return copied(CleanupResult, removal)

    def cleanup_queue_items(self) -> CleanupResult:
        """Remove the items of the last submission from the queue."""
        return copied(CleanupResult, super().cleanup_queue_items())

    def _check_queue(self, queue_id: str | None) -> None:
        own = self._core().queue.queue_id
        if queue_id not in (None, own):
            raise ValueError(f"this client uses the queue {own!r}: make one with InvokeAIClient(queue_id={queue_id!r})")
