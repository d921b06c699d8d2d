"""One workflow as a tool: its name, its schemas, and a call, from the arguments to a result."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import re
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote

import anyio
import mcp_types as types

from invokeai_gen.core.image_files import small_copy
from invokeai_gen.core.image_formats import ImageFormat
from invokeai_gen.core.json_schema import outputs_schema, plain_schema, with_choices
from invokeai_gen.core.json_writing import to_json
from invokeai_gen.core.params import WorkflowParams
from invokeai_gen.core.plan import JsonValue, PlannedInput, WorkflowPlan
from invokeai_gen.core.problems import ParamsError
from invokeai_gen.runtime.outputs import WorkflowOutputs
from invokeai_gen.sweeps.dynamic_workflow import workflow_of
from invokeai_gen.sweeps.workflow import Workflow
from invokeai_gen.texts import plain

if TYPE_CHECKING:
    from invokeai_gen.server.client import AsyncInvokeAIClient
    from invokeai_gen.server.events import InvocationComplete, InvocationProgress, Preview
    from invokeai_gen.server.inventory import Board, Model

LINK: Final = "invokeai://images/"
CANCEL_TIMEOUT: Final = 10
"""Seconds that cancelling the queue item may take after the client has cancelled its call, or has gone."""
MAX_INLINE: Final = 8
"""Images of one call that are sent inline; the others are links only."""
_HINTS: Final = types.ToolAnnotations(read_only_hint=False, destructive_hint=False)
_KEY: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
"""What agents accept as the name of an argument. Labels may be in any script, and of any length."""


def link_of(name: str) -> str:
    """Return the link to an image on the server."""
    return LINK + quote(name, safe="")


def name_in(text: str) -> str:
    """Return the name of an image that is given by a link or by its name."""
    return unquote(text.removeprefix(LINK)) if text.startswith(LINK) else text


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSettings:
    """How calls are run, and what their results hold; see `invokeai-gen mcp --help`."""

    folders: Sequence[Path] = ()
    """Where agents may name images by path."""
    timeout: float | None = None
    """Seconds for one call, from upload to result; `None` for no limit."""
    inline: ImageFormat = "webp"
    max_inline_kb: int = 256
    save: Path | None = None


@dataclass(frozen=True, slots=True)
class WorkflowTool:
    """A workflow that agents can call."""

    name: str
    workflow: Workflow[WorkflowParams, WorkflowOutputs]
    inputs: Mapping[str, PlannedInput]
    """What can be set, by the name of the argument."""
    settings: CallSettings

    @classmethod
    def of(cls, stem: str, plan: WorkflowPlan, settings: CallSettings, taken: Collection[str] = ()) -> WorkflowTool:
        """Return the tool for a plan whose inputs have names. `stem` is the name of the file or module."""
        digest = hashlib.sha256(f"{stem}\0{plan.info.sha256}".encode("utf-8", "surrogatepass")).hexdigest()[:8]
        name = re.sub(r"[^A-Za-z0-9_-]+", "_", stem).strip("_")[:55] or f"workflow_{digest}"
        inputs = [item for item in plan.inputs if item.fed_by is None]
        keys = {item.name if _KEY.fullmatch(item.name) else f"input_{item.index}": item for item in inputs}
        return cls(f"{name}_{digest}" if name in taken else name, workflow_of(plan), keys, settings)

    def summary(self) -> dict[str, str]:
        """Return its name, the name that its author gave it, and what it is for."""
        info, plan = self.workflow.plan.info, self.workflow.plan
        outputs = ", ".join(item.name for item in plan.outputs if item.role != "debug")
        purpose = f"{info.description or info.name or self.name} {f'Returns {outputs}.' if outputs else ''}"
        return {"workflow": self.name, "title": plain(info.name or self.name, 120), "for": plain(purpose)}

    def input_schema(self, models: Sequence[Model], boards: Sequence[Board]) -> dict[str, Any]:
        """Return the JSON Schema of the arguments: that of `Params`, with the server's models and boards by name."""
        schema = self.workflow.params_type.json_schema(allow_files=self.settings.folders)
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

    def params(self, arguments: Mapping[str, JsonValue]) -> WorkflowParams:
        """Return the values of a call. Raise `ParamsError` with everything that is wrong with them.

        An image is a name on the server, a link, a data URL, or `{"path": …}` of a file below one of the folders.
        """
        values: dict[str, JsonValue] = {}
        for key, value in arguments.items():
            item = self.inputs.get(key)
            is_image = item is not None and item.field_type == "ImageField"
            values[item.name if item is not None else key] = _without_links(value) if is_image else value
        return self.workflow.params_type.from_dict(values, allow_files=self.settings.folders)

    async def call(
        self,
        arguments: Mapping[str, JsonValue],
        client: AsyncInvokeAIClient,
        report: Callable[[float, float | None, str | None], Awaitable[None]],
        show: Callable[[Preview], Awaitable[None]],
    ) -> types.CallToolResult:
        """Check the arguments, run the workflow, and return what it made. Raise `InvokeAIGenError`.

        `report` gets a percentage that never goes back, and what the run is doing; `show` gets the previews. A call
        that is cancelled ends when its queue item is cancelled, too.
        """
        nodes = max(1, sum(node.is_executable for node in self.workflow.plan.nodes))
        done, percent = 0, 0.0

        async def advance(label: str, part: float, doing: str) -> None:
            nonlocal percent
            if (now := round(min(99.0, 100 * (done + part) / nodes), 1)) > percent:
                percent = now
                await report(now, 100, plain(f"{label}: {doing}", 160))

        async def on_progress(event: InvocationProgress) -> None:
            if event.preview is not None:
                await show(event.preview)
            await advance(event.node_label, event.percentage or 0, event.message)

        async def on_complete(event: InvocationComplete) -> None:
            nonlocal done
            done += 1
            await advance(event.node_label, 0, "done")

        run = self.workflow.arun_all(
            self.params(arguments),
            client=client,
            timeout=self.settings.timeout,
            on_invocation_progress=on_progress,
            on_invocation_complete=on_complete,
        )
        task = asyncio.ensure_future(run)
        try:
            return await self._result(await asyncio.shield(task))
        finally:
            task.cancel()
            with anyio.CancelScope(shield=True):
                await asyncio.wait([task], timeout=CANCEL_TIMEOUT)

    async def _result(self, outputs: Sequence[WorkflowOutputs]) -> types.CallToolResult:
        runs = [await self._run(output) for output in outputs]
        content: list[types.ContentBlock] = [types.TextContent(text=json.dumps({"runs": runs}, ensure_ascii=False))]
        size, form = self.settings.max_inline_kb * 1024, self.settings.inline
        for place, image in enumerate(image for output in outputs for image in output.images):
            is_inline = size and place < MAX_INLINE
            if is_inline and (data := await asyncio.to_thread(small_copy, await image.apil(), form, size)):
                text = base64.b64encode(data).decode()
                content.append(types.ImageContent(data=text, mime_type=f"image/{form}"))
            content.append(types.ResourceLink(uri=link_of(image.name), name=image.name, mime_type="image/png"))
        return types.CallToolResult(content=content, structured_content={"runs": runs})

    async def _run(self, output: WorkflowOutputs) -> dict[str, Any]:
        """Return what one run made, and with which values; keep it if `--save` asks for that."""
        values = self.arguments(output.input_params) if output.input_params is not None else {}
        run = {"outputs": output.to_dict(), "values": values, "item_id": output.item_id}
        if (folder := self.settings.save) is not None:
            files = await output.adownload_outputs(folder / f"{self.name}-{output.item_id}-{output.session_id[:8]}")
            row = {"workflow": self.name, "files": [file.relative_to(folder).as_posix() for file in files], **run}
            with (folder / "manifest.jsonl").open("a", encoding="utf-8") as manifest:
                manifest.write(json.dumps(row) + "\n")
        return run


def _without_links(value: JsonValue) -> JsonValue:
    if isinstance(value, list):
        return [_without_links(item) for item in value]
    return name_in(value) if isinstance(value, str) else value


def failure(error: Exception) -> types.CallToolResult:
    """Return what went wrong; for values every problem by label, so that the agent can correct its call."""
    text, problems = plain(error, 4000), [{"problem": plain(error, 4000)}]
    if isinstance(error, ParamsError):
        found = [(one.name, plain(one.label), plain(one.message)) for one in error.problems]
        problems = [{"input": name, "label": label, "problem": problem} for name, label, problem in found]
        text = "\n- ".join(["Nothing was run. Correct these values and call again:", *(one[2] for one in found)])
    content: list[types.ContentBlock] = [types.TextContent(text=text)]
    return types.CallToolResult(content=content, structured_content={"problems": problems}, is_error=True)
