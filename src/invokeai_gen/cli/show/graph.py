"""The graph of a workflow as Mermaid text. Labels are untrusted and therefore escaped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from invokeai_gen.texts import plain

if TYPE_CHECKING:
    from invokeai_gen.core.plan import WorkflowPlan

_MAX_LABEL: Final = 40
_PLAIN: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 .,_-+/()")


def mermaid(plan: WorkflowPlan) -> str:
    """Return a flowchart of a plan: its nodes, batches and generators, and the connections between them.

    Markdown files and https://mermaid.live show it.
    """
    inputs: dict[str, list[str]] = {}
    for planned in plan.inputs:
        if planned.fed_by is None:
            inputs.setdefault(planned.node_id, []).append(planned.name)
    results = {output.node_id for output in plan.outputs if output.role != "debug"}
    ids = {node.id: f"n{index}" for index, node in enumerate(plan.nodes)}
    lines = ["flowchart LR"]
    for node in plan.nodes:
        texts = (node.label, node.type, ", ".join(inputs.get(node.id, ())))
        text = "<br/>".join(map(_mermaid_text, filter(None, texts)))
        kind = ":::output" if node.id in results else ":::input" if node.id in inputs else ""
        left, right = ("[", "]") if node.is_executable else ("[[", "]]")
        if node.is_executable and node.id in results:
            left, right = "([", "])"
        lines.append(f'    {ids[node.id]}{left}"{text}"{right}{kind}')
    for (source, target), fields in _lines(plan).items():
        if source in ids and target in ids:
            lines.append(f'    {ids[source]} -->|"{_mermaid_text(", ".join(fields))}"| {ids[target]}')
    lines += ["    classDef input fill:#e0f2fe,stroke:#0284c7,color:#18181b"]
    lines += ["    classDef output fill:#dcfce7,stroke:#16a34a,color:#18181b"]
    return "\n".join(lines) + "\n"


def _lines(plan: WorkflowPlan) -> dict[tuple[str, str], list[str]]:
    """Return the fields that one node feeds of another, by the ids of both."""
    lines: dict[tuple[str, str], list[str]] = {}
    for edge in plan.edges:
        lines.setdefault((edge.source_node_id, edge.target_node_id), []).append(edge.target_field)
    for batch in plan.batches:
        for target, field in batch.targets:
            lines.setdefault((batch.node_id, target), []).append(field)
        if batch.generator_node_id is not None:
            lines.setdefault((batch.generator_node_id, batch.node_id), []).append(batch.field_name)
    return lines


def _mermaid_text(text: str) -> str:
    """Return a text with all but plain letters as entities, which Mermaid never reads as syntax or markup."""
    return "".join(char if char in _PLAIN else f"#{ord(char)};" for char in plain(text, _MAX_LABEL))
