"""One workflow as a tool: its name, its schemas, and `Params` from the arguments of a call."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from invokeai_gen.agents.pictures import Folders
from invokeai_gen.core.field_values import model_limits
from invokeai_gen.core.json_schema import outputs_schema, plain_schema
from invokeai_gen.core.matching import board_choices, model_choices
from invokeai_gen.core.params import WorkflowParams
from invokeai_gen.core.plan import JsonValue, PlannedInput, WorkflowPlan
from invokeai_gen.core.problems import ParamsError, Problem, title
from invokeai_gen.runtime.outputs import WorkflowOutputs
from invokeai_gen.server.inventory import Board, Model
from invokeai_gen.sweeps.workflow import Workflow, workflow_of
from invokeai_gen.texts import plain

MAX_CHOICES: Final = 60
"""Models or boards that are listed one by one; if there are more, `list_models` finds them."""
_KEY: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
"""What agents accept as the name of an argument. Labels may be in any script, and of any length."""


@dataclass(frozen=True, slots=True)
class WorkflowTool:
    """A workflow that agents can call."""

    name: str
    workflow: Workflow[WorkflowParams, WorkflowOutputs]
    keys: Mapping[str, str]
    """The Python name of each input, by the name of the argument."""

    @classmethod
    def of(cls, stem: str, plan: WorkflowPlan, taken: Collection[str]) -> WorkflowTool:
        """Return the tool for a plan whose inputs have names. `stem` is the name of the file or module."""
        digest = hashlib.sha256(f"{stem}\0{plan.info.sha256}".encode("utf-8", "surrogatepass")).hexdigest()[:8]
        name = re.sub(r"[^A-Za-z0-9_-]+", "_", stem).strip("_")[:55] or f"workflow_{digest}"
        inputs = [item for item in plan.inputs if item.fed_by is None]
        keys = {item.name if _KEY.fullmatch(item.name) else f"input_{item.index}": item.name for item in inputs}
        return cls(f"{name}_{digest}" if name in taken else name, workflow_of(plan), keys)

    @property
    def title(self) -> str:
        """The name that its author gave it."""
        return plain(self.workflow.plan.info.name or self.name, 120)

    @property
    def description(self) -> str:
        """What it is for, as its author says, and what it makes."""
        outputs = ", ".join(item.name for item in self.workflow.plan.outputs if item.role != "debug")
        return plain(f"{self.workflow.plan.info.description or self.title} {f'Returns {outputs}.' if outputs else ''}")

    def summary(self) -> dict[str, str]:
        """Return its name, its title and what it is for."""
        return {"workflow": self.name, "title": self.title, "for": self.description}

    def input_schema(self, models: Sequence[Model], boards: Sequence[Board]) -> dict[str, Any]:
        """Return the JSON Schema of the arguments: the one of `Params`, with the server's models and boards by name."""
        schema = self.workflow.params_type.json_schema(allow_files=False)
        properties: dict[str, Any] = {}
        required: list[str] = []
        planned = {item.name: item for item in self.workflow.plan.inputs}
        for key, name in self.keys.items():
            part = schema["properties"][name]
            if names := _choices(planned[name], models, boards):
                shown = {word: part[word] for word in ("title", "description") if word in part}
                part = {**shown, "type": "string", "enum": names, **_default(part.get("default"), names)}
            if name in schema.get("required", ()) or ("enum" in part and "default" not in part):
                required.append(key)
            properties[key] = part
        rest = {"required": required, "additionalProperties": False}
        return plain_schema({"type": "object", "properties": properties, **rest})

    def output_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of the structured content of a result; one that reports mistakes has `problems`."""
        outputs = plain_schema(outputs_schema(self.workflow.plan))
        values = {"type": "object", "description": "The values that made it: the same arguments make it again."}
        run = {"type": "object", "properties": {"outputs": outputs, "values": values, "item_id": {"type": "integer"}}}
        return {
            "type": "object",
            "properties": {"runs": {"type": "array", "items": run}, "problems": {"type": "array"}},
        }

    def arguments(self, params: WorkflowParams) -> dict[str, JsonValue]:
        """Return values as the arguments of a call. Raise `ParamsError` for images in memory."""
        keys = {name: key for key, name in self.keys.items()}
        return {keys[name]: value for name, value in params.to_dict().items()}

    def params(self, arguments: Mapping[str, JsonValue], folders: Folders) -> WorkflowParams:
        """Return the values of a call. Raise `ParamsError` with everything that is wrong with them."""
        planned = {item.name: item for item in self.workflow.plan.inputs}
        values, wrong = {}, []
        for key, value in arguments.items():
            name = self.keys.get(key, key)
            item = planned.get(name)
            try:
                is_image = item is not None and item.field_type == "ImageField"
                values[name] = folders.resolve(value) if is_image else value
            except ValueError as error:
                wrong.append(Problem(name, f"{title(item) if item else key}: {error}", item.label if item else ""))
        if wrong:
            raise ParamsError(wrong)
        return self.workflow.params_type.from_dict(values, allow_files=False)


def _choices(planned: PlannedInput, models: Sequence[Model], boards: Sequence[Board]) -> list[str]:
    """Return the names that an input for one model or board takes; empty for other inputs, and if there are too many."""
    names: list[str] = []
    if planned.cardinality == "SINGLE" and planned.field_type == "BoardField":
        names = board_choices(boards) if boards else []
    elif planned.cardinality == "SINGLE" and planned.required and planned.field_type == "ModelIdentifierField":
        names = model_choices(models, model_limits(planned))
    return names if len(names) <= MAX_CHOICES else []


def _default(default: JsonValue, names: Sequence[str]) -> dict[str, Any]:
    """Return the default of an input as one of the names; empty if the server does not have it."""
    known = [default.get(key) for key in ("name", "key", "board_id")] if isinstance(default, Mapping) else [default]
    return next(({"default": name} for name in known if name in names), {})
