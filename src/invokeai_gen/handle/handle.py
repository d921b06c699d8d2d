"""`WorkflowHandle`: a workflow opened at run time, with its values, its last submission and the results."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path, PurePath
from typing import Any, ClassVar, TypeAlias

from invokeai_gen.codegen.names import assign_names
from invokeai_gen.compiler import NotReadyError, Reason, compile_workflow
from invokeai_gen.core.field_values import model_limits
from invokeai_gen.core.matching import fits
from invokeai_gen.core.params import WorkflowParams
from invokeai_gen.core.plan import WorkflowPlan
from invokeai_gen.core.problems import ParamsError, unknown_index
from invokeai_gen.core.values import ModelRef
from invokeai_gen.handle.definition import WorkflowDefinition
from invokeai_gen.handle.field import IvkField
from invokeai_gen.handle.index_map import (
    IndexMapReport,
    compare_index_maps,
    index_map_of,
    read_index_map,
    write_index_map,
)
from invokeai_gen.handle.inputs import IvkWorkflowInput, label_clash
from invokeai_gen.handle.outputs import HandleOutputs
from invokeai_gen.handle.runs import WorkflowRuns
from invokeai_gen.handle.structured_fields import IvkModelIdentifierField
from invokeai_gen.runtime.matching import find_model
from invokeai_gen.schema import Schema
from invokeai_gen.server import background
from invokeai_gen.server.blocking import ServerClient
from invokeai_gen.server.models import Model
from invokeai_gen.server.run_errors import ModelResolutionError
from invokeai_gen.sweeps.dynamic_workflow import params_type
from invokeai_gen.sweeps.workflow import Workflow
from invokeai_gen.texts import shown

SyncStrategy: TypeAlias = Callable[[ModelRef, Sequence[Model]], Model | None]
"""Returns the installed model to use for a model of another server, or `None`."""


class WorkflowHandle(WorkflowRuns):
    """A workflow opened at run time: list its inputs, set values, and run it any number of times.

    Values start as those of the workflow file; required inputs that the file leaves empty are empty. Handles of the
    same definition are independent of each other. `InvokeAIClient.create_workflow` opens one.

    `schema` says what each node type accepts, `client` is the server to run on (by default the shared client). Raise
    `WorkflowError` for a file that the GUI would not open. A workflow that the GUI would open but not invoke can be
    inspected: `reasons`, `preview()` and the `repr` say why it cannot run.

    `modules` is a folder of generated modules: if one is of this workflow, inputs and outputs have the names of that
    module.
    """

    outputs_type: ClassVar[type[HandleOutputs]] = HandleOutputs
    """The class of the results."""

    def __init__(
        self,
        definition: WorkflowDefinition,
        schema: Schema,
        client: ServerClient | None = None,
        *,
        modules: str | os.PathLike[str] | None = None,
    ) -> None:
        self.definition = definition
        self.schema = schema
        self.reasons: tuple[Reason, ...] = ()
        """Why the GUI would not invoke the workflow with any values; empty if it can run."""
        try:
            compiled = compile_workflow(definition.file, schema)
        except NotReadyError as error:
            self.reasons = error.reasons
            compiled = compile_workflow(definition.file, schema, validate=False)
        self.plan = _named(compiled.plan, definition.source, modules)
        """The compiled workflow: its nodes, inputs and outputs."""
        self.warnings = compiled.warnings
        """The warnings that the GUI would show when it opens the workflow."""
        self._inputs = tuple(IvkWorkflowInput(item) for item in sorted(self.plan.inputs, key=lambda item: item.index))
        super().__init__(Workflow(self.plan, params=params_type(self.plan), outputs=self.outputs_type), client)

    def __repr__(self) -> str:
        known = f"{self.definition.name or self.definition.source!r}, {len(self._inputs)} inputs"
        return f"{type(self).__name__}({known}{', cannot run: see reasons' if self.reasons else ''})"

    # -- inputs -------------------------------------------------------------------------------------------------------

    def list_inputs(self) -> list[IvkWorkflowInput]:
        """Return the inputs in the order of the form, including those fed by a node, which cannot be set."""
        return list(self._inputs)

    def get_input(self, index: int) -> IvkWorkflowInput:
        """Return the input at a position in the form, counted from 0. Raise `ParamsError`, a `ValueError`."""
        for item in self._inputs:
            if type(index) is int and item.input_index == index:
                return item
        raise ParamsError([unknown_index(index, [item.planned for item in self._inputs])])

    def get_input_value(self, index: int) -> IvkField:
        """Return the field that holds the value of an input; set its attributes to change it. Raise `ParamsError`."""
        return self.get_input(index).field

    def set_input_value(self, index: int, field: IvkField) -> None:
        """Set an input to the value of a field, which must be of the same class as its own.

        Raise `TypeError` for another class, and `ParamsError` (a `ValueError`) for a value that the input does not
        accept, or if there is no such input.
        """
        self.get_input(index).field = field

    def get_inputs_by_system_name(self) -> dict[str, IvkWorkflowInput]:
        """Return all inputs by `"<node id>.<field name>"`, which is unique."""
        return {item.system_name: item for item in self._inputs}

    def get_inputs_by_user_name(self) -> dict[str, IvkWorkflowInput]:
        """Return all inputs by label. Raise `ParamsError` (a `ValueError`) if inputs share a label, with their nodes."""
        found: dict[str, list[IvkWorkflowInput]] = {}
        for item in self._inputs:
            found.setdefault(item.label, []).append(item)
        if clashes := [label_clash(label, items) for label, items in found.items() if len(items) > 1]:
            raise ParamsError(clashes)
        return {label: item for label, (item,) in found.items()}

    def get_missing_required_inputs(self) -> list[IvkWorkflowInput]:
        """Return the inputs that still need a value."""
        return [item for item in self._inputs if item.is_missing]

    def validate_inputs(self) -> dict[int, list[str]]:
        """Return what is wrong with the values, by index; `reasons` has what no value can fix."""
        try:
            self._values()
        except ParamsError as error:
            index = {item.name: item.input_index for item in self._inputs}
            found: dict[int, list[str]] = {}
            for problem in error.problems:
                found.setdefault(index[problem.name], []).append(problem.message)
            return found
        return {}

    def preview(self) -> list[dict[str, Any]]:
        """Return a row for each input: its `index`, `label`, `type` of field, and `value`, shortened for display.

        A workflow that cannot run has a further row for each of its `reasons`: `index` and `type` are `""`, the
        `label` is "cannot run", and the `value` is the reason.
        """
        reasons = [{"index": "", "label": "cannot run", "type": "", "value": str(reason)} for reason in self.reasons]
        return [
            {
                "index": item.input_index,
                "label": item.label,
                "type": type(item.field).__name__,
                "value": "" if item.field.is_empty else shown(item.field.value),
            }
            for item in self._inputs
        ] + reasons

    def params(self) -> WorkflowParams:
        """Return the values as the `Params` that a generated module takes.

        Raise `NotReadyError` for a workflow that the GUI would not invoke, and `ParamsError` with everything that is
        wrong with the values.
        """
        if self.reasons:
            raise NotReadyError(list(self.reasons))
        return self._values()

    def _values(self) -> WorkflowParams:
        settable = (item for item in self._inputs if item.fed_by is None and not item.is_missing)
        return self._workflow.params_type(**{item.name: item.field.to_value() for item in settable})

    def sync_dnn_model(
        self,
        by_name: bool = True,
        by_base: bool = False,
        by_hash: bool = True,
        *,
        strategies: Sequence[SyncStrategy] = (),
    ) -> list[tuple[IvkModelIdentifierField, IvkModelIdentifierField]]:
        """Replace the models of other servers by those of this server; return (before, after) of each change.

        Models are looked up as at submission: by key, hash and name, the latter two unless switched off. Then each of
        `strategies` is called with the `ModelRef` and the installed models that the input accepts, and returns one of
        them or `None`. Last, `by_base` takes any model of the same base and type. Models that are not found stay.
        """
        models = background.run(self._core().models.sync())
        changed = []
        for item in self._inputs:
            field = item.field
            if not isinstance(field, IvkModelIdentifierField) or item.fed_by is not None or field.is_empty:
                continue
            before = IvkModelIdentifierField(**dict(field))
            known = {"hash": field.hash if by_hash else "", "name": field.name if by_name else ""}
            wanted = ModelRef(key=field.key, base=field.base, type=field.type, **known)
            model = _synced(item, wanted, models, strategies, by_base=by_base)
            if model is not None:
                after = IvkModelIdentifierField.from_value(model)
                after.submodel_type = before.submodel_type
                if after != before:
                    field.assign(after)
                    changed.append((before, after))
        return changed

    # -- files --------------------------------------------------------------------------------------------------------

    def export_input_index_map(self, path: str | os.PathLike[str]) -> None:
        """Write which input has which index, as JSON, to compare later versions of the workflow with."""
        write_index_map(path, self.definition.name, index_map_of(self.list_inputs()))

    def verify_input_index_map(self, path: str | os.PathLike[str]) -> IndexMapReport:
        """Compare the form with an index map: which inputs are `unchanged`, `moved`, `missing` and `new`.

        Raise `IndexMapError` for a file that is not an index map, and `OSError` if it cannot be read.
        """
        return compare_index_maps(read_index_map(path), index_map_of(self.list_inputs()))

    def to_module(self, folder: str | os.PathLike[str]) -> Path:
        """Write the typed module of the workflow, as `invokeai-gen generate` does, and return its path.

        Other modules in the folder stay. The defaults are the values of the workflow file, not those of this handle.
        Raise `NotReadyError` for a workflow that the GUI would not invoke, and `OutputFolderError`.
        """
        from invokeai_gen.codegen.writer import generate

        if self.reasons:
            raise NotReadyError(list(self.reasons))
        source = PurePath(self.definition.source)
        (written, *_) = generate({source: self.plan}, Path(folder), schemas=self.schema.schemas)
        return Path(folder) / written.file


def _synced(
    item: IvkWorkflowInput,
    wanted: ModelRef,
    models: Sequence[Model],
    strategies: Sequence[SyncStrategy],
    *,
    by_base: bool,
) -> Model | None:
    """Return the installed model to use for a model of another server; see `WorkflowHandle.sync_dnn_model`."""
    limits = model_limits(item.planned)
    fitting = [model for model in models if fits(model, limits)]
    with contextlib.suppress(ModelResolutionError):
        return find_model(item.label, wanted, limits, models)
    for strategy in strategies:
        if (found := strategy(wanted, fitting)) is not None:
            return found
    same = [model for model in fitting if by_base and (model.base, model.type) == (wanted.base, wanted.type)]
    return min(same, key=lambda model: model.name, default=None)


def _named(plan: WorkflowPlan, source: str, modules: str | os.PathLike[str] | None) -> WorkflowPlan:
    """Return the plan with the names of its module in that folder, if there is one, else with new names."""
    if modules is None:
        return assign_names(plan)
    from invokeai_gen.codegen.writer import named_as_in

    return named_as_in(Path(modules), Path(source), plan)
