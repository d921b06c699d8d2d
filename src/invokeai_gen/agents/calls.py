"""One call of a workflow: run it, report its progress, and turn what it made into a result."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import anyio
import mcp_types as types

from invokeai_gen.agents.tool import WorkflowTool, link_of
from invokeai_gen.core.image_files import small_copy
from invokeai_gen.core.image_formats import ImageFormat
from invokeai_gen.core.plan import JsonValue
from invokeai_gen.core.problems import ParamsError
from invokeai_gen.errors import InvokeAIGenError
from invokeai_gen.runtime.outputs import WorkflowOutputs
from invokeai_gen.server.callbacks import Callbacks
from invokeai_gen.server.client import AsyncInvokeAIClient
from invokeai_gen.server.events import InvocationComplete, InvocationProgress, Preview
from invokeai_gen.texts import plain

CANCEL_TIMEOUT: Final = 10
"""Seconds that cancelling the queue item may take after the client has cancelled its call, or has gone."""
MAX_INLINE: Final = 8
"""Images of one call that are sent inline; the others are links only."""


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


async def call_workflow(
    tool: WorkflowTool,
    arguments: Mapping[str, JsonValue],
    client: AsyncInvokeAIClient,
    settings: CallSettings,
    report: Callable[[float, float | None, str | None], Awaitable[None]],
    show: Callable[[Preview], Awaitable[None]],
) -> types.CallToolResult:
    """Check the arguments, run the workflow, and return what it made. Mistakes and failures are results, too.

    `report` gets a percentage that never goes back, and what the run is doing; `show` gets the previews.
    """
    nodes = max(1, sum(node.is_executable for node in tool.workflow.plan.nodes))
    done, percent = 0, 0.0

    async def follow(event: InvocationProgress | InvocationComplete) -> None:
        nonlocal done, percent
        if isinstance(event, InvocationComplete):
            done, part, doing = done + 1, 0.0, "done"
        else:
            part, doing = event.percentage or 0, event.message
            if event.preview is not None:
                await show(event.preview)
        if (now := round(min(99.0, 100 * (done + part) / nodes), 1)) > percent:
            percent = now
            await report(now, 100, plain(f"{event.node_label}: {doing}", 160))

    try:
        params = tool.params(arguments, settings.folders)
        callbacks: Callbacks = {"on_invocation_progress": follow, "on_invocation_complete": follow}
        run = tool.workflow.arun_all(params, client=client, timeout=settings.timeout, **callbacks)
        return await _result(tool, await _cancelled_in_full(run), settings)
    except InvokeAIGenError as error:
        return failure(error)


async def _cancelled_in_full(run: Awaitable[list[WorkflowOutputs]]) -> list[WorkflowOutputs]:
    """Await a run. If the call is cancelled, wait until its queue item is cancelled, although the call is over."""
    task = asyncio.ensure_future(run)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        task.cancel()
        with anyio.CancelScope(shield=True):
            await asyncio.wait([task], timeout=CANCEL_TIMEOUT)
        raise


def failure(error: Exception) -> types.CallToolResult:
    """Return what went wrong; for values every problem by label, so that the agent can correct its call."""
    problems, lines = [{"problem": plain(error, 4000)}], [plain(error, 4000)]
    if isinstance(error, ParamsError):
        named = [(item.name, plain(item.label), plain(item.message)) for item in error.problems]
        problems = [{"input": name, "label": label, "problem": problem} for name, label, problem in named]
        lines = ["Nothing was run. Correct these values and call again:", *(problem for _, _, problem in named)]
    content: list[types.ContentBlock] = [types.TextContent(text="\n- ".join(lines))]
    return types.CallToolResult(content=content, structured_content={"problems": problems}, is_error=True)


async def _result(
    tool: WorkflowTool, outputs: Sequence[WorkflowOutputs], settings: CallSettings
) -> types.CallToolResult:
    runs: list[dict[str, Any]] = []
    for output in outputs:
        values = tool.arguments(output.input_params) if output.input_params is not None else {}
        runs.append({"outputs": output.to_dict(), "values": values, "item_id": output.item_id})
        if settings.save is not None:
            files = await output.adownload_outputs(settings.save / f"{tool.name}-{output.item_id}")
            line = {
                "workflow": tool.name,
                "files": [str(file.relative_to(settings.save)) for file in files],
                **runs[-1],
            }
            with (settings.save / "manifest.jsonl").open("a", encoding="utf-8") as manifest:
                manifest.write(json.dumps(line) + "\n")
    content: list[types.ContentBlock] = [types.TextContent(text=json.dumps({"runs": runs}, ensure_ascii=False))]
    for place, image in enumerate(image for output in outputs for image in output.images):
        if settings.max_inline_kb and place < MAX_INLINE:
            picture, size = await image.apil(), settings.max_inline_kb * 1024
            if data := await asyncio.to_thread(small_copy, picture, settings.inline, size):
                text = base64.b64encode(data).decode()
                content.append(types.ImageContent(data=text, mime_type=f"image/{settings.inline}"))
        content.append(types.ResourceLink(uri=link_of(image.name), name=image.name, mime_type="image/png"))
    return types.CallToolResult(content=content, structured_content={"runs": runs})
