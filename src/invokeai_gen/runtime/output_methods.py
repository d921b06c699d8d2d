"""What can be done with the outputs of a run: look at them, save them, and delete what the run left on the server."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Final, TypeVar

from invokeai_gen.core.file_names import safe_name
from invokeai_gen.core.file_pattern import FilePattern, unique
from invokeai_gen.core.results import ConditioningOutput, LatentsOutput, NodeResult, flat, objects_with
from invokeai_gen.runtime.decoding import NAME_KEYS, handle
from invokeai_gen.runtime.media import ImageOutput, VideoOutput
from invokeai_gen.runtime.media_methods import media_suffix
from invokeai_gen.server import background
from invokeai_gen.server.background import in_thread
from invokeai_gen.server.concurrency import gather_limited
from invokeai_gen.server.errors import MissingOutputError, ServerError
from invokeai_gen.server.facades import blocking
from invokeai_gen.server.run_errors import DownloadError

if TYPE_CHECKING:
    from invokeai_gen.core.params import WorkflowParams
    from invokeai_gen.core.plan import JsonValue, WorkflowPlan
    from invokeai_gen.server.client import AsyncInvokeAIClient
    from invokeai_gen.server.records import QueueItem, Timings
    from invokeai_gen.server.removal import Removal
    from invokeai_gen.server.uploads import Uploads

DOWNLOADS_AT_ONCE: Final = 4
H = TypeVar("H", ImageOutput, VideoOutput, LatentsOutput, ConditioningOutput)


class OutputMethods:
    """What `WorkflowOutputs` can do."""

    if TYPE_CHECKING:
        queue_item: QueueItem
        _plan: WorkflowPlan | None
        _client: AsyncInvokeAIClient | None
        _uploads: Uploads | None
        _params: WorkflowParams | None
        _results: Mapping[str, tuple[NodeResult, ...]]
        _sizes: Mapping[str, Mapping[str, int]]
        _named: dict[str, Any]

    def __repr__(self) -> str:
        named = ", ".join(f"{name}={value!r}" for name, value in self.user_outputs.items())
        return f"{type(self).__name__}(item_id={self.item_id}{', ' if named else ''}{named})"

    def _repr_html_(self) -> str:
        """Return the values and the pictures of this item, for a notebook."""
        title = f"{self._plan.info.name if self._plan is not None else type(self).__name__}, queue item {self.item_id}"
        return background.run(_card(title, self))

    @property
    def item_id(self) -> int:
        """Id of the queue item."""
        return self.queue_item.item_id

    @property
    def batch_id(self) -> str:
        """Id of the batch that it was enqueued with."""
        return self.queue_item.batch_id

    @property
    def session_id(self) -> str:
        """Id of the execution; images made by it carry the same."""
        return self.queue_item.session_id

    @property
    def timings(self) -> Timings:
        """When the item was created, started and completed, and how many seconds it took."""
        return self.queue_item.timings

    @property
    def batch_values(self) -> dict[tuple[str, str], Any]:
        """The batch data that this item got, by `(node id, field name)`; empty without batch nodes."""
        from invokeai_gen.core.run_values import batch_values

        return batch_values(self.queue_item.field_values)

    @property
    def input_values(self) -> dict[str, Any]:
        """The values that this very item was run with, by the name of the input.

        For a batch node, or the generator that fills it, this is the one value that the item got, such as the seed that
        was drawn for it. A job that was resumed only knows the values of batch nodes.
        """
        from invokeai_gen.core.run_values import values_of_item

        return values_of_item(self._plan, self._params, self.batch_values) if self._plan is not None else {}

    @property
    def input_params(self) -> WorkflowParams | None:
        """Parameters that run this item alone, with its values in the batch lists; `None` for a resumed job."""
        from invokeai_gen.core.run_values import params_of_item

        if self._plan is None or self._params is None:
            return None
        return params_of_item(self._plan, self._params, self.batch_values)

    @property
    def user_outputs(self) -> dict[str, Any]:
        """The final results by name: nodes whose board is on the form, and others that are not intermediate."""
        return self._with_roles({"user", "result"})

    @property
    def debug_outputs(self) -> dict[str, Any]:
        """Intermediate images, by name."""
        return self._with_roles({"debug"})

    @property
    def images(self) -> list[ImageOutput]:
        """The images among the user outputs, in the plan's order; without a plan, every image that a node returned."""
        if self._plan is None:
            return self.every(ImageOutput)
        return [item for item in flat([*self.user_outputs.values()]) if isinstance(item, ImageOutput)]

    @property
    def nodes(self) -> Mapping[str, tuple[NodeResult, ...]]:
        """Everything that every node returned, by the node's id in the workflow, in the order of execution."""
        return self._results

    def every(self, kind: type[H]) -> list[H]:
        """Return every image, video, latents or conditioning that any node returned, each once.

        `kind` is `ImageOutput`, `VideoOutput`, `LatentsOutput` or `ConditioningOutput`.
        """
        found: dict[str, Any] = {}
        key = NAME_KEYS[kind.__name__]
        for result in itertools.chain(*self.nodes.values()):
            for value in objects_with(key, result.fields):
                sizes = result.fields if value in result.fields.values() else self._sizes.get(value[key], {})
                found.setdefault(value[key], handle(kind.__name__, value, sizes, result, self._client))
        return list(found.values())

    def to_dict(self, *, include_debug: bool = False) -> dict[str, JsonValue]:
        """Return the user outputs as JSON data, by name; `include_debug` adds the intermediate images.

        Images and videos become `{"image_name": …}` and `{"video_name": …}`, which image and video inputs take, latents
        and conditioning their names; a result of many fields becomes an object of them.
        """
        named = self.user_outputs | (self.debug_outputs if include_debug else {})
        return {name: _to_json(value) for name, value in named.items()}

    def by_node(self, node_id: str) -> tuple[NodeResult, ...]:
        """Return everything that a node returned: several results behind an `iterate` node, none if it did not run."""
        return self._results.get(node_id, ())

    async def adownload_outputs(
        self,
        folder: str | os.PathLike[str],
        *,
        pattern: str | None = None,
        overwrite: bool = False,
        include_metadata: bool = False,
        include_debug: bool = False,
        skip_existing: bool = False,
        concurrency: int = DOWNLOADS_AT_ONCE,
    ) -> list[Path]:
        """Save the images and videos of all user outputs in a folder, and return the files in order.

        Files are named after the outputs: `NAME.png`, and `NAME-000.png` … for a list. A `pattern` such as
        `"{item_id}-{output}"` names them otherwise; it can use `output`, `number`, `item_id` and the names of inputs.
        A file that exists with other content is an error, unless `overwrite`. `skip_existing` does not look at files
        that exist.

        `include_metadata` saves the server's metadata beside each file as `NAME.json`; `include_debug` adds the
        intermediate images; `concurrency` is the number of parallel downloads. Raises `DownloadError`, which lists
        what is saved and what is not, and `FilePatternError`.
        """
        named = self.user_outputs | (self.debug_outputs if include_debug else {})
        pairs: Iterator[tuple[str | PurePath, ImageOutput | VideoOutput]] = (
            file_names(named) if pattern is None else _names_by_pattern(named, pattern, self.input_values, self.item_id)
        )
        wanted = [(Path(folder) / name, item) for name, item in pairs]
        await in_thread(Path(folder).mkdir, parents=True, exist_ok=True)

        async def save(pair: tuple[Path, ImageOutput | VideoOutput]) -> None:
            path, item = pair
            if not (skip_existing and await in_thread(path.exists)):
                await item.asave(path, overwrite=overwrite)
            if include_metadata:
                await item.asave_metadata(path.with_suffix(".json"), overwrite=overwrite or skip_existing)

        failed: dict[str, str] = {}
        for (path, _), outcome in zip(wanted, await gather_limited(save, wanted, at_once=concurrency), strict=True):
            if isinstance(outcome, (ServerError, OSError)):
                failed[path.name] = str(outcome)
            elif outcome is not None:
                raise outcome
        saved = [path for path, _ in wanted if path.name not in failed]
        if failed:
            raise DownloadError(saved, failed)
        return saved

    async def acleanup_inputs(self) -> Removal:
        """Delete the images and videos that this run uploaded as its inputs, unless another run still uses them."""
        from invokeai_gen.server.removal import Removal

        client = self._online()
        return await self._uploads.remove(client) if self._uploads is not None else Removal()

    async def acleanup_outputs(
        self, *, delete_images: bool = True, delete_from_board: bool = False, check_other_items: bool = True
    ) -> Removal:
        """Delete the images and videos that this run made, including intermediate ones.

        Named in `kept`, and not deleted: what another run made (the server's node cache returns it again), what another
        queue item refers to (it got it from the cache, or as an input), uploads, and what has been starred since.
        Finding other queue items takes a request for every hundred items that ran since; `check_other_items=False`
        skips it. With `delete_images=False, delete_from_board=True` the images are only taken off their boards.
        """
        from invokeai_gen.runtime.cleanup import remove_outputs

        return await remove_outputs(
            self._online(),
            [self.queue_item],
            delete_images=delete_images,
            delete_from_board=delete_from_board,
            check_other_items=check_other_items,
        )

    async def acleanup_queue_item(self) -> Removal:
        """Remove the item from the queue. Its images stay."""
        return await self._online().queue.delete([self.item_id])

    download_outputs = blocking(adownload_outputs)
    cleanup_inputs = blocking(acleanup_inputs)
    cleanup_outputs = blocking(acleanup_outputs)
    cleanup_queue_item = blocking(acleanup_queue_item)

    def _online(self) -> AsyncInvokeAIClient:
        if self._client is None:
            raise MissingOutputError("these outputs were read without a server")
        return self._client

    def _with_roles(self, roles: Iterable[str]) -> dict[str, Any]:
        outputs = self._plan.outputs if self._plan is not None else ()
        return {
            output.name or output.node_id: self._named[output.node_id]
            for output in outputs
            if output.role in roles and output.node_id in self._named
        }


