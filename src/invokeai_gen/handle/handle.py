"""`WorkflowHandle`: a workflow opened at run time, with its values, its last submission and what that gave."""

from __future__ import annotations

import os
from pathlib import Path, PurePath
from typing import Any

from invokeai_gen.codegen.names import assign_names, module_names
from invokeai_gen.compiler import NotReadyError, Reason, compile_workflow
from invokeai_gen.core.params import WorkflowParams
from invokeai_gen.core.problems import shown
from invokeai_gen.handle.definition import WorkflowDefinition
from invokeai_gen.handle.field import IvkField
from invokeai_gen.handle.index_map import (
    IndexMapReport,
    compare_index_maps,
    index_map_of,
    read_index_map,
    write_index_map,
)
from invokeai_gen.handle.inputs import IvkWorkflowInput, WorkflowInputs
from invokeai_gen.handle.models import synced
from invokeai_gen.handle.outputs import HandleOutputs
from invokeai_gen.handle.runs import WorkflowRuns
from invokeai_gen.handle.structured_fields import IvkModelIdentifierField
from invokeai_gen.schema import Schema
from invokeai_gen.server import background
from invokeai_gen.server.client import ServerClient
from invokeai_gen.sweeps.workflow import Workflow


class WorkflowHandle(WorkflowRuns):
    """A workflow to look at, to give values, and to run as often as you like.

    Values start as those of the workflow file; inputs that the file leaves empty and the node needs are empty. Handles
    of one definition have nothing in common. `create_workflow` of `InvokeAIClient` opens one.

    `schema` says what each node type accepts, `client` is where the workflow runs (by default the server that all
    share). Raises `WorkflowError` for a file that the GUI would not open; one that it would open and not invoke can be
    looked at, and `reasons` has why, as do `preview()` and the `repr`.
    """

    def __init__(self, definition: WorkflowDefinition, schema: Schema, client: ServerClient | None = None) -> None:
        self.definition = definition
        self.schema = schema
        self.reasons: tuple[Reason, ...] = ()
        """Why the GUI would not invoke the workflow, whatever its form holds; empty where values are all it needs."""
        try:
            compiled = compile_workflow(definition.file, schema)
        except NotReadyError as error:
            self.reasons = error.reasons
            compiled = compile_workflow(definition.file, schema, validate=False)
        self.plan = assign_names(compiled.plan)
        """Everything that is known of the workflow before its values are chosen."""
        self.warnings = tuple(str(warning) for warning in compiled.warnings)
        """What the GUI would mention when it opens the workflow."""
        self._inputs = WorkflowInputs(self.plan)
        super().__init__(Workflow(self.plan, params=self._inputs.params_type, outputs=HandleOutputs), client)

    def __repr__(self) -> str:
        known = f"{self.definition.name or self.definition.source!r}, {len(self._inputs)} inputs"
        return f"{type(self).__name__}({known}{', cannot run: see reasons' if self.reasons else ''})"

    # -- inputs -------------------------------------------------------------------------------------------------------

    def list_inputs(self) -> list[IvkWorkflowInput]:
        """The fields of the form, in its order; also those that a node feeds, which cannot be set."""
        return list(self._inputs)

    def get_input(self, index: int) -> IvkWorkflowInput:
        """The input at a position in the form, counted from 0. Raises `ParamsError`, a `ValueError`."""
        return self._inputs.at(index)

    def get_input_value(self, index: int) -> IvkField:
        """The field that holds the value of an input; change it by its attributes. Raises `ParamsError`."""
        return self._inputs.at(index).field

    def set_input_value(self, index: int, field: IvkField) -> None:
        """Gives an input the value of a field, which must be of the same class as its own.

        Raises `TypeError` for another class, `ParamsError` (a `ValueError`) for a value that the input does not
        accept, and where there is no such input.
        """
        self._inputs.at(index).field = field

    def get_inputs_by_system_name(self) -> dict[str, IvkWorkflowInput]:
        """All inputs by `"<node id>.<field name>"`, which identifies each."""
        return self._inputs.by_system_name()

    def get_inputs_by_user_name(self) -> dict[str, IvkWorkflowInput]:
        """All inputs by label. Raises `ParamsError` (a `ValueError`) with the nodes of labels that several share."""
        return self._inputs.by_user_name()

    def get_missing_required_inputs(self) -> list[IvkWorkflowInput]:
        """The inputs that still need a value."""
        return [item for item in self._inputs if item.is_missing]

    def validate_inputs(self) -> dict[int, list[str]]:
        """What is wrong with the values, by index; `reasons` has what no value would mend."""
        return self._inputs.problems()

    def preview(self) -> list[dict[str, Any]]:
        """A row for each input: its `index`, `label`, `type` of field, and `value`, shortened to be read.

        A workflow that cannot run has a row for each of its `reasons` after them: no `index` and no `type` (both are
        `""`), the `label` "cannot run", and the reason as `value`.
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
        """The values as the `Params` that a generated module would be given.

        Raises `NotReadyError` for a workflow that the GUI would not invoke, and `ParamsError` with everything that is
        wrong with the values.
        """
        if self.reasons:
            raise NotReadyError(list(self.reasons))
        return self._inputs.params()

    def sync_dnn_model(
        self, by_name: bool = True, by_base: bool = False, by_hash: bool = True
    ) -> list[tuple[IvkModelIdentifierField, IvkModelIdentifierField]]:
        """Replaces the models of other servers by those that this server has; returns (before, after) of each change.

        They are looked up as at submission: by key, hash and name, the latter two unless switched off. `by_base` takes
        any model of the same base and type where nothing else is found. Models that are not found stay as they are.
        """
        models = background.run(self._core().models.sync())
        changed = []
        for item in self._inputs:
            model = synced(item, models, by_name=by_name, by_base=by_base, by_hash=by_hash)
            if model is not None and isinstance(item.field, IvkModelIdentifierField):
                before, after = IvkModelIdentifierField(**dict(item.field)), IvkModelIdentifierField.from_value(model)
                after.submodel_type = before.submodel_type
                if after != before:
                    item.field.assign(after)
                    changed.append((before, after))
        return changed

    # -- what lasts ---------------------------------------------------------------------------------------------------

    def export_input_index_map(self, path: str | os.PathLike[str]) -> None:
        """Writes which input stands at which index, as JSON, to compare later versions of the workflow with."""
        write_index_map(path, self.definition.name, index_map_of(self.list_inputs()))

    def verify_input_index_map(self, path: str | os.PathLike[str]) -> IndexMapReport:
        """What became of the inputs of an index map: `unchanged`, `moved`, `missing` and `new` ones.

        Raises `IndexMapError` for a file that is none, and `OSError` where it cannot be read.
        """
        return compare_index_maps(read_index_map(path), index_map_of(self.list_inputs()))

    def to_module(self, folder: str | os.PathLike[str]) -> Path:
        """Writes the typed module of the workflow, as `invokeai-gen generate` does, and returns its path.

        Modules that are in the folder stay there. The defaults are the values of the workflow file, not those of this
        handle. Raises `NotReadyError` for a workflow that the GUI would not invoke, and `OutputFolderError`.
        """
        from invokeai_gen.codegen import generate

        if self.reasons:
            raise NotReadyError(list(self.reasons))
        source = PurePath(self.definition.source)
        generate({source: self.plan}, Path(folder), schemas=self.schema.schemas)
        return Path(folder) / f"{module_names([source])[source]}.py"
