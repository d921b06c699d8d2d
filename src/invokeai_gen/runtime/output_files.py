"""The images and videos of one run as files in a folder: their names, and saving them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any

from invokeai_gen.core.file_names import safe_name
from invokeai_gen.core.file_pattern import FilePattern, unique
from invokeai_gen.runtime.media import ImageOutput, VideoOutput
from invokeai_gen.runtime.media_methods import media_suffix
from invokeai_gen.runtime.output_methods import media
from invokeai_gen.server.background import in_thread
from invokeai_gen.server.concurrency import gather_limited
from invokeai_gen.server.errors import ServerError
from invokeai_gen.server.run_errors import DownloadError


def file_names(named: Mapping[str, Any]) -> Iterator[tuple[str, ImageOutput | VideoOutput]]:
    """Yield a file name for each image and video among outputs: safe on every system, and the same every time.

    No two have the same stem, even on systems that ignore case.
    """
    taken: set[str] = set()
    for name, value in named.items():
        for number, handle in enumerate(media(value)):
            wanted = safe_name(name) + (f"-{number:03d}" if isinstance(value, list) else "")
            others = (f"{wanted}_{again}" for again in itertools.count(2))
            stem = next(free for free in itertools.chain([wanted], others) if free.casefold() not in taken)
            taken.add(stem.casefold())
            yield stem + media_suffix(handle), handle


def names_by_pattern(
    named: Mapping[str, Any], pattern: str, values: Mapping[str, Any], item_id: int
) -> Iterator[tuple[PurePath, ImageOutput | VideoOutput]]:
    """Yield a path for each image and video by a pattern. Raises `FilePatternError`, also for two equal paths."""
    own = {"item_id": item_id, "output": "", "number": 0}
    made = FilePattern(pattern, {*values, *own})
    handles = [(name, number, handle) for name, value in named.items() for number, handle in enumerate(media(value))]
    paths = [made.format({**values, **own, "output": name, "number": number}) for name, number, _ in handles]
    for path, (_, _, handle) in zip(unique(paths), handles, strict=True):
        suffix = media_suffix(handle)
        yield path if path.suffix.lower() == suffix else path.with_name(path.name + suffix), handle


async def save_all(
    folder: Path,
    pairs: Iterable[tuple[str | PurePath, ImageOutput | VideoOutput]],
    *,
    overwrite: bool,
    include_metadata: bool,
    skip_existing: bool,
    concurrency: int,
) -> list[Path]:
    """Save images and videos under these names in a folder; see `WorkflowOutputs.adownload_outputs`."""
    wanted = [(folder / name, handle) for name, handle in pairs]
    await in_thread(folder.mkdir, parents=True, exist_ok=True)

    async def save(pair: tuple[Path, ImageOutput | VideoOutput]) -> None:
        path, handle = pair
        if not (skip_existing and await in_thread(path.exists)):
            await handle.asave(path, overwrite=overwrite)
        if include_metadata:
            await handle.asave_metadata(path.with_suffix(".json"), overwrite=overwrite or skip_existing)

    failed: dict[str, str] = {}
    for (path, _), outcome in zip(wanted, await gather_limited(save, wanted, at_once=concurrency), strict=True):
        if isinstance(outcome, (ServerError, OSError)):
            failed[path.name] = str(outcome)
        elif outcome is not None:
            raise outcome
    saved = [path for path, _ in wanted if path.name not in failed]
    if failed:
        raise DownloadError(saved, failed)
    return saved
