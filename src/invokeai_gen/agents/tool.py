"""One workflow as a tool: its name, its schemas, and `Params` from the arguments of a call."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, unquote

import mcp_types as types

from invokeai_gen.core.json_schema import outputs_schema, plain_schema, with_choices
from invokeai_gen.core.json_writing import to_json
from invokeai_gen.core.params import WorkflowParams
from invokeai_gen.core.plan import JsonValue, PlannedInput, WorkflowPlan
from invokeai_gen.runtime.outputs import WorkflowOutputs
from invokeai_gen.server.inventory import Board, Model
from invokeai_gen.sweeps.dynamic_workflow import workflow_of
from invokeai_gen.sweeps.workflow import Workflow
from invokeai_gen.texts import plain

_HINTS: Final = types.ToolAnnotations(read_only_hint=False, destructive_hint=False)
LINK: Final = "invokeai://images/"
_KEY: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
"""What agents accept as the name of an argument. Labels may be in any script, and of any length."""


def link_of(name: str) -> str:
    """Return the link to an image on the server."""
    return LINK + quote(name, safe="")


def name_in(text: str) -> str:
    """Return the name of an image that is given by a link or by its name."""
    return unquote(text.removeprefix(LINK)) if text.startswith(LINK) else text


@dataclass(frozen=True, slots=True)
class WorkflowTool:
    """A workflow that agents can call."""

    name: str
    workflow: Workflow[WorkflowParams, WorkflowOutputs]
    inputs: Mapping[str, PlannedInput]
    """What can be set, by the name of the argument."""

    @classmethod
    def of(cls, stem: str, plan: WorkflowPlan, taken: Collection[str]) -> WorkflowTool:
        """Return the tool for a plan whose inputs have names. `stem` is the name of the file or module."""
        digest = hashlib.sha256(f"{stem}\0{plan.info.sha256}".encode("utf-8", "surrogatepass")).hexdigest()[:8]
        name = re.sub(r"[^A-Za-z0-9_-]+", "_", stem).strip("_")[:55] or f"workflow_{digest}"
        inputs = [item for item in plan.inputs if item.fed_by is None]
        keys = {item.name if _KEY.fullmatch(item.name) else f"input_{item.index}": item for item in inputs}
        return cls(f"{name}_{digest}" if name in taken else name, workflow_of(plan), keys)

    def summary(self) -> dict[str, str]:
        """Return its name, the name that its author gave it, and what it is for."""
        info, plan = self.workflow.plan.info, self.workflow.plan
        outputs = ", ".join(item.name for item in plan.outputs if item.role != "debug")
        purpose = f"{info.description or info.name or self.name} {f'Returns {outputs}.' if outputs else ''}"
        return {"workflow": self.name, "title": plain(info.name or self.name, 120), "for": plain(purpose)}

    def input_schema(self, models: Sequence[Model], boards: Sequence[Board]) -> dict[str, Any]:
        """Return the JSON Schema of the arguments: that of `Params`, with the server's models and boards by name."""
        schema = self.workflow.params_type.json_schema(allow_files=False)
        schema = plain_schema(with_choices(schema, self.workflow.plan, models, boards))
        properties = {key: schema["properties"][item.name] for key, item in self.inputs.items()}
        required = [key for key, item in self.inputs.items() if item.name in schema["required"]]
        return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}

    def output_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of the structured content of a result; one that reports mistakes has `problems`."""
        outputs = plain_schema(outputs_schema(self.workflow.plan))
        values = {"type": "object", "description": "The values of this run: the same arguments make it again."}
        run = {"type": "object", "properties": {"outputs": outputs, "values": values, "item_id": {"type": "integer"}}}
        properties = {"runs": {"type": "array", "items": run}, "problems": {"type": "array"}}
        return {"type": "object", "properties": properties}

    def listed(self, models: Sequence[Model], boards: Sequence[Board]) -> types.Tool:
        """Return the definition of the tool."""
        about = self.summary()
        return types.Tool(
            name=self.name,
            title=about["title"],
            description=about["for"],
            input_schema=self.input_schema(models, boards),
            output_schema=self.output_schema(),
            annotations=_HINTS,
        )

    def arguments(self, params: WorkflowParams) -> dict[str, JsonValue]:
        """Return values as the arguments of a call, without images that were sent with it."""
        found: dict[str, JsonValue] = {}
        for key, item in self.inputs.items():
            with contextlib.suppress(TypeError):  # bytes
                found[key] = to_json(getattr(params, item.name))
        return found

    def params(self, arguments: Mapping[str, JsonValue], folders: Sequence[Path]) -> WorkflowParams:
        """Return the values of a call. Raise `ParamsError` with everything that is wrong with them.

        An image is a name on the server, a link, a data URL, or `{"path": …}` of a file below one of the folders.
        """
        values: dict[str, Any] = {}
        for key, value in arguments.items():
            item = self.inputs.get(key)
            is_image = item is not None and item.field_type == "ImageField"
            values[item.name if item is not None else key] = _image(value, folders) if is_image else value
        return self.workflow.params_type.from_dict(values, allow_files=False)


def _image(value: JsonValue, folders: Sequence[Path]) -> Any:
    """Return an image argument as `Params` take it; they refuse what comes back unchanged, such as any other path."""
    if isinstance(value, list):
        return [_image(item, folders) for item in value]
    if isinstance(value, str):
        return name_in(value)
    if isinstance(value, dict) and isinstance(text := value.get("path"), str) and text:
        paths = [(folder.resolve(), (folder.resolve() / text).resolve()) for folder in folders]
        inside = [path for folder, path in paths if path.is_relative_to(folder)]
        return next((path for path in inside if path.is_file()), inside[0] if inside else value)
    return value
