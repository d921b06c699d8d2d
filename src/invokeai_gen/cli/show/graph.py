"""The graph of a workflow as Mermaid text. Labels are untrusted and therefore escaped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from invokeai_gen.core.plan import WorkflowPlan

_MAX_LABEL: Final = 40
_PLAIN: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 .,_-+/()")


@dataclass(frozen=True, slots=True)
class Box:
    """A node of the graph."""

    id: str
    label: str
    type: str
    inputs: tuple[str, ...]
    """Names of the inputs that belong to this node."""
    is_output: bool
    is_batch: bool


@dataclass(frozen=True, slots=True)
class Graph:
    """Boxes, and lines from one box to another with the names of the fields that they feed."""

    title: str
    boxes: tuple[Box, ...]
    lines: dict[tuple[str, str], tuple[str, ...]]


def graph_of(plan: WorkflowPlan) -> Graph:
    """Return the nodes, batches and generators of a plan whose inputs have names, and what feeds what."""
    inputs: dict[str, list[str]] = {}
    for planned in plan.inputs:
        if planned.fed_by is None:
            inputs.setdefault(planned.node_id, []).append(planned.name)
    results = {output.node_id for output in plan.outputs if output.role != "debug"}
    boxes = tuple(
        Box(node.id, node.label, node.type, tuple(inputs.get(node.id, ())), node.id in results, not node.is_executable)
        for node in plan.nodes
    )
    known = {box.id for box in boxes}
    lines: dict[tuple[str, str], list[str]] = {}
    for edge in plan.edges:
        lines.setdefault((edge.source_node_id, edge.target_node_id), []).append(edge.target_field)
    for batch in plan.batches:
        for target, field in batch.targets:
            lines.setdefault((batch.node_id, target), []).append(field)
        if batch.generator_node_id is not None:
            lines.setdefault((batch.generator_node_id, batch.node_id), []).append(batch.field_name)
    return Graph(
        plan.info.name or plan.info.source,
        boxes,
        {ends: tuple(fields) for ends, fields in lines.items() if known.issuperset(ends)},
    )


def mermaid(graph: Graph) -> str:
    """Return the graph as a Mermaid flowchart, for Markdown files and https://mermaid.live."""
    ids = {box.id: f"n{index}" for index, box in enumerate(graph.boxes)}
    lines = ["flowchart LR"]
    for box in graph.boxes:
        text = "<br/>".join(map(_mermaid_text, filter(None, (box.label, box.type, ", ".join(box.inputs)))))
        shape = ("[[", "]]") if box.is_batch else ("([", "])") if box.is_output else ("[", "]")
        kind = "output" if box.is_output else "input" if box.inputs else ""
        lines.append(f'    {ids[box.id]}{shape[0]}"{text}"{shape[1]}{f":::{kind}" if kind else ""}')
    for (source, target), fields in graph.lines.items():
        lines.append(f'    {ids[source]} -->|"{_mermaid_text(", ".join(fields))}"| {ids[target]}')
    lines += ["    classDef input fill:#e0f2fe,stroke:#0284c7,color:#18181b"]
    lines += ["    classDef output fill:#dcfce7,stroke:#16a34a,color:#18181b"]
    return "\n".join(lines) + "\n"


def _mermaid_text(text: str) -> str:
    """Return a text with all but plain letters as entities, which Mermaid never reads as syntax or markup."""
    return "".join(char if char in _PLAIN else f"#{ord(char)};" for char in _short(text))


def _short(text: str, limit: int = _MAX_LABEL) -> str:
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
