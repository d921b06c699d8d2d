"""Turn the values of a user into those that a server understands: look up models and boards, upload files.

Everything is looked up before anything is uploaded or created, and all that is missing is reported at once.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, Unpack

from invokeai_gen.core.batch import Binding, Values
from invokeai_gen.core.field_values import model_limits
from invokeai_gen.core.json_writing import answered, is_sendable, look_ups, to_json
from invokeai_gen.core.matching import has_board
from invokeai_gen.core.pictures import png_bytes
from invokeai_gen.core.plan import AssetKind, JsonValue, PlannedInput, WorkflowPlan
from invokeai_gen.core.values import BoardRef, ImageRef, ModelRef, VideoRef
from invokeai_gen.js_json import Unset
from invokeai_gen.runtime.cleanup import Preparations
from invokeai_gen.runtime.matching import check_media, find_board, hidden_values, model_on
from invokeai_gen.runtime.options import SubmitOptions
from invokeai_gen.server import constants
from invokeai_gen.server.errors import ConnectionFailedError
from invokeai_gen.server.idempotency import send_once
from invokeai_gen.server.other_loops import unbroken
from invokeai_gen.server.run_errors import MediaResolutionError, ModelResolutionError, ValueResolutionError
from invokeai_gen.server.status_errors import UnsupportedMediaError
from invokeai_gen.server.uploads import MediaKind, upload_once

if TYPE_CHECKING:
    from invokeai_gen.server.boards import Board
    from invokeai_gen.server.client import AsyncInvokeAIClient

T = TypeVar("T")
UPLOADS_AT_ONCE: Final = 4
_A_KIND: Final[Mapping[MediaKind, str]] = {"image": "an image", "video": "a video"}


async def resolve(
    plan: WorkflowPlan, values: Mapping[Binding, Any], client: AsyncInvokeAIClient, **options: Unpack[SubmitOptions]
) -> tuple[Values, Preparations]:
    """Return the values as JSON, and what was uploaded and created for them.

    Models, boards and the names of images and videos are looked up first, those in hidden fields too. Then files are
    uploaded, `UPLOADS_AT_ONCE` at a time, and missing boards are created if `create_boards`. Boards become `"auto"`,
    `"none"` or `{board_id}`. `resolve_models="off"` sends models as they are given.

    Raises `ValueResolutionError` with everything that cannot be used, by the label of its input, after deleting what
    was made.
    """
    preparations = Preparations()
    inputs = {planned.binding: planned for planned in plan.inputs}
    given = [(inputs[binding], value) for binding, value in values.items()]
    found, more = await Resolver(client, options, preparations).resolve(given, plan)
    return {**more, **dict(zip(values, found, strict=True))}, preparations


async def resolve_board(client: AsyncInvokeAIClient, board: BoardRef | str | None) -> str | None:
    """Return the id of the board that `auto` stands for in a workflow; `None` for no board."""
    if board is None or board in ("auto", "none"):
        return None
    return find_board("auto_board", board, await client.boards.list(include_archived=True)).board_id


@dataclass(frozen=True, slots=True)
class _Promise:
    """A file to upload, or the name of a board to create, once everything else was found."""

    label: str
    kind: MediaKind | Literal["board"]
    value: Any


class Resolver:
    """Asks the server each question once, however many values need the answer."""

    def __init__(self, client: AsyncInvokeAIClient, options: SubmitOptions, preparations: Preparations) -> None:
        self.preparations = preparations
        self._client = client
        self._options = options
        self._finds_models = options.get("resolve_models", "auto") == "auto"
        self._boards: list[Board] | None = None
        self._one_at_a_time = asyncio.Lock()
        self._uploading = asyncio.Semaphore(UPLOADS_AT_ONCE)
        self._files: dict[tuple[str, int], MediaResolutionError | None] = {}
        self._tasks: dict[object, asyncio.Task[Any]] = {}
        """Questions and uploads that several values share. They complete even if the caller is cancelled."""

    async def resolve(
        self, given: Sequence[tuple[PlannedInput, Any]], plan: WorkflowPlan
    ) -> tuple[list[JsonValue | Unset], Values]:
        """Return the JSON of values, in order, and the values of hidden fields of `plan` that have to change.

        After an error, delete again what was created, then raise it.
        """
        try:
            return await self._resolve(given, plan)
        except BaseException as error:
            await unbroken(self._undo(error))
            raise

    async def _undo(self, error: BaseException) -> None:
        await self._settle(error)
        await self.preparations.undo(self._client, error)

    async def _resolve(
        self, given: Sequence[tuple[PlannedInput, Any]], plan: WorkflowPlan
    ) -> tuple[list[JsonValue | Unset], Values]:
        local = [
            (planned.label, item)
            for planned, value in given
            for kind, item in look_ups(planned, value)
            if kind in ("image", "video") and not isinstance(item, (ImageRef, VideoRef))
        ]
        self._files = await asyncio.to_thread(files_among, local)
        questions: list[Coroutine[Any, Any, Any]] = [self._found(planned, value) for planned, value in given]
        hidden = [hidden_values(plan, self._client)] if self._finds_models else []
        found = await _all([*questions, *hidden])
        more: Values = found.pop() if hidden else {}
        made = await _all(_all(map(self._made, answers)) for answers in found)
        values = [answered(*pair, iter(answers)) for pair, answers in zip(given, made, strict=True)]
        return values, more

    # -- looking up ----------------------------------------------------------------------------------------------------

    async def _found(self, planned: PlannedInput, value: Any) -> list[Any]:
        """Return the answer to each look-up of a value, in order; a promise for what has to be uploaded or created."""
        if not is_sendable(value):
            raise ValueResolutionError(planned.label, "the text contains an unpaired surrogate, which cannot be sent.")
        return await _all(self._look_up(planned, kind, item) for kind, item in look_ups(planned, value))

    async def _look_up(self, planned: PlannedInput, kind: AssetKind, value: Any) -> Any:
        if kind == "board":
            return await self._board(planned.label, value)
        if kind == "model":
            return await self._model(planned, value)
        if isinstance(value, (ImageRef, VideoRef)):
            value = value.name
        elif (key := (planned.label, id(value))) in self._files:
            if (unreadable := self._files[key]) is not None:
                raise unreadable
            return _Promise(planned.label, kind, value)
        await self._once((kind, value), self._check_media(planned.label, kind, value))
        return {f"{kind}_name": value}

    async def _board(self, label: str, value: BoardRef | str) -> Any:
        async with self._one_at_a_time:
            if self._boards is None:
                self._boards = await self._client.boards.list(include_archived=True)
        if self._options.get("create_boards") and isinstance(value, str) and not has_board(value, self._boards):
            return _Promise(label, "board", value)
        return {"board_id": find_board(label, value, self._boards).board_id}

    async def _model(self, planned: PlannedInput, value: ModelRef | str) -> JsonValue:
        if not self._finds_models:
            if isinstance(value, str):
                raise ModelResolutionError(planned.label, f"{value!r} is only looked up with resolve_models='auto'.")
            return to_json(value, "ModelIdentifierField")
        async with self._one_at_a_time:
            return await model_on(self._client, planned.label, value, model_limits(planned))

    async def _check_media(self, label: str, kind: MediaKind, name: str) -> None:
        missing = f"{name!r} is neither a file here nor the name of {_A_KIND[kind]} on the server."
        if "/" in name or "\\" in name or name in (".", ".."):  # the server would be asked for something else
            raise MediaResolutionError(label, missing)
        await check_media(self._client, label, kind, name, missing)

    # -- making --------------------------------------------------------------------------------------------------------

    async def _made(self, answer: Any) -> JsonValue:
        """Return the answer to a look-up, after uploading or creating what it promises."""
        if not isinstance(answer, _Promise):
            return answer
        label, kind, value = answer.label, answer.kind, answer.value
        if kind == "board":
            return {"board_id": await self._once(("new board", value), self._new_board(label, value))}
        async with self._uploading:
            data, file_name = await asyncio.to_thread(read_file, label, value)
            digest = await asyncio.to_thread(lambda: hashlib.sha256(data).hexdigest())
            upload = self._upload(label, kind, data, file_name, digest)
            return {f"{kind}_name": await self._once((kind, digest, "file"), upload)}

    async def _upload(self, label: str, kind: MediaKind, data: bytes, file_name: str, digest: str) -> str:
        async def send() -> str:
            if kind == "image":
                return (await self._client.images.upload(data, file_name)).image_name
            return (await self._client.videos.upload(data, file_name)).video_name

        uploads, policy = self.preparations.uploads, self._options.get("upload", "once")
        try:
            return await upload_once(self._client, uploads, kind, digest, send, policy)
        except UnsupportedMediaError:
            problem = f"the server cannot read {file_name!r} as {_A_KIND[kind]}."
            raise MediaResolutionError(label, problem) from None

    async def _new_board(self, label: str, name: str) -> str:
        async def find() -> Board | None:
            boards = await self._client.boards.list()
            return find_board(label, name, boards) if has_board(name, boards) else None

        def uncertain(reason: Exception) -> Exception:
            return ConnectionFailedError(f"the server did not confirm the creation of board {name!r} ({reason})")

        made = await send_once(lambda: self._client.boards.create(name), find, uncertain)
        self.preparations.boards.append(made.board_id)
        return made.board_id

    async def _once(self, key: object, question: Coroutine[Any, Any, T]) -> T:
        if key in self._tasks:
            question.close()
        else:
            self._tasks[key] = asyncio.create_task(question)
        answer: T = await asyncio.shield(self._tasks[key])
        return answer

    async def _settle(self, error: BaseException) -> None:
        """Wait for the uploads under way after an error: only then is it known what has to be deleted."""
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks.values(), timeout=constants.UNDO_TIMEOUT)
        for task in late:
            task.cancel()
        if late:
            error.add_note("requests were broken off: what they were to upload or create may be on the server")
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)


async def _all(questions: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Return all answers, in order. Raise the first error in that order; it lists all values that cannot be used.

    All questions go on to their end even if one fails, because an upload that is broken off leaves an unknown image.
    """
    questions = [*questions]
    if len(questions) == 1:  # most values have one, and a sweep many values
        return [await questions[0]]
    answers = await asyncio.gather(*questions, return_exceptions=True)
    found: list[T] = []
    for place, answer in enumerate(answers):
        if isinstance(answer, ValueResolutionError):
            raise answer.with_others([each for each in answers[place + 1 :] if isinstance(each, ValueResolutionError)])
        if isinstance(answer, BaseException):
            raise answer
        found.append(answer)
    return found


