"""Files that are written whole or not at all, and by one process at a time."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

_TEMPORARY: Final = re.compile(r"\.[0-9a-f]{32}\.part")


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[BinaryIO]:
    """A file to write to, which takes the place of `target` in one step when the block ends well.

    Whoever reads `target` meanwhile sees the old file or the new one, never half of it; after an error there is only
    the old one. The new one keeps the permissions of the old.
    """
    temporary = target.with_name(f".{uuid.uuid4().hex}.part")
    try:
        with temporary.open("xb") as file:
            yield file
        with contextlib.suppress(FileNotFoundError):
            temporary.chmod(target.stat().st_mode & 0o777)
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def remove_leftovers(folder: Path, *, older_than: float = 3600.0) -> None:
    """Removes what `replacing` left in a folder because the process was killed, if it has lain there for so many seconds.

    Somebody may still be writing what is younger, unless the folder is locked.
    """
    for path in folder.glob(".*.part"):
        with contextlib.suppress(OSError):
            if _TEMPORARY.fullmatch(path.name) and time.time() - path.stat().st_mtime >= older_than:
                path.unlink()


@contextlib.contextmanager
def locked(target: Path, *, wait: bool = True) -> Iterator[None]:
    """Keeps every other process out that locks the same file or folder; waits for one that has it.

    Raises `BlockingIOError` in place of waiting unless `wait`. The lock ends with the process, even with one that
    crashed. It lies in the folder for temporary files, so that nothing of it is left beside `target`.
    """
    user = getattr(os, "getuid", lambda: "")()  # the folder for temporary files is often one for all users
    key = hashlib.sha256(os.path.normcase(target.resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:16]
    with (Path(tempfile.gettempdir()) / f"invokeai-gen-{user}-{key}.lock").open("a+b") as handle:
        _lock(handle, wait)
        try:
            yield
        finally:
            _unlock(handle)


if sys.platform == "win32":
    import msvcrt

    def _lock(handle: BinaryIO, wait: bool) -> None:
        while True:
            try:
                handle.seek(0)
                msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
                return
            except OSError as error:
                if not wait:
                    raise BlockingIOError(*error.args) from None
                time.sleep(0.05)

    def _unlock(handle: BinaryIO) -> None:
        handle.seek(0)
        msvcrt.locking(handle.fileno(), msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _lock(handle: BinaryIO, wait: bool) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _unlock(handle: BinaryIO) -> None:
        fcntl.flock(handle, fcntl.LOCK_UN)
