"""Why a server rejected a request, and which node failed, in the labels of the GUI. Pure rules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from invokeai_gen.core.plan import WorkflowPlan


def labelled_rejections(plan: WorkflowPlan, detail: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return each reason in the server's `detail` with the labels of its node and field, and the value given."""
    labels = plan.node_labels
    titles = {entry.binding: entry.label for entry in plan.inputs}
    problems: list[str] = []
    for entry in detail:
        place = [str(part) for part in entry.get("loc", ())]
        node_id = next((part for part in place if part in labels), None)
        message = entry.get("msg", "")
        if node_id is None:
            problems.append(f"{'.'.join(place)}: {message}")
            continue
        field_name = next((part for part in place if (node_id, part) in titles), None)
        rest = place[place.index(node_id) + 2 :]
        field = titles[node_id, field_name] if field_name is not None else ".".join(rest)
        given = f" (given: {entry['input']!r})" if not isinstance(entry.get("input"), (dict, list)) else ""
        problems.append(
            f"{labels[node_id]!r}, {field!r}: {message}{given}" if field else f"{labels[node_id]!r}: {message}"
        )
    return list(dict.fromkeys(problems))


def failing_node(session: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return `(node id in the workflow, node type)` of the node whose error ended the session; `None` if unknown."""
    for prepared in session.get("errors") or {}:
        node_id = (session.get("prepared_source_mapping") or {}).get(prepared, prepared)
        nodes = (session.get("graph") or {}).get("nodes") or {}
        executed = (session.get("execution_graph") or {}).get("nodes") or {}
        return node_id, (nodes.get(node_id) or executed.get(prepared) or {}).get("type", "")
    return None
