"""The outputs of a run as a notebook shows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from invokeai_gen.core import notebook
from invokeai_gen.runtime.media import ImageOutput, VideoOutput, media, online
from invokeai_gen.server.concurrency import gather_limited

if TYPE_CHECKING:
    from invokeai_gen.core.plan import WorkflowPlan


async def card_of(title: str, plan: WorkflowPlan | None, inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> str:
    """Return the values and the pictures of a queue item as HTML."""
    named = [(name, item) for name, value in outputs.items() for item in media(value)]
    pictures = await gather_limited(_picture, [item for _, item in named], at_once=4)
    shown = [
        (name, each if isinstance(each, bytes) else str(each)) for (name, _), each in zip(named, pictures, strict=True)
    ]
    return notebook.card(title, notebook.rows_of(plan, inputs), shown)


async def _picture(item: ImageOutput | VideoOutput) -> bytes | str:
    return await online(item.client).images.thumbnail(item.name) if isinstance(item, ImageOutput) else item.name
