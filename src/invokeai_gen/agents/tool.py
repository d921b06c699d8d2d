"""One workflow as a tool: its name, its schemas, and a call, from the arguments to a result."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import re
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import anyio
import mcp_types as types
from mcp import UriTemplate
from mcp.server.mcpserver import Image

from invokeai_gen.core.json_schema import outputs_schema, plain_schema, plan_schema, with_choices
from invokeai_gen.core.json_writing import to_json
from invokeai_gen.core.params import WorkflowParams
from invokeai_gen.core.pictures import ImageFormat, small_copy
from invokeai_gen.core.plan import JsonValue, PlannedInput, WorkflowPlan
from invokeai_gen.core.problems import ParamsError
from invokeai_gen.runtime.outputs import WorkflowOutputs
from invokeai_gen.server.constants import INTERRUPT_TIMEOUT
from invokeai_gen.texts import plain

if TYPE_CHECKING:
    from invokeai_gen.server.boards import Board
    from invokeai_gen.server.client import AsyncInvokeAIClient
    from invokeai_gen.server.events import InvocationComplete, InvocationProgress, Preview
    from invokeai_gen.server.models import Model
    from invokeai_gen.sweeps.workflow import Workflow

IMAGES: Final = UriTemplate.parse("invokeai://images/{name}")
"""Links to images on the server."""
MAX_INLINE: Final = 8
"""Images of one call that are sent inline; the others are links only."""
_KEY: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
"""What agents accept as the name of an argument. Labels may be in any script, and of any length."""


def name_in(value: Any) -> Any:
    """Return the name of an image that is given by a link, and of each in a list; anything else as it is."""
    if isinstance(value, list):
        return [name_in(item) for item in value]
    found = IMAGES.match(value) if isinstance(value, str) else None
    return found["name"] if found else value


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


@dataclass(frozen=True)
class WorkflowTool:
    """A workflow that agents can call."""

    name: str
    plan: WorkflowPlan
    """Its inputs have the names of the arguments."""
    settings: CallSettings

    @classmethod
    def of(cls, stem: str, plan: WorkflowPlan, settings: CallSettings, taken: Collection[str] = ()) -> WorkflowTool:
        """Return the tool for a plan whose inputs have names. `stem` is the name of the file or module."""
        digest = hashlib.sha256(f"{stem}\0{plan.info.sha256}".encode("utf-8", "surrogatepass")).hexdigest()[:8]
        name = re.sub(r"[^A-Za-z0-9_-]+", "_", stem).strip("_")[:55] or f"workflow_{digest}"
        names = {item.name for item in plan.inputs}
        inputs = tuple(item if _KEY.fullmatch(item.name) else _renamed(item, names) for item in plan.inputs)
        return cls(f"{name}_{digest}" if name in taken else name, replace(plan, inputs=inputs), settings)

    @cached_property
    def workflow(self) -> Workflow[WorkflowParams, WorkflowOutputs]:
        """The workflow itself, made by the first call: a list of tools does not need it."""
        from invokeai_gen.sweeps.dynamic_workflow import workflow_of

        return workflow_of(self.plan)

    def summary(self) -> dict[str, str]:
        """Return its name, the name that its author gave it, and what it is for."""
        info = self.plan.info
        outputs = ", ".join(item.name for item in self.plan.outputs if item.role != "debug")
        purpose = f"{info.description or info.name or self.name} {f'Returns {outputs}.' if outputs else ''}"
        return {"workflow": self.name, "title": plain(info.name or self.name, 120), "for": plain(purpose)}

    def input_schema(self, models: Sequence[Model], boards: Sequence[Board]) -> dict[str, Any]:
        """Return the JSON Schema of the arguments: that of `Params`, with the server's models and boards by name."""
        schema = with_choices(plan_schema(self.plan, allow_files=self.settings.folders), self.plan, models, boards)
        return plain_schema({key: part for key, part in schema.items() if key not in ("title", "description")})

    def output_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of the structured content of a result; one that reports mistakes has `problems`."""
        outputs = plain_schema(outputs_schema(self.plan))
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
            annotations=types.ToolAnnotations(read_only_hint=False, destructive_hint=False),
        )

    def arguments(self, params: WorkflowParams) -> dict[str, JsonValue]:
        """Return values as the arguments of a call, without images that were sent with it."""
        found: dict[str, JsonValue] = {}
        for item in self.plan.inputs:
            if item.fed_by is None:
                with contextlib.suppress(TypeError):  # bytes
                    found[item.name] = to_json(getattr(params, item.name))
        return found

    def params(self, arguments: Mapping[str, JsonValue]) -> WorkflowParams:
        """Return the values of a call. Raise `ParamsError` with everything that is wrong with them.

        An image is a name on the server, a link, a data URL, or `{"path": …}` of a file below one of the folders.
        """
        images = {item.name for item in self.plan.inputs if item.field_type == "ImageField"}
        values = {name: name_in(value) if name in images else value for name, value in arguments.items()}
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
        nodes = max(1, sum(node.is_executable for node in self.plan.nodes))
        done, percent = 0, 0.0

        async def advance(event: InvocationProgress | InvocationComplete) -> None:
            from invokeai_gen.server.events import InvocationComplete  # loaded by the run, in a thread

            nonlocal done, percent
            if isinstance(event, InvocationComplete):
                done, part, doing = done + 1, 0.0, "done"
            else:
                part, doing = event.percentage or 0.0, event.message
                if event.preview is not None:
                    await show(event.preview)
            if (now := round(min(99.0, 100 * (done + part) / nodes), 1)) > percent:
                percent = now
                await report(now, 100, plain(f"{event.node_label}: {doing}", 160))

        run = self.workflow.arun_all(
            self.params(arguments),
            client=client,
            timeout=self.settings.timeout,
            on_invocation_progress=advance,
            on_invocation_complete=advance,
        )
        task = asyncio.ensure_future(run)
        try:
            return await self._result(await asyncio.shield(task))
        finally:
            task.cancel()
            with anyio.CancelScope(shield=True):
                await asyncio.wait([task], timeout=INTERRUPT_TIMEOUT)

    async def _result(self, outputs: Sequence[WorkflowOutputs]) -> types.CallToolResult:
        runs = [await self._run(output) for output in outputs]
        size, form = self.settings.max_inline_kb * 1024, self.settings.inline
        shown: list[types.ContentBlock] = []
        for place, image in enumerate(image for output in outputs for image in output.images):
            is_inline = size and place < MAX_INLINE
            if is_inline and (data := await asyncio.to_thread(small_copy, await image.apil(), form, size)):
                shown.append(Image(data=data, format=form).to_image_content())
            shown.append(
                types.ResourceLink(uri=IMAGES.expand({"name": image.name}), name=image.name, mime_type="image/png")
            )
        return answer({"runs": runs}, *shown)

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


def _renamed(item: PlannedInput, taken: Collection[str]) -> PlannedInput:
    """Return an input with a name that agents accept and no other input has."""
    name = f"input_{item.index}"
    return replace(item, name=f"{name}_" if name in taken else name)


def answer(data: dict[str, Any], *more: types.ContentBlock, is_error: bool = False) -> types.CallToolResult:
    """Return data as the result of a call, and as text for clients that only read that."""
    content = [types.TextContent(text=json.dumps(data, ensure_ascii=False)), *more]
    return types.CallToolResult(content=content, structured_content=data, is_error=is_error)


def failure(error: Exception) -> types.CallToolResult:
    """Return what went wrong; for values every problem by label, so that the agent can correct its call."""
    if isinstance(error, ParamsError):
        found = [(plain(one.name, 80), plain(one.label), plain(one.message)) for one in error.problems]
        problems = [{"input": name, "label": label, "problem": message} for name, label, message in found]
    else:
        problems = [{"problem": plain(error, 4000)}]
    return answer({"problems": problems}, is_error=True)
