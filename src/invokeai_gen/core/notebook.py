"""How results and jobs look in a notebook: HTML with a table of labels and values, and pictures. All text is escaped."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from invokeai_gen.core.plan import WorkflowPlan
from invokeai_gen.core.short_texts import short_text


def card(title: str, rows: Mapping[str, str], pictures: Iterable[tuple[str, bytes | str]] = ()) -> str:
    """Return HTML with a title, a table, and pictures: a caption with a WebP file, or with the reason why it is missing."""
    table = "".join(
        f'<tr><th style="text-align:left">{escape(name)}</th>'
        f'<td style="text-align:left;white-space:pre-wrap">{escape(text)}</td></tr>'
        for name, text in rows.items()
    )
    figures = "".join(
        f'<figure style="display:inline-block;margin:4px">{_picture(picture)}'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
        for caption, picture in pictures
    )
    return f"<div><strong>{escape(title)}</strong><table>{table}</table>{figures}</div>"


def rows_of(plan: WorkflowPlan | None, values: Mapping[str, Any]) -> dict[str, str]:
    """Return values in a few words each, by the label of their input."""
    labels = {planned.name: planned.label for planned in plan.inputs} if plan is not None else {}
    rows: dict[str, str] = {}
    for name, value in values.items():
        label = labels.get(name) or name
        rows[label if label not in rows else f"{label} ({name})"] = short_text(value)
    return rows


def _picture(picture: bytes | str) -> str:
    if isinstance(picture, str):
        return f"<em>{escape(picture)}</em>"
    return f'<img src="data:image/webp;base64,{b64encode(picture).decode()}">'
