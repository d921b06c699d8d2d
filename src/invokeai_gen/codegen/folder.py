"""The folder of a generated package: read, locked against a second writer, and changed file by file or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from invokeai_gen.errors import InvokeAIGenError
from invokeai_gen.files import replacing


class OutputFolderError(InvokeAIGenError):
    """The output folder cannot be used: it is no folder, cannot be written, or belongs to something else."""


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Wait until no other process writes this package. The lock ends with the process, even with one that crashed.

    It lies in the folder for temporary files, so that nothing of it is left in the package.
    """
    user = getattr(os, "getuid", lambda: "")()  # the folder for temporary files is often one for all users
    key = hashlib.sha256(os.path.normcase(folder.resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:16]
    with (Path(tempfile.gettempdir()) / f"invokeai-gen-{user}-{key}.lock").open("a+b") as handle:
        _lock(handle)
        try:
            yield
        finally:
            _unlock(handle)


def read_text(path: Path) -> str | None:
    """The text of a file as it was written; `None` where there is none that is text."""
    try:
        return path.read_bytes().decode()
    except (OSError, UnicodeDecodeError):
        return None


def write_text(path: Path, text: str) -> None:
    """Replace a file in one step, so that even a power cut leaves the old text or the new one."""
    with replacing(path) as file:
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())


if sys.platform == "win32":
    import msvcrt
    import time

    def _lock(handle: BinaryIO) -> None:
        while True:
            try:
                handle.seek(0)
                msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
                return
            except OSError:
                time.sleep(0.05)

    def _unlock(handle: BinaryIO) -> None:
        handle.seek(0)
        msvcrt.locking(handle.fileno(), msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _lock(handle: BinaryIO) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX)

    def _unlock(handle: BinaryIO) -> None:
        fcntl.flock(handle, fcntl.LOCK_UN)
