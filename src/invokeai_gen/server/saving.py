"""Saving results as files. There is one policy for a file that already exists, for single images and whole sweeps:

* A file with the same content is left as it is, so the same results can be saved again.
* Any other file is never replaced: `FileExistsError`, and nothing is lost.
* `overwrite=True` replaces it.

A pattern, such as `"{item_id}-{output}"`, gives the results of several runs names of their own.
"""

from __future__ import annotations

import filecmp
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path

from invokeai_gen.atomic_files import replacing
from invokeai_gen.server.background import in_thread
from invokeai_gen.server.other_loops import unbroken


async def save_file(target: Path, write: Callable[[Path], Awaitable[object]], *, overwrite: bool = False) -> Path:
    """Have `write` make the file `target`, and its folders, and return it.

    Raises `FileExistsError` if another file has that name, and `IsADirectoryError` if a folder has.
    """
    await in_thread(target.parent.mkdir, parents=True, exist_ok=True)
    if await in_thread(target.is_dir):
        raise IsADirectoryError(f"{target} is a folder: name a file in it, such as image.png")
    if overwrite or not await in_thread(target.exists):
        await write(target)
        return target
    copy = target.with_name(f".{uuid.uuid4().hex}.part{target.suffix}")
    try:
        await write(copy)
        if not await in_thread(filecmp.cmp, copy, target, False):
            raise FileExistsError(
                f"{target} already exists, and its content is different: choose another name, folder or pattern, "
                "or pass overwrite=True"
            )
    finally:
        await in_thread(copy.unlink, missing_ok=True)
    return target


async def save_bytes(target: Path, data: bytes, *, overwrite: bool = False) -> Path:
    """Save bytes as a file; see `save_file`."""

    async def write(path: Path) -> None:
        await unbroken(in_thread(write_bytes, path, data))

    return await save_file(target, write, overwrite=overwrite)


def write_bytes(target: Path, data: bytes) -> None:
    """Write a file that appears under its name only when it is complete."""
    with replacing(target) as file:
        file.write(data)
