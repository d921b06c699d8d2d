"""The outputs of a workflow: the nodes whose results get a name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from invokeai_gen.core.plan import OutputRole, PlanEdge, PlannedInput, PlannedOutput
from invokeai_gen.schema import FieldType, NodeTemplate
from invokeai_gen.workflow.document import InvocationNode, LoadedWorkflow


def planned_outputs(
    workflow: LoadedWorkflow, edges: Sequence[PlanEdge], inputs: Sequence[PlannedInput]
) -> Iterator[PlannedOutput]:
    """Return the nodes with a board on the form, the nodes that are not intermediate, the ends of chains, and other images.

    The first three come in the order of the form, then of the file. The intermediate images come last; they are for
    debugging.
    """
    boards = {item.node_id: item for item in inputs if item.field_type == "BoardField"}
    sources = {edge.source_node_id for edge in edges}
    iterated = _iterated(workflow, edges)
    outputs = []
    # If two nodes have the same id, they are one node with one result.
    for node in {node.id: node for node in workflow.invocations()}.values():
        template = node.template
        if template is None or not node.is_executable or not template.outputs:
            continue
        role = _role(node, template, node.id in boards, node.id not in sources)
        if role is None:
            continue
        board = boards.get(node.id)
        outputs.append(
            PlannedOutput(
                node_id=node.id,
                node_type=node.type,
                node_label=node.label,
                node_title=template.title,
                output_type=template.output_type,
                output_fields={name: _described(kind) for name, kind in template.outputs.items()},
                role=role,
                is_iterated=node.id in iterated,
                board_input=board.index if board is not None else None,
                sections=board.sections if board is not None else (),
            )
        )
    order: Mapping[OutputRole, int] = {"user": 0, "result": 1, "debug": 2}
    return iter(sorted(outputs, key=lambda item: (order[item.role], item.board_input or 0)))


def _role(node: InvocationNode, template: NodeTemplate, has_board: bool, is_end: bool) -> OutputRole | None:
    if has_board:
        return "user"
    if not node.is_intermediate or is_end:
        return "result"
    types = {kind.name for kind in template.outputs.values()}
    return "debug" if types & {"ImageField", "VideoField"} and "board" in template.inputs else None


def _described(kind: FieldType) -> str:
    return kind.name if kind.is_single else f"list[{kind.name}]"


def _iterated(workflow: LoadedWorkflow, edges: Sequence[PlanEdge]) -> set[str]:
    """Return the nodes that run once for each item of an `iterate` node: everything after it, up to a `collect` node."""
    types = {node.id: node.type for node in workflow.invocations()}
    targets: dict[str, list[str]] = {}
    for edge in edges:
        targets.setdefault(edge.source_node_id, []).append(edge.target_node_id)
    pending = [node_id for node_id, node_type in types.items() if node_type == "iterate"]
    found = set(pending)
    while pending:
        for target in targets.get(pending.pop(), ()):
            if target not in found and types[target] != "collect":
                found.add(target)
                pending.append(target)
    return found