def media(value: Any) -> list[ImageOutput | VideoOutput]:
    """Return the images and videos in an output, in order."""
    return [item for item in flat(value) if isinstance(item, (ImageOutput, VideoOutput))]


def file_names(named: Mapping[str, Any]) -> Iterator[tuple[str, ImageOutput | VideoOutput]]:
    """Yield a file name for each image and video among outputs: safe on every system, and the same every time.

    No two have the same stem, even on systems that ignore case.
    """
    taken: set[str] = set()
    for name, value in named.items():
        for number, item in enumerate(media(value)):
            wanted = safe_name(name) + (f"-{number:03d}" if isinstance(value, list) else "")
            others = (f"{wanted}_{again}" for again in itertools.count(2))
            stem = next(free for free in itertools.chain([wanted], others) if free.casefold() not in taken)
            taken.add(stem.casefold())
            yield stem + media_suffix(item), item


def _names_by_pattern(
    named: Mapping[str, Any], pattern: str, values: Mapping[str, Any], item_id: int
) -> Iterator[tuple[PurePath, ImageOutput | VideoOutput]]:
    """Yield a path for each image and video by a pattern. Raises `FilePatternError`, also for two equal paths."""
    own = {"item_id": item_id, "output": "", "number": 0}
    made = FilePattern(pattern, {*values, *own})
    found = [(name, number, item) for name, value in named.items() for number, item in enumerate(media(value))]
    paths = [made.format({**values, **own, "output": name, "number": number}) for name, number, _ in found]
    for path, (_, _, item) in zip(unique(paths), found, strict=True):
        suffix = media_suffix(item)
        yield path if path.suffix.lower() == suffix else path.with_name(path.name + suffix), item


def _to_json(value: Any) -> JsonValue:
    if isinstance(value, list):
        return [_to_json(item) for item in value]
    if isinstance(value, NodeResult):
        return dict(value.fields)
    key = NAME_KEYS.get(type(value).__name__)
    return {key: value.name} if key is not None else value


async def _card(title: str, outputs: OutputMethods) -> str:
    """Return the values and the pictures of a queue item as HTML."""
    from invokeai_gen.core import notebook

    async def picture(item: ImageOutput | VideoOutput) -> bytes | str:
        return await item.stored.thumbnail(item.name) if isinstance(item, ImageOutput) else item.name

    named = [(name, item) for name, value in outputs.user_outputs.items() for item in media(value)]
    found = await gather_limited(picture, [item for _, item in named], at_once=4)
    shown = [
        (name, each if isinstance(each, bytes) else str(each)) for (name, _), each in zip(named, found, strict=True)
    ]
    return notebook.card(title, notebook.rows_of(outputs._plan, outputs.input_values), shown)
