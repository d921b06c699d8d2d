"""Write files whole or not at all, and by one process at a time."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

_TEMPORARY: Final = re.compile(r"\.[0-9a-f]{32}\.part")


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[BinaryIO]:
    """Yield a file to write to, which replaces `target` in one step when the block succeeds.

    A reader of `target` sees the old file or the new one, never half of it; after an error the old one is untouched.
    The new file keeps the permissions of the old.
    """
    temporary = target.with_name(f".{uuid.uuid4().hex}.part")
    try:
        with temporary.open("x+b") as file:
            yield file
        with contextlib.suppress(FileNotFoundError):
            temporary.chmod(target.stat().st_mode & 0o777)
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def remove_leftovers(folder: Path, *, older_than: float = 3600.0) -> None:
    """Remove temporary files of `replacing` that a killed process left in a folder, if older than `older_than` seconds.

    A younger one may still be in use by another process, unless the folder is locked.
    """
    for path in folder.glob(".*.part"):
        with contextlib.suppress(OSError):
            if _TEMPORARY.fullmatch(path.name) and time.time() - path.stat().st_mtime >= older_than:
                path.unlink()


@contextlib.contextmanager
def locked(target: Path, *, wait: bool = True) -> Iterator[None]:
    """Lock a file or folder against every other process and thread that locks it; wait for the one that has it.

    Raise `BlockingIOError` instead of waiting unless `wait`. The lock ends with the process, even if that crashes. Its
    file stays in a folder of ours among the temporary files, so that nothing of it is left beside `target`.
    """
    import tempfile

    from filelock import FileLock, Timeout

    user = getattr(os, "getuid", lambda: "")()  # the folder for temporary files is often shared by all users
    key = hashlib.sha256(os.path.normcase(target.resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"invokeai-gen-{user}"
    folder.mkdir(mode=0o700, exist_ok=True)
    try:
        # Not bound to a thread: a sweep takes the lock on the caller's thread and releases it on its event loop.
        lock = FileLock(folder / f"{key}.lock", timeout=-1 if wait else 0, thread_local=False).acquire()
    except Timeout:
        raise BlockingIOError(f"{target} is locked by another process") from None
    with lock:
        yield
