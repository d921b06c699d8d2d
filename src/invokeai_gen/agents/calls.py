"""One call of a workflow: run it, report its progress, and turn what it made into a result."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import anyio
import mcp_types as types

from invokeai_gen.agents.pictures import Folders, link_of
from invokeai_gen.agents.tool import WorkflowTool
from invokeai_gen.core.image_files import small_copy
from invokeai_gen.core.image_formats import ImageFormat
from invokeai_gen.core.plan import JsonValue
from invokeai_gen.core.problems import ParamsError
from invokeai_gen.errors import InvokeAIGenError
from invokeai_gen.runtime.outputs import WorkflowOutputs
from invokeai_gen.server.client import AsyncInvokeAIClient
from invokeai_gen.server.events import InvocationComplete, InvocationProgress
from invokeai_gen.texts import plain

CANCEL_TIMEOUT: Final = 10.0
"""Seconds that cancelling the queue item may take after the client has cancelled its call, or has gone."""
MAX_INLINE: Final = 8
"""Images of one call that are sent inline; the others are links only."""
Report = Callable[[float, float | None, str | None], Awaitable[None]]
"""Sends a progress notification: how far, of how much, and a text."""


@dataclass(frozen=True, slots=True)
class CallSettings:
    """How calls are run, and what their results hold."""

    folders: Folders = field(default_factory=Folders)
    timeout: float | None = None
    """Seconds for one call, from upload to result; `None` for no limit."""
    inline: ImageFormat = "webp"
    max_inline_bytes: int = 256 * 1024
    """Size of one inline image in base64; 0 sends links only."""
    save: Path | None = None
    """Where to keep what was made, with a manifest."""


async def call_workflow(
    tool: WorkflowTool,
    arguments: Mapping[str, JsonValue],
    client: AsyncInvokeAIClient,
    settings: CallSettings,
    report: Report,
) -> types.CallToolResult:
    """Check the arguments, run the workflow, and return what it made. Mistakes and failures are results, too."""
    try:
        params = tool.params(arguments, settings.folders)
        progress = _Progress(sum(node.is_executable for node in tool.workflow.plan.nodes), report)
        outputs = await _uninterrupted(
            tool.workflow.arun_all(
                params,
                client=client,
                timeout=settings.timeout,
                on_invocation_progress=progress.progressed,
                on_invocation_complete=progress.completed,
            )
        )
        # A value that came as bytes or as a local file is not repeated.
        values = {key: value for key, value in arguments.items() if not str(value).startswith("data:")}
        with contextlib.suppress(ParamsError):  # images in memory
            values = {**tool.arguments(params), **values}
        return await _result(tool, values, outputs, settings)
    except InvokeAIGenError as error:
        return failure(error)


async def _uninterrupted(run: Awaitable[list[WorkflowOutputs]]) -> list[WorkflowOutputs]:
    """Await a run. If the call is cancelled, wait until its queue item is cancelled, although the call is over."""
    task = asyncio.ensure_future(run)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        task.cancel()
        with anyio.CancelScope(shield=True):
            await asyncio.wait([task], timeout=CANCEL_TIMEOUT)
        raise


class _Progress:
    """Reports a percentage of the whole that never goes back."""

    def __init__(self, nodes: int, report: Report) -> None:
        self._nodes = max(nodes, 1)
        self._done = 0
        self._percent = 0.0
        self._report = report

    async def progressed(self, event: InvocationProgress) -> None:
        await self._send(event.percentage or 0, f"{event.node_label}: {event.message}")

    async def completed(self, event: InvocationComplete) -> None:
        self._done += 1
        await self._send(0, f"{event.node_label}: done")

    async def _send(self, part: float, message: str) -> None:
        percent = min(99.0, 100 * (self._done + part) / self._nodes)
        if percent > self._percent:
            self._percent = percent
            await self._report(round(percent, 1), 100, plain(message, 160))


def failure(error: Exception) -> types.CallToolResult:
    """Return what went wrong; for values every problem by label, so that the agent can mend its call."""
    if isinstance(error, ParamsError):
        problems = [
            {"input": item.name, "label": plain(item.label), "problem": plain(item.message)} for item in error.problems
        ]
        text = "\n- ".join(
            ["Nothing was run. Mend these values and call again:", *(item["problem"] for item in problems)]
        )
    else:
        text = plain(error, 4000)
        problems = [{"problem": text}]
    content: list[types.ContentBlock] = [types.TextContent(text=text)]
    return types.CallToolResult(content=content, structured_content={"problems": problems}, is_error=True)


async def _result(
    tool: WorkflowTool, values: Mapping[str, JsonValue], outputs: Sequence[WorkflowOutputs], settings: CallSettings
) -> types.CallToolResult:
    runs: list[dict[str, Any]] = [
        {"outputs": output.to_dict(), "values": {**values}, "item_id": output.item_id} for output in outputs
    ]
    content: list[types.ContentBlock] = []
    for place, image in enumerate(image for output in outputs for image in output.images):
        if settings.max_inline_bytes and place < MAX_INLINE:
            data = await asyncio.to_thread(small_copy, await image.apil(), settings.inline, settings.max_inline_bytes)
            mime_type = f"image/{settings.inline}"
            if data is not None:
                content.append(types.ImageContent(data=base64.b64encode(data).decode(), mime_type=mime_type))
        content.append(types.ResourceLink(uri=link_of(image.name), name=image.name, mime_type="image/png"))
    if settings.save is not None:
        for output, run in zip(outputs, runs, strict=True):
            files = await output.adownload_outputs(settings.save / f"{tool.name}-{output.item_id}")
            line = {"workflow": tool.name, "files": [str(file.relative_to(settings.save)) for file in files], **run}
            await asyncio.to_thread(_append, settings.save / "manifest.jsonl", json.dumps(line) + "\n")
    content.insert(0, types.TextContent(text=json.dumps({"runs": runs}, ensure_ascii=False)))
    return types.CallToolResult(content=content, structured_content={"runs": runs})


def _append(path: Path, line: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(line)
