"""The folder of a generated package: read, locked against other writers, and written file by file, each atomically."""

from __future__ import annotations

import os
from pathlib import Path

from invokeai_gen.atomic_files import replacing
from invokeai_gen.errors import InvokeAIGenError


class OutputFolderError(InvokeAIGenError):
    """The output folder cannot be used: not a folder, not writable, or with files that are not ours."""


def read_text(path: Path) -> str | None:
    """Return the text of a file as it was written; `None` if it is missing or not UTF-8."""
    try:
        return path.read_bytes().decode()
    except (OSError, UnicodeDecodeError):
        return None


def write_text(path: Path, text: str) -> None:
    """Replace a file in one step: even a power cut leaves the old text or the new one."""
    with replacing(path) as file:
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())
