"""From a finished image back to the values that made it.

InvokeAI stores two things in an image. The *workflow* is the one of the editor; when a batch or a sweep varied values,
it has those of the first run only. The *graph* is what ran for this very image, so values are read from the graph. It
has no batch and generator nodes; their lists are read from the workflow.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, Protocol

from pydantic_core import ValidationError

from invokeai_gen import js_reading
from invokeai_gen.core import checks, problems
from invokeai_gen.core.json_values import accepted_kind, read_value
from invokeai_gen.core.plan import JsonValue
from invokeai_gen.core.problems import Problem
from invokeai_gen.core.values import ImageRef, Input
from invokeai_gen.errors import InvokeAIGenError
from invokeai_gen.js_json import UNSET, Unset
from invokeai_gen.png_texts import GRAPH_KEY, WORKFLOW_KEY, PngError, png_texts
from invokeai_gen.texts import shown

_RANDOM_NODES: Final = frozenset({"rand_int", "rand_float", "random_range"})
"""They draw on the server, and what they drew is not in the graph."""


class ImageValuesError(InvokeAIGenError, ValueError):
    """An image that cannot be read, or that lacks the record of how it was made."""


class RecallWarning(UserWarning):
    """Something about an image that `Params` cannot hold, or that is not stored in it."""


class ReadsImages(Protocol):
    """A client, as far as this module needs it: an `InvokeAIClient`."""

    @property
    def images(self) -> Any:
        """Has a method `read(name)` that returns the file."""
        ...


class HasInputs(Protocol):
    """A class of parameters, as far as this module needs it: a `WorkflowParams`."""

    __inputs__: ClassVar[Mapping[str, Input]]


@dataclass(frozen=True, slots=True)
class RecalledValues:
    """The values that made an image, and what is missing from them."""

    values: Mapping[str, Any]
    """Checked values by Python name, of every input that the image has one for."""
    unmatched: tuple[Problem, ...]
    """Inputs without a usable value in the image, with the reason; they keep their default."""
    notes: tuple[str, ...]
    """What is not stored in the image, such as numbers that were drawn on the server."""


def recall(params: type[HasInputs], image: Any, client: ReadsImages | None = None) -> RecalledValues:
    """Return the values of `params` that an image was made with.

    `image` is a path, the bytes of a PNG file, an open file, a Pillow image, an `ImageOutput`, or, with `client`, the
    name of an image on the server. Inputs are matched by node and field, so an image made by another version of the
    workflow has the values of everything that is still there.

    Raises `ImageValuesError` if the file cannot be read, has no graph, or was made by another workflow.
    """
    texts = image_texts(image, client)
    if GRAPH_KEY not in texts:
        raise ImageValuesError(
            "the image does not say how it was made: use the PNG file itself, as InvokeAI saved it, not a copy that "
            "was converted, resized or sent by a messenger"
        )
    source = _Source(_object(texts[GRAPH_KEY], "graph"), _object(texts.get(WORKFLOW_KEY, "{}"), "workflow"))
    values: dict[str, Any] = {}
    unmatched: list[Problem] = []
    notes = [*source.random_nodes()]
    for item in sorted(params.__inputs__.values(), key=lambda item: item.index):
        if item.fed_by is not None:
            continue
        try:
            values[item.name] = _checked(item, params.__annotations__[item.name], source)
        except ValueError as error:
            unmatched.append(problems.about(item, f": {error}", str(error)))
        else:
            if item.node not in source.nodes:
                notes.append(f"{problems.title(item)} is the list of the whole batch; the image shows one of its runs")
    if not values and unmatched:
        raise ImageValuesError(f"the image was made by another workflow{source.name()}: none of the inputs is in it")
    return RecalledValues(values, tuple(unmatched), tuple(notes))


def image_texts(image: Any, client: ReadsImages | None = None) -> dict[str, str]:
    """Return the texts in an image by keyword (`png_texts.WORKFLOW_KEY`, `GRAPH_KEY`); `image` is as for `recall`."""
    if hasattr(image, "mode") and isinstance(getattr(image, "info", None), dict):
        return {key: text for key, text in image.info.items() if isinstance(text, str)}
    try:
        return png_texts(_file_content(image, client))
    except PngError as error:
        raise ImageValuesError(f"{_described(image)}: {error}") from error
    except OSError as error:
        raise ImageValuesError(f"{_described(image)}: {error.strerror or error}") from error


def _file_content(image: Any, client: ReadsImages | None) -> bytes:
    if isinstance(image, (bytes, bytearray, memoryview)):
        return bytes(image)
    if isinstance(image, Path) or (isinstance(image, str) and (client is None or os.path.isfile(image))):
        return Path(image).read_bytes()
    if client is not None and isinstance(image, (str, ImageRef)):
        content = client.images.read(image if isinstance(image, str) else image.name)
        if isinstance(content, bytes):
            return content
        content.close()  # a coroutine
        raise ImageValuesError(
            "use an InvokeAIClient; in async code, pass `await client.images.read(name)` as the image"
        )
    for method in ("bytes", "read"):  # an `ImageOutput`, an open file
        if callable(getattr(image, method, None)):
            return bytes(getattr(image, method)())
    raise ImageValuesError(f"{_described(image)} is not an image: use a path, bytes, a Pillow image or an ImageOutput")


def _described(image: Any) -> str:
    return str(image) if isinstance(image, (str, Path)) else shown(image)


def _object(text: str, what: str) -> dict[str, JsonValue]:
    try:
        data = js_reading.loads(text)
    except ValueError as error:
        raise ImageValuesError(f"the {what} in the image is damaged: {error}") from error
    if not isinstance(data, dict):
        raise ImageValuesError(f"the {what} in the image is damaged: it is not an object")
    return data


class _Source:
    """The graph and the workflow of an image: data of a stranger, in which anything may be missing."""

    def __init__(self, graph: Mapping[str, JsonValue], workflow: Mapping[str, JsonValue]) -> None:
        self._workflow = workflow
        self.nodes: dict[str, Mapping[str, JsonValue]] = {
            str(key): node for key, node in _mapping(graph.get("nodes")).items() if isinstance(node, Mapping)
        }
        self._stored = {str(node.get("id")): _mapping(node.get("data")) for node in _mappings(workflow.get("nodes"))}
        self._fed: dict[tuple[Any, Any], str] = {}
        for edge in _mappings(graph.get("edges")):
            target, feeder = _mapping(edge.get("destination")), _mapping(edge.get("source"))
            self._fed[target.get("node_id"), target.get("field")] = str(feeder.get("node_id"))

    def name(self) -> str:
        """Return the name of the workflow for a message."""
        name = self._workflow.get("name")
        return f", {shown(name)}" if isinstance(name, str) and name else ""

    def value(self, node_id: str, field: str) -> JsonValue | Unset:
        """Return the value that a field had. Raises `ValueError` if the image has no such field."""
        stored = self.stored(node_id, field)
        node = self.nodes.get(node_id)
        if node is None:
            if stored is UNSET:
                raise ValueError("the image has no such node, or no value for it")
            return stored
        feeder = self._fed.get((node_id, field))
        if feeder is not None:
            raise ValueError(f"in the workflow of the image it is fed by node {self._title(feeder)}")
        called = _mapping(node.get("workflow_inputs"))
        if field in called:
            return called[field]
        if field not in node and stored is UNSET:
            raise ValueError("its node in the image has no such field")
        return node.get(field)

    def stored(self, node_id: str, field: str) -> JsonValue | Unset:
        """Return the value of a field in the workflow."""
        inputs = _mapping(self._stored.get(node_id, {}).get("inputs"))
        return _mapping(inputs.get(field)).get("value", UNSET)

    def random_nodes(self) -> Iterator[str]:
        """Yield a note for each node that draws numbers on the server."""
        for node_id, node in self.nodes.items():
            if node.get("type") in _RANDOM_NODES:
                yield f"node {self._title(node_id)} draws a new number in each run, which the image does not have"

    def _title(self, node_id: str) -> str:
        label = self._stored.get(node_id, {}).get("label") or _mapping(self.nodes.get(node_id)).get("type") or node_id
        return shown(label)


def _checked(item: Input, hint: Any, source: _Source) -> Any:
    """Return the value of an input. Raises `ValueError` with the reason if it does not accept the value in the image."""
    data = source.value(item.node, item.field)
    if accepted_kind(hint) == "board":
        data = _board(data, source.stored(item.node, item.field))
    if data is UNSET:
        data = None
    try:
        return checks.validator(hint).validate_python(read_value(hint, data))
    except ValidationError as error:
        if data is None:
            raise ValueError("the image has no value for it") from None
        reason = problems.invalid(item, error).reason
        raise ValueError(f"the image has {shown(data)}, but it {reason}") from None


def _board(ran: JsonValue | Unset, stored: JsonValue | Unset) -> JsonValue:
    """Return what the board was set to. In the graph, `none` looks like an `auto` without a board to add to."""
    if isinstance(ran, Mapping):
        return ran
    return stored if stored in ("auto", "none") else "auto" if stored is UNSET else "none"


def _mapping(value: Any) -> Mapping[str, JsonValue]:
    return value if isinstance(value, Mapping) else {}


def _mappings(value: Any) -> list[Mapping[str, JsonValue]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []
