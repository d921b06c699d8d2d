"""From what a user gave to what a server understands: uploads, and boards and models looked up by name.

Which model or board a name means is decided by the pure functions at the end of this module.
"""

from __future__ import annotations

import asyncio
import difflib
import hashlib
import os
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, TypeVar

from invokeai_gen.core.field_values import model_limits
from invokeai_gen.core.json_values import to_json
from invokeai_gen.core.pictures import png_bytes
from invokeai_gen.core.plan import AssetKind, JsonValue, ModelLimits, PlannedInput, WorkflowPlan
from invokeai_gen.core.request_values import answered, look_ups
from invokeai_gen.core.values import BoardRef, ImageRef, ModelRef, VideoRef
from invokeai_gen.js_json import Unset
from invokeai_gen.runtime.cleanup import UNDO_TIMEOUT, Preparations
from invokeai_gen.server.client import AsyncInvokeAIClient
from invokeai_gen.server.errors import (
    BoardResolutionError,
    ConnectionFailedError,
    MediaResolutionError,
    ModelResolutionError,
    NotFoundError,
    UnsupportedMediaError,
    ValueResolutionError,
)
from invokeai_gen.server.idempotency import send_once
from invokeai_gen.server.records import Board, Model
from invokeai_gen.surrogates import is_encodable

T = TypeVar("T")
Binding: TypeAlias = tuple[str, str]
ResolveModels: TypeAlias = Literal["auto", "off"]
UPLOADS_AT_ONCE: Final = 4


async def resolve(
    plan: WorkflowPlan,
    values: Mapping[Binding, Any],
    client: AsyncInvokeAIClient,
    *,
    resolve_models: ResolveModels = "auto",
    create_boards: bool = False,
) -> tuple[dict[Binding, JsonValue | Unset], Preparations]:
    """Return the values as JSON, every name in them looked up on this server, and what was created there for that.

    It does for one value of each input what `resolve_columns` does for many.
    """
    preparations = Preparations()
    resolver = _Resolver(client, resolve_models, create_boards, preparations)
    inputs = {planned.binding: planned for planned in plan.inputs}
    found = await resolver.all(resolver.value(inputs[binding], value) for binding, value in values.items())
    return dict(zip(values, found, strict=True)), preparations


async def resolve_columns(
    plan: WorkflowPlan,
    columns: Mapping[Binding, Sequence[Any]],
    client: AsyncInvokeAIClient,
    preparations: Preparations,
    *,
    resolve_models: ResolveModels = "auto",
    create_boards: bool = False,
) -> dict[Binding, list[JsonValue | Unset]]:
    """Any number of values for each input as JSON, every name in them made sure of on this server.

    Equal files are uploaded once, `UPLOADS_AT_ONCE` at the same time; those that `preparations` knows are not uploaded
    again, and what is made is added to it. A board becomes `"auto"`, `"none"` or `{board_id}`; `create_boards` makes
    one where none has that name. `resolve_models="off"` sends models as they are given. Raises `ValueResolutionError`
    (its message names the input's label) for the first value in the order of the form that cannot be used, after
    deleting again what was made.
    """
    resolver = _Resolver(client, resolve_models, create_boards, preparations)
    inputs = {planned.binding: planned for planned in plan.inputs}
    found = await resolver.all(resolver.column(inputs[binding], values) for binding, values in columns.items())
    return dict(zip(columns, found, strict=True))


async def resolve_board(client: AsyncInvokeAIClient, board: BoardRef | str | None) -> str | None:
    """Id of the board that new images go to where a workflow says `auto`; `None` for no board."""
    if board is None or board in ("auto", "none"):
        return None
    answer = await _Resolver(client, "auto", False, Preparations()).board("auto_board", board)
    return str(answer["board_id"])


