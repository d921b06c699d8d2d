"""An HTML gallery of a sweep: one file that any browser opens from disk, with thumbnails in a grid by axis."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import itertools
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final
from urllib.parse import quote

from invokeai_gen.atomic_files import replacing
from invokeai_gen.core.pictures import data_url
from invokeai_gen.core.short_texts import short_text
from invokeai_gen.runtime.media import VideoOutput
from invokeai_gen.server.background import in_thread
from invokeai_gen.server.concurrency import gather_limited
from invokeai_gen.server.errors import ServerError
from invokeai_gen.shipped_files import templates_folder
from invokeai_gen.sweeps.batching import Layout
from invokeai_gen.sweeps.files.manifest import ManifestError, rows_in
from invokeai_gen.sweeps.files.saving import THUMBNAILS_AT_ONCE, Media, media_of
from invokeai_gen.sweeps.results import SweepResult
from invokeai_gen.sweeps.space import Space

MAX_EMBEDDED: Final = 2000
"""Thumbnails that one gallery embeds; with more images it shows the saved files themselves, if any."""
_MAX_TEXT: Final = 2000
Key = int | float | str


@dataclass(frozen=True, slots=True)
class Medium:
    """One image or video of a run."""

    name: str
    """The name of the output."""
    source: str = ""
    """What the browser shows: a `data:` URL, or a file beside the gallery."""
    link: str = ""
    """The saved file, relative to the gallery; empty if it is not beside it."""
    problem: str = ""
    """Why it cannot be shown."""
    is_video: bool = False


@dataclass(frozen=True, slots=True)
class Card:
    """One run in a gallery."""

    index: int
    media: Sequence[Medium]
    varying: Sequence[tuple[str, str]]
    """Label and text of each value that varies."""
    others: Sequence[tuple[str, str]]
    keys: Sequence[Key]
    """What the card is sorted by, in the order of the keys of `render`."""
    place: tuple[int, ...]
    """Which row of each axis it has."""
    seconds: float | None
    problem: str
    """Why the run has no outputs."""


@dataclass(frozen=True, slots=True)
class Page:
    """The cards that differ only in the values of the last two axes."""

    title: str
    columns: Sequence[str]
    """Column labels; empty without a grid."""
    rows: Sequence[tuple[str, Sequence[Sequence[Card]]]]
    cards: Sequence[Card]


async def write_gallery(layout: Layout, results: Sequence[SweepResult[Any, Any]], path: Path) -> Path:
    """Write the gallery of these results, and return its path; `path` is a file, or a folder that exists."""
    plan, space = layout.plan, layout.space
    path = await in_thread(_target, path)
    files = await in_thread(_files_beside, path.parent)
    is_embedded = sum(1 for result in results for _ in media_of(result)) <= MAX_EMBEDDED
    labels = {planned.name: planned.label or planned.name for planned in plan.inputs}

    async def made(result: SweepResult[Any, Any]) -> Card:
        media = [(name, handle, files.get(handle.name, "")) for name, _, handle, _ in media_of(result)]
        return _card(result, [await _medium(*one, is_embedded=is_embedded) for one in media], space, labels)

    cards: list[Card] = []
    for card in await gather_limited(made, results, at_once=THUMBNAILS_AT_ONCE):
        if isinstance(card, Exception):
            raise card
        cards.append(card)
    axes = [
        [
            ", ".join(f"{labels[name]}: {_text(value)}" for name, value in zip(axis.names, row, strict=True))
            for row in axis.rows
        ]
        for axis in space.axes
    ]
    failed = sum(bool(card.problem) for card in cards)
    summary = f"{len(cards)} runs" + (f", {failed} without outputs" if failed else "")
    keys = ["number", *(labels[name] for name in space.names), "seconds", "failed"]
    await in_thread(_write, path, plan.info.name or "Sweep", summary, keys, pages_of(cards, axes))
    return path


def _target(path: Path) -> Path:
    target = path / "gallery.html" if path.is_dir() or not path.suffix else path
    target.parent.mkdir(parents=True, exist_ok=True)
    return target


def _write(path: Path, title: str, summary: str, keys: Sequence[str], pages: Sequence[Page]) -> None:
    with replacing(path) as file:
        file.write(render(title, summary, keys, pages).encode("utf-8", "replace"))


def render(title: str, summary: str, keys: Sequence[str], pages: Sequence[Page]) -> str:
    """Return the HTML. All text is escaped; the page loads nothing from elsewhere and runs no script but its own.

    `keys` names what the cards can be sorted by.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(templates_folder(), encoding="utf-8"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["json"] = lambda value: json.dumps(value)
    environment.filters["sha256"] = lambda text: base64.b64encode(hashlib.sha256(str(text).encode()).digest()).decode()
    return environment.get_template("gallery.html.jinja").render(title=title, summary=summary, keys=keys, pages=pages)


def pages_of(cards: Sequence[Card], axes: Sequence[Sequence[str]]) -> list[Page]:
    """Arrange cards: the last axis across, the one before it down, a page for each combination of the others.

    With fewer than two axes the cards stand one after another. `axes` has a label for each row of each axis.
    """
    if len(axes) < 2:
        return [Page("", (), (), cards)]
    *others, down, across = axes
    by_place: dict[tuple[int, ...], list[Card]] = {}
    for card in cards:
        by_place.setdefault(card.place, []).append(card)
    pages = []
    for rest in itertools.product(*(range(len(axis)) for axis in others)):
        rows = [
            (label, [by_place.get((*rest, row, column), []) for column in range(len(across))])
            for row, label in enumerate(down)
        ]
        title = ", ".join(axis[place] for axis, place in zip(others, rest, strict=True))
        pages.append(Page(title, across, rows, ()))
    return pages


def _card(result: SweepResult[Any, Any], media: Sequence[Medium], space: Space[Any], labels: Mapping[str, str]) -> Card:
    values, seconds = result.values, result.seconds
    return Card(
        index=result.index,
        media=media,
        varying=[(labels[name], _text(values[name])) for name in space.names],
        others=[(labels.get(name, name), _text(value)) for name, value in values.items() if name not in space.names],
        keys=[
            result.index,
            *(_key(values[name]) for name in space.names),
            -1 if seconds is None else seconds,
            int(result.error is not None),
        ],
        place=space.rows_of(result.point),
        seconds=seconds,
        problem="" if result.error is None else str(result.error)[:_MAX_TEXT],
    )


def _text(value: Any) -> str:
    text = short_text(value)
    return text if len(text) <= _MAX_TEXT else text[:_MAX_TEXT] + "…"


def _key(value: Any) -> Key:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else _text(value)


async def _medium(name: str, handle: Media, link: str, *, is_embedded: bool) -> Medium:
    """Return an image with its thumbnail, or else the saved file `link`, or else why neither can be shown."""
    if isinstance(handle, VideoOutput):
        return Medium(
            name, link, link, "" if link else f"video {handle.name} is not saved beside this gallery", is_video=True
        )
    problem = ""
    if is_embedded or not link:
        try:
            return Medium(name, data_url(await handle.stored.thumbnail(handle.name)), link)
        except ServerError as error:  # its server may be away, and the image deleted
            problem = str(error)
    return Medium(name, link, link, "" if link else problem)


def _files_beside(folder: Path) -> dict[str, str]:
    """Return the relative URL of each saved file in a folder by the server's name for it, as its manifest says."""
    found: dict[str, str] = {}
    with contextlib.suppress(OSError, ManifestError):
        for row in rows_in(folder):
            file = PurePosixPath(str(row.get("file") or ""))
            if not file.is_absolute() and ".." not in file.parts and os.path.isfile(folder / file):
                found[str(row.get("name"))] = "./" + quote(str(file))
    return found