def files_among(values: Iterable[tuple[str, Any]]) -> dict[tuple[str, int], MediaResolutionError | None]:
    """Return which values are files here, by label and identity, with an error for each that cannot be read.

    Files are opened, not read. All in one call: with a thread for each, 10,000 images would take seconds.
    """
    found: dict[tuple[str, int], MediaResolutionError | None] = {}
    for label, value in values:
        if isinstance(value, str) and not os.path.isfile(value):
            continue
        found[label, id(value)] = None
        if isinstance(value, (str, Path)):
            try:
                Path(value).open("rb").close()
            except OSError as error:
                found[label, id(value)] = _unreadable(label, Path(value), error)
    return found


def read_file(label: str, value: Any) -> tuple[bytes, str]:
    """Return the bytes and the name of a file to upload; a Pillow image becomes a PNG file.

    Raises `MediaResolutionError` for a file that cannot be read and for an image that has no PNG form, such as one of
    floating-point numbers.
    """
    if isinstance(value, bytes):
        return value, "upload"
    if isinstance(value, (str, Path)):
        path = Path(value)
        try:
            return path.read_bytes(), path.name
        except OSError as error:
            raise _unreadable(label, path, error) from None
    if hasattr(value, "save") and hasattr(value, "mode"):
        try:
            return png_bytes(value), "image.png"
        except ValueError as error:
            raise MediaResolutionError(label, f"{error}.") from None
    raise ValueResolutionError(label, f"{type(value).__name__} is neither a file, nor bytes, nor a Pillow image.")


def _unreadable(label: str, path: Path, error: OSError) -> MediaResolutionError:
    return MediaResolutionError(label, f"{path} cannot be read: {error.strerror or error}.")
