"""`AsyncSweep`: many runs of a workflow, followed and collected; `Sweep` is its blocking twin."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from invokeai_gen.core.terminal import wants_progress
from invokeai_gen.runtime.cleanup import remove_boards, remove_outputs
from invokeai_gen.runtime.failures import error_of
from invokeai_gen.runtime.workflow import O, P
from invokeai_gen.server import background, constants
from invokeai_gen.server.background import bridge, in_thread
from invokeai_gen.server.blocking import ServerClient
from invokeai_gen.server.client import AsyncInvokeAIClient
from invokeai_gen.server.errors import JobCanceledError, JobDeletedError, JobTimeoutError
from invokeai_gen.server.facades import facade, iterate
from invokeai_gen.server.other_loops import unbroken
from invokeai_gen.server.records import QueueItem
from invokeai_gen.server.removal import Removal
from invokeai_gen.sweeps.files.contact_sheet import save_image, sheet_of
from invokeai_gen.sweeps.files.gallery import write_gallery
from invokeai_gen.sweeps.files.saving import ManifestFormat, Saver, saved_indexes
from invokeai_gen.sweeps.results import SweepCounts, SweepResult
from invokeai_gen.sweeps.state import BaseSweep, SweepState, named_client

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

    from invokeai_gen.sweeps.options import CollectOptions

FIRST_DEBOUNCE: Final = 0.2
MAX_DEBOUNCE: Final = 2.0
"""Seconds of debounce before a page of results is fetched; it grows from the first to the second as results come."""


class AsyncSweep(BaseSweep[P, O]):
    """Many runs of one workflow that have been submitted: `async for result in sweep` yields each as it ends."""

    def __init__(self, state: SweepState, outputs: type[O], options: CollectOptions) -> None:
        super().__init__(state)
        self._layout = state.layout
        self._tally = state.tally
        self._outputs = outputs
        self._collects_errors = options.get("errors", "raise") == "collect"
        self._cancels_on_interrupt = options.get("cancel_on_interrupt", True)
        self._progress = options.get("progress")
        self._was_shown = False
        self._kept: set[int] = set()
        """Items that are no longer in the queue, but whose files an earlier download has saved."""

    @property
    def clients(self) -> tuple[AsyncInvokeAIClient, ...]:
        """The clients of the servers that it runs on."""
        return tuple(self._state.clients.values())

    async def wait(self, timeout: float | None = None) -> SweepCounts:
        """Wait until every item has ended, and return how many have each status.

        `timeout` is in seconds; when it has passed, raise `JobTimeoutError`, and the sweep continues. Raise what stopped
        the sweep, such as `ConnectionFailedError` or `EnqueueError`; `retry` continues from there.
        """
        with self._shown():
            async with self._canceling():
                await bridge(self._all_ended(timeout))
        return self.counts

    async def results(self) -> list[SweepResult[P, O]]:
        """Wait for all items, and return their results in the order of their numbers.

        With `errors="raise"`, raise the error of the first item that was not completed.
        """
        found = await self._all_results()
        self._raise_first(found)
        return found

    async def _all_results(self) -> list[SweepResult[P, O]]:
        await self.wait()
        return await bridge(self._collect(range(self.total)))

    async def failures(self) -> list[SweepResult[P, O]]:
        """Return the items that have ended so far without being completed, each with its error, in order."""
        lost = [index for index in self._tally.lost(deleted=True) if index not in self._kept]
        return await bridge(self._collect(lost))

    async def __aiter__(self) -> AsyncGenerator[SweepResult[P, O], None]:
        """Yield the result of each item as soon as it has ended.

        Results are fetched a hundred at a time. With `errors="raise"`, the error of an item that was not completed is
        raised; the others continue, and can be iterated again.
        """
        async for page in self._pages():
            for result in page:
                self._raise_first([result])
                yield result

    async def _pages(self) -> AsyncGenerator[list[SweepResult[P, O]], None]:
        cursor, debounce = 0, FIRST_DEBOUNCE
        with self._shown():
            while True:
                async with self._canceling():
                    page = await bridge(self._next_page(cursor, debounce))
                if page is None:
                    return
                cursor, results = page
                debounce = min(debounce * 1.5, MAX_DEBOUNCE)
                yield results

    async def download(
        self,
        folder: str | os.PathLike[str],
        pattern: str | None = None,
        *,
        manifest: ManifestFormat | None = "csv",
        overwrite: bool = False,
        include_metadata: bool = False,
        include_debug: bool = False,
    ) -> list[Path]:
        """Save the images and videos of every item as they are made, and return the files in order.

        `pattern` gives their names: `"{index:04d}_{seed}_{prompt:.40}.png"` with the number of the item, values of
        inputs, and `run`, `item_id`, `output` and `number` (of an output that is a list). Whatever the values are, the
        names are safe on every system and lie in `folder`. A pattern that ends in `.jpg` or `.webp` converts (that
        takes Pillow). Unless given, names are numbers; the name of the output is added where there are several.

        `manifest.csv` (or `.jsonl`) in the same folder has item, output and all values of each file, and why items
        have no file. `include_metadata` saves the server's metadata beside each file as `NAME.json`; `include_debug`
        adds the intermediate images. A second call continues where the first one stopped. Raise `FilePatternError`, and
        `DownloadError` for files that could not be saved, also because another file has the name (unless `overwrite`);
        with `errors="raise"`, at the end also the error of the first item that did not complete.
        """
        saver = Saver(
            self._layout,
            Path(folder),
            pattern,
            manifest,
            overwrite=overwrite,
            include_metadata=include_metadata,
            include_debug=include_debug,
        )
        await in_thread(saver.begin)
        failed: dict[int, SweepResult[P, O]] = {}
        try:
            async for page in self._pages():
                async with self._canceling():
                    await saver.save(page)
                for result in page:
                    failed.pop(result.index, None)  # it may have been sent again since
                    if result.index in saver.kept:
                        self._kept.add(result.index)
                    elif not result.is_ok:
                        failed[result.index] = result
        finally:
            await saver.write_manifest()
        saved = saver.end()
        self._raise_first(failed[index] for index in sorted(failed))
        return saved

    async def contact_sheet(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        output: str | None = None,
        columns: int | None = None,
        size: int = 256,
        font: str | os.PathLike[str] | None = None,
    ) -> PILImage:
        """Wait for all items, and return one image with all of theirs, each with its own values. Needs Pillow.

        `output` is the name of the output to show, by default the first image; `size` the side of each image in pixels.
        `columns` defaults to one for each row of the last axis. `font` is a font file for text that Pillow's own font
        lacks. Failed items show the reason. With `path` the sheet is saved too. Raise `ContactSheetError`.
        """
        results = await self._all_results()
        sheet = await sheet_of(self._layout, results, output=output, columns=columns, size=size, font=font)
        if path is not None:
            await in_thread(save_image, sheet, Path(path))
        return sheet

    async def gallery(self, path: str | os.PathLike[str] = "gallery.html") -> Path:
        """Wait for all items, write an HTML gallery of them, and return its path. Existing galleries are replaced.

        The file opens from disk in any browser: thumbnails in a grid by axis (a page for each value of further axes),
        the values of each run, failures with their reason, sortable by value. Thumbnails are part of the file; each
        links to the image that `download` has saved in the same folder. `path` may be a folder, as any path without a
        suffix is.
        """
        return await bridge(write_gallery(self._layout, await self._all_results(), Path(path)))

    async def cancel(self) -> SweepCounts:
        """Send nothing more, cancel what has not ended, and return how many items have each status."""
        await bridge(self._state.cancel_and_wait())
        return self.counts

    async def retry(self, *, deleted: bool = False, unless_saved_in: str | os.PathLike[str] | None = None) -> int:
        """Send again what failed, was canceled, or could not be sent; return the number of these items.

        `deleted` also sends items that are no longer in the queue (pruned, cleared or deleted): they may have been
        completed before. `unless_saved_in` is a folder of `download`: items whose files exist there are not sent again.
        """
        saved: frozenset[int] = frozenset()
        if unless_saved_in is not None:
            lost = self._tally.lost(deleted=True)
            saved = await in_thread(saved_indexes, Path(unless_saved_in), lost, self._layout)
        return await bridge(
            self._state.again(lambda: [each for each in self._tally.lost(deleted=deleted) if each not in saved])
        )

    async def add_server(self, server: str | AsyncInvokeAIClient | ServerClient) -> None:
        """Let another server take items of a sweep over several servers (`servers=`). Raise `TypeError` for others."""
        await bridge(self._state.add_server(named_client(server)))

    async def remove_server(self, server: str | AsyncInvokeAIClient | ServerClient) -> None:
        """Give a server of a sweep over several servers no more items; it finishes the one that it runs."""
        await bridge(self._state.remove_server(named_client(server).url))

    async def cleanup_inputs(self) -> Removal:
        """Delete the images and videos that were uploaded for the sweep. Items that have not ended will fail."""
        made = self._state.preparations
        return sum([await made[client.url].uploads.remove(client) for client in self.clients], Removal())

    async def cleanup_outputs(
        self, *, delete_images: bool = True, delete_from_board: bool = False, check_other_items: bool = True
    ) -> Removal:
        """Delete the images and videos that the items made; see `WorkflowOutputs.cleanup_outputs` for what is kept."""
        removals = [
            await remove_outputs(
                client,
                await self._items_on(client),
                delete_images=delete_images,
                delete_from_board=delete_from_board,
                check_other_items=check_other_items,
            )
            for client in self.clients
        ]
        return sum(removals, Removal())

    async def cleanup_boards(self) -> Removal:
        """Delete the boards that `create_boards` made for the sweep, unless they hold images of others."""
        made = self._state.preparations
        removals = [
            await remove_boards(client, made[client.url], await self._items_on(client))
            for client in self.clients
            if made[client.url].boards
        ]
        return sum(removals, Removal())

    async def cleanup_queue_items(self) -> Removal:
        """Remove the items from the queue, canceling those that have not ended. Their images stay."""
        ids: dict[AsyncInvokeAIClient, list[int]] = {client: [] for client in self.clients}
        for index, item_id in enumerate(self._tally.item_ids):
            if item_id is not None:
                ids[self._state.client_of(index)].append(item_id)
        return sum([await client.queue.delete(theirs) for client, theirs in ids.items()], Removal())

    async def _items_on(self, client: AsyncInvokeAIClient) -> Collection[QueueItem]:
        """Return the queue items that a server has."""
        indexes = [index for index in range(self.total) if self._state.client_of(index) is client]
        return (await bridge(self._state.items(indexes))).values()

    async def close(self) -> None:
        """Stop sending and following. The server runs what it has; `retry` continues."""
        await bridge(self._state.close())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if not self.is_done:
            await bridge(self._state.cancel_quietly())
        await self.close()

    # -- on the background loop ----------------------------------------------------------------------------------------

    async def _all_ended(self, timeout: float | None) -> None:
        """Wait until all items have ended. Raise `JobTimeoutError`."""
        limit = asyncio.timeout(timeout)
        try:
            async with limit:
                while not self._tally.all_ended:
                    self._state.raise_failure()
                    await self._state.wait_for_change()
        except TimeoutError:
            if not limit.expired():
                raise
            left = f"{self.total - self.counts.finished} of {self.total} items"
            raise JobTimeoutError(f"{left} did not end within {timeout:g} s") from None

    async def _next_page(self, cursor: int, debounce: float) -> tuple[int, list[SweepResult[P, O]]] | None:
        """Return the results since `cursor`, a hundred at most; `None` if there will be no more."""
        ended = self._tally.ended
        while len(ended) == cursor:
            if self._tally.all_ended:
                return None
            self._state.raise_failure()
            await self._state.wait_for_change()
        with contextlib.suppress(TimeoutError):
            at_hand = all(map(self._state.is_cached, ended[cursor : cursor + constants.PAGE]))
            async with asyncio.timeout(0 if at_hand else debounce):
                while len(ended) < cursor + constants.PAGE and not self._tally.all_ended:
                    await self._state.wait_for_change()
        page = range(cursor, min(cursor + constants.PAGE, len(ended)))
        # An item that was sent again counts only at the place where it ended last.
        fresh = [ended[place] for place in page if self._tally.ended_at.get(ended[place]) == place]
        return page.stop, await self._collect(fresh)

    async def _collect(self, indexes: Sequence[int]) -> list[SweepResult[P, O]]:
        """Return the results of these items, which have ended, in their order."""
        items = await self._state.items(indexes)
        return [self._result(index, items.get(index)) for index in indexes]

    def _result(self, index: int, item: QueueItem | None) -> SweepResult[P, O]:
        cell = self._layout.cells[index]
        item_id = self._tally.item_ids[index] if item is None else item.item_id
        outputs = None
        if (error := self._state.errors.get(index)) is None:
            if item_id is None:
                error = JobCanceledError(f"item {index} of the sweep was canceled before it was sent")
            elif item is None:
                error = JobDeletedError(f"queue item {item_id} is no longer in the queue", item_id=item_id)
            elif (error := error_of(item, self.plan)) is None:
                client = self._state.client_of(index)
                outputs = self._outputs(self.plan, item, client, self._state.preparations[client.url].uploads)
        return SweepResult(
            index,
            cell.run,
            self.params(index),
            item_id,
            error,
            outputs,
            point=cell.point,
            values=self._layout.values(index),
            seconds=None if item is None else item.timings.execution_seconds,
        )

    def _raise_first(self, results: Iterable[SweepResult[P, O]]) -> None:
        for result in results if not self._collects_errors else ():
            if result.error is not None:
                raise result.error

    @contextlib.asynccontextmanager
    async def _canceling(self) -> AsyncIterator[None]:
        """Cancel the items if waiting for them, or saving what they made, is interrupted.

        On the caller's loop: the interrupt may come when the background loop has just found what is waited for.
        """
        try:
            yield
        except asyncio.CancelledError:
            if self._cancels_on_interrupt:
                await unbroken(bridge(self._state.cancel_quietly()))
            raise

    @contextlib.contextmanager
    def _shown(self) -> Iterator[None]:
        """Show progress if it is wanted, unless the end of the sweep has been shown already."""
        if (self._was_shown and self.is_done) or not wants_progress(self._progress):
            yield
            return
        from invokeai_gen.sweeps.progress import SweepDisplay

        self._was_shown = True
        with SweepDisplay(self.plan.info.name or self.plan.info.source, lambda: self.counts):
            yield


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
