"""The three ways from a workflow and values by label to a request: `payload`, a generated module, and a handle."""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from invokeai_gen.codegen.names import assign_names
from invokeai_gen.codegen.writer import generate
from invokeai_gen.compiler import NotReadyError, compile_workflow, reasons_of
from invokeai_gen.core.batch import batch_data, batch_items, server_queries
from invokeai_gen.core.json_values import guess_value
from invokeai_gen.core.plan import JsonValue, PlannedInput, WorkflowPlan
from invokeai_gen.core.problems import ParamsError
from invokeai_gen.core.request import build_request
from invokeai_gen.core.values import BoardRef, ImageRef
from invokeai_gen.handle import WorkflowDefinition, WorkflowHandle
from invokeai_gen.schema import Schema
from invokeai_gen.workflow import read_workflow_file
from tests.conformance.compare import differences

_REFERENCES = {"BoardField": "board_id", "ImageField": "image_name"}


@dataclass(frozen=True, slots=True)
class Case:
    """A recorded case: a workflow, how the GUI was set, what was entered in its form, and what it then sent."""

    folder: Path
    options: Mapping[str, Any]
    values: Mapping[str, Any] = field(default_factory=dict)
    """What was entered, by the label of the input, as it stands in the request."""
    recorded: Mapping[str, Any] | None = None
    """The request; `None` if the GUI refused to send one."""

    @classmethod
    def golden(cls, folder: Path) -> Case:
        """Return a case of our own, whose files have a form of their own."""
        options = _json_file(folder / "case.json", {})
        recorded = _json_file(folder / "request.json", None)
        if recorded is not None:
            recorded["batch"]["graph"]["id"] = ""
        return cls(
            folder,
            {**options, "iterations": options.get("runs", 1)},
            _json_file(folder / "values.json", {}),
            recorded,
        )

    @classmethod
    def read(cls, folder: Path) -> Case:
        """Return the case in a folder of the corpus."""
        return cls(
            folder,
            _json_file(folder / "case.json", {}),
            _json_file(folder / "values.json", {"values": {}})["values"],
            _json_file(folder / "request.json", None),
        )

    def __str__(self) -> str:
        return f"{self.folder.parent.name}/{self.folder.name}"

    @property
    def is_validated(self) -> bool:
        return bool(self.options.get("validate", True))

    @property
    def submit_options(self) -> dict[str, Any]:
        board = self.options.get("auto_board")
        return {"runs": self.options.get("iterations", 1), **({"auto_board": BoardRef(board)} if board else {})}


def _json_file(path: Path, otherwise: Any) -> Any:
    return json.loads(path.read_bytes()) if path.exists() else otherwise


Way = Callable[[Case, Schema, Path], dict[str, JsonValue]]


def by_payload(case: Case, schema: Schema, folder: Path) -> dict[str, JsonValue]:
    """The request as `payload --set` makes it."""
    compilation = compile_workflow(read_workflow_file(case.folder / "workflow.json"), schema, validate=False)
    plan = assign_names(compilation.plan)
    values = {planned.binding: _json(planned, value) for planned, value in _values(plan, case)}
    answers = {query.node_id: _recorded_items(plan, query.node_id, case) for query in server_queries(plan, values)}
    try:
        items = batch_items(plan, values, answers)
    except ParamsError:
        items = None
    if case.is_validated:
        reasons = reasons_of(compilation.workflow, plan, schema, values, items)
        if reasons:
            raise NotReadyError(reasons)
    return build_request(
        plan,
        values,
        runs=case.options.get("iterations", 1),
        auto_board_id=case.options.get("auto_board"),
        data=None if items is None else batch_data(plan, values, items),
    )


def by_module(case: Case, schema: Schema, folder: Path) -> dict[str, JsonValue]:
    """The request of a module that is generated into `folder` and imported, with `Params` of the values."""
    file = read_workflow_file(case.folder / "workflow.json")
    plan = compile_workflow(file, schema, validate=case.is_validated).plan
    package = folder / f"generated_{case.folder.name.replace('-', '_')}"
    generate({PurePath("case.json"): plan}, package, schemas=schema.schemas)
    module = _imported(package)
    named = module.WORKFLOW.plan
    params = module.Params(**{planned.name: _python(planned, value) for planned, value in _values(named, case)})
    request: dict[str, JsonValue] = module.WORKFLOW.request(params, **case.submit_options)
    return _with_recorded_items(named, request, case)