class _Resolver:
    """Asks the server each question once, however many values need the answer."""

    def __init__(
        self,
        client: AsyncInvokeAIClient,
        resolve_models: ResolveModels,
        create_boards: bool,
        preparations: Preparations,
    ) -> None:
        self.preparations = preparations
        self._client = client
        self._resolve_models = resolve_models
        self._create_boards = create_boards
        self._boards: list[Board] | None = None
        self._one_at_a_time = asyncio.Lock()
        self._uploading = asyncio.Semaphore(UPLOADS_AT_ONCE)
        self._tasks: dict[object, asyncio.Task[Any]] = {}
        """What is asked or made once; these go on to their end even if whoever asked is canceled."""

    async def all(self, questions: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
        """Return all answers, in order. After an error, delete again what was created, then raise it."""
        try:
            return await _all(questions)
        except BaseException as error:
            await self.settle(error)
            await self.preparations.undo(self._client, error)
            raise

    async def column(self, planned: PlannedInput, values: Sequence[Any]) -> list[JsonValue | Unset]:
        keys = [_key(value, place) for place, value in enumerate(values)]
        distinct = dict(zip(keys, values, strict=True))
        answers = await _all(self.value(planned, value) for value in distinct.values())
        found = dict(zip(distinct, answers, strict=True))
        return [found[key] for key in keys]

    async def value(self, planned: PlannedInput, value: Any) -> JsonValue | Unset:
        _check_text(planned.label, value)
        answers = await _all(self._look_up(planned, kind, item) for kind, item in look_ups(planned, value))
        return answered(planned, value, iter(answers))

    async def _look_up(self, planned: PlannedInput, kind: AssetKind, value: Any) -> JsonValue:
        if kind == "board":
            return await self.board(planned.label, value)
        if kind == "model":
            return await self._model(planned, value)
        return await self._media(planned.label, kind, value)

    async def board(self, label: str, value: BoardRef | str) -> JsonValue:
        async with self._one_at_a_time:
            if self._boards is None:
                self._boards = await self._client.boards.list(include_archived=True)
            found = find_board(label, value, self._boards, may_lack=self._create_boards)
            if found is None:
                found = await self._once(("new board", value), self._new_board(label, str(value)))
                self._boards.append(found)
        return {"board_id": found.board_id}

    async def _model(self, planned: PlannedInput, value: ModelRef | str) -> JsonValue:
        if self._resolve_models == "off":
            if isinstance(value, str):
                raise ModelResolutionError(planned.label, f"{value!r} needs resolve_models='auto' to be looked up.")
            return to_json(value, "ModelIdentifierField")
        limits = model_limits(planned)
        async with self._one_at_a_time:
            try:
                found = find_model(planned.label, value, limits, await self._client.models.known())
            except ModelResolutionError:
                found = find_model(planned.label, value, limits, await self._client.models.sync())
        submodel = value.submodel_type if isinstance(value, ModelRef) else None
        identifier = ModelRef(
            key=found.key, hash=found.hash, name=found.name, base=found.base, type=found.type, submodel_type=submodel
        )
        return to_json(identifier, "ModelIdentifierField")

    async def _media(self, label: str, kind: Literal["image", "video"], value: Any) -> JsonValue:
        if isinstance(value, (ImageRef, VideoRef)):
            value = value.name
        elif not isinstance(value, str) or os.path.isfile(value):
            async with self._uploading:
                data, file_name = await asyncio.to_thread(_file_of, label, value)
                digest = hashlib.sha256(data).hexdigest()
                upload = self._upload(label, kind, data, file_name, digest)
                return {f"{kind}_name": await self._once((kind, digest, "file"), upload)}
        return {f"{kind}_name": await self._once((kind, value), self._existing(label, kind, value))}

    async def _new_board(self, label: str, name: str) -> Board:
        async def find() -> Board | None:
            return find_board(label, name, await self._client.boards.list(), may_lack=True)

        def uncertain(reason: Exception) -> Exception:
            return ConnectionFailedError(f"the server did not confirm that it made the board {name!r} ({reason})")

        board = await send_once(lambda: self._client.boards.create(name), find, uncertain)
        self.preparations.boards.append(board.board_id)
        return board

    async def _once(self, key: object, question: Coroutine[Any, Any, T]) -> T:
        if key in self._tasks:
            question.close()
        else:
            self._tasks[key] = asyncio.create_task(question)
        answer: T = await asyncio.shield(self._tasks[key])
        return answer

    async def settle(self, error: BaseException) -> None:
        """Lets what is under way come to its end after an error: only then is it known what it has made."""
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks.values(), timeout=UNDO_TIMEOUT)
        for task in late:
            task.cancel()
        if late:
            error.add_note("requests were broken off: what they were to upload or to make may be on the server")
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _existing(self, label: str, kind: Literal["image", "video"], name: str) -> str:
        missing = MediaResolutionError(
            label, f"{name!r} is neither a file here nor the name of {_an(kind)} on the server."
        )
        if _is_path(name):
            raise missing
        try:
            await (self._client.images.get(name) if kind == "image" else self._client.videos.get(name))
        except NotFoundError:
            raise missing from None
        return name

    async def _upload(
        self, label: str, kind: Literal["image", "video"], data: bytes, file_name: str, digest: str
    ) -> str:
        uploads = self.preparations.uploads
        if (kind, digest) in uploads.known:
            return uploads.known[kind, digest]
        try:
            if kind == "image":
                name = (await self._client.images.upload(data, file_name)).image_name
            else:
                name = (await self._client.videos.upload(data, file_name)).video_name
        except UnsupportedMediaError:
            raise MediaResolutionError(label, f"the server cannot read {file_name!r} as {_an(kind)}.") from None
        uploads.add(kind, digest, name)
        return name


