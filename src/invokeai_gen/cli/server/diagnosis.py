"""What keeps a server from running a workflow: node types, values, models, boards and images, by their GUI labels."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from invokeai_gen.cli.explain import is_required
from invokeai_gen.cli.terminal import few
from invokeai_gen.compiler.readiness import choice_problem, value_problems
from invokeai_gen.core.assets import assets_of
from invokeai_gen.core.field_values import model_limits
from invokeai_gen.core.matching import fitting_models
from invokeai_gen.core.plan import PlanNode, WorkflowPlan
from invokeai_gen.core.problems import range_text
from invokeai_gen.js_json import UNSET
from invokeai_gen.limits import NUMBER_LIMITS
from invokeai_gen.runtime.matching import look_up
from invokeai_gen.schema import NodeTemplate, Schema
from invokeai_gen.server import constants
from invokeai_gen.server.client import AsyncInvokeAIClient
from invokeai_gen.server.errors import RequestTimeoutError
from invokeai_gen.server.models import Model
from invokeai_gen.server.run_errors import ValueResolutionError
from invokeai_gen.workflow.document import NODES_WITH_EXTRA_INPUTS

_MAX_NAMES: Final = 5
_LISTS: Final = ("choices", "base", "type of model", "variant", "format")
_SIZES: Final = {
    "min_length": ("at least", "character"),
    "max_length": ("at most", "character"),
    "min_items": ("at least", "item"),
    "max_items": ("at most", "item"),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a server lacks, refuses or ignores."""

    kind: Literal["error", "warning"]
    where: str
    """What the GUI calls the input or node."""
    problem: str
    field: str = dataclasses.field(default="", compare=False)
    """The name of the node's field, if it is about one."""


def diagnose(plan: WorkflowPlan, schema: Schema, models: Sequence[Model]) -> list[Finding]:
    """Return what a server with this schema and these models lacks, refuses or ignores of a plan.

    Errors are decided by what a run without arguments would send; other changes of the node types are warnings.
    """
    found = [*_node_findings(plan, schema), *_missing_inputs(plan, models)]
    then, now = plan.info.server_version, schema.version
    if then and now and then.split(".")[0] != now.split(".")[0]:
        found.insert(0, Finding("warning", "InvokeAI", f"generated for version {then}, the server has {now}"))
    return found


async def missing_assets(plan: WorkflowPlan, client: AsyncInvokeAIClient) -> list[Finding]:
    """Return the models, boards, images and videos that a plan refers to and the server lacks.

    Raise `RequestTimeoutError` if finding out takes more than `COMMAND_TIMEOUT` seconds: there may be any number of them.
    """
    assets = assets_of(plan, {})
    try:
        async with asyncio.timeout(constants.COMMAND_TIMEOUT):
            answers = await look_up(assets, client)
    except TimeoutError:
        problem = f"{client.url} did not answer {len(assets)} questions about models, boards, images and videos"
        raise RequestTimeoutError(f"{problem} within {constants.COMMAND_TIMEOUT:g} s") from None
    return [
        Finding("error", f"{asset.label} ({asset.planned.name})" if asset.planned else asset.label, answer.problem)
        for asset, answer in zip(assets, answers, strict=True)
        if isinstance(answer, ValueResolutionError)
    ]


def _node_findings(plan: WorkflowPlan, schema: Schema) -> Iterator[Finding]:
    types = {node.type for node in plan.nodes}
    if schema.fingerprint(types) == plan.info.schema_fingerprint:
        return
    if not plan.node_types:
        problem = "its node types changed since an older invokeai-gen generated it: generate again"
        yield Finding("warning", "module", problem)
    for node_type in sorted(types):
        nodes = [node for node in plan.nodes if node.type == node_type]
        where = f"node {few([*dict.fromkeys(repr(node.label) for node in nodes)], 2)}"
        template = schema.template(node_type)
        if template is None:
            yield Finding("error", where, f"the server has no node type {node_type!r} (is a node pack missing?)")
            continue
        found = [*_field_findings(nodes, plan, template), *_edge_findings(nodes, plan, template)]
        yield from found
        recorded = plan.node_types.get(node_type)
        if recorded is None:
            continue
        reported = {item.field for item in found}
        changes = _changes_since(recorded, template)
        rest = "".join(f"; {name}: {how}" for name, how in changes if name not in reported)
        then, now = recorded["version"], template.version
        if then != now:
            # The server does not look at versions: what it would refuse is among the errors above.
            problem = f"{node_type} was version {then}, the server has {now}: generate again{rest}"
            yield Finding("warning", where, problem)
        elif rest:
            yield Finding("warning", where, f"the schema of {node_type} changed{rest}")


