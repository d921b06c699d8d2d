"""The reasons of a request that the server rejected (422), in the labels of the GUI. Pure rules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from invokeai_gen.core.plan import WorkflowPlan


def node_labels(plan: WorkflowPlan | None) -> dict[str, str]:
    """Return what the GUI calls each node, by its id."""
    return {node.id: node.label for node in plan.nodes} if plan is not None else {}


def labelled_rejections(plan: WorkflowPlan, detail: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return each reason in the server's `detail` with the labels of its node and field, and the value given."""
    labels = node_labels(plan)
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
