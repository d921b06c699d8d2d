"""Which result of a finished session belongs to which node of the workflow, and what is found anywhere in a result.

Pure rules over the server's JSON.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

_MEDIA_KEYS: Final = ("image_name", "video_name")


@dataclass(frozen=True, slots=True)
class NodeResult:
    """What one execution of a node returned: `result["width"]`, `result.get("image")`, `result.fields`."""

    node_id: str
    """Id of the node in the workflow."""
    prepared_id: str
    """Id of this execution."""
    type: str
    """Name of the output type, such as `image_output`."""
    fields: Mapping[str, Any]
    """Everything it returned, as JSON."""
    iteration: tuple[int, ...] = ()
    """The round of each `iterate` node before it, outermost first."""

    def __getitem__(self, name: str) -> Any:
        return self.fields[name]

    def get(self, name: str, default: Any = None) -> Any:
        """Return the field with that name, or `default`."""
        return self.fields.get(name, default)


@dataclass(frozen=True, slots=True)
class LatentsOutput:
    """Latents that a node returned. They stay on the server, for its own nodes: there is nothing to download."""

    name: str
    width: int
    """Pixels of the image that they represent."""
    height: int
    """Pixels of the image that they represent."""
    seed: int | None = None
    node_id: str = ""


@dataclass(frozen=True, slots=True)
class MaskOutput:
    """A mask that a node returned. It stays on the server, for its own nodes: there is nothing to download."""

    name: str
    width: int
    """Pixels."""
    height: int
    """Pixels."""
    node_id: str = ""


@dataclass(frozen=True, slots=True)
class ConditioningOutput:
    """Conditioning that a node returned. It stays on the server, for its own nodes: there is nothing to download."""

    name: str
    node_id: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Everything the node returned, as JSON."""


def results_by_node(session: Mapping[str, Any]) -> dict[str, tuple[NodeResult, ...]]:
    """Return the results of a session by node of the workflow, in the order in which its nodes finished.

    Several results of one node are in the order of their iterations, which may differ from the order of execution.
    """
    sources: dict[str, str] = session.get("prepared_source_mapping") or {}
    results: Mapping[str, Mapping[str, Any]] = session.get("results") or {}
    paths: Mapping[str, Sequence[int]] = session.get("prepared_iteration_paths") or {}
    if results and not paths:
        paths = iteration_paths(session)
    found: dict[str, list[NodeResult]] = {}
    for prepared, result in results.items():
        node_id: str = sources.get(prepared, prepared)
        found.setdefault(node_id, []).append(node_result(node_id, prepared, result, tuple(paths.get(prepared, ()))))
    # `executed` is a set on the server and comes in any order; the history is a list of the workflow's node ids.
    order: dict[str, int] = {node_id: place for place, node_id in enumerate(session.get("executed_history") or ())}
    nodes = sorted(found, key=lambda node_id: order.get(node_id, len(order)))
    return {node_id: tuple(sorted(found[node_id], key=lambda item: item.iteration)) for node_id in nodes}


def iteration_paths(session: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return the iteration of each execution, by its id: the indices of all `iterate` nodes before it, outermost first.

    Servers before InvokeAI 6.14 do not report it; it is worked out from the execution graph.
    """
    from graphlib import TopologicalSorter

    graph = session.get("execution_graph") or {}
    nodes: Mapping[str, Mapping[str, Any]] = graph.get("nodes") or {}
    parents: dict[str, list[str]] = {prepared: [] for prepared in nodes}
    for edge in graph.get("edges") or ():
        if edge["source"]["node_id"] in nodes and edge["destination"]["node_id"] in nodes:
            parents[edge["destination"]["node_id"]].append(edge["source"]["node_id"])
    iterates: dict[str, frozenset[str]] = {}
    for prepared in TopologicalSorter(parents).static_order():
        known = [iterates[parent] for parent in parents[prepared]]
        join = frozenset.intersection if nodes[prepared]["type"] == "collect" else frozenset.union
        before: frozenset[str] = join(*known) if known else frozenset()
        iterates[prepared] = before | {prepared} if nodes[prepared]["type"] == "iterate" else before
    return {
        prepared: tuple(nodes[one]["index"] for one in sorted(before, key=lambda one: (len(iterates[one]), one)))
        for prepared, before in iterates.items()
        if before
    }


def node_result(
    node_id: str, prepared_id: str, result: Mapping[str, Any], iteration: tuple[int, ...] = ()
) -> NodeResult:
    """Return one entry of a session's `results`, or the `result` of an event, as a `NodeResult`."""
    fields = {name: value for name, value in result.items() if name not in ("type", "output_meta")}
    return NodeResult(node_id, prepared_id, result.get("type", ""), fields, iteration)


def image_sizes(results: Iterable[NodeResult]) -> dict[str, Mapping[str, int]]:
    """Return width and height of every image that any node returned with its size."""
    return {
        result["image"]["image_name"]: {"width": result["width"], "height": result["height"]}
        for result in results
        if isinstance(result.get("image"), Mapping) and result.get("width") and result.get("height")
    }


def media_names(value: Any) -> Iterator[tuple[str, str]]:
    """Yield `("image_name" | "video_name", name)` of every image and video anywhere in a result."""
    for key in _MEDIA_KEYS:
        for item in objects_with(key, value):
            yield key, item[key]


def objects_with(key: str, value: Any) -> Iterator[Mapping[str, Any]]:
    """Yield every object anywhere in a result that has a text under `key`, in order."""
    if isinstance(value, Mapping):
        if isinstance(value.get(key), str):
            yield value
        for item in value.values():
            yield from objects_with(key, item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from objects_with(key, item)


def flat(value: Any) -> Iterator[Any]:
    """Yield the values in an output, which may be a list of lists."""
    if isinstance(value, list):
        for item in value:
            yield from flat(item)
    else:
        yield value