def _field_findings(nodes: list[PlanNode], plan: WorkflowPlan, template: NodeTemplate) -> Iterator[Finding]:
    """Yield what the server would refuse or ignore of the values that a run without arguments sends."""
    inputs = {planned.binding: planned for planned in plan.inputs}
    for node in nodes:
        fields = {field.name: field for field in node.fields}
        for field in node.fields:
            known = template.inputs.get(field.name)
            planned = inputs.get((node.id, field.name))
            value = field.value if planned is None or planned.value is UNSET else planned.value
            if field.is_connected or field.is_called_input or value is UNSET:
                continue
            title = planned.label if planned is not None else known.title if known is not None else field.name
            where = f"{title} ({planned.name})" if planned is not None else f"{node.label}, {title} ({field.name})"
            if known is None:
                if template.type not in NODES_WITH_EXTRA_INPUTS:
                    problem = (
                        f"the server's {template.type} {template.version} has no field {field.name!r} and ignores it"
                    )
                    yield Finding("warning", where, problem, field.name)
                continue
            refused = [*value_problems(value, known), choice_problem(value, known)]
            yield from (Finding("error", where, problem, field.name) for problem in refused if problem)
        for name, known in template.inputs.items():
            if known.required and known.connection != "connection" and name not in fields:
                problem = f"the server's {template.type} {template.version} requires it, and the workflow has no value"
                yield Finding("error", f"{node.label}, {known.title} ({name})", problem, name)


def _edge_findings(nodes: list[PlanNode], plan: WorkflowPlan, template: NodeTemplate) -> Iterator[Finding]:
    """Yield the fields that an edge of the graph needs and the server's node type lacks."""
    labels = {node.id: node.label for node in nodes}
    what = f"the server's {template.type} {template.version}"
    missing: set[tuple[str, str, str]] = set()
    for edge in plan.edges:
        if edge.source_node_id in labels and edge.source_field not in template.outputs:
            missing.add((labels[edge.source_node_id], "output", edge.source_field))
        is_open = template.type in NODES_WITH_EXTRA_INPUTS
        if edge.target_node_id in labels and edge.target_field not in template.inputs and not is_open:
            missing.add((labels[edge.target_node_id], "field", edge.target_field))
    for label, kind, field in sorted(missing):
        yield Finding(
            "error", f"{label}, {field}", f"{what} has no {kind} {field!r}, and the workflow connects it", field
        )


def _missing_inputs(plan: WorkflowPlan, models: Sequence[Model]) -> Iterator[Finding]:
    """Yield the inputs that a caller must set; for models, with those that fit."""
    for planned in filter(is_required, plan.inputs):
        where = f"{planned.label} ({planned.name})"
        names = [repr(model.name) for model in fitting_models(models, model_limits(planned))]
        if planned.field_type != "ModelIdentifierField":
            yield Finding("warning", where, "required: every run must set it")
        elif names:
            yield Finding("warning", where, f"required: every run must set it; the server has {few(names, _MAX_NAMES)}")
        else:
            yield Finding("error", where, "required, and the server has no model that fits: install one")


def _changes_since(recorded: Mapping[str, Any], template: NodeTemplate) -> Iterator[tuple[str, str]]:
    """Yield the name of each field that differs from a recorded `NodeTemplate.summary`, and how, in words."""
    now = template.summary()
    for kind, members in (("field", "inputs"), ("output", "outputs")):
        was, is_now = recorded.get(members, {}), now[members]
        for name in dict.fromkeys((*was, *is_now)):
            if name not in is_now:
                yield name, f"this {kind} is gone"
            elif name not in was:
                yield name, f"this {kind} is new"
            elif was[name] != is_now[name]:
                yield name, _difference(was[name], is_now[name])


def _difference(was: Any, now: Any) -> str:
    if not isinstance(was, dict) or not isinstance(now, dict):
        return f"now {now}, was {was}"
    parts = []
    for key in dict.fromkeys((*was, *now)):
        before, after = was.get(key), now.get(key)
        if before == after:
            continue
        if key == "required":
            parts.append("now required" if after else "no longer required")
        elif key in _LISTS:
            parts += _list_difference("" if key == "choices" else f"{key} ", before or [], after or [])
        elif key == "type":
            parts.append(f"now {after}, was {before}")
    before, after = _range(was), _range(now)
    return "; ".join([*parts, f"{after}, was {before}"] if before != after else parts)


def _list_difference(what: str, before: list[str], after: list[str]) -> Iterator[str]:
    lost, gained = [item for item in before if item not in after], [item for item in after if item not in before]
    for items, how in (lost, "removed"), (gained, "added"):
        if items:
            yield f"{what}{few([*map(repr, items)], _MAX_NAMES)} {how}"
    if not lost and not gained:
        yield f"{what or 'choices '}in another order"


def _range(facts: Mapping[str, Any]) -> str:
    """Return the limits of a field in words."""
    numbers = [(key, facts[key]) for key in facts if key in NUMBER_LIMITS]
    sizes = [f"{words} {facts[key]:g} {noun}s" for key, (words, noun) in _SIZES.items() if key in facts]
    return ", ".join(filter(None, (range_text(numbers), *sizes))) or "unlimited"