async def _all(questions: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Return all answers, in order. Raise the first error in that order; it lists all values that cannot be used.

    All questions go on to their end even if one fails, because an upload that is broken off leaves an unknown image.
    """
    answers = await asyncio.gather(*questions, return_exceptions=True)
    found: list[T] = []
    for place, answer in enumerate(answers):
        if isinstance(answer, ValueResolutionError):
            raise answer.with_others([each for each in answers[place + 1 :] if isinstance(each, ValueResolutionError)])
        if isinstance(answer, BaseException):
            raise answer
        found.append(answer)
    return found


def _key(value: Any, place: int) -> object:
    """Equal for values that need to be looked at only once, of which a sweep can have many."""
    return (type(value), value) if isinstance(value, (str, int, float, Path)) else place


def _file_of(label: str, value: Any) -> tuple[bytes, str]:
    """Bytes and name of the file to upload."""
    if isinstance(value, bytes):
        return value, "upload"
    if isinstance(value, (str, Path)):
        path = Path(value)
        try:
            return path.read_bytes(), path.name
        except OSError as error:
            problem = f"{path} cannot be read: {error.strerror or error}."
            raise MediaResolutionError(label, problem) from None
    if hasattr(value, "save") and hasattr(value, "mode"):
        return png_bytes(value), "image.png"
    raise ValueResolutionError(label, f"{type(value).__name__} is neither a file, nor bytes, nor a Pillow image.")


def _is_path(name: str) -> bool:
    """Names on a server have no folders; asking for one would ask for something else."""
    return "/" in name or "\\" in name or name in (".", "..")


def _check_text(label: str, value: Any) -> None:
    for text in value if isinstance(value, list) else [value]:
        if isinstance(text, str) and not is_encodable(text):
            raise ValueResolutionError(label, "the text contains an unpaired surrogate, which cannot be sent.")


def _an(kind: str) -> str:
    return "an image" if kind == "image" else "a video"


def find_board(label: str, wanted: BoardRef | str, boards: Sequence[Board], *, may_lack: bool = False) -> Board | None:
    """The board of that id, else the only one of that name.

    Raises `BoardResolutionError` for several and, unless `may_lack`, for none, with the names that come closest.
    """
    given = wanted.id if isinstance(wanted, BoardRef) else wanted
    for board in boards:
        if board.board_id == given:
            return board
    named = [] if isinstance(wanted, BoardRef) else [board for board in boards if board.board_name == given]
    if len(named) > 1:
        ids = [f"BoardRef({board.board_id!r}) with {board.image_count} images" for board in named]
        raise BoardResolutionError(label, f"{len(named)} boards are called {given!r}; say which by its id.", ids)
    if named:
        return named[0]
    if may_lack and isinstance(wanted, str):
        return None
    names = _closest_first(given, [board.board_name for board in boards])
    raise BoardResolutionError(label, f"no board has the name or id {given!r}; 'none' and 'auto' always work.", names)


def find_model(label: str, wanted: ModelRef | str, limits: ModelLimits, models: Sequence[Model]) -> Model:
    """The model that is meant: by key, else hash, else name with base and type, else name among those the field takes.

    Keys are those of one server; hash and name travel. Raises `ModelResolutionError` where none or several are meant,
    or the one that is meant does not go into this field.
    """
    ref = wanted if isinstance(wanted, ModelRef) else ModelRef(key=wanted, hash=wanted, name=wanted)
    fitting = [model for model in models if fits(model, limits)]
    same_name = [model for model in fitting if ref.name and model.name == ref.name]
    steps = (
        [model for model in models if ref.key and model.key == ref.key],
        [model for model in models if ref.hash and model.hash == ref.hash],
        [model for model in same_name if (ref.base, ref.type) == (model.base, model.type)],
        same_name,
    )
    shown = repr(wanted if isinstance(wanted, str) else ref.name or ref.hash or ref.key)
    found: list[Model] = next((step for step in steps if step), [])
    if len(found) > 1:
        found = [model for model in found if model in same_name] or found
    if len(found) == 1 or (found and len({model.hash for model in found}) == 1):
        if not fits(found[0], limits):
            raise ModelResolutionError(
                label, f"{found[0]} does not go in here; the field takes {_takes(limits)}.", _offered(shown, fitting)
            )
        return found[0]
    if found:
        raise ModelResolutionError(label, f"several models are meant by {shown}; give a key.", [
            f"{model} with key {model.key!r}" for model in found
        ])  # fmt: skip
    raise ModelResolutionError(
        label, f"no model {shown} that goes in here ({_takes(limits)}).", _offered(shown, fitting)
    )


def fitting_models(models: Iterable[Model], limits: ModelLimits) -> list[Model]:
    """Return the models that a field takes: in the order of the bases that it names, then by name."""
    order = {base: place for place, base in enumerate(limits.base)}
    found = [model for model in models if fits(model, limits)]
    return sorted(found, key=lambda model: (order.get(model.base, len(order)), model.name.casefold()))


def fits(model: Model, limits: ModelLimits) -> bool:
    """Return whether a field with these limits takes a model."""
    return (
        (not limits.base or model.base in limits.base or model.base == "any")
        and (not limits.type or model.type in limits.type)
        and (not limits.variant or model.variant is None or model.variant in limits.variant)
        and (not limits.format or model.format is None or model.format in limits.format)
    )


def _takes(limits: ModelLimits) -> str:
    """What a field takes, in words: `sdxl or sdxl-refiner main models`."""
    parts = [" or ".join(part) for part in (limits.base, limits.type) if part]
    return " ".join(parts or ["any"]) + " models"


def _offered(wanted: str, models: Sequence[Model]) -> list[str]:
    return _closest_first(wanted, [str(model) for model in models])


def _closest_first(wanted: str, names: Sequence[str]) -> list[str]:
    """The names, those most like `wanted` first, each once."""
    ratio = {name: difflib.SequenceMatcher(None, wanted.casefold(), name.casefold()).ratio() for name in names}
    return sorted(ratio, key=lambda name: (-ratio[name], name))