def by_handle(case: Case, schema: Schema, folder: Path) -> dict[str, JsonValue]:
    """The request of a handle whose fields are set to the values."""
    handle = WorkflowHandle(WorkflowDefinition.from_file(case.folder / "workflow.json"), schema)
    if not case.is_validated:
        handle.reasons = ()
    for planned, value in _values(handle.plan, case):
        field = handle.get_input_value(planned.index)
        field.assign(type(field).from_value(_python(planned, value)))
    return _with_recorded_items(handle.plan, handle.request(**case.submit_options), case)


WAYS: Mapping[str, Way] = {"payload": by_payload, "module": by_module, "handle": by_handle}


_ALLOWED: Mapping[str, tuple[str, ...]] = {
    # The GUI takes the settings of a generator for a board, and fails at the next Invoke.
    "edited_image_generator_board": (
        "request.batch.workflow.nodes[0].data.inputs.generator.value.category",
        "request.batch.workflow.nodes[0].data.inputs.generator.value.type",
    ),
    # The person also typed into fields that an edge and a batch feed, whose values are never used.
    "edited_fed_and_twice": (
        "request.batch.graph.nodes.m.a",
        "request.batch.workflow.nodes[1].data.inputs.a.value",
        "request.batch.workflow.nodes[3].data.inputs.a.value",
    ),
}
"""Where our request may differ from the recorded one."""


def golden_differences(ours: dict[str, JsonValue], case: Case) -> list[str]:
    """Where our request differs from a golden one and must not."""
    assert case.recorded is not None
    allowed = _ALLOWED.get(case.folder.name, ())
    return [text for text in differences(ours, dict(case.recorded)) if text.partition(": ")[0] not in allowed]


def _values(plan: WorkflowPlan, case: Case) -> Iterator[tuple[PlannedInput, Any]]:
    inputs = {planned.label: planned for planned in plan.inputs}
    return ((inputs[label], value) for label, value in case.values.items())


def _json(planned: PlannedInput, value: Any) -> JsonValue:
    """A value as the request has it; boards and images go by their names in the recordings."""
    if isinstance(value, list):
        return [_json(planned, item) for item in value]
    key = _REFERENCES.get(planned.field_type)
    return {key: value} if key is not None and value not in ("auto", "none") else value


def _python(planned: PlannedInput, value: Any) -> Any:
    """A value as a person would write it in Python."""
    if isinstance(value, list):
        return [_python(planned, item) for item in value]
    if planned.field_type == "BoardField" and value not in ("auto", "none"):
        return BoardRef(value)
    if planned.field_type == "ImageField":
        return ImageRef(value)
    if planned.field_type == "FloatField":
        return float(value)
    return value if planned.field_type.endswith("GeneratorField") else guess_value(value)


def _recorded_items(plan: WorkflowPlan, generator: str, case: Case) -> list[JsonValue]:
    """The list that the server generated while the case was recorded."""
    if generator in case.options.get("generated", {}):
        return list(case.options["generated"][generator])
    if case.recorded is None:
        return []
    targets = {target for batch in plan.batches if batch.generator_node_id == generator for target in batch.targets}
    columns = [column for row in case.recorded["batch"]["data"] for column in row]
    return next(list(column["items"]) for column in columns if (column["node_path"], column["field_name"]) in targets)


def _with_recorded_items(plan: WorkflowPlan, request: dict[str, JsonValue], case: Case) -> dict[str, JsonValue]:
    """The request, with what the server generated in place of the placeholders for it."""
    for query in server_queries(
        plan, {planned.binding: _json(planned, value) for planned, value in _values(plan, case)}
    ):
        targets = {t for batch in plan.batches if batch.generator_node_id == query.node_id for t in batch.targets}
        for row in request["batch"]["data"]:
            for column in row:
                if (column["node_path"], column["field_name"]) in targets:
                    column["items"] = _recorded_items(plan, query.node_id, case)
    return request


def _imported(package: Path) -> Any:
    """The only module of a generated package, which no other test imports."""
    spec = importlib.util.spec_from_file_location(
        package.name, package / "__init__.py", submodule_search_locations=[str(package)]
    )
    assert spec is not None and spec.loader is not None
    sys.modules[package.name] = made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    try:
        return importlib.import_module(f"{package.name}.case")
    finally:
        for name in [name for name in sys.modules if name.split(".")[0] == package.name]:
            del sys.modules[name]
